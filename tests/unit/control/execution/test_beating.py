"""Which value of our own count a heartbeat leaves with."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.control.execution.beating import BeatCount
from gateway.control.execution.outputs import Output, Rank
from gateway.control.watchdog.words import HeartbeatForm, WriteResult
from gateway.ports import Control
from tests.fixtures.rude_maps import rude_map
from tests.fixtures.watchdog_small import SMALL

BEAT = Output(
    rank=Rank.HEARTBEAT, owner="HEARTBEAT", token=1, controls=((Control("AO1", 77), False),)
)
ZERO = ((Control("AO0", 0), False), (Control("AO3", 0), False))
TURNS = replace(SMALL, heartbeat=HeartbeatForm.COUNTER, beats=(1, 2))


def left(count: BeatCount, output: Output = BEAT) -> float | str:
    found = count.leaving(output, rude_map("direct"), TURNS)
    assert found.controls[1:] == output.controls[1:]
    return found.controls[0][0].value


@pytest.mark.parametrize(
    ("result", "values"),
    [
        (WriteResult.ACCEPTED, [1, 2, 1]),
        (WriteResult.UNKNOWN, [1, 2, 1]),
        (WriteResult.FAILED, [1, 1, 1]),
        (WriteResult.REFUSED, [1, 1, 1]),
    ],
)
def test_what_the_rtac_did_not_take_goes_again(
    result: WriteResult, values: list[float | str]
) -> None:
    count, found = BeatCount(), []
    for _ in values:
        found.append(left(count))
        count.answered(result)
    assert found == values


def test_the_beat_between_two_zeros_counts_and_no_other_control_does() -> None:
    count = BeatCount()
    assert left(count) == 1
    both = replace(BEAT, rank=Rank.IDLE, beats=True, controls=(*BEAT.controls, *ZERO))
    assert left(count, both) == 2
    zero = replace(both, beats=False, controls=ZERO)
    assert count.leaving(zero, rude_map("direct"), TURNS) is zero
    assert left(count) == 1


def test_what_the_rtac_counts_itself_is_echoed_as_it_was_read() -> None:
    echoed = replace(TURNS, heartbeat=HeartbeatForm.ECHO)
    assert BeatCount().leaving(BEAT, rude_map("direct"), echoed) is BEAT
