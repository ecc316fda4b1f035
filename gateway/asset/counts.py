"""What happened on one asset since the start, counted; only ever upward. Mutable."""

from __future__ import annotations

from collections import Counter
from typing import Any

from gateway import events


class AssetCounts:
    """Takes the asset's events."""

    def __init__(self) -> None:
        self.polls: Counter[tuple[str, bool]] = Counter()  # kind, whether it succeeded
        self.last_ok_ms: dict[str, int] = {}  # kind of poll -> Unix ms
        self.sessions = self.drops = 0  # came up; connections dropped on purpose
        self.handed_s = 0.0  # the longest from a control's licence to its frame
        self.fragments = self.unsolicited = self.readings = self.lost = 0

    def take(self, event: object) -> None:
        """Count one event; those that are none of ours change nothing."""
        match event:
            case events.FragmentStored():
                self.fragments += 1
                self.unsolicited += event.unsolicited
                self.readings += len(event.points) - event.made
            case events.PollDone():
                self.polls[event.kind, event.ok] += 1
                if event.ok:
                    self.last_ok_ms[event.kind] = event.at.unix_ms
            case events.SessionUp():
                self.sessions += 1
            case events.ConnectionDropped():
                self.drops += 1
            case events.Operated():
                self.handed_s = max(self.handed_s, event.outcome.handed_s or 0.0)
            case events.FragmentLost():
                self.lost += event.count

    def figures(self) -> dict[str, Any]:
        """For ``counters``."""
        kinds = sorted({kind for kind, _ in self.polls})
        return {
            "fragments": self.fragments,
            "unsolicited": self.unsolicited,
            "readings": self.readings,
            "lost": self.lost,
            "sessions": self.sessions,
            "drops": self.drops,
            "handedMs": round(self.handed_s * 1000, 1),
            "polls": {
                kind: {"ok": self.polls[kind, True], "failed": self.polls[kind, False]}
                for kind in kinds
            },
        }
