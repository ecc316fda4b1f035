"""Which object headers read a set of points, in as few requests as is safe."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.points.raw import PointType, point_name
from gateway.points.runs import HEADERS, runs

if TYPE_CHECKING:
    from collections.abc import Iterable

# Static object groups. Source: IEEE 1815-2012, annex A.
STATIC_GROUP = {
    PointType.BI: 1,
    PointType.DBI: 3,
    PointType.BO: 10,
    PointType.CTR: 20,
    PointType.FC: 21,
    PointType.AI: 30,
    PointType.AO: 40,
    PointType.OS: 110,
}


class RangeHeader(NamedTuple):
    """One range header: points ``start..stop`` of a group, in the outstation's variation."""

    group: int
    start: int
    stop: int


def requests(points: Iterable[str]) -> tuple[tuple[RangeHeader, ...], ...]:
    """Group points by type into ranges of consecutive indices, at most 16 to a request.

    Args:
        points: names such as "AI47"; each must be a point's name.
    """
    ranges = sorted(RangeHeader(STATIC_GROUP[kind], *ends) for kind, *ends in runs(points))
    return tuple(tuple(ranges[at : at + HEADERS]) for at in range(0, len(ranges), HEADERS))


def text(request: Iterable[RangeHeader]) -> str:
    """Its points, for people: "AI0 to AI3, AI7"."""
    kinds = {group: kind for kind, group in STATIC_GROUP.items()}
    spans = ((point_name(kinds[one.group], one.start), one) for one in request)
    return ", ".join(
        name if one.start == one.stop else f"{name} to {point_name(kinds[one.group], one.stop)}"
        for name, one in spans
    )


def points(request: Iterable[RangeHeader]) -> frozenset[str]:
    """Names of all that it reads."""
    kinds = {group: kind for kind, group in STATIC_GROUP.items()}
    return frozenset(
        point_name(kinds[one.group], index)
        for one in request
        for index in range(one.start, one.stop + 1)
    )
