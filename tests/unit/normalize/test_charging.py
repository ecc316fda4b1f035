"""Direction and conflict: scripts of (second, value, expected). Nameplate 2 MW: 20 kW and 10 kW."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.normalize.charging import ChargingState, Conflict, Direction, enter_w

C, D, I, U = ChargingState  # noqa: E741 - one letter each keeps the scripts readable


def play(script: list[tuple[float, float | None, ChargingState]]) -> None:
    state = Direction(enter_w(2e6, 0.0))
    for second, power_w, expected in script:
        state = state.handle(power_w, second)
        assert state.settled is expected, f"at {second} s with {power_w} W"


def test_the_band_is_one_percent_of_nameplate_or_the_dead_band_if_wider() -> None:
    assert enter_w(2e6, 5e3) == 20e3
    assert enter_w(2e6, 50e3) == 50e3


def test_the_first_power_settles_at_once() -> None:
    play([(0, -500e3, C)])
    play([(0, 500e3, D)])
    play([(0, 20e3, I)])


def test_a_direction_is_entered_above_the_band_after_two_seconds() -> None:
    play([(0, 0, I), (1, 20e3, I), (9, 20e3, I), (10, 20.1e3, I), (11.9, 20.1e3, I), (12, 21e3, D)])


def test_a_direction_is_left_at_half_the_band_after_two_seconds() -> None:
    play([(0, -500e3, C), (1, -10.1e3, C), (9, -10.1e3, C), (10, -10e3, C), (12, -10e3, I)])


def test_noise_around_the_band_changes_nothing() -> None:
    play([(0, 0, I), (1, 25e3, I), (2, 15e3, I), (3, 25e3, I), (4, 15e3, I), (5, 25e3, I)])


def test_a_reversal_needs_two_seconds_of_the_new_direction_alone() -> None:
    play([(0, -500e3, C), (5, 0, C), (6, 500e3, C), (7.9, 500e3, C), (8, 500e3, D)])


def test_power_that_becomes_unusable_makes_the_state_unknown_and_starts_anew() -> None:
    play([(0, -500e3, C), (1, None, U), (1.1, 500e3, D)])


@given(st.lists(st.tuples(st.floats(0, 1.9), st.floats(-1e6, 1e6)), max_size=40))
def test_no_change_settles_before_two_seconds_of_one_candidate(
    steps: list[tuple[float, float]],
) -> None:
    state, now_s, changed_at = Direction(20e3).handle(0.0, 0.0), 0.0, 0.0
    for gap_s, power_w in steps:
        now_s += gap_s
        after = state.handle(power_w, now_s)
        if after.candidate is not state.candidate:
            changed_at = now_s
        if after.settled is not state.settled:
            assert now_s - changed_at >= 2.0
        state = after


@pytest.mark.parametrize(
    ("script", "raised"),
    [
        ([(0, I, D), (9.9, I, D)], False),
        ([(0, I, D), (10, I, D)], True),
        ([(0, I, D), (9, D, D), (18, I, D), (27, I, D)], False),
        ([(0, I, D), (10, I, D), (11, D, D)], False),
        ([(0, I, D), (10, I, D), (11, None, D), (50, I, None)], True),
        ([(0, I, D), (9, None, D), (12, I, D), (13, I, D)], False),
        ([(0, C, D), (10, C, D)], True),
        ([(0, None, D), (99, None, D)], False),
    ],
)
def test_a_contradiction_is_raised_after_ten_seconds(
    script: list[tuple[float, ChargingState | None, ChargingState | None]], *, raised: bool
) -> None:
    conflict = Conflict()
    for second, reported, sensed in script:
        conflict = conflict.handle(reported, sensed, second)
    assert conflict.raised is raised
