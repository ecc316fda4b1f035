"""Points that the map makes of others: bits of a status word, and what is combined. Pure.

They join the fragment that brought the word, so that whoever looks at a point ("AI12.3") finds it
as it finds any other, with the word's times and flags. Telemetry ships the word alone.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gateway.measured import Quality
from gateway.points.combine import Combination
from gateway.points.decode import CHATTER, ONLINE, flag_quality
from gateway.points.halves import Halves
from gateway.points.raw import PointType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.points.pointmap import PointsMap
    from gateway.points.raw import RawPoint


class DerivedPoints:
    """Of one map."""

    __slots__ = ("_combined", "_halves", "_uppers", "_words")

    def __init__(self, points_map: PointsMap) -> None:
        words: dict[str, list[tuple[str, int]]] = {}
        for row in points_map.points:
            if row.bit is not None:
                words.setdefault(row.source, []).append((row.point, row.bit))
        self._words = words
        self._halves = [Halves(row) for row in points_map.points if row.low is not None]
        self._uppers = frozenset(one.row.point for one in self._halves)
        self._combined = [
            Combination(row, points_map.by_name) for row in points_map.points if row.how is not None
        ]

    def completed(
        self, points: tuple[RawPoint, ...], *, asked_at: float = -math.inf, at_s: float = 0.0
    ) -> tuple[tuple[RawPoint, ...], int]:
        """``points`` with what they bring, and how many of them that is; half a value is left out.

        Args as in ``of``.
        """
        made = self.of(points, asked_at=asked_at, at_s=at_s)
        if not made and not self._uppers:
            return points, 0
        if self._uppers:
            points = tuple(raw for raw in points if raw.point not in self._uppers)
        return points + made, len(made)

    def of(
        self, points: tuple[RawPoint, ...], *, asked_at: float = -math.inf, at_s: float = 0.0
    ) -> tuple[RawPoint, ...]:
        """What ``points``, of one fragment, in order, bring besides themselves.

        Args:
            points: that were received.
            asked_at: monotonic s at which the request was sent; -inf: nobody asked.
            at_s: monotonic s of receipt.
        """
        if not (self._words or self._combined or self._halves):
            return ()
        bits = [made for raw in points if raw.point in self._words for made in self._bits(raw)]
        for halves in self._halves:
            bits += halves.take(points)
        whole = (*(raw for raw in points if raw.point not in self._uppers), *bits)
        for one in self._combined:
            bits += one.take(whole, asked_at=asked_at, at_s=at_s)
        return tuple(bits)

    def _bits(self, raw: RawPoint) -> Iterator[RawPoint]:
        word = _word(raw)
        flags = _flags(raw, usable=word is not None)
        for point, bit in self._words[raw.point]:
            yield raw._replace(point=point, value=(word or 0) >> bit & 1, flags=flags)


def _word(raw: RawPoint) -> int | None:
    """The word, by two's complement where it is negative; None: it is none."""
    value = raw.value
    if isinstance(value, str) or not math.isfinite(value) or value != int(value):
        return None
    return int(value)


def _flags(raw: RawPoint, *, usable: bool) -> int | None:
    """The word's flags, so that they say of a binary what they say of the word."""
    kind = PointType.AI if raw.point.startswith(PointType.AI) else PointType.CTR
    quality = flag_quality(raw, kind) if usable else Quality.BAD
    if raw.flags is None and usable:
        return None
    if quality is Quality.BAD:
        return (raw.flags or 0) & ~ONLINE
    return ONLINE | CHATTER if quality is Quality.QUESTIONABLE else ONLINE
