from __future__ import annotations

import math
from dataclasses import replace

import pytest

from gateway.measured import Quality, TimeQuality
from gateway.points.decode import decode
from gateway.points.pointmap import (
    EqualCheck,
    MapControl,
    MapFingerprint,
    MapPoint,
    NameplateCheck,
    PointsMap,
    raw_map,
)
from gateway.points.raw import RawPoint
from gateway.sim.battery import Ratings, charged_to
from gateway.sim.faults import Faults
from gateway.sim.identity import accepted_firmware, attributes
from gateway.sim.rtac import Habits, Rtac
from gateway.sim.wire import Form, RawValue, Spec
from gateway.sim.wiring import Wiring, changed, wire_up

RATINGS = Ratings(max_charge_w=1_000_000.0)
BATTERY = charged_to(RATINGS, 61.23)
SEEN = BATTERY.observe(lambda: 0.0)


def points_map(
    *points: MapPoint, method: str = "watts", base: str | float | None = None
) -> PointsMap:
    control = MapControl(method, base, "zero", "direct", "sbo", ("setpoint",))
    checks = MapFingerprint(equals=(EqualCheck("version", 100.0),))
    return PointsMap(
        "m", "v", "m", "1", "a test", ("=2.3.1",), control, checks, tuple(points), "m.toml"
    )


def rtac(**faults: str) -> Rtac:
    new = Rtac(habits=Habits(nameplate_w=2e6), started_at=0.0)
    return new.with_faults(Faults(faults), 0.0)


def served(wiring: Wiring, logic: Rtac, now: float = 0.0) -> dict[str, RawValue]:
    return wiring.raw_values(logic, BATTERY, SEEN, now)


def read_back(row: MapPoint, raw: RawValue) -> tuple[float | bool | str, Quality]:
    point = RawPoint(row.point, raw.value, raw.flags, 0, 0, TimeQuality.SYNCED, False)  # noqa: FBT003
    found = decode(point, row)
    return found.value, found.quality


@pytest.mark.parametrize(
    ("row", "value"),
    [
        (MapPoint("AI0", "soc", "soc", scale=0.01, unit="%"), 61.23),
        (MapPoint("AI0", "soc", "soc", scale=0.1, offset=-5.0, unit="%"), 61.2),
        (MapPoint("AI1", "power", "power", unit="kW", sign="charge_positive"), -2000.0),
        (MapPoint("AI1", "power", "power", unit="W", sign="discharge_positive"), -2000.0),
        (MapPoint("AI2", "cap", "energy_capacity", unit="MWh"), 8e6),
        (MapPoint("AI3", "max", "max_charge", scale=-1.0, unit="W"), 1e6),
        (MapPoint("BI0", "remote", "local", unit="bool", invert=True), False),
        (MapPoint("DBI0", "breaker", "breaker", unit="bool"), True),
        (
            MapPoint("AI4", "s", "bess_state", unit="enum", enum={"7": "idle", "*": "unknown"}),
            "idle",
        ),
        (MapPoint("AI5", "version", unit="count"), 100.0),
    ],
)
def test_the_gateway_reads_back_what_the_rtac_means(
    row: MapPoint, value: float | bool | str
) -> None:
    found, quality = read_back(row, served(wire_up(points_map(row), RATINGS), rtac())[row.point])
    assert quality is Quality.GOOD
    assert found == (pytest.approx(value) if isinstance(value, float) else value)


def test_a_percent_setpoint_means_watts_of_its_direction_and_echoes_as_percent() -> None:
    out = MapPoint("AO93", "cmd", "cmd_power", scale=0.1, unit="%", sign="discharge_positive",
                   variation="int32", feedback="fb")  # fmt: skip
    back = MapPoint("AI154", "fb", scale=0.1, unit="%")
    wiring = wire_up(points_map(back, out, method="percent", base="max_power"), RATINGS)
    assert wiring.engineering(out, 500, rtac()) == pytest.approx(1_000_000.0)
    assert wiring.engineering(out, -500, rtac()) == pytest.approx(-500_000.0)
    after, _ = rtac().order("cmd_power", -500_000.0, 0.0, point="AO93")
    found = served(wiring, after)
    assert (found["AI154"].value, found["AO93"].value) == (-500.0, -500.0)


def test_a_setpoint_in_percent_of_the_largest_power_moves_with_it() -> None:
    out = MapPoint("AO93", "cmd", "cmd_power", scale=0.1, unit="%", sign="discharge_positive",
                   variation="int32", feedback="fb")  # fmt: skip
    back = MapPoint("AI154", "fb", scale=0.1, unit="%")
    most = MapPoint("AI32", "most", "max_discharge", unit="W")
    wiring = wire_up(points_map(back, out, most, method="percent", base="max_power"), RATINGS)
    logic = Rtac(habits=Habits(nameplate_w=2e6, of_max_power=True), started_at=0.0)
    logic, _ = logic.order("cmd_power", 500_000.0, 0.0, point="AO93")
    logic = logic.with_faults(Faults({"max_power": "1000000"}), 0.0)
    assert logic.setpoint_w(0.0) == 250_000.0
    assert wiring.engineering(out, 500, logic) == pytest.approx(500_000.0)
    found = served(wiring, logic)
    assert (found["AI154"].value, found["AI32"].value) == (250.0, 1_000_000.0)
    assert logic.with_faults(Faults({}), 0.0).setpoint_w(0.0) == 500_000.0


def test_an_inverted_output_means_its_opposite() -> None:
    row = MapPoint("BO0", "x", "cmd_lockout", unit="bool", invert=True)
    wiring = wire_up(points_map(row), RATINGS)
    assert (wiring.engineering(row, 1.0, rtac()), wiring.engineering(row, 0.0, rtac())) == (
        0.0,
        1.0,
    )


def test_alarm_bits_show_what_is_active() -> None:
    row = MapPoint("AI9", "bits", "alarm", bits={0: "alarm:smoke", 3: "alarm:over_temp"})
    wiring = wire_up(points_map(row), RATINGS)
    assert served(wiring, rtac(alarm="over_temp"))["AI9"].value == 8.0


@pytest.mark.parametrize(
    ("faults", "quality"),
    [
        ({"comm_lost": "AI0"}, Quality.BAD),
        ({"offline": "*"}, Quality.BAD),
        ({"forced": "AI0"}, Quality.QUESTIONABLE),
        ({"nan": "AI0"}, Quality.BAD),
        ({"value": "AI0:42"}, Quality.GOOD),
        ({"comm_lost": "AI1"}, Quality.GOOD),
    ],
)
def test_faults_on_points_spoil_their_quality(faults: dict[str, str], quality: Quality) -> None:
    row = MapPoint("AI0", "soc", "soc", scale=0.01, unit="%")
    raw = served(wire_up(points_map(row), RATINGS), rtac(**faults))["AI0"]
    assert read_back(row, raw)[1] is quality


def test_unscaled_kilowatts_are_floats_and_scaled_values_integers() -> None:
    rows = (
        MapPoint("AI0", "soc", "soc", scale=0.01, unit="%"),
        MapPoint("AI1", "p", "power", unit="kW", sign="discharge_positive"),
    )
    forms = {w.spec.point: w.spec.form for w in wire_up(points_map(*rows), RATINGS).wires}
    assert forms == {"AI0": Form.INT32, "AI1": Form.FLOAT}
    chosen = wire_up(points_map(*rows), RATINGS, form=Form.INT16)
    assert {wire.spec.form for wire in chosen.wires} == {Form.INT16}


def test_a_map_without_points_serves_a_few_that_mean_nothing() -> None:
    assert len(served(wire_up(raw_map(), RATINGS), rtac())) == 8


def test_an_event_is_due_beyond_the_deadband_or_for_other_flags() -> None:
    spec = Spec(wire_up(raw_map(), RATINGS).wires[0].spec.kind, 0, deadband=5.0)
    assert not changed(spec, RawValue(10.0, 1), RawValue(15.0, 1))
    assert changed(spec, RawValue(10.0, 1), RawValue(15.5, 1))
    assert changed(spec, RawValue(10.0, 1), RawValue(10.0, 5))
    assert changed(spec, RawValue(10.0, 1), RawValue(math.nan, 1))
    assert not changed(spec, RawValue(math.nan, 1), RawValue(math.nan, 1))


def test_the_attributes_agree_with_the_map_unless_they_lie() -> None:
    shown = attributes(points_map(), firmware="", serial="S", lying=False)
    assert (shown[242], shown[252]) == ("2.3.1", "v")
    assert attributes(points_map(), firmware="", serial="S", lying=True)[242] != "2.3.1"
    assert accepted_firmware(raw_map()) == "1.0.0"


def test_a_rating_without_a_role_shows_what_the_battery_is_rated_at() -> None:
    made = points_map(MapPoint("AI16", "rated", None, unit="Wh"))
    checks = MapFingerprint(nameplate=(NameplateCheck("rated", "capacity_wh"),))
    wiring = wire_up(replace(made, fingerprint=checks), RATINGS)
    assert served(wiring, rtac())["AI16"].value == RATINGS.capacity_wh


def test_a_heartbeat_that_the_rtac_counts_is_no_echo_of_what_is_written_back() -> None:
    beat = MapPoint("AI2", "beat", "der_heartbeat", unit="count")
    out = MapPoint("AO0", "out", "cmd_heartbeat", unit="count", variation="int32", feedback="beat")
    wiring = wire_up(points_map(beat, out), RATINGS)
    later = rtac().tick(7.0)
    assert served(wiring, later, 7.0)["AI2"].value == 7
