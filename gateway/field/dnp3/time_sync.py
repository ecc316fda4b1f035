"""Sets the outstation's clock: two requests, each when the one before was answered.

``lan`` is the standard's procedure for networks: RECORD CURRENT TIME makes the outstation note an
instant, and g50v3 says what time it was then, however long that write takes. ``serial`` is the
older one: DELAY MEASUREMENT, and g50v1 says what time it is when the write arrives. The binding
does not hand us the delay that the outstation answers (yadnp3 3.2.1.4), so half of the time until
that answer is taken for the way; it is wrong by half of what the outstation took to answer.
Source: IEEE 1815-2012, time synchronization.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import opendnp3 as dnp

from gateway.field.dnp3.iin import refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.clock import Now
    from gateway.field.dnp3.stack import EndedTask, Stack

TRIES = 3
LATE_S = 0.05  # a write that left later than this after it was made says a wrong time
_AT_ARRIVAL, _AT_RECORDING = 1, 3  # variations of group 50


class TimeSync:
    """One setting of the clock.

    Args:
        mode: lan | serial.
        now: both clocks.
        sent: when the present request was sent.
    """

    def __init__(self, mode: str, *, now: Callable[[], Now], sent: Callable[[], Now]) -> None:
        self._lan, self._now, self._sent = mode == "lan", now, sent
        self._tries = 0
        self._made_s = 0.0

    def run(self, stack: Stack) -> None:
        """Send the first request; its end sends the second."""
        self._tries += 1
        functions = dnp.FunctionCode
        first = functions.RECORD_CURRENT_TIME if self._lan else functions.DELAY_MEASURE
        stack.on_end = self._next(stack, self._recorded if self._lan else self._measured)
        stack.master.PerformFunction("time", first, [])

    def _next(
        self, stack: Stack, take: Callable[[Stack, EndedTask], bool]
    ) -> Callable[[EndedTask], bool]:
        return lambda ended: take(stack, ended)

    def _recorded(self, stack: Stack, ended: EndedTask) -> bool:
        if not ended.ok or refusal(ended.iin):
            return False
        stack.on_end = None
        self._write(stack, _AT_RECORDING, self._sent().unix_ms)
        return True

    def _measured(self, stack: Stack, ended: EndedTask) -> bool:
        if not ended.answered or not ended.started:
            return False  # one that refuses this function may still take the time
        now = self._now()
        self._made_s = now.mono_s
        stack.on_end = self._next(stack, self._written)
        way_ms = (now.mono_s - self._sent().mono_s) * 1000 / 2
        self._write(stack, _AT_ARRIVAL, now.unix_ms + round(way_ms))
        return True

    def _written(self, stack: Stack, ended: EndedTask) -> bool:
        """Whether it must be done again, because the write had to wait for another request."""
        late_s = self._sent().mono_s - self._made_s
        if not ended.ok or late_s <= LATE_S or self._tries >= TRIES:
            return False
        self.run(stack)
        return True

    def _write(self, stack: Stack, variation: int, unix_ms: int) -> None:
        objects = bytes([50, variation, 7, 1]) + unix_ms.to_bytes(6, "little")
        stack.master.PerformFunction("time", dnp.FunctionCode.WRITE, [dnp.Header.Raw(objects)])
