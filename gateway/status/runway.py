"""How long the disk lasts at the rate at which the queue grows. Pure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.streams import QueueDepth

WINDOW_S = 300.0  # the rate is that of the last minutes
LEAST_S = 20.0  # less says nothing
RESERVE = 0.05  # of the disk stays free, whatever waits: SPECIFICATION.md, section 4


class Runway:
    """Watches the queue's reports. Mutable, the core's alone."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, QueueDepth]] = deque()

    def note(self, depth: QueueDepth, now_s: float) -> None:
        """Take one report of the queue at ``now_s`` (monotonic s)."""
        while self._seen and now_s - self._seen[0][0] > WINDOW_S:
            self._seen.popleft()
        self._seen.append((now_s, depth))

    def left_s(self, max_size: int) -> float | None:
        """Seconds until readings must be dropped; None while the queue does not grow.

        Args:
            max_size: the queue's quota in bytes.
        """
        if not self._seen:
            return None
        (first_s, before), (last_s, depth) = self._seen[0], self._seen[-1]
        grown = depth.bytes - before.bytes
        if last_s - first_s < LEAST_S or grown <= 0:
            return None
        room = min(max_size - depth.bytes, depth.free_bytes - RESERVE * depth.disk_bytes)
        return max(0.0, room) / (grown / (last_s - first_s))
