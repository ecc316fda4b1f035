"""Which points a successful poll has covered lately.

An event-driven point that stays quiet is not stale: the outstation was asked and had nothing new.
A point that also answers static reads must answer them: a poll that succeeds *without* it does
not cover it, else a point that vanished from the outstation would stay fresh for ever. So a point
is covered by its own latest update, and, if it has only ever come as events, by every successful
poll of events as well. Control-critical points are read every 5 s and stale at 15 s, the others
at three integrity periods. While the session is down nothing covers anything and time runs on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.points.raw import RawPoint

CRITICAL_STALE_S = 15.0
HEARTBEAT_STALE_S = 15.0  # der_heartbeat must change within this
INTEGRITY_PERIODS = 3.0

_ASKS_FOR_EVENTS = frozenset(("startup", "integrity", "event"))


class Freshness:
    """When each watched point was last covered, on monotonic time.

    Mutable, because it is touched for every point of every fragment.
    """

    __slots__ = ("_critical", "_events_asked", "_heard", "_static", "_usual_s")

    def __init__(self, critical: frozenset[str], *, integrity_poll_s: float) -> None:
        self._critical = critical
        self._usual_s = INTEGRITY_PERIODS * integrity_poll_s
        self._heard: dict[str, float] = {}
        self._static: set[str] = set()
        self._events_asked = float("-inf")

    def hear(self, points: Iterable[RawPoint], now_s: float) -> None:
        """``points`` were received at ``now_s`` (monotonic)."""
        heard, static = self._heard, self._static
        for raw in points:
            heard[raw.point] = now_s
            if not raw.event:
                static.add(raw.point)

    def polled(self, kind: str, now_s: float) -> None:
        """Note that a poll succeeded; its points have been heard before this call."""
        if kind in _ASKS_FOR_EVENTS:
            self._events_asked = now_s

    def is_stale(self, point: str, now_s: float) -> bool:
        """Whether ``point`` was never received, or not covered within its limit."""
        covered = self._heard.get(point)
        if covered is None:
            return True
        if point not in self._static:
            covered = max(covered, self._events_asked)
        return now_s - covered >= (CRITICAL_STALE_S if point in self._critical else self._usual_s)


class RtacHeartbeat:
    """Whether the RTAC's logic lives: its heartbeat counter must change within 15 s.

    A session that is up proves only that the RTAC's DNP3 task answers.
    """

    __slots__ = ("_began", "_changed", "_up_since", "_value")

    def __init__(self) -> None:
        self._value: object = None
        self._changed: float | None = None
        self._began: float | None = None
        self._up_since: float | None = None

    def session(self, *, up: bool, now_s: float) -> None:
        """Note that the session came up or went down."""
        self._began = now_s if self._began is None else self._began
        self._up_since = now_s if up else None

    def beat(self, value: object, now_s: float) -> None:
        """Note the heartbeat's value, changed or not; call it for usable readings only."""
        self._began = now_s if self._began is None else self._began
        if self._changed is None or value != self._value:
            self._value, self._changed = value, now_s

    def is_silent(self, now_s: float) -> bool:
        """Whether no change was seen for 15 s: no value can be believed current."""
        since = self._changed if self._changed is not None else self._began
        return since is not None and now_s - since >= HEARTBEAT_STALE_S

    def is_dead(self, now_s: float) -> bool:
        """Whether it is the logic's fault: silent although the session has been up for 15 s."""
        up = self._up_since is not None and now_s - self._up_since >= HEARTBEAT_STALE_S
        return up and self.is_silent(now_s)
