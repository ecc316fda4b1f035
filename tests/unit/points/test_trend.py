"""L5: a simulated battery behind a controller that is, or is not, what the map says."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.asset.fingerprint import Fingerprint, Layer, Verdict
from gateway.clock import Now
from gateway.events import FragmentStored, SessionDown
from gateway.points import flow as flows
from gateway.points.pointmap import raw_map
from gateway.sim.battery import Ratings, charged_to
from tests.fixtures.shippedmaps import battery, shipped, update

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.asset.fingerprint import Finding
    from gateway.points.pointmap import MapPoint, PointsMap

GENERIC = "generic-rtac@1.0.0"
NOW = Now(0.0, 0)
WINDOW_S = 600.0
POLL_S = 5.0


def changed(points_map: PointsMap, name: str, **changes: Any) -> PointsMap:  # noqa: ANN401 - of any type
    """The map with one row changed."""
    rows = tuple(replace(row, **changes) if row.name == name else row for row in points_map.points)
    return replace(points_map, points=rows)


def counts(value: float, row: MapPoint) -> float:
    """What the controller of ``row`` sends: whole counts."""
    return round((value - row.bias) * row.div / row.mul)


class Plant:
    """A battery, a controller that sends what ``real`` says, and a gateway that reads ``read``."""

    def __init__(
        self,
        read: PointsMap,
        real: PointsMap | None = None,
        *,
        soc_pct: float = 50.0,
        seed: int = 1,
        **ratings: float,
    ) -> None:
        self.real = read if real is None else real
        self.battery = charged_to(Ratings(**{"ramp_w_per_s": 5e5, **ratings}), soc_pct)
        self.state = Fingerprint.start(read, battery())
        self.now_s = 0.0
        self.beats = 0
        self.bms: Callable[[float], float] = lambda soc: soc  # what becomes of SOC on its way
        self._random = random.Random(seed)
        self.found: list[Finding] = []

    def noted(self) -> bool:
        """Whether the last window that counted did not fit."""
        return self.state.trend is not None and self.state.trend.odd is not None

    def poll(self, *, flags: int = 1, only: tuple[str, ...] = ()) -> list[Finding]:
        """Read the points that L5 looks at; only those of some roles, if told."""
        seen = self.battery.observe(lambda: self._random.gauss(0.0, 1.0))
        self.beats += 1
        values = {
            "power": seen.power_w,
            "soc": self.bms(self.battery.soc_pct),
            "der_heartbeat": self.beats,
            "energy_capacity": self.battery.ratings.capacity_wh,
        }
        points = [
            update(row.point, counts(values[row.role], row), flags=flags)
            for row in self.real.points
            if row.role in values and (not only or row.role in only)
        ]
        fragment = FragmentStored("bess-1", tuple(points), unsolicited=False, at=NOW)
        self.state, findings = self.state.handle(fragment, self.now_s)
        news = [one for one in findings if one.layer is Layer.FLOW]
        self.found += news
        return news

    def run(self, setpoint_w: float, seconds: float, *, poll_s: float = POLL_S) -> list[Finding]:
        """Let the battery follow a setpoint, and poll it."""
        news = []
        for _ in range(round(seconds / poll_s)):
            self.battery = self.battery.step(poll_s, setpoint_w=setpoint_w)
            self.now_s += poll_s
            news += self.poll()
        return news


# --- the right map ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ref", [GENERIC, "an2018-storage@1.0.0", "example-bess-a@A", "example-bess-b@B"]
)
@pytest.mark.parametrize("power_w", [2e6, 3e5, -3e5, -2e6])
def test_a_battery_that_does_what_its_map_says_is_never_doubted(ref: str, power_w: float) -> None:
    plant = Plant(shipped(ref), soc_pct=70.0 if power_w > 0 else 30.0)
    assert plant.run(power_w, 6 * WINDOW_S) == []
    assert plant.state.verdict is Verdict.OK


@pytest.mark.parametrize("power_w", [2e6, 3e5, -3e5, -2e6])
def test_losses_are_no_wrong_scale(power_w: float) -> None:
    plant = Plant(
        shipped(GENERIC), charge_efficiency=0.8, discharge_efficiency=0.8, auxiliary_w=20e3
    )
    assert plant.run(power_w, 5 * WINDOW_S) == []


def test_an_idle_battery_never_trips_it() -> None:
    plant = Plant(shipped(GENERIC), noise=0.003, auxiliary_w=15e3)
    assert plant.run(0.0, 20 * WINDOW_S) == []


@pytest.mark.parametrize("pct_per_window", [-2.0, 2.0])
def test_an_idle_battery_whose_soc_is_recalibrated_slowly_does_not_trip_it(
    pct_per_window: float,
) -> None:
    plant = Plant(shipped(GENERIC), noise=0.003, auxiliary_w=15e3)
    plant.bms = lambda soc: soc + pct_per_window * plant.now_s / WINDOW_S
    assert plant.run(0.0, 10 * WINDOW_S) == []


@pytest.mark.parametrize("power_w", [20e3, -20e3, 100e3, -100e3])
def test_constant_small_power_that_the_auxiliaries_eat_does_not_trip_it(power_w: float) -> None:
    plant = Plant(shipped(GENERIC), auxiliary_w=80e3, noise=0.003)
    assert plant.run(power_w, 20 * WINDOW_S) == []


def test_a_bms_that_counts_whole_percents_proves_nothing_by_standing_still() -> None:
    plant = Plant(shipped(GENERIC), soc_pct=70.9)
    plant.bms = math.floor  # in a point that has a scale of 0.01 %
    assert plant.run(300e3, 30 * WINDOW_S) == []


def test_a_soc_that_is_set_right_once_is_only_noted() -> None:
    plant = Plant(shipped(GENERIC))
    plant.run(-1e6, 1.5 * WINDOW_S)
    plant.bms = lambda soc: soc - 7.0
    plant.run(-1e6, WINDOW_S)
    assert plant.noted()
    plant.run(-1e6, WINDOW_S)
    assert not plant.noted()  # the next one fits
    plant.bms = lambda soc: soc
    plant.run(-1e6, 3 * WINDOW_S)
    assert plant.found == []


def test_energy_that_goes_both_ways_within_a_window_is_not_judged() -> None:
    plant = Plant(shipped(GENERIC), charge_efficiency=0.8, discharge_efficiency=0.8)
    for _ in range(30):
        plant.run(-1e6, 200.0)
        plant.run(800e3, 200.0)
    assert plant.found == []


def test_a_full_battery_that_still_takes_power_is_not_judged() -> None:
    plant = Plant(shipped(GENERIC), soc_pct=50.0)
    plant.bms = lambda soc: min(100.0, soc + 50.0)  # full, as it counts
    assert plant.run(-500e3, 4 * WINDOW_S) == []
    empty = Plant(shipped(GENERIC), soc_pct=50.0)
    empty.bms = lambda soc: max(0.0, soc - 50.0)
    assert empty.run(500e3, 4 * WINDOW_S) == []


@given(data=st.data())
def test_no_profile_noise_or_resolution_of_a_right_map_raises_suspicion(
    data: st.DataObject,
) -> None:
    draw = data.draw
    hours = draw(st.sampled_from([0.5, 1.0, 2.0, 4.0, 8.0]), "hours")
    step = draw(st.sampled_from([0.01, 0.1, 0.5, 1.0]), "step of soc")
    grain = draw(st.sampled_from([0.01, 0.1, 1.0]), "step of the bms")
    points_map = changed(shipped(GENERIC), "soc", scale=step)
    plant = Plant(
        points_map,
        soc_pct=draw(st.floats(0.0, 100.0), "soc"),
        seed=draw(st.integers(0, 99)),
        capacity_wh=2e6 * hours,
        charge_efficiency=draw(st.floats(0.85, 1.0)),
        discharge_efficiency=draw(st.floats(0.85, 1.0)),
        auxiliary_w=draw(st.floats(0.0, 20e3)),
        noise=draw(st.floats(0.0, 0.005)),
    )
    plant.bms = lambda soc: round(soc / grain) * grain
    for _ in range(draw(st.integers(1, 12), "legs")):
        power_w = draw(st.floats(-2e6, 2e6), "power")
        plant.run(power_w, draw(st.sampled_from([30.0, 120.0, 600.0, 1800.0])), poll_s=10.0)
    assert plant.found == []


# --- the wrong map ---------------------------------------------------------------------------


@pytest.mark.parametrize("power_w", [1.5e6, -1.5e6, 300e3, -300e3])
@pytest.mark.parametrize("name", ["power", "soc"])
def test_a_wrong_sign_is_named_within_three_windows(name: str, power_w: float) -> None:
    real = shipped(GENERIC)
    row = real.by_name[name]
    turned = (
        {"sign": "charge_positive"} if name == "power" else {"scale": -row.scale, "offset": 100}
    )
    plant = Plant(changed(real, name, **turned), real)
    found = plant.run(power_w, 3 * WINDOW_S)
    assert [(one.layer, one.verdict, one.point) for one in found] == [
        (Layer.FLOW, Verdict.SUSPECT, "AI1")
    ]
    assert found[0].text.endswith("the sign of power or of soc is wrong")
    assert plant.state.verdict >= Verdict.SUSPECT


@pytest.mark.parametrize(
    ("times", "power_w", "text"),
    [
        (10, 200e3, "power reads 10^1 times too large, or soc as much too small"),
        (10, -200e3, "power reads 10^1 times too large, or soc as much too small"),
        (100, 100e3, "power reads 10^2 times too large"),
        (1000, -100e3, "power reads 10^3 times too large"),
        (1000, 1e6, "power reads 10^3 times too large"),
        (0.1, 1e6, "power reads 10^1 times too small, or soc as much too large"),
        (0.1, -1e6, "power reads 10^1 times too small, or soc as much too large"),
        (-10, 200e3, "the sign of power or of soc is wrong, and power reads 10^1 times too large"),
        (-0.1, -1e6, "the sign of power or of soc is wrong, and power reads 10^1 times too small"),
    ],
)
def test_a_wrong_scale_of_power_is_named_within_three_windows(
    times: float, power_w: float, text: str
) -> None:
    real = shipped(GENERIC)
    plant = Plant(changed(real, "power", scale=times), real)
    found = plant.run(power_w, 3 * WINDOW_S)
    assert len(found) == 1
    assert text in found[0].text


@pytest.mark.parametrize(
    ("scale", "power_w", "text"),
    [
        (0.001, 1.5e6, "power reads 10^1 times too large, or soc as much too small"),
        (0.0001, -1.5e6, "power reads 10^2 times too large, or soc as much too small"),
        (0.1, 100e3, "power reads 10^1 times too small, or soc as much too large"),
    ],
)
def test_a_wrong_scale_of_soc_is_named(scale: float, power_w: float, text: str) -> None:
    real = shipped(GENERIC)
    found = Plant(changed(real, "soc", scale=scale), real).run(power_w, 3 * WINDOW_S)
    assert len(found) == 1
    assert text in found[0].text


def test_a_factor_that_is_no_power_of_ten_is_told_with_its_ratio() -> None:
    real = shipped(GENERIC)
    found = Plant(changed(real, "power", scale=3.6), real).run(-300e3, 3 * WINDOW_S)
    assert "no power of ten fits, the ratio is 0.26" in found[0].text


def test_a_soc_that_stands_still_under_power_is_told_as_such() -> None:
    plant = Plant(shipped(GENERIC))
    plant.bms = lambda _: 50.0
    found = plant.run(1.5e6, 3 * WINDOW_S)
    assert "soc stands still" in found[0].text


def test_a_capacity_in_another_unit_is_suspect_too() -> None:
    real = shipped("an2018-storage@1.0.0")
    found = Plant(changed(real, "capacity_usable", unit="kWh"), real).run(1e6, 3 * WINDOW_S)
    assert "8e+09 Wh" in found[0].text


def test_two_windows_that_contradict_each_other_are_suspect_without_a_cause() -> None:
    soc, power = shipped(GENERIC).by_name["soc"], shipped(GENERIC).by_name["power"]
    low, high = flows.Flow(2.0, 0.9, 0.5, 0.01), flows.Flow(2.0, 4.1, 0.5, 0.01)
    assert flows.fits(low) is flows.fits(high) is False
    found = flows.finding(low, high, power=power, soc=soc, capacity_wh=8e6)
    assert found.text.endswith("the two windows contradict each other: check power, soc")


@given(data=st.data())
def test_a_wrong_sign_or_scale_is_found_within_three_windows_of_enough_energy(
    data: st.DataObject,
) -> None:
    draw = data.draw
    times = draw(st.sampled_from([-1.0, 10.0, 100.0, 1000.0, 0.1, -10.0]), "power reads")
    # It reads 14 % of nameplate at least; or, ten times too small, it moves SOC by 1.2 %.
    least_w = 850e3 if abs(times) < 1 else 350e3
    power_w = draw(st.floats(least_w, 2e6)) * draw(st.sampled_from([-1, 1]))
    real = changed(shipped(GENERIC), "soc", scale=draw(st.sampled_from([0.01, 0.1])))
    plant = Plant(
        changed(real, "power", scale=times),
        real,
        soc_pct=75.0 if power_w > 0 else 25.0,
        seed=draw(st.integers(0, 99)),
        charge_efficiency=draw(st.floats(0.85, 1.0)),
        discharge_efficiency=draw(st.floats(0.85, 1.0)),
        noise=draw(st.floats(0.0, 0.003)),
    )
    plant.run(0.0, draw(st.floats(10.0, 500.0)))  # the windows begin where they like
    found = []
    for _ in range(6):
        wobble = draw(st.floats(0.8, 1.0))
        found += plant.run(power_w * wobble, WINDOW_S / 2)
    assert len(found) == 1
    assert ("sign" in found[0].text) == (times < 0)
    exponent = round(math.log10(abs(times)))
    wanted = f"10^{abs(exponent)} times too {'large' if exponent > 0 else 'small'}"
    assert (wanted in found[0].text) == (exponent != 0)


def on_the_same_points(ref: str, like: str) -> PointsMap:
    """Map ``ref`` with every point where map ``like`` has it: only meanings differ."""
    places = {row.name: row.point for row in shipped(like).points}
    rows = tuple(
        replace(row, point=places[row.name]) for row in shipped(ref).points if row.name in places
    )
    return replace(shipped(ref), points=rows)


@pytest.mark.parametrize(
    ("read", "real", "power_w", "text"),
    [
        # kW read as W, charging for discharging, SOC ten times: 500 kW are nothing, and L5 cannot
        # tell; what it does to SOC (500 %) and the capacity (8 kWh) is for L3 and L2.
        ("example-bess-b@B", "example-bess-a@A", 1.5e6, None),
        # W read as kW, the other sign, SOC a tenth: 10^3 and 10^1 together.
        ("example-bess-a@A", "example-bess-b@B", 1.5e6, "sign of power or of soc is wrong"),
    ],
)
def test_the_other_firmware_on_the_same_points(
    read: str, real: str, power_w: float, text: str | None
) -> None:
    plant = Plant(on_the_same_points(read, real), shipped(real))
    found = plant.run(power_w, 3 * WINDOW_S)
    assert [text in one.text for one in found if text] == ([True] if text else [])
    assert bool(found) is (text is not None)


@pytest.mark.parametrize(
    ("read", "real"),
    [("example-bess-a@A", "example-bess-b@B"), ("example-bess-b@B", "example-bess-a@A")],
)
def test_the_other_firmware_as_it_is_breaks_nothing(read: str, real: str) -> None:
    plant = Plant(shipped(read), shipped(real))
    plant.run(1.5e6, 2 * WINDOW_S)
    plant.run(-1.5e6, 2 * WINDOW_S)


# --- what is no evidence ---------------------------------------------------------------------


def wrong() -> Plant:
    real = shipped(GENERIC)
    return Plant(changed(real, "power", sign="charge_positive"), real)


def pauses(plant: Plant, pause: Callable[[Plant], None], *, every_s: float) -> list[Finding]:
    found = []
    for _ in range(8):
        found += plant.run(1e6, every_s)
        pause(plant)
    return found


def test_a_gap_in_what_is_heard_begins_a_new_window() -> None:
    def gap(plant: Plant) -> None:
        plant.now_s += 16.0

    assert pauses(wrong(), gap, every_s=590.0) == []
    assert len(pauses(wrong(), gap, every_s=1300.0)) == 1


@pytest.mark.parametrize("role", ["power", "soc"])
def test_a_value_that_is_bad_in_between_begins_a_new_window(role: str) -> None:
    def bad(plant: Plant) -> None:
        plant.poll(flags=0x05, only=(role,))
        plant.poll(only=("power",))

    assert pauses(wrong(), bad, every_s=590.0) == []


def test_a_soc_that_is_no_longer_read_is_no_evidence() -> None:
    plant = wrong()
    plant.run(1e6, 300.0)
    for _ in range(400):
        plant.battery = plant.battery.step(POLL_S, setpoint_w=1e6)
        plant.now_s += POLL_S
        assert plant.poll(only=("power", "der_heartbeat")) == []


def test_frozen_values_of_a_dead_rtac_are_no_evidence() -> None:
    plant = Plant(shipped(GENERIC))
    plant.run(1.5e6, 100.0)  # and now its logic hangs: everything stands still
    for _ in range(800):
        plant.now_s += POLL_S
        plant.beats -= 1
        assert plant.poll() == []


def test_a_lost_session_begins_anew() -> None:
    plant = wrong()
    plant.run(1e6, 1.1 * WINDOW_S)
    assert plant.noted()
    plant.state, _ = plant.state.handle(SessionDown("bess-1", "reset", NOW), plant.now_s)
    assert plant.state.trend == Fingerprint.start(plant.state.map, battery()).trend


def test_an_operator_who_clears_it_is_told_again_when_it_persists() -> None:
    plant = wrong()
    assert len(plant.run(1e6, 4 * WINDOW_S)) == 1  # and once only
    plant.state = plant.state.clear()
    assert plant.state.verdict is Verdict.OK
    assert len(plant.run(1e6, 3 * WINDOW_S)) == 1


def test_a_map_without_power_has_no_trend() -> None:
    assert Fingerprint.start(raw_map(), battery()).trend is None


def test_what_was_noted_before_an_operator_cleared_it_does_not_count() -> None:
    plant = wrong()
    plant.run(1e6, 1.1 * WINDOW_S)
    assert plant.noted()
    plant.state = plant.state.clear()
    assert not plant.noted()
    assert plant.run(1e6, 1.1 * WINDOW_S) == []
