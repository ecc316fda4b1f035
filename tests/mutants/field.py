"""The rules by which a DNP3 session lets zero go first, and power not at all."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_ROOM = "gateway/field/dnp3"
_PURE = "tests/unit/field/dnp3/test_supervise.py::"
_REAL = "tests/integration/field/test_zero_first.py::"

_LACKS = "tests/unit/field/dnp3/test_critical.py::"

MUTANTS = (
    Mutant(
        "a request that is refused is halved",
        f"{_ROOM}/critical.py",
        "        if sought:\n",
        "        if False:\n",
        _LACKS + "test_one_point_that_is_missing_keeps_the_others_from_nothing_after_a_few_reads",
    ),
    Mutant(
        "a point that is left out is tried again",
        f"{_ROOM}/critical.py",
        "sorted(self.missing) if self._begun % AGAIN == 0 else []",
        "[]",
        _LACKS + "test_a_point_that_is_there_again_is_read_again_at_a_new_connection_and_by_itself",
    ),
    Mutant(
        "no more than a few points are left out",
        f"{_ROOM}/critical.py",
        "if left and len(self.missing) < MOST:",
        "if left:",
        _LACKS + "test_with_more_missing_than_a_few_the_rest_is_told_as_refused",
    ),
    Mutant(
        "a function that the outstation lacks is no missing point",
        f"{_ROOM}/critical.py",
        'if set(why.split(", ")) <= _SOUGHT',
        "if why",
        _LACKS + "test_a_function_that_the_outstation_lacks_is_no_missing_point",
    ),
    Mutant(
        "who lacks a point is told of",
        "gateway/field/dnp3/session.py",
        "missing = self._critical.missing if read else frozenset()",
        "missing: frozenset[str] = frozenset()",
        "tests/integration/field/test_session.py::"
        "test_a_point_that_the_outstation_lacks_makes_no_other_one_of_its_request_stale",
    ),
    Mutant(
        "power under way is stopped when zero is demanded",
        f"{_ROOM}/precedence.py",
        "    if now.s >= now.stop_s:\n",
        "    if False:\n",
        _PURE + "test_power_that_can_still_be_stopped_is_stopped_when_zero_is_demanded",
    ),
    Mutant(
        "what waits does not leave once the site has the authority",
        f"{_ROOM}/session.py",
        "            self._take_back(lambda one: one.purpose is not Purpose.BEAT, LOCAL)\n",
        "            pass\n",
        _REAL
        + "test_a_stop_that_waits_behind_a_read_does_not_leave_once_the_site_has_the_authority",
    ),
    Mutant(
        "no control follows the one that was on the wire when the site took the authority",
        f"{_ROOM}/operation.py",
        "elif self.purpose is not Purpose.BEAT and self._licence.local():",
        "elif False:",
        _REAL
        + "test_a_request_of_two_controls_ends_where_the_site_takes_the_authority_between_them",
    ),
    Mutant(
        "the field is told that the site has the authority",
        "gateway/control/fleet.py",
        "out[:0] = [HandsOff(name, name in self._local) for name in changed]",
        "pass",
        "tests/unit/control/test_fleet.py::"
        "test_that_the_site_has_the_authority_is_published_before_anything_else_of_that_instant",
    ),
    Mutant(
        "power under way is stopped when its time is over",
        f"{_ROOM}/operation.py",
        "return math.inf if self.started and heard else self.by",
        "return math.inf",
        _REAL + "test_power_whose_select_is_not_answered_before_its_time_is_over_never_operates",
    ),
    Mutant(
        "what is only selected counts as under way",
        f"{_ROOM}/operation.py",
        "or (self.started and not self._sbo)",
        "or self.started",
        _REAL + "test_power_whose_select_is_not_answered_never_operates_after_zero_is_demanded",
    ),
    Mutant(
        "a zero that waited r drops the connection",
        f"{_ROOM}/precedence.py",
        "    if now.s < _late_at(state, now, plan):\n",
        "    if True:\n",
        _PURE + "test_a_zero_that_waited_r_drops_the_connection_and_is_the_first_on_the_next_one",
    ),
    Mutant(
        "two drops a demand",
        f"{_ROOM}/precedence.py",
        "DEMAND_DROPS = 2",
        "DEMAND_DROPS = 3",
        _PURE + "test_two_drops_a_demand_are_all_and_then_waiting_goes_on_and_is_told",
    ),
    Mutant(
        "a drop that stopped power is none of a zero's",
        "gateway/field/dnp3/connection.py",
        "demand_drops=state.demand_drops + waited,",
        "demand_drops=state.demand_drops + 1,",
        _PURE + "test_a_drop_that_stopped_power_leaves_the_zero_both_of_its_own",
    ),
    Mutant(
        "one demand has one count of drops",
        "gateway/field/dnp3/precedence.py",
        "0 if event.on and not state.demanded else state.demand_drops",
        "0 if event.on else state.demand_drops",
        _PURE + "test_what_is_told_again_of_one_demand_begins_no_new_count_of_drops",
    ),
    Mutant(
        "a zero that repeats an accepted one drops nothing",
        "gateway/control/asset_control.py",
        "return self.proving.drops and not accepted",
        "return self.proving.drops",
        "tests/unit/control/test_fleet.py"
        "::test_a_zero_that_repeats_an_accepted_one_drops_no_connection",
    ),
    Mutant(
        "three drops in ten minutes",
        f"{_ROOM}/precedence.py",
        "LATE_DROPS, LATE_S = 3, 600.0",
        "LATE_DROPS, LATE_S = 4, 600.0",
        _PURE + "test_three_drops_in_ten_minutes_are_all_however_many_demands_there_were",
    ),
    Mutant(
        "nothing is dropped where a new connection takes longer",
        f"{_ROOM}/precedence.py",
        "if state.demand_drops >= DEMAND_DROPS or not state.drops_for_zero:",
        "if state.demand_drops >= DEMAND_DROPS:",
        _PURE + "test_a_zero_drops_nothing_where_a_new_connection_is_known_to_take_longer",
    ),
    Mutant(
        "no connection is renewed while zero is owed",
        f"{_ROOM}/supervise.py",
        " or state.demanded or now.urgent_s < math.inf:",
        ":",
        _PURE + "test_no_connection_is_renewed_while_zero_is_owed_or_before_the_session_is_up",
    ),
    Mutant(
        "commissioning takes none of zero's drops",
        f"{_ROOM}/connection.py",
        "return drop(state, now, orders, cause, waited=False)",
        "return drop(state, now, orders, cause, waited=True)",
        _PURE + "test_a_renewed_connection_is_timed_until_its_first_request_is_answered",
    ),
    Mutant(
        "SELECT and OPERATE are timed each",
        f"{_ROOM}/operation.py",
        "took_s = ended.slowest_s if self._sbo else ended.took_s",
        "took_s = ended.took_s",
        "tests/integration/field/test_answer_times.py::"
        "test_select_and_operate_are_timed_each_and_the_slower_one_counts",
    ),
    Mutant(
        "of a critical read the slowest request counts",
        f"{_ROOM}/session.py",
        "self._answer_s = max(self._answer_s, ended.took_s)",
        "self._answer_s += ended.took_s",
        "tests/integration/field/test_answer_times.py::"
        "test_the_slowest_request_of_a_critical_read_is_told_with_its_end",
    ),
    Mutant(
        "zero waits for the connection that is made again",
        f"{_ROOM}/supervise.py",
        "orders.append(w.FailOperations(cause, keep=state.dropped))",
        "orders.append(w.FailOperations(cause))",
        _PURE + "test_what_is_no_zero_is_handed_back_while_a_dropped_connection_is_made_again",
    ),
    Mutant(
        "a drop is no session that is down",
        f"{_ROOM}/connection.py",
        "        told=state.told,\n",
        "        told=False,\n",
        _PURE
        + "test_the_core_is_not_told_that_a_session_is_down_whose_connection_was_dropped_for_zero",
    ),
    Mutant(
        "a request has an end",
        f"{_ROOM}/schedule.py",
        "silence_s(plan), state.busy_s + REQUEST_S)",
        "silence_s(plan), math.inf)",
        _PURE + "test_a_request_whose_fragments_go_on_coming_ends_after_300_s_with_its_connection",
    ),
    Mutant(
        "what is too late is given back at once",
        f"{_ROOM}/session.py",
        "        self._give_back_late()\n",
        "",
        _REAL + "test_a_heartbeat_behind_a_long_read_is_given_back_when_its_time_is_over",
    ),
    Mutant(
        "no read goes between the controls of a zero",
        f"{_ROOM}/schedule.py",
        "HOLD_S = 0.05",
        "HOLD_S = 0.0",
        _PURE + "test_no_read_goes_between_the_controls_of_a_zero_and_one_goes_right_behind_them",
    ),
    Mutant(
        "no heartbeat goes between a zero and the read that verifies it",
        f"{_ROOM}/schedule.py",
        "if state.demanded and not state.read and",
        "if False and",
        _PURE + "test_no_heartbeat_goes_between_a_zero_and_the_read_that_verifies_it",
    ),
    Mutant(
        "heartbeats leave a new connection's startup poll its turn",
        f"{_ROOM}/schedule.py",
        "(kind is None and not starting)",
        "(kind is None)",
        _PURE + "test_one_heartbeat_goes_before_the_startup_poll_and_no_more",
    ),
    Mutant(
        "a critical read that has begun is read to its end",
        f"{_ROOM}/schedule.py",
        '_CRITICAL = ("rest", "critical")',
        '_CRITICAL = ("critical", "rest")',
        _PURE
        + "test_a_critical_read_of_several_requests_comes_to_its_end_however_often_it_is_wanted",
    ),
    Mutant(
        "reads that wait go round",
        f"{_ROOM}/schedule.py",
        "REQUESTS.index(state.other) + 1 if state.other else 0",
        "0",
        _PURE
        + "test_neither_critical_reads_nor_endless_events_nor_zeros_keep_another_read_waiting",
    ),
    Mutant(
        "a link is checked only after silence",
        f"{_ROOM}/schedule.py",
        "return max(state.check_at_s, now.heard_s + plan.link_check_s)",
        "return state.check_at_s",
        _PURE + "test_a_link_is_checked_only_after_silence",
    ),
    Mutant(
        "the outstation's clock is set at a pace",
        f"{_ROOM}/schedule.py",
        "now.s >= state.time_at_s + REPEAT_S",
        "True",
        _PURE + "test_time_is_set_when_asked_for_and_every_10_seconds_at_most",
    ),
    Mutant(
        "an indication that went without a connection is told",
        f"{_ROOM}/supervise.py",
        "((event.iin ^ state.iin) | (event.iin ^ told_iin)) & ~FLEETING",
        "(event.iin ^ state.iin) & ~FLEETING",
        _PURE + "test_an_indication_that_went_while_there_was_no_connection_is_told_as_gone",
    ),
    Mutant(
        "zero and stop say that they are",
        "gateway/control/execution/outputs.py",
        "Rank.IDLE: Purpose.ZERO",
        "Rank.IDLE: Purpose.POWER",
        "tests/unit/control/execution/test_outputs.py"
        "::test_an_output_says_what_it_does_to_the_power",
    ),
    Mutant(
        "the demand is published before any output",
        "gateway/control/fleet.py",
        "out[:0] = [one for _, one in sorted((told",
        "out += [one for _, one in sorted((told",
        "tests/unit/control/test_fleet.py"
        "::test_a_demand_for_zero_is_published_before_the_zero_and_for_its_battery_alone",
    ),
    Mutant(
        "a heartbeat that waits gives way to less power",
        "gateway/field/dnp3/session.py",
        "        if self._giving:\n",
        "        if False:\n",
        "tests/integration/field/test_zero_first.py"
        "::test_a_heartbeat_that_waits_behind_a_read_gives_way_and_less_power_is_next",
    ),
    Mutant(
        "from licence to frame is measured",
        "gateway/field/dnp3/operation.py",
        "self._handed_s = max(self._handed_s, at_s - self._judged_s)",
        "pass",
        "tests/integration/field/test_controls.py"
        "::test_how_long_it_took_from_a_controls_licence_to_its_frame_is_told",
    ),
    Mutant(
        "a heartbeat that goes before reads is withheld, too",
        "gateway/field/dnp3/session.py",
        "(withheld or not one.first)",
        "not one.first",
        "tests/integration/field/test_zero_first.py"
        "::test_a_heartbeat_that_goes_before_reads_does_not_leave_once_it_is_withheld",
    ),
    Mutant(
        "a heartbeat gives way to less power alone",
        "gateway/control/execution/outputs.py",
        "overdue or not any(one.reduces for one in self._waiting)",
        "overdue or not self._waiting",
        "tests/unit/control/execution/test_outputs.py"
        "::test_a_heartbeat_that_is_out_gives_way_to_less_power_once_and_to_nothing_else",
    ),
    Mutant(
        "power that is only selected is stopped once the site has the authority",
        "gateway/field/dnp3/operation.py",
        "if self._licence.demanded() or self._licence.local():",
        "if self._licence.demanded():",
        "tests/integration/field/test_zero_first.py::"
        "test_power_whose_select_is_not_answered_never_operates_once_the_site_has_the_authority",
    ),
)
