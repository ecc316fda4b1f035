"""The outstation's end of one session: py1815's, taught what an RTAC has and it does not.

Added to py1815 0.3.0: events of every kind (``buffers``), indications forced by faults, and
an application that can fall silent. The overridden methods are private to py1815, so the
version is pinned; tests against an independent master hold them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from py1815.application import IIN, FunctionCode, IIN2Bit, IINBit, ObjectHeader
from py1815.link import SecondaryFunction
from py1815.session import ControlProvider, Session, _Block, _Conversation

from gateway.sim.buffers import SimBuffers, WireEvent
from gateway.sim.wire import EVENT_GROUPS, common_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from py1815.events import Event

    from gateway.sim.image import Image

_SELECT = FunctionCode.SELECT
_OPERATES = (FunctionCode.OPERATE, FunctionCode.DIRECT_OPERATE)
_SMALLEST_TIMED, _SMALLEST_RELATIVE = 8, 4  # octets of the smallest event, with its index


class SimSession(Session):
    """One association with faults. The owner sets the public attributes at will."""

    def __init__(
        self,
        image: Image,
        controls: ControlProvider,
        buffers: SimBuffers,
        **options: Any,  # noqa: ANN401 - passed on to py1815 as they are
    ) -> None:
        super().__init__(image, control_provider=controls, events=buffers, **options)
        self.forced_iin = IIN()  # OR-ed into every response
        self.mute = False  # the link answers, the application does not
        self.mute_controls = False  # operates are carried out and never answered
        self.mute_selects = False
        self.mute_link = False  # a link status request is not answered
        self.selects_to_lose = 0  # so many more are taken and not answered
        self.fragments_least = 1.0  # of an answer with present values; infinite: it never ends
        self._image = image
        self._patience_s = self._confirm_timeout or 0.0, self._unsolicited_timeout

    def force(self, *, local: bool, trouble: bool, corrupt: bool, need_time: bool) -> None:
        """Choose the indications that every response carries."""
        first = (IINBit.LOCAL_CONTROL if local else 0) | (IINBit.DEVICE_TROUBLE if trouble else 0)
        first |= IINBit.NEED_TIME if need_time else 0
        self.forced_iin = IIN(first, IIN2Bit.CONFIG_CORRUPT if corrupt else 0)

    def _indications(self, extra: IIN | None = None, reporting: Sequence[Event] = ()) -> IIN:
        iin = super()._indications(extra, reporting)
        return iin | self.forced_iin | self._image.complaint()

    def _handle_fragment(self, fragment: bytes) -> bytes:
        if self.mute:
            return b""
        response = super()._handle_fragment(fragment)
        asked = fragment[1] if fragment[1:2] else None
        if asked == _SELECT and self.selects_to_lose:
            self.selects_to_lose -= 1
            return b""
        if (self.mute_controls and asked in _OPERATES) or (self.mute_selects and asked == _SELECT):
            return b""
        return response

    def initiate(self) -> bytes:
        """Unsolicited responses, unless the application is mute."""
        return b"" if self.mute else super().initiate()

    def _link_reply(self, function: SecondaryFunction) -> bytes:
        if self.mute_link and function is SecondaryFunction.LINK_STATUS:
            return b""
        return super()._link_reply(function)

    # --- slowness --------------------------------------------------------------------------

    def wait_longer(self, late_s: float) -> None:
        """Take a confirmation that is late because what it confirms left late."""
        confirm_s, unsolicited_s = self._patience_s
        self._confirm_timeout = confirm_s + late_s
        self._unsolicited_timeout = unsolicited_s + late_s

    def _take_static(self, conversation: _Conversation, room: int) -> bytes:
        """One block a fragment, and the last one again, until there are fragments enough."""
        blocks = conversation.static
        if conversation.fragments >= self.fragments_least or not blocks:
            return super()._take_static(conversation, room)
        if len(blocks[0]) > room:
            return b""
        conversation.sending_static = True
        return blocks[0] if len(blocks) == 1 else blocks.popleft()

    # --- events of every kind --------------------------------------------------------------

    def _reads_events(self, header: ObjectHeader) -> bool:
        if header.event_class is None and header.group in EVENT_GROUPS:
            return True
        return super()._reads_events(header)

    def _held(self, header: ObjectHeader, limit: int) -> list[Event]:
        if header.event_class is not None:
            return super()._held(header, limit)
        assert self._events is not None
        every = self._events.peek_kind(WireEvent)
        asked = header.group, header.variation
        found = [event for event in every if _matches(event, *asked)]
        return found[:limit]

    def _smallest_event(self, headers: Sequence[ObjectHeader]) -> int:
        del headers
        timed = self._events is None or self._events.synchronized
        return _SMALLEST_TIMED if timed else _SMALLEST_RELATIVE

    def _event_blocks(
        self, chosen: Sequence[tuple[Event, int]], headers: Sequence[ObjectHeader]
    ) -> list[_Block]:
        del headers  # every event travels in its own variation
        blocks: list[_Block] = []
        for event, index in chosen:
            assert isinstance(event, WireEvent)
            last = blocks[-1] if blocks else None
            if event.is_binary and not event.synchronized:
                _place_relative(blocks, last, event, index)
            elif last is not None and (last.group, last.variation, last.base) == (
                event.group,
                event.variation,
                None,
            ):
                last.members.append((event, index, event.octets))
            else:
                member = (event, index, event.octets)
                blocks.append(_Block(event.group, event.variation, [member]))
        return blocks


def _matches(event: Event, group: int, variation: int) -> bool:
    return (
        isinstance(event, WireEvent) and event.group == group and variation in (0, event.variation)
    )


def _place_relative(
    blocks: list[_Block], last: _Block | None, event: WireEvent, index: int
) -> None:
    """Add an event whose clock was never set, behind a common time that says so."""
    if last is not None and last.base is not None:
        found = event.relative(last.base)
        if found is not None and found[:2] == (last.group, last.variation):
            last.members.append((event, index, found[2]))
            return
    base = event.timestamp_ms
    found = event.relative(base)
    assert found is not None
    prefix = common_time(base, synchronized=False)
    member = (event, index, found[2])
    blocks.append(_Block(found[0], found[1], [member], prefix, base, synchronized=False))
