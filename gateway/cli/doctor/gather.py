"""Asks the box, the daemon and, where it is silent, the network: everything at once, 2 to 20 s.

Nothing is written and nobody is thrown out: no second DNP3 master, no MQTT CONNECT. The RTAC's
port is tried only with ``probe`` or while no daemon runs, for an RTAC may take one connection.
"""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.doctor.findings import Ran, SiteFacts
from gateway.config.toml import parse
from gateway.errors import ConfigError
from gateway.local import client
from gateway.mqtt import causes
from gateway.site import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

LIMIT_S = 18.0  # of everything: the command ends within 20
TRY_S = 2.0  # of one connection or question
_SHOWN = (
    *("LoadState", "ActiveState", "SubState", "NRestarts", "ExecMainStatus"),
    *("ConditionResult", "ConditionTimestamp"),
)
_SYSTEMCTL = f"-p{','.join(_SHOWN)}"


@dataclass(frozen=True, slots=True)
class _Ends:
    """Whom site.toml names, as far as it can be read."""

    broker: tuple[str, int] | None = None
    ca_file: str = ""
    rtacs: tuple[tuple[str, int], ...] = ()

    @property
    def hosts(self) -> list[str]:
        found = [] if self.broker is None else [self.broker[0]]
        return list(dict.fromkeys([*found, *(host for host, _ in self.rtacs)]))


def gather(config: Path, *, probe: bool) -> SiteFacts:
    """All of it; what takes too long is left out, and its check says so."""
    until_s = time.monotonic() + LIMIT_S
    ends = _ends(config)
    told = _later(_daemon, config)
    # The units are of the installed site: what they do says nothing of another one.
    look = _unit if config == Path(load.DEFAULT_FILE) else _no_unit
    unit, view = _later(look, "bess-gateway"), _later(look, "bess-gateway-view")
    synchronized = _later(_synchronized)
    names = {host: _later(_name, host) for host in ends.hosts}
    routes = {f"{host}:{port}": _later(_route, host, port) for host, port in ends.rtacs}
    check = _later(_command, "check", config)
    daemon = _result(told, until_s, {"silent": "the daemon does not answer", "denied": False})
    audit = _later(_command, "audit verify", config)
    tried = ends.rtacs if probe or daemon["silent"] else ()
    ports = {f"{host}:{port}": _later(_port, host, port) for host, port in tried}
    up = daemon.get("status", {}).get("broker", {}).get("up")
    tls = None if up else _later(_tls, ends)
    late = Ran(-1, "", f"not ready within {LIMIT_S:g} s")
    return SiteFacts(
        release=_release(),
        unit=_result(unit, until_s, None),
        view_unit=_result(view, until_s, None),
        synchronized=_result(synchronized, until_s, None),
        check=_result(check, until_s, late),
        audit=_result(audit, until_s, late),
        free_pct=_free(config),
        names=_results(names, until_s),
        routes=_results(routes, until_s),
        ports=_results(ports, until_s),
        tls=None if tls is None else _result(tls, until_s, None),
        **daemon,
    )


def _later(ask: Callable[..., Any], *arguments: Any) -> Future[Any]:  # noqa: ANN401 - of any question
    """``ask`` in a thread that nobody waits for: a resolver may take minutes."""
    future: Future[Any] = Future()

    def answer() -> None:
        try:
            future.set_result(ask(*arguments))
        except BaseException as error:  # noqa: BLE001 - told where the result is asked for
            future.set_exception(error)

    threading.Thread(target=answer, daemon=True).start()
    return future


def _result(future: Future[Any], until_s: float, otherwise: Any) -> Any:  # noqa: ANN401 - as above
    with suppress(FutureTimeoutError):
        return future.result(max(0.0, until_s - time.monotonic()))
    return otherwise


def _results(futures: Mapping[str, Future[str]], until_s: float) -> dict[str, str]:
    found = {name: _result(one, until_s, "no answer in time") for name, one in futures.items()}
    return {name: str(one) for name, one in found.items()}


# --- the box -----------------------------------------------------------------------------------


def _release() -> dict[str, str]:
    found = {}
    with suppress(OSError):
        for line in Path("/etc/os-release").read_text().splitlines():
            name, _, value = line.partition("=")
            found[name] = value.strip('"')
    return found


def _unit(name: str) -> dict[str, str] | None:
    systemctl = shutil.which("systemctl")
    if systemctl is None:
        return None
    ran = _run([systemctl, "show", name, _SYSTEMCTL])
    pairs = (line.partition("=") for line in ran.out.splitlines())
    found = {key: value for key, _, value in pairs if key in _SHOWN}
    return found if ran.exit == 0 else None


def _no_unit(_: str) -> None:
    """Of a site that no unit runs."""


def _synchronized() -> bool | None:
    timedatectl = shutil.which("timedatectl")
    if timedatectl is None:
        return None
    ran = _run([timedatectl, "show", "-p", "NTPSynchronized", "--value"])
    return {"yes": True, "no": False}.get(ran.out.strip())


def _free(config: Path) -> float | None:
    with suppress(OSError, ConfigError):
        installed = config == Path(load.DEFAULT_FILE)
        usage = shutil.disk_usage(
            Path(load.PACKAGED_STATE) if installed else load.state_folder(config)
        )
        return round(100 * usage.free / usage.total, 1)
    return None


def _command(words: str, config: Path) -> Ran:
    """A command of ours, in a process of its own: ``check`` becomes the daemon's user."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "gateway", *words.split(), "--config", str(config)]
    return _run(command, LIMIT_S, environment)


def _run(command: list[str], within_s: float = TRY_S, env: dict[str, str] | None = None) -> Ran:
    try:
        ended = subprocess.run(  # noqa: S603 - our own words, and no shell
            command, capture_output=True, text=True, timeout=within_s, env=env, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Ran(-1, "", str(error))
    return Ran(ended.returncode, ended.stdout, ended.stderr)


# --- the daemon --------------------------------------------------------------------------------


def _daemon(config: Path) -> dict[str, Any]:
    try:
        path = load.find_socket(config)
        hello = client.ask(path, "hello", wait_s=TRY_S)
        return {
            "silent": "",
            "denied": False,
            "may_act": bool(hello.get("mayAct")),
            "status": client.ask(path, "status", wait_s=TRY_S),
            "queue": client.ask(path, "queue", wait_s=TRY_S),
            "health": client.ask(path, "health", wait_s=TRY_S).get("assets", {}),
        }
    except client.SocketDeniedError as error:
        return {"silent": str(error), "denied": True}
    except (client.NotRunningError, ConfigError) as error:
        return {"silent": str(error).splitlines()[0], "denied": False}


# --- the network -------------------------------------------------------------------------------


def _ends(config: Path) -> _Ends:
    """As site.toml names them; nothing else of it must be right."""
    try:
        tree = parse(load.read_document(config), file=str(config)).tree
    except ConfigError:
        return _Ends()
    uplink = tree.get("uplink")
    uplink = uplink if isinstance(uplink, dict) else {}
    broker = _end(uplink, 8883)
    ca_file = str(uplink.get("ca_file", ""))
    return _Ends(broker, str(config.absolute().parent / ca_file), tuple(_rtacs(tree)))


def _rtacs(tree: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    assets = tree.get("asset")
    for one in assets if isinstance(assets, list) else []:
        table = one.get("dnp3") if isinstance(one, dict) else None
        if isinstance(table, dict) and (end := _end(table, 20_000)) is not None:
            yield end


def _end(table: Mapping[str, Any], port: int) -> tuple[str, int] | None:
    host, found = table.get("host"), table.get("port", port)
    return (host, found) if isinstance(host, str) and host and isinstance(found, int) else None


def _name(host: str) -> str:
    return _tried(lambda: socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))


def _route(host: str, port: int) -> str:
    """Whether the kernel knows a way; nothing is sent."""

    def look() -> None:
        family, kind, _, _, end = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as one:
            one.connect(end)

    return _tried(look)


def _port(host: str, port: int) -> str:
    return _tried(lambda: socket.create_connection((host, port), TRY_S).close())


def _tls(ends: _Ends) -> str | None:
    """The handshake alone: no CONNECT, and nothing of ours is shown."""
    if ends.broker is None:
        return None
    host, port = ends.broker
    try:
        context = ssl.create_default_context(cafile=ends.ca_file)
        with (
            socket.create_connection((host, port), TRY_S) as raw,
            context.wrap_socket(raw, server_hostname=host),
        ):
            return ""
    except (OSError, ValueError) as error:
        return causes.of_error(error, host=host, port=port)


def _tried(act: Callable[[], object]) -> str:
    try:
        act()
    except socket.gaierror as error:
        return str(error.strerror)
    except OSError as error:
        return error.strerror or str(error) or type(error).__name__
    return ""
