"""One asset's way out: what goes first, what is replaced, what is asked when it leaves."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from gateway.control.execution.outputs import ANSWER_S, Output, Outputs, Rank
from gateway.ports import Control, CrobOp, OutcomeKind, Purpose
from tests.fixtures.execution import NO_ANSWER, NOT_SENT, SUCCESS, refused

if TYPE_CHECKING:
    from gateway import effects
    from gateway.ports import Outcome

ZERO = (Control("AO0", 0), False)
OTHER_ZERO = (Control("AO1", 0), False)
POWER = (Control("AO0", 500), False)
BEAT = (Control("AO9", 7), False)
STOP = (Control("BO1", CrobOp.PULSE_ON), True)


class Way:
    """A lane with a book of what left."""

    def __init__(self) -> None:
        self.outputs = Outputs("bess-1", itertools.count(100))
        self.allowed = True
        self.asked: list[str] = []
        self.stopped: list[str] = []
        self.tokens = itertools.count(1)
        self.out: effects.Operate | None = None

    def put(
        self, rank: Rank, owner: str, *controls: tuple[Control, bool], newest: bool = True
    ) -> int:
        token = next(self.tokens)
        output = Output(rank=rank, owner=owner, token=token, controls=controls, newest=newest)
        self.outputs.put(output)
        return token

    def send(self, at: float = 0.0) -> str:
        while (output := self.outputs.next()) is not None:
            self.asked.append(output.owner)
            if self.allowed:
                self.out = self.outputs.send(output, at, at + 5.0)
                return f"{self.out.control.point}={self.out.control.value}"
            self.stopped.append(output.owner)
            self.outputs.withhold(output)
        return ""

    def answer(self, outcome: Outcome = SUCCESS) -> tuple[Output, Outcome] | None:
        assert self.out is not None
        return self.outputs.answered(self.out.token, outcome)


def test_a_stop_goes_first_then_zero_then_the_heartbeat_then_power() -> None:
    way = Way()
    way.put(Rank.POWER, "c1", POWER)
    way.put(Rank.HEARTBEAT, "HEARTBEAT", BEAT)
    way.put(Rank.IDLE, "IDLE", ZERO)
    way.put(Rank.STOP, "STOP", STOP)
    left = []
    while sent := way.send():
        left.append(sent)
        way.answer()
    assert left == ["BO1=pulse_on", "AO0=0", "AO9=7", "AO0=500"]


def test_an_output_says_what_it_does_to_the_power() -> None:
    way = Way()
    said = []
    for rank in (Rank.STOP, Rank.IDLE, Rank.HEARTBEAT, Rank.POWER):
        way.put(rank, rank.name, BEAT)
        way.send()
        assert way.out is not None
        said.append(way.out.purpose)
        way.answer()
    assert said == [Purpose.ZERO, Purpose.ZERO, Purpose.BEAT, Purpose.POWER]


def test_one_control_at_a_time() -> None:
    way = Way()
    way.put(Rank.IDLE, "IDLE", ZERO)
    way.put(Rank.HEARTBEAT, "HEARTBEAT", BEAT)
    assert way.send() == "AO0=0"
    assert way.send() == ""
    way.answer()
    assert way.send() == "AO9=7"


def test_whether_an_output_may_leave_is_asked_at_the_moment_at_which_it_would_of_every_rank() -> (
    None
):
    way = Way()
    way.put(Rank.IDLE, "first", ZERO)
    way.send()
    way.asked.clear()
    for rank, owner in (
        (Rank.STOP, "s"),
        (Rank.IDLE, "i"),
        (Rank.HEARTBEAT, "h"),
        (Rank.POWER, "p"),
    ):
        way.put(rank, owner, BEAT)
    way.allowed = False
    way.answer()
    assert way.asked == []
    assert way.send() == ""
    assert way.asked == way.stopped == ["s", "i", "h", "p"]


def test_the_second_control_of_an_output_is_asked_for_again() -> None:
    way = Way()
    way.put(Rank.POWER, "SETPOINT", OTHER_ZERO, POWER)
    way.send()
    assert way.answer() is None
    way.allowed = False
    assert way.send() == ""
    assert way.stopped == ["SETPOINT"]


def test_a_stop_does_not_wait_for_the_rest_of_a_zero() -> None:
    way = Way()
    way.put(Rank.IDLE, "IDLE", ZERO, OTHER_ZERO)
    way.send()
    way.put(Rank.STOP, "STOP", STOP)
    assert way.answer() is None
    assert way.send() == "BO1=pulse_on"
    way.answer()
    assert way.send() == "AO1=0"


def test_a_newer_zero_replaces_one_that_waits_and_lets_one_that_has_begun_finish() -> None:
    way = Way()
    first = way.put(Rank.IDLE, "IDLE", ZERO, OTHER_ZERO)
    way.send()
    way.put(Rank.IDLE, "IDLE", ZERO, OTHER_ZERO)
    newest = way.put(Rank.IDLE, "IDLE", ZERO, OTHER_ZERO)
    assert way.answer() is None
    assert way.send() == "AO1=0"
    over = way.answer()
    assert over is not None
    assert over[0].token == first
    assert [way.send(), way.answer(), way.send()] == ["AO0=0", None, "AO1=0"]
    over = way.answer()
    assert over is not None
    assert over[0].token == newest
    assert way.send() == ""


def test_of_a_zero_every_control_is_sent_whatever_became_of_the_one_before() -> None:
    for outcome in (refused(8), refused(5), refused(4), NO_ANSWER, NOT_SENT):
        way = Way()
        way.put(Rank.IDLE, "IDLE", OTHER_ZERO, ZERO)
        way.send()
        assert way.answer(outcome) is None
        assert way.send() == "AO0=0", outcome
        over = way.answer()
        assert over is not None
        told = SUCCESS if outcome == refused(5) else outcome  # already active: it is zero
        assert over[1] == told


def test_a_zero_that_the_site_has_the_authority_over_stops_at_once() -> None:
    for number in (6, 7, 13):
        way = Way()
        way.put(Rank.IDLE, "IDLE", OTHER_ZERO, ZERO)
        way.send()
        over = way.answer(refused(number))
        assert over is not None
        assert over[1] == refused(number)
        assert way.send() == ""


def test_of_power_the_first_control_that_does_not_succeed_ends_the_rest() -> None:
    way = Way()
    token = way.put(Rank.POWER, "SETPOINT", OTHER_ZERO, POWER)
    way.send()
    over = way.answer(NO_ANSWER)
    assert over is not None
    assert (over[0].token, over[1]) == (token, NO_ANSWER)
    assert way.send() == ""


def test_a_smaller_setpoint_replaces_the_larger_one_that_waits_and_the_rest_of_one_that_left() -> (
    None
):
    way = Way()
    way.put(Rank.POWER, "SETPOINT", OTHER_ZERO, POWER)
    way.send()
    way.put(Rank.POWER, "SETPOINT", OTHER_ZERO, (Control("AO0", 400), False))
    way.put(Rank.POWER, "SETPOINT", OTHER_ZERO, (Control("AO0", 300), False))
    way.answer()
    left = [way.send()]
    way.answer()
    left.append(way.send())
    assert left == ["AO1=0", "AO0=300"]


def test_what_an_aborted_dispatch_has_not_sent_yet_is_forgotten() -> None:
    way = Way()
    way.put(Rank.POWER, "c1", OTHER_ZERO, POWER, newest=False)
    way.put(Rank.POWER, "c1", POWER, newest=False)
    way.send()
    way.outputs.drop("c1")
    assert way.answer() is not None
    assert way.send() == ""


def test_an_answer_that_nobody_waits_for_changes_nothing() -> None:
    way = Way()
    way.put(Rank.IDLE, "IDLE", ZERO)
    way.send()
    assert way.outputs.answered(0, SUCCESS) is None
    assert way.outputs.answered(99, SUCCESS) is None
    assert way.send() == ""
    assert way.answer() is not None
    assert way.answer() is None


def test_an_answer_that_never_comes_is_an_unknown_outcome() -> None:
    way = Way()
    token = way.put(Rank.POWER, "c1", POWER, newest=False)
    way.send(at=10.0)
    assert way.outputs.wake_at == 10.0 + ANSWER_S
    assert way.outputs.overdue(10.0 + ANSWER_S - 0.1) is None
    lost = way.outputs.overdue(10.0 + ANSWER_S)
    assert lost is not None
    assert (lost[0].token, lost[1].kind) == (token, OutcomeKind.NO_ANSWER)
    assert way.outputs.overdue(1e9) is None


def test_heartbeats_and_power_take_turns() -> None:
    way = Way()
    left = []
    for number in range(4):
        way.put(Rank.HEARTBEAT, "HEARTBEAT", BEAT)
        way.put(Rank.POWER, f"c{number}", POWER, newest=False)
        left.append(way.send())
        way.answer()
    assert left == ["AO9=7", "AO0=500", "AO9=7", "AO0=500"]


def test_a_heartbeat_that_is_overdue_and_less_power_do_not_wait_for_their_turn() -> None:
    way = Way()
    way.put(Rank.HEARTBEAT, "HEARTBEAT", BEAT)
    way.send()
    way.answer()
    way.put(Rank.HEARTBEAT, "HEARTBEAT", BEAT)
    way.put(Rank.POWER, "c1", POWER, newest=False)
    less = Output(rank=Rank.POWER, owner="c2", token=9, controls=(ZERO,), reduces=True)
    way.outputs.put(less)
    first = way.outputs.next(beat_first=True)
    assert first is not None
    assert first.owner == "HEARTBEAT"
    assert way.outputs.next() is less


def test_heartbeats_that_nobody_accepts_keep_no_reduction_waiting() -> None:
    way = Way()
    less = Output(rank=Rank.POWER, owner="c2", token=9, controls=(ZERO,), reduces=True)
    way.outputs.put(less)
    sent = []
    for _ in range(2):  # the next one is due again before the one before it was refused
        way.put(Rank.HEARTBEAT, "HEARTBEAT", BEAT)
        output = way.outputs.next(beat_first=True)
        assert output is not None
        sent.append(output.owner)
        way.out = way.outputs.send(output, 0.0, 5.0)
        way.answer(refused(8))
    assert sent == ["HEARTBEAT", "c2"]


def test_a_heartbeat_that_is_out_gives_way_to_less_power_once_and_to_nothing_else() -> None:
    way = Way()
    way.put(Rank.HEARTBEAT, "HEARTBEAT", BEAT)
    way.send()
    assert not way.outputs.gives_way()
    way.put(Rank.POWER, "c1", POWER)
    assert not way.outputs.gives_way(), "more power waits"
    less = Output(rank=Rank.POWER, owner="c1", token=90, controls=(POWER,), reduces=True)
    way.outputs.put(less)
    assert way.outputs.gives_way()
    assert not way.outputs.gives_way()
    way.answer(NOT_SENT)
    assert way.outputs.next() is less
    way.outputs.send(less, 0.0, 5.0)
    way.outputs.put(less)
    assert not way.outputs.gives_way(), "power gives way to none"


@pytest.mark.parametrize("first", [True, False], ids=["when it was sent", "since it waits"])
def test_a_heartbeat_that_is_overdue_gives_way_to_nothing(*, first: bool) -> None:
    way = Way()
    way.put(Rank.HEARTBEAT, "HEARTBEAT", BEAT)
    beat = way.outputs.next()
    assert beat is not None
    way.outputs.send(beat, 0.0, 5.0, first=first)
    way.outputs.put(Output(rank=Rank.POWER, owner="c1", token=90, controls=(POWER,), reduces=True))
    assert not way.outputs.gives_way(overdue=True)
    assert way.outputs.gives_way(overdue=True, withheld=True), "none may leave any more"
    assert not way.outputs.gives_way(overdue=True, withheld=True)


def test_a_heartbeat_that_never_left_is_not_one_that_nobody_accepted() -> None:
    way = Way()
    way.put(Rank.HEARTBEAT, "HEARTBEAT", BEAT)
    way.send()
    way.answer(NOT_SENT)
    way.put(Rank.HEARTBEAT, "HEARTBEAT", BEAT)
    way.outputs.put(Output(rank=Rank.POWER, owner="c1", token=90, controls=(POWER,), reduces=True))
    overdue = way.outputs.next(beat_first=True)
    assert overdue is not None
    assert overdue.rank is Rank.HEARTBEAT


def test_only_the_first_reduction_goes_before_reads_until_one_has_had_its_turn() -> None:
    way = Way()
    first = []
    for outcome in (NOT_SENT, SUCCESS, SUCCESS, SUCCESS):
        less = Output(
            rank=Rank.POWER, owner="c1", token=9, controls=(OTHER_ZERO, POWER), reduces=True
        )
        way.outputs.put(less)
        while (output := way.outputs.next()) is not None:
            first.append(way.outputs.goes_first(output, beat_first=False))
            way.out = way.outputs.send(output, 0.0, 5.0)
            way.answer(outcome)
        if len(first) == 5:
            way.outputs.read()
    assert first == [True, True, True, False, False, True, True], "a rest belongs to its output"


def test_of_other_outputs_only_a_heartbeat_that_is_overdue_goes_before_reads() -> None:
    way = Way()
    for rank in Rank:
        way.put(rank, rank.name, BEAT)
    waiting = [way.outputs.waiting(rank.name) for rank in Rank]
    for overdue in (True, False):
        found = {
            one.rank for one in waiting if one and way.outputs.goes_first(one, beat_first=overdue)
        }
        assert found == ({Rank.HEARTBEAT} if overdue else set())
