"""Starting, stopping, reloading; what systemd and people on the box are told."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from gateway.local.client import ask
from gateway.local.server import MAX_CALLERS, QUESTION_S
from gateway.sim.launch import SimProcess
from tests.fixtures import accounts
from tests.fixtures.daemon import DEADLINE_S, Asset, Daemon, bess_gateway, run_python
from tests.fixtures.rig import Rig
from tests.fixtures.tcp import Peer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.demo.pki import Pki

EX_IOERR, EX_UNAVAILABLE = 74, 1


class Systemd:
    """The service manager's end of NOTIFY_SOCKET."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.facts: list[str] = []  # in order
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while octets := self._socket.recv(8192):
            self.facts += octets.decode().splitlines()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", str(self.path))
        self._thread.join(5)
        self._socket.close()


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> Iterator[Rig]:
    """A daemon that is up, for tests that only ask."""
    with Rig(tmp_path_factory.mktemp("life"), pki, events_per_s=20).run() as made:
        yield made


# --- stopping ------------------------------------------------------------------------------------


def test_sigterm_while_draining_exits_0_and_loses_nothing(tmp_path: Path, pki: Pki) -> None:
    with Rig(tmp_path, pki).run() as rig:
        rig.broker.stop()
        rig.daemon.queue_when(lambda now: now["readings"] > 600, "no backlog")
        rig.broker.start()
        rig.daemon.logged("broker up")
        rig.recorder.until(
            lambda: any(one["backfill"] for one in rig.recorder.of("telemetry")), "draining"
        )
        assert rig.daemon.stop() == 0
        rig.recorder.until(lambda: not rig.recorder.of("status")[-1]["online"], "it said goodbye")
        rig.daemon.start()
        rig.flows(more=200)
        rig.verdict(at_least=200)


def test_sigterm_exits_0_soon_although_outstations_are_silent_and_the_broker_is_frozen(
    tmp_path: Path, pki: Pki
) -> None:
    with Rig(tmp_path, pki) as rig, contextlib.ExitStack() as stack:
        silent = [stack.enter_context(Peer()) for _ in range(6)]
        more = [Asset(one.port, id=f"silent-{at}") for at, one in enumerate(silent)]
        rig.listen()
        rig.daemon.configure([*rig.assets, *more])
        rig.daemon.start()
        rig.flows()
        rig.broker.freeze()
        rig.sim.pause()
        rig.daemon.signal(signal.SIGTERM)
        assert rig.daemon.wait(within_s=5.0 + 3.0) == 0  # 5 s, and this machine's other work
        rig.sim.resume()
        rig.broker.thaw()
        rig.daemon.start()
        rig.flows(more=100)
        rig.verdict()


def test_a_killed_daemon_is_reported_offline_by_its_last_will(tmp_path: Path, pki: Pki) -> None:
    with Rig(tmp_path, pki).run() as rig:
        rig.daemon.kill()
        rig.recorder.until(lambda: not rig.recorder.of("status")[-1]["online"], "the last will")
        will = [one for one in rig.recorder.arrived if one.topic.endswith("/status")][-1]
        assert will.retain
        assert will.message["bootId"] == rig.recorder.of("status")[0]["bootId"]


# --- reloading -----------------------------------------------------------------------------------


def test_a_reload_adds_and_removes_a_battery_and_leaves_the_others_alone(
    tmp_path: Path, pki: Pki
) -> None:
    with Rig(tmp_path, pki).run() as rig, SimProcess("generic-rtac", cwd=tmp_path) as another:
        connections = len(accounts.sent_by(rig.sim)[1])
        rig.daemon.configure([*rig.assets, Asset(another.port, id="bess-3")])
        rig.daemon.reload()
        rig.daemon.logged("settings reloaded from")
        rig.daemon.status_when(
            lambda now: "bess-3" in now["assets"] and now["assets"]["bess-3"]["session"]["up"],
            "the new battery did not come up",
        )
        rig.daemon.up()
        rig.recorder.wait("state", lambda one: one["asset"] == "bess-3")
        rig.recorder.wait("map", lambda one: one["asset"] == "bess-3")
        rig.recorder.wait("birth", lambda one: len(one["assets"]) == 2)
        rig.daemon.configure(rig.assets)
        rig.daemon.reload()
        rig.daemon.status_when(lambda now: list(now["assets"]) == ["bess-1"], "it stayed")
        another.wait_until(lambda now: not now["connected"])
        assert len(accounts.sent_by(rig.sim)[1]) == connections
        rig.daemon.up()
        rig.flows()
        rig.verdict()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda text: text.replace("event_poll_s = 0.2", "event_poll_s = 99"), "event_poll_s"),
        (lambda text: text.replace("[queue]", "[queue"), "site.toml:"),
        (lambda text: text.replace('id = "gw-17"', 'id = "gw-18"'), "need a restart"),
        (lambda text: text.replace("site.toml", "site.toml") + "\nnonsense = 1\n", "nonsense"),
    ],
)
def test_a_bad_reload_keeps_the_old_settings_and_says_so(
    rig: Rig, spoil: Callable[[str], str], said: str
) -> None:
    good = rig.daemon.site.read_text()
    mark = len(rig.daemon.log)
    rig.daemon.site.write_text(spoil(good))
    try:
        rig.daemon.reload()
        rig.daemon.logged("reload refused, the old settings stay: ", said, after=mark)
        rig.flows()
        status = rig.daemon.up()
        assert list(status["assets"]) == ["bess-1"]
        assert any(why.startswith("reload refused") for why in status["reasons"])
    finally:
        rig.daemon.site.write_text(good)
    rig.daemon.reload()
    rig.daemon.logged("settings reloaded", after=mark)
    rig.daemon.status_when(lambda now: now["healthy"], "not healthy again")


def test_a_certificate_that_was_renewed_is_taken_up_by_a_reload(rig: Rig, pki: Pki) -> None:
    certificate = pki.ca.with_name("gw-17.pem")
    before = certificate.read_bytes()
    pki.client("gw-17")
    assert certificate.read_bytes() != before
    mark = len(rig.daemon.log)
    rig.daemon.reload()
    rig.daemon.logged("settings reloaded", "broker up", after=mark)
    rig.flows()


# --- systemd -------------------------------------------------------------------------------------


def test_systemd_hears_ready_status_and_a_watchdog_that_is_fed(tmp_path: Path, pki: Pki) -> None:
    with (
        Systemd(tmp_path / "notify") as systemd,
        Daemon(
            tmp_path / "daemon",
            pki=pki,
            broker_port=1,
            assets=[Asset(port=1)],
            env={"NOTIFY_SOCKET": str(systemd.path)},
        ) as daemon,
    ):
        daemon.start()
        daemon.until(lambda: systemd.facts.count("WATCHDOG=1") >= 3, "the watchdog is not fed")
        assert systemd.facts.index("READY=1") < systemd.facts.index("WATCHDOG=1")
        useful = "STATUS=DEGRADED: bess-1: session down: "
        daemon.until(
            lambda: any(one.startswith(useful) for one in systemd.facts), "no useful STATUS"
        )
        daemon.site.write_text("nonsense")
        daemon.reload()
        daemon.until(
            lambda: any(
                one.startswith("STATUS=reload refused, the old settings stay")
                and "site.toml" in one
                for one in systemd.facts
            ),
            "the refused reload is not in STATUS",
        )
        assert daemon.stop() == 0
        daemon_said = systemd.facts
        assert "STOPPING=1" in daemon_said


def test_a_core_that_is_stuck_is_not_fed_to_systemd(tmp_path: Path, pki: Pki) -> None:
    with (
        Systemd(tmp_path / "notify") as systemd,
        Daemon(
            tmp_path / "daemon",
            pki=pki,
            broker_port=1,
            assets=[Asset(port=1)],
            env={"NOTIFY_SOCKET": str(systemd.path)},
        ) as daemon,
    ):
        daemon.start()
        daemon.until(lambda: "WATCHDOG=1" in systemd.facts, "the watchdog is not fed")
        mark = len(daemon.log)
        daemon.signal(signal.SIGABRT)  # what systemd's watchdog sends
        assert daemon.wait() == -signal.SIGABRT
        assert "Thread 0x" in daemon.log[mark:]  # the stacks of every thread
        assert "gateway/loop.py" in daemon.log[mark:]


# --- on the box ----------------------------------------------------------------------------------


BROKEN_CORE = """
import sys
from pathlib import Path
from gateway import app
from gateway.site import load

class Broken:
    wake_at = 0.0
    def handle(self, event, now):
        raise ZeroDivisionError

path = Path(sys.argv[1])
made = app.Gateway(load.load_site(path), path)
engines, made._core = list(made._engines.values()), Broken()
try:
    made.run()
except ZeroDivisionError:
    print(len(engines), len(made._engines), all(one._ended.wait(60) for one in engines))
"""


def test_a_core_that_fails_ends_the_connections_and_the_process(tmp_path: Path, pki: Pki) -> None:
    with Peer() as silent:
        assets = [Asset(silent.port, f"bess-{number}", address=number) for number in range(10, 14)]
        daemon = Daemon(tmp_path, pki=pki, broker_port=silent.port, assets=assets)
        assert run_python(BROKEN_CORE, str(daemon.site)) == "4 0 True\n"


def test_a_second_daemon_on_one_state_directory_is_refused(
    rig: Rig, tmp_path: Path, pki: Pki
) -> None:
    second = Daemon(
        tmp_path, pki=pki, broker_port=rig.broker.port, assets=rig.assets, state=rig.daemon.state
    )
    with second:
        second.launch()
        assert second.wait() == EX_IOERR
        assert f"queue.lock: held by process {rig.daemon.pid}" in second.log
        assert "Traceback" not in second.log
    assert rig.daemon.ask("status")["gateway"] == "gw-17"  # its socket is still the first's
    rig.flows()


def test_status_exits_0_when_healthy_and_says_what_is_so(rig: Rig) -> None:
    rig.daemon.status_when(lambda now: now["healthy"], "not healthy")
    shown = bess_gateway("status", "--config", rig.daemon.site)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith("gw-17: healthy, ")
    assert "session up" in shown.stdout
    told = bess_gateway("status", "--json", "--config", rig.daemon.site)
    assert told.returncode == 0
    assert json.loads(told.stdout)["healthy"] is True


def test_status_exits_1_when_degraded_and_names_the_reason(tmp_path: Path, pki: Pki) -> None:
    daemon = Daemon(tmp_path, pki=pki, broker_port=1, assets=[Asset(port=1)])
    with daemon:
        daemon.start()
        daemon.status_when(
            lambda now: sum("refused" in reason for reason in now["reasons"]) == 2, "two reasons"
        )
        shown = bess_gateway("status", "--config", daemon.site)
        assert shown.returncode == 1
        assert "gw-17: DEGRADED" in shown.stdout
        assert "  ! bess-1: session down: refused" in shown.stdout
        assert "  ! broker down: localhost:1 refused the connection" in shown.stdout


@pytest.mark.parametrize("verb", ["status", "queue", "watch"])
def test_without_a_daemon_the_commands_say_where_they_asked(
    tmp_path: Path, pki: Pki, verb: str
) -> None:
    daemon = Daemon(tmp_path, pki=pki, broker_port=1, assets=[Asset(port=1)])
    shown = bess_gateway(verb, "--config", daemon.site)
    assert shown.returncode == EX_UNAVAILABLE
    assert f"no daemon answers on {daemon.socket}" in shown.stderr


def test_the_daemon_checks_its_own_files_for_who_may_not_read_them(rig: Rig) -> None:
    told = rig.daemon.ask("report", command=["check"])
    assert (told["exit"], told["err"]) == (0, "")
    assert told["out"].startswith(f"{rig.daemon.site}: good\n")
    shown = rig.daemon.ask("report", command=["audit", "show", "--last", "1", "--json"])
    assert shown["exit"] == 0
    assert len(json.loads(shown["out"])["rows"]) == 1


@pytest.mark.parametrize(
    "command",
    [
        ["run"],
        ["check", "--config", "/etc/shadow"],
        ["audit", "show", "--database", "/etc/shadow"],
        ["audit", "show", "--dat", "/etc/shadow"],
        ["audit", "show", "--database=/etc/shadow"],
        ["audit", "verify", "--head", "/etc/shadow"],
        ["audit"],
        [],
        "check",
        None,
    ],
)
def test_no_report_names_a_file_or_does_anything_else(rig: Rig, command: object) -> None:
    assert "must be" in rig.daemon.ask("report", command=command)["error"]


def test_queue_shows_every_stream(rig: Rig) -> None:
    shown = bess_gateway("queue", "--config", rig.daemon.site)
    assert shown.returncode == 0
    assert "stream" in shown.stdout
    told = json.loads(bess_gateway("queue", "--json", "--config", rig.daemon.site).stdout)
    assert told["epoch"] in rig.recorder.epochs
    assert (told["gaps"], told["quarantined"], told["held"]) == (0, 0, 0)


def test_watch_without_a_terminal_draws_once(rig: Rig) -> None:
    shown = bess_gateway("watch", "--config", rig.daemon.site)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "chargePercentage" in shown.stdout
    assert "AI0" in shown.stdout


def test_the_control_socket_is_for_its_owner_and_group_alone(rig: Rig) -> None:
    mode = rig.daemon.socket.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o660
    assert stat.S_IMODE(rig.daemon.state.stat().st_mode) & 0o007 == 0


def test_a_stranger_on_the_box_is_not_answered(rig: Rig) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to become another user")
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom gateway.local import client\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try:\n    client.ask(Path(sys.argv[1]), 'status')\n"
        "except client.NotRunningError as error:\n    print(error)\n"
    )
    shown = run_python(script, str(rig.daemon.socket))
    assert "permission denied: must be root or a member of group bess-operators" in shown


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"nonsense\n", "must be one JSON object a line"),
        (b"[1]\n", "must be one JSON object a line"),
        (b'{"verb": 3}\n', "verb must be a string"),
        (b'{"verb": "dance"}\n', "must be one of"),
        (b'{"verb": "status", "arguments": 3}\n', "arguments an object"),
    ],
)
def test_nonsense_on_the_control_socket_is_answered_and_hurts_nobody(
    rig: Rig, line: bytes, said: str
) -> None:
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(20)
        caller.connect(str(rig.daemon.socket))
        caller.sendall(line)
        with caller.makefile("rb") as answers:
            assert said in json.loads(answers.readline())["error"]
    assert rig.daemon.ask("status")["gateway"] == "gw-17"


def test_callers_that_never_ask_keep_nobody_out_for_long(rig: Rig) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(MAX_CALLERS):
            stack.enter_context(connected(rig))
        # One too many is told so and hung up on, perhaps before it has asked.
        with connected(rig) as hasty, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            hasty.sendall(b'{"verb": "status"}\n')
        # Asked again and again, until the silent ones were hung up on.
        assert ask(rig.daemon.socket, "status", wait_s=DEADLINE_S)["gateway"] == "gw-17"


def test_a_caller_that_says_a_letter_now_and_then_is_hung_up_on_all_the_same(rig: Rig) -> None:
    with connected(rig) as slow:
        slow.settimeout(0.2)
        said = 0
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while said < DEADLINE_S / 0.2:
                slow.sendall(b" ")
                said += 1
                with contextlib.suppress(TimeoutError):
                    if slow.recv(1) == b"":
                        break
        assert said < 2 * QUESTION_S / 0.2


def test_a_caller_may_ask_several_questions_and_gets_the_answers_in_their_order(rig: Rig) -> None:
    with connected(rig) as caller, caller.makefile("rb") as answers:
        caller.sendall(b'{"verb": "status"}\n{"verb": "dance"}\n{"verb"')
        assert json.loads(answers.readline())["gateway"] == "gw-17"
        assert "must be one of" in json.loads(answers.readline())["error"]
        caller.sendall(b': "queue"}\n')
        assert "streams" in json.loads(answers.readline())


def test_too_many_callers_are_told_so_and_cost_no_thread(rig: Rig) -> None:
    threads = Path(f"/proc/{rig.daemon.pid}/task")
    rig.daemon.until(lambda: len(list(threads.iterdir())) < 20, "those of earlier callers are gone")
    before = len(list(threads.iterdir()))
    with contextlib.ExitStack() as stack:
        callers = [stack.enter_context(connected(rig)) for _ in range(100)]
        refused = json.loads(callers[-1].makefile("rb").readline())
        assert refused == {"error": "16 callers are connected: must be fewer", "busy": True}
        assert len(list(threads.iterdir())) <= before + MAX_CALLERS
    rig.daemon.status_when(lambda now: now["gateway"] == "gw-17", "nobody is answered any more")


def connected(rig: Rig) -> socket.socket:
    """A caller on the control socket."""
    caller = socket.socket(socket.AF_UNIX)
    caller.settimeout(20)
    caller.connect(str(rig.daemon.socket))
    return caller
