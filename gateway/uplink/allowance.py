"""So many in so long, then no more: against those who send without end. Pure."""

from __future__ import annotations

import math


class Allowance:
    """``most`` of something in each span of ``span_s`` seconds; spans begin with their first."""

    __slots__ = ("_from_s", "_most", "_span_s", "_taken")

    def __init__(self, most: int, span_s: float) -> None:
        self._most, self._span_s = most, span_s
        self._from_s, self._taken = -math.inf, 0

    def beyond(self, now_s: float) -> int:
        """Take one at ``now_s`` (monotonic s); 0 if it is allowed, else how many were too many."""
        if now_s - self._from_s >= self._span_s:
            self._from_s, self._taken = now_s, 0
        self._taken += 1
        return max(0, self._taken - self._most)
