"""``maps verify --live``: a map against what the running daemon reads, point by point."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gateway.cli import views
from gateway.cli.command import ask
from gateway.measured import USABLE, TimeQuality
from gateway.points.decode import decode, flag_quality
from gateway.points.raw import RawPoint
from gateway.site.maps import load_maps

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

    from gateway.points.pointmap import PointsMap


def verify(asked: argparse.Namespace) -> int:
    """Print what differs; exit 1 if something does.

    Raises:
        NotRunningError: no daemon, or it does not know the asset.
        ConfigError: an installed map is faulty.
    """
    arguments = {} if asked.asset is None else {"asset": asked.asset}
    told = ask(asked, "points", arguments)
    asset = told["asset"]
    told_map = ask(asked, "map", {"asset": asset})
    points_map = next((one for one in load_maps() if one.digest == told_map["digest"]), None)
    health = ask(asked, "health", {})["assets"][asset]
    found = list(findings(points_map, told["columns"], health))
    if asked.json:
        print(json.dumps({"asset": asset, "map": health["map"]["ref"], "findings": found}))
    else:
        read = len(told["columns"]["point"])
        print(f"{asset}: {health['map']['ref']}, {read} points read, {len(found)} findings")
        for one in found:
            print(views.plain(f"  {one['point'] or '-':<8} {one['text']}"))
    return 1 if found else 0


def findings(
    points_map: PointsMap | None, columns: Mapping[str, list[Any]], health: Mapping[str, Any]
) -> Iterator[dict[str, str]]:
    """Everything that speaks against the map, and what it does not speak of.

    Args:
        points_map: None where the map that the daemon uses is not installed any more.
        columns: of ``points``.
        health: of the asset.
    """
    for text in health["map"]["findings"]:
        yield {"point": "", "text": str(text)}
    if points_map is None:
        text = "the daemon uses another file than the installed one: reload"
        yield {"point": "", "text": text}
        return
    values = zip(columns["point"], columns["raw"], columns["flags"], strict=True)
    raws = {point: (raw, flags) for point, raw, flags in values}
    for row in points_map.points:
        if row.point not in raws:
            need = "required, and " if row.required else ""
            yield {"point": row.point, "text": f"{row.name}: {need}not sent by the outstation"}
            continue
        value, flags = raws[row.point]
        raw = RawPoint(row.point, value, flags, 0, 0, TimeQuality.GATEWAY, event=False)
        if flag_quality(raw, row.kind) > USABLE:
            text = f"{row.name}: flags 0x{flags or 0:02x}: the outstation does not vouch for it"
            yield {"point": row.point, "text": text}
        elif decode(raw, row).quality > USABLE:
            text = f"{row.name}: raw {value!r} is outside what the map allows there"
            yield {"point": row.point, "text": text}
    named = {point for row in points_map.points for point in (row.source, row.point)}
    for point in raws:
        if point not in named:
            yield {"point": point, "text": f"sent ({raws[point][0]!r}), and not in the map"}
