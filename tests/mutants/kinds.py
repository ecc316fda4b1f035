"""Whole kinds of fault put back: each rule stands in several places, and goes in all of them."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_CONTROL = "gateway/control/"
_DNP3 = "gateway/field/dnp3/"
_KINDS = "tests/unit/control/test_kinds.py::test_"


MUTANTS = (
    Mutant(
        "kind 1: obligation derived from permission",
        _CONTROL + "watchdog/machine.py",
        "enabled or held.in_force",
        "enabled",
        _KINDS + "what_is_in_force_is_zeroed_though_control_is_off",
        (
            (
                _CONTROL + "watchdog/machine.py",
                "owed or (state.phase is Phase.MONITOR and state.in_force)",
                "owed",
            ),
            (
                _CONTROL + "watchdog/field_events.py",
                "off = state.phase is Phase.MONITOR and state.in_force and not state.local",
                "off = False",
            ),
            (
                _CONTROL + "fleet.py",
                "elif site.safety is not None or self._is_owed(name):",
                "elif site.safety is not None:",
            ),
        ),
    ),
    Mutant(
        "kind 2: fixed priority, heartbeats before everything",
        _DNP3 + "schedule.py",
        "if now.waiting and _operates(state, now, kind):",
        "if now.waiting:",
        _KINDS + "at_the_slowest_answers_neither_heartbeats_nor_critical_reads_starve",
        (
            (
                _CONTROL + "execution/outputs.py",
                "return Rank.HEARTBEAT + 2 * self._beaten",
                "return Rank.HEARTBEAT",
            ),
        ),
    ),
    Mutant(
        "kind 2: fixed priority, every reduction before every read",
        _CONTROL + "controller.py",
        "first = self._outputs.goes_first(output, beat_first=beat_first)",
        "first = output.reduces or (beat_first and output.rank is Rank.HEARTBEAT)",
        _KINDS + "less_power_waits_for_one_request_and_reads_and_heartbeats_have_their_turn",
    ),
    Mutant(
        "kind 2: a smaller split setpoint begins with what carries none",
        _CONTROL + "controller.py",
        "only_w=self._mark.only_w,",
        "only_w=0.0,",
        _KINDS + "less_power_waits_for_one_request_and_reads_and_heartbeats_have_their_turn",
    ),
    Mutant(
        "kind 2: fixed priority, reads before heartbeats",
        _DNP3 + "schedule.py",
        'return now.first or state.turn != "operate" or',
        "return now.first or",
        "tests/unit/field/dnp3/test_supervise.py",
    ),
    Mutant(
        "kind 3: a licence is judged at the hand-over only",
        _DNP3 + "operation.py",
        "if self.purpose is not Purpose.POWER or self.over or (self.started and not self._sbo):",
        "if True:",
        _KINDS + "power_that_was_handed_over_does_not_leave_behind_a_demand_for_zero",
        (
            (
                _DNP3 + "operation.py",
                "elif self.purpose is Purpose.POWER and self._licence.demanded():",
                "elif False:",
            ),
            (_DNP3 + "operation.py", "        if late_s > 0:\n", "        if False:\n"),
            (_DNP3 + "session.py", "        if self._demanded:\n", "        if False:\n"),
        ),
    ),
    Mutant(
        "kind 4: waits without an end",
        _DNP3 + "schedule.py",
        "return min(max(state.busy_s, now.heard_s) + silence_s(plan), state.busy_s + REQUEST_S)",
        "return math.inf",
        _KINDS + "zero_arrives_though_a_read_never_ends_and_the_clock_is_never_set",
        (
            (
                _DNP3 + "precedence.py",
                "    if now.s < _late_at(state, now, plan):\n",
                "    if True:\n",
            ),
            (_DNP3 + "schedule.py", "now.s >= state.time_at_s + REPEAT_S", "True"),
            (
                _DNP3 + "schedule.py",
                "return max(state.check_at_s, now.heard_s + plan.link_check_s)",
                "return state.check_at_s",
            ),
        ),
    ),
    Mutant(
        "kind 5: arrival taken for time, an old event settles and accuses",
        _CONTROL + "sight.py",
        "self._taken(names - old, asked_at, now)",
        "self._taken(names, now.mono_s, now)",
        "tests/unit/control/test_sight.py",
        (
            (
                _CONTROL + "sight.py",
                "watchdog_events.LocalSeen) or not old & view.authority_points:",
                "watchdog_events.LocalSeen) or True:",
            ),
        ),
    ),
    Mutant(
        "kind 6: measured power is looked at once",
        _CONTROL + "watchdog/force.py",
        "settling.good_at is None or event.at_s - settling.good_at < terms.apart_s:",
        "False:",
        _KINDS + "power_that_passes_through_zero_is_not_gone",
        (
            (
                _CONTROL + "watchdog/force.py",
                "if settling.good_at is None and math.isfinite(event.at_s):",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "kind 7: what is shared is judged for each asset",
        _CONTROL + "sight.py",
        "return found if self.share is None else found.within(self.share(now))",
        "return found",
        _KINDS + "what_two_batteries_share_is_judged_for_both",
        (
            (
                _CONTROL + "controller.py",
                "self._sight.share, self.view.alone = share, alone",
                "self._sight.share, self.view.alone = share, True",
            ),
        ),
    ),
    Mutant(
        "kind 8: the core checks signatures for whoever sends many",
        _CONTROL + "fleet.py",
        "if safety is None or self._allowed.beyond(now.mono_s):",
        "if safety is None:",
        "tests/unit/control/test_fleet.py::"
        "test_a_flood_of_answers_is_not_verified_and_a_genuine_one_counts_a_second_later",
    ),
    Mutant(
        "kind 8: an expression that may take for ever",
        "gateway/points/parse.py",
        '            faults.append(Fault(where, f\'"{form}" {error}\', "M21"))\n',
        "            pass\n",
        "tests/integration/site/test_map_fixtures.py::test_a_map_reports_its_faults_where_they_are",
        (
            (
                "gateway/points/parse.py",
                '        return [Fault(item.at("regex"), f\'"{regex}" {error}\', "M21")]\n',
                "        return []\n",
            ),
        ),
    ),
    Mutant(
        "kind 8: callers without a limit",
        "gateway/local/server.py",
        "if not self.callers.acquire(blocking=False):",
        "if False:",
        "tests/integration/daemon/test_life.py::"
        "test_too_many_callers_are_told_so_and_cost_no_thread",
        (
            (
                "gateway/local/server.py",
                "threading.BoundedSemaphore(MAX_CALLERS)",
                "threading.Semaphore(MAX_CALLERS)",
            ),
        ),
    ),
    Mutant(
        "kind 9: said before it is durable, asked without showing",
        _CONTROL + "answers.py",
        "        if not records:\n",
        "        if True:\n",
        "tests/unit/control/test_operator.py",
        (
            (_CONTROL + "answers.py", "            if not ok:\n", "            if False:\n"),
            (
                _CONTROL + "intake.py",
                "**one.admitted.command.params(),",
                '"powerW": one.admitted.command.power_w,',
            ),
        ),
    ),
    Mutant(
        "kind 10: a stop is lost with one unanswered SELECT",
        _CONTROL + "execution/frames.py",
        "    if kind is WriteKind.STOP and outcome.stage is Stage.SELECT:\n",
        "    if False:\n",
        _KINDS + "a_stop_whose_select_was_not_answered_is_sent_again",
    ),
    Mutant(
        "kind 10: an inverted pulse does nothing",
        "gateway/points/switch_checks.py",
        'if row.operation == "pulse" and row.invert:',
        "if False:",
        "tests/integration/site/test_map_fixtures.py::test_a_map_reports_its_faults_where_they_are",
    ),
    Mutant(
        "kind 10: a heartbeat's range is not looked at",
        _CONTROL + "watchdog/force.py",
        "return state.beat + 1 if first <= state.beat < last else first",
        "return state.beat + 1",
        "tests/unit/control/watchdog/test_phases.py::"
        "test_the_rtac_heartbeat_begins_anew_at_the_last_value_that_the_map_allows",
        (
            (
                _CONTROL + "rules/readiness.py",
                "return (1, BEATS) if row is None or row.is_flag else beats(row)",
                "return (1, BEATS)",
            ),
        ),
    ),
    Mutant(
        "kind 10: bound D is promised that the map has not",
        _CONTROL + "rules/zero_path.py",
        "        reversion=has_reversion(points_map),\n",
        "        reversion=True,\n",
        "tests/unit/control/rules/test_zero_path.py",
    ),
    Mutant(
        "kind 11: a reload ends what was in force, or forgets what is there",
        _CONTROL + "fleet.py",
        "                for event in monitors[name].present(now):\n"
        "                    out += begun.handle(event, now)\n",
        "",
        "tests/unit/control/test_fleet.py",
        (
            (
                "gateway/core.py",
                "if new is not None and new.safety_faults and self._site.safety is not None:",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "kind 12: one DNP3 thread for all",
        "gateway/app.py",
        "        engine = Engine(post=self._post, asset=asset.id)\n",
        "        engine = next(iter(self._engines.values()), None) or Engine(post=self._post)\n",
        "tests/integration/daemon/test_life.py::"
        "test_a_reload_adds_and_removes_a_battery_and_leaves_the_others_alone",
    ),
    Mutant(
        "kind 12: a commit is waited for, whatever is demanded",
        "gateway/field/intake.py",
        "                self._begun.end()\n",
        "                pass\n",
        "tests/unit/field/test_intake.py",
        (
            (
                "gateway/field/intake.py",
                "            if self._hurried:\n",
                "            if False:\n",
            ),
        ),
    ),
)
