"""Commissioning the long way, with the real commands, and an operator's other acts on the box."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import signal
import sqlite3
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.clock import now
from gateway.local import client
from tests.fixtures.commanded_site import ASSET, ControlSite
from tests.fixtures.control_rig import DEADMAN_S
from tests.fixtures.daemon import DEADLINE_S, MODULE, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.demo.pki import Pki

TIMED_S = 60.0 + DEADLINE_S  # a deadline: 30 s of lease, and 20 slow answers
ZERO_DIGEST = "sha256:" + "0" * 64
MISSING = ["SAFETY_NOT_ACKNOWLEDGED", "SIGN_TEST_MISSING", "DEADMAN_TEST_MISSING"]


@pytest.fixture(scope="module")
def site(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlSite]:
    """Not commissioned."""
    with ControlSite(tmp_path_factory.mktemp("commission"), pki, ready=False) as made:
        yield made.run()


def born(site: ControlSite) -> dict[str, object]:
    """Control as birth says it."""
    return dict(site.dispatcher.control(ASSET))


def launch(site: ControlSite, *words: str) -> subprocess.Popen[str]:
    """A command that is not waited for."""
    return subprocess.Popen(
        [*MODULE, *words, "--config", str(site.daemon.site)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )


def refused(site: ControlSite, verb: str = "arm") -> str:
    """Reason for which a command is rejected."""
    return str(site.told(site.send(verb), {"rejected"}).reason)


def test_control_stays_off_and_birth_and_status_say_why(site: ControlSite) -> None:
    site.dispatcher.wait_until(lambda: born(site), within_s=DEADLINE_S, what="birth")
    assert born(site)["reasons"] == MISSING
    assert born(site)["enabled"] is False
    assert site.control()["reasons"] == MISSING
    assert site.control()["state"] == "MONITOR"
    assert refused(site) == "CONTROL_DISABLED"
    assert refused(site, "idle") == "CONTROL_DISABLED"
    assert site.sim.controls() == []  # not even a heartbeat
    for act in ("sign-test", "deadman-test"):
        done = site.cli("commission", act, "--hold", "2")
        assert done.returncode == 1
        assert "SAFETY_NOT_ACKNOWLEDGED" in done.stderr


def test_a_safety_file_is_acknowledged_by_its_own_digest_alone(site: ControlSite) -> None:
    wrong = site.cli("commission", "acknowledge", "--yes", ZERO_DIGEST)
    assert wrong.returncode == 1
    digest = json.loads(site.act("commission", "show", "--json"))["safetyDigest"]
    assert digest in wrong.stderr
    assert site.control()["reasons"] == MISSING
    site.act("commission", "acknowledge", "--yes", digest)
    site.until_control(lambda now: now["reasons"] == MISSING[1:], "acknowledged")
    assert site.control()["state"] == "MONITOR"


def test_a_sign_test_before_the_dead_man_test_is_refused(site: ControlSite) -> None:
    done = site.cli("commission", "sign-test", "--hold", "4")
    assert done.returncode == 1
    assert "the dead-man test comes first" in done.stderr
    assert site.sim.controls() == []


def test_ctrl_c_ends_a_test_with_idle(site: ControlSite) -> None:
    running = launch(site, "commission", "deadman-test", "--hold", "60")
    site.sim.wait_until(lambda truth: truth["setpoint_w"] == 40_000, within_s=DEADLINE_S)
    assert refused(site) == "CONTROL_DISABLED"  # it is on for the test alone
    os.killpg(running.pid, signal.SIGINT)
    said, _ = running.communicate(timeout=DEADLINE_S)
    assert running.returncode != 0, said
    assert "aborted" in said
    site.sim.wait_until(lambda truth: truth["setpoint_w"] == 0)
    site.until_phase({"MONITOR"})
    assert site.control()["reasons"] == MISSING[1:]


def test_an_rtac_that_answers_too_slowly_fails_before_any_power(site: ControlSite) -> None:
    """W is 6 s and a critical read one request: an answer may take 1 s."""
    began = now().mono_s
    running = launch(site, "commission", "deadman-test", "--hold", "2")
    site.until_phase({"IDLE"})
    site.sim.fault("answer_delay=1.2")
    said, _ = running.communicate(timeout=TIMED_S)
    site.sim.clear()
    assert running.returncode == 1, said
    assert "FAILED: slow: an answer took" in said
    assert "must be at most 1 s" in said
    site.until_phase({"MONITOR"})
    assert {one["value"] for one in site.writes(role="cmd_power", after=began)} <= {0.0}
    assert site.control()["reasons"] == MISSING[1:]


def test_a_dead_man_test_without_a_dead_man_fails_and_idles_at_once(site: ControlSite) -> None:
    site.sim.fault("no_deadman")
    done = site.cli("commission", "deadman-test", "--hold", "2")
    assert done.returncode == 1, done.stdout
    site.sim.wait_until(lambda truth: truth["setpoint_w"] == 0)
    assert site.sim.state()["trips"] == 0  # it was our zero
    site.sim.clear()
    site.until_phase({"MONITOR"})
    assert site.control()["reasons"] == MISSING[1:]


def test_a_dead_man_test_withholds_heartbeats_and_the_echo_must_reach_zero_within_w_plus_5_s(
    site: ControlSite,
) -> None:
    site.sim.fault("answer_delay=0.25")
    began = now().mono_s
    said = site.act("commission", "deadman-test", "--hold", "2")
    site.sim.clear()
    assert "passed" in said
    assert site.sim.state()["last_trip"] == "deadman"
    (trip,) = [one for one in site.sim.records("rtac") if one["mono_s"] > began]
    beats = [one["mono_s"] for one in site.beats(after=began) if one["mono_s"] < trip["mono_s"]]
    assert trip["mono_s"] - beats[-1] < DEADMAN_S + 5
    site.until_control(lambda now: now["reasons"] == MISSING[1:2], "the dead-man proved")


def test_a_sign_test_that_fails_names_the_sign(site: ControlSite) -> None:
    site.sim.fault("lie_power_sign")
    done = site.cli("commission", "sign-test", "--hold", "4")
    assert done.returncode == 1
    assert "sign" in done.stdout
    assert "FAILED" in done.stdout
    site.sim.clear()
    site.until_phase({"MONITOR"})
    assert site.sim.state()["setpoint_w"] == 0
    assert site.control()["reasons"] == MISSING[1:2]


def test_a_sign_test_discharges_and_charges_2_percent_and_measured_power_must_follow(
    site: ControlSite,
) -> None:
    began = now().mono_s
    said = site.act("commission", "sign-test", "--hold", "4")
    assert "passed" in said
    values = [one["value"] for one in site.writes(role="cmd_power", after=began)]
    assert 40_000 in values
    assert -40_000 in values
    assert {abs(value) for value in values} == {0, 40_000}


def test_what_the_rtac_took_was_measured_and_the_bounds_are_said_twice(site: ControlSite) -> None:
    shown = json.loads(site.act("commission", "show", "--json"))
    found = shown["measured"]
    assert 0.25 <= found["answerS"] <= found["mostAnswerS"] == 1.0
    assert 0.25 <= found["connectS"] < shown["watchdog"]["leaseS"]
    assert found["zeroNeedsBeat"] is False
    assert DEADMAN_S - 1 < found["deadmanS"] < DEADMAN_S + 5
    assert abs(found["idleW"]) < 40_000
    assert shown["boundsMeasured"]["A"] < shown["bounds"]["A"]
    assert "bounds at the longest answer that commissioning timed" in site.act("check")
    dropped = [
        one
        for one in site.dispatcher.events("session")
        if "commissioning measures how long" in str(one.body.get("cause"))
    ]
    assert dropped, "in each dead-man test, before its power"


def test_once_commissioned_control_is_on_and_birth_says_so(site: ControlSite) -> None:
    site.until_control(lambda now: now["reasons"] == [] and now["state"] == "IDLE", "on")
    site.dispatcher.wait_until(
        lambda: born(site)["enabled"] is True, within_s=DEADLINE_S, what="a birth that says so"
    )
    assert born(site)["reasons"] == []
    site.arm()
    site.power(200_000)


def test_an_operator_disables_control_with_idle_and_enables_it_again(site: ControlSite) -> None:
    if site.control()["state"] != "ACTIVE":
        site.arm().power(200_000)
    site.act("disable-control")
    site.until_phase({"MONITOR"})
    assert site.sim.state()["setpoint_w"] == 0
    assert site.control()["reasons"] == ["DISABLED_BY_OPERATOR"]
    assert refused(site) == "CONTROL_DISABLED"
    site.daemon.kill()  # it is kept
    site.daemon.start()
    site.daemon.up()
    assert site.control()["reasons"] == ["DISABLED_BY_OPERATOR"]
    site.act("enable-control")
    site.until_phase({"IDLE"})


def test_an_act_that_is_not_on_disk_takes_effect_and_is_told_so(site: ControlSite) -> None:
    database = sqlite3.connect(site.daemon.state / "control.db", isolation_level=None, timeout=20)
    with contextlib.closing(database) as other:
        other.execute("BEGIN IMMEDIATE")  # as a backup may
        done = site.cli("disable-control")
        assert done.returncode == 1
        assert "bess-1: control is off, but not on disk: " in done.stderr
        assert "locked" in done.stderr
        assert site.control()["reasons"] == ["DISABLED_BY_OPERATOR"]
        site.until_phase({"MONITOR"})
        mark = len(site.daemon.log)
        other.execute("ROLLBACK")
    site.daemon.logged("commits succeed again", after=mark)
    site.daemon.kill()
    site.daemon.start()
    site.daemon.up()
    assert site.control()["reasons"] == ["DISABLED_BY_OPERATOR"]  # it was written all the same
    site.act("enable-control")
    site.until_phase({"IDLE"})


def test_an_operators_estop_stops_and_lasts_until_his_reset(site: ControlSite) -> None:
    site.act("estop")
    site.until_phase({"ESTOP"})
    site.sim.wait_until(lambda truth: bool(truth["stopped"]))
    site.act("reset")
    site.until_phase({"IDLE"})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else: run as root")
def test_nobody_but_operators_may_act_and_looking_is_free(site: ControlSite) -> None:
    """The socket is opened for everybody, so that only the daemon's own judgement is left."""
    site.daemon.state.chmod(0o711)
    site.daemon.socket.chmod(0o666)
    before = site.control()["state"]
    acts: list[tuple[str, dict[str, object]]] = [
        ("estop", {}),
        ("reset", {}),
        ("disable-control", {}),
        ("enable-control", {"asset": ASSET}),
        ("approve", {"id": "A"}),
        ("reject", {"id": "A"}),
    ]
    about: dict[str, object] = {"asset": ASSET, "digest": ZERO_DIGEST}
    acts += [
        ("commission", about | {"act": act})
        for act in ("acknowledge", "sign-test", "deadman-test", "abort")
    ]
    with _nobody(site.daemon.state) as path:
        for verb, arguments in acts:
            answer = client.ask(path, verb, arguments, wait_s=DEADLINE_S)
            assert "bess-operators" in str(answer["error"]), verb
        assert "assets" in client.ask(path, "status", {}, wait_s=DEADLINE_S)
    assert site.control()["state"] == before


@contextlib.contextmanager
def _nobody(folder: Path) -> Iterator[Path]:
    """Be nobody, in a folder that he could not walk to."""
    home = Path.cwd()
    os.chdir(folder)
    os.seteuid(65534)
    try:
        yield Path("control.sock")
    finally:
        os.seteuid(0)
        os.chdir(home)


def test_audit_show_names_who_did_it_and_audit_verify_is_clean(site: ControlSite) -> None:
    shown = site.act("audit", "show", "--last", "500")
    operator = f"operator:{pwd.getpwuid(os.getuid()).pw_name}"
    for word in ("acknowledge", "sign-test", "deadman-test", "estop", "reset", operator):
        assert word in shown, word
    assert site.cli("audit", "verify").returncode == 0


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE audit SET body = '{}' WHERE n = 3",
        "DELETE FROM audit WHERE n = 4",
        "DELETE FROM audit WHERE n > 12",
    ],
)
def test_audit_verify_finds_an_edit_a_removal_and_a_truncation(
    site: ControlSite, tampering: str
) -> None:
    copy = site.folder / "copy.db"
    copy.unlink(missing_ok=True)
    with (
        contextlib.closing(sqlite3.connect(site.daemon.state / "control.db")) as source,
        contextlib.closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)
        target.execute(tampering)
        target.commit()
    done = site.cli("audit", "verify", "--database", str(copy))
    assert done.returncode == 1, done.stdout


def test_another_safety_file_turns_control_off_until_it_is_acknowledged(site: ControlSite) -> None:
    site.rewrite_safety(lambda text: text.replace("max_soc_pct = 95", "max_soc_pct = 94"))
    site.daemon.reload()
    site.until_control(lambda now: now["reasons"] == MISSING[:1], "off again")
    site.until_phase({"MONITOR"})
    digest = json.loads(site.act("commission", "show", "--json"))["safetyDigest"]
    site.act("commission", "acknowledge", "--yes", digest)
    site.until_phase({"IDLE"})


def test_every_message_was_what_its_schema_says(site: ControlSite) -> None:
    assert site.lawful()["event"] > 20
