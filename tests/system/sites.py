"""A site around a machine: a broker with client certificates, a simulated RTAC, a platform."""

from __future__ import annotations

import contextlib
import json
import socket
from typing import TYPE_CHECKING, Any

from paho.mqtt import publish

from gateway.consumer import readings
from gateway.demo.broker import Broker
from gateway.demo.cloud import Cloud
from gateway.demo.pki import Pki
from gateway.sim.launch import SimProcess
from gateway.sim.ledger import SPARES
from gateway.sim.wiring import SPARE_FIRST
from tests.system.machines import ETC, UNIT, Machine, MachineError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


GATEWAY, ASSET = "gw-17", "bess-1"
EVENTS_HELD = (
    200_000  # by the RTAC: a quarter of an hour of the load, for a machine that boots slowly
)
SPARE_POINTS = frozenset(f"AI{SPARE_FIRST + number}" for number in range(SPARES))
SITE = """\
schema = "bess.site/1"

[gateway]
id = "{gateway}"

[uplink]
host = "localhost"
port = {broker_port}
ca_file = "tls/ca.pem"
cert_file = "tls/gateway.pem"
key_file = "tls/gateway.key"

[queue]
max_size = "{max_size}"

[[asset]]
id = "{asset}"
name = "North substation battery"
vendor = "generic"
model = "rtac"
map = "generic-rtac@1.0.0"
nameplate_w = 2000000
capacity_wh = 8000000

[asset.dnp3]
host = "127.0.0.1"
port = {rtac_port}
outstation_address = 10
event_poll_s = 1
"""


class Platform(Cloud):
    """A cloud that also keeps the numbers of the load: value n of event n (see ``sim``)."""

    def __init__(self, *, port: int, pki: Pki) -> None:
        cert, key = pki.client("consumer")
        super().__init__(host="localhost", port=port, ca=pki.ca, cert=cert, key=key)
        self.numbers: set[int] = set()

    def _arrived(self, topic: str, payload: bytes) -> None:
        if not topic.endswith("/cmd"):  # what a dispatcher sent is no message of ours
            super()._arrived(topic, payload)

    def _keep(self, message: dict[str, Any]) -> None:
        super()._keep(message)
        if message["schema"] == "bess.telemetry/1":
            rows = readings(message)
            self.numbers |= {int(row.value) for row in rows if row.point in SPARE_POINTS}


class Site:
    """What stands around one gateway; everything listens on our loopback.

    Args:
        folder: for its files.
        events_per_s: what the RTAC records beside the battery's own.
        scenario: of the simulated battery.
        deadman_s: the RTAC's dead-man, s.
    """

    def __init__(
        self,
        folder: Path,
        *,
        events_per_s: float = 0.0,
        scenario: str = "daily",
        deadman_s: float = 15.0,
    ) -> None:
        self.pki = Pki(folder / "pki")
        self.broker = Broker(folder / "broker", pki=self.pki)
        self._folder = folder
        self._events_per_s = events_per_s
        self._scenario, self._deadman_s = scenario, deadman_s

    @contextlib.contextmanager
    def running(self) -> Iterator[Site]:
        """Start it all; a machine with ``host_net`` reaches it."""
        with contextlib.ExitStack() as stack:
            self.broker.start()
            stack.callback(self.broker.stop)
            self.rtac = stack.enter_context(
                SimProcess(
                    "generic-rtac",
                    cwd=self._folder,
                    scenario=self._scenario,
                    events_per_s=self._events_per_s,
                    deadman_s=self._deadman_s,
                    buffer=EVENTS_HELD,
                )
            )
            self.cloud = Platform(port=self.broker.port, pki=self.pki)
            self.cloud.start()
            stack.callback(self.cloud.stop)
            yield self

    def toml(self, *, max_size: str = "64MiB") -> str:
        """site.toml of a gateway here."""
        return SITE.format(
            gateway=GATEWAY,
            asset=ASSET,
            broker_port=self.broker.port,
            rtac_port=self.rtac.port,
            max_size=max_size,
        )

    def configure(self, machine: Machine) -> None:
        """What the technician puts on the box: keys with their owners, and site.toml."""
        cert, key = self.pki.client(GATEWAY)
        machine.write(f"{ETC}/tls/ca.pem", self.pki.ca.read_bytes())
        machine.write(f"{ETC}/tls/gateway.pem", cert.read_bytes())
        machine.write(
            f"{ETC}/tls/gateway.key", key.read_bytes(), mode="0640", owner="root:bess-gateway"
        )
        machine.write(f"{ETC}/site.toml", self.toml())

    def received(self) -> int:
        """Readings and other records that the platform has."""
        with self.cloud.lock:
            return self.cloud.consumer.received

    def lost(self) -> int:
        """Records that are missing and were not announced."""
        with self.cloud.lock:
            return self.cloud.consumer.lost()

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        """The broker is away; it comes back on the same port, whatever happens meanwhile."""
        with socket.socket() as kept:  # so that the kernel gives the port to nobody else
            kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.broker.stop()
            kept.bind(("127.0.0.1", self.broker.port))
            try:
                yield
            finally:
                self.broker.start()

    def command(self, payload: bytes) -> None:
        """Send one command as a dispatcher would."""
        cert, key = self.pki.client("dispatcher")
        publish.single(
            f"bess/v1/{GATEWAY}/{ASSET}/cmd",
            payload,
            qos=1,
            hostname="localhost",
            port=self.broker.port,
            tls={"ca_certs": str(self.pki.ca), "certfile": str(cert), "keyfile": str(key)},
        )

    def sent(self) -> set[int]:
        """Numbers of the load's events that the RTAC has recorded so far."""
        events = self.rtac.records("event")
        return {int(event["value"]) for event in events if event["point"] in SPARE_POINTS}

    def unseen(self, sent: set[int]) -> int:
        """How many of the events ``sent`` the platform does not have."""
        with self.cloud.lock:
            return len(sent - self.cloud.numbers)

    def more(self, machine: Machine, count: int = 20) -> None:
        """Wait until ``count`` more records have arrived."""
        before = self.received()
        machine.until(lambda: self.received() >= before + count, f"{count} more records arrive")

    def quiet(self, machine: Machine) -> None:
        """Wait until the broker has everything that the gateway has, but for the last moment."""

        def drained() -> bool:
            answer = ask(machine, "queue")
            return bool(answer) and not answer["backfilling"] and answer["readings"] < 5000

        machine.until(drained, "the backlog has gone")
        machine.until(lambda: self.lost() == 0, "the platform has every record")


def ask(machine: Machine, verb: str) -> dict[str, Any]:
    """The daemon's answer on the box; empty while there is none."""
    ended = machine.try_("bess-gateway", verb, "--json")
    try:
        answer: dict[str, Any] = json.loads(ended.stdout)
    except ValueError:
        return {}
    return answer


def start(machine: Machine) -> None:
    """Start the unit and wait until its session and its broker are up.

    Raises:
        MachineError: it does not come up; carries its journal.
    """
    machine.try_("systemctl", "start", UNIT)  # what it says is in the journal
    machine.until(lambda: working(machine), "session and broker are up")


def working(machine: Machine) -> bool:
    """Whether the daemon says that everything is up."""
    answer = ask(machine, "status")
    return bool(answer) and answer["broker"]["up"] and answer["assets"][ASSET]["session"]["up"]


def main_pid(machine: Machine) -> str:
    """The daemon's process in the machine.

    Raises:
        MachineError: it does not run.
    """
    pid = machine.show("MainPID")
    if pid == "0":
        text = f"{machine.release}: {UNIT} does not run"
        raise MachineError(text)
    return pid
