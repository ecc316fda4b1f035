"""What ``bess-gateway maps list | check | show | diff`` do and print."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.cli import maps_import, maps_live, maps_try
from gateway.errors import ConfigError, UsageError
from gateway.points.difference import map_changes
from gateway.points.pointmap import control_refusals, resolved
from gateway.site.maps import load_map, load_maps

if TYPE_CHECKING:
    import argparse

    from gateway.errors import Fault
    from gateway.points.mappoint import MapPoint
    from gateway.points.pointmap import PointsMap

WIDTH = 160  # columns where the output is no terminal


def run(args: argparse.Namespace) -> int:
    """Carry out a ``maps`` command and return the exit code.

    Raises:
        ConfigError: an installed map is faulty.
        UsageError: there is no such map.
    """
    commands = {
        "list": _list,
        "check": _check,
        "show": _show,
        "diff": _diff,
        "roles": lambda asked: maps_try.roles(as_json=asked.json),
        "try": lambda asked: maps_try.try_map(_find(asked.ref), asked.pairs, as_json=asked.json),
        "import": maps_import.from_list,
        "new": maps_import.from_live,
        "verify": maps_live.verify,
    }
    return commands[args.maps_command](args)


def _list(args: argparse.Namespace) -> int:
    maps = load_maps()
    if args.json:
        return _say_json([_summary(points_map) for points_map in maps])
    table = Table("map", "vendor", "model", "firmware", "points", "control", "digest", box=None)
    for points_map in maps:
        refused = control_refusals(points_map)
        table.add_row(
            points_map.ref,
            points_map.vendor,
            points_map.model,
            Text(" | ".join(points_map.match)),
            str(len(points_map.points)),
            "refused" if refused else "allowed",
            points_map.digest[:19],
        )
    _console().print(table)
    return 0


def _check(args: argparse.Namespace) -> int:
    """Check the named files, or all installed maps together when none is named."""
    faults: list[Fault] = []
    maps: list[PointsMap] = []
    for file in args.files or [None]:
        try:
            maps += load_maps() if file is None else [load_map(Path(file))]
        except ConfigError as error:
            faults.extend(error.faults)
    if args.json:
        told = [_told(fault, "error") for fault in dict.fromkeys(faults)]
        told += [_told(fault, "warning") for each in maps for fault in each.warnings]
        _say_json({"ok": not faults, "maps": [_summary(each) for each in maps], "faults": told})
    else:
        console = _console()
        for fault in dict.fromkeys(faults):
            console.print(Text(str(fault)), soft_wrap=True)
        for points_map in maps:
            for warning in points_map.warnings:
                console.print(Text(f"warning: {warning}"), soft_wrap=True)
            console.print(Text(f"{points_map.file}: {points_map.ref} is good"), soft_wrap=True)
    return ConfigError.exit_code if faults else 0


def _show(args: argparse.Namespace) -> int:
    points_map = _find(args.ref)
    refused = control_refusals(points_map)
    if args.json:
        return _say_json(_summary(points_map) | {"resolved": resolved(points_map)})
    console = _console()
    facts = [
        f"{points_map.ref}: {points_map.vendor} {points_map.model}",
        f"file     {points_map.file}",
        f"source   {points_map.source}",
        f"firmware {' | '.join(points_map.match)}",
        f"digest   {points_map.digest}",
        "control  " + ("allowed" if not refused else "refused: " + "; ".join(refused)),
    ]
    console.print(Text("\n".join(facts)), soft_wrap=True)
    if not points_map.points:
        console.print("no points are named: all are shipped raw")
        return 0
    table = Table("point", "name", "role", "meaning", "range", "notes", box=None, pad_edge=False)
    for row in points_map.points:
        name = f"{row.name} *" if row.required else row.name
        cells = (row.point, name, row.role or "-", _meaning(row), _range(row), _notes(row))
        table.add_row(*map(Text, cells))
    console.print(table)
    console.print("* required: an integrity poll must bring it")
    return 0


def _meaning(row: MapPoint) -> str:
    """How a raw value is read, in one phrase."""
    if (named := row.enum or row.codes) is not None:
        return ", ".join(f"{raw}={name or 'nothing'}" for raw, name in named.items())
    if row.bits is not None:
        return ", ".join(f"bit {bit}={code}" for bit, code in row.bits.items())
    if row.how is not None:
        return f"{row.how} of {', '.join(row.of)}, in {row.unit}"
    if row.on is not None:
        codes = ((word, row.on if word == "on" else row.off or ()) for word in ("on", "off"))
        return ", ".join(f"{word}={'/'.join(map(str, found))}" for word, found in codes)
    if row.unit == "bool":
        return "inverted" if row.invert else "bool"
    scale = f"x {row.scale:g} " if row.scale != 1 else ""
    offset = f"{row.offset:+g} " if row.offset else ""
    sign = f", {row.sign.replace('_', ' ')}" if row.sign else ""
    return f"{scale}{offset}{row.unit}{sign}"


def _range(row: MapPoint) -> str:
    if row.min is None and row.max is None:
        return ""
    lo = "" if row.min is None else f"{row.min:g}"
    hi = "" if row.max is None else f"{row.max:g}"
    return f"{lo}..{hi} {row.canonical_unit}"


def _notes(row: MapPoint) -> str:
    notes = [row.variation] if row.variation else []
    if row.low is not None:
        notes.append(f"{row.type}, lower half in {row.low}")
    if row.feedback:
        near = f" ±{row.tolerance:g} {row.canonical_unit}" if row.tolerance is not None else ""
        notes.append(f"echo {row.feedback}{near} in {row.verify_s:g} s")
    if row.deadband is not None:
        notes.append(f"dead band {row.deadband:g} {row.canonical_unit}")
    if row.rollover is not None:
        notes.append(f"rolls over at {row.rollover}")
    return ", ".join(notes)


def _diff(args: argparse.Namespace) -> int:
    a, b = _find(args.a), _find(args.b)
    changes = map_changes(a, b)
    if args.json:
        return _say_json({"a": _summary(a), "b": _summary(b), **changes})
    console = _console()
    console.print(Text(f"{a.ref} -> {b.ref}"))
    for name, fields in changes["added"].items():
        console.print(Text(f"+ {name} ({fields['point']}, {fields['role'] or 'no role'})"))
    for name, fields in changes["removed"].items():
        console.print(Text(f"- {name} ({fields['point']}, {fields['role'] or 'no role'})"))
    for name, fields in {**changes["changed"], **changes["tables"]}.items():
        console.print(Text(f"~ {name}"))
        for key, (before, after) in fields.items():
            console.print(Text(f"    {key}: {_word(before)} -> {_word(after)}"), soft_wrap=True)
    if not any(changes.values()):
        console.print("no difference in meaning")
    return 0


def _word(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _find(ref: str) -> PointsMap:
    """The map called ``ref``: a file, an ``id@revision``, or an id that has one revision."""
    if ref.endswith(".toml") or "/" in ref:
        return load_map(Path(ref))
    maps = load_maps()
    found = [each for each in maps if ref in (each.ref, each.id)]
    if len(found) == 1:
        return found[0]
    allowed = ", ".join(each.ref for each in (found or maps))
    text = "is several maps" if found else "is not installed"
    msg = f"{ref}: {text}: must be one of {allowed}, or a file"
    raise UsageError(msg)


def _summary(points_map: PointsMap) -> dict[str, Any]:
    refused = control_refusals(points_map)
    return {
        "ref": points_map.ref,
        "id": points_map.id,
        "revision": points_map.revision,
        "vendor": points_map.vendor,
        "model": points_map.model,
        "firmware": list(points_map.match),
        "points": len(points_map.points),
        "digest": points_map.digest,
        "file": points_map.file,
        "control": {"allowed": not refused, "refusals": list(refused)},
    }


def _told(fault: Fault, severity: str) -> dict[str, Any]:
    return {
        "severity": severity,
        "file": fault.where.file,
        "line": fault.where.line,
        "table": fault.where.table,
        "key": fault.where.key,
        "code": fault.code,
        "text": fault.text,
    }


def _say_json(body: object) -> int:
    json.dump(body, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
    return 0


def _console() -> Console:
    is_terminal = sys.stdout.isatty()
    return Console(file=sys.stdout, width=None if is_terminal else WIDTH, highlight=False)
