"""The operations of one session that wait to be handed to opendnp3. Any thread may call."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING

from gateway.ports import Purpose

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.field.dnp3.operation import Operation


class WaitingOperations:
    """In order of arrival, but zero and stop first, then what goes before reads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Operation] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, operation: Operation) -> None:
        """Let it wait."""
        with self._lock:
            self._waiting.append(operation)

    def put_back(self, operation: Operation) -> None:
        """Let it wait again, before all others."""
        with self._lock:
            self._waiting.insert(0, operation)

    def next(self) -> Operation | None:
        """Take the one whose turn it is."""
        with self._lock:
            if not self._waiting:
                return None
            chosen = min(self._waiting, key=_turn)  # of equals the one that came first
            self._waiting.remove(chosen)
            return chosen

    @property
    def first(self) -> bool:
        """Whether one waits that goes before any read."""
        with self._lock:
            return any(one.first for one in self._waiting)

    def take(self, which: Callable[[Operation], bool]) -> list[Operation]:
        """Take all for which ``which`` holds."""
        with self._lock:
            taken = [one for one in self._waiting if which(one)]
            self._waiting = [one for one in self._waiting if one not in taken]
            return taken

    @property
    def urgent_s(self) -> float:
        """CLOCK_BOOTTIME s since when a zero or a stop waits; inf: none does."""
        with self._lock:
            urgent = (one.asked_s for one in self._waiting if one.purpose is Purpose.ZERO)
            return min(urgent, default=math.inf)

    @property
    def by(self) -> float:
        """CLOCK_BOOTTIME s after which the first of them is too late; inf: none ever is."""
        with self._lock:
            return min((one.by for one in self._waiting), default=math.inf)


def _turn(one: Operation) -> tuple[bool, bool]:
    return one.purpose is not Purpose.ZERO, not one.first
