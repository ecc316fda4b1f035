"""What one event brings to a controller: events that follow at once, and effects. Pure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.effects import Effect


class Turn:
    """Gathers them while the event is taken. Mutable.

    What follows from an event goes before what waited when it was taken.
    """

    def __init__(self) -> None:
        self._next: list[object] = []
        self._effects: list[Effect] = []
        self._queue: deque[object] = deque()

    def then(self, *found: object) -> None:
        """Let these happen next, in this order."""
        self._next += found

    def order(self, *found: Effect) -> None:
        """Let the shells do these, in this order."""
        self._effects += found

    def take(self) -> object | None:
        """The next event; None: there is none left."""
        self._queue.extendleft(reversed(self._next))
        self._next.clear()
        return self._queue.popleft() if self._queue else None

    @property
    def last(self) -> bool:
        """Whether nothing follows."""
        return not self._queue and not self._next

    def effects(self) -> list[Effect]:
        """All that was ordered; the next turn begins with none."""
        found, self._effects = self._effects, []
        return found
