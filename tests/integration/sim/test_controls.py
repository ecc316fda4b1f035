from __future__ import annotations

from typing import TYPE_CHECKING

import opendnp3 as dnp3
import pytest

from gateway.clock import now
from gateway.sim.launch import SimProcess
from tests.integration.sim.recording_master import Outcome, RecordingMaster

if TYPE_CHECKING:
    from collections.abc import Iterator

SUCCESS = Outcome("SUCCESS", 0)
DEADMAN_S = 4.0  # a busy machine gets some controls out and looks at what they did
LATCH_ON = dnp3.ControlRelayOutputBlock(dnp3.OperationType.LATCH_ON)


@pytest.fixture
def sim() -> Iterator[SimProcess]:
    with SimProcess("generic-rtac", deadman_s=DEADMAN_S) as process:
        yield process


@pytest.fixture
def master(sim: SimProcess) -> Iterator[RecordingMaster]:
    with RecordingMaster(sim.port) as one:
        one.integrity()
        yield one


@pytest.mark.parametrize("sbo", [False, True])
@pytest.mark.parametrize(
    "command",
    [
        dnp3.AnalogOutputInt16(-750),
        dnp3.AnalogOutputInt32(-750),
        dnp3.AnalogOutputFloat32(-750.0),
        dnp3.AnalogOutputDouble64(-750.0),
    ],
    ids=["int16", "int32", "float", "double"],
)
def test_a_setpoint_is_accepted_echoed_and_recorded(
    sim: SimProcess, master: RecordingMaster, command: object, *, sbo: bool
) -> None:
    asked_at = now().mono_s
    assert master.operate(command, 0, sbo=sbo) == SUCCESS
    echo = master.wait(lambda: master.events("AI8"), why="an echo")[-1]
    assert echo.value == -750.0
    functions = [one["function"] for one in sim.controls("AO0")]
    assert functions == (["SELECT", "OPERATE"] if sbo else ["DIRECT_OPERATE"])
    last = sim.controls("AO0")[-1]
    assert (last["value"], last["status"], last["role"]) == (-750_000.0, 0, "cmd_power")
    assert asked_at <= last["mono_s"] <= now().mono_s


def test_power_follows_an_enabled_setpoint(sim: SimProcess, master: RecordingMaster) -> None:
    assert master.operate(LATCH_ON, 0, sbo=True) == SUCCESS
    assert master.operate(dnp3.AnalogOutputInt16(500), 0) == SUCCESS
    sim.wait_until(lambda state: state["power_w"] > 450_000)
    master.wait(
        lambda: [e for e in master.events("AI1") if float(e.value) > 450.0], why="measured power"
    )


def test_a_heartbeat_is_echoed_and_keeps_the_setpoint_alive(
    sim: SimProcess, master: RecordingMaster
) -> None:
    master.operate(dnp3.AnalogOutputInt16(500), 0)
    started = now().mono_s
    beat = 0
    while now().mono_s - started < 2 * DEADMAN_S:
        beat += 1
        assert master.operate(dnp3.AnalogOutputInt16(beat), 1) == SUCCESS
        assert sim.state()["setpoint_w"] == 500_000.0
    master.wait(lambda: [e for e in master.events("AI10") if e.value == beat], why="the echo")


def test_the_deadman_zeroes_the_setpoint_and_only_a_new_one_revives_it(
    sim: SimProcess, master: RecordingMaster
) -> None:
    master.operate(dnp3.AnalogOutputInt16(1), 1)
    master.operate(dnp3.AnalogOutputInt16(500), 0)
    tripped = sim.wait_until(lambda state: state["trips"] == 1)
    assert (tripped["setpoint_w"], tripped["latched"]) == (0.0, False)
    assert sim.records("rtac")[0]["cause"] == "deadman"
    master.wait(lambda: [e for e in master.events("AI8") if e.value == 0.0], why="a zero echo")
    master.operate(dnp3.AnalogOutputInt16(2), 1)
    assert sim.state()["setpoint_w"] == 0.0
    master.operate(dnp3.AnalogOutputInt16(100), 0)
    assert sim.state()["setpoint_w"] == 100_000.0


def test_the_reversion_timer_of_a_map_that_has_one_ends_the_setpoint() -> None:
    with SimProcess("an2018-storage") as sim, RecordingMaster(sim.port) as master:
        master.integrity()
        assert master.operate(dnp3.AnalogOutputInt32(1), 92) == SUCCESS
        assert master.operate(dnp3.AnalogOutputInt32(500), 93) == SUCCESS
        assert sim.controls("AO93")[0]["value"] == pytest.approx(1_000_000.0)
        assert sim.wait_until(lambda state: state["trips"] == 1)["last_trip"] == "reversion"


@pytest.mark.parametrize(
    ("fault", "value", "status"),
    [
        ("refuse_controls=9", 100, 9),
        ("refuse_controls=13", 0, 13),
        ("refuse_zero=10", 0, 10),
        ("local", 0, 7),
        ("estop", 100, 6),
        ("", 32_000, 12),
    ],
)
def test_a_refused_setpoint_has_its_status_and_no_effect(
    sim: SimProcess, master: RecordingMaster, fault: str, value: int, status: int
) -> None:
    if fault:
        sim.fault(fault)
    outcome = master.operate(dnp3.AnalogOutputInt16(value), 0)
    assert outcome.status == status
    assert sim.state()["setpoint_w"] == 0.0
    assert sim.controls("AO0")[0]["status"] == status


def test_an_output_that_does_not_exist_is_not_supported(master: RecordingMaster) -> None:
    assert master.operate(dnp3.AnalogOutputInt16(1), 77).status == 4
    assert master.operate(LATCH_ON, 77).status == 4


def test_a_muted_control_is_carried_out_and_not_answered(
    sim: SimProcess, master: RecordingMaster
) -> None:
    sim.fault("mute_controls")
    assert master.operate(dnp3.AnalogOutputInt16(100), 0).summary != "SUCCESS"
    assert sim.controls("AO0")[0]["status"] == 0


def test_a_muted_select_is_not_operated_and_direct_operates_are_answered(
    sim: SimProcess, master: RecordingMaster
) -> None:
    sim.fault("mute_selects")
    assert master.operate(dnp3.AnalogOutputInt16(100), 0, sbo=True).summary != "SUCCESS"
    assert [one["function"] for one in sim.controls("AO0")] == ["SELECT"]
    assert sim.state()["setpoint_w"] == 0.0
    assert master.operate(dnp3.AnalogOutputInt16(100), 0) == SUCCESS


@pytest.mark.parametrize("sbo", [False, True])
def test_one_control_is_refused_and_the_next_one_taken(
    sim: SimProcess, master: RecordingMaster, *, sbo: bool
) -> None:
    sim.fault("refuse_next=2")
    assert master.operate(dnp3.AnalogOutputInt16(1), 1) == SUCCESS  # a heartbeat does not spend it
    assert master.operate(dnp3.AnalogOutputInt16(100), 0, sbo=sbo).status == 2
    assert sim.state()["setpoint_w"] == 0.0
    assert master.operate(dnp3.AnalogOutputInt16(100), 0, sbo=sbo) == SUCCESS
    assert sim.state()["setpoint_w"] == 100_000.0


def test_a_restart_that_resumes_the_setpoint_keeps_it_until_the_deadman_trips(
    sim: SimProcess, master: RecordingMaster
) -> None:
    master.operate(LATCH_ON, 0, sbo=True)
    master.operate(dnp3.AnalogOutputInt16(500), 0)
    sim.fault("resume_setpoint")
    sim.fault("restart")
    resumed = sim.state()
    assert (resumed["setpoint_w"], resumed["enabled"]) == (500_000.0, True)
    assert sim.wait_until(lambda state: state["trips"] == 1)["setpoint_w"] == 0.0


def test_what_is_in_force_is_on_record_whenever_it_changes(
    sim: SimProcess, master: RecordingMaster
) -> None:
    master.operate(dnp3.AnalogOutputInt16(1), 1)
    master.operate(LATCH_ON, 0, sbo=True)
    master.operate(dnp3.AnalogOutputInt16(500), 0)
    sim.fault("local")
    sim.clear("local")
    sim.wait_until(lambda state: state["trips"] == 1)
    rows = sim.records("setpoint")
    assert [(row["setpoint_w"], row["target_w"]) for row in rows] == [
        (500_000.0, 500_000.0),
        (0.0, 0.0),
        (500_000.0, 500_000.0),
        (0.0, 0.0),
    ]
    assert [row["mono_s"] for row in rows] == sorted(row["mono_s"] for row in rows)


@pytest.mark.parametrize(
    ("name", "stop", "reserve"),
    [("generic-rtac", 1, (2, "AI11")), ("an2018-storage", 2, (100, "AI161"))],
)
def test_stop_and_reserve_are_taken_by_both_maps(
    name: str, stop: int, reserve: tuple[int, str]
) -> None:
    with SimProcess(name) as sim, RecordingMaster(sim.port) as master:
        master.integrity()
        pulse = dnp3.ControlRelayOutputBlock(dnp3.OperationType.PULSE_ON)
        assert master.operate(pulse, stop, sbo=True) == SUCCESS
        assert sim.state()["stopped"]
        assert master.operate(dnp3.AnalogOutputInt32(355), reserve[0]) == SUCCESS
        assert master.integrity()[reserve[1]].raw.value == 355
