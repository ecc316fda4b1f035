"""Lifetime counters: rollover, reset, and that a total never falls."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.normalize.counters import Counter, CounterScale, begin

KWH16 = CounterScale(wh_per_count=1000.0, rollover=65536.0, nameplate_w=2e6)
KWH = CounterScale(wh_per_count=1000.0, rollover=None, nameplate_w=2e6)


def test_counts_are_differenced_in_wh() -> None:
    counter = Counter(500e3, 500.0, 0.0).advance(620.0, 300.0, KWH)
    assert counter.total_wh == 620e3
    assert counter.is_exact


def test_a_rollover_goes_on_counting() -> None:
    counter = Counter(65_500e3, 65_500.0, 0.0).advance(20.0, 300.0, KWH16)
    assert counter.total_wh == 65_556e3
    assert (counter.rollovers, counter.resets) == (1, 0)
    assert not counter.is_exact


@pytest.mark.parametrize("scale", [KWH, KWH16])
def test_a_reset_adds_nothing_and_counts_anew(scale: CounterScale) -> None:
    counter = Counter(30_000e3, 30_000.0, 0.0).advance(5.0, 300.0, scale)
    assert counter.total_wh == 30_000e3
    assert (counter.rollovers, counter.resets) == (0, 1)
    assert counter.advance(15.0, 600.0, scale).total_wh == 30_010e3


def test_a_jump_that_no_battery_could_make_adds_nothing() -> None:
    counter = Counter(100e3, 100.0, 0.0).advance(4e9, 300.0, KWH)
    assert counter.total_wh == 100e3
    assert counter.resets == 1


def test_a_long_silence_allows_a_large_difference() -> None:
    day_s = 86_400.0
    assert Counter(0.0, 0.0, 0.0).advance(48_000.0, day_s, KWH16).total_wh == 48_000e3


@pytest.mark.parametrize(("counts", "shown"), [(math.nan, 0.0), (math.inf, 0.0), (0.0, math.nan)])
def test_a_counter_does_not_begin_with_nonsense(counts: float, shown: float) -> None:
    assert begin(counts, 0.0, shown_wh=shown) is None


@given(
    st.integers(0, 65_535),
    st.lists(st.tuples(st.floats(0, 900), st.floats(0, 1)), max_size=200),
)
def test_any_possible_energy_is_counted_exactly_through_any_number_of_rollovers(
    first: int, steps: list[tuple[float, float]]
) -> None:
    """Each step moves a share of what nameplate allows in its seconds."""
    true, now_s = first, 0.0
    counter = Counter(first * 1e3, float(first), 0.0)
    for gap_s, share in steps:
        now_s += gap_s
        true += int(share * 2e6 * gap_s / 3600 / 1e3)
        counter = counter.advance(float(true % 65_536), now_s, KWH16)
    assert counter.total_wh == true * 1e3
    assert counter.resets == 0
    assert counter.rollovers == true // 65_536


@given(
    st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 65_535)), max_size=60),
    st.sampled_from([KWH, KWH16]),
)
def test_a_total_never_falls_and_never_outruns_physics(
    steps: list[tuple[float, float]], scale: CounterScale
) -> None:
    counter, now_s = Counter(0.0, 0.0, 0.0), 0.0
    for gap_s, counts in steps:
        now_s += gap_s
        after = counter.advance(counts, now_s, scale)
        moved = (after.total_wh - counter.total_wh) / scale.wh_per_count
        assert 0 <= moved <= scale.most_counts(gap_s) * (1 + 1e-9) + 1e-6
        counter = after
