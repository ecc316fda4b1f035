"""What a start finds, what silence ends, and what a heartbeat may bring back: section 7."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_FIELD = "gateway/control/watchdog/field_events.py"
_FORCE = "gateway/control/watchdog/force.py"
_STATE = "gateway/control/watchdog/state.py"
_DUE = "gateway/control/watchdog/due.py"
_KEPT = "gateway/control/force_record.py"
_VIEW = "gateway/control/rules/field_view.py"


def _start(rule: str, file: str, old: str, new: str, test: str) -> Mutant:
    return Mutant(rule, file, old, new, f"tests/unit/control/watchdog/test_starts.py::{test}")


def _silence(rule: str, file: str, old: str, new: str, test: str) -> Mutant:
    return Mutant(rule, file, old, new, f"tests/unit/control/watchdog/test_silence.py::{test}")


def _restart(rule: str, file: str, old: str, new: str, test: str) -> Mutant:
    return Mutant(rule, file, old, new, f"tests/unit/control/test_restarts.py::{test}")


MUTANTS: tuple[Mutant, ...] = (
    _start(
        "at a start a refusal by another master is a yield",
        _FIELD,
        "if result is WriteResult.NOT_OURS and state.meets_another and",
        "if False and",
        "test_another_masters_setpoint_at_a_start_is_yielded_to_and_kept",
    ),
    _start(
        "at a start another's authority is a yield",
        _FIELD,
        "yields = elsewhere and state.meets_another",
        "yields = False",
        "test_what_cannot_be_ours_is_yielded_to_though_the_echo_came_first",
    ),
    _start(
        "in force, what lies within what was signed may be ours",
        _STATE,
        "        return not self.may_be_ours(known_w)\n",
        "        return True\n",
        "test_what_may_be_ours_or_a_step_on_the_way_is_not_yielded_to",
    ),
    _start(
        "where nobody knows what was signed, any echo may be ours",
        _STATE,
        "        if self.span_w is None:\n            return True\n",
        "        if self.span_w is None:\n            return False\n",
        "test_where_nobody_knows_what_was_signed_any_echo_may_be_ours",
    ),
    _start(
        "only a start yields to a refusal",
        _STATE,
        "known_w = self.echo_w if self.fresh else None",
        "known_w = self.echo_w",
        "test_later_a_refusal_is_no_yield",
    ),
    _start(
        "a yield lasts while another has the authority",
        _FIELD,
        "    if elsewhere and state.yielded:\n        return state\n",
        "",
        "test_a_yield_is_silent_though_the_authority_is_told_to_be_anothers_later",
    ),
    _start(
        "a yield ends when the authority comes back",
        _FIELD,
        "(was_local or not state.yielded)",
        "not state.yielded",
        "test_it_ends_when_the_authority_comes_back_though_the_echo_stays",
    ),
    Mutant(
        "the site is no other master",
        _VIEW,
        'return self._denies("control_authority", facts) and not at_site',
        'return self._denies("control_authority", facts)',
        "tests/unit/control/rules/test_field_view.py::"
        "test_another_master_is_neither_the_site_nor_unknown",
    ),
    _silence(
        "a dead-man that failed is told",
        _FORCE,
        "    effects.append(DeadmanFailed(at - since, echo_w, power_w))\n",
        "",
        "test_a_dead_man_that_failed_is_told_once_a_demand_and_after_w_and_5_s",
    ),
    _silence(
        "and not before it could have acted",
        _FORCE,
        "due_at = since + terms.deadman_s + terms.silence_s",
        "due_at = since",
        "test_a_dead_man_that_failed_is_told_once_a_demand_and_after_w_and_5_s",
    ),
    _silence(
        "power that heartbeats bring back ends them",
        _FORCE,
        "if left and ours and",
        "if False and",
        "test_power_that_leaves_zero_soon_after_heartbeats_began_again_ends_them",
    ),
    _silence(
        "power that comes later is another's",
        _FORCE,
        "return at - state.beats_since <= state.terms.settle_s",
        "return True",
        "test_power_that_comes_long_after_is_anothers_doing",
    ),
    _silence(
        "a step that heartbeats bring back is ours",
        _FIELD,
        "elif ours or force.is_revived(state, at):",
        "elif ours:",
        "test_a_step_that_heartbeats_bring_back_latches_at_once",
    ),
    _silence(
        "what came back is in force",
        _FORCE,
        "        effects.append(KeepForce(declared=False))\n    state = replace(state, ended=True",
        "        pass\n    state = replace(state, ended=True",
        "test_what_came_back_is_in_force_also_over_a_reset_and_a_kill",
    ),
    Mutant(
        "of a stop that is under way nobody knows",
        _DUE,
        "stop_owed=False, stop_unknown=True",
        "stop_owed=False",
        "tests/unit/control/watchdog/test_force.py::"
        "test_of_a_stop_that_was_under_way_at_a_kill_nobody_knows",
    ),
    _restart(
        "that nobody knows of a stop is kept",
        "gateway/control/records.py",
        '"stopUnknown": found.stop_unknown',
        '"stopUnknown": False',
        "test_that_nobody_knows_of_a_stop_stands_in_status_over_a_restart_until_a_reset",
    ),
    _restart(
        "a removal names its number",
        _KEPT,
        "if removed is not None and removed == self._number:",
        "if removed is not None:",
        "test_a_removal_of_another_number_removes_nothing",
    ),
    _restart(
        "silent starts are counted",
        "gateway/control/asset_control.py",
        "            out.append(Record(0, (), fact_of_tries(self.name, self._uncounted)))\n",
        "",
        "test_starts_that_find_something_in_force_are_counted_until_a_zero_is_verified",
    ),
    _restart(
        "and no more once a zero is verified",
        _KEPT,
        " | fact_of_tries(self._asset.id, 0)",
        "",
        "test_starts_that_find_something_in_force_are_counted_until_a_zero_is_verified",
    ),
    _restart(
        "what was signed before is kept",
        _KEPT,
        "span_w=spanned(span_w, setpoint_w)",
        "span_w=spanned((0.0, 0.0), setpoint_w)",
        "test_the_fact_says_the_least_and_the_most_that_was_signed",
    ),
)
