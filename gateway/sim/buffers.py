"""The outstation's event buffers: every kind of event, numbered, with account of what is lost.

py1815 0.3.0 buffers integer analogs, binaries and frozen counters; here an event carries its
finished object, so floats, double-bit points, counters and octet strings travel the same way.
Numbers count from 1 in the order of recording and are what a consumer's count is checked
against.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from py1815.events import AnalogEvent, EventBuffers, EventClass
from py1815.objects import AnalogPoint

from gateway.points.raw import PointType
from gateway.sim.wire import event_object, relative_event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from py1815.events import Event

    from gateway.sim.wire import RawValue, Spec

MAX_RELATIVE_MS = 0xFFFF


@dataclass(frozen=True, eq=False)
class WireEvent(AnalogEvent):
    """One event with its object. An AnalogEvent by type only: that is what py1815 can hold."""

    spec: Spec | None = None
    raw: RawValue | None = None
    group: int = 0
    variation: int = 0
    octets: bytes = b""
    synchronized: bool = True

    def relative(self, base_ms: int) -> tuple[int, int, bytes] | None:
        """The object with time relative to ``base_ms``; None if it does not reach that far."""
        after_ms = self.timestamp_ms - base_ms
        if self.spec is None or self.raw is None or not 0 <= after_ms <= MAX_RELATIVE_MS:
            return None
        return relative_event(self.spec, self.raw, after_ms)

    @property
    def is_binary(self) -> bool:
        """Whether a relative-time variation exists for it."""
        return self.spec is not None and self.spec.kind in (PointType.BI, PointType.DBI)


class SimBuffers(EventBuffers):
    """Buffers of ``WireEvent``; ``on_lost`` and ``on_confirmed`` hear event numbers."""

    def __init__(
        self,
        *,
        capacity: int,
        on_lost: Callable[[int], None],
        on_confirmed: Callable[[list[int]], None],
    ) -> None:
        super().__init__(capacity=capacity)
        self._on_lost = on_lost
        self._on_confirmed = on_confirmed

    def record(self, spec: Spec, raw: RawValue, at_ms: int) -> WireEvent:
        """Buffer one event of a point that has an event class; returns it with its number."""
        group, variation, octets = event_object(spec, raw, at_ms)
        number = raw.value if isinstance(raw.value, float | int) else 0.0
        event = WireEvent(
            spec.index,
            AnalogPoint(number, raw.flags),
            at_ms,
            order=self._next_order(),
            spec=spec,
            raw=raw,
            group=group,
            variation=variation,
            octets=octets,
            synchronized=self.synchronized,
        )
        self._buffer(EventClass(spec.event_class), event)
        return event

    def _buffer(self, event_class: EventClass, event: Event) -> None:
        held = self._buffers[event_class]
        if len(held.events) >= held.capacity:
            self._on_lost(held.events[0].order)
        super()._buffer(event_class, event)

    def drop(self, events: Iterable[Event]) -> None:
        """Retire confirmed events, from the front, where they are: constant time each."""
        confirmed = {id(event): event for event in events}
        retired: list[int] = []
        for held in self._buffers.values():
            while held.events and id(held.events[0]) in confirmed:
                event = held.events.popleft()
                del confirmed[id(event)]
                retired.append(event.order)
        left = [event for event in confirmed.values() if self._holds(event)]
        super().drop(left)
        retired.extend(event.order for event in left)
        if retired:
            self._on_confirmed(sorted(retired))

    def _holds(self, event: Event) -> bool:
        return any(event is held for buffer in self._buffers.values() for held in buffer.events)

    def empty(self) -> list[int]:
        """Forget everything, as a restart does; returns the numbers that nobody will see."""
        numbers: list[int] = []
        for held in self._buffers.values():
            numbers.extend(event.order for event in held.events)
            held.events.clear()
            held.overflowed = False
        return sorted(numbers)
