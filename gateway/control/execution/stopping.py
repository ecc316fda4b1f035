"""A stop that waits for ESTOP to be durable, but not for long. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.control.watchdog.effects import WriteStop

STOP_S = 1.0  # longest that a stop waits for the disk


class HeldStop:
    """The stop of one asset on its way to the outputs. Mutable."""

    def __init__(self) -> None:
        self._token = 0  # of the record that it waits for; 0: of none
        self._order: WriteStop | None = None
        self.due_at = math.inf  # monotonic s at which it waits no more

    def keep(self, token: int) -> None:
        """The record with this token must be durable first."""
        self._token = token

    def hold(self, order: WriteStop, at: float) -> None:
        """Hold the stop that was ordered at ``at`` (monotonic s), unless nothing is kept."""
        self._order = order
        self.due_at = at + STOP_S if self._token else at

    def recorded(self, token: int, at: float) -> None:
        """What waited for this record waits no more."""
        if token and token == self._token and self._order is not None:
            self.due_at = at
        if token == self._token:
            self._token = 0

    def take(self, at: float) -> WriteStop | None:
        """The stop, if it may go at ``at`` (monotonic s)."""
        if at < self.due_at:
            return None
        order, self._order, self._token, self.due_at = self._order, None, 0, math.inf
        return order
