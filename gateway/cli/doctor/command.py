"""``bess-gateway doctor``: its options, and what it prints."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING

from gateway.cli import views
from gateway.cli.command import add
from gateway.cli.doctor.examine import NAMES, examine, first
from gateway.cli.doctor.findings import Level
from gateway.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from gateway.cli.command import Commands
    from gateway.cli.doctor.findings import Diagnosis

WIDTH = 80
_MARGIN = " " * 25


def add_parser(commands: Commands) -> None:
    """Add ``doctor``."""
    text = "what is wrong with this site, and what to mend first; exit 0, 1 warnings, 2 faults"
    parser = add(commands, "doctor", _doctor, text)
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--list", action="store_true", help="the names of the checks")
    parser.add_argument("--only", metavar="NAME", help="checks whose name holds this")
    parser.add_argument(
        "--probe", action="store_true", help="try the RTAC's port though the daemon holds it"
    )


def _doctor(asked: argparse.Namespace) -> int:
    from gateway.cli.doctor.gather import gather

    if asked.list:
        print("\n".join(NAMES))
        return 0
    only = [name for name in NAMES if asked.only is None or asked.only in name]
    if not only:
        text = f"--only {asked.only}: must be a part of one of {', '.join(NAMES)}"
        raise UsageError(text)
    found = examine(gather(asked.config, probe=asked.probe), only)
    print(json.dumps(body(found)) if asked.json else "\n".join(lines(found)))
    return exit_code(found)


def exit_code(found: Mapping[str, Diagnosis]) -> int:
    """0 in order, 1 warnings, 2 faults, 78 where a file of the configuration has one."""
    levels = {one.level for one in found.values()}
    if Level.FAULT not in levels:
        return int(Level.WARNING in levels)
    config = found.get("config")
    return 78 if config is not None and config.level is Level.FAULT else 2


def lines(found: Mapping[str, Diagnosis]) -> list[str]:
    """A line a check, those to mend last and with how; at the end what to mend first."""
    bad = [name for name, one in found.items() if one.do]
    shown = [line for name, one in found.items() if not one.do for line in _line(name, one)]
    for name in bad:
        shown += _line(name, found[name])
        shown += _folded(f"do: {found[name].do}", _MARGIN)
    counts = {level: sum(one.level is level for one in found.values()) for level in Level}
    tally = (
        f"{counts[Level.OK]} ok, {counts[Level.SKIPPED]} not looked at, "
        f"{counts[Level.WARNING]} warnings, {counts[Level.FAULT]} faults"
    )
    name = first(dict(found))
    return [*shown, f"{tally}: mend {name} first" if name else tally]


def _line(name: str, one: Diagnosis) -> list[str]:
    return _folded(views.plain(one.text), f"{one.level.value:<6}{name:<18} ")


def _folded(text: str, head: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=head, subsequent_indent=_MARGIN, break_on_hyphens=False
    ) or [head.rstrip()]


def body(found: dict[str, Diagnosis]) -> dict[str, object]:
    """For programs."""
    return {
        "checks": [
            {"name": name, "level": one.level.name.lower(), "text": one.text, "do": one.do}
            for name, one in found.items()
        ],
        "first": first(found),
    }
