"""Which value of our own count a heartbeat has: it is chosen as the heartbeat leaves. Pure.

One that waits is replaced by the next, and one may come back that never left. Were they counted as
they are ordered, the RTAC would not see each: of two values that come in turns, one alone, perhaps.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.control.execution.outputs import Rank
from gateway.control.execution.plan import heartbeat_write
from gateway.control.watchdog.words import HeartbeatForm, WriteResult

if TYPE_CHECKING:
    from gateway.control.execution.outputs import Output
    from gateway.control.watchdog.words import Terms
    from gateway.points.pointmap import PointsMap


class BeatCount:
    """Of one asset. Mutable."""

    def __init__(self) -> None:
        self._shown = self._before = 0  # what the RTAC has, as far as we know; and before that

    def leaving(self, output: Output, points_map: PointsMap, terms: Terms) -> Output:
        """``output``, which is about to leave, with the value that comes next."""
        beats = output.beats or output.rank is Rank.HEARTBEAT
        if not beats or terms.heartbeat is not HeartbeatForm.COUNTER:
            return output
        first, last = terms.beats
        value = self._shown + 1 if first <= self._shown < last else first
        self._before, self._shown = self._shown, value
        write = heartbeat_write(points_map, value)
        return replace(output, controls=((write.control, write.sbo), *output.controls[1:]))

    def answered(self, result: WriteResult) -> None:
        """Take what became of the one that left: what the RTAC did not take goes again."""
        if result in (WriteResult.FAILED, WriteResult.REFUSED):
            self._shown = self._before
