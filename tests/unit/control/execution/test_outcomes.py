"""The retry table of section 6, row by row, for power and for idle."""

from __future__ import annotations

import pytest

from gateway.control.execution.outcomes import IdleNext, PowerNext, after_idle, after_power
from gateway.ports import Outcome, OutcomeKind, PointStatus, Stage

P, I = PowerNext, IdleNext  # noqa: E741 - the two columns


def refused(number: int) -> Outcome:
    return Outcome(OutcomeKind.REFUSED, (PointStatus("AO0", number, str(number)),), "no")


def silent(stage: Stage) -> Outcome:
    return Outcome(OutcomeKind.NO_ANSWER, (), "no answer", stage)


_TABLE = [
    ((1, 2), P.RETRY, I.RETRY),
    ((5, 14), P.READ, I.VERIFY),
    ((6,), P.FAIL, I.LOCAL),
    ((7, 13), P.FAIL_LOCAL, I.LOCAL),
    ((9, 15, 17), P.FAIL_YIELD, I.RETRY_ALARM),
    ((3, 4, 12), P.FAIL_SUSPECT, I.RETRY_ALARM_LATCH),
    ((8, 10, 11, 18), P.FAIL, I.RETRY),
    ((16, 126, 127), P.READ, I.RETRY),
]
_ROWS = [(number, power, idle) for numbers, power, idle in _TABLE for number in numbers]


@pytest.mark.parametrize(("number", "power", "idle"), _ROWS)
def test_each_status_leads_where_the_table_says(
    number: int, power: PowerNext, idle: IdleNext
) -> None:
    assert after_power(refused(number), retried=False) is power
    assert after_idle(refused(number)) is idle


def test_no_answer_to_select_is_selected_once_more() -> None:
    assert after_power(silent(Stage.SELECT), retried=False) is P.RETRY
    assert after_power(silent(Stage.SELECT), retried=True) is P.FAIL
    assert after_idle(silent(Stage.SELECT)) is I.RETRY


@pytest.mark.parametrize("retried", [False, True])
def test_no_answer_to_operate_is_never_resent(retried: bool) -> None:
    assert after_power(silent(Stage.OPERATE), retried=retried) is P.READ
    assert after_idle(silent(Stage.OPERATE)) is I.RETRY


def test_a_full_sbo_is_repeated_once_only() -> None:
    for number in (1, 2):
        assert after_power(refused(number), retried=True) is P.FAIL


def test_a_pulse_goes_once() -> None:
    for outcome in (silent(Stage.SELECT), refused(1), refused(2)):
        assert after_power(outcome, retried=False, pulse=True) is P.FAIL


def test_success_goes_on() -> None:
    good = Outcome(OutcomeKind.SUCCESS, (PointStatus("AO0", 0, "SUCCESS"),), "")
    assert after_power(good, retried=False) is P.GO_ON
    assert after_idle(good) is I.VERIFY


def test_what_never_left_the_box_fails_power_and_repeats_idle() -> None:
    lost = Outcome(OutcomeKind.FAILED, (), "not connected")
    assert after_power(lost, retried=False) is P.FAIL
    assert after_idle(lost) is I.RETRY


@pytest.mark.parametrize("number", sorted(set(range(128)) - {number for number, _, _ in _ROWS}))
def test_a_refusal_that_the_table_does_not_name_is_an_unknown_outcome(number: int) -> None:
    assert after_power(refused(number), retried=False) is P.READ
    assert after_idle(refused(number)) is I.RETRY


def test_a_refusal_without_a_status_is_an_unknown_outcome() -> None:
    nothing = Outcome(OutcomeKind.REFUSED, (), "no")
    assert after_power(nothing, retried=False) is P.READ
