"""Reads history out of the store, chunk by chunk, one fetch ahead of the shipping. Pure.

A *pass* reads every row below ``horizon`` in (prio, id) order and skips what is in memory. Rows
that could not be shipped in a pass (memory was full, the broker refused them) stay in the store;
``again`` orders another pass for them.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from gateway.effects import FetchRows

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.events import RowsFetched
    from gateway.streams import Row, Stream

CHUNK = 128  # rows a fetch: 0.5 MB of full batches
_START = (-1, 0)


class History:
    """The history of one connection to the broker."""

    def __init__(self) -> None:
        self.rows: deque[Row] = deque()  # fetched, next to be shipped first
        self._token = 0
        self._waits = False  # for the answer to the fetch with this token
        self._cursor = _START
        self._horizon = 0
        self._all_read = True
        self._again_at = math.inf

    @property
    def reading(self) -> bool:
        """The pass has not seen its last row yet."""
        return not self._all_read or bool(self.rows)

    @property
    def wake_at(self) -> float:
        """Monotonic second of the next pass, once this one is over."""
        return math.inf if self.reading else self._again_at

    def stop(self) -> None:
        """Forget the pass: the connection is gone."""
        self.rows.clear()
        self._waits, self._all_read, self._again_at = False, True, math.inf

    def begin(self, horizon: int) -> None:
        """Start a pass over all ids below ``horizon``."""
        self.stop()
        self._cursor, self._horizon, self._all_read = _START, horizon, False

    def again(self, at_s: float) -> None:
        """Order another pass, not before the monotonic second ``at_s``."""
        self._again_at = min(self._again_at, at_s)

    def due(self, mono_s: float, *, horizon: int) -> bool:
        """Start the next pass if it is ordered and due."""
        if self.reading or mono_s < self._again_at:
            return False
        self.begin(horizon)
        return True

    def leave(self, stream: Stream) -> None:
        """Read no more of this stream in this pass: nothing of it can be shipped now."""
        if self._cursor[0] <= stream.prio:
            self._cursor = (stream.prio, self._horizon)

    def fetch(self) -> FetchRows | None:
        """The next order to the store, if there is room and none is under way."""
        if self._waits or self._all_read or len(self.rows) > CHUNK // 2:
            return None
        self._token += 1
        self._waits = True
        return FetchRows(self._token, self._cursor, self._horizon, CHUNK)

    def take(self, event: RowsFetched, wanted: Callable[[Row], bool]) -> None:
        """Take the store's answer; rows that are not ``wanted`` are passed over."""
        if not self._waits or event.token != self._token:
            return  # ordered before the connection was lost
        self._waits = False
        self._all_read = len(event.rows) < CHUNK
        if event.rows:
            last = event.rows[-1]
            self._cursor = max(self._cursor, (last.batch.stream.prio, last.id))
        self.rows.extend(row for row in event.rows if wanted(row))
