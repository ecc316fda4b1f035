"""What each point may be now: its newest static read, and what events said since. Pure.

An event may be an hour old, whatever its time says, and two clocks are not compared. So an event
is one more value that may be the present, and stays one until the point is read by a request that
was sent after the event came. Telemetry and state show the newest value; control asks here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.events import FragmentStored
    from gateway.points.raw import RawPoint

MOST = 32  # different events of one point; of more, those between the least and the largest go

_Said = dict[tuple[object, int | None], tuple["RawPoint", float]]


class PossibleValues:
    """Of the points that control depends on. Mutable: touched by every fragment."""

    __slots__ = ("_points", "_read", "_said")

    def __init__(self, points: frozenset[str]) -> None:
        self._points = points
        self._read: dict[str, tuple[RawPoint, float]] = {}  # static, received at (monotonic s)
        self._said: dict[str, _Said] = {}  # by value and flags: an event, received at

    def take(self, event: FragmentStored) -> None:
        """Take a fragment; what is static in one that nobody asked for is as an event."""
        asked, at = event.asked_at, event.at.mono_s
        for raw in event.points:
            if raw.point not in self._points:
                continue
            if raw.event or math.isinf(asked):
                said = self._said.setdefault(raw.point, {})
                said[raw.value, raw.flags] = raw, at
                if len(said) > MOST:
                    self._said[raw.point] = _ends(said)
            else:
                self._read[raw.point] = raw, at
                if raw.point in self._said:
                    said = self._said.pop(raw.point)
                    if younger := {key: one for key, one in said.items() if one[1] > asked}:
                        self._said[raw.point] = younger

    def static(self, point: str) -> tuple[RawPoint, float] | None:
        """The newest static read of ``point``, and when it came (monotonic s); None: none yet."""
        return self._read.get(point)

    def events(self, point: str) -> tuple[RawPoint, ...]:
        """Events of ``point`` that no read has settled, one of each value."""
        return tuple(raw for raw, _ in self._said.get(point, {}).values())


def _ends(said: _Said) -> _Said:
    """The least and the largest of each quality: no number between them permits less."""
    newest_at = max(at for _, at in said.values())
    found: _Said = {}
    for flags in {flags for _, flags in said}:
        alike = [raw for (_, one), (raw, _) in said.items() if one == flags]
        numbers = [raw for raw in alike if _is_number(raw)]
        kept = [raw for raw in alike if not _is_number(raw)][-1:]
        if numbers:
            kept += [min(numbers, key=_value), max(numbers, key=_value)]
        found |= {(raw.value, raw.flags): (raw, newest_at) for raw in kept}
    return found


def _is_number(raw: RawPoint) -> bool:
    return not isinstance(raw.value, str) and math.isfinite(raw.value)


def _value(raw: RawPoint) -> float:
    return float(raw.value)
