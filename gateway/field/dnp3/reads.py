"""Which object headers read a set of points, in as few requests as is safe."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from gateway.points.raw import PointType, parse_point

if TYPE_CHECKING:
    from collections.abc import Iterable

HEADERS = 16  # of one request: 7 octets each, so that it fits one link frame (250 octets)

# Static object groups. Source: IEEE 1815-2012, annex A.
STATIC_GROUP = {
    PointType.BI: 1,
    PointType.DBI: 3,
    PointType.BO: 10,
    PointType.CTR: 20,
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

    Gaps are not bridged: an index that does not exist makes some outstations refuse the whole
    request (IIN2.2).

    Args:
        points: names such as "AI47"; each must be a point's name.
    """
    wanted = sorted(
        (STATIC_GROUP[kind], index) for kind, index in filter(None, map(parse_point, set(points)))
    )
    # Within a run of consecutive indices, index minus position is constant.
    ranges = []
    for _, run in groupby(enumerate(wanted), key=lambda item: (item[1][0], item[1][1] - item[0])):
        members = [item for _, item in run]
        ranges.append(RangeHeader(members[0][0], members[0][1], members[-1][1]))
    return tuple(tuple(ranges[at : at + HEADERS]) for at in range(0, len(ranges), HEADERS))
