"""Latest raw value of every point of one asset, decoded when somebody asks.

The table is mutable: copying 500 points for every fragment would cost more than everything else.
What it returns is frozen.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gateway.measured import Measured, Quality
from gateway.normalize.freshness import Freshness, RtacHeartbeat
from gateway.points.decode import decode

if TYPE_CHECKING:
    from gateway.clock import Now
    from gateway.points.pointmap import MapPoint, PointsMap
    from gateway.points.raw import RawPoint


class Readings:
    """What the outstation said last, and how far each of it can be trusted now."""

    __slots__ = ("_decoded", "_fresh", "_map", "_raw", "heartbeat", "is_suspect")

    def __init__(self, points_map: PointsMap, *, integrity_poll_s: float) -> None:
        self._map = points_map
        self._fresh = Freshness(points_map.critical_points, integrity_poll_s=integrity_poll_s)
        self._raw: dict[str, RawPoint] = {}
        self._decoded: dict[str, tuple[RawPoint, Measured]] = {}
        self.heartbeat = RtacHeartbeat() if points_map.by_role.get("der_heartbeat") else None
        self.is_suspect = False

    def hear(self, points: tuple[RawPoint, ...], now: Now) -> None:
        """Keep ``points``, in order: the last update of a point wins."""
        self._fresh.hear(points, now.mono_s)
        self._raw.update({raw.point: raw for raw in points})

    def polled(self, kind: str, now: Now) -> None:
        """Note that a poll succeeded."""
        self._fresh.polled(kind, now.mono_s)

    def raw(self, point: str) -> RawPoint | None:
        """Latest raw value of ``point``, mapped or not."""
        return self._raw.get(point)

    def all_raw(self) -> tuple[RawPoint, ...]:
        """Latest raw value of every point received so far."""
        return tuple(self._raw.values())

    def decoded(self, row: MapPoint) -> Measured | None:
        """``row``'s latest value in canonical units, as the outstation graded it."""
        raw = self._raw.get(row.point)
        if raw is None:
            return None
        kept = self._decoded.get(row.point)
        if kept is not None and kept[0] is raw:
            return kept[1]
        measured = finite(decode(raw, row))
        self._decoded[row.point] = (raw, measured)
        return measured

    def get(self, row: MapPoint, now: Now) -> Measured | None:
        """``row``'s latest value with staleness and the map's verdict applied."""
        measured = self.decoded(row)
        return None if measured is None else self._graded(row, measured, now)

    def graded(self, row: MapPoint, raw: RawPoint, now: Now) -> Measured:
        """``raw``, an update of ``row`` that need not be the latest, as ``get`` grades that."""
        return self._graded(row, finite(decode(raw, row)), now)

    def _graded(self, row: MapPoint, measured: Measured, now: Now) -> Measured:
        quality = measured.quality
        if self.is_suspect:
            quality = max(quality, Quality.QUESTIONABLE)
        if quality < Quality.STALE and self._is_stale(row.point, now.mono_s):
            quality = Quality.STALE
        if quality is measured.quality:
            return measured
        return Measured(measured.value, quality, measured.at_ms, measured.source)

    def role(self, role: str, now: Now) -> Measured | None:
        """Return the first point of ``role``; None if unmapped or never received."""
        rows = self._map.by_role.get(role, ())
        return self.get(rows[0], now) if rows else None

    def roles(self, role: str, now: Now) -> tuple[tuple[MapPoint, Measured | None], ...]:
        """Return every point of ``role`` with its reading."""
        return tuple((row, self.get(row, now)) for row in self._map.by_role.get(role, ()))

    def point(self, point: str, now: Now) -> Measured | None:
        """Return the mapped point that is printed as ``point`` ("AI8"), whatever its role."""
        row = self._map.by_point.get(point)
        return self.get(row, now) if row is not None else None

    def _is_stale(self, point: str, now_s: float) -> bool:
        silent = self.heartbeat is not None and self.heartbeat.is_silent(now_s)
        return silent or self._fresh.is_stale(point, now_s)


def finite(measured: Measured) -> Measured:
    """``measured``; BAD with 0.0 where scaling a huge float left no finite number."""
    value = measured.value
    if isinstance(value, bool | str) or math.isfinite(value):
        return measured
    return Measured(0.0, Quality.BAD, measured.at_ms, measured.source)
