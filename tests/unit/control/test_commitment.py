"""What may be in force at one battery: when it begins, when it ends, and which way it flows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway.clock import Now
from gateway.control.commitment import InForceMark
from gateway.control.phases import Phase
from gateway.control.rules.shared import NOTHING, Burden
from gateway.control.watchdog import machine
from gateway.control.watchdog.state import ActiveDispatch
from gateway.control.watchdog.words import Terms

if TYPE_CHECKING:
    from gateway.control.watchdog.state import WatchdogState

START = machine.start(Terms(), Now(0.0, 0), session="s", enabled=True)


def active(setpoint_w: float, *, settled: bool) -> WatchdogState:
    held = ActiveDispatch("id", setpoint_w, 100.0, 20.0, settled=settled)
    return replace(START, phase=Phase.ACTIVE, dispatch=held, in_force=True)


def marked(*states: WatchdogState, underway: bool = False) -> InForceMark:
    mark = InForceMark()
    for state in states:
        mark = mark.handle(state, underway=underway)
    return mark


def test_a_setpoint_may_be_in_force_until_another_one_is_seen() -> None:
    large, small = active(9e5, settled=True), active(1e5, settled=False)
    assert marked(large, small).burden == Burden(0.0, 9e5)
    seen = active(1e5, settled=True)
    assert marked(large, small, seen).burden == Burden(0.0, 1e5)
    assert marked(large, seen, underway=True).burden == Burden(0.0, 9e5)


def test_both_ways_may_be_in_force_while_one_takes_the_place_of_the_other() -> None:
    assert marked(active(9e5, settled=True), active(-4e5, settled=False)).burden == Burden(4e5, 9e5)


def test_the_one_way_in_force_is_known_only_where_it_is_one() -> None:
    assert marked().only_w == 0
    assert marked(active(9e5, settled=True)).only_w > 0
    assert marked(active(-9e5, settled=True)).only_w < 0
    assert marked(active(9e5, settled=True), active(-4e5, settled=False)).only_w == 0


@pytest.mark.parametrize("phase", [Phase.IDLING, Phase.BLIND, Phase.LATCHED, Phase.LOCAL])
def test_what_was_in_force_stays_until_zero_is_verified(phase: Phase) -> None:
    owed = replace(START, phase=phase, in_force=True)
    assert marked(active(9e5, settled=True), owed).burden == Burden(0.0, 9e5)


def test_nothing_is_in_force_once_echo_and_power_are_zero() -> None:
    begun = active(9e5, settled=True)
    idling = replace(START, phase=Phase.IDLING, in_force=True)
    idle = replace(START, phase=Phase.IDLE, in_force=True)
    assert marked(begun, idling, idle).burden == Burden(0.0, 9e5), "the echo alone"
    assert marked(begun, idling, idle, replace(idle, in_force=False)).burden == NOTHING
    monitor = replace(START, phase=Phase.MONITOR)
    assert marked(begun, idling, monitor) == InForceMark(NOTHING, verified=True)
    assert not marked(monitor).verified, "a start with control off has verified nothing"


@pytest.mark.parametrize(
    ("burden", "last_w", "measured_w", "sign"),
    [
        (Burden(0.0, 5e5), -1e5, -1e5, 1),
        (Burden(5e5, 0.0), 1e5, 1e5, -1),
        (Burden(5e5, 5e5), 1e5, -1e5, -1),
        (Burden(5e5, 5e5), -1e5, None, -1),
        (NOTHING, -1e5, 1e5, -1),
        (NOTHING, None, -1e5, -1),
        (NOTHING, None, None, 0),
    ],
)
def test_power_flows_as_the_setpoint_in_force_says_else_as_it_is_measured(
    burden: Burden, last_w: float | None, measured_w: float | None, sign: int
) -> None:
    found_w = InForceMark(burden).carries_w(last_w, measured_w)
    assert (found_w > 0) - (found_w < 0) == sign
