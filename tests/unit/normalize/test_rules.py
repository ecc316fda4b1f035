"""Every row of the normalized state: each rule in order, bad, missing and stale readings."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.measured import Measured, Quality
from gateway.normalize import rules
from gateway.normalize.charging import ChargingState
from tests.fixtures.batteries import reading

GOOD, DERIVED, QUESTIONABLE, STALE, BAD = list(Quality)[:5]
CAPACITY = reading(8e6, source="AI4")
CONFIGURED = Measured(8e6, Quality.DERIVED, 0, "configured")


def seen(measured: Measured | None) -> tuple[object, Quality, str] | None:
    return None if measured is None else (measured.value, measured.quality, measured.source)


@pytest.mark.parametrize(
    ("soc", "stored", "expected"),
    [
        (reading(63.4), reading(4e6, source="AI3"), (63.4, GOOD, "AI0")),
        (reading(63.4, STALE), reading(4e6, source="AI3"), (63.4, STALE, "AI0")),
        (reading(63.4, BAD), reading(4e6, source="AI3"), (50.0, DERIVED, "derived:AI3,AI4")),
        (None, reading(4e6, QUESTIONABLE, "AI3"), (50.0, QUESTIONABLE, "derived:AI3,AI4")),
        (reading(63.4, BAD), reading(4e6, BAD, "AI3"), (63.4, BAD, "AI0")),
        (reading(63.4, BAD), None, (63.4, BAD, "AI0")),
        (None, reading(4e6, BAD, "AI3"), None),
        (None, None, None),
        (reading(100.4), None, (100.0, QUESTIONABLE, "AI0")),
        (reading(-0.2), None, (0.0, QUESTIONABLE, "AI0")),
        (reading(634.0), reading(4e6, source="AI3"), (50.0, DERIVED, "derived:AI3,AI4")),
        (reading(634.0), None, (634.0, BAD, "AI0")),
        (None, reading(8.4e6, source="AI3"), (100.0, QUESTIONABLE, "derived:AI3,AI4")),
        (None, reading(9e6, source="AI3"), (112.5, BAD, "derived:AI3,AI4")),
        (reading("full"), reading(4e6, source="AI3"), (50.0, DERIVED, "derived:AI3,AI4")),
    ],
)
def test_charge_percentage_is_soc_else_stored_energy_over_capacity(
    soc: Measured | None, stored: Measured | None, expected: object
) -> None:
    assert seen(rules.charge_percentage(soc, stored, CAPACITY)) == expected


@pytest.mark.parametrize(
    ("stored", "soc", "expected"),
    [
        (reading(5e6, source="AI3"), reading(50.0), (5e6, GOOD, "AI3")),
        (reading(0.0, source="AI3"), reading(50.0), (0.0, GOOD, "AI3")),
        (reading(8.8e6, source="AI3"), reading(50.0), (8.8e6, GOOD, "AI3")),
        (reading(8.9e6, source="AI3"), reading(50.0), (4e6, DERIVED, "derived:AI0,AI4")),
        (reading(-1.0, source="AI3"), reading(50.0), (4e6, DERIVED, "derived:AI0,AI4")),
        (reading(5e6, BAD, "AI3"), reading(50.0, STALE), (4e6, STALE, "derived:AI0,AI4")),
        (reading(5e6, STALE, "AI3"), reading(50.0), (5e6, STALE, "AI3")),
        (None, reading(50.0), (4e6, DERIVED, "derived:AI0,AI4")),
        (None, reading(50.0, BAD), None),
        (reading(5e6, BAD, "AI3"), reading(50.0, BAD), (5e6, BAD, "AI3")),
        (None, None, None),
    ],
)
def test_charge_is_stored_energy_within_capacity_else_capacity_times_soc(
    stored: Measured | None, soc: Measured | None, expected: object
) -> None:
    assert seen(rules.charge(stored, soc, CAPACITY)) == expected


def test_charge_calculated_from_a_configured_capacity_names_it_as_a_source() -> None:
    found = rules.charge(None, reading(50.0), CONFIGURED)
    assert seen(found) == (4e6, DERIVED, "derived:AI0,configured")


@pytest.mark.parametrize(
    ("power", "inverters", "expected"),
    [
        (reading(-750e3), [reading(1.0, source="AI8")], (-750e3, GOOD, "AI0")),
        (reading(-750e3, STALE), [], (-750e3, STALE, "AI0")),
        (reading(1.0, BAD), [], (1.0, BAD, "AI0")),
        (None, [], None),
        (
            reading(1.0, BAD),
            [reading(400e3, source="AI8"), reading(-100e3, QUESTIONABLE, "AI9")],
            (300e3, QUESTIONABLE, "derived:AI8,AI9"),
        ),
        (
            None,
            [reading(4.0, source="AI8"), reading(1.0, source="AI9")],
            (5.0, DERIVED, "derived:AI8,AI9"),
        ),
        (None, [reading(400e3, source="AI8"), reading(1.0, BAD, "AI9")], None),
        (None, [reading(400e3, source="AI8"), None], None),
        (None, [reading(1.7e308, source="AI8"), reading(1.7e308, source="AI9")], None),
    ],
)
def test_charge_rate_is_power_else_the_sum_of_all_inverters(
    power: Measured | None, inverters: list[Measured | None], expected: object
) -> None:
    assert seen(rules.charge_rate(power, inverters)) == expected


def bits(
    idle: Measured | None, charging: Measured | None, discharging: Measured | None
) -> dict[ChargingState, Measured | None]:
    return {
        ChargingState.IDLE: idle,
        ChargingState.CHARGING: charging,
        ChargingState.DISCHARGING: discharging,
    }


OFF = reading(value=False, source="BI1")
ON = reading(value=True, source="BI2")


@pytest.mark.parametrize(
    ("state", "found", "expected"),
    [
        (reading("charging"), bits(ON, OFF, OFF), ("charging", GOOD, "AI0")),
        (reading("charging", STALE), bits(ON, OFF, OFF), ("charging", STALE, "AI0")),
        (reading("charging", BAD), bits(ON, OFF, OFF), ("idle", GOOD, "BI2")),
        (reading("unknown"), bits(OFF, ON, OFF), ("charging", GOOD, "BI2")),
        (reading("starting"), bits(OFF, OFF, ON), ("discharging", GOOD, "BI2")),
        (reading(7.0), bits(OFF, OFF, ON), ("discharging", GOOD, "BI2")),
        (None, bits(OFF, ON, None), ("charging", GOOD, "BI2")),
        (None, bits(OFF, ON, reading(value=False, quality=STALE)), ("charging", STALE, "BI2")),
        (None, bits(OFF, ON, reading(value=False, quality=BAD)), None),
        (None, bits(ON, ON, OFF), None),
        (None, bits(OFF, OFF, OFF), None),
        (None, bits(None, None, None), None),
        (reading("unknown"), bits(None, None, None), None),
    ],
)
def test_the_sites_own_state_is_the_enum_else_exactly_one_bit(
    state: Measured | None, found: dict[ChargingState, Measured | None], expected: object
) -> None:
    assert seen(rules.reported_state(state, found)) == expected


def test_charging_state_without_a_word_of_the_site_is_the_sign_of_power() -> None:
    power = reading(5e5, source="AI1")
    found = rules.charging_state(None, ChargingState.DISCHARGING, power, conflict=False)
    assert seen(found) == ("discharging", DERIVED, "derived:AI1")


@pytest.mark.parametrize("power", [None, reading(1.0, BAD)])
def test_charging_state_is_missing_without_state_and_power(power: Measured | None) -> None:
    assert rules.charging_state(None, ChargingState.IDLE, power, conflict=False) is None


def test_a_contradicted_state_is_kept_but_questionable() -> None:
    told, power = reading("idle"), reading(5e5)
    found = rules.charging_state(told, ChargingState.DISCHARGING, power, conflict=True)
    assert seen(found) == ("idle", QUESTIONABLE, "AI0")


@pytest.mark.parametrize(
    ("point", "rating", "expected"),
    [
        (reading(7e6, source="AI4"), reading(8e6, source="AI5"), (7e6, GOOD, "AI4")),
        (reading(7e6, BAD, "AI4"), reading(8e6, source="AI5"), (8e6, GOOD, "AI5")),
        (reading(0.0, source="AI4"), None, (9e6, DERIVED, "configured")),
        (None, reading(8e6, BAD, "AI5"), (9e6, DERIVED, "configured")),
        (None, None, (9e6, DERIVED, "configured")),
        (reading(7e6, STALE, "AI4"), None, (7e6, STALE, "AI4")),
    ],
)
def test_capacity_is_its_point_else_the_nameplate_point_else_configured(
    point: Measured | None, rating: Measured | None, expected: object
) -> None:
    assert seen(rules.capacity(point, rating, 9e6, at_ms=0)) == expected


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        (reading(1e6), (1e6, GOOD, "AI0")),
        (reading(-1e6), (1e6, GOOD, "AI0")),
        (reading(2e6), (1.5e6, DERIVED, "configured")),
        (reading(2e6, STALE), (1.5e6, STALE, "configured")),
        (reading(1e6, STALE), (1e6, STALE, "AI0")),
        (reading(1e6, BAD), (1.5e6, DERIVED, "configured")),
        (None, (1.5e6, DERIVED, "configured")),
    ],
)
def test_a_static_limit_is_the_smaller_of_point_and_site(
    point: Measured | None, expected: object
) -> None:
    assert seen(rules.static_limit(point, 1.5e6, at_ms=0)) == expected


LIMIT = reading(1.5e6, source="AI14")


@pytest.mark.parametrize(
    ("point", "percent", "at_limit", "expected"),
    [
        (reading(9e5, source="AI5"), reading(50.0), False, (9e5, GOOD, "AI5")),
        (reading(-9e5, source="AI5"), reading(50.0), True, (9e5, GOOD, "AI5")),
        (reading(9e5, BAD, "AI5"), reading(50.0), False, (1.5e6, DERIVED, "derived:AI14,AI0")),
        (None, reading(50.0), False, (1.5e6, DERIVED, "derived:AI14,AI0")),
        (None, reading(100.0, STALE), True, (0.0, STALE, "derived:AI14,AI0")),
        (None, None, False, None),
        (None, reading(50.0, BAD), False, None),
        (reading(9e5, BAD, "AI5"), None, False, (9e5, BAD, "AI5")),
    ],
)
def test_available_power_is_its_point_else_the_limit_and_nothing_at_the_soc_limit(
    point: Measured | None, percent: Measured | None, *, at_limit: bool, expected: object
) -> None:
    assert seen(rules.available(point, LIMIT, percent, at_limit=at_limit)) == expected


@pytest.mark.parametrize(
    ("point", "site_pct", "expected"),
    [
        (reading(20.0), 10.0, (20.0, GOOD, "AI0")),
        (reading(0.0), 10.0, (0.0, GOOD, "AI0")),
        (reading(20.0, BAD), 10.0, (10.0, DERIVED, "configured")),
        (reading(250.0), 10.0, (10.0, DERIVED, "configured")),
        (None, 10.0, (10.0, DERIVED, "configured")),
        (None, None, None),
        (reading(20.0, BAD), None, (20.0, BAD, "AI0")),
    ],
)
def test_backup_reserve_is_its_point_else_configured(
    point: Measured | None, site_pct: float | None, expected: object
) -> None:
    assert seen(rules.reserve(point, site_pct, at_ms=0)) == expected


@pytest.mark.parametrize(
    ("point", "local", "expected"),
    [
        (reading("gateway"), reading(value=True), ("gateway", GOOD, "AI0")),
        (reading(value=True), None, ("1", GOOD, "AI0")),
        (reading(2.0), None, ("2", GOOD, "AI0")),
        (reading("gateway", BAD), reading(value=True, source="BI0"), ("local", GOOD, "BI0")),
        (None, reading(value=False, source="BI0"), ("remote", GOOD, "BI0")),
        (None, reading(value=True, quality=BAD, source="BI0"), (True, BAD, "BI0")),
        (None, None, None),
    ],
)
def test_authority_is_its_point_else_the_local_switch(
    point: Measured | None, local: Measured | None, expected: object
) -> None:
    assert seen(rules.authority(point, local)) == expected


@pytest.mark.parametrize(
    ("point", "enabled", "expected"),
    [
        (reading("peak_shaving"), [("dispatch", ON)], ("peak_shaving", GOOD, "AI0")),
        (reading("peak_shaving", BAD), [("dispatch", ON)], ("dispatch", DERIVED, "derived:BI2")),
        (None, [("dispatch", ON), ("agc", OFF)], ("dispatch", DERIVED, "derived:BI2,BI1")),
        (None, [("dispatch", OFF)], ("none", DERIVED, "derived:BI1")),
        (None, [("dispatch", reading(value=True, quality=BAD))], None),
        (None, [], None),
    ],
)
def test_operating_mode_is_its_point_else_the_enabled_modes(
    point: Measured | None, enabled: list[tuple[str, Measured]], expected: object
) -> None:
    assert seen(rules.mode(point, enabled)) == expected


VALUES = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True), st.booleans(), st.text(max_size=9)
)
READINGS = st.none() | st.builds(
    Measured,
    VALUES,
    st.sampled_from(list(Quality)[:5]),
    st.integers(0, 10**13),
    st.sampled_from(["AI0", "AI1", "configured"]),
)


@given(READINGS, READINGS, READINGS, READINGS, st.booleans())
def test_no_rule_raises_or_invents_quality(
    one: Measured | None,
    two: Measured | None,
    three: Measured | None,
    four: Measured | None,
    at_limit: bool,
) -> None:
    full = rules.capacity(three, four, 8e6, at_ms=0)
    limit = rules.static_limit(three, 1e6, at_ms=0)
    percent = rules.charge_percentage(one, two, full)
    for found in (
        percent,
        rules.charge(one, two, full),
        rules.charge_rate(one, [two, three]),
        rules.available(one, limit, percent, at_limit=at_limit),
        rules.reserve(one, 10.0, at_ms=0),
        limit,
        full,
    ):
        value = rules.number(found)
        if found is not None and found.quality <= Quality.STALE:
            assert value is not None
            assert math.isfinite(value)
            sources = found.source.removeprefix("derived:").split(",")
            read = [one, two, three, four]
            used = [m for m in read if m is not None and m.source in sources]
            if found.source not in {"configured", "derived:configured"}:
                assert found.quality >= min(m.quality for m in used)
