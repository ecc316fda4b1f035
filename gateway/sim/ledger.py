"""Every event the outstation recorded, and what became of it: waiting, confirmed or lost."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from gateway.clock import now
from gateway.points.raw import PointType
from gateway.sim.buffers import SimBuffers
from gateway.sim.record import plain
from gateway.sim.wire import Flag, RawValue, Spec
from gateway.sim.wiring import SPARE_FIRST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.sim.record import Recorder

SPARES = 10  # analogs that carry the load


class Ledger:
    """Owns the event buffers and counts; ``clock_ms`` is the outstation's own clock."""

    def __init__(self, recorder: Recorder, *, capacity: int, clock_ms: Callable[[], int]) -> None:
        self._recorder = recorder
        self._clock_ms = clock_ms
        self._capacity = capacity
        self._load_due = 0.0
        self._held: deque[tuple[float, Spec, RawValue, int]] = deque()  # since (mono s), at (ms)
        self.late_s = 0.0  # how long an event is held before it is told
        self.recorded = self.confirmed = self.lost = self.load_sent = 0
        self.buffers = SimBuffers(
            capacity=capacity, on_lost=self._on_lost, on_confirmed=self._on_confirmed
        )

    def record(self, spec: Spec, raw: RawValue) -> None:
        """Number one event and put it into the buffer of its class, now or late."""
        at_s = now().mono_s
        self._held.append((at_s, spec, raw, self._clock_ms()))
        self.release(at_s)

    def release(self, now_s: float) -> None:
        """Tell the events that were held for long enough at ``now_s`` (monotonic s)."""
        while self._held and self._held[0][0] + self.late_s <= now_s:
            self._tell(*self._held.popleft()[1:])

    @property
    def held(self) -> int:
        """How many are not told yet."""
        return len(self._held)

    def _tell(self, spec: Spec, raw: RawValue, at_ms: int) -> None:
        event = self.buffers.record(spec, raw, at_ms)
        self.recorded += 1
        self._recorder.add(
            "event",
            n=event.order,
            point=spec.point,
            value=plain(raw.value),
            flags=raw.flags,
            at_ms=event.timestamp_ms,
        )

    def load(self, events: float) -> Iterator[tuple[Spec, RawValue]]:
        """Record ``events`` more (fractions add up): value n on the spare points in turn."""
        self._load_due += events
        while self._load_due >= 1.0:
            self._load_due -= 1.0
            self.load_sent += 1
            spec = spare(self.load_sent % SPARES)
            raw = RawValue(float(self.load_sent), Flag.ONLINE)
            self.record(spec, raw)
            yield spec, raw

    def overflow(self, spec: Spec, raw: RawValue, *, beyond: int) -> None:
        """Fill a buffer and lose ``beyond`` of its oldest events."""
        for _ in range(self._capacity + beyond):
            self.record(spec, raw)

    def forget(self) -> None:
        """Lose everything that waits, as a power cycle does."""
        while self._held:
            self._tell(*self._held.popleft()[1:])
        for number in self.buffers.empty():
            self._on_lost(number)

    def _on_lost(self, number: int) -> None:
        self.lost += 1
        self._recorder.add("lost", n=number)

    def _on_confirmed(self, numbers: list[int]) -> None:
        self.confirmed += len(numbers)
        self._recorder.add("confirmed", n=numbers)
        self._recorder.flush()


def spare(number: int) -> Spec:
    """How a spare point is served: event class 3, so that load does not delay what matters."""
    return Spec(PointType.AI, SPARE_FIRST + number, event_class=3)
