"""Points that must be looked at with every update, not only when somebody asks.

An alarm that comes and goes within one fragment, a heartbeat and a counter lose their meaning if
only their latest value is kept. Everything else is decoded when the state is asked for.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gateway.measured import USABLE, Measured, Quality
from gateway.normalize import counters
from gateway.normalize.alarms import (
    ALARM,
    ALARM_ROLES,
    INFO,
    AlarmBook,
    Notice,
    notice_of,
    notice_of_bit,
)
from gateway.points.decode import DISCONTINUITY, decode, decode_bits
from gateway.points.raw import PointType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.points.pointmap import MapPoint, PointsMap
    from gateway.points.raw import RawPoint

TOTALS = {
    "energy_charge_total": "energyChargeTotal",
    "energy_discharge_total": "energyDischargeTotal",
}
_COUNTER_RESET = Notice(ALARM, "counter_reset", INFO)


class AlarmPoints:
    """Turns binary alarm points and alarm bits into entries of an ``AlarmBook``."""

    __slots__ = ("_bits", "_book", "_last", "rows")

    def __init__(self, points_map: PointsMap, book: AlarmBook) -> None:
        self.rows: Mapping[str, MapPoint] = {
            row.point: row for row in points_map.points if row.role in ALARM_ROLES or row.tells
        }
        self._book = book
        self._last: dict[str, tuple[object, int | None]] = {}
        self._bits: dict[str, frozenset[str]] = {}

    def take(self, raw: RawPoint, row: MapPoint) -> None:
        """Take an update of one of ``rows``; an unusable one leaves everything as it is."""
        seen = (raw.value, raw.flags)
        if self._last.get(raw.point) == seen:
            return
        self._last[raw.point] = seen
        measured = decode(raw, row)
        if measured.quality > USABLE:
            return
        if row.role in ALARM_ROLES and not row.tells:
            notice = notice_of(row.role, row.name)
            self._book.put(notice, on=bool(measured.value), point=raw.point, at_ms=raw.at_ms)
        if row.tells:
            self._take_bits(raw, decode_bits(raw, row))

    def _take_bits(self, raw: RawPoint, on: frozenset[str]) -> None:
        before = self._bits.get(raw.point, frozenset())
        self._bits[raw.point] = on
        for word in sorted(on ^ before):
            notice = notice_of_bit(word)
            if notice is not None:
                self._book.put(notice, on=word in on, point=raw.point, at_ms=raw.at_ms)


class Totals:
    """The two lifetime energy counters, through rollover."""

    __slots__ = ("_book", "_counters", "_scales", "rows")

    def __init__(self, points_map: PointsMap, book: AlarmBook, *, nameplate_w: float) -> None:
        rows = [row for role in TOTALS for row in points_map.by_role.get(role, ())]
        self.rows: Mapping[str, MapPoint] = {row.point: row for row in rows}
        self._scales = {
            row.point: counters.CounterScale(
                row.step, None if row.rollover is None else float(row.rollover), nameplate_w
            )
            for row in rows
        }
        self._book = book
        self._counters: dict[str, counters.Counter] = {}

    def take(self, raw: RawPoint, row: MapPoint, now_s: float) -> None:
        """Take an update of one of ``rows``, received at ``now_s`` (monotonic)."""
        measured = decode(raw, row)
        counts = _finite(raw.value)
        if measured.quality > USABLE or counts is None:
            return
        before = self._counters.get(raw.point)
        if before is None:
            shown_wh = _finite(measured.value)
            begun = counters.begin(
                counts, now_s, shown_wh=math.nan if shown_wh is None else shown_wh
            )
            if begun is not None:
                self._counters[raw.point] = begun
            return
        if _is_discontinuous(raw, row):
            after = before.restart(counts, now_s)
        else:
            after = before.advance(counts, now_s, self._scales[raw.point])
        self._counters[raw.point] = after
        if after.resets > before.resets:
            text = f"counter {row.name} went from {before.counts:g} to {counts:g}: counted anew"
            self._book.announce(_COUNTER_RESET, point=raw.point, at_ms=raw.at_ms, text=text)

    def total(self, row: MapPoint, latest: Measured | None) -> Measured | None:
        """Energy (Wh) that went by, graded as ``latest``; derived once it is not the raw count."""
        counter = self._counters.get(row.point)
        if latest is None or counter is None:
            return latest
        quality = latest.quality if counter.is_exact else max(latest.quality, Quality.DERIVED)
        return Measured(counter.total_wh, quality, latest.at_ms, latest.source)


def _finite(value: float | str) -> float | None:
    if isinstance(value, str):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _is_discontinuous(raw: RawPoint, row: MapPoint) -> bool:
    return row.kind is PointType.CTR and raw.flags is not None and bool(raw.flags & DISCONTINUITY)
