"""What a points map can say, against an outstation of another library that serves it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.asset.description import point_table
from gateway.clock import now
from gateway.control.execution.plan import switch_write
from gateway.measured import Quality
from gateway.points.pointmap import control_refusals
from gateway.ports import OutcomeKind
from tests.fixtures.mapped_site import MappedSite

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.asset.monitor import Monitor
    from gateway.measured import Measured

BITS = """
[[points]]
point = "AI12"
name = "status"
bits = { "5" = "alarm:hot" }
[[points]]
point = "AI12.0"
name = "local"
role = "local"
[[points]]
point = "AI12.3"
name = "breaker"
role = "breaker"
[[points]]
point = "AI12.4"
name = "open"
role = "lockout"
invert = true
[[points]]
point = "AI12.31"
name = "last"
role = "started"
"""


def test_bits_of_a_status_word_are_flags_and_telemetry_keeps_the_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MappedSite(tmp_path, monkeypatch, BITS) as site:
        assert site.value("local", is_=False).quality is Quality.GOOD
        assert site.value("breaker", is_=True).source == "AI12.3"
        assert site.value("started", is_=True).quality is Quality.GOOD
        assert site.value("lockout", is_=False).quality is Quality.GOOD  # 1: inverted
        site.sim.fault("local")
        site.sim.fault("alarm=hot")
        site.value("local", is_=True)
        codes = site.until(lambda one: bool(one.battery.state(now()).alarms))
        assert [one.code for one in codes.battery.state(now()).alarms] == ["hot"]
        assert {raw.point for raw in site.sink.points} == {"AI12"}
        assert site.monitor.counts.readings == len(site.sink.points)
        words = {raw.value for raw in site.sink.points}
        assert words >= {0b11000 - 2**31}  # bit 31 is the sign of a 32-bit integer
        site.sim.fault("offline=AI12")
        gone = site.until(lambda one: _quality(one.battery.value("local", now())) is Quality.BAD)
        assert _quality(gone.battery.value("breaker", now())) is Quality.BAD


CODES = """
[[points]]
point = "AI7"
name = "estop"
role = "estop_status"
on = [170, 171]
off = 85
[[points]]
point = "CTR2"
name = "tripped"
role = "fault"
on = 1
off = 0
"""


def test_codes_of_a_number_are_on_or_off_and_any_other_is_bad(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MappedSite(tmp_path, monkeypatch, CODES) as site:
        assert site.value("estop_status", is_=False).quality is Quality.GOOD
        assert site.value("fault", is_=False).quality is Quality.GOOD
        site.sim.fault("estop")
        site.sim.fault("trip")
        site.value("estop_status", is_=True)
        site.value("fault", is_=True)
        assert site.monitor.battery.faults == ("tripped",)
        site.sim.fault("value=AI7:171")
        assert site.value("estop_status", is_=True).quality is Quality.GOOD
        site.sim.clear("value")
        site.sim.fault("value=AI7:0")
        site.until(lambda one: _quality(one.battery.value("estop_status", now())) is Quality.BAD)
        table = {row["point"]: row for row in point_table(site.map)}
        assert (table["AI7"]["on"], table["AI7"]["off"]) == ([170, 171], [85])


ALARM_CODES = """
[[points]]
point = "AI20"
name = "trouble"
role = "fault"
codes = { "0" = "", "17" = "alarm:over_temp", "18" = "fault:inverter", "*" = "fault:e{code}" }
"""


def told(site: MappedSite, *codes: str) -> None:
    def holds(monitor: Monitor) -> bool:
        state = monitor.battery.state(now())
        return {one.code for one in (*state.alarms, *state.faults)} == set(codes)

    site.until(holds)


def test_a_numeric_code_is_the_alarm_or_fault_that_it_names_while_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MappedSite(tmp_path, monkeypatch, ALARM_CODES) as site:
        site.sim.fault("trip=inverter")
        told(site, "inverter")
        site.sim.clear("trip")
        site.sim.fault("alarm=over_temp")
        told(site, "over_temp")
        site.sim.fault("value=AI20:4711")
        told(site, "e4711")
        assert site.monitor.battery.faults == ("e4711",)
        site.sim.clear("value")
        site.sim.fault("value=AI20:0")
        told(site)
        assert point_table(site.map)[0]["codes"] == {
            "0": "",
            "17": "alarm:over_temp",
            "18": "fault:inverter",
            "*": "fault:e{code}",
        }


UNITS = """
[[points]]
point = "AI1"
name = "temp"
role = "temp_max"
unit = "degF"
scale = 0.1
[[points]]
point = "AI2"
name = "soc"
role = "soc"
unit = "pu"
scale = 0.001
[[points]]
point = "AI3"
name = "poi_q"
role = "poi_reactive"
unit = "Mvar"
scale = 0.0001
sign = "discharge_positive"
[[points]]
point = "AI4"
name = "dc"
role = "dc_current"
unit = "kA"
scale = 0.001
"""


def test_units_of_other_countries_and_sizes_arrive_in_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MappedSite(tmp_path, monkeypatch, UNITS) as site:
        for forced in ("AI1:1040", "AI2:634", "AI3:-12", "AI4:321"):
            site.sim.fault(f"value={forced}")
        assert site.value("temp_max", is_=40.0).quality is Quality.GOOD  # 104 degF
        assert site.value("soc", is_=63.4).quality is Quality.GOOD
        site.value("poi_reactive", is_=-1200.0)
        site.value("dc_current", is_=321.0)


UNITS_OF_ONE = """
[[points]]
point = "AI1"
name = "soc_1"
unit = "%"
scale = 0.1
[[points]]
point = "AI2"
name = "soc_2"
unit = "%"
scale = 0.1
[[points]]
point = "AI3"
name = "free_1"
unit = "kW"
[[points]]
point = "AI4"
name = "free_2"
unit = "MW"
scale = 0.001
[[points]]
point = "AI6.0"
name = "local_1"
[[points]]
point = "BI6"
name = "local_2"
[[combined]]
name = "soc"
role = "soc"
how = "weighted"
of = ["soc_1", "soc_2"]
weights = [1, 3]
[[combined]]
name = "free"
role = "avail_discharge"
how = "sum"
of = ["free_1", "free_2"]
[[combined]]
name = "local"
role = "local"
how = "any"
of = ["local_1", "local_2"]
"""


def test_several_units_are_one_battery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with MappedSite(tmp_path, monkeypatch, UNITS_OF_ONE) as site:
        assert site.value("soc", is_=60.0).quality is Quality.DERIVED  # as the simulator begins
        for forced in ("AI1:200", "AI2:600", "AI3:250", "AI4:500"):
            site.sim.fault(f"value={forced}")
        site.value("soc", is_=50.0)
        assert site.value("avail_discharge", is_=750_000.0).quality is Quality.DERIVED
        assert site.value("local", is_=False).quality is Quality.DERIVED
        site.sim.fault("local")
        site.value("local", is_=True)
        assert {raw.point for raw in site.sink.points} == {f"AI{n}" for n in (1, 2, 3, 4, 6)} | {
            "BI6"
        }
        site.sim.fault("offline=AI2")
        site.until(lambda one: _quality(one.battery.value("soc", now())) is Quality.BAD)
        assert _quality(site.monitor.battery.value("local", now())) is Quality.DERIVED
        whole = next(one for one in point_table(site.map) if one["point"] == "@soc")
        assert (whole["how"], whole["of"], whole["weights"]) == (
            "weighted",
            ["AI1", "AI2"],
            [1.0, 3.0],
        )


HALVES = """
[[points]]
point = "AI10"
name = "stored"
role = "energy_stored"
unit = "Wh"
low = "AI11"
type = "uint32"
[[points]]
point = "AI20"
name = "reactive"
role = "reactive_power"
unit = "var"
sign = "discharge_positive"
low = "AI25"
type = "int32"
"""


def test_a_value_in_two_points_is_one_and_is_shipped_as_it_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MappedSite(tmp_path, monkeypatch, HALVES) as site:
        for forced in ("AI10:7", "AI11:65535", "AI20:-1", "AI25:64536"):
            site.sim.fault(f"value={forced}")
        assert site.value("energy_stored", is_=7 * 65536 + 65535.0).quality is Quality.GOOD
        assert site.value("reactive_power", is_=-1000.0).quality is Quality.GOOD
        shipped = {raw.point: raw.value for raw in site.sink.points}
        assert shipped == {"AI10": 7, "AI11": 65535, "AI20": -1, "AI25": 64536}
        site.sim.fault("offline=AI11")
        site.until(lambda one: _quality(one.battery.value("energy_stored", now())) is Quality.BAD)


def test_the_shipped_example_of_every_form_is_served_and_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MappedSite(tmp_path, monkeypatch, "example-site-controller@1") as site:
        site.value("soc", is_=pytest.approx(60.0))
        forced = ("AI0:262", "AI10:300", "AI11:900", "AI30:2", "AI31:1", "AI22:104", "AI21:-500")
        for one in forced:
            site.sim.fault(f"value={one}")
        site.sim.fault("alarm=over_temp")
        site.value("soc", is_=pytest.approx(50.0))  # 2 MWh at 30 %, 1 MWh at 90 %
        assert site.value("energy_discharge_total", is_=131_073_000.0).quality is Quality.GOOD
        site.value("temp_max", is_=pytest.approx(40.0))
        site.value("reactive_power", is_=-500_000.0)
        site.value("stopped", is_=True)
        site.value("local", is_=False)
        site.value("estop_status", is_=False)
        told(site, "fan", "over_temp")
        site.reads("FC0", is_=0.0)
        assert control_refusals(site.map) == ()


FROZEN = """
[[points]]
point = "CTR3"
name = "running_total"
unit = "kWh"
[[points]]
point = "FC3"
name = "total_at_midnight"
unit = "kWh"
"""


def test_a_frozen_counter_is_read_and_shipped_under_its_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MappedSite(tmp_path, monkeypatch, FROZEN) as site:
        site.reads("FC3", is_=0.0)
        site.sim.fault("value=FC3:77")  # an event, group 23
        site.reads("FC3", is_=77_000.0)
        shipped = {(raw.point, raw.value) for raw in site.sink.points}
        assert shipped == {("CTR3", 0), ("FC3", 0), ("FC3", 77)}


INPUTS = """
[map.control]
op_mode = "direct"
[[points]]
point = "AI7"
name = "enabled"
role = "mode_enabled"
on = 2
off = 1
[[points]]
point = "AI8.2"
name = "held"
role = "lockout"
[[points]]
point = "AI8.3"
name = "halted"
role = "stopped"
"""
# What is written, by a row of the map: the record of the simulator for on, and for off.
OUTPUTS = {
    "codes": (
        (
            'point = "AO0"\nrole = "cmd_mode_enable"\nfeedback = "enabled"\nvariation = "int16"\n'
            "on = 170\noff = 85"
        ),
        {"point": "AO0", "raw": 170},
        {"point": "AO0", "raw": 85},
    ),
    "latch": (
        'point = "BO0"\nrole = "cmd_mode_enable"\nfeedback = "enabled"',
        {"point": "BO0", "code": 3},
        {"point": "BO0", "code": 4},
    ),
    "close and trip": (
        (
            'point = "BO0"\nrole = "cmd_mode_enable"\nfeedback = "enabled"\nop = "close_trip"\n'
            "on_ms = 700\noff_ms = 0"
        ),
        {"point": "BO0", "code": 0x41, "on_ms": 700, "off_ms": 0, "count": 1},
        {"point": "BO0", "code": 0x81, "on_ms": 700, "off_ms": 0, "count": 1},
    ),
    "inverted close and trip": (
        (
            'point = "BO0"\nrole = "cmd_mode_enable"\nfeedback = "enabled"\nop = "close_trip"\n'
            "invert = true"
        ),
        {"point": "BO0", "code": 0x81},
        {"point": "BO0", "code": 0x41},
    ),
    "pair of pulses": (
        (
            'point = "BO0"\nrole = "cmd_lockout"\nfeedback = "held"\nop = "pulse"\n'
            'off_point = "BO1"\ncount = 2'
        ),
        {"point": "BO0", "code": 1, "on_ms": 100, "off_ms": 100, "count": 2},
        {"point": "BO1", "code": 1, "on_ms": 100, "off_ms": 100, "count": 2},
    ),
    "pair of latches": (
        'point = "BO0"\nrole = "cmd_lockout"\nfeedback = "held"\noff_point = "BO1"',
        {"point": "BO0", "code": 3},
        {"point": "BO1", "code": 3},
    ),
    "pulse": (
        'point = "BO2"\nrole = "cmd_stop"\nfeedback = "halted"\non_ms = 250',
        {"point": "BO2", "code": 1, "on_ms": 250},
        None,
    ),
    "run permissive": (
        'point = "BO2"\nrole = "cmd_stop"\nfeedback = "halted"\nop = "latch"\ninvert = true',
        {"point": "BO2", "code": 4},
        None,
    ),
    "stop by a code": (
        'point = "AO3"\nrole = "cmd_stop"\nfeedback = "halted"\nvariation = "int32"\non = 2',
        {"point": "AO3", "raw": 2},
        None,
    ),
}


@pytest.mark.parametrize("form", OUTPUTS)
def test_an_output_is_operated_as_its_row_says_and_its_echo_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    row, on, off = OUTPUTS[form]
    text = f'{INPUTS}[[points]]\nname = "output"\n{row}\n'
    with MappedSite(tmp_path, monkeypatch, text) as site:
        role = site.map.by_name["output"].role
        assert role is not None
        site.until(lambda one: one.up)
        for wanted, record in ((True, on), (False, off)):
            if record is None:  # only ever asked to be on
                continue
            write = switch_write(site.map, role, on=wanted)
            assert site.operate(write.control).kind is OutcomeKind.SUCCESS
            site.reads(write.echo, is_=wanted)
            done = site.sim.controls()[-1]
            assert {key: done[key] for key in record} == record


def _quality(measured: Measured | None) -> Quality:
    return Quality.MISSING if measured is None else measured.quality
