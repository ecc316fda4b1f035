"""Brokers in booted Debian 13 machines: nothing of them is on the machine that tests.

Each has the port and the life that ``gateway.demo.broker.Broker`` has, so that the same story is
told at it.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
from typing import TYPE_CHECKING, Self

from gateway.demo.broker import BrokerError
from tests.fixtures.deadline import DEADLINE_S
from tests.system.machines import Machine, prepare

if TYPE_CHECKING:
    from gateway.demo.pki import Pki

GATEWAYS, READERS, DISPATCHERS = ("gw-17",), ("consumer",), ("dispatcher",)
UNIT = "broker"


class BoxedBroker:
    """One broker, in a machine of its own; a context manager.

    ``start`` and ``stop`` are the broker's; what it stored is there again after a ``stop``.
    """

    packages: tuple[str, ...] = ()
    name = ""

    def __init__(self, pki: Pki) -> None:
        self.port, *self._beside = _free_ports(3)
        self._pki = pki
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        box = prepare("trixie", list(self.packages), name=f"trixie-{self.name}")
        with contextlib.ExitStack() as stack:
            machine = Machine(box, {}, host_net=True)
            self.machine = stack.enter_context(machine.booted())
            self._install()
            self.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self) -> None:
        """Start it and wait until it listens.

        Raises:
            BrokerError: with its last lines.
        """
        self._run()
        end = time.monotonic() + DEADLINE_S
        while not self._listens():
            if time.monotonic() > end:
                said = self.machine.try_("journalctl", "-u", UNIT, "-n", "40", "--no-pager")
                text = f"{self.name} does not start:\n{said.stdout}"
                raise BrokerError(text)
            time.sleep(0.2)

    def stop(self) -> None:
        """End it and close every connection."""
        self.machine.try_("systemctl", "stop", UNIT)
        self.machine.try_("systemctl", "reset-failed", UNIT)

    @property
    def log(self) -> str:
        """Its last lines."""
        return self.machine.try_("journalctl", "-u", UNIT, "-n", "60", "--no-pager").stdout

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5):
            return True
        return False

    def _certificates(self, folder: str, *, owner: str) -> None:
        """CA, certificate and key of the broker, as ca.pem, server.pem and server.key."""
        cert, key = self._pki.broker()
        for file, to, mode in (
            (self._pki.ca, "ca.pem", "0644"),
            (cert, "server.pem", "0644"),
            (key, "server.key", "0600"),
        ):
            self.machine.write(f"{folder}/{to}", file.read_bytes(), mode=mode, owner=owner)

    def _install(self) -> None:
        """Put its files in place."""
        raise NotImplementedError

    def _run(self) -> None:
        """Start it as a service."""
        raise NotImplementedError


def _free_ports(count: int) -> list[int]:
    """Ports of this machine, whose loopback is the box's."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


class Nats(BoxedBroker):
    """NATS with JetStream: MQTT 3.1.1. As packaging/brokers/nats.md has it."""

    packages, name = ("nats-server",), "nats"

    def _install(self) -> None:
        self.machine.try_("systemctl", "stop", "nats-server")
        self._certificates("/etc/broker", owner="root")
        own = {
            **{name: (f"bess.v1.{name}.>", self._down(name)) for name in GATEWAYS},
            **{name: ("", ["bess.v1", "bess.v1.>"]) for name in READERS},
            **{name: ("bess.v1.>", ["bess.v1", "bess.v1.>"]) for name in DISPATCHERS},
        }
        users = "".join(
            f'{{user: "CN={name}", permissions: {{publish: {_list([up] if up else [])}, '
            f"subscribe: {_list(down)}}}}}\n"
            for name, (up, down) in own.items()
        )
        self.machine.write(
            "/etc/broker/nats.conf",
            f"""server_name: n1
host: 127.0.0.1
port: -1
jetstream {{ store_dir: /var/lib/broker }}
mqtt {{
  host: 127.0.0.1
  port: {self.port}
  tls {{ cert_file: /etc/broker/server.pem, key_file: /etc/broker/server.key,
        ca_file: /etc/broker/ca.pem, verify_and_map: true }}
}}
authorization {{ users: [
{users}] }}
""",
        )

    @staticmethod
    def _down(name: str) -> list[str]:
        own = f"bess.v1.{name}"
        return [f"{own}.*.cmd", f"{own}.hb.down", f"{own}.mgmt.req"]

    def _run(self) -> None:
        self.machine.run(
            "systemd-run", f"--unit={UNIT}", "--quiet", "nats-server", "-c", "/etc/broker/nats.conf"
        )


class Rabbit(BoxedBroker):
    """RabbitMQ 4 with its MQTT plugin. As packaging/brokers/rabbitmq.md has it."""

    packages, name = ("rabbitmq-server",), "rabbitmq"

    def _install(self) -> None:
        self.machine.try_("systemctl", "stop", "rabbitmq-server", "epmd.socket", "epmd.service")
        self._certificates("/etc/broker", owner="rabbitmq")
        write = {name: rf"^bess\.v1\.{name}\..*" for name in GATEWAYS}
        read = {name: rf"^bess\.v1\.{name}\.(.*\.cmd|hb\.down|mgmt\.req)$" for name in GATEWAYS}
        write |= dict.fromkeys(READERS, "^$") | dict.fromkeys(DISPATCHERS, r"^bess\.v1\..*")
        read |= dict.fromkeys((*READERS, *DISPATCHERS), r"^bess\.v1(\..*|$)")
        own = r"^(mqtt-subscription-.*|amq\.topic)$"
        everybody = [{"vhost": "/", "user": name} for name in write]
        definitions = {
            "vhosts": [{"name": "/"}],
            "users": [{"name": name, "tags": [], **_NO_PASSWORD} for name in write],
            "permissions": [
                {**one, "configure": own, "write": own, "read": own} for one in everybody
            ],
            "topic_permissions": [
                {**one, "exchange": "amq.topic", "write": write[name], "read": read[name]}
                for one in everybody
                if (name := one["user"])
            ],
        }
        self.machine.write("/etc/broker/definitions.json", json.dumps(definitions))
        self.machine.write("/etc/broker/plugins", _PLUGINS)
        self.machine.write(
            "/etc/broker/rabbitmq.conf",
            f"""listeners.tcp = none
mqtt.listeners.tcp = none
mqtt.listeners.ssl.1 = 127.0.0.1:{self.port}
ssl_options.cacertfile = /etc/broker/ca.pem
ssl_options.certfile = /etc/broker/server.pem
ssl_options.keyfile = /etc/broker/server.key
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
mqtt.ssl_cert_login = true
ssl_cert_login_from = common_name
mqtt.allow_anonymous = false
definitions.import_backend = local_filesystem
definitions.local.path = /etc/broker/definitions.json
""",
        )

    def _run(self) -> None:
        settings = {
            "RABBITMQ_NODENAME": "broker@localhost",
            "RABBITMQ_CONFIG_FILE": "/etc/broker/rabbitmq",
            "RABBITMQ_ENABLED_PLUGINS_FILE": "/etc/broker/plugins",
            "RABBITMQ_DIST_PORT": str(self._beside[0]),
            "ERL_EPMD_PORT": str(self._beside[1]),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none",
            "RABBITMQ_LOGS": "-",
            "HOME": "/var/lib/rabbitmq",
        }
        chosen = [f"--setenv={name}={value}" for name, value in settings.items()]
        program = "/usr/lib/rabbitmq/bin/rabbitmq-server"
        self.machine.run(
            "systemd-run", f"--unit={UNIT}", "--quiet", "--uid=rabbitmq", *chosen, program
        )


_PLUGINS = "[rabbitmq_mqtt,rabbitmq_auth_mechanism_ssl].\n"
_NO_PASSWORD = {"password_hash": "", "hashing_algorithm": "rabbit_password_hashing_sha256"}


def _list(subjects: list[str]) -> str:
    found = [*subjects, "$MQTT.sub.>"]
    return "[" + ", ".join(f'"{one}"' for one in found) + "]"
