"""Runs of points that are read together, and how many requests that takes. Pure."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from gateway.points.raw import PointType, parse_point, parse_reference

if TYPE_CHECKING:
    from collections.abc import Iterable

HEADERS = 16  # of one request: 7 octets each, so that it fits one link frame (250 octets)


class PointRun(NamedTuple):
    """Points ``first..last`` of one type, without a gap."""

    kind: PointType
    first: int
    last: int


def runs(points: Iterable[str]) -> tuple[PointRun, ...]:
    """Points by type, in ranges of consecutive indices.

    Gaps are not bridged: an index that does not exist makes some outstations refuse the whole
    request (IIN2.2).

    Args:
        points: names such as "AI47", and of bits such as "AI12.3"; what is neither is left out.
    """
    names = {found.point for found in map(parse_reference, points) if found is not None}
    wanted = sorted(filter(None, map(parse_point, names)))
    found = []
    # Within a run of consecutive indices, index minus position is constant.
    for _, run in groupby(enumerate(wanted), key=lambda item: (item[1][0], item[1][1] - item[0])):
        members = [item for _, item in run]
        found.append(PointRun(members[0][0], members[0][1], members[-1][1]))
    return tuple(found)


def request_count(points: Iterable[str]) -> int:
    """How many requests read all of ``points`` once."""
    return -(-len(runs(points)) // HEADERS)
