"""What may be in force is owed zero, across kills and whatever the files say; seen by the RTACs.

What needs no arming comes first: the 30 s of lease that arming costs run meanwhile. Each kill costs
them again, so two tests share one.
"""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway.clock import now
from tests.fixtures.commanded_site import ControlSite
from tests.fixtures.control_rig import DEADMAN_S, commissioned, keep
from tests.fixtures.daemon import DEADLINE_S, MODULE, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from gateway.demo.pki import Pki

TESTED, TAKEN, LOOPED, HELD, STOPPED = "bess-1", "bess-2", "bess-3", "bess-4", "bess-5"
SILENCE_S = 5.0  # beyond W
SCAN_S = 1.0  # of the RTAC's logic
SLACK_S = 3.0  # of a machine that is busy with other things


@pytest.fixture(scope="module")
def site(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlSite]:
    """Five batteries; the first was never sign-tested."""
    folder = tmp_path_factory.mktemp("obligation")
    with ControlSite(folder, pki, assets=5, ready=False) as made:
        commissioned(made.daemon.site, made.daemon.state)
        keep(made.daemon.state, {f"{TESTED}/sign-test": None})
        yield made.run()


def owed(site: ControlSite, asset: str) -> dict[str, Any]:
    """What status says is in force; waits for it to say so."""
    found = site.until_control(lambda now: now["inForce"] is not None, "in force", asset)
    force: dict[str, Any] = found["inForce"]
    return force


def reasons(site: ControlSite, asset: str, text: str) -> None:
    """Wait until status is degraded for this reason."""
    site.daemon.status_when(
        lambda now: (
            not now["healthy"]
            and any(one.startswith(f"{asset}: ") and text in one for one in now["reasons"])
        ),
        f"{asset} was never degraded by {text!r}",
    )


def restart(site: ControlSite) -> float:
    """Kill -9, and a start; returns when it was killed."""
    site.daemon.kill()
    killed_at = now().mono_s
    site.daemon.start()
    return killed_at


def test_an_estop_in_local_is_owed_and_told_and_follows_on_remote(site: ControlSite) -> None:
    sim = site.sims[STOPPED]
    site.until_phase({"IDLE"}, STOPPED)
    sim.fault("local")
    site.until_phase({"LOCAL"}, STOPPED)
    began = now().mono_s
    assert "use the hard-wired stop" in site.act("estop", STOPPED)
    site.passed("LOCAL", "ESTOP", "ordered", STOPPED, after=began)
    reasons(site, STOPPED, "the stop is owed")
    assert site.cli("status").returncode == 1
    assert site.writes(STOPPED, after=began) == []
    sim.clear()
    sim.wait_until(lambda truth: bool(truth["stopped"]))
    written = [(one["role"], one["function"]) for one in site.writes(STOPPED, after=began)]
    # The zero need not wait until it is on the disk that the stop is owed no more.
    stops = [one for one in written if one[0] == "cmd_stop"]
    assert stops == [("cmd_stop", "SELECT"), ("cmd_stop", "OPERATE")]
    assert written.count(("cmd_stop", "OPERATE")) == 1
    site.act("reset", STOPPED)
    site.until_phase({"IDLE"}, STOPPED)


def test_power_that_stays_though_the_echo_reads_zero_lets_nobody_arm_and_degrades_status(
    site: ControlSite,
) -> None:
    site.arm(HELD)
    site.power(300_000, HELD)
    site.sims[HELD].fault("hold_power")
    began = now().mono_s
    site.told(site.send("idle", HELD), {"succeeded", "failed"})
    site.until_phase({"IDLE"}, HELD)  # the echo obeys
    assert site.sims[HELD].state()["setpoint_w"] == 0
    assert owed(site, HELD)["setpointW"] == 300_000
    reasons(site, HELD, "something is in force without a dispatch: measured power is")
    assert site.cli("status").returncode == 1
    assert site.told(site.send("arm", HELD), {"rejected"}).reason == "STATE"
    site.dispatcher.wait_until(
        lambda: any(
            one.body["asset"] == HELD and one.body.get("code") == "power_stays"
            for one in site.dispatcher.events("alarm")
            if one.at.mono_s > began
        ),
        within_s=DEADLINE_S,
        what="an alarm that power stays",
    )
    site.sims[HELD].clear()
    site.until_control(lambda now: now["inForce"] is None, "free again", HELD)
    assert {one["value"] for one in site.writes(HELD, role="cmd_power", after=began)} == {0.0}


def test_a_kill_in_the_first_sign_test_is_followed_by_zero_though_control_is_off(
    site: ControlSite,
) -> None:
    """The RTAC's dead-man does not work: nothing but our zero ends it."""
    sim = site.sims[TESTED]
    sim.fault("no_deadman")
    command = [*MODULE, "commission", "sign-test", TESTED, "--hold", "60"]
    following = subprocess.Popen(
        [*command, "--config", str(site.daemon.site)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        sim.wait_until(lambda truth: truth["setpoint_w"] == 40_000, within_s=DEADLINE_S)
        killed_at = restart(site)
    finally:
        following.send_signal(signal.SIGKILL)
        following.communicate(timeout=DEADLINE_S)
    assert owed(site, TESTED)["setpointW"] == 40_000
    site.zeroed_at(TESTED, after=killed_at)
    site.until_phase({"MONITOR"}, TESTED)
    assert site.control(TESTED)["reasons"] == ["SIGN_TEST_MISSING"]
    site.until_control(lambda now: now["inForce"] is None, "free again", TESTED)
    writes = site.writes(TESTED, role="cmd_power", after=killed_at)
    assert {one["value"] for one in writes} == {0.0}
    assert site.sims[TESTED].state()["trips"] == 0


def test_a_gateway_that_is_killed_again_and_again_while_zero_is_refused_does_not_feed_the_dead_man(
    site: ControlSite,
) -> None:
    """The one heartbeat between two zeros, once a demand, is all that the RTAC hears."""
    site.arm(LOOPED)
    site.power(300_000, LOOPED)
    sim = site.sims[LOOPED]
    sim.fault("refuse_zero=8")
    first_at, starts = now().mono_s, 0
    while sim.state()["trips"] == 0:
        mark = restart(site)
        starts += 1
        site.daemon.until(
            lambda mark=mark: (  # type: ignore[misc]  # bound on purpose
                bool(site.writes(LOOPED, role="cmd_power", after=mark)) or sim.state()["trips"] > 0
            ),
            "a zero that is refused, or the dead-man",
        )
        assert starts < 20
    ended_at = site.zeroed_at(LOOPED, after=first_at)
    beats = site.beats(LOOPED, after=first_at)
    assert len(beats) <= 1
    heard_at = beats[0]["mono_s"] if beats else first_at
    assert ended_at - heard_at < DEADMAN_S + SCAN_S + SLACK_S
    assert sim.state()["last_trip"] == "deadman"
    sim.clear()
    site.act("reset", LOOPED)
    site.until_phase({"IDLE"}, LOOPED)


@pytest.fixture(scope="module")
def bared(site: ControlSite) -> float:
    """When it was killed under power; it runs without safety.toml and one battery since."""
    for asset in (TAKEN, HELD):
        site.sims[asset].fault("no_deadman")
        site.arm(asset)
        site.power(-300_000, asset)
    site.daemon.kill()
    killed_at = now().mono_s
    site.daemon.site.with_name("safety.toml").unlink()
    site.daemon.configure([one for one in site.assets() if one.id != HELD])
    site.daemon.start()
    return killed_at


def test_a_start_without_safety_toml_writes_the_zero_of_the_dispatch_before(
    site: ControlSite, bared: float
) -> None:
    assert owed(site, TAKEN)["setpointW"] == -300_000
    site.zeroed_at(TAKEN, after=bared)
    reasons(site, TAKEN, "something is in force")
    site.until_phase({"MONITOR"}, TAKEN)
    assert site.control(TAKEN)["reasons"] == ["SAFETY_CONFIG_MISSING"]
    site.until_control(lambda now: now["inForce"] is None, "free again", TAKEN)
    writes = site.writes(TAKEN, role="cmd_power", after=bared)
    assert {one["value"] for one in writes} == {0.0}
    assert site.sims[TAKEN].state()["trips"] == 0


def test_a_battery_that_left_site_toml_is_named_and_its_zero_waits_for_the_endpoint_it_had(
    site: ControlSite, bared: float
) -> None:
    reasons(site, HELD, "something may be in force, and it is not in site.toml")
    assert site.cli("status").returncode == 1
    tables = [replace(one, host="localhost") if one.id == HELD else one for one in site.assets()]
    site.daemon.configure(tables)
    site.daemon.reload()
    reasons(site, HELD, "in force, and nothing is written: it was written to 127.0.0.1:")
    site.daemon.up()
    assert site.writes(HELD, after=bared) == []
    assert site.sims[HELD].state()["setpoint_w"] == -300_000
    kept = site.cli("zero", HELD, "--by", "kept")
    assert (kept.returncode, "put site.toml back" in kept.stderr) == (1, True)
    site.daemon.configure(site.assets())
    site.daemon.reload()
    site.zeroed_at(HELD, after=bared)
    site.until_control(lambda now: now["inForce"] is None, "free again", HELD)
    assert site.sims[HELD].state()["trips"] == 0


def test_every_message_was_what_its_schema_says(site: ControlSite) -> None:
    assert site.lawful()["event"] > 10
