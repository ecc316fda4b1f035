"""Live rows in memory that wait for the window: by priority, then as they came. Pure.

Telemetry may be held for a while, so that what comes meanwhile for the same topic goes with it.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from gateway.streams import Stream
from gateway.uplink import bundle

if TYPE_CHECKING:
    from collections.abc import Collection

    from gateway.streams import Row


class Waiting:
    """What is live and not yet published.

    Args:
        hold_s: how long telemetry is held, at most; 0: not at all, and every row goes alone.
    """

    def __init__(self, hold_s: float = 0.0) -> None:
        self.hold_s = hold_s
        self.unheld: Collection[str] = ()  # assets whose telemetry goes at once
        self.bytes = 0
        self._rows: tuple[deque[Row], ...] = tuple(
            deque() for stream in Stream if stream is not Stream.TELEMETRY
        )
        self._held: dict[str, deque[tuple[float, Row]]] = {}  # by asset; since when (monotonic s)

    def __len__(self) -> int:
        return sum(map(len, self._rows)) + sum(map(len, self._held.values()))

    def put(self, row: Row, mono_s: float) -> None:
        """Let ``row`` wait."""
        self.bytes += len(row.batch.body)
        if row.batch.stream is not Stream.TELEMETRY:
            self._rows[row.batch.stream.prio].append(row)
            return
        self._held.setdefault(row.batch.asset, deque()).append((mono_s, row))

    def due_at(self) -> float:
        """Monotonic second at which the next row may go; -inf: at once, inf: there is none."""
        if any(self._rows):
            return -math.inf
        return min(map(self._due_at, self._held), default=math.inf)

    def take(self, mono_s: float, *, most: int) -> list[Row]:
        """The rows of the next message; none where nothing is due.

        Args:
            mono_s: now.
            most: bytes; a row that is larger goes alone.
        """
        for rows in self._rows:
            if rows:
                return self._out([rows.popleft()])
        due = [asset for asset in self._held if self._due_at(asset) <= mono_s]
        if not due:
            return []
        asset = min(due, key=self._due_at)
        held = self._held[asset]
        found = [held.popleft()[1]]
        room = most - bundle.size(found[0])
        while self.hold_s and held and (room := room - bundle.size(held[0][1])) >= 0:
            found.append(held.popleft()[1])
        if not held:
            del self._held[asset]
        return self._out(found)

    def clear(self) -> None:
        """Forget all."""
        for rows in self._rows:
            rows.clear()
        self._held.clear()
        self.bytes = 0

    def _due_at(self, asset: str) -> float:
        since_s, _ = self._held[asset][0]
        return since_s if asset in self.unheld else since_s + self.hold_s

    def _out(self, rows: list[Row]) -> list[Row]:
        self.bytes -= sum(len(row.batch.body) for row in rows)
        return rows
