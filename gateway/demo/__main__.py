"""``make demo``: simulated RTAC, mosquitto with mutual TLS, the daemon, and a cloud stand-in.

The battery is read, commissioned, armed, charged and discharged; then its cloud is killed.

Everything listens on loopback, on ports the kernel chose, with keys made for this run alone; all
of it lies in one temporary folder that goes with it.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.live import Live

from gateway.demo import screen
from gateway.demo.broker import Broker
from gateway.demo.cloud import Cloud
from gateway.demo.dispatch import DEADMAN_S, CloudSide, DemoStory
from gateway.demo.pki import Pki
from gateway.errors import GatewayError
from gateway.local.client import NotRunningError, ask
from gateway.sim.launch import SimProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Daemon = subprocess.Popen[bytes]
GATEWAY, ASSET = "gw-demo", "bess-1"
OUTAGE_START_S, OUTAGE_S, DRAIN_S = 8.0, 20.0, 30.0
FIRST_STATE_S = 30.0
STOP_S = 60.0  # where something is in force, zero is verified first
FRAME_S = 0.25

SITE = """\
schema = "bess.site/1"

[gateway]
id = "{gateway}"
state_dir = "state"

[uplink]
host = "localhost"
port = {broker_port}
ca_file = "{ca}"
cert_file = "{cert}"
key_file = "{key}"

[[asset]]
id = "{asset}"
name = "Simulated battery"
workspace = "demo"
site = "loopback"
vendor = "generic"
model = "rtac"
map = "generic-rtac@1.0.0"
nameplate_w = 2000000
capacity_wh = 8000000
backup_reserve_pct = 10

[asset.dnp3]
host = "127.0.0.1"
port = {rtac_port}
outstation_address = 10
"""


class DemoError(GatewayError):
    """The demo cannot go on."""


def main() -> int:
    """Run the demo; exit 0 unless something did not work."""
    parser = argparse.ArgumentParser(prog="gateway.demo", description=__doc__)
    parser.add_argument("--seconds", type=float, default=0, help="stop by itself; 0 runs on")
    parser.add_argument("--outage", action="store_true", help="take the broker down for 20 s")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="bess-demo-") as folder:
        try:
            return _run(Path(folder), seconds=arguments.seconds, outage=arguments.outage)
        except KeyboardInterrupt:
            return 0
        except GatewayError as error:
            print(f"FAILED: {error}", file=sys.stderr)
            return 1


def _run(folder: Path, *, seconds: float, outage: bool) -> int:
    console = Console(width=None if sys.stdout.isatty() else 124)
    with contextlib.ExitStack() as stack:
        pki = Pki(folder / "pki")
        broker = Broker(folder / "broker", pki=pki)
        broker.start()
        stack.callback(broker.stop)
        rtac = stack.enter_context(
            SimProcess(
                map="generic-rtac",
                address=10,
                cwd=folder,
                seed=1,
                scenario="daily",
                deadman_s=DEADMAN_S,
            )
        )
        cloud = _cloud(broker, pki)
        stack.callback(cloud.stop)
        site = folder / "site.toml"
        cert, key = pki.client(GATEWAY)
        site.write_text(
            SITE.format(
                gateway=GATEWAY,
                asset=ASSET,
                broker_port=broker.port,
                rtac_port=rtac.port,
                ca=pki.ca,
                cert=cert,
                key=key,
            )
        )
        side = CloudSide(folder, pki=pki, broker=broker, gateway=GATEWAY, asset=ASSET)
        daemon = stack.enter_context(_daemon(site, folder / "daemon.log"))
        socket = folder / "state" / "control.sock"
        show = _Show(console, cloud, socket, daemon)
        story = DemoStory(side, rtac, socket, show.until, show.say)
        try:
            with show:
                return _acts(show, broker, cloud, story, seconds=seconds, outage=outage)
        finally:
            show.last_words()


def _cloud(broker: Broker, pki: Pki) -> Cloud:
    cert, key = pki.client("consumer")
    cloud = Cloud(host="localhost", port=broker.port, ca=pki.ca, cert=cert, key=key)
    cloud.start()
    return cloud


@contextlib.contextmanager
def _daemon(site: Path, log: Path) -> Iterator[Daemon]:
    """The same ``bess-gateway run`` that production runs."""
    with log.open("wb") as lines:
        command = [sys.executable, "-m", "gateway", "run", "--config", str(site)]
        process = subprocess.Popen(command, stderr=lines, start_new_session=True)
        try:
            yield process
        finally:
            process.terminate()
            if process.wait(timeout=STOP_S) != 0:
                sys.stderr.write(log.read_text())  # why it ended: the only place that knows


def _acts(
    show: _Show, broker: Broker, cloud: Cloud, story: DemoStory, *, seconds: float, outage: bool
) -> int:
    if not show.until(lambda: bool(cloud.state), FIRST_STATE_S, "waiting for the first state"):
        show.failed("no state arrived within 30 s")
        return 1
    story.tell()
    started = time.monotonic()
    if outage:
        show.until(lambda: False, OUTAGE_START_S, "running")
        broker.stop()
        show.until(lambda: False, OUTAGE_S, "OUTAGE: the broker is down")
        broker.start()
        show.until(lambda: show.drained(cloud), DRAIN_S, "the broker is back: draining")
    end = started + seconds if seconds else float("inf")
    show.until(lambda: False, end - time.monotonic(), "running")
    if not show.until(lambda: cloud.consumer.lost() == 0, 5.0, "last look"):
        show.failed(screen.verdict(cloud))
        return 1
    return 0


class _Show:
    """Draws frames until something is true or the time is over."""

    def __init__(self, console: Console, cloud: Cloud, socket: Path, daemon: Daemon) -> None:
        self._console = console
        self._cloud = cloud
        self._socket = socket
        self._daemon = daemon
        self._live = Live(console=console, auto_refresh=False, screen=console.is_terminal)
        self._queue: dict[str, Any] = {}
        self._peak = 0
        self._failure = ""
        self._said: list[str] = []

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def say(self, text: str) -> None:
        """Keep a line about what happened."""
        self._said.append(text)
        if not self._console.is_terminal:
            self._console.print(text)

    def until(self, done: Callable[[], object], within_s: float, phase: str) -> bool:
        """Show ``phase`` until ``done()``; False when the time is over first."""
        end = time.monotonic() + within_s
        spoken = float("-inf")
        while not done():
            if self._daemon.poll() is not None:
                text = f"the daemon ended with {self._daemon.returncode}"
                raise DemoError(text)
            if time.monotonic() >= end:
                return False
            self._look()
            if self._console.is_terminal:
                frame = screen.render(self._cloud, self._queue, phase, self._said)
                self._live.update(frame, refresh=True)
            elif time.monotonic() - spoken >= 5:  # noqa: PLR2004 - a line each 5 s
                spoken = time.monotonic()
                waiting = self._queue.get("readings", 0)
                self._console.print(
                    f"{phase}: {self._cloud.consumer.received} readings received, "
                    f"{waiting} waiting, {screen.verdict(self._cloud)}"
                )
            time.sleep(FRAME_S)
        return True

    def drained(self, cloud: Cloud) -> bool:
        """Whether the cloud has the backlog."""
        return (
            bool(self._queue.get("brokerUp"))
            and not self._queue.get("backfilling", True)
            and cloud.consumer.lost() == 0
        )

    def failed(self, text: str) -> None:
        """Remember why the demo ends badly."""
        self._failure = text

    def last_words(self) -> None:
        """What stays on the terminal."""
        self._console.print(screen.render(self._cloud, self._queue, "the end", self._said))
        if self._peak:
            self._console.print(f"the queue held up to {self._peak:,} readings")
        self._console.print(f"gap check: {screen.verdict(self._cloud)}")
        if self._failure:
            self._console.print(f"FAILED: {self._failure}", style="bold red")

    def _look(self) -> None:
        try:
            self._queue = ask(self._socket, "queue", wait_s=1.0)
        except NotRunningError:
            self._queue = {}
        self._peak = max(self._peak, self._queue.get("readings", 0))


if __name__ == "__main__":
    sys.exit(main())
