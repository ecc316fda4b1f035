"""The watchdog's safety rules; the first six are those that section 7 names."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_LEASE = "gateway/control/watchdog/lease.py"
_MACHINE = "gateway/control/watchdog/machine.py"
_FIELD = "gateway/control/watchdog/field_events.py"
_MOVES = "gateway/control/watchdog/moves.py"
_ORDERS = "gateway/control/watchdog/orders.py"
_OUTPUTS = "gateway/control/watchdog/due.py"
_FORCE = "gateway/control/watchdog/force.py"
_STATE = "gateway/control/watchdog/state.py"
_SITE = "tests/fixtures/watchdog_site.py"


def _lease(rule: str, old: str, new: str, test: str) -> Mutant:
    return Mutant(rule, _LEASE, old, new, f"tests/unit/control/watchdog/test_lease.py::{test}")


def _phase(rule: str, file: str, old: str, new: str, test: str) -> Mutant:
    return Mutant(rule, file, old, new, f"tests/unit/control/watchdog/test_phases.py::{test}")


def _force(rule: str, file: str, old: str, new: str, test: str) -> Mutant:
    return Mutant(rule, file, old, new, f"tests/unit/control/watchdog/test_force.py::{test}")


def _bound(rule: str, file: str, old: str, new: str, test: str) -> Mutant:
    return Mutant(rule, file, old, new, f"tests/unit/control/watchdog/test_bounds.py::{test}")


def _invariant(rule: str, file: str, old: str, new: str, test: str) -> Mutant:
    return Mutant(rule, file, old, new, f"tests/unit/control/watchdog/test_invariants.py::{test}")


_OBLIGATION = (
    _force(
        "what is owed does not follow from what is allowed",
        _MACHINE,
        "enabled or held.in_force",
        "enabled",
        "test_a_start_with_control_off_still_writes_the_zero_that_is_owed",
    ),
    _force(
        "a zero behind which another one waits orders none",
        "gateway/control/watchdog/field_events.py",
        "newest = event.token == demand.newest",
        "newest = True",
        "test_a_zero_whose_repetition_is_under_way_is_repeated_by_that_one_alone",
    ),
    _force(
        "a start is silent",
        _STATE,
        "        elif self.silent:\n            return math.inf\n",
        "",
        "test_a_crash_loop_does_not_feed_the_dead_man_while_zero_is_refused",
    ),
    _force(
        "local at a start is silent for W and more",
        _STATE,
        "self.silent_since + self.terms.deadman_s + self.terms.silence_s",
        "self.silent_since",
        "test_local_at_a_start_is_silent_for_w_and_5_s",
    ),
    _force(
        "remote is silent until zero is accepted",
        _FIELD,
        "        state = replace(state, silent=True, silent_since=at)\n",
        "",
        "test_on_the_way_back_from_local_it_is_silent_until_zero_is_accepted",
    ),
    _force(
        "zero, beat, zero goes once a demand",
        _FORCE,
        "if not able or unfed or state.grouped or state.ended:",
        "if not able or unfed or state.ended:",
        "test_a_group_that_did_not_help_is_not_used_again_before_an_operators_word",
    ),
    _force(
        "zero, beat, zero is there",
        _FIELD,
        "return force.refused(state, effects) if refused else state",
        "return state",
        "test_zero_beat_zero_goes_as_one_once_a_demand_and_is_kept_before",
    ),
    _force(
        "power must be gone, too",
        _FORCE,
        "    if not gone:\n",
        "    if False:\n",
        "test_zero_in_the_echo_and_power_that_flows_is_told_and_nobody_arms",
    ),
    _force(
        "what is in force is forgotten on the second read",
        _FORCE,
        "settling.good_at is None or event.at_s - settling.good_at < terms.apart_s:",
        "settling.good_at is None:",
        "test_what_is_in_force_is_forgotten_when_power_is_gone_and_not_with_the_echo",
    ),
    _force(
        "nobody arms before that is on the disk",
        _ORDERS,
        '    if state.in_force:\n        return "that zero',
        '    if False:\n        return "that zero',
        "test_until_that_is_on_the_disk_nobody_arms",
    ),
    _force(
        "an offset of the meter does not end the heartbeats",
        _FORCE,
        "power_w * last_w > 0 and abs(power_w) > abs(last_w) / 2",
        "abs(power_w) > 0",
        "test_a_meters_offset_does_not_end_the_heartbeats",
    ),
    _force(
        "nothing is written by other rows",
        _STATE,
        "            and not self.blocked\n",
        "",
        "test_where_the_rows_are_others_nothing_is_written_until_an_operator_chooses",
    ),
    _force(
        "a stop in local is owed and not written",
        _OUTPUTS,
        "or state.stop_waits:",
        "or not state.session_up:",
        "test_a_stop_in_local_is_owed_and_follows_on_remote",
    ),
    _force(
        "what ended before its first frame is zeroed",
        _FORCE,
        "if state.in_force and state.phase is Phase.ARMED:",
        "if False:",
        "test_a_dispatch_that_ends_before_its_first_frame_is_zeroed_all_the_same",
    ),
)
_NAMED = (
    _bound(
        "named: the lease runs from the challenge's issue",
        _LEASE,
        "expires_at = issued_at + self.lease_s",
        "expires_at = at + self.lease_s",
        "test_bound_a_a_delayed_answer_is_worth_only_what_is_left_of_its_lease",
    ),
    _phase(
        "named: the heartbeat is withheld in LATCHED",
        _STATE,
        "BEATING = frozenset({Phase.IDLING,",
        "BEATING = frozenset({Phase.LATCHED, Phase.IDLING,",
        "test_latched_stays_when_zero_is_verified_at_last",
    ),
    _bound(
        "named: the RTAC's dead-man (in the model)",
        _SITE,
        "if self.has_deadman and at - self.heartbeat_at >= self.deadman_s:",
        "if False:",
        "test_bound_b_a_dead_gateway_is_answered_by_the_dead_man_of_the_rtac",
    ),
    _phase(
        "named: idle on boot",
        _MOVES,
        "    return to_phase(state, Phase.IDLING, cause, effects)",
        "    return to_rest(state, cause, effects)",
        "test_the_first_output_after_a_start_is_idle",
    ),
    _lease(
        "no challenge can be told in advance",
        "number = self.newest + 1 + self._jump()",
        "number = self.newest + 1",
        "test_nobody_without_the_boots_secret_can_tell_the_next_challenge",
    ),
    _lease(
        "named: the session nonce",
        "if session != self.session:",
        "if False:",
        "test_an_answer_from_another_boot_is_worth_nothing",
    ),
    _phase(
        "named: idle on return to remote",
        _FIELD,
        "        return moves.to_idling(state, at, Cause.REMOTE, effects)\n"
        "    if state.phase in LASTING",
        "        return moves.to_rest(state, Cause.REMOTE, effects)\n    if state.phase in LASTING",
        "test_return_to_remote_writes_idle_first_because_the_rtac_may_resume",
    ),
)

_LEASES = (
    _lease(
        "an older answer is worth nothing",
        "if challenge <= self.answered:",
        "if False:",
        "test_an_answer_to_an_older_challenge_neither_extends_nor_shortens",
    ),
    _lease(
        "an answer to nothing is worth nothing",
        "        if issued_at is None:\n            return self\n",
        "        issued_at = at if issued_at is None else issued_at\n",
        "test_an_answer_to_a_challenge_never_issued_is_worth_nothing",
    ),
    _lease(
        "an answer a lease old is late",
        "        if at >= expires_at:\n            return self\n",
        "",
        "test_an_answer_older_than_one_lease_is_late",
    ),
    _lease(
        "a gap breaks the lease",
        "held_since = self.held_since if self.live(at) else at",
        "held_since = min(self.held_since, at)",
        "test_a_gap_begins_a_new_unbroken_lease",
    ),
    _lease(
        "a lease ends",
        "return at < self.expires_at",
        "return self.answered > 0",
        "test_the_lease_runs_from_the_issue_of_the_challenge_not_from_its_answer",
    ),
    _lease(
        "a lease that ended counts for nothing",
        "return at - self.held_since if self.live(at) else 0.0",
        "return at - self.held_since",
        "test_a_gap_begins_a_new_unbroken_lease",
    ),
    _lease(
        "a command quotes a challenge of this boot",
        "return session == self.session and any(",
        "return any(",
        "test_a_command_may_quote_a_challenge_of_this_boot_no_older_than_one_lease",
    ),
    _lease(
        "a command quotes a young challenge",
        "number == challenge and at - issued_at <= self.lease_s",
        "number == challenge",
        "test_a_command_may_quote_a_challenge_of_this_boot_no_older_than_one_lease",
    ),
)

_TIME = (
    _phase(
        "a lost session is BLIND",
        _MACHINE,
        "if lost and state.phase in LOSABLE:",
        "if False:",
        "test_a_loss_of_10_s_is_blind_and_writes_nothing",
    ),
    _phase(
        "a loss below 10 s is not BLIND",
        _MACHINE,
        " and at - state.down_since >= terms.blind_after_s",
        "",
        "test_a_loss_below_10_s_with_equal_echo_no_restart_and_a_live_lease_keeps_active",
    ),
    _phase(
        "the lease's end idles",
        _MACHINE,
        "if state.phase in POWERED and not state.lease.live(at):",
        "if False:",
        "test_a_lease_that_expires_leads_to_idling",
    ),
    _phase(
        "deadlines are judged before the event",
        _MACHINE,
        "    state = _elapsed(state, at, effects)\n"
        "    state = force.failed(_happened(state, event, at, effects), at, effects)\n",
        "    state = force.failed(_happened(state, event, at, effects), at, effects)\n"
        "    state = _elapsed(state, at, effects)\n",
        "test_a_step_that_comes_with_the_end_of_the_duration_is_too_late",
    ),
    _phase(
        "a dispatch ends",
        _MACHINE,
        "if state.dispatch is not None and at >= state.dispatch.ends_at:",
        "if False:",
        "test_a_dispatch_ends_with_its_duration",
    ),
    _phase(
        "a foreign echo ends the dispatch",
        _MACHINE,
        "if state.astray_since is not None and at - state.astray_since >= terms.astray_s:",
        "if False:",
        "test_an_echo_that_moves_away_for_3_s_is_yielded_to",
    ),
    _phase(
        "V ends in LATCHED",
        _MACHINE,
        "if state.phase is Phase.IDLING and demand is not None and at >= demand.latch_at:",
        "if False:",
        "test_idling_becomes_latched_after_v_and_is_kept",
    ),
    _invariant(
        "a tick is wanted for the lease's end",
        _OUTPUTS,
        "        times.append(state.lease.expires_at)\n",
        "        pass\n",
        "test_a_tick_is_wanted_at_every_deadline",
    ),
    _invariant(
        "a tick is wanted for the dispatch's end",
        _OUTPUTS,
        "        times.append(state.dispatch.ends_at)\n",
        "",
        "test_a_tick_is_wanted_at_every_deadline",
    ),
    _invariant(
        "a tick is wanted for the end of V",
        _OUTPUTS,
        "            times.append(state.demand.latch_at)\n",
        "            pass\n",
        "test_a_tick_is_wanted_at_every_deadline",
    ),
    _invariant(
        "a tick is wanted for BLIND",
        _OUTPUTS,
        "        times.append(state.down_since + state.terms.blind_after_s)\n",
        "        pass\n",
        "test_a_tick_is_wanted_at_every_deadline",
    ),
)

_EVENTS = (
    _phase(
        "a restart idles",
        _MACHINE,
        "return moves.to_idling(state, at, Cause.RESTART, effects) if owed else state",
        "return state",
        "test_a_restart_of_the_outstation_leads_to_idling",
    ),
    _phase(
        "an interlock idles",
        _MACHINE,
        "if reasons and state.phase in POWERED:",
        "if False:",
        "test_an_interlock_that_opens_leads_to_idling",
    ),
    _phase(
        "an unverified dispatch idles",
        _MACHINE,
        "return moves.to_idling(state, at, Cause.FAILED, effects, detail=detail)",
        "return state",
        "test_a_dispatch_that_could_not_be_verified_is_idled",
    ),
    _phase(
        "SIGTERM idles",
        _MACHINE,
        "            if state.phase in POWERED:\n"
        "                return moves.to_idling(state, at, Cause.STOPPING, effects)\n",
        "",
        "test_sigterm_idles_and_verifies_before_the_exit",
    ),
    _phase(
        "the exit waits for the verified zero",
        _OUTPUTS,
        " and not _waits(state):\n        effects.append(MayExit",
        ":\n        effects.append(MayExit",
        "test_sigterm_idles_and_verifies_before_the_exit",
    ),
    _phase(
        "control off idles",
        _MACHINE,
        "        return moves.to_idling(state, at, Cause.DISABLED, effects)\n",
        "        return moves.to_rest(state, Cause.DISABLED, effects)\n",
        "test_control_that_is_disabled_idles_first_and_then_monitors",
    ),
    _phase(
        "control off is MONITOR",
        _MOVES,
        "Phase.IDLE if state.enabled or state.stopping else Phase.MONITOR",
        "Phase.IDLE",
        "test_control_that_is_disabled_idles_first_and_then_monitors",
    ),
    _phase(
        "control off at start is MONITOR",
        _MACHINE,
        "(Phase.STARTUP if enabled or held.in_force else Phase.MONITOR)",
        "Phase.STARTUP",
        "test_control_that_is_off_writes_nothing_not_even_a_heartbeat",
    ),
    _phase(
        "the kept phase is restored",
        _MACHINE,
        "phase = kept.phase or (",
        "phase = (",
        "test_latched_survives_a_reboot_and_its_first_output_is_idle",
    ),
)

_FIELDS = (
    _phase(
        "LATCHED and ESTOP idle when a session comes",
        _FIELD,
        "    if state.phase in OWING:\n"
        "        return moves.to_idling(state, at, Cause.SESSION, effects)\n",
        "    if state.phase is Phase.IDLING:\n"
        "        return moves.to_idling(state, at, Cause.SESSION, effects)\n",
        "test_latched_survives_a_reboot_and_its_first_output_is_idle",
    ),
    _phase(
        "an echo must be read after a short loss",
        _FIELD,
        "if read_since and state.echo_w is not None",
        "if state.echo_w is not None",
        "test_a_short_loss_without_an_echo_read_since_idles",
    ),
    _phase(
        "the echo must be equal after a short loss",
        _FIELD,
        " and state.is_near(state.echo_w, wanted_w):\n            return state",
        ":\n            return state",
        "test_a_short_loss_with_another_echo_idles",
    ),
    _phase(
        "an idle under way is repeated after a short loss",
        _FIELD,
        "    if state.phase in OWING:\n"
        "        return moves.to_idling(state, at, Cause.SESSION, effects)\n",
        "",
        "test_a_zero_accepted_before_a_loss_does_not_verify_after_it",
    ),
    _phase(
        "an answer that says local does not stop V",
        _FIELD,
        "return local(state, at, effects, told=True)",
        "return local(state, at, effects)",
        "test_zero_refused_as_local_by_an_rtac_that_reads_remote_is_latched_and_not_fed",
    ),
    _phase(
        "a switch at local halts V, whatever a write said before",
        _FIELD,
        "return replace(state if told else moves.halted(state, at), yielded=False)",
        "return replace(state, yielded=False)",
        "test_a_switch_at_local_halts_v_though_a_write_said_local_before",
    ),
    _phase(
        "local stops writing",
        _FIELD,
        "        return moves.to_local(state, at, Cause.LOCAL, effects, told=told)\n"
        "    return state\n\n\ndef remote",
        "        return state\n    return state\n\n\ndef remote",
        "test_local_stops_all_writes_but_the_heartbeat",
    ),
    _phase(
        "LATCHED writes idle on return to remote",
        _FIELD,
        "if state.phase in LASTING and was_local:",
        "if False:",
        "test_latched_writes_idle_again_when_the_authority_returns",
    ),
    _phase(
        "an overtaken echo does not count",
        _FIELD,
        "    if event.at_s < state.echo_at:\n        return state\n",
        "",
        "test_an_echo_that_is_overtaken_by_a_newer_one_does_not_count",
    ),
    _phase(
        "zero must be accepted before it is verified",
        _FIELD,
        "accepted_at is None or event.at_s < accepted_at",
        "(accepted_at is not None and event.at_s < accepted_at)",
        "test_idle_needs_a_zero_accepted_after_the_demand_and_then_an_echo_of_zero",
    ),
    _phase(
        "the echo must be read after the zero",
        _FIELD,
        "accepted_at is None or event.at_s < accepted_at",
        "accepted_at is None",
        "test_idle_needs_a_zero_accepted_after_the_demand_and_then_an_echo_of_zero",
    ),
    _phase(
        "the echo must read zero",
        _FIELD,
        "    if not zero:  # that zero did not do",
        "    if False:  # that zero did not do",
        "test_idle_needs_a_zero_accepted_after_the_demand_and_then_an_echo_of_zero",
    ),
    _phase(
        "a zero seen while local verifies nothing",
        _FIELD,
        "if state.local or accepted_at is None or event",
        "if accepted_at is None or event",
        "test_latched_is_not_verified_by_the_zero_that_the_site_shows_while_local",
    ),
    _phase(
        "a zero of an older demand verifies nothing",
        _FIELD,
        " and event.token >= demand.first:",
        ":",
        "test_the_answer_to_a_zero_of_an_older_demand_verifies_nothing",
    ),
    _phase(
        "LATCHED idles again when power returns",
        _FIELD,
        "return state if zero else moves.to_idling(state, at, Cause.RESUMED, effects)",
        "return state",
        "test_latched_stays_when_zero_is_verified_at_last",
    ),
    _phase(
        "IDLE idles again when our setpoint returns",
        _FORCE,
        "    return moves.to_latched(state, effects, Cause.RESUMED)\n",
        "    return state\n",
        "test_idle_latches_when_the_field_resumes_our_old_setpoint",
    ),
    _phase(
        "after yielding idle comes first",
        _FIELD,
        "lets_go=zero or ours",
        "lets_go=False",
        "test_when_the_other_master_lets_go_idle_comes_first",
    ),
    _phase(
        "a bad or unknown outcome idles",
        _FIELD,
        "    cause = Cause.UNKNOWN_OUTCOME if unknown else Cause.REFUSED\n"
        "    return moves.to_idling(state, at, cause, effects)\n",
        "    return state\n",
        "test_a_power_write_of_unknown_or_bad_outcome_is_idled_and_never_resent",
    ),
    _phase(
        "status 7 and 13 mean local",
        _FIELD,
        "    if event.result is WriteResult.LOCAL:\n"
        "        return local(state, at, effects, told=True)\n",
        "",
        "test_status_7_or_13_means_local",
    ),
    _phase(
        "an accepted zero leaves the reads the time that they may take",
        _FIELD,
        "at + terms.idle_repeat_s + 2 * terms.response_s)",
        "at + terms.idle_repeat_s)",
        "test_the_read_that_verifies_goes_before_the_next_zero_however_long_that_one_took",
    ),
    _phase(
        "a read that shows no zero lets the next one go",
        _FIELD,
        "write_at=min(demand.write_at, again_at)",
        "write_at=demand.write_at",
        "test_a_read_that_shows_no_zero_behind_an_accepted_one_lets_the_next_go_after_2_s",
    ),
    _phase(
        "a slow zero leaves the reads their turn",
        _FIELD,
        "max(demand.write_at, at + terms.idle_pause_s) if",
        "demand.write_at if",
        "test_a_zero_that_takes_longer_than_its_repetition_leaves_the_reads_their_turn",
    ),
    _phase(
        "a refused zero is retried at once",
        _FIELD,
        "max(demand.write_at, at + terms.idle_pause_s) if demand.retried else at",
        "max(demand.write_at, at + terms.idle_pause_s)",
        "test_a_refused_idle_is_repeated_at_once_and_then_every_2_s_without_limit",
    ),
    _phase(
        "only a stop that never left is sent again",
        _FIELD,
        "    if unknown or result is WriteResult.ACCEPTED:",
        "    if result is WriteResult.ACCEPTED:",
        "test_a_stop_that_never_left_the_box_is_tried_again_and_one_of_unknown_outcome_is_not",
    ),
)

_PHASES = (
    _phase(
        "LATCHED and ESTOP are not left by a demand",
        _MOVES,
        "phase = state.phase if state.phase in LASTING else Phase.IDLING",
        "phase = Phase.IDLING",
        "test_latched_outlasts_local_blindness_arming_and_leases",
    ),
    _phase(
        "LATCHED is kept",
        _MOVES,
        "    effects.append(KeepPhase(Phase.LATCHED, stop_owed=False))\n",
        "",
        "test_idling_becomes_latched_after_v_and_is_kept",
    ),
    _phase(
        "a dispatch dies with its phase",
        _MOVES,
        "        effects.append(Abort(state.dispatch.command_id, cause))\n",
        "        pass\n",
        "test_a_dispatch_ends_with_its_duration",
    ),
    _bound(
        "V runs on while BLIND",
        _MOVES,
        "    demand = replace(_demand(state, at), write_at=math.inf)\n",
        "    demand = None\n",
        "test_bound_c_holds_though_the_session_comes_and_goes_while_zero_is_refused",
    ),
    _phase(
        "V is not begun anew after LOCAL",
        _MOVES,
        "overdue_at = at + old.left_s if math.isinf(old.overdue_at) else old.overdue_at",
        "overdue_at = at + verify_s if math.isinf(old.overdue_at) else old.overdue_at",
        "test_a_zero_overdue_before_local_is_overdue_after_it_and_no_heartbeat_is_written",
    ),
    _phase(
        "a heartbeat begins anew where its range ends",
        _FORCE,
        "return state.beat + 1 if first <= state.beat < last else first",
        "return state.beat + 1",
        "test_the_rtac_heartbeat_begins_anew_at_the_last_value_that_the_map_allows",
    ),
    _phase(
        "LATCHED is not put off by a chattering switch",
        _MOVES,
        "    elif state.phase is Phase.LOCAL and old is not None and old.latch_left_s > 0.0:",
        "    elif state.phase is Phase.MONITOR and old is not None:",
        "test_a_switch_that_chatters_after_a_reset_does_not_stretch_v_either",
    ),
    _bound(
        "heartbeats are withheld when V is over",
        _OUTPUTS,
        "return beat_at if beat_at < overdue_at else math.inf",
        "return beat_at",
        "test_bound_c_holds_though_the_session_comes_and_goes_while_zero_is_refused",
    ),
    _bound(
        "heartbeats are withheld while yielding",
        _STATE,
        "not self.session_up or self.yielded or self.ended:",
        "not self.session_up or self.ended:",
        "test_a_wrong_echo_that_looks_like_another_master_cannot_keep_our_setpoint_in_force",
    ),
    _bound(
        "heartbeats are held for the dead-man test",
        _STATE,
        "return max(self.beat_at, self.held_until, quiet_until)",
        "return max(self.beat_at, quiet_until)",
        "test_a_dead_man_test_withholds_heartbeats_with_the_lease_intact",
    ),
    _phase(
        "an echoed heartbeat stands still with the RTAC",
        _FORCE,
        "return state.der_beat",
        "return state.der_beat if state.der_beat is None else state.der_beat + state.beat",
        "test_an_echoed_heartbeat_is_the_rtacs_own_and_silent_when_that_stands_still",
    ),
    _phase(
        "an echoed heartbeat that never left is sent anew",
        _FORCE,
        "state = replace(state, beat=NO_BEAT)",
        "pass",
        "test_a_heartbeat_that_never_left_is_sent_anew_at_once_but_at_a_pace",
    ),
    _phase(
        "heartbeats that never leave are sent anew at a pace",
        _FORCE,
        "    if state.beat_at - at <= pause_s:\n",
        "    if False:\n",
        "test_a_heartbeat_that_never_left_is_sent_anew_at_once_but_at_a_pace",
    ),
    _phase(
        "LATCHED and ESTOP write nothing while local",
        _STATE,
        "            and not self.local\n            and not self.blocked",
        "            and not self.blocked",
        "test_latched_outlasts_local_blindness_arming_and_leases",
    ),
    _phase(
        "idle is written in IDLING",
        _STATE,
        "OWING = frozenset({Phase.IDLING, Phase.LATCHED, Phase.ESTOP})",
        "OWING = frozenset({Phase.LATCHED, Phase.ESTOP})",
        "test_the_first_output_after_a_start_is_idle",
    ),
)

_READY = (
    _phase(
        "power needs a running gateway",
        _STATE,
        "        if self.stopping:\n",
        "        if False:\n",
        "test_a_stopping_gateway_is_not_armed",
    ),
    _phase(
        "power needs a session",
        _STATE,
        '        if not self.session_up:\n            return Cause.SESSION, "no session"\n',
        "",
        "test_a_step_is_not_written_while_the_session_is_down",
    ),
    _invariant(
        "power needs a live lease",
        _STATE,
        '        if not self.lease.live(at):\n            return Cause.LEASE, "no live lease"\n',
        "",
        "test_an_executor_is_told_between_two_ticks_that_the_lease_is_over",
    ),
    _phase(
        "power needs the interlocks",
        _STATE,
        "        if self.interlocks:\n",
        "        if False:\n",
        "test_arming_needs_all_interlocks",
    ),
    _phase(
        "power needs ARMED or ACTIVE",
        _STATE,
        "        if self.phase not in POWERED:\n            return Cause.STATE",
        "        if False:\n            return Cause.STATE",
        "test_a_dispatch_needs_arming",
    ),
    _phase(
        "interlocks are open until they are known",
        _STATE,
        'interlocks: tuple[str, ...] = ("interlocks not yet known",)',
        "interlocks: tuple[str, ...] = ()",
        "test_interlocks_and_limits_that_were_never_told_forbid_power",
    ),
)

_ORDERED = (
    _phase(
        "arming needs IDLE",
        _ORDERS,
        "if state.phase is not Phase.IDLE:",
        "if False:",
        "test_arming_needs_idle",
    ),
    _phase(
        "arming needs an unbroken lease",
        _ORDERS,
        "if held_s < wanted_s:",
        "if False:",
        "test_a_lease_that_comes_back_never_arms_by_itself_and_waits_30_s_again",
    ),
    _phase(
        "arming needs an echo of zero",
        _ORDERS,
        "if state.echo_w is None or not state.is_zero(state.echo_w):",
        "if False:",
        "test_arming_needs_an_echo_of_zero",
    ),
    _phase(
        "idle is refused where nothing may be written",
        _ORDERS,
        "if why := idle_refusal(state):",
        'if why := "":',
        "test_an_idle_order_is_refused_where_nothing_may_be_written",
    ),
    _phase(
        "an expired command does nothing",
        _ORDERS,
        "if at >= event.start_by_s:",
        "if False:",
        "test_a_command_that_expired_on_its_way_is_refused",
    ),
    _invariant(
        "a command begins once",
        _ORDERS,
        "if any(event.command_id == command_id for command_id, _ in state.spent):",
        "if False:",
        "test_i4_a_command_id_begins_at_most_once",
    ),
    _phase(
        "a duration is more than zero",
        _ORDERS,
        "if not 0.0 < event.duration_s <=",
        "if not event.duration_s <=",
        "test_a_duration_outside_its_range_is_refused",
    ),
    _phase(
        "a duration has a maximum",
        _ORDERS,
        "if not 0.0 < event.duration_s <= state.terms.max_dispatch_s:",
        "if not 0.0 < event.duration_s:",
        "test_a_duration_outside_its_range_is_refused",
    ),
    _phase(
        "a setpoint is inside the limits",
        _ORDERS,
        " or state.clamped_w(setpoint_w) != setpoint_w:",
        ":",
        "test_a_setpoint_outside_the_limits_is_never_written",
    ),
    _phase(
        "a setpoint is a finite number",
        _ORDERS,
        "if not math.isfinite(setpoint_w) or",
        "if",
        "test_a_setpoint_that_is_no_number_is_never_written_even_without_limits",
    ),
    _phase(
        "a step belongs to the dispatch in force",
        _ORDERS,
        "if state.dispatch is None or state.dispatch.command_id != event.command_id:",
        "if state.dispatch is None:",
        "test_a_newer_dispatch_supersedes_the_one_in_force",
    ),
    _phase(
        "limits that shrink clamp the setpoint",
        _OUTPUTS,
        "if clamped_w != dispatch.setpoint_w:",
        "if False:",
        "test_limits_that_shrink_while_active_clamp_the_setpoint",
    ),
    _phase(
        "estop writes nothing in MONITOR",
        _ORDERS,
        "if state.phase is Phase.MONITOR and not state.in_force:",
        "if False:",
        "test_estop_in_monitor_writes_nothing",
    ),
    _phase(
        "the stop is sent once",
        _ORDERS,
        "    if state.phase is Phase.ESTOP:\n        return state\n",
        "",
        "test_estop_stops_once_then_idles_and_is_kept",
    ),
    _phase(
        "ESTOP is kept before the stop is sent",
        _OUTPUTS,
        "        effects.append(KeepPhase(Phase.ESTOP, stop_owed=False, stop_unknown=True))\n",
        "        pass\n",
        "test_estop_survives_a_reboot_and_is_not_sent_twice",
    ),
    _phase(
        "a stop without a session is kept as owed",
        _ORDERS,
        "        effects.append(KeepPhase(Phase.ESTOP, stop_owed=True))\n",
        "        pass\n",
        "test_a_stop_ordered_without_a_session_is_sent_when_there_is_one_even_after_a_reboot",
    ),
    _bound(
        "a reset does not feed the dead-man before zero is verified",
        _FORCE,
        "return moves.arrive(state, at,",
        "return moves.arrive(replace(state, demand=None), at,",
        "test_bound_c_holds_though_an_operator_resets_while_zero_is_still_refused",
    ),
    _phase(
        "a reset leads to idle first",
        _FORCE,
        "return moves.arrive(state, at, Cause.ORDERED, effects)",
        "return moves.to_rest(state, Cause.ORDERED, effects)",
        "test_an_operators_reset_leads_from_latched_to_idling_and_is_kept",
    ),
    _bound(
        "the reversion timer is refreshed only where there is one",
        _OUTPUTS,
        "if state.terms.reversion and at >= dispatch.refresh_at:",
        "if at >= dispatch.refresh_at:",
        "test_the_reversion_timer_is_not_refreshed_where_the_map_has_none",
    ),
)

MUTANTS = (
    *_NAMED,
    *_OBLIGATION,
    *_LEASES,
    *_TIME,
    *_EVENTS,
    *_FIELDS,
    *_PHASES,
    *_READY,
    *_ORDERED,
)
