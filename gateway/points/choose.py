"""Which map is for a controller: by vendor, model and declared firmware, never by likeness."""

from __future__ import annotations

from functools import cache
from itertools import combinations
from typing import TYPE_CHECKING

from gateway.errors import ConfigError, Fault, Where
from gateway.points.firmware import Form, overlap, read_form

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.points.pointmap import PointsMap


def choose(
    maps: Iterable[PointsMap], *, vendor: str, model: str, firmware: str
) -> PointsMap | None:
    """The one map that accepts ``firmware``.

    Returns:
        None where no map does: the caller uses ``raw_map()`` and says so with an event.

    Raises:
        ConfigError: M19, several maps accept it; an operator narrows their match or pins one.
    """
    declared = firmware.strip()
    found = [
        points_map
        for points_map in maps
        if _kind(points_map.vendor, points_map.model) == _kind(vendor, model)
        and any(_form(text).accepts(declared) for text in points_map.match)
    ]
    if len(found) > 1:
        text = f'firmware "{declared}" is also accepted by {_names(found[1:])}: must be one map'
        raise ConfigError([Fault(_where(found[0]), text, "M19")])
    return found[0] if found else None


def pinned(maps: Iterable[PointsMap], ref: str) -> PointsMap | None:
    """The map that is called ``ref`` ("id@revision"); None if it is not installed."""
    return next((points_map for points_map in maps if points_map.ref == ref), None)


def ambiguities(maps: Iterable[PointsMap]) -> list[Fault]:
    """M19 for every two maps of one vendor and model whose forms can be shown to overlap."""
    faults = []
    for a, b in combinations(maps, 2):
        if _kind(a.vendor, a.model) != _kind(b.vendor, b.model):
            continue
        shared = [
            (mine, other)
            for mine in a.match
            for other in b.match
            if overlap(_form(mine), _form(other))
        ]
        if shared:
            mine, other = shared[0]
            text = f'"{other}" overlaps "{mine}" of {a.ref} ({a.file}): must not'
            faults.append(Fault(_where(b), text, "M19"))
    return faults


@cache
def _form(text: str) -> Form:
    return read_form(text)


def _kind(vendor: str, model: str) -> tuple[str, str]:
    return vendor.strip().casefold(), model.strip().casefold()


def _where(points_map: PointsMap) -> Where:
    return Where(points_map.file, "map.match", "firmware", points_map.match_line)


def _names(maps: list[PointsMap]) -> str:
    return ", ".join(f"{points_map.ref} ({points_map.file})" for points_map in maps)
