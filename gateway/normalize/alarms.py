"""Alarms and faults: what is active since when, and what was raised or cleared.

One code may have several sources (a point and a bit of another): it is raised with the first and
cleared with the last. A point that turns BAD neither raises nor clears: that it cannot be read
says nothing about the alarm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

MOST_CHANGES = 200  # between two collections; a chattering contact must not flood the queue
INFO, WARNING, CRITICAL = "info", "warning", "critical"
ALARM, FAULT = "alarm", "fault"

# Binary roles that are alarms when true: kind, severity. Roles of one point only speak under
# their own name, so that the code is the same at every site; the others under the point's.
ALARM_ROLES = {
    "alarm": (ALARM, WARNING),
    "fault": (FAULT, CRITICAL),
    "comm_error": (ALARM, WARNING),
    "lockout": (ALARM, WARNING),
    "estop_status": (ALARM, CRITICAL),
}
_NAMED_BY_POINT = frozenset(("alarm", "fault"))


class Notice(NamedTuple):
    """What an alarm is: its kind (alarm or fault), its code, and its severity."""

    kind: str
    code: str
    severity: str


@dataclass(frozen=True, slots=True)
class Alarm:
    """An active alarm or fault."""

    code: str
    since_ms: int  # Unix ms, UTC: when it was raised
    priority: str  # info | warning | critical


@dataclass(frozen=True, slots=True)
class Change:
    """Something was raised or cleared: the stuff of ``bess.event/1`` messages."""

    kind: str  # alarm | fault
    code: str
    raised: bool
    severity: str  # info | warning | critical
    point: str  # "BI2"; "" where the gateway itself found it
    text: str  # for people
    at_ms: int  # Unix ms, UTC


def notice_of(role: str, name: str) -> Notice:
    """Describe the alarm that the binary point ``name`` of an alarm role stands for."""
    kind, severity = ALARM_ROLES[role]
    return Notice(kind, name if role in _NAMED_BY_POINT else role, severity)


def notice_of_bit(word: str) -> Notice | None:
    """Describe the alarm of a bit named "alarm:over_temp" or "fault:dc_breaker"; else None."""
    kind, colon, code = word.partition(":")
    if not (colon and code and kind in {ALARM, FAULT}):
        return None
    return Notice(kind, code, CRITICAL if kind == FAULT else WARNING)


_STORM = Notice(ALARM, "alarm_storm", WARNING)


class AlarmBook:
    """What is active, and the changes that nobody has collected yet. Mutable."""

    __slots__ = ("_active", "_changes", "_sources", "_withheld")

    def __init__(self) -> None:
        self._active: dict[tuple[str, str], Alarm] = {}
        self._sources: dict[tuple[str, str], set[str]] = {}
        self._changes: list[Change] = []
        self._withheld = 0

    def put(self, notice: Notice, *, on: bool, point: str, at_ms: int, text: str = "") -> None:
        """Note that ``point`` ("" for the gateway itself) says that ``notice`` is on or off."""
        key = (notice.kind, notice.code)
        sources = self._sources.setdefault(key, set())
        if on == (point in sources):
            return
        was = bool(sources)
        (sources.add if on else sources.discard)(point)
        if bool(sources) == was:
            return
        if on:
            self._active[key] = Alarm(notice.code, at_ms, notice.severity)
        else:
            del self._active[key]
        self._report(_change(notice, raised=on, point=point, at_ms=at_ms, text=text))

    def announce(self, notice: Notice, *, point: str, at_ms: int, text: str) -> None:
        """Report something that happened and does not last."""
        self._report(_change(notice, raised=True, point=point, at_ms=at_ms, text=text))

    def active(self, kind: str) -> tuple[Alarm, ...]:
        """Active alarms or faults, in the order in which they were raised."""
        return tuple(alarm for (of, _), alarm in self._active.items() if of == kind)

    def collect(self) -> tuple[Change, ...]:
        """Return what changed since the last call, oldest first.

        Beyond ``MOST_CHANGES`` the rest is one record with their number; ``active`` stays exact.
        """
        changes = tuple(self._changes)
        if self._withheld:
            text = f"{self._withheld} more changes of alarms and faults came at once: see the state"
            changes += (_change(_STORM, raised=True, point="", at_ms=changes[-1].at_ms, text=text),)
        self._changes.clear()
        self._withheld = 0
        return changes

    def _report(self, change: Change) -> None:
        if len(self._changes) < MOST_CHANGES:
            self._changes.append(change)
        else:
            self._withheld += 1


def _change(notice: Notice, *, raised: bool, point: str, at_ms: int, text: str) -> Change:
    where = f" ({point})" if point else ""
    said = text or f"{notice.kind} {notice.code}{where} {'raised' if raised else 'cleared'}"
    severity = notice.severity if raised else INFO
    return Change(notice.kind, notice.code, raised, severity, point, said, at_ms)
