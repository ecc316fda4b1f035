"""What a read finds: the points as they are served now, and the device attributes.

Written by the outstation's scan, read by its session, on one thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from py1815.application import IIN, IIN2Bit, ObjectHeader
from py1815.session import UnknownObject

from gateway.points.raw import PointType
from gateway.sim import wire

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.sim.wire import RawValue, Spec

_CLASS_0 = (60, 1)
_ALL_ATTRIBUTES = 254
_UNSET = wire.RawValue(0.0, wire.Flag.ONLINE)


class Image:
    """Answers static reads; py1815's read provider."""

    def __init__(self) -> None:
        self.specs: tuple[Spec, ...] = ()  # by type, then index
        self.raw: dict[str, RawValue] = {}  # by point
        self.attributes: dict[int, str] = {}
        self._complaint = IIN()

    def complaint(self) -> IIN:
        """What was wrong with the read just answered; said once."""
        said, self._complaint = self._complaint, IIN()
        return said

    def read(self, headers: Sequence[ObjectHeader]) -> bytes:
        """Static objects in one piece, for a session that does not ask for blocks."""
        return b"".join(self.read_blocks(headers))

    def read_blocks(self, headers: Sequence[ObjectHeader]) -> list[bytes]:
        """Static objects as py1815 wants them: one block per object header of the answer.

        Raises:
            UnknownObject: a group, variation or attribute that is not served.
        """
        found: list[bytes] = []
        for header in headers:
            if (header.group, header.variation) == _CLASS_0:
                for kind in PointType:
                    found.extend(wire.static_blocks(self._points(kind)))
            elif header.group == 0:
                found.extend(self._attributes(header.variation))
            else:
                found.extend(self._asked(header))
        return found

    def _points(self, kind: PointType) -> list[tuple[Spec, RawValue]]:
        return [
            (spec, self.raw.get(spec.point, _UNSET)) for spec in self.specs if spec.kind is kind
        ]

    def _asked(self, header: ObjectHeader) -> list[bytes]:
        kind = wire.KIND_OF_GROUP.get(header.group)
        if kind is None:
            message = f"group {header.group} is not served"
            raise UnknownObject(message)
        points = self._points(kind)
        if header.start is not None and header.stop is not None:
            points = [one for one in points if header.start <= one[0].index <= header.stop]
        elif header.indices is not None:
            points = [one for one in points if one[0].index in header.indices]
        if not points:  # what does not exist is a parameter error, said beside what does
            self._complaint = IIN(second=IIN2Bit.PARAM_ERROR)
        try:
            return list(wire.static_blocks(points, header.variation))
        except ValueError as error:
            raise UnknownObject(str(error)) from None

    def _attributes(self, variation: int) -> list[bytes]:
        found = self.attributes
        asked = sorted(found) if variation == _ALL_ATTRIBUTES else [variation]
        blocks = [wire.attribute(one, found[one]) for one in asked if one in found]
        if not blocks:
            message = f"device attribute {variation} is not served"
            raise UnknownObject(message)
        return blocks
