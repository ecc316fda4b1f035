"""From watts to controls: watts, percent and split, four variations, direct and SBO."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.control.execution.plan import (
    PlanError,
    heartbeat_write,
    idle_writes,
    power_writes,
    preparing_writes,
    reserve_write,
    reversion_write,
    stop_writes,
    switch_write,
    toward_zero,
)
from gateway.control.rules.limits import Ceiling
from gateway.control.rules.percent_base import Base, writable
from gateway.control.rules.readiness import heartbeat_range
from gateway.measured import Quality
from gateway.points.encode import round_trip
from gateway.ports import Control, CrobOp, Variation
from tests.fixtures.batteries import row
from tests.fixtures.control import (
    ENABLE,
    PERCENT,
    PLAIN,
    POWER,
    RAMP,
    RESERVE,
    RESET,
    REVERSION,
    SPLIT,
    STOP,
    control_map,
    measured,
)
from tests.fixtures.shippedmaps import shipped

OF = Base(1.5e6, 2e6)
FULL = control_map(POWER, ENABLE, REVERSION, RAMP, RESERVE, RESET, STOP)


def test_watts_are_written_in_the_maps_unit_and_sign() -> None:
    (write,) = power_writes(PLAIN, -750_000.0, OF)
    assert write.control == Control("AO0", -750_000, Variation.INT32)
    assert (write.echo, write.expected, write.sbo) == ("AI8", -750_000.0, False)
    charge = replace(POWER, unit="kW", sign="charge_positive", variation="int16")
    (write,) = power_writes(control_map(charge), -750_000.0, OF)
    assert write.control == Control("AO0", 750, Variation.INT16)


def test_percent_is_of_the_base_of_its_direction() -> None:
    mapped = control_map(PERCENT, method="percent", base="max_power")
    (write,) = power_writes(mapped, 1e6, OF)
    assert write.control == Control("AO0", 500, Variation.INT16)
    assert (write.echo, write.expected, write.tolerance) == ("AI9", 50.0, 0.1)
    (write,) = power_writes(mapped, -750_000.0, OF)
    assert write.control.value == -500


def test_percent_of_an_unknown_base_cannot_be_written_but_zero_can() -> None:
    mapped = control_map(PERCENT, method="percent", base="max_power")
    nothing = Base(None, None)
    with pytest.raises(PlanError, match="in percent"):
        power_writes(mapped, 1.0, nothing)
    (write,) = power_writes(mapped, 0.0, nothing)
    assert write.control.value == 0


@pytest.mark.parametrize(
    ("carries_w", "points"), [(5e5, ["AO1", "AO0"]), (-5e5, ["AO0", "AO1"]), (0.0, ["AO1", "AO0"])]
)
def test_of_a_split_zero_the_point_that_carries_power_is_written_first_and_both_are(
    carries_w: float, points: list[str]
) -> None:
    mapped = control_map(*SPLIT, method="split")
    for writes in (
        idle_writes(mapped, OF, carries_w=carries_w),
        power_writes(mapped, 0.0, OF, carries_w=carries_w),
    ):
        assert [one.control.point for one in writes] == points
        assert [one.control.value for one in writes] == [0, 0]


def test_split_zeroes_the_other_direction_first() -> None:
    mapped = control_map(*SPLIT, method="split")
    writes = power_writes(mapped, 500_000.0, OF)
    assert [one.control for one in writes] == [
        Control("AO0", 0, Variation.INT32),
        Control("AO1", 500_000.0, Variation.FLOAT),
    ]
    writes = power_writes(mapped, -500_000.0, OF)
    assert [one.control for one in writes] == [
        Control("AO1", 0.0, Variation.FLOAT),
        Control("AO0", 500_000, Variation.INT32),
    ]


@pytest.mark.parametrize("power_w", [5e5, -5e5])
def test_where_nothing_else_may_be_in_force_a_split_setpoints_own_point_goes_first(
    power_w: float,
) -> None:
    mapped = control_map(*SPLIT, method="split")
    usual = power_writes(mapped, power_w, OF)
    assert power_writes(mapped, power_w, OF, same=True) == usual[::-1]


@given(
    value=st.floats(-1.9e6, 1.9e6),
    variation=st.sampled_from(["int16", "int32", "float", "double"]),
    scale=st.sampled_from([0.1, 1.0, 10.0, 3.0]),
    unit=st.sampled_from(["W", "kW"]),
    sign=st.sampled_from(["discharge_positive", "charge_positive"]),
)
def test_what_the_controller_understands_is_never_more_than_what_was_permitted(
    value: float, variation: str, scale: float, unit: str, sign: str
) -> None:
    out = replace(POWER, variation=variation, scale=scale, unit=unit, sign=sign)
    try:
        raw, understood = toward_zero(value, out)
    except PlanError:
        assert variation in ("int16", "int32")
        return
    assert abs(understood) <= abs(value)
    assert understood * value >= 0
    assert abs(understood - value) <= 2 * out.step + abs(value) * 1e-6
    assert understood == raw * out.mul / out.div + out.bias
    if variation.startswith("int"):
        assert isinstance(raw, int)


def test_zero_is_written_as_zero_by_every_shipped_map() -> None:
    for ref in ("generic-rtac@1.0.0", "an2018-storage@1.0.0"):
        (write, *_) = idle_writes(shipped(ref), Base(2e6, 2e6))
        assert write.control.value == 0
        assert write.expected == 0


def test_a_value_outside_the_variation_or_the_rows_range_cannot_be_written() -> None:
    with pytest.raises(PlanError, match="cannot be written"):
        power_writes(control_map(replace(POWER, variation="int16")), 40_000.0, OF)
    with pytest.raises(PlanError, match="cannot be written"):
        power_writes(PLAIN, 2_000_001.0, OF)
    with pytest.raises(PlanError, match="cannot be written"):
        power_writes(PLAIN, float("nan"), OF)


def test_what_the_command_points_can_say_is_part_of_the_maps_maximum() -> None:
    small = replace(POWER, min=-3e5, max=4e5)
    assert writable(control_map(small), OF) == Ceiling(3e5, 4e5)
    assert writable(control_map(PERCENT, method="percent"), OF) == Ceiling(1.5e6, 2e6)
    assert writable(control_map(*SPLIT, method="split"), OF) == Ceiling(2e6, 2e6)
    assert writable(control_map(), OF) == Ceiling(0.0, 0.0)


def test_setpoints_and_crobs_are_direct_or_sbo_as_the_map_says() -> None:
    mapped = control_map(POWER, ENABLE, op_setpoint="sbo", op_mode="direct")
    (write,) = power_writes(mapped, 1.0, OF)
    assert write.sbo
    assert not switch_write(mapped, "cmd_mode_enable", on=True).sbo


def test_the_preparing_writes_are_named_as_in_the_maps_order() -> None:
    found = preparing_writes(FULL, ramp_w_per_s=5_000.0, of=OF)
    assert sorted(found) == ["mode_enable", "ramp", "reversion"]
    assert found["reversion"][0].control == Control("AO2", 60.0, Variation.DOUBLE)
    assert found["ramp"][0].control == Control("AO3", 5_000, Variation.INT32)
    assert found["mode_enable"][0].control == Control("BO0", CrobOp.LATCH_ON)
    assert preparing_writes(control_map(POWER), ramp_w_per_s=1.0, of=OF) == {}


def test_idle_is_zero_and_then_the_mode_off_where_the_map_says_so() -> None:
    assert [one.control.value for one in idle_writes(PLAIN, OF)] == [0]
    both = control_map(POWER, ENABLE, idle_method="zero_then_disable")
    wanted = [0, CrobOp.LATCH_OFF]
    assert [one.control.value for one in idle_writes(both, OF)] == wanted
    assert [one.control.value for one in idle_writes(PLAIN, OF, release=True)] == wanted


def test_stop_reset_and_estop_are_pulses() -> None:
    (write,) = stop_writes(FULL)
    assert write.control == Control("BO2", CrobOp.PULSE_ON)
    assert write.pulse
    assert switch_write(FULL, "cmd_alarm_reset", on=True).pulse
    assert stop_writes(PLAIN) == ()


def test_an_inverted_output_is_written_inverted() -> None:
    mapped = control_map(POWER, replace(ENABLE, invert=True))
    assert switch_write(mapped, "cmd_mode_enable", on=True).control.value is CrobOp.LATCH_OFF


def test_heartbeat_reserve_and_reversion() -> None:
    mapped = shipped("generic-rtac@1.0.0")
    assert heartbeat_write(mapped, 7).control == Control("AO1", 7, Variation.INT16)
    assert reserve_write(mapped, 20.0).control == Control("AO2", 200, Variation.INT16)
    assert reversion_write(FULL, 60.0).expected == 60.0
    toggled = control_map(row("BO9", "cmd_heartbeat", unit="bool", feedback="local"))
    assert heartbeat_write(toggled, 3).control.value is CrobOp.LATCH_ON


def test_an_echo_agrees_within_the_tolerance_and_only_if_it_is_good() -> None:
    (write,) = power_writes(PLAIN, 1000.0, OF)
    assert write.agrees(measured(1001.0))
    assert not write.agrees(measured(1001.1))
    assert not write.agrees(measured(1000.0, Quality.STALE))
    assert not write.agrees(None)
    assert not write.is_contradicted(None)
    assert not write.is_contradicted(measured(5.0, Quality.BAD))
    assert write.is_contradicted(measured(5.0))
    switch = switch_write(PLAIN, "cmd_mode_enable", on=True)
    assert switch.agrees(measured(value=True))
    assert not switch.agrees(measured(value=False))
    assert not switch.agrees(measured(1.0))


def test_a_map_without_the_output_says_so() -> None:
    with pytest.raises(PlanError, match="has no cmd_reserve"):
        reserve_write(PLAIN, 1.0)
    with pytest.raises(PlanError, match="has no feedback"):
        power_writes(control_map(replace(POWER, feedback=None)), 0.0, OF)


def test_the_expected_echo_is_what_the_controller_understands() -> None:
    out = replace(POWER, scale=10.0)
    (write,) = power_writes(control_map(out), 1239.0, OF)
    assert write.control.value == 123
    assert write.expected == round_trip(1230.0, out) == 1230.0


def test_a_dispatch_starts_the_reversion_timer_with_the_sites_time() -> None:
    (write,) = preparing_writes(FULL, ramp_w_per_s=None, of=OF, reversion_s=15.0)["reversion"]
    assert write.expected == 15.0


@pytest.mark.parametrize("scale", [0.1, 1.0, 2.0, 3.0])
def test_our_own_heartbeat_counts_raw_so_that_each_differs_whatever_the_scale(
    scale: float,
) -> None:
    beat = row("AO1", "cmd_heartbeat", unit="count", scale=scale, max=90.0, variation="int16")
    mapped = control_map(POWER, replace(beat, feedback="local"))
    first, last = heartbeat_range(mapped)
    raws = [heartbeat_write(mapped, count).control.value for count in range(first, last + 1)]
    assert raws == list(range(first, last + 1))
    assert last == int(90 / scale)


@pytest.mark.parametrize(
    ("shape", "raws"),
    [
        ({"kind": "count", "first": 0, "last": 2}, [0, 1, 2]),
        ({"kind": "toggle", "first": 43605, "last": 21930}, [43605, 21930, 43605]),
        ({"kind": "sequence", "values": (5, 6, 7)}, [5, 6, 7]),
    ],
)
def test_a_heartbeat_goes_as_its_shape_says(shape: dict[str, object], raws: list[int]) -> None:
    beat = row(
        "AO9",
        "cmd_heartbeat",
        unit="count",
        scale=0.5,
        variation="int32",
        feedback="echo",
        heartbeat=shape,
    )
    mapped = control_map(POWER, beat)
    first, last = heartbeat_range(mapped)
    counts = [*range(first, last + 1), first]
    found = [heartbeat_write(mapped, count).control.value for count in counts]
    assert found[: len(raws)] == raws
    assert all(one != another for one, another in itertools.pairwise(found))
