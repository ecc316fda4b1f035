from __future__ import annotations

import math

import pytest

from gateway.errors import UsageError
from gateway.sim.faults import FAULTS, Faults, parse_fault


def test_a_fault_without_argument_takes_its_default() -> None:
    assert parse_fault("forced") == ("forced", "*")
    assert parse_fault("forced=AI1,BI0") == ("forced", "AI1,BI0")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("frieze", "must be one of"),
        ("freeze=1", "must be absent"),
        ("forced=XX1", "a point such as AI1"),
        ("value", "value=POINT:RAW"),
        ("value=AI1", "POINT:RAW"),
        ("clock_jump=soon", "a number"),
        ("refuse_controls=127", "1..126"),
        ("alarm=", "a word"),
        ("answer_delay=soon", "seconds such as 2, or a range"),
        ("answer_delay=3..1", "seconds such as 2, or a range"),
        ("answer_delay=-1", "seconds such as 2, or a range"),
        ("never_fin=inf", "seconds, 0 or more"),
        ("slow_fragments=5", "N:SECONDS"),
        ("slow_fragments=0:1", "N:SECONDS"),
        ("lose_selects=0", "a whole number, 1 or more"),
    ],
)
def test_a_wrong_fault_says_what_is_allowed(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_fault(text)


def test_points_add_up_and_other_arguments_replace() -> None:
    faults = Faults().having("forced", "AI1").having("forced", "BI0").having("preempt", "1")
    assert faults.hits("forced", "AI1")
    assert faults.hits("forced", "BI0")
    assert not faults.hits("forced", "AI2")
    assert faults.having("preempt", "2").argument("preempt") == "2"
    assert faults.having("forced", "*").hits("forced", "AI2")


def test_forced_raw_values_are_found_by_point() -> None:
    faults = Faults().having("value", "AI1:7").having("value", "AI2:-8.5")
    assert (faults.raw_value("AI1"), faults.raw_value("AI2")) == (7.0, -8.5)
    assert faults.raw_value("AI3") is None


def test_a_time_is_fixed_or_a_range_and_nothing_where_the_fault_is_not_in_force() -> None:
    faults = Faults().having(*parse_fault("answer_delay=0.5..3"))
    assert faults.seconds("answer_delay") == (0.5, 3.0)
    assert faults.having(*parse_fault("answer_delay=2")).seconds("answer_delay") == (2.0, 2.0)
    assert faults.seconds("late_events") == (0.0, 0.0)


def test_fragments_are_counted_and_without_fin_they_have_no_number() -> None:
    assert Faults().fragments() == (1.0, 0.0)
    slow = Faults().having(*parse_fault("slow_fragments=4:1.5"))
    assert slow.fragments() == (4.0, 1.5)
    assert slow.having(*parse_fault("never_fin")).fragments() == (math.inf, 0.2)


def test_one_fault_or_all_can_be_cleared() -> None:
    faults = Faults().having("local", "").having("freeze", "")
    assert "local" not in faults.without("local")
    assert "freeze" in faults.without("local")
    assert not faults.without("*").active


def test_every_fault_says_what_it_does() -> None:
    assert all(kind.effect for kind in FAULTS.values())
