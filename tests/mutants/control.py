"""The rules that live where watchdog, dispatch and operator are put together."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_TESTS = "tests/unit/control/{}.py::{}"


def _in(module: str, tests: str = "") -> _Maker:
    room, _, name = (tests or module).rpartition("/")
    return _Maker(f"gateway/control/{module}.py", f"{room}/test_{name}".lstrip("/"))


class _Maker:
    """Makes mutants of one file, caught by the tests of one file."""

    def __init__(self, file: str, tests: str) -> None:
        self._file, self._tests = file, tests

    def __call__(self, rule: str, old: str, new: str, test: str) -> Mutant:
        return Mutant(rule, self._file, old, new, _TESTS.format(self._tests, test))


_outputs = _in("execution/outputs")
_controller = _in("controller")
_carrying = _in("carrying", "controller")
_recorded = _in("force_record", "obligation")
_kept_by = _in("controller", "obligation")
_force = _in("watchdog/force", "obligation")
_moves = _in("watchdog/moves", "obligation")
_due = _in("watchdog/due", "obligation")
_kept_rows = _in("sight", "obligation")
_facts = _in("watchdog/obligation", "obligation")
_declared = _in("asset_control", "obligation")
_echoes = _in("watchdog/field_events", "obligation")
_machine = _in("watchdog/machine", "obligation")
_licence = _in("watchdog/licence", "controller")
_sight = _in("sight", "controller")
_present = _in("sight", "sight")
_stopping = _in("execution/stopping", "controller")
_asset = _in("asset_control")
_proving = _in("proving", "asset_control")
_ground = _in("ground", "asset_control")
_acts = _in("acts", "obligation")
_intake = _in("intake")
_intake_of_asset = _in("intake", "asset_control")
_fleet = _in("fleet")
_view = _in("rules/field_view")
_least = _in("rules/least", "rules/field_view")
_measured = _in("sight", "sight")
_base = _in("rules/percent_base")
_restating = _in("execution/restating", "percent")
_operator = _in("operator")
_trial = _in("trial", "asset_control")
_procedure = _in("commissioning/procedure", "commissioning/procedure")
_shared = _in("rules/shared")
_sharing = _in("sharing")
_commitment = _in("commitment", "sharing")

_TOLD = (
    Mutant(
        "zero that is refused shows at once",
        "gateway/control/troubles.py",
        "return bool(controller.refused_with) and controller.state.demand is not None",
        "return False",
        _TESTS.format(
            "test_troubles", "test_zero_that_is_refused_shows_at_once_and_until_it_is_verified"
        ),
    ),
    Mutant(
        "since when LATCHED or ESTOP lasts is kept",
        "gateway/control/ground.py",
        "lasting=self._lasting(kept)",
        "lasting=None",
        _TESTS.format(
            "test_troubles",
            "test_since_when_stays_the_same_as_long_as_it_lasts_and_over_a_restart",
        ),
    ),
    Mutant(
        "who stopped first is who is named",
        "gateway/control/controller.py",
        "        if self.state.phase is not Phase.ESTOP:\n            self._stopped_by = actor\n",
        '        self._stopped_by = "somebody"\n',
        _TESTS.format("test_troubles", "test_who_ordered_the_first_stop_of_the_cloud_is_said"),
    ),
)

_LISTED = (
    Mutant(
        "a mode or a reserve of which the site lists nothing is not offered",
        "gateway/control/commands/permit.py",
        "return frozenset(Verb) - lacking - _unlisted(site)",
        "return frozenset(Verb) - lacking",
        _TESTS.format(
            "commands/test_permit",
            "test_modes_and_reserves_are_offered_only_where_the_site_lists_them",
        ),
    ),
    Mutant(
        "a mode that the site does not list is refused",
        "gateway/control/commands/permit.py",
        "if command.mode is not None and command.mode not in site.modes:",
        "if False:",
        _TESTS.format(
            "commands/test_permit",
            "test_a_reserve_outside_and_a_mode_that_is_not_listed_are_rejected",
        ),
    ),
    Mutant(
        "a reserve outside the site's limits is refused",
        "gateway/control/commands/permit.py",
        "if not least <= command.percent <= most:",
        "if False:",
        _TESTS.format(
            "commands/test_permit",
            "test_a_reserve_outside_and_a_mode_that_is_not_listed_are_rejected",
        ),
    ),
)

_WAY_OUT = (
    Mutant(
        "a demand for zero ends a commit's wait that has begun",
        "gateway/field/intake.py",
        "                self._begun.end()\n",
        "                pass\n",
        "tests/unit/field/test_intake.py::"
        "test_a_demand_for_zero_ends_a_wait_that_has_begun_and_the_loss_is_announced_then",
    ),
    Mutant(
        "a wait that begins while zero is owed is short",
        "gateway/field/intake.py",
        "            if self._hurried:\n",
        "            if False:\n",
        "tests/unit/field/test_intake.py::test_a_wait_that_begins_while_zero_is_owed_is_short",
    ),
    _fleet(
        "each battery that zero is owed to is hurried",
        "for _, one in sorted((told | over).items())]",
        "for _, one in sorted((told | over).items())[:1]]",
        "test_each_battery_that_zero_is_owed_to_is_hurried_until_it_is_verified",
    ),
    _outputs(
        "only the first reduction goes before reads",
        "return output.reduces and not self._unread",
        "return output.reduces",
        "test_only_the_first_reduction_goes_before_reads_until_one_has_had_its_turn",
    ),
    _outputs(
        "a heartbeat that became overdue behind a read stays",
        "stays = self._first or overdue or not",
        "stays = self._first or not",
        "test_a_heartbeat_that_is_overdue_gives_way_to_nothing",
    ),
    _outputs(
        "a heartbeat that waits comes back once none may leave",
        "        if stays and not withheld:\n",
        "        if stays:\n",
        "test_a_heartbeat_that_is_overdue_gives_way_to_nothing",
    ),
    _controller(
        "a heartbeat that waits is withheld, too",
        "withheld = not self.state.may_beat(at)",
        "withheld = False",
        "test_a_heartbeat_that_the_session_holds_comes_back_once_heartbeats_are_withheld",
    ),
    _outputs(
        "a heartbeat that never left was not in vain",
        "and sent and not good)",
        "and not good)",
        "test_a_heartbeat_that_never_left_is_not_one_that_nobody_accepted",
    ),
    _controller(
        "a read that ended lets less power go first again",
        "            self._outputs.read()\n",
        "            pass\n",
        "test_a_reduction_goes_before_reads_again_once_a_critical_read_has_ended",
    ),
    _in("execution/writing", "execution/execute")(
        "a split setpoint's other direction is zeroed once by each command",
        "if one.expected != 0 or now.made.get(one.echo) != one)",
        "if True)",
        "test_the_other_direction_of_a_split_setpoint_is_zeroed_once_by_each_command",
    ),
    _in("commitment")(
        "a way is the only one where the other is not in force",
        "return 0.0 if charge_w and discharge_w else discharge_w - charge_w",
        "return discharge_w - charge_w",
        "test_the_one_way_in_force_is_known_only_where_it_is_one",
    ),
    _outputs(
        "what takes power away goes first",
        "return min(self._waiting, key=lambda one: self._turn(one, beat_first=beat_first))",
        "return self._waiting[0]",
        "test_a_stop_goes_first_then_zero_then_the_heartbeat_then_power",
    ),
    _outputs(
        "one control at a time",
        "if self._out is not None or not self._waiting:",
        "if not self._waiting:",
        "test_one_control_at_a_time",
    ),
    _controller(
        "an output that may not leave does not",
        "        if refusal is not None:\n            self._outputs.withhold",
        "        if False:\n            self._outputs.withhold",
        "test_a_heartbeat_that_waited_does_not_leave_in_estop",
    ),
    _outputs(
        "a zero is sent whole",
        "            good = after_idle(outcome) is not IdleNext.LOCAL\n",
        "",
        "test_of_a_zero_every_control_is_sent_whatever_became_of_the_one_before",
    ),
    _outputs(
        "a zero stops where the site has the authority",
        "good = after_idle(outcome) is not IdleNext.LOCAL",
        "good = True",
        "test_a_zero_that_the_site_has_the_authority_over_stops_at_once",
    ),
    _outputs(
        "a zero refused in part is not accepted",
        "return out, (outcome if not good or out.fault is None else out.fault)",
        "return out, outcome",
        "test_of_a_zero_every_control_is_sent_whatever_became_of_the_one_before",
    ),
    _outputs(
        "abort drops what is not sent yet",
        "            self._out = replace(self._out, controls=self._out.controls[:1])\n",
        "            pass\n",
        "test_what_an_aborted_dispatch_has_not_sent_yet_is_forgotten",
    ),
    _outputs(
        "an older setpoint does not leave behind a newer",
        "if output.newest and output.rank is Rank.POWER:",
        "if False:",
        "test_a_smaller_setpoint_replaces_the_larger_one_that_waits_and_the_rest_of_one_that_left",
    ),
    _outputs(
        "a stray answer changes nothing",
        "if token == 0 or token != self._token or self._out is None:",
        "if self._out is None:",
        "test_an_answer_that_nobody_waits_for_changes_nothing",
    ),
    _outputs(
        "an answer that never comes is given up",
        "if at < self._lost_at or self._out is None:",
        "if True or self._out is None:",
        "test_an_answer_that_never_comes_is_an_unknown_outcome",
    ),
)

_LEAVING = (
    _licence(
        "a heartbeat is asked again when it leaves",
        "return None if state.may_beat(at) else",
        "return None if True else",
        "test_a_heartbeat_that_waited_does_not_leave_in_estop",
    ),
    _licence(
        "a zero is asked again when it leaves",
        "return None if state.owes_zero() else",
        "return None if True else",
        "test_a_zero_that_waited_does_not_leave_in_local",
    ),
    _licence(
        "power is asked again when it leaves",
        "objection = state.objection(at)",
        "objection = None",
        "test_power_that_waited_does_not_leave_while_the_session_is_down",
    ),
    _licence(
        "power leaves before the end of its lease",
        "state.lease.expires_at, ends_at)",
        "ends_at)",
        "test_power_leaves_before_the_end_of_its_lease_or_not_at_all",
    ),
    _controller(
        "power leaves before the end of its duration",
        "        by = licence.until(self.state, WriteKind.HEARTBEAT if output.beats else kind, at)"
        "\n"
        "        if one is not None:\n"
        "            one.begun = True\n"
        "            by = min(by, one.executor.now.ends_at)\n",
        "        by = at + 2 * self.state.terms.response_s\n"
        "        if one is not None:\n"
        "            one.begun = True\n",
        "test_power_leaves_before_the_end_of_its_duration_or_not_at_all",
    ),
    _controller(
        "an expired command does not begin, though it waited",
        "if (refusal is None or refusal[0] is Cause.LIMIT) and _is_late(one, now):",
        "if False:",
        "test_a_command_that_expires_while_its_first_output_waits_never_starts",
    ),
    _licence(
        "a setpoint is inside the limits when it leaves",
        "if objection is None and power_w is not None and state.clamped_w(power_w) != power_w:",
        "if False:",
        "test_a_setpoint_that_waited_leaves_only_inside_the_limits_of_that_instant",
    ),
)

_AGREEING = (
    _recorded(
        "a group that is forgotten is not sent",
        "self._grouping = token if used else 0",
        "self._grouping = token",
        "test_that_a_group_is_forgotten_feeds_no_dead_man",
    ),
    _echoes(
        "with control off our setpoint in the echo is zeroed while in force",
        "if off and state.reads_ours(event.value_w):",
        "if False:",
        "test_with_control_off_our_setpoint_in_the_echo_while_in_force_is_zeroed",
    ),
    _machine(
        "with control off a restart is zeroed while in force",
        "owed or (state.phase is Phase.MONITOR and state.in_force)",
        "owed",
        "test_with_control_off_what_a_restart_brings_back_while_in_force_is_zeroed",
    ),
    _acts(
        "what is being ordered is not declared gone",
        "if state.phase in POWERED:  # what",
        "if False:  # what",
        "test_no_zero_is_declared_while_a_dispatch_waits_for_the_disk_or_is_in_force",
    ),
    _moves(
        "after a yield it is silent until zero is accepted",
        "state = replace(state, silent=True, silent_since=at)",
        "pass",
        "test_after_a_yield_there_is_no_heartbeat_before_an_accepted_zero",
    ),
    _force(
        "our setpoint is the one in force until another is written",
        "if state.dispatch is not None:  # that",
        "if False:  # that",
        "test_declared_zero_is_refused_while_what_a_failed_record_did_not_supersede_is_read",
    ),
    _declared(
        "an open command of an older store stays in force across starts",
        "        if self._unkept:  # an",
        "        if False:  # an",
        "test_an_open_command_of_an_older_store_is_in_force_at_every_start_until_zero_is_verified",
    ),
    _facts(
        "a row of zero that cannot be read is none",
        "        and all(map(_is_row, found.rows))\n",
        "",
        "test_a_garbled_fact_ends_no_start_and_no_choice_of_the_operator",
    ),
    _kept_rows(
        "an echo of kept rows that is not good verifies nothing",
        "for raw in self.view.raw_numbers() if _is_good(raw)}",
        "for raw in self.view.raw_numbers()}",
        "test_by_kept_an_echo_that_is_not_good_verifies_no_zero",
    ),
    _force(
        "power that nobody asked for does not verify",
        "settling.good_at is None and math.isfinite(event.at_s):",
        "settling.good_at is None:",
        "test_power_that_nobody_asked_for_is_none_of_the_two_reads",
    ),
    _due(
        "a stop that was owed is kept as sent before it is sent",
        "    if not again:\n",
        "    if not again and not state.stop_kept:\n",
        "test_a_stop_that_was_owed_is_not_sent_twice_over_a_kill",
    ),
    _moves(
        "power of the site is not held against our zero",
        "    state = replace(state, settling=None, drifts_since=None)\n"
        "    state = to_phase(state, Phase.LOCAL",
        "    state = to_phase(state, Phase.LOCAL",
        "test_power_of_the_site_in_local_is_not_held_against_our_zero",
    ),
    _controller(
        "an orphan dispatch idles",
        "if held is not None and self.jobs.dispatch is None:",
        "if False:",
        "test_a_dispatch_without_an_executor_is_idled",
    ),
    _carrying(
        "a dispatch that prepares ends with its phase",
        "        for id_ in self._under:\n            self.end(",
        "        for id_ in [key for key, one in self._under.items() if not one.power]:\n"
        "            self.end(",
        "test_a_dispatch_that_prepares_does_not_go_on_after_an_idle_and_a_new_arm",
    ),
    _carrying(
        "a command that waits for the disk ends with its phase",
        "waiting, self._accepted = self._accepted, {}",
        "waiting: dict[int, Accepted] = {}",
        "test_a_command_that_waits_for_the_disk_ends_with_an_idle_and_not_with_the_disk",
    ),
    _sight(
        "a ramp obeys the window it comes from",
        "if held is not None and held.setpoint_w * power_w < 0:",
        "if False:",
        "test_a_ramp_from_charging_obeys_the_window_of_charging",
    ),
)

_DURABLE = (
    _carrying(
        "durable before the first output",
        "        if not event.ok:\n",
        "        if False:\n",
        "test_a_command_that_cannot_be_made_durable_fails_and_nothing_leaves",
    ),
    _stopping(
        "estop is durable before its stop",
        "self.due_at = at + STOP_S if self._token else at",
        "self.due_at = at",
        "test_estop_is_durable_before_the_stop_that_it_orders",
    ),
    _stopping(
        "a stop waits for the disk a second at most",
        "        if at < self.due_at:\n",
        "        if self._token:\n",
        "test_a_stop_waits_a_second_for_the_disk_and_no_longer",
    ),
    Mutant(
        "LATCHED and ESTOP are durable",
        "gateway/control/force_record.py",
        "words.kept_phase(found, self.lasting)",
        "None",
        "tests/unit/control/test_asset_control.py::"
        "test_latched_and_estop_survive_a_restart_and_end_with_an_operators_reset",
    ),
    _intake_of_asset(
        "the id is kept across restarts",
        'return [*out, self._records.audited(actor, "executing", body, token=token, facts=facts)]',
        'return [*out, self._records.audited(actor, "executing", body, token=token)]',
        "test_a_command_that_was_carried_out_before_a_restart_is_not_carried_out_again",
    ),
    _proving(
        "what is not durable proves nothing",
        "if proof is None or not event.ok:",
        "if proof is None:",
        "test_what_is_not_durable_proves_nothing",
    ),
    _proving(
        "disabled is kept across restarts",
        "return Record(0, (), readiness.fact_of_disabled(self._asset.id, user))",
        "return Record(0, (), {})",
        "test_an_operator_disables_control_at_once_and_across_restarts",
    ),
    _ground(
        "log lost is LATCHED",
        "return latched if self.log_lost and not monitors else None",
        "return None",
        "test_a_log_that_was_lost_may_have_held_latched_or_estop",
    ),
    _ground(
        "a site that only monitors is written to never",
        "return latched if self.log_lost and not monitors else None",
        "return latched if self.log_lost else None",
        "test_a_log_that_was_lost_where_nobody_commands_writes_nothing",
    ),
    _asset(
        "log lost is a reason",
        "            log_lost=self.log_lost,\n",
        "            log_lost=False,\n",
        "test_a_log_that_was_lost_may_have_held_latched_or_estop",
    ),
    _ground(
        "a kept phase that is none is LATCHED",
        "            return latched\n        return kept",
        "            return None\n        return kept",
        "test_a_kept_phase_that_cannot_be_read_counts_as_latched",
    ),
    _fleet(
        "facts reach an asset that a reload begins anew",
        "                self._remember(effect)\n",
        "                pass\n",
        "test_latched_survives_a_reload_that_changes_the_asset",
    ),
)

_OFF = (
    _asset(
        "control is off while a reason stands",
        "on = not self.reasons or lent",
        "on = True",
        "test_a_safety_file_that_changes_turns_control_off_until_it_is_acknowledged",
    ),
    _proving(
        "the operator's no counts",
        "        self.done = replace(self.done, disabled_by=user)\n",
        "",
        "test_an_operator_disables_control_at_once_and_across_restarts",
    ),
    _asset(
        "the digest is acknowledged, no other",
        "        if digest != self.safety.digest:\n",
        "        if False:\n",
        "test_control_stays_off_until_the_file_is_acknowledged_and_both_tests_are_recorded",
    ),
    _asset(
        "a test borrows control only from missing tests",
        "lent = self.proving.lends and not set(self.reasons) - TESTS",
        "lent = self.proving.lends",
        "test_control_that_a_test_has_borrowed_goes_off_with_the_safety_file",
    ),
    _asset(
        "testing refuses the cloud",
        '(("COMMISSIONING",) if self.proving.running else ())',
        "()",
        "test_while_a_test_runs_the_cloud_gets_no_power_but_may_take_it_away",
    ),
    _intake_of_asset(
        "testing lets the cloud stop",
        "if lent and found.command.verb.withdraws:",
        "if False:",
        "test_while_a_test_runs_an_emergency_stop_from_the_cloud_stops",
    ),
    _asset(
        "testing lets nothing be approved",
        "out, why = self.intake.approve(id_, user, now, self._disabled)",
        "out, why = self.intake.approve(id_, user, now, self.reasons)",
        "test_while_a_test_runs_nothing_that_waits_can_be_approved",
    ),
    _intake_of_asset(
        "what waits counts for its own safety file",
        "if admitted.command.safety_digest != self._controller.safety.digest:",
        "if False:",
        "test_a_command_of_another_safety_file_cannot_be_approved_any_more",
    ),
    _proving(
        "a failed dead-man test voids the old one",
        "self.done = replace(self.done, deadman_test=None)",
        "self._commissioned = done",
        "test_a_dead_man_test_that_fails_voids_the_one_that_passed",
    ),
    _proving(
        "a failed sign test voids the old one",
        "self.done = replace(self.done, sign_test=None)",
        "self._commissioned = done",
        "test_a_sign_test_that_fails_voids_the_one_that_passed",
    ),
    _proving(
        "a test cut short voids nothing",
        'return stays or "fault" in figures',
        "return True",
        "test_a_test_that_is_cut_short_idles_and_voids_nothing",
    ),
    _trial(
        "a test that nobody follows ends",
        "if now.mono_s - self._watched_at > UNWATCHED_S:",
        "if False:",
        "test_a_test_that_is_cut_short_idles_and_voids_nothing",
    ),
)

_PERCENT = (
    _base(
        "the least base permits",
        "return Base(charge[0], discharge[0]), Base(",
        "return Base(charge[1], discharge[1]), Base(",
        "test_of_all_that_it_may_be_the_least_permits_and_the_largest_is_written",
    ),
    _base(
        "the largest base is written",
        "Base(charge[1], discharge[1])\n",
        "Base(charge[0], discharge[0])\n",
        "test_of_all_that_it_may_be_the_least_permits_and_the_largest_is_written",
    ),
    _base(
        "a base that is not more than 0 is unknown",
        "sides.append(span if span is not None and span[0] > 0 else (None, None))",
        "sides.append(span or (None, None))",
        "test_of_all_that_it_may_be_the_least_permits_and_the_largest_is_written",
    ),
    _base(
        "a base that fell counts for 10 s more",
        "BASE_S = 10.0",
        "BASE_S = 0.0",
        "test_the_largest_base_counts_for_two_critical_polls",
    ),
    _in("rules/interlocks", "rules/percent_base")(
        "an unknown base is an interlock",
        "if base_w is None or (base_w <= 0 and power_w * way > 0):",
        "if base_w is None:",
        "test_an_unknown_base_is_an_interlock_of_its_own",
    ),
    _in("rules/interlocks", "percent")(
        "an unknown base ends a dispatch and says so",
        "    yield from _base(facts, power_w)\n",
        "",
        "test_an_unknown_base_leads_to_idle_and_says_so",
    ),
    _restating(
        "what a base makes more than the limit is said anew at once",
        "return means_w is not None and abs(means_w) > now.ceiling.side_w(means_w) + 1e-6",
        "return False",
        "test_a_base_that_rises_above_the_limit_is_answered_with_a_first_reduction",
    ),
    _restating(
        "the watts that were asked for stay",
        "return replace(now, restate_at=now.written_at + max(STEP_S, gap_s))",
        "return now",
        "test_a_base_that_falls_is_followed_by_the_watts_that_were_asked_for",
    ),
    _restating(
        "within the tolerance nothing is said anew",
        "<= _slack_w(now):",
        "<= 0:",
        "test_a_base_within_the_tolerance_changes_nothing",
    ),
    _in("carrying", "percent")(
        "it is a first reduction",
        "or (order.anew and is_beyond(now))",
        "or False",
        "test_a_base_that_rises_above_the_limit_is_answered_with_a_first_reduction",
    ),
    _in("carrying", "percent")(
        "a setpoint that waits is planned anew",
        "waits = None if of == one.executor.now.of else self._outputs.waiting(id_)",
        "waits = None",
        "test_a_setpoint_that_waits_is_planned_anew_when_the_base_moves",
    ),
    _in("carrying", "percent")(
        "the watchdog waits for the echo of what is said anew",
        "ours.setpoint_w == order.power_w and not order.anew",
        "ours.setpoint_w == order.power_w",
        "test_what_is_read_before_the_new_percent_are_answered_accuses_nobody",
    ),
    _in("sight", "percent")(
        "an echo is in percent of what it was when it was written",
        "if self._ours is None:",
        "if True:",
        "test_our_own_echo_is_ours_whatever_the_base_is_by_then",
    ),
    _in("sight", "kept_reads")(
        "what was kept is read though the map of now does not",
        'return "critical" if kept - {""} <= self.view.points else "integrity"',
        'return "critical"',
        "test_zero_by_the_kept_rows_is_verified_in_time_by_their_own_echo",
    ),
    _in("carrying", "prepared")(
        "what ends before its setpoint is idled",
        "self.in_vain = self.in_vain or one.power",
        "self.in_vain = False",
        "test_a_control_before_the_setpoint_that_is_refused_leaves_nothing_in_force",
    ),
    _in("execution/writing", "prepared")(
        "what is prepared is seen before there is power",
        "if now.unseen:",
        "if False:",
        "test_no_setpoint_leaves_before_it_is_seen",
    ),
    _in("controller", "kinds")(
        "a heartbeat's value is chosen as it leaves",
        "output = self._count.leaving(output, self._map, self.state.terms)",
        "self._count.leaving(output, self._map, self.state.terms)",
        "test_of_a_heartbeat_that_only_toggles_the_rtac_sees_each_however_slowly_it_answers",
    ),
    _in("sight", "kept_base")(
        "an echo in percent is zero by its percent",
        "return self._unless_zero(self._percent_echo_w(now), now)",
        "return self._percent_echo_w(now)",
        "test_an_echo_of_some_percent_is_no_zero_because_what_it_was_of_once_was_little",
    ),
    _in("sight", "percent")(
        "what flaps moves a setpoint down once",
        "return self._bases.largest()",
        "return self.view.base(now)",
        "test_a_base_that_flaps_moves_the_setpoint_down_once",
    ),
)

_FIELD = (
    _present(
        "an event verifies nothing",
        "self._taken(names - old, asked_at, now)",
        "self._taken(names, asked_at, now)",
        "test_an_event_verifies_no_zero_and_asks_for_a_read",
    ),
    _present(
        "an event gives no authority back",
        "watchdog_events.LocalSeen) or not old & view.authority_points:",
        "watchdog_events.LocalSeen) or True:",
        "test_an_event_gives_no_authority_back_that_the_answer_to_a_write_denied",
    ),
    Mutant(
        "an event is undone by a read that was asked for after it came",
        "gateway/asset/possible.py",
        "for key, one in said.items() if one[1] > asked}:",
        "for key, one in said.items() if False}:",
        "tests/unit/asset/test_possible.py::"
        "test_an_event_is_possible_until_a_read_that_was_asked_for_after_it",
    ),
    Mutant(
        "what nobody asked for is as an event",
        "gateway/asset/possible.py",
        "if raw.event or math.isinf(asked):",
        "if raw.event:",
        "tests/unit/asset/test_possible.py::"
        "test_a_static_value_that_nobody_asked_for_is_as_an_event",
    ),
    _view(
        "an event that takes power away stays until a read",
        "return events if static is None else (static, *events)",
        "return (events or (static,))[-1:] if static else events",
        "test_no_event_undoes_what_an_event_took_away",
    ),
    _view(
        "what was not read for 15 s is not known",
        "if now.mono_s - read_at < CRITICAL_STALE_S:",
        "if True:",
        "test_what_was_not_read_for_15_s_is_stale_whatever_events_said_meanwhile",
    ),
    _view(
        "what no read ever said is not known",
        "quality=max(events[-1].quality, Quality.STALE))",
        "quality=events[-1].quality)",
        "test_what_no_read_ever_said_is_not_known_whatever_events_say",
    ),
    _view(
        "a fault bit stays until its word is read",
        "for raw in (*read, *possible.events(row.point)):",
        "for raw in ():",
        "test_a_fault_bit_of_a_word_stays_until_the_word_is_read",
    ),
    _view(
        "a meter's event leaves no more room than what was read",
        "return read.within(heard)",
        "return heard",
        "test_an_event_of_a_transformers_meter_leaves_no_more_room_than_what_was_read",
    ),
    _least(
        "of a limit's values the least counts",
        "return min(found, key=lambda one: trusted(one) or 0.0)",
        "return found[0]",
        "test_a_limit_is_the_least_of_its_read_and_its_events",
    ),
    _least(
        "one value that is not good makes a point unknown",
        "    if doubtful:\n        return doubtful[0]\n",
        "",
        "test_no_event_undoes_what_an_event_took_away",
    ),
    _measured(
        "power that follows was asked for since the write's answer",
        "self.view.power_read_w(now) if read else None",
        "self.view.power_read_w(now)",
        "test_an_event_shows_no_power_that_followed",
    ),
    _measured(
        "an event shows no power that followed",
        "self.view.power_read_w(now) if read else None",
        "self.view.power_w(now)",
        "test_an_event_shows_no_power_that_followed",
    ),
    _measured(
        "an event that comes while a read is awaited is read, too",
        "self._owes_read = self._owes_read or",
        "self._owes_read = now.mono_s >= self._asked_at + ASK_S and",
        "test_an_event_that_comes_while_a_read_is_awaited_is_read_a_second_later",
    ),
    _moves(
        "while zero is demanded a reload makes v no longer",
        "idle_verify_s=min(terms.idle_verify_s, before.idle_verify_s)",
        "idle_verify_s=terms.idle_verify_s",
        "test_a_reload_while_zero_is_demanded_makes_v_and_w_stricter_alone",
    ),
    _moves(
        "while zero is demanded a reload makes w no shorter",
        "deadman_s=max(terms.deadman_s, before.deadman_s)",
        "deadman_s=terms.deadman_s",
        "test_a_reload_while_zero_is_demanded_makes_v_and_w_stricter_alone",
    ),
    _moves(
        "a smaller v counts from the demand on",
        "less_s = before.idle_verify_s - terms.idle_verify_s",
        "less_s = 0.0",
        "test_a_v_that_is_over_when_it_shrinks_latches_at_once",
    ),
    _in("controller", "obligation")(
        "while something is in force the larger w holds",
        "deadman_s=max(found.deadman_s, owed.deadman_s)",
        "deadman_s=found.deadman_s",
        "test_while_in_force_v_and_w_are_the_stricter_of_old_and_new",
    ),
    _in("controller", "obligation")(
        "while something is in force the smaller v holds",
        "idle_verify_s=min(found.idle_verify_s, owed.verify_s)",
        "idle_verify_s=found.idle_verify_s",
        "test_while_in_force_v_and_w_are_the_stricter_of_old_and_new",
    ),
    _sight(
        "local is told to the watchdog",
        "for seen in self.authority(facts) if names & view.authority_points else ():",
        "for seen in ():",
        "test_the_local_switch_idles_and_on_the_way_back_idle_is_first",
    ),
    _sight(
        "a restart is told to the watchdog",
        'if "DEVICE_RESTART" in event.names - before:',
        "if False:",
        "test_a_restart_of_the_outstation_idles_and_resumes_nothing",
    ),
    _view(
        "one point that says local is enough",
        "return False if any(self._denies(role, facts) for role in _AUTHORITIES) else None",
        "return None",
        "test_one_that_says_local_is_enough_and_what_is_not_known_gives_no_authority",
    ),
    _view(
        "IIN1.5 is local",
        "        if IIN_LOCAL in facts.iin:\n            return False\n",
        "",
        "test_local_control_in_iin_takes_the_authority_whatever_the_points_say",
    ),
    _view(
        "an echo is known only if all of it is",
        "if not values or any(value is None for value in values):",
        "if not values:",
        "test_an_echo_is_in_watts_and_unknown_unless_all_of_it_is_good",
    ),
)

_ALL_ASSETS = (
    _fleet(
        "control that a reload begins knows that the session is up",
        "                for event in monitors[name].present(now):\n"
        "                    out += begun.handle(event, now)\n",
        "",
        "test_a_safety_file_that_comes_with_a_reload_idles_the_battery_whose_session_is_up",
    ),
    Mutant(
        "and which authority it has",
        "gateway/asset/monitor.py",
        "return (*indicated, read, events.SessionUp(self.asset, now))",
        "return (events.SessionUp(self.asset, now),)",
        "tests/unit/asset/test_monitor.py::"
        "test_whoever_looks_on_later_is_told_what_the_session_has_said",
    ),
    Mutant(
        "a faulty safety file at a reload ends nothing",
        "gateway/core.py",
        "if new is not None and new.safety_faults and self._site.safety is not None:",
        "if False:",
        "tests/unit/control/test_fleet.py::"
        "test_a_faulty_safety_file_at_a_reload_ends_no_dispatch_and_the_status_names_the_line",
    ),
    _fleet(
        "an asset that is added counts as the others do",
        "beside = next(iter([*kept.values(), *self._controls.values()]), None)",
        "beside = next(iter(self._controls.values()), None)",
        "test_an_asset_that_a_reload_adds_counts_the_challenges_of_the_others",
    ),
    _fleet(
        "a reload waits for an asset under power",
        "if control.unsettled and not same:",
        "if False:",
        "test_a_reload_that_changes_an_asset_waits_until_it_is_idle",
    ),
    _fleet(
        "control looks through the monitor that is fed",
        "if control is not None and same and control.monitor is monitors[name]:",
        "if control is not None and same:",
        "test_an_asset_that_a_reload_changed_can_be_controlled_afterwards",
    ),
    _fleet(
        "a stop reaches an asset that is added",
        "out += begun.stop(now) if self._stopping else []",
        "out += []",
        "test_a_stop_reaches_an_asset_that_a_reload_adds_meanwhile",
    ),
    _fleet(
        "a flood of answers is not verified",
        "if safety is None or self._allowed.beyond(now.mono_s):",
        "if safety is None:",
        "test_a_flood_of_answers_is_not_verified_and_a_genuine_one_counts_a_second_later",
    ),
)

_ASKING = (
    Mutant(
        "an act is told done when it is durable",
        "gateway/control/answers.py",
        "        if not records:\n",
        "        if True:\n",
        "tests/unit/control/test_operator.py::"
        "test_an_act_is_told_done_when_its_records_are_durable_and_not_before",
    ),
    Mutant(
        "an act that is not durable is not told done",
        "gateway/control/answers.py",
        "            if not ok:\n",
        "            if False:\n",
        "tests/unit/control/test_operator.py::"
        "test_an_act_whose_record_the_disk_does_not_take_is_told_so_with_the_cause",
    ),
    Mutant(
        "no disk is waited for longer than whoever asked",
        "gateway/control/answers.py",
        "late = [one for one in self._held if now.mono_s >= one.until_s]",
        "late: list[HeldAnswer] = []",
        "tests/unit/control/test_operator.py::"
        "test_a_disk_that_does_not_answer_is_not_waited_for_longer_than_whoever_asked",
    ),
    Mutant(
        "what a person decides on is all that was signed",
        "gateway/control/intake.py",
        "**one.admitted.command.params(),",
        '"powerW": one.admitted.command.power_w,',
        "tests/unit/control/test_operator.py::"
        "test_what_waits_is_shown_with_every_parameter_that_was_signed",
    ),
    Mutant(
        "a stop is never inverted",
        "gateway/points/switch_checks.py",
        'if row.operation == "pulse" and row.invert:',
        "if False:",
        "tests/integration/site/test_map_fixtures.py::test_a_map_reports_its_faults_where_they_are",
    ),
    Mutant(
        "a lease that a reload shortens is shorter at once",
        "gateway/control/controller.py",
        "expires_at=lease.expires_at + less_s)",
        "expires_at=lease.expires_at)",
        "tests/unit/control/test_asset_control.py::"
        "test_a_lease_that_a_reload_makes_shorter_is_shorter_at_once_and_a_longer_one_later",
    ),
    Mutant(
        "a reload does not forget an end of the window",
        "gateway/control/sight.py",
        "        self.window = replace(self.window, empty=before.empty, full=before.full)\n",
        "",
        "tests/unit/control/test_fleet.py::test_a_reload_does_not_forget_that_the_battery_is_empty",
    ),
    _fleet(
        "what waits is told of its end by a reload",
        "                out += control.end(now)\n",
        "                pass\n",
        "test_what_waits_for_an_asset_that_a_reload_begins_anew_is_told_of_its_end",
    ),
    _intake(
        "one signature prolongs nothing that takes two",
        "if command.ramp_w_per_s is not None and self._is_small_after_large(command):",
        "if False:",
        "test_one_signature_does_not_keep_in_force_what_takes_two_to_order",
    ),
    _intake(
        "the site's own rate holds",
        "self._rate.held_to(limits.command_interval_s, limits.commands_per_5_min)",
        "self._rate",
        "test_a_site_may_take_more_or_fewer_power_commands",
    ),
    _intake(
        "power commands are counted",
        "            self._rate = self._rate.take(now.mono_s)\n",
        "            pass\n",
        "test_at_most_one_power_command_in_2_s",
    ),
    Mutant(
        "a repeated command does not fill the audit log",
        "gateway/control/intake.py",
        "if self._rows_allowed.beyond(now.mono_s):",
        "if False:",
        "tests/unit/control/test_fleet.py::"
        "test_a_command_that_a_broker_repeats_for_ever_does_not_fill_the_audit_log",
    ),
    _operator(
        "only an operator acts",
        "if not event.operator and not looks:",
        "if False:",
        "test_only_an_operator_acts",
    ),
    _operator(
        "a hold has its range",
        "if hold_s is not None and not _is_hold(hold_s):",
        "if False:",
        "test_a_hold_out_of_range_is_refused",
    ),
)

_TOGETHER = (
    _in("sight", "sharing")(
        "who shares is held to what the others leave",
        "return found if self.share is None else found.within(self.share(now))",
        "return found",
        "test_the_second_battery_gets_what_the_first_one_leaves",
    ),
    _commitment(
        "what is not durable yet is granted",
        "for power_w in (*begun.values(), *waiting.values()):",
        "for power_w in (*begun.values(),):",
        "test_what_is_granted_and_not_durable_yet_is_taken_off",
    ),
    _commitment(
        "a setpoint that may be in force counts",
        "most = mark.burden.beside(ordered).beside(measured)",
        "most = ordered.beside(measured)",
        "test_a_battery_that_cannot_be_ordered_counts_with_its_last_setpoint",
    ),
    _commitment(
        "measured power counts",
        "most = mark.burden.beside(ordered).beside(measured)",
        "most = mark.burden.beside(ordered)",
        "test_measured_power_counts_where_it_is_more_than_the_setpoint",
    ),
    _commitment(
        "what the last run left counts",
        "most = most.beside(largest)",
        "pass",
        "test_nothing_is_granted_beside_a_battery_of_which_nothing_was_ever_seen",
    ),
    _commitment(
        "a battery that runs away is taken off",
        "        sure = ordered.beside(measured)\n",
        "        pass\n",
        "test_a_battery_that_runs_away_is_taken_off_at_once",
    ),
    _in("execution/plan", "execution/plan")(
        "the point that carries power is zeroed first",
        "by_charge = carries_w < 0 if power_w == 0 else (power_w > 0) is not same",
        "by_charge = (power_w >= 0) is not same",
        "test_of_a_split_zero_the_point_that_carries_power_is_written_first_and_both_are",
    ),
    _in("execution/job", "execution/execute")(
        "ramp points carry the site's ramp",
        "points_map, ramp_w_per_s=site, of=of,",
        "points_map, ramp_w_per_s=ramp, of=of,",
        "test_ramp_points_carry_the_sites_ramp_and_a_slower_one_is_stepped",
    ),
    _in("commitment")(
        "a setpoint is in force until another is seen",
        "if held.settled and not underway:",
        "if True:",
        "test_a_setpoint_may_be_in_force_until_another_one_is_seen",
    ),
    _in("commitment")(
        "a setpoint is in force until power is gone",
        "if verified and state.phase in _STILL and not state.in_force:",
        "if verified and state.phase in _STILL:",
        "test_nothing_is_in_force_once_echo_and_power_are_zero",
    ),
    _shared(
        "opposite signs do not net",
        "return cls(max(0.0, -power_w), max(0.0, power_w))",
        "return cls(-power_w, power_w)",
        "test_opposite_signs_do_not_net",
    ),
    _shared(
        "a ramp does not go on into what may still be in force",
        "min(ordered_w, limit_w - ours_w)",
        "min(ordered_w, limit_w - sure_w)",
        "test_a_ramp_does_not_go_on_into_what_may_still_be_in_force",
    ),
    _shared(
        "the youngest gives way",
        "older = (one.number, index) < (mine.number, at)",
        "older = True",
        "test_where_the_limit_shrinks_the_youngest_command_gives_way_first",
    ),
    _sharing(
        "a battery of unknown power is not counted as others",
        "found = found.beside(self.seen.last)",
        "pass",
        "test_what_others_took_before_a_battery_was_lost_still_counts",
    ),
    _in("fleet", "sharing")(
        "a battery that left the files counts",
        '        if any(key.endswith("/in-force") for key in record.facts):\n',
        "        if False:\n",
        "test_a_battery_that_left_the_files_while_in_force_still_counts",
    ),
    _sharing(
        "a meter that is not read leaves nothing",
        'if metered and all(one.view.value("poi_power", now) is None for one in metered):',
        "if False:",
        "test_without_a_reading_of_the_meter_there_is_no_headroom",
    ),
)

_PROVED = (
    _in("proving", "asset_control")(
        "no sign test before the dead-man was proved",
        "if kind is Kind.SIGN and any(reason in DEADMAN for reason in reasons):",
        "if False:",
        "test_control_stays_off_until_the_file_is_acknowledged_and_both_tests_are_recorded",
    ),
    _proving(
        "a test that finds the RTAC too slow voids the one that passed",
        'return stays or "fault" in figures',
        "return stays",
        "test_an_rtac_that_is_too_slow_fails_the_test_and_what_was_proven",
    ),
    _proving(
        "a test asks anew whether zero needs a heartbeat",
        "controller.measured(replace(self.found, zero_needs_beat=None))",
        "pass",
        "test_an_rtac_that_began_to_refuse_zero_without_a_heartbeat_is_found_out_too",
    ),
    _proving(
        "where a new connection takes longer, zero drops nothing",
        "connect_s is None or connect_s <= self._asset.dnp3.response_timeout_s",
        "True",
        "test_a_zero_drops_the_connection_only_where_a_new_one_takes_no_longer_than_it_waits",
    ),
    _in("rules/readiness", "asset_control")(
        "control is off where the RTAC was seen to be too slow",
        "if slowness(standing.points_map, answer_s, safety.settings.watchdog.rtac_deadman_s):",
        "if False:",
        "test_control_is_off_where_a_safety_file_asks_more_of_the_rtac_than_was_measured",
    ),
    _procedure(
        "an RTAC that is too slow gets no power",
        "    if why := _slow(test, view):\n        return _failed(test, why)\n    if test.plan",
        "    if test.plan",
        "test_an_rtac_that_answers_too_slowly_gets_no_power",
    ),
    _procedure(
        "an answer that was slow under power counts",
        "    if why := _slow(test, view):\n        return _failed(test, why)\n    finished",
        "    finished",
        "test_an_answer_that_was_slow_while_power_flowed_counts_as_well",
    ),
    _procedure(
        "a heartbeat in between tells nothing of whether zero needs one",
        "if not view.grouped and (early or view.beats != test.beats):",
        "if not view.grouped and early:",
        "test_a_heartbeat_between_trip_and_zero_leaves_open_whether_zero_needs_one",
    ),
    _procedure(
        "nor does one that may count still",
        "if not view.grouped and (early or view.beats != test.beats):",
        "if not view.grouped and view.beats != test.beats:",
        "test_a_zero_that_comes_early_passes_with_a_word_about_it",
    ),
    _procedure(
        "zero is tried without a heartbeat after the trip",
        "return after, (TellOperator(line), unfed, Idle())",
        "return after, (TellOperator(line), Idle())",
        "test_no_heartbeat_goes_before_the_zero_that_follows_the_trip",
    ),
    _in("watchdog/obligation", "obligation")(
        "whether zero needs a heartbeat is known where both agree",
        "return now if now is kept else None",
        "return now",
        "test_whether_zero_needs_a_heartbeat_is_known_where_file_and_commissioning_agree",
    ),
    _in("watchdog/force", "watchdog/force")(
        "a zero that needs no heartbeat gets none",
        "if not able or unfed or state.grouped or state.ended:",
        "if not able or state.grouped or state.ended:",
        "test_a_zero_that_needs_no_heartbeat_is_grouped_at_an_operators_word_alone",
    ),
    _in("watchdog/force", "watchdog/force")(
        "but at an operator's word it is tried with one",
        "deadman_failed=False, worded=True\n",
        "deadman_failed=False, worded=False\n",
        "test_a_zero_that_needs_no_heartbeat_is_grouped_at_an_operators_word_alone",
    ),
)

_OWED = (
    _in("ground", "obligation")(
        "a kept yield is one after a start",
        "return kept if kept.phase in LASTING or kept.phase is Phase.LOCAL else latched",
        "return kept if kept.phase in LASTING else latched",
        "test_a_kept_yield_is_a_yield_after_the_start_and_not_latched",
    ),
    _in("asset_control", "obligation")(
        "site.toml may be put back by a reload",
        "        if self.controller.state.blocked:\n",
        "        if False:\n",
        "test_a_reload_that_puts_the_endpoint_back_brings_the_zero",
    ),
    _recorded(
        "a command without power forgets no setpoint",
        "setpoint_w or (None if before is None else before.setpoint_w)",
        "setpoint_w",
        "test_a_command_without_power_leaves_the_last_signed_setpoint_in_the_fact",
    ),
    _recorded(
        "a group goes when it is kept, not when it is over",
        "self._grouping = token if used else 0",
        "self._grouping = token",
        "test_after_a_reset_no_heartbeat_goes_before_a_zero_that_nobody_refused",
    ),
    _in("commands/permit", "obligation")(
        "with control off the cloud may take away what is in force",
        "not (verb.withdraws and terms.in_force)",
        "True",
        "test_the_cloud_may_take_power_away_with_control_off_while_something_is_in_force",
    ),
    _in("commands/permit", "commands/permit")(
        "what takes power away that is in force needs no approval",
        "    if found is None and not takes_away:\n",
        "    if found is None:\n",
        "test_while_something_is_in_force_what_takes_it_away_needs_neither_approval_nor_phase",
    ),
    _in("commands/permit", "obligation")(
        "while something is in force the cloud's idle is taken in every phase",
        "if verb.withdraws and terms.in_force:",
        "if verb.withdraws and phase is Phase.MONITOR and terms.in_force:",
        "test_the_clouds_idle_is_taken_where_none_may_be_written_yet_and_waits",
    ),
    _in("execution/powerless", "obligation")(
        "an idle that waits is not told as done",
        "(self._waiting if phase in _SILENT else self._idling)[id_] = actor",
        "self._idling[id_] = actor",
        "test_the_clouds_idle_is_taken_where_none_may_be_written_yet_and_waits",
    ),
    _in("execution/powerless", "obligation")(
        "an idle that waited and of which nothing was written is no success",
        "if state.phase not in _SILENT and state.demand is None:",
        "if False:",
        "test_an_idle_that_waits_does_not_succeed_where_nothing_was_written",
    ),
    _in("operator", "obligation")(
        "who orders estop in LOCAL is told",
        "beware=lambda one: stop_waits_for(one.controller.state)",
        'beware=lambda _: ""',
        "test_who_orders_estop_in_local_is_told_that_the_stop_is_owed",
    ),
)

MUTANTS = (
    *_TOGETHER,
    *_OWED,
    *_TOLD,
    *_LISTED,
    *_PROVED,
    *_WAY_OUT,
    *_LEAVING,
    *_AGREEING,
    *_DURABLE,
    *_OFF,
    *_FIELD,
    *_PERCENT,
    *_ALL_ASSETS,
    *_ASKING,
)
