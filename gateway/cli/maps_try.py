"""``maps roles`` and ``maps try``: what a map can say, and what raw values mean by it."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.clock import now
from gateway.config.site import AssetSettings, Dnp3Settings
from gateway.errors import UsageError
from gateway.measured import TimeQuality
from gateway.normalize.fold import Battery
from gateway.normalize.state import wire_value
from gateway.points.derive import DerivedPoints
from gateway.points.layers import Evidence, identity
from gateway.points.raw import PointType, RawPoint, parse_point
from gateway.points.roles import CRITICAL_ROLES, ROLES, UNITS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.points.pointmap import PointsMap

ONLINE = 1
_WIDTH = 160
# Nobody's: fields that come from the site's files are left out of what is shown.
_ANY = AssetSettings(
    *("any", "", {}, "", "", "", "", 1.0, 1.0, 1.0, 1.0, None),
    Dnp3Settings("", 0, 0, 0, 1.0, 1.0, 1.0, 1.0, unsolicited=False, time_sync="none"),
    None,
)


def roles(*, as_json: bool) -> int:
    """Print every role: on which points it may be, and in which units."""
    found: list[dict[str, Any]] = [
        {
            "role": name,
            "points": sorted(role.types),
            "units": list(role.units),
            "single": role.single,
            "signed": role.signed,
            "command": role.command,
            "critical": name in CRITICAL_ROLES,
        }
        for name, role in ROLES.items()
    ]
    if as_json:
        return _say(found)
    table = Table("role", "points", "units", "", box=None, pad_edge=False)
    for one in found:
        notes = ("several points", "needs a sign", "critical: read every 5 s")
        holds = (not one["single"], one["signed"], one["critical"])
        said = ", ".join(note for note, so in zip(notes, holds, strict=True) if so)
        table.add_row(str(one["role"]), " ".join(one["points"]), " ".join(one["units"]), said)
    console = _console()
    console.print(table)
    console.print(
        "BI also is a bit (AI12.3, CTR2.0) and an AI or CTR with on and off; BO an AO so."
    )
    console.print(f"units: {' '.join(UNITS)}")
    return 0


def try_map(points_map: PointsMap, pairs: Sequence[str], *, as_json: bool) -> int:
    """Print what ``pairs`` ("AI0=6340") mean by ``points_map``: each row, and the battery's state.

    Raises:
        UsageError: one that is no such pair.
    """
    at = now()
    sent = tuple(_raw(pair, at.unix_ms) for pair in pairs)
    points, _ = DerivedPoints(points_map).completed(sent, asked_at=0.0)
    settings = replace(_ANY, id=points_map.id)
    battery = Battery(points_map, settings)
    battery.session(up=True, now=at)
    battery.fold(points, at)
    rows = []
    for raw in points:
        row = points_map.by_point.get(raw.point)
        measured = None if row is None else battery.reading(raw.point, at)
        rows.append(
            {
                "point": raw.point,
                "raw": raw.value,
                "name": None if row is None else row.name,
                "role": None if row is None else row.role,
                "value": wire_value(measured),
                "unit": None if row is None else row.canonical_unit,
                "quality": None if measured is None else measured.quality.label,
            }
        )
    state = battery.state(at)
    fields = {
        name: {"value": wire_value(one), "quality": one.quality.label, "source": one.source}
        for name, one in state.wire_fields().items()
        if one is not None and one.source not in ("configured", "gateway")
    }
    evidence = Evidence(points_map, settings, {raw.point: raw for raw in points})
    found = {
        "map": points_map.ref,
        "points": rows,
        "state": fields,
        "alarms": [one.code for one in state.alarms],
        "faults": [one.code for one in state.faults],
        "findings": [one.text for one in identity(evidence)],
    }
    return _say(found) if as_json else _show(found)


def _raw(pair: str, at_ms: int) -> RawPoint:
    point, _, text = pair.partition("=")
    parsed = parse_point(point)
    if parsed is not None and parsed[0] is PointType.OS:
        return RawPoint(point, text, ONLINE, at_ms, at_ms, TimeQuality.GATEWAY, event=False)
    try:
        value = float(text)
    except ValueError:
        value = None
    if parsed is None or value is None:
        message = f"{pair}: must be POINT=RAW, such as AI0=6340"
        raise UsageError(message)
    return RawPoint(point, value, ONLINE, at_ms, at_ms, TimeQuality.GATEWAY, event=False)


def _show(found: dict[str, Any]) -> int:
    table = Table("point", "raw", "name", "role", "value", "quality", box=None, pad_edge=False)
    for row in found["points"]:
        value = "not in the map" if row["name"] is None else f"{_plain(row['value'])} {row['unit']}"
        cells = (row["point"], _plain(row["raw"]), row["name"], row["role"], value, row["quality"])
        table.add_row(*(Text(str(cell or "-")) for cell in cells))
    console = _console()
    console.print(table)
    for name, one in found["state"].items():
        line = f"{name} = {_plain(one['value'])} ({one['quality']}, {one['source']})"
        console.print(Text(line), soft_wrap=True)
    for word in ("alarms", "faults"):
        _list(console, f"{word}: ", found[word])
    _list(console, "the map is in doubt: ", found["findings"])
    return 0


def _list(console: Console, head: str, said: Iterable[str]) -> None:
    text = ", ".join(said)
    if text:
        console.print(Text(head + text), soft_wrap=True)


def _plain(value: object) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _say(found: object) -> int:
    json.dump(found, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
    return 0


def _console() -> Console:
    terminal = sys.stdout.isatty()
    return Console(width=None if terminal else _WIDTH, highlight=False, markup=False)
