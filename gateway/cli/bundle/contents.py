"""What goes into the bundle, each with the reason where it does not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.cli.bundle.scrub import Scrubber
from gateway.cli.doctor.command import body as doctor_body
from gateway.cli.doctor.examine import examine
from gateway.cli.doctor.gather import gather as doctor_facts
from gateway.config.toml import parse
from gateway.errors import ConfigError
from gateway.local import client
from gateway.site import load
from gateway.site.safety_files import NAME as SAFETY_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

ASK_S = 3.0
RUN_S = 8.0
JOURNAL_LINES = 20_000
_UNITS = ("bess-gateway", "bess-gateway-view")
_COMMANDS = {  # file -> what prints it; none of them shows the content of a file of ours
    "os-release.txt": ("cat", "/etc/os-release"),
    "packages.txt": ("dpkg-query", "-W", "-f", "${Package} ${Version}\n"),
    "unit.txt": ("systemctl", "show", "bess-gateway", "--no-pager"),
    "journal.txt": ("journalctl", "--no-pager", "-o", "short-iso-precise", "-n", "20000"),
    "clock.txt": ("timedatectl", "status"),
    "disks.txt": ("df", "-h"),
    "mounts.txt": ("findmnt", "--noheadings", "-o", "TARGET,FSTYPE,OPTIONS"),
    "memory.txt": ("free", "-m"),
    "uptime.txt": ("uptime",),
    "addresses.txt": ("ip", "-brief", "addr"),
    "routes.txt": ("ip", "route"),
    "cores.txt": ("coredumpctl", "list", "--no-pager"),
    "files.txt": ("ls", "-lnR", "--time-style=full-iso", "/etc/bess-gateway"),
    "state.txt": ("ls", "-ln", "--time-style=full-iso", "/var/lib/bess-gateway"),
}


@dataclass(slots=True)
class Gathered:
    """Names of files with their contents, and why others are missing. Mutable."""

    files: dict[str, bytes] = field(default_factory=dict)
    omitted: dict[str, str] = field(default_factory=dict)


def gather(config: Path, *, since: str, redact: bool) -> Gathered:
    """Everything that this user may read; takes some 20 s."""
    found = Gathered()
    site, safety = _tree(config, found), _tree(config.with_name(SAFETY_NAME), found)
    scrub = Scrubber(_secrets(config, site, safety), hosts=_hosts(site) if redact else ())
    for name, tree in (("site.json", site), ("safety.json", safety)):
        if tree is not None:
            found.files[name] = _json(scrub.settings(tree))
    _answers(config, scrub, found)
    facts = doctor_facts(config, probe=False)
    found.files["doctor.json"] = _json(scrub.value(doctor_body(examine(facts))))
    found.files["check.txt"] = scrub.text(facts.check.out + facts.check.err).encode()
    found.files["audit.txt"] = scrub.text(facts.audit.out + facts.audit.err).encode()
    found.files["gathered.json"] = _json(scrub.value(asdict(facts)))
    for name, command in _COMMANDS.items():
        _run(name, _with_since(name, command, since), scrub, found)
    return found


def _with_since(name: str, command: tuple[str, ...], since: str) -> list[str]:
    if name != "journal.txt":
        return list(command)
    units = [word for unit in _UNITS for word in ("-u", unit)]
    return [*command, *units, "--since", f"-{since}"]


def _answers(config: Path, scrub: Scrubber, found: Gathered) -> None:
    """What the daemon says of itself."""
    try:
        path = load.find_socket(config)
        for verb in ("hello", "status", "queue", "health", "counters", "pending"):
            answer = client.ask(path, verb, wait_s=ASK_S)
            if verb == "pending":  # a command's own parameters, without its signatures
                answer.pop("raw", None)
            found.files[f"{verb}.json"] = _json(scrub.value(answer))
    except (client.NotRunningError, ConfigError) as error:
        found.omitted["status.json"] = scrub.text(str(error))


def _run(name: str, command: list[str], scrub: Scrubber, found: Gathered) -> None:
    program = shutil.which(command[0])
    if program is None:
        found.omitted[name] = f"no {command[0]} here"
        return
    try:
        ended = subprocess.run(  # noqa: S603 - our own words, and no shell
            [program, *command[1:]], capture_output=True, timeout=RUN_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        found.omitted[name] = scrub.text(str(error))
        return
    text = ended.stdout.decode("utf-8", "replace")
    if name == "unit.txt":
        text = "\n".join(line for line in text.splitlines() if not line.startswith("Environment"))
    found.files[name] = scrub.text(text).encode()
    if ended.returncode:
        said = ended.stderr.decode("utf-8", "replace").strip()
        found.omitted[f"{name} (some)"] = scrub.text(said) or f"exit {ended.returncode}"


def _tree(path: Path, found: Gathered) -> Mapping[str, Any] | None:
    try:
        return parse(load.read_document(path), file=str(path)).tree
    except ConfigError as error:
        found.omitted[f"{path.stem}.json"] = error.faults[0].text
        return None


# --- what must not be in it --------------------------------------------------------------------


def _secrets(
    config: Path, site: Mapping[str, Any] | None, safety: Mapping[str, Any] | None
) -> Iterator[bytes]:
    """Contents of every file that the configuration names or that lies beside it, but TOML."""
    for tree in (site, safety):
        for path in _paths(tree or {}, config.absolute().parent):
            with suppress(OSError):
                yield path.read_bytes()
    with suppress(OSError):
        for path in sorted(config.absolute().parent.rglob("*")):
            if path.is_file() and path.suffix not in (".toml", ".example"):
                with suppress(OSError):
                    yield path.read_bytes()
    for name, value in os.environ.items():
        if any(word in name.upper() for word in ("PASS", "SECRET", "TOKEN", "KEY", "CRED")):
            yield value.encode()


def _paths(tree: Mapping[str, Any], folder: Path) -> Iterator[Path]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _paths(value, folder)
        elif isinstance(value, list):
            for one in value:
                if isinstance(one, dict):
                    yield from _paths(one, folder)
        elif key.endswith("_file") and isinstance(value, str):
            yield folder / value


def _hosts(site: Mapping[str, Any] | None) -> list[str]:
    tables = [(site or {}).get("uplink"), *(one.get("dnp3") for one in _assets(site))]
    return [str(one["host"]) for one in tables if isinstance(one, dict) and "host" in one]


def _assets(site: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    found = (site or {}).get("asset")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _json(body: object) -> bytes:
    stamped = {"gatheredAt": round(time.time()), "body": body}
    return json.dumps(stamped, indent=1, ensure_ascii=False, default=str).encode()
