"""Rows that a map combines of others: the value of several units as that of one battery. Pure.

A combined value joins the fragment that brought one of its parts, as "@name". It is a static read
only when each part was read since the last time, by a request that was sent after the newest event
of that part; else it is an event. So what control believes of a point holds for it, too.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gateway.measured import Quality
from gateway.points.decode import LOCAL_FORCED, ONLINE, decode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gateway.measured import Measured
    from gateway.points.mappoint import MapPoint
    from gateway.points.raw import RawPoint


class Combination:
    """One such row, with what its parts said last. Mutable: touched by every fragment."""

    def __init__(self, row: MapPoint, by_name: Mapping[str, MapPoint]) -> None:
        """Of ``row``, which has ``how``; ``by_name`` holds the rows that it names."""
        self.row = row
        self._parts = [by_name[name] for name in row.of]
        self._weights = [by_name[one] if isinstance(one, str) else one for one in row.weights]
        needed = [*self._parts, *(one for one in self._weights if not isinstance(one, float))]
        self.points = frozenset(one.point for one in needed)
        self._latest: dict[str, RawPoint] = {}
        self._read: dict[str, float] = {}  # point -> monotonic s at which its read was sent
        self._told: dict[str, float] = {}  # point -> monotonic s of its newest event
        self._swept: set[str] = set()  # read since the last static value

    def take(
        self, points: Sequence[RawPoint], *, asked_at: float, at_s: float
    ) -> Iterator[RawPoint]:
        """What ``points``, of one fragment, make of it; nothing while a sweep is under way.

        Of several values of one part each has its turn: the first may be the one that takes power
        away.
        """
        mine = [raw for raw in points if raw.point in self.points]
        told, unsaid = False, set[str]()
        for raw in mine:
            if raw.point in unsaid:
                unsaid.clear()
                yield self._made(self._latest[raw.point], event=True)
            self._latest[raw.point] = raw
            if raw.event or math.isinf(asked_at):
                self._told[raw.point], told = at_s, True
                unsaid.add(raw.point)
            else:
                self._read[raw.point] = asked_at
                self._swept.add(raw.point)
        known = self._latest.keys()
        read = self._swept >= known and all(
            self._read[point] > self._told.get(point, -math.inf) for point in known
        )
        if not mine or not (read or told):
            return
        if read:
            self._swept.clear()
        yield self._made(mine[-1], event=not read)

    def _made(self, raw: RawPoint, *, event: bool) -> RawPoint:
        """The value of now, with the times of ``raw``."""
        value, quality = self._value()
        flags = {Quality.BAD: 0, Quality.QUESTIONABLE: ONLINE | LOCAL_FORCED}.get(quality, ONLINE)
        return raw._replace(point=self.row.point, value=value, flags=flags, event=event)

    def _value(self) -> tuple[float, Quality]:
        """In the canonical unit; 0 and BAD where too few parts are usable."""
        found = [
            (measured, weight)
            for part, weight in zip(self._parts, self._shares(), strict=True)
            if (measured := self._usable(part)) is not None and weight is not None
        ]
        if len(found) < (self.row.at_least or len(self._parts)):
            return 0.0, Quality.BAD
        values = [float(measured.value) for measured, _ in found]
        weights = [weight for _, weight in found if weight is not None]
        value = _combined(self.row.how or "", values, weights)
        quality = max(measured.quality for measured, _ in found)
        return (value, quality) if math.isfinite(value) else (0.0, Quality.BAD)

    def _shares(self) -> list[float | None]:
        """Weight of each part, > 0; None where it is not known."""
        if not self._weights:
            return [1.0] * len(self._parts)
        found: list[float | None] = []
        for one in self._weights:
            if isinstance(one, float):
                found.append(one)
                continue
            measured = self._usable(one)
            share = 0.0 if measured is None else float(measured.value)
            found.append(share if share > 0 else None)
        return found

    def _usable(self, row: MapPoint) -> Measured | None:
        raw = self._latest.get(row.point)
        measured = None if raw is None else decode(raw, row)
        return None if measured is None or measured.quality > Quality.QUESTIONABLE else measured


def _combined(how: str, values: list[float], weights: list[float]) -> float:
    match how:
        case "sum":
            return math.fsum(values)
        case "min" | "all":
            return min(values)
        case "max" | "any":
            return max(values)
        case _:  # the mean, by weights that are 1 where there are none
            pairs = zip(values, weights, strict=True)
            return math.fsum(value * weight for value, weight in pairs) / math.fsum(weights)
