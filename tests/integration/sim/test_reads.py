from __future__ import annotations

import opendnp3 as dnp3
import pytest

from gateway.measured import Quality, TimeQuality
from gateway.points.decode import decode
from gateway.points.derive import DerivedPoints
from gateway.sim.launch import SimProcess
from gateway.site.maps import load_maps
from tests.integration.sim.recording_master import NEED_TIME, RecordingMaster

MAPS = {one.id: one for one in load_maps()}
TRUTHS = {  # role -> what it must read, from what is really so
    "soc": ("soc_pct", 0.2),
    "soc_actual": ("soc_pct", 0.2),
    "power": ("power_w", 20_000.0),
    "energy_stored": ("energy_wh", 10_000.0),
}


@pytest.mark.parametrize("name", [one for one in sorted(MAPS) if MAPS[one].points])
def test_every_point_of_a_shipped_map_reads_back_as_the_truth(name: str) -> None:
    points_map = MAPS[name]
    with (
        SimProcess(name, scenario="daily", measure_s=0.05) as sim,
        RecordingMaster(sim.port) as master,
    ):
        sim.wait_until(lambda state: abs(state["power_w"]) > 50_000)
        heard = master.integrity()
        state = sim.state()
    named = {row.source for row in points_map.points if row.how is None}
    beside = {point for row in points_map.points for point in (row.low, row.off_point) if point}
    assert named | beside == set(heard)
    read = tuple(one.raw for one in heard.values())
    whole, _ = DerivedPoints(points_map).completed(read, asked_at=0.0)
    latest = {raw.point: raw for raw in whole}
    for row in points_map.points:
        found = decode(latest[row.point], row)
        assert found.quality is (Quality.GOOD if row.how is None else Quality.DERIVED), row.name
        if row.role in TRUTHS:
            key, tolerance = TRUTHS[row.role]
            assert found.value == pytest.approx(state[key], abs=tolerance + 2 * row.step), row.name


def test_the_raw_map_serves_points_that_mean_nothing() -> None:
    with SimProcess("raw") as sim, RecordingMaster(sim.port) as master:
        assert sorted(master.integrity()) == [f"AI{index}" for index in range(8)]


@pytest.mark.parametrize(
    ("analog", "static", "event"),
    [("int16", 2, 4), ("int32", 1, 3), ("float", 5, 7), ("double", 6, 8)],
)
def test_analogs_travel_in_every_form_as_static_and_as_event(
    analog: str, static: int, event: int
) -> None:
    with (
        SimProcess("generic-rtac", analog=analog, nameplate_w=1e6, capacity_wh=2e6) as sim,
        RecordingMaster(sim.port) as master,
    ):
        assert master.integrity()["AI1"].variation == static
        master.wait(lambda: master.events("AI9"), why="a heartbeat event")
        assert {one.variation for one in master.heard if one.raw.event} == {event}


def test_a_range_and_another_variation_can_be_read() -> None:
    with SimProcess("generic-rtac") as sim, RecordingMaster(sim.port) as master:
        heard = master.scan([dnp3.Header.Range8(30, 5, 0, 1)])
        assert [(one.raw.point, one.variation) for one in heard] == [("AI0", 5), ("AI1", 5)]


def test_events_come_unasked_with_the_time_of_the_outstation() -> None:
    with SimProcess("generic-rtac") as sim, RecordingMaster(sim.port) as master:
        master.integrity()
        sim.fault("breaker_open")
        event = master.wait(lambda: master.events("DBI0"), why="a double-bit event")[0]
        recorded = next(one for one in sim.records("event") if one["point"] == "DBI0")
    heard = next(one for one in master.heard if one.raw == event)
    assert (heard.group, heard.variation, heard.unsolicited) == (4, 2, True)
    assert (event.value, event.tq) == (1, TimeQuality.SYNCED)
    assert event.at_ms == recorded["at_ms"]


def test_every_class_holds_its_events_until_they_are_polled() -> None:
    with (
        SimProcess("generic-rtac", no_unsolicited=True, scenario="daily", measure_s=0.1) as sim,
        RecordingMaster(sim.port, unsolicited=False) as master,
    ):
        master.integrity()
        sim.fault("breaker_open")
        sim.wait_until(lambda state: state["events_waiting"] > 5)
        assert not any(one.unsolicited for one in master.heard)
        heard = master.scan([dnp3.Header.AllObjects(60, 2)])
        assert {one.group for one in heard} == {4}
        assert 32 in {one.group for one in master.scan([dnp3.Header.AllObjects(60, 3)])}


def test_counters_count_energy_and_report_it() -> None:
    with (
        SimProcess(
            "generic-rtac", scenario="daily", measure_s=0.1, nameplate_w=2e8, capacity_wh=1e9
        ) as sim,
        RecordingMaster(sim.port) as master,
    ):
        event = master.wait(lambda: master.events("CTR1"), why="a counter event")[0]
    assert event.value >= 1


def test_the_master_can_set_the_clock() -> None:
    with (
        SimProcess("generic-rtac", faults=["clock_unsynced", "clock_jump=-86400"]) as sim,
        RecordingMaster(sim.port, time_sync=True) as master,
    ):
        master.wait(lambda: any(iin & NEED_TIME for iin in master.iin), why="IIN1.4")
        sim.wait_until(lambda state: "clock_jump" not in state["faults"])
        written = sim.records("time_written")[0]
        assert abs(written["written_ms"] - written["unix_ms"]) < 5000


def test_load_is_numbered_and_a_dropped_connection_loses_none_of_it() -> None:
    with SimProcess("generic-rtac", events_per_s=500) as sim, RecordingMaster(sim.port) as master:
        sim.wait_until(lambda state: state["load_sent"] > 4000)
        sim.fault("drop")
        sent = sim.wait_until(lambda state: state["events_confirmed"] > 6000)
        assert sent["events_lost"] == 0
        confirmed = {n for one in sim.records("confirmed") for n in one["n"]}
        by_number = {one["n"]: one for one in sim.records("event")}
        heard = {
            (one.raw.point, one.raw.value, one.raw.at_ms)
            for one in list(master.heard)
            if one.raw.event
        }
    for n in confirmed:
        event = by_number[n]
        if event["point"].startswith("AI200"):
            assert (event["point"], event["value"], event["at_ms"]) in heard


class _Attributes(dnp3.ISOEHandler):
    def __init__(self) -> None:
        super().__init__()
        self.taken: dict[int, str] = {}

    def OnDeviceAttribute(  # noqa: N802 - opendnp3 calls it
        self, _info: dnp3.HeaderInfo, _set: int, variation: int, value: dnp3.DeviceAttributeValue
    ) -> None:
        self.taken[variation] = value.stringValue


@pytest.mark.parametrize(("fault", "version"), [((), "1.0"), (("wrong_firmware",), "0.0.0-other")])
def test_the_device_attributes_name_the_firmware(fault: tuple[str, ...], version: str) -> None:
    with (
        SimProcess("generic-rtac", faults=fault) as sim,
        RecordingMaster(sim.port) as master,
    ):
        master.integrity()
        attributes = _Attributes()
        master.master.Scan([dnp3.Header.AllObjects(0, 254)], attributes)
        sim.wait_until(lambda _: len(attributes.taken) > 3)
    assert attributes.taken[242].startswith(version)
    assert attributes.taken[252] == "generic"
