"""Section 6, limits: inside the smallest of all, with the sign kept, and never more."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.safety import LimitSettings, SafetySettings, WatchdogSettings
from gateway.control.rules.limits import (
    Ceiling,
    RateWindow,
    SocWindow,
    ceiling,
    headroom,
    site_limits,
    trusted,
)
from gateway.measured import Quality
from tests.fixtures.batteries import ASSET
from tests.fixtures.control import PLAIN, SITE, control_map, measured, read

watts = st.floats(0, 1e7)
signed = st.floats(-1e7, 1e7)


@given(power_w=signed, charge_w=watts, discharge_w=watts)
def test_what_is_applied_is_inside_the_envelope_with_its_sign_kept(
    power_w: float, charge_w: float, discharge_w: float
) -> None:
    applied_w = Ceiling(charge_w, discharge_w).clamp(power_w)
    assert -charge_w <= applied_w <= discharge_w
    assert abs(applied_w) <= abs(power_w)
    assert applied_w * power_w >= 0


@given(one=signed, other=signed, charge_w=watts, discharge_w=watts)
def test_clamping_is_monotone(
    one: float, other: float, charge_w: float, discharge_w: float
) -> None:
    found = Ceiling(charge_w, discharge_w)
    low, high = sorted((one, other))
    assert found.clamp(low) <= found.clamp(high)
    assert found.clamp(found.clamp(one)) == found.clamp(one)


@given(power_w=signed, one=watts, less=watts)
def test_a_smaller_ceiling_never_gives_more(power_w: float, one: float, less: float) -> None:
    small = min(one, less)
    more, fewer = Ceiling(one, one).clamp(power_w), Ceiling(small, small).clamp(power_w)
    assert abs(fewer) <= abs(more)


@pytest.mark.parametrize("power_w", [math.nan, math.inf, -math.inf])
def test_a_setpoint_that_is_not_finite_is_an_error(power_w: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Ceiling(1.0, 1.0).clamp(power_w)


def test_the_ceiling_is_the_smallest_of_site_map_available_and_headroom() -> None:
    assert ceiling(SITE, PLAIN, read()) == Ceiling(1.5e6, 1.8e6)
    assert ceiling(SITE, PLAIN, read({"AI2": 9e5})) == Ceiling(9e5, 1.8e6)
    assert ceiling(SITE, PLAIN, read({"AI2": 9e5, "AI4": 8e5})) == Ceiling(8e5, 1.8e6)
    assert ceiling(SITE, PLAIN, read({"AI5": 7e5})) == Ceiling(1.5e6, 7e5)
    less = Ceiling(6e5, 2e6)
    assert ceiling(SITE, PLAIN, read(), headroom=less) == Ceiling(6e5, 1.8e6)


@pytest.mark.parametrize(
    "reading",
    [
        None,
        measured(1e6, Quality.STALE),
        measured(1e6, Quality.QUESTIONABLE),
        measured(1e6, Quality.BAD),
        measured(math.nan),
        measured("many"),
        -5.0,
    ],
)
def test_a_limit_that_should_be_known_and_is_not_is_zero(reading: object) -> None:
    found = ceiling(SITE, PLAIN, read({"AI4": reading}))  # type: ignore[dict-item]  # odd on purpose
    assert found == Ceiling(0.0, 1.8e6)


def test_a_limit_that_the_map_does_not_have_limits_nothing() -> None:
    bare = control_map(inputs=())
    assert ceiling(SITE, bare, read()) == Ceiling(1.5e6, 1.8e6)


def test_the_contract_is_the_smaller_of_site_limit_and_nameplate() -> None:
    assert SITE.contract_w(-1) == 1.5e6
    assert SITE.contract_w(1) == 1.8e6
    small = replace(SITE, nameplate_w=1e6)
    assert (small.contract_w(-1), small.contract_w(1)) == (1e6, 1e6)


def test_only_good_and_fresh_finite_numbers_are_trusted() -> None:
    assert trusted(measured(5.0)) == 5.0
    assert trusted(measured(5.0, Quality.DERIVED)) == 5.0
    assert trusted(measured(value=True)) is None


# --- transformer -----------------------------------------------------------------------------


def test_headroom_leaves_what_reactive_power_and_other_loads_do_not_take() -> None:
    found = headroom(1000.0, cap_pct=100.0, reactive_var=600_000.0, other_w=-300_000.0)
    assert found == Ceiling(500_000.0, 1_100_000.0)


@given(other=signed, reactive=signed, share=st.floats(0, 1))
def test_inside_the_headroom_the_transformer_is_never_above_its_rating(
    other: float, reactive: float, share: float
) -> None:
    found = headroom(2000.0, cap_pct=150.0, reactive_var=reactive, other_w=other)
    if found.discharge_w and found.charge_w:
        for own_w in (found.discharge_w * share, -found.charge_w * share):
            assert math.hypot(own_w + other, reactive) <= 2_000_000.0 * (1 + 1e-9)


def test_without_a_reading_there_is_no_headroom() -> None:
    nothing = Ceiling(0.0, 0.0)
    assert headroom(1000.0, cap_pct=100, reactive_var=None, other_w=0.0) == nothing
    assert headroom(1000.0, cap_pct=100, reactive_var=0.0, other_w=None) == nothing
    assert headroom(1000.0, cap_pct=100, reactive_var=math.nan, other_w=0.0) == nothing


# --- state of charge -------------------------------------------------------------------------


def test_the_window_closes_at_its_end_and_opens_one_percent_inside() -> None:
    window = SocWindow(10.0, 95.0)
    assert window.refusal(1.0, (10.1, 10.1)) == ""
    assert "ends at 10 %" in window.refusal(1.0, (10.0, 10.0))
    window = window.handle((10.0, 10.0))
    assert window.refusal(1.0, (10.9, 10.9))
    assert window.handle((10.9, 10.9)).empty
    assert not window.handle((11.0, 11.0)).empty
    window = SocWindow(10.0, 95.0).handle((95.0, 95.0))
    assert window.refusal(-1.0, (94.1, 94.1))
    assert window.refusal(-1.0, (94.0, 94.0)) == ""


def test_an_empty_battery_may_charge_and_a_full_one_discharge() -> None:
    assert SocWindow(10.0, 95.0).refusal(-1.0, (5.0, 5.0)) == ""
    assert SocWindow(10.0, 95.0).refusal(1.0, (99.0, 99.0)) == ""
    assert SocWindow(10.0, 95.0).refusal(0.0, None) == ""


def test_an_unknown_state_of_charge_refuses_both_directions() -> None:
    for soc in (None, (math.nan, math.nan)):
        assert SocWindow(10.0, 95.0).refusal(1.0, soc)
        assert SocWindow(10.0, 95.0).refusal(-1.0, soc)
    window = SocWindow(10.0, 95.0).handle((9.0, 9.0))
    assert window.handle((math.nan, math.nan)) == window


def test_a_commands_window_may_only_be_narrower() -> None:
    site = SocWindow(10.0, 95.0)
    assert site.narrowed(5, 99) == site
    assert site.narrowed(20, 80) == SocWindow(20, 80)
    assert site.narrowed(None, None) == site


# --- rate ------------------------------------------------------------------------------------


def test_at_most_one_power_command_per_2_s() -> None:
    rate = RateWindow().take(0.0)
    assert rate.refusal(1.99)
    assert rate.refusal(2.0) == ""


def test_at_most_30_power_commands_per_5_min() -> None:
    rate = RateWindow()
    for at in range(0, 60, 2):
        assert rate.refusal(float(at)) == ""
        rate = rate.take(float(at))
    assert rate.refusal(60.0)
    assert rate.refusal(299.9)
    assert rate.refusal(300.0) == ""


def test_a_faster_site_counts_what_was_taken_before() -> None:
    rate = RateWindow()
    for at in range(60):
        rate = rate.take(at * 4.0)
    assert rate.refusal(240.0)
    assert rate.held_to(4.0, 75).refusal(240.0) == ""
    assert "at most 60" in rate.held_to(4.0, 60).refusal(240.0)
    assert "one per 5 s" in rate.held_to(5.0, 75).refusal(240.0)


@given(st.lists(st.floats(0, 5), max_size=200))
def test_no_span_of_5_min_ever_holds_more_than_30(gaps: list[float]) -> None:
    rate, now_s, taken = RateWindow(), 0.0, []
    for gap in gaps:
        now_s += gap
        if not rate.refusal(now_s):
            rate = rate.take(now_s)
            taken.append(now_s)
    for at in taken:
        assert sum(at - 300.0 < other <= at for other in taken) <= 30
    assert all(b - a >= 2.0 for a, b in pairwise(taken))


def test_the_contract_is_the_smaller_of_site_toml_and_safety_toml() -> None:
    limits = LimitSettings(1.2e6, 1.9e6, 10.0, 95.0, 1e5, modes=("x",), reserve_min_pct=5.0)
    watchdog = WatchdogSettings(30, 5, 2, 15, 30, 60, 20, 3600, "yield")
    safety = SafetySettings("safety.toml", "dual", 0.0, watchdog, limits, (), None)
    found = site_limits(ASSET, safety)
    assert (found.max_charge_w, found.max_discharge_w) == (1.2e6, 1.8e6)
    assert (found.nameplate_w, found.max_dispatch_s) == (2e6, 3600)
    assert (found.modes, found.reserve_pct) == (("x",), None)
    limits = replace(limits, reserve_max_pct=80.0)
    whole = replace(safety, limits=limits)
    assert site_limits(ASSET, whole).reserve_pct == (5.0, 80.0)
