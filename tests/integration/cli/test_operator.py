"""The operator's commands against a real control socket, with a recording core behind it."""

from __future__ import annotations

import io
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gateway.cli import main
from gateway.events import LocalAsked
from gateway.local.reports import Reports
from gateway.local.server import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEADLINE_S = 60
DIGEST = "sha256:" + "5a" * 32
SHOWN = {
    "safetyDigest": DIGEST,
    "mapDigest": "sha256:" + "3b" * 32,
    "reasons": ["SAFETY_NOT_ACKNOWLEDGED", "SIGN_TEST_MISSING"],
    "approval": "dual",
    "approvalThresholdW": 250_000,
    "acknowledged": None,
    "signTest": None,
    "deadmanTest": 1_795_324_200_250,
    "bounds": {"A": 36.25, "B": 19.0, "C": 79.25, "D": None},
    "limits": {
        "maxChargeW": 1_500_000,
        "minSocPct": 10,
        "rampWPerS": 100_000,
        "modes": ["enable", "peak"],
        "reserveMinPct": None,
    },
    "boundsMeasured": {"A": 30.35, "B": 16.05, "C": 76.3, "D": None},
    "measured": {
        "answerS": 0.05,
        "mostAnswerS": 2.5,
        "connectS": 3.5,
        "dropsForZero": False,
        "deadmanS": 15.4,
        "zeroNeedsBeat": None,
        "idleW": -20.0,
    },
    "watchdog": {"leaseS": 30, "rtacDeadmanS": 15, "idleVerifyS": 30},
    "keys": [
        {
            "kid": "ops-1",
            "roles": ["dispatcher", "heartbeat"],
            "alg": "EdDSA",
            "thumbprint": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
            "notBefore": 1_795_324_200_250,
            "notAfter": 1_795_324_300_250,
            "revoked": False,
        },
        {
            "kid": "old-1",
            "roles": ["approver"],
            "alg": "ES256",
            "thumbprint": "x\x1b[2J",
            "notBefore": None,
            "notAfter": 1_795_324_300_250,
            "revoked": True,
        },
    ],
}
PENDING = {
    "id": "01JABC",
    "asset": "bess-1",
    "verb": "charge",
    "powerW": -500_000,
    "durationS": 900,
    "issuer": "ops\x1b[31m",
    "rampWPerS": 250_000,
    "minSoc": 0,
    "maxSoc": 100,
    "mode": None,
    "percent": None,
    "signers": ["boss-1", "ops\x1b[31m"],
    "issuedAt": 1_795_324_200_250,
    "expiresAt": 1_795_324_300_250,
    "leftS": 93.2,
}
OLDER = ("id", "asset", "verb", "powerW", "durationS", "issuer", "issuedAt", "leftS")
Answer = dict[str, object]


def progress(
    *lines: str, running: bool = True, ok: bool | None = None, **figures: object
) -> Answer:
    return {"running": running, "lines": list(lines), "ok": ok, "figures": figures}


class Desk:
    """A core that records what it is asked and answers as the contract says."""

    def __init__(self, path: Path) -> None:
        self.assets = ["bess-1"]
        self.asked: list[tuple[str, dict[str, object]]] = []
        self.said: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.answers: dict[str, Callable[[dict[str, object]], Answer]] = {}
        self.progress: list[Answer] = [progress(running=False, ok=True)]
        self.server = Server(path, post=self.post, reports=Reports(path))

    def post(self, event: object, /) -> None:
        assert isinstance(event, LocalAsked)
        act = event.arguments.get("act")
        verb = f"{event.verb} {act}" if act else event.verb
        if verb not in ("status", "commission progress"):
            self.asked.append((verb, event.arguments))
        self.said.put(verb)
        answer = self.answers.get(verb, self.usual)
        self.server.answer(event.token, answer({"verb": verb, **event.arguments}))

    def usual(self, asked: dict[str, object]) -> Answer:
        verb = str(asked["verb"])
        fixed: dict[str, Answer] = {
            "status": {"assets": {name: {} for name in self.assets}},
            "pending": {"pending": [PENDING]},
            "commission show": SHOWN,
            "commission sign-test": {"started": "the sign test begins"},
            "commission deadman-test": {"started": "the dead-man test begins"},
        }
        if verb == "commission progress":
            return self.progress.pop(0) if len(self.progress) > 1 else self.progress[0]
        return fixed.get(verb, {"done": f"{verb} done"})

    def heard(self, verb: str) -> None:
        """Wait until it was asked ``verb``."""
        while self.said.get(timeout=DEADLINE_S) != verb:
            pass


@pytest.fixture
def site(tmp_path: Path) -> Path:
    path = tmp_path / "site.toml"
    path.write_text(f'[gateway]\nid = "gw-1"\nstate_dir = "{tmp_path}"\n')
    return path


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "control.sock")
    made.server.start()
    yield made
    made.server.close()


def run(site: Path, *words: str) -> int:
    return main.main([*words, "--config", str(site)])


def start(site: Path, *words: str, **options: Any) -> subprocess.Popen[str]:  # noqa: ANN401 - Popen's own
    command = [sys.executable, "-m", "gateway", *words, "--config", str(site)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, **options)


def ended(child: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = child.communicate(timeout=DEADLINE_S)
    return child.returncode, out, err


@pytest.mark.parametrize("verb", ["reset", "disable-control", "enable-control"])
def test_the_asset_may_be_left_out_where_there_is_one(
    site: Path, desk: Desk, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(site, verb) == 0
    assert desk.asked == [(verb, {"asset": "bess-1"})]
    assert capsys.readouterr().out == f"{verb} done\n"


@pytest.mark.parametrize("words", [["reset"], ["enable-control"], ["commission", "sign-test"]])
def test_among_several_assets_one_must_be_named(
    site: Path, desk: Desk, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    desk.assets = ["bess-1", "bess-2"]
    assert run(site, *words) == 64
    assert desk.asked == []
    assert "must be one of bess-1, bess-2" in capsys.readouterr().err
    assert run(site, *words, "bess-2") in (0, 1)
    assert desk.asked[0][1]["asset"] == "bess-2"


def test_estop_asks_nothing_first_and_stops_every_asset(site: Path, desk: Desk) -> None:
    desk.assets = ["bess-1", "bess-2"]
    assert run(site, "estop") == 0
    assert run(site, "estop", "bess-2") == 0
    assert desk.asked == [("estop", {}), ("estop", {"asset": "bess-2"})]
    said = [desk.said.get_nowait() for _ in range(4)]
    assert said == ["estop", "status"] * 2  # what it looks at comes behind it


def test_estop_follows_until_zero_is_verified(
    site: Path, desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    forces: list[Any] = [
        {"blocked": "", "unsettled": "zero is not verified"},
        {"blocked": "", "unsettled": "measured power is 500 kW"},
        None,
    ]

    def status(_: dict[str, object]) -> Answer:
        force = forces.pop(0) if len(forces) > 1 else forces[0]
        return {"assets": {"bess-1": {"control": {"inForce": force}}}}

    desk.answers["status"] = status
    assert run(site, "estop") == 0
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "bess-1: zero is not verified",
        "bess-1: measured power is 500 kW",
        "zero is verified: nothing is in force",
    ]
    forces[:] = [{"blocked": "", "unsettled": "zero is refused"}]
    assert run(site, "idle", "--wait", "0.1") == 1
    assert "use the hard-wired stop" in capsys.readouterr().out
    assert run(site, "idle", "--wait", "0") == 0


@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_a_pending_command_is_approved_or_rejected_by_its_id(
    site: Path, desk: Desk, verb: str
) -> None:
    assert run(site, verb, "01JABC") == 0
    assert desk.asked == [(verb, {"id": "01JABC"})]


def test_pending_shows_what_waits_and_steers_no_terminal(
    site: Path, desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(site, "pending") == 0
    shown = capsys.readouterr().out
    assert "01JABC" in shown
    assert "-500,000 W" in shown
    assert "93 s" in shown
    assert "2026-11-22T05:10:00.250Z" in shown
    assert "ramp 250,000 W/s, lowest state of charge 0 %, highest state of charge 100 %" in shown
    assert "expires 2026-11-22T05:11:40.250Z, signed by boss-1, ops?[31m" in shown
    assert "\x1b" not in shown
    assert run(site, "pending", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"pending": [PENDING]}
    reserve = {"verb": "reserve", "percent": 0, "powerW": None, "durationS": None}
    mode = {"verb": "mode", "mode": "self\x1bconsumption", "powerW": None, "durationS": None}
    for waits, said in ((reserve, "    reserve 0 %, "), (mode, "    mode self?consumption, ")):
        row = {**PENDING, "rampWPerS": None, "minSoc": None, "maxSoc": None, **waits}
        desk.answers["pending"] = lambda _, row=row: {"pending": [row]}  # type: ignore[assignment, misc]
        assert run(site, "pending") == 0
        assert f"{said}expires" in capsys.readouterr().out
    older = {key: value for key, value in PENDING.items() if key in OLDER}
    desk.answers["pending"] = lambda _: {"pending": [older]}
    assert run(site, "pending") == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    desk.answers["pending"] = lambda _: {"pending": []}
    assert run(site, "pending") == 0
    assert capsys.readouterr().out == "nothing waits for approval\n"


def test_a_refusal_is_printed_and_exits_1(
    site: Path, desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.answers["approve"] = lambda _: {"error": "01JABC: no such command\x1b[2J waits"}
    assert run(site, "approve", "01JABC") == 1
    assert capsys.readouterr().err == "01JABC: no such command?[2J waits\n"


def test_who_is_no_operator_exits_77(
    site: Path, desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "user eve: must be root or in the group bess-operators"
    desk.answers["estop"] = lambda _: {"error": text}
    assert run(site, "estop") == 77
    assert capsys.readouterr().err == text + "\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to ask as somebody else")
def test_a_socket_that_may_not_be_reached_exits_77() -> None:
    script = (
        "import os, sys\nfrom gateway.cli import main\n"
        "main._parser()  # the source may be out of reach afterwards\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "sys.exit(main.main(['estop', '--config', sys.argv[1] + '/site.toml']))\n"
    )
    with tempfile.TemporaryDirectory() as name:  # a test's own folder hides behind root's
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "site.toml").write_text(f'[gateway]\nid = "gw-1"\nstate_dir = "{name}"\n')
        desk = Desk(folder / "control.sock")
        desk.server.start()
        (folder / "control.sock").chmod(0o600)
        command = [sys.executable, "-c", script, name]
        ran = subprocess.run(
            command, capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )
        desk.server.close()
    assert (ran.returncode, ran.stdout) == (77, ""), ran.stderr
    assert "permission denied" in ran.stderr
    assert desk.asked == []


@pytest.mark.parametrize("words", [["estop"], ["reset"], ["pending"], ["commission", "show"]])
def test_without_a_daemon_it_exits_69(
    site: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(site, *words) == 69
    assert "is bess-gateway running?" in capsys.readouterr().err


def test_a_daemon_that_hangs_up_without_an_answer_exits_69(site: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(site.parent / "control.sock"))
        listener.listen()
        child = start(site, "estop")
        listener.settimeout(DEADLINE_S)
        connection, _ = listener.accept()
        connection.recv(4096)
        connection.close()
        code, out, err = ended(child)
    assert (code, out) == (69, "")
    assert "hung up without an answer" in err


def test_what_control_requires_is_shown(
    site: Path, desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(site, "commission", "show") == 0
    shown = capsys.readouterr().out
    for text in (DIGEST, "SIGN_TEST_MISSING", "dual, above +250,000 W", "A 36.25 s: cloud dead"):
        assert text in shown
    assert "D none (the map has no reversion timer): no RTAC logic, link dead" in shown
    assert "sign test     no" in shown
    for text in (
        "answers       0.05 s at most, 2.5 s allowed",
        "connection    3.5 s; a zero that waits drops nothing",
        "dead-man      15.4 s after the last heartbeat",
        "idle power    -20 W",
        "zero needs a heartbeat: not known",
        "at the longest answer that commissioning timed",
        "A 30.35 s: cloud dead",
        "ops-1: dispatcher, heartbeat, from 2026-11-22T05:10:00.250Z until 2026-11-22T05:11:40",
        "EdDSA kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
        "old-1: approver, REVOKED",
    ):
        assert text in shown
    assert "\x1b" not in shown
    assert "dead-man test 2026-11-22T05:10:00.250Z" in shown
    assert run(site, "commission", "show", "--json") == 0
    assert json.loads(capsys.readouterr().out) == SHOWN
    assert desk.asked[0] == ("commission show", {"asset": "bess-1", "act": "show"})


class Terminal(io.StringIO):
    """Somebody types."""

    def isatty(self) -> bool:
        return True


def test_acknowledging_shows_everything_and_asks_for_yes(
    site: Path, desk: Desk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("yes\n"))
    assert run(site, "commission", "acknowledge") == 0
    shown = capsys.readouterr().out
    for text in ("1,500,000 W", "100,000 W/s", "lease L", "dual", "C 79.25 s", DIGEST, "Type yes"):
        assert text in shown
    assert "modes that may be ordered enable, peak\n" in shown
    assert "reserve" not in shown, "none may be ordered"
    act = {"asset": "bess-1", "act": "acknowledge", "digest": DIGEST}
    assert desk.asked[-1] == ("commission acknowledge", act)


@pytest.mark.parametrize("typed", ["no\n", "y\n", "YES\n", "\n", ""])
def test_anything_but_yes_acknowledges_nothing(
    site: Path, desk: Desk, typed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    assert run(site, "commission", "acknowledge") == 1
    assert [verb for verb, _ in desk.asked] == ["commission show"]


def test_without_a_terminal_the_digest_must_be_given(
    site: Path, desk: Desk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("yes\n"))
    assert run(site, "commission", "acknowledge") == 64
    assert "--yes DIGEST" in capsys.readouterr().err
    assert run(site, "commission", "acknowledge", "--yes", "sha256:00") == 1
    assert f"must be {DIGEST}" in capsys.readouterr().err
    assert "commission acknowledge" not in [verb for verb, _ in desk.asked]
    assert run(site, "commission", "acknowledge", "bess-1", "--yes", DIGEST) == 0
    assert desk.asked[-1][1]["digest"] == DIGEST


def test_without_a_complete_safety_file_there_is_nothing_to_acknowledge(
    site: Path, desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    reasons = ["SAFETY_CONFIG_MISSING"]
    desk.answers["commission show"] = lambda _: SHOWN | {"safetyDigest": None, "reasons": reasons}
    assert run(site, "commission", "acknowledge", "--yes", DIGEST) == 1
    assert "SAFETY_CONFIG_MISSING" in capsys.readouterr().err


@pytest.mark.parametrize("act", ["sign-test", "deadman-test"])
def test_a_test_is_followed_line_by_line_until_it_passed(
    site: Path, desk: Desk, act: str, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.progress = [
        progress(),
        progress("arms"),
        progress("arms", "orders +40000 W", running=False, ok=True, zeroS=14.2),
    ]
    assert run(site, "commission", act, "--hold", "5") == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[1:3] == ["  arms", "  orders +40000 W"]
    assert shown[3].split() == ["zeroS", "14.2"]
    assert shown[4] == "passed"
    assert desk.asked == [(f"commission {act}", {"asset": "bess-1", "act": act, "holdS": 5.0})]


def test_a_test_that_failed_exits_1(
    site: Path, desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "sign: measured -40000 W where +40000 W was ordered"
    desk.progress = [progress(line, running=False, ok=False, fault="sign")]
    assert run(site, "commission", "sign-test") == 1
    assert "FAILED" in capsys.readouterr().out
    assert desk.asked == [("commission sign-test", {"asset": "bess-1", "act": "sign-test"})]


def test_a_test_that_may_not_begin_leaves_another_alone(site: Path, desk: Desk) -> None:
    desk.answers["commission sign-test"] = lambda _: {"error": "a test of ann is under way"}
    assert run(site, "commission", "sign-test") == 1
    assert [verb for verb, _ in desk.asked] == ["commission sign-test"]


def test_a_test_of_which_nobody_knows_any_more_did_not_pass(site: Path, desk: Desk) -> None:
    desk.progress = [progress("arms"), progress(running=False)]
    assert run(site, "commission", "sign-test") == 1


def test_ctrl_c_ends_the_test_and_its_end_is_still_followed(site: Path, desk: Desk) -> None:
    desk.progress = [progress("arms")]

    def abort(_: dict[str, object]) -> Answer:
        desk.progress = [progress("arms", "aborted by ann", running=False, ok=False)]
        return {"done": "the test ends"}

    desk.answers["commission abort"] = abort
    child = start(site, "commission", "sign-test")
    desk.heard("commission progress")
    child.send_signal(signal.SIGINT)
    code, out, _ = ended(child)
    assert code == 1
    assert out.splitlines()[-2:] == ["  aborted by ann", "FAILED"]
    assert [verb for verb, _ in desk.asked].count("commission abort") == 1


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_lost_terminal_ends_the_test(site: Path, desk: Desk, number: int) -> None:
    desk.progress = [progress("arms")]
    child = start(site, "commission", "deadman-test")
    desk.heard("commission progress")
    child.send_signal(number)
    desk.heard("commission abort")
    child.send_signal(number)  # it still runs, says the core: a second one leaves it there
    code, _, _ = ended(child)
    assert code == 130


def test_a_test_whose_output_nobody_reads_is_ended(site: Path, desk: Desk) -> None:
    desk.progress = [progress(), progress("one"), progress("one", "two")]
    child = start(site, "commission", "sign-test")
    assert child.stdout is not None
    assert child.stdout.readline() == "the sign test begins\n"
    child.stdout.close()
    desk.heard("commission abort")
    assert child.wait(DEADLINE_S) != 0
    assert child.stderr is not None
    child.stderr.close()


def test_a_daemon_that_dies_during_a_test_exits_69(site: Path, desk: Desk) -> None:
    desk.progress = [progress("arms")]
    child = start(site, "commission", "sign-test")
    desk.heard("commission progress")
    desk.server.close()
    code, _, err = ended(child)
    assert code == 69, err
    assert err


def test_a_running_test_can_be_ended_from_elsewhere(site: Path, desk: Desk) -> None:
    assert run(site, "commission", "abort") == 0
    assert desk.asked == [("commission abort", {"asset": "bess-1", "act": "abort"})]
