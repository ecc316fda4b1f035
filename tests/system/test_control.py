"""Control on a booted machine: an operator commissions it, and no stop leaves a battery running.

The tests follow each other: each begins with control on and the battery idle.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gateway import clock
from gateway.cloud.dispatcher.client import BrokerAccess, Dispatcher
from tests.fixtures.control_rig import DEADMAN_S, who, write_safety
from tests.system.conftest import NEXT
from tests.system.machines import DEADLINE_S, ETC, STATE, UNIT, Machine
from tests.system.sites import ASSET, GATEWAY, Site, ask, main_pid, start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.system.conftest import Boots

POWER_W = 500_000
OPERATOR = "oona"
DECIDED = {"succeeded", "rejected", "failed"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A broker, and a battery that only does what it is told."""
    folder = tmp_path_factory.mktemp("site")
    with Site(folder, scenario="idle", deadman_s=DEADMAN_S).running() as site:
        yield site


@pytest.fixture(scope="module")
def box(
    release: str, boots: Boots, site: Site, version: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """A gateway with safety.toml, not commissioned yet, on a machine that can be rebooted."""
    with boots(release, host_net=True, kept=tmp_path_factory.mktemp("kept")) as machine:
        machine.add_repository()
        machine.apt("install", f"bess-gateway={version}")
        site.configure(machine)
        _safety(machine, tmp_path_factory.mktemp("safety"))
        machine.run("useradd", "--groups", "bess-operators", OPERATOR)
        start(machine)
        yield machine


@pytest.fixture(scope="module")
def dispatcher(box: Machine, site: Site) -> Iterator[Dispatcher]:
    """The cloud, which answers challenges all the time."""
    del box
    cert, key = site.pki.client("dispatcher")
    link = BrokerAccess("localhost", site.broker.port, site.pki.ca, cert, key, "dispatcher")
    signers, (pulse,) = who("ops-1"), who("pulse-1")
    with Dispatcher(link, gateway=GATEWAY, signers=signers, heartbeat=pulse) as dispatcher:
        yield dispatcher


def test_an_operator_commissions_it_on_the_box(box: Machine, dispatcher: Dispatcher) -> None:
    assert dispatcher.connected
    shown = json.loads(_operator(box, "commission show --json"))
    assert shown["reasons"]
    _operator(box, f"commission acknowledge --yes {shown['safetyDigest']}")
    assert "passed" in _operator(box, "commission deadman-test --hold 2")
    assert "passed" in _operator(box, "commission sign-test --hold 3")
    box.until(lambda: _control(box)["state"] == "IDLE", "control is on")
    assert box.run("stat", "-c", "%U:%G", "/var/lib/bess-gateway/control.db").strip() == (
        "bess-gateway:bess-gateway"
    )
    box.run("bess-gateway", "audit", "verify")


def test_a_stop_idles_the_battery_first(box: Machine, site: Site, dispatcher: Dispatcher) -> None:
    began_ms = _discharge(box, site, dispatcher)
    box.run("systemctl", "stop", UNIT)
    _idled_before_it_ended(box, site, began_ms)
    assert box.show("Result") == "success"
    start(box)


def test_a_reboot_idles_the_battery_first_and_resumes_nothing(
    box: Machine, site: Site, dispatcher: Dispatcher
) -> None:
    began_ms = _discharge(box, site, dispatcher)
    box.reboot()
    _idled_before_it_ended(box, site, began_ms)
    box.until(lambda: _control(box).get("state") == "IDLE", "it is idle, and not armed")
    assert site.rtac.state()["setpoint_w"] == 0.0


def test_a_latch_survives_restart_reboot_and_another_version(
    box: Machine, site: Site, dispatcher: Dispatcher
) -> None:
    _discharge(box, site, dispatcher)
    site.rtac.fault("refuse_zero=10")
    dispatcher.send(ASSET, "idle")
    box.until(lambda: _control(box)["state"] == "LATCHED", "zero is not verified: it latches")
    box.run("systemctl", "restart", UNIT)
    _still_latched(box)
    box.reboot()
    _still_latched(box)
    box.apt("install", "bess-gateway")  # an upgrade is not refused, whatever is in force
    box.until(lambda: ask(box, "status").get("version") == NEXT, "the new version runs")
    _still_latched(box)


def test_while_in_force_neither_a_removal_nor_an_older_version_is_taken(
    box: Machine, version: str
) -> None:
    """The battery is latched, and the RTAC refuses zero still."""
    for act in (("remove", "bess-gateway"), ("purge", "bess-gateway"), _older(version)):
        before = main_pid(box)
        told = box.try_("apt-get", "-y", *act)
        assert told.returncode != 0
        said = told.stdout + told.stderr  # apt passes on what dpkg says
        assert f"\n{ASSET}: {POWER_W} W at 127.0.0.1:" in said.replace("\r", "")
        assert "declare-zero ASSET" in said
        box.until(lambda: ask(box, "status").get("version") == NEXT, "it runs again")
        assert main_pid(box) != before
        _still_latched(box)
    assert box.run("dpkg-query", "-W", "-f", "${Status} ${Version}", "bess-gateway") == (
        f"install ok installed {NEXT}"
    )
    box.run("bess-gateway", "audit", "verify")


def test_a_verified_zero_lets_an_older_version_be_taken(
    box: Machine, site: Site, version: str
) -> None:
    site.rtac.clear()
    _operator(box, f"reset {ASSET}")
    box.until(lambda: _control(box)["state"] == "IDLE", "an operator leads out of it")
    box.run("apt-get", "-y", *_older(version))  # its stop waits for the measured power, too
    box.until(lambda: ask(box, "status").get("version") == version, "the older version runs")
    box.until(lambda: _control(box)["state"] == "IDLE", "control is on again")
    box.run("bess-gateway", "audit", "verify")


def test_an_upgrade_idles_the_battery_first(
    box: Machine, site: Site, dispatcher: Dispatcher
) -> None:
    began_ms = _discharge(box, site, dispatcher)
    box.apt("install", "bess-gateway")
    _idled_before_it_ended(box, site, began_ms)
    box.until(lambda: ask(box, "status").get("version") == NEXT, "the new version runs")
    box.until(lambda: _control(box)["state"] == "IDLE", "control is on again, and not armed")


def test_a_removal_goes_where_zero_is_verified(box: Machine) -> None:
    box.apt("remove", "bess-gateway")
    assert not box.has("/usr/bin/bess-gateway")
    assert not box.has("/run/bess-gateway.upgrading")
    assert box.has(f"{STATE}/control.db")


def _discharge(box: Machine, site: Site, dispatcher: Dispatcher) -> int:
    """Arm, which needs 30 s of unbroken lease, and discharge until the power is verified.

    Returns:
        When the order was given, in ms as the simulator records them.
    """
    box.until(lambda: _control(box).get("state") == "IDLE", "control is on")

    def armed() -> bool:
        number = dispatcher.ready(ASSET).challenge
        id_ = dispatcher.send(ASSET, "arm")
        dispatcher.wait_until(
            lambda: DECIDED & {*dispatcher.follow(id_).states}, within_s=60, what="arm is decided"
        )
        if "succeeded" in dispatcher.follow(id_).states:
            return True
        # It came too early, and the next one comes some challenges later.
        dispatcher.wait_until(
            lambda: (newest := dispatcher.challenge) and newest.number > number + 2,
            within_s=60,
            what="challenges go on",
        )
        return False

    box.until(armed, "it is armed")
    began_ms = clock.now().unix_ms
    id_ = dispatcher.send(ASSET, "discharge", power_w=POWER_W, duration_s=600)
    dispatcher.wait_for(id_, {"succeeded"}, within_s=DEADLINE_S)
    assert site.rtac.state()["setpoint_w"] == POWER_W
    return began_ms


def _idled_before_it_ended(box: Machine, site: Site, began_ms: int) -> None:
    """Zero was ordered, and accepted, before the process ended; the dead-man was not needed."""
    site.rtac.wait_until(lambda state: bool(state["setpoint_w"] == 0.0), within_s=DEADLINE_S)
    ended_ms = int(box.said("stopped: SIGTERM")[-1]["__REALTIME_TIMESTAMP"]) / 1000

    def zeros() -> list[dict[str, Any]]:  # the record is flushed a few times a second
        orders = [one for one in site.rtac.controls("AO0") if one["unix_ms"] > began_ms]
        return [one for one in orders if one["value"] == 0.0 and one["status"] == 0]

    assert box.until(zeros, "the RTAC recorded zero")[0]["unix_ms"] < ended_ms
    causes = [one["cause"] for one in site.rtac.records("rtac") if one["unix_ms"] > began_ms]
    assert "deadman" not in causes


def _still_latched(box: Machine) -> None:
    found = box.until(lambda: _control(box).get("state"), "it says how control is")
    assert found == "LATCHED"
    box.until(lambda: "LATCHED" in box.show("StatusText"), "the status line says so")


def _older(version: str) -> tuple[str, ...]:
    return ("install", "--allow-downgrades", f"bess-gateway={version}")


def _control(box: Machine) -> dict[str, Any]:
    """How control is, as the daemon says; empty while it does not run."""
    answer = ask(box, "status")
    found: dict[str, Any] = answer["assets"][ASSET]["control"] if answer else {}
    return found


V_S = 16.0  # what zero takes by its map, where the response timeout is the usual 3 s


def _operator(box: Machine, command: str) -> str:
    """What an ordinary user who is an operator is told."""
    return box.run("runuser", "-u", OPERATOR, "--", "sh", "-c", f"bess-gateway {command}")


def _safety(machine: Machine, folder: Path) -> None:
    """safety.toml and public keys, as root puts them there."""
    write_safety(folder, idle_verify_s=V_S)
    machine.write(f"{ETC}/safety.toml", (folder / "safety.toml").read_bytes())
    for path in sorted((folder / "keys").iterdir()):
        machine.write(f"{ETC}/keys/{path.name}", path.read_bytes())
