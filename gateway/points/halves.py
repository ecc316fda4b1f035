"""Values of 32 bits that an outstation cuts into two points of 16. Pure.

Both halves make one value only if they came together: in one fragment, or in two that follow each
other, and both as events or both as static data. Half a value is none: it waits for the next read.
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING

from gateway.measured import Quality
from gateway.points.decode import LOCAL_FORCED, ONLINE, flag_quality

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.points.mappoint import MapPoint
    from gateway.points.raw import RawPoint

TYPES = ("uint32", "int32", "float32")
_LEAST, _MOST = -(1 << 15), (1 << 16) - 1  # a half may arrive signed
_WORD = 1 << 16


class Halves:
    """One such value. Mutable: touched by every fragment."""

    def __init__(self, row: MapPoint) -> None:
        """Of ``row``, which has ``low``."""
        self.row = row
        self._held: dict[str, tuple[RawPoint, int]] = {}  # by point, with its fragment's number
        self._fragment = 0

    def take(self, points: Sequence[RawPoint]) -> Iterator[RawPoint]:
        """What ``points``, of one fragment, make of it."""
        self._fragment += 1
        high, low = self.row.point, self.row.low or ""
        for raw in points:
            if raw.point not in (high, low):
                continue
            self._held[raw.point] = raw, self._fragment
            other, at = self._held.get(low if raw.point == high else high, (None, 0))
            if other is None or at < self._fragment - 1 or other.event is not raw.event:
                continue
            yield self._joined(self._held[high][0], self._held[low][0], newest=raw)
            self._held.clear()

    def _joined(self, high: RawPoint, low: RawPoint, *, newest: RawPoint) -> RawPoint:
        upper, lower = _word(high), _word(low)
        value = None
        if upper is not None and lower is not None:
            value = _value(self.row.type or "", upper, lower)
        quality = max(flag_quality(raw, self.row.kind) for raw in (high, low))
        flags: int | None = ONLINE if quality is Quality.GOOD else ONLINE | LOCAL_FORCED
        if value is None or quality is Quality.BAD:
            flags = 0
        elif high.flags is None and low.flags is None:
            flags = None
        number = 0 if value is None else value
        return newest._replace(point=self.row.point, value=number, flags=flags)


def _word(raw: RawPoint) -> int | None:
    """16 bits; None: it is none."""
    value = raw.value
    if isinstance(value, str) or not math.isfinite(value) or value != int(value):
        return None
    return int(value) % _WORD if _LEAST <= value <= _MOST else None


def _value(type_: str, high: int, low: int) -> float:
    whole = high << 16 | low
    if type_ == "float32":
        return float(struct.unpack(">f", whole.to_bytes(4, "big"))[0])
    return whole - (1 << 32) if type_ == "int32" and high >= _WORD // 2 else whole


def split(type_: str, value: float) -> tuple[int, int]:
    """Both halves of ``value``, as ``_value`` joins them."""
    if type_ == "float32":
        whole = int.from_bytes(struct.pack(">f", value), "big")
    else:
        whole = round(value) % (1 << 32)
    return whole >> 16, whole % _WORD
