"""What every measure stands on: keys, a broker, a site file, and the daemon in its own process."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psutil

from gateway.demo.broker import Broker
from gateway.demo.pki import Pki
from gateway.errors import GatewayError
from gateway.local.client import NotRunningError, ask

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

GATEWAY = "gw-17"
READER = "consumer"
COMMAND = Path(sys.executable).with_name("bess-gateway")
START_S = 30.0

_SITE = """\
schema = "bess.site/1"

[gateway]
id = "{gateway}"
state_dir = "state"

[uplink]
host = "localhost"
port = {port}
ca_file = "{ca}"
cert_file = "{cert}"
key_file = "{key}"
"""
_ASSET = """
[[asset]]
id = "{asset}"
name = "Bench battery"
vendor = "generic"
model = "rtac"
map = "generic-rtac@1.0.0"
nameplate_w = 2000000
capacity_wh = 8000000

[asset.dnp3]
host = "127.0.0.1"
port = {port}
outstation_address = 10
event_poll_s = {event_poll_s}
unsolicited = {unsolicited}
"""


class BenchError(GatewayError):
    """A measure could not be taken; the message says what did not happen."""


def until(
    holds: Callable[[], object], *, within_s: float, what: str, every_s: float = 0.02
) -> None:
    """Wait until ``holds()``.

    Raises:
        BenchError: it did not within ``within_s`` seconds.
    """
    end = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > end:
            text = f"not within {within_s:g} s: {what}"
            raise BenchError(text)
        time.sleep(every_s)


class Rig:
    """Keys, a broker with mutual TLS, and the folder of one gateway, below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.site = folder / "site.toml"
        self.pki = Pki(folder / "pki")
        self.broker = Broker(
            folder / "broker", pki=self.pki, gateways=(GATEWAY,), readers=(READER,)
        )
        self._identity = self.pki.client(GATEWAY)
        self.broker.start()

    def write_site(
        self, ports: Sequence[int], *, event_poll_s: float = 2.0, unsolicited: bool = True
    ) -> Path:
        """Describe a site with one asset behind each of ``ports``: bess-1, bess-2 ..."""
        cert, key = self._identity
        text = _SITE.format(
            gateway=GATEWAY, port=self.broker.port, ca=self.pki.ca, cert=cert, key=key
        )
        for number, port in enumerate(ports, 1):
            text += _ASSET.format(
                asset=f"bess-{number}",
                port=port,
                event_poll_s=event_poll_s,
                unsolicited="true" if unsolicited else "false",
            )
        self.site.write_text(text)
        return self.site

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.broker.stop()


class Daemon:
    """``bess-gateway run`` in its own process, started as systemd starts it."""

    def __init__(self, rig: Rig) -> None:
        self._reader: threading.Thread | None = None
        self._socket = rig.state / "control.sock"
        self._log = rig.folder / "daemon.log"
        notices = rig.folder / "notify.sock"
        notices.unlink(missing_ok=True)
        self._notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notices.bind(str(notices))
        self._notices.settimeout(START_S)
        with self._log.open("wb") as log:
            self.started_ns = time.monotonic_ns()
            self._child = subprocess.Popen(
                [str(COMMAND), "run", "--config", str(rig.site)],
                stderr=log,
                env={**os.environ, "NOTIFY_SOCKET": str(notices)},
                start_new_session=True,
            )
        self.seen = psutil.Process(self._child.pid)
        try:
            while b"READY=1" not in self._notices.recv(4096):
                continue
        except TimeoutError:
            self.__exit__()
            text = f"not ready within {START_S:g} s: {self._log.read_text()[-2000:]}"
            raise BenchError(text) from None
        self.ready_s = (time.monotonic_ns() - self.started_ns) / 1e9
        # Somebody must read on, as systemd does: the daemon would wait on a full socket.
        self._notices.settimeout(0.2)
        self._reader = threading.Thread(target=self._read_notices, daemon=True)
        self._reader.start()

    def _read_notices(self) -> None:
        while self._child.poll() is None:
            with contextlib.suppress(TimeoutError):
                self._notices.recv(4096)

    def cpu_s(self) -> float:
        """Seconds of CPU used so far, user and system."""
        times = self.seen.cpu_times()
        return times.user + times.system

    def rss_mb(self) -> float:
        """Resident memory in MB (10^6 bytes)."""
        return self.seen.memory_info().rss / 1e6

    def peak_mb(self) -> float:
        """The largest resident memory so far, in MB."""
        for line in Path(f"/proc/{self._child.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
        raise BenchError("the kernel does not tell VmHWM")  # noqa: EM101, TRY003

    def ask(self, verb: str) -> dict[str, Any]:
        """Ask on the control socket."""
        return ask(self._socket, verb)

    def connected(self, *, sessions: bool = True) -> bool:
        """Whether the broker is up, and every session."""
        with contextlib.suppress(NotRunningError):
            status = self.ask("status")
            assets = status["assets"].values()
            up = all(one["session"]["up"] for one in assets) or not sessions
            return bool(status["broker"]["up"]) and up
        return False

    def wait_connected(self, *, sessions: bool = True) -> None:
        """Wait for ``connected``."""
        try:
            until(lambda: self.connected(sessions=sessions), within_s=START_S, what="", every_s=0.1)
        except BenchError:
            text = f"broker and sessions not up in {START_S:g} s: {self._log.read_text()[-2000:]}"
            raise BenchError(text) from None

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self._child.terminate()
        try:
            return self._child.wait(15)
        except subprocess.TimeoutExpired:
            self.kill()
            return -9

    def kill(self) -> None:
        """SIGKILL."""
        self._child.kill()
        self._child.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._child.poll() is None:
            self.stop()
        if self._reader is not None:
            self._reader.join()
        self._notices.close()
