from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sim.battery import Plant, Ratings, charged_to

RATINGS = Ratings()
QUIET = Ratings(auxiliary_w=0.0, noise=0.0)
SETPOINTS = st.floats(-5e6, 5e6)
STEPS = st.lists(st.tuples(st.floats(0.05, 3600.0), SETPOINTS), min_size=1, max_size=40)


def after(battery: Plant, seconds: float, setpoint_w: float, dt_s: float = 1.0) -> Plant:
    for _ in range(round(seconds / dt_s)):
        battery = battery.step(dt_s, setpoint_w=setpoint_w)
    return battery


@given(st.floats(0, 100), STEPS)
def test_soc_stays_between_empty_and_full(soc: float, steps: list[tuple[float, float]]) -> None:
    battery = charged_to(RATINGS, soc)
    for dt_s, setpoint_w in steps:
        battery = battery.step(dt_s, setpoint_w=setpoint_w)
        assert 0.0 <= battery.soc_pct <= 100.0


@given(st.floats(0, 100), STEPS)
def test_no_energy_appears_or_vanishes(soc: float, steps: list[tuple[float, float]]) -> None:
    start = battery = charged_to(RATINGS, soc)
    for dt_s, setpoint_w in steps:
        battery = battery.step(dt_s, setpoint_w=setpoint_w)
    delivered = battery.discharged_wh - battery.charged_wh
    spent = delivered + battery.auxiliary_wh + battery.losses_wh
    assert battery.energy_wh + spent == pytest.approx(start.energy_wh, abs=1.0)
    assert battery.losses_wh >= 0.0


@given(st.floats(0, 100), STEPS)
def test_power_never_exceeds_limits_or_ramp(soc: float, steps: list[tuple[float, float]]) -> None:
    battery = charged_to(RATINGS, soc)
    for dt_s, setpoint_w in steps:
        before, battery = battery.inverter_w, battery.step(dt_s, setpoint_w=setpoint_w)
        assert -RATINGS.max_charge_w <= battery.inverter_w <= RATINGS.max_discharge_w
        if abs(battery.inverter_w) > abs(before):
            assert abs(battery.inverter_w - before) <= RATINGS.ramp_w_per_s * dt_s + 1e-6


@given(st.floats(0, 100), SETPOINTS)
def test_a_trip_takes_the_inverter_to_zero_at_once(soc: float, setpoint_w: float) -> None:
    running = after(charged_to(RATINGS, soc), 10, setpoint_w)
    assert running.step(0.1, setpoint_w=setpoint_w, tripped=True).inverter_w == 0.0


def test_an_hour_of_discharge_costs_power_over_efficiency() -> None:
    battery = after(charged_to(QUIET, 80.0), 3600, 1_000_000.0)
    lost_pct = 100.0 * 1_000_000.0 / 0.95 / QUIET.capacity_wh
    assert battery.soc_pct == pytest.approx(80.0 - lost_pct, abs=0.02)


def test_an_hour_of_charge_stores_power_times_efficiency() -> None:
    battery = after(charged_to(QUIET, 20.0), 3600, -1_000_000.0)
    won_pct = 100.0 * 1_000_000.0 * 0.95 / QUIET.capacity_wh
    assert battery.soc_pct == pytest.approx(20.0 + won_pct, abs=0.02)


def test_power_tapers_towards_full_and_towards_empty() -> None:
    assert charged_to(RATINGS, 97.5).available_charge_w == pytest.approx(1_000_000.0)
    assert charged_to(RATINGS, 100.0).available_charge_w == 0.0
    assert charged_to(RATINGS, 2.5).available_discharge_w == pytest.approx(1_000_000.0)
    assert charged_to(RATINGS, 0.0).available_discharge_w == 0.0
    assert charged_to(RATINGS, 50.0).available_charge_w == RATINGS.max_charge_w


def test_an_idle_battery_reads_its_auxiliary_load() -> None:
    assert charged_to(RATINGS, 50.0).power_w == -RATINGS.auxiliary_w


def test_losses_warm_the_racks_and_rest_cools_them() -> None:
    hot = after(charged_to(RATINGS, 90.0), 1800, 2_000_000.0, dt_s=10.0)
    assert hot.temperature_degc > RATINGS.ambient_degc + 3.0
    assert after(hot, 1800, 0.0, dt_s=10.0).temperature_degc < hot.temperature_degc


def test_noise_comes_only_from_the_generator_that_is_passed_in() -> None:
    battery = after(charged_to(RATINGS, 50.0), 20, 500_000.0)
    first, second = random.Random(7), random.Random(7)
    same = battery.observe(lambda: first.gauss(0, 1)), battery.observe(lambda: second.gauss(0, 1))
    assert same[0] == same[1]
    assert battery.observe(lambda: 0.0).power_w == battery.power_w


def test_voltage_rises_with_charge_and_sags_under_load() -> None:
    low, high = charged_to(RATINGS, 20.0), charged_to(RATINGS, 80.0)
    assert low.observe(lambda: 0.0).dc_voltage_v < high.observe(lambda: 0.0).dc_voltage_v
    loaded = after(high, 5, 2_000_000.0)
    assert loaded.observe(lambda: 0.0).dc_voltage_v < high.observe(lambda: 0.0).dc_voltage_v
