"""Whether the disk has room, as the writer sees it. Pure.

    room --free < reserve--> low --free >= reserve + some--> room
    room, low --a write failed for want of room--> hard
    hard --a write succeeded while free >= reserve + some--> room

In ``low`` telemetry is refused. In ``hard`` everything is tried again while nothing is known
against it, which a disk quota or a file size limit needs: they do not show in the free bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.queue.rules.retention import Space

_AGAIN = 16 << 20  # bytes above the reserve, or a tenth of it: no flapping at its edge


class Room(Enum):
    """What the disk allows."""

    ROOM = auto()  # everything
    LOW = auto()  # the reserve is being used: no telemetry
    HARD = auto()  # a write failed; every turn tries again


@dataclass(frozen=True, slots=True)
class Disk:
    """The state of the disk and what was last seen of it."""

    room: Room = Room.ROOM
    space: Space | None = None

    @property
    def refuses_telemetry(self) -> bool:
        """Whether telemetry may not be written now."""
        return self.room is not Room.ROOM and not self.enough

    @property
    def enough(self) -> bool:
        """Whether there is so much room that it will not be gone at once."""
        space = self.space
        if space is None:
            return True
        return space.free_bytes >= space.reserve + min(_AGAIN, space.reserve // 10)

    def looked(self, space: Space) -> Disk:
        """The disk was asked."""
        seen = replace(self, space=space)
        if self.room is Room.ROOM and space.low:
            return replace(seen, room=Room.LOW)
        if self.room is Room.LOW and seen.enough:
            return replace(seen, room=Room.ROOM)
        return seen

    def refused(self) -> Disk:
        """A write failed for want of room."""
        return replace(self, room=Room.HARD)

    def wrote(self) -> Disk:
        """A write succeeded."""
        if self.room is Room.HARD:
            return replace(self, room=Room.ROOM if self.enough else Room.LOW)
        return self
