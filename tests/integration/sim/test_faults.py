from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import opendnp3 as dnp3
import pytest

from gateway.sim.launch import SimError, SimProcess
from tests.fixtures.deadline import DEADLINE_S
from tests.integration.sim.recording_master import (
    CORRUPT,
    LOCAL,
    OVERFLOW,
    RESTART,
    TROUBLE,
    RecordingMaster,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def sim() -> Iterator[SimProcess]:
    with SimProcess("generic-rtac", buffer=200) as process:
        yield process


@pytest.fixture
def master(sim: SimProcess) -> Iterator[RecordingMaster]:
    with RecordingMaster(sim.port, response_timeout_ms=3000) as one:
        one.integrity()
        yield one


def connections(sim: SimProcess) -> list[str]:
    return [one["what"] for one in sim.records("connection")]


def test_a_frozen_outstation_answers_nothing_and_keeps_tcp_open(
    sim: SimProcess, master: RecordingMaster
) -> None:
    assert master.link_answers()
    sim.fault("freeze")
    assert not master.link_answers()
    assert connections(sim) == ["accepted"]
    sim.clear("freeze")
    assert master.link_answers()


def test_a_mute_application_lets_the_link_answer(sim: SimProcess, master: RecordingMaster) -> None:
    sim.fault("mute")
    assert master.link_answers()
    assert master.operate(dnp3.AnalogOutputInt16(1), 0).summary != "SUCCESS"
    assert sim.controls() == []


def test_a_forgotten_connection_is_silent_and_a_new_one_works(
    sim: SimProcess, master: RecordingMaster
) -> None:
    sim.fault("half_open")
    assert not master.link_answers()
    assert connections(sim) == ["accepted", "forgotten"]
    with RecordingMaster(sim.port) as second:
        assert second.integrity()


@pytest.mark.usefixtures("master")
def test_a_dropped_connection_is_made_again(sim: SimProcess) -> None:
    sim.fault("drop")
    sim.wait_until(lambda state: state["connected"])
    assert connections(sim) == ["accepted", "dropped", "accepted"]


def test_a_refusing_rtac_lets_nobody_in_until_it_is_cleared(
    sim: SimProcess, master: RecordingMaster
) -> None:
    sim.fault("refuse_connection")
    master.wait(lambda: master.states.count("OPEN") > 1, why="a refused connection")
    assert not sim.state()["connected"]
    sim.clear("refuse_connection")
    sim.wait_until(lambda state: state["connected"])


@pytest.mark.parametrize("fault", ["garbage", "half_frame"])
def test_octets_that_make_no_sense_do_not_end_the_session(
    sim: SimProcess, master: RecordingMaster, fault: str
) -> None:
    sim.fault(fault)
    count = len(master.events("AI9"))
    master.wait(lambda: len(master.events("AI9")) > count + 1, why="heartbeats after garbage")


def test_frames_with_a_bad_crc_are_not_heard(sim: SimProcess, master: RecordingMaster) -> None:
    sim.fault("bad_crc")
    assert not master.link_answers()
    sim.clear("bad_crc")
    assert master.link_answers()


def test_a_restart_sets_its_indication_and_forgets_the_setpoint(
    sim: SimProcess, master: RecordingMaster
) -> None:
    master.operate(dnp3.AnalogOutputInt16(500), 0)
    before = len(master.iin)
    sim.fault("restart")
    master.wait(lambda: any(iin & RESTART for iin in master.iins_since(before)), why="IIN1.7")
    assert sim.state()["setpoint_w"] == 0.0
    sim.wait_until(lambda state: not state["restart_indicated"])


def test_an_overflow_loses_numbered_events_and_says_so(
    sim: SimProcess, master: RecordingMaster
) -> None:
    sim.fault("overflow=50")
    master.wait(lambda: any(iin & OVERFLOW for iin in master.iin), why="IIN2.3")
    state = sim.wait_until(lambda state: state["events_waiting"] == 0)
    lost = {one["n"] for one in sim.records("lost")}
    assert len(lost) == state["events_lost"] >= 50
    confirmed = {n for one in sim.records("confirmed") for n in one["n"]}
    assert not lost & confirmed


@pytest.mark.parametrize(
    ("fault", "bit"), [("local", LOCAL), ("device_trouble", TROUBLE), ("config_corrupt", CORRUPT)]
)
def test_an_indication_can_be_forced(
    sim: SimProcess, master: RecordingMaster, fault: str, bit: int
) -> None:
    sim.fault(fault)
    master.wait(lambda: master.iin and master.iin[-1] & bit, why=fault)


@pytest.mark.parametrize(
    ("fault", "point", "flags"),
    [
        ("forced=AI1", "AI1", 0x11),
        ("comm_lost=AI1", "AI1", 0x04),
        ("offline=BI1", "BI1", 0x00),
        ("chatter=BI1", "BI1", 0x21),
        ("over_range=AI1", "AI1", 0x21),
        ("nan=AI0", "AI0", 0x40),
    ],
)
def test_a_fault_on_a_point_is_an_event_with_its_flags(
    sim: SimProcess, master: RecordingMaster, fault: str, point: str, flags: int
) -> None:
    sim.fault(fault)
    master.wait(lambda: [e for e in master.events(point) if e.flags == flags], why=fault)
    assert master.integrity()[point].raw.flags == flags


def test_a_float_can_be_no_number(sim: SimProcess, master: RecordingMaster) -> None:
    sim.fault("nan=AI1")
    value = master.integrity()["AI1"].raw.value
    assert value != value  # noqa: PLR0124 - only NaN differs from itself


def test_a_raw_value_can_be_anything(sim: SimProcess, master: RecordingMaster) -> None:
    sim.fault("value=AI0:12345")
    master.wait(lambda: [e for e in master.events("AI0") if e.value == 12345], why="the value")


def test_another_firmware_serves_another_layout_after_a_restart(
    sim: SimProcess, master: RecordingMaster
) -> None:
    assert "AI9" in master.integrity()
    sim.fault("wrong_firmware=an2018-storage")
    sim.wait_until(lambda state: state["connected"] and not state["restart_indicated"])
    assert "AI537" in master.integrity()
    sim.clear("wrong_firmware")
    assert sim.state()["map"] == "generic-rtac@1.0.0"


def test_a_clock_that_jumps_shows_in_the_times_of_events(
    sim: SimProcess, master: RecordingMaster
) -> None:
    sim.fault("clock_jump=-3600")
    sim.fault("breaker_open")
    event = master.wait(lambda: master.events("DBI0"), why="an event")[0]
    assert event.rt_ms - event.at_ms == pytest.approx(3_600_000, abs=60_000)


def test_events_of_a_clock_never_set_say_so(sim: SimProcess, master: RecordingMaster) -> None:
    sim.fault("clock_unsynced")
    sim.fault("breaker_open")
    event = master.wait(lambda: master.events("DBI0"), why="an event")[0]
    assert event.tq == "unsynced"


def test_the_wrong_power_sign_is_served_while_the_truth_is_known(
    sim: SimProcess, master: RecordingMaster
) -> None:
    master.operate(dnp3.AnalogOutputInt16(500), 0)
    master.operate(dnp3.ControlRelayOutputBlock(dnp3.OperationType.LATCH_ON), 0)
    sim.wait_until(lambda state: state["power_w"] > 400_000)
    sim.fault("lie_power_sign")
    sim.wait_until(lambda _: float(master.integrity()["AI1"].raw.value) < -300.0)


def test_a_dead_heartbeat_stands_still_while_the_session_lives(
    sim: SimProcess, master: RecordingMaster
) -> None:
    sim.fault("dead_heartbeat")
    value = master.integrity()["AI9"].raw.value
    sim.fault("local")
    master.wait(lambda: [e for e in master.events("BI0") if e.value == 0], why="local")
    assert master.integrity()["AI9"].raw.value == value


def test_an_unknown_fault_is_refused_and_the_simulator_goes_on(sim: SimProcess) -> None:
    with pytest.raises(SimError, match="must be one of"):
        sim.fault("frieze")
    with pytest.raises(SimError, match="an2018-storage"):
        sim.fault("wrong_firmware=nobody")
    assert sim.state()["connected"] is False


def test_a_wrong_option_says_what_is_allowed() -> None:
    with pytest.raises(SimError, match=r"--soc 140.0: must be 0..100"):
        SimProcess("generic-rtac", soc=140.0)
    with pytest.raises(SimError, match=r"must be one of .*generic-rtac"):
        SimProcess("nobody")


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SimError, match=f"port {port}"):
            SimProcess("generic-rtac", port=port)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_exit_0(number: int, tmp_path: Path) -> None:
    arguments = ["--map=generic-rtac", "--port=0", f"--record={tmp_path / 'record'}"]
    with subprocess.Popen(
        [sys.executable, "-m", "gateway.sim", *arguments], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert json.loads(child.stdout.readline())["listening"] > 0
        child.send_signal(number)
        assert child.wait(DEADLINE_S) == 0


def test_two_runs_with_one_seed_measure_the_same_noise() -> None:
    values = []
    for _ in range(2):
        with (
            SimProcess("generic-rtac", seed=7, measure_s=60) as sim,
            RecordingMaster(sim.port) as master,
        ):
            values.append(master.integrity()["AI2"].raw.value)
    assert values[0] == values[1]
