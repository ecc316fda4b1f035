"""A real mosquitto on loopback: mutual TLS, one identity per certificate, an ACL per identity.

The port is the kernel's choice and stays the same over ``stop`` and ``start``, so that a broker
can go down and come back. ``freeze`` stops the process without closing anything: the broker that
is there and does not answer.
"""

from __future__ import annotations

import collections
import contextlib
import getpass
import signal
import socket
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gateway.demo.pki import Pki

MOSQUITTO = ("mosquitto", "/usr/sbin/mosquitto")  # /usr/sbin is not on every user's PATH
_ATTEMPTS = 5  # another program may take the port between our look and mosquitto's bind


class BrokerError(GatewayError):
    """mosquitto is not installed or does not start; its own words are in the message."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the broker is told to bear; None leaves mosquitto's default."""

    receive_max: int | None = None  # Receive Maximum told to clients; 1..65535
    max_packet_size: int | None = None  # bytes, >= 20


class Broker:
    """One mosquitto process."""

    def __init__(  # noqa: PLR0913 - a broker of every temper
        self,
        folder: Path,
        *,
        pki: Pki,
        prefix: str = "bess/v1",
        gateways: tuple[str, ...] = ("gw-demo", "gw-17"),
        readers: tuple[str, ...] = ("consumer",),
        dispatchers: tuple[str, ...] = ("dispatcher",),
        server: tuple[Path, Path] | None = None,
        limits: Limits | None = None,
        listen: str = "127.0.0.1",
        retained: bool = True,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = 0
        self._folder = folder
        self._pki = pki
        self._server = server or pki.broker()
        self._limits = limits or Limits()
        self._retained = retained
        self._listen = listen  # 0.0.0.0 where a client lives in another network namespace
        self._acl = acl(prefix, gateways=gateways, readers=readers, dispatchers=dispatchers)
        self._process: subprocess.Popen[str] | None = None
        self._lines: collections.deque[str] = collections.deque(maxlen=1000)
        self._changed = threading.Condition()
        self._reader: threading.Thread | None = None

    def start(self) -> None:
        """Start and wait until it listens.

        Raises:
            BrokerError: with mosquitto's last lines.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            port = self.port or _free_port()
            self._launch(port)
            if self.logged(" running", within_s=10.0) and self._listens(port):
                self.port = port
                return
            self.stop()
            if attempt == _ATTEMPTS or "Address already in use" not in self.log:
                raise BrokerError(f"mosquitto does not start:\n{self.log}")  # noqa: EM102, TRY003

    def stop(self) -> None:
        """End it and close every connection; nothing is said to the clients."""
        if self._process is None:
            return
        self.thaw()
        self._process.terminate()
        self._reap()

    def kill(self) -> None:
        """SIGKILL: the kernel closes its connections, it says nothing itself."""
        if self._process is not None:
            self._process.kill()
            self._reap()

    def _reap(self) -> None:
        assert self._process is not None
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._reader is not None:
            self._reader.join(timeout=5)
        if self._process.stderr is not None:
            self._process.stderr.close()
        self._process = None

    def freeze(self) -> None:
        """Stop answering with all connections open (SIGSTOP)."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on after ``freeze``."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    @property
    def log(self) -> str:
        """Its last lines."""
        with self._changed:
            return "\n".join(self._lines)

    def logged(self, text: str, *, within_s: float) -> bool:
        """Wait until a line of its log holds ``text``; False if none did in time."""
        end = time.monotonic() + within_s
        with self._changed:
            while not any(text in line for line in self._lines):
                process = self._process
                wait_s = end - time.monotonic()
                if wait_s <= 0 or process is None or process.poll() is not None:
                    return any(text in line for line in self._lines)
                self._changed.wait(min(wait_s, 0.2))
        return True

    def _launch(self, port: int) -> None:
        (self._folder / "acl").write_text(self._acl)
        cert, key = self._server
        options: dict[str, object] = {
            "per_listener_settings": "false",
            "user": getpass.getuser(),  # mosquitto would become "mosquitto", who cannot read keys
            # A reader's session and what waits in it survive a restart, as on a platform's broker:
            # the gateway may be back before the reader is.
            "persistence": "true",
            "persistence_location": f"{self._folder}/",
            "log_dest": "stderr",
            "acl_file": self._folder / "acl",
            "allow_anonymous": "false",
            "max_queued_messages": 100_000,
            "max_queued_bytes": 0,
        }
        if not self._retained:
            options["retain_available"] = "false"
        if self._limits.receive_max is not None:
            options["max_inflight_messages"] = self._limits.receive_max
        if self._limits.max_packet_size is not None:
            options["max_packet_size"] = self._limits.max_packet_size
        listener: dict[str, object] = {
            "listener": f"{port} {self._listen}",
            "cafile": self._pki.ca,
            "certfile": cert,
            "keyfile": key,
            "require_certificate": "true",
            "use_identity_as_username": "true",
            "tls_version": "tlsv1.2",  # this and later
            "set_tcp_nodelay": "true",
        }
        conf = self._folder / "mosquitto.conf"
        conf.write_text(_lines(options) + _LOG_TYPES + _lines(listener))
        with self._changed:
            self._lines.clear()
        self._process = _run(["-c", str(conf)])
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            with self._changed:
                self._lines.append(line.rstrip())
                self._changed.notify_all()

    def _listens(self, port: int) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5):
            return self._process is not None and self._process.poll() is None
        return False


def acl(
    prefix: str,
    *,
    gateways: tuple[str, ...],
    readers: tuple[str, ...],
    dispatchers: tuple[str, ...],
) -> str:
    """A mosquitto ACL file: each certificate's common name and what it may write and read.

    A gateway writes only below its own id and reads only what is meant for it; a reader reads all
    and writes nothing; a dispatcher reads all and writes commands, heartbeats and requests.
    """
    lines = []
    for name in gateways:
        own = f"{prefix}/{name}"
        lines += [f"user {name}", f"topic write {own}/#"]
        lines += [f"topic read {own}/{tail}" for tail in ("+/cmd", "hb/down", "mgmt/req")]
    for name in readers:
        lines += [f"user {name}", f"topic read {prefix}/#"]
    for name in dispatchers:
        lines += [f"user {name}", f"topic read {prefix}/#"]
        lines += [f"topic write {prefix}/+/{tail}" for tail in ("+/cmd", "hb/down", "mgmt/req")]
    return "\n".join(lines) + "\n"


def _lines(options: Mapping[str, object]) -> str:
    return "".join(f"{key} {value}\n" for key, value in options.items())


_LOG_TYPES = "".join(
    f"log_type {kind}\n" for kind in ("error", "warning", "notice", "information", "subscribe")
)


def _run(arguments: list[str]) -> subprocess.Popen[str]:
    for program in MOSQUITTO:
        with contextlib.suppress(FileNotFoundError):
            return subprocess.Popen(
                [program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,  # Ctrl-C in the demo is for the demo alone
            )
    raise BrokerError("mosquitto is not installed: apt install mosquitto")  # noqa: EM101, TRY003


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
