"""opendnp3's measurement callbacks -> one fragment of points, stored before it is confirmed.

opendnp3 sends the DNP3 CONFIRM when ``EndFragment`` returns, and the outstation then forgets
those events. So ``EndFragment`` returns only after ``store`` has committed. It must also never
raise: the binding prints and swallows an exception (yadnp3 3.2.1.4), and the CONFIRM goes out
all the same. All of it runs on the dnp3 thread, for every event of every session: hence the
prebound names and the tuples made without ``RawPoint``'s own constructor.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import opendnp3 as dnp

from gateway.errors import StoreError
from gateway.events import FragmentLost, FragmentStored
from gateway.measured import TimeQuality
from gateway.points.raw import PointType, RawPoint, point_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.clock import Now
    from gateway.events import Post
    from gateway.ports import FragmentSink

log = logging.getLogger(__name__)

SKEW_MS = 5000  # section 2: live data further than this from our clock is skewed

_GATEWAY, _SKEWED = TimeQuality.GATEWAY, TimeQuality.SKEWED
_BY_QUALITY = {  # opendnp3's TimestampQuality, of a whole header
    dnp.TimestampQuality.SYNCHRONIZED.value: TimeQuality.SYNCED,
    dnp.TimestampQuality.UNSYNCHRONIZED.value: TimeQuality.UNSYNCED,
}
_new = tuple.__new__


class _Names(dict[int, str]):
    """Printed names of one type's points; a miss is looked up once."""

    def __init__(self, kind: PointType) -> None:
        super().__init__()
        self.kind = kind

    def __missing__(self, index: int) -> str:
        name = self[index] = point_name(self.kind, index)
        return name


class _Shape(NamedTuple):
    """How one group's objects become points."""

    names: _Names
    convert: Callable[[Any], float | int] | None  # None: octet strings, shaped differently
    mask: int  # of the flags octet: the state bits of binaries are not flags


def _state(value: dnp.DoubleBit) -> int:
    return value.value  # numbered as group 3 does


def _shapes() -> dict[int, _Shape]:
    """Shapes by group and variation, as opendnp3 numbers them: group << 8 | variation."""
    integer, decimal = range(1, 5), range(5, 9)  # variations of groups 30 and 32
    analog, output = _Names(PointType.AI), _Names(PointType.AO)
    shapes: dict[int, _Shape] = {}
    for group in (30, 32):
        shapes |= {group << 8 | v: _Shape(analog, int, 0xFF) for v in integer}
        shapes |= {group << 8 | v: _Shape(analog, float, 0xFF) for v in decimal}
    shapes |= {40 << 8 | v: _Shape(output, int if v < 3 else float, 0xFF) for v in range(1, 5)}  # noqa: PLR2004 - g40v1, v2 are integers
    shapes |= {42 << 8 | v: _Shape(output, int if v < 5 else float, 0xFF) for v in range(1, 9)}  # noqa: PLR2004 - g42v1..v4 are integers
    whole: list[tuple[PointType, tuple[int, int], Callable[[Any], int], int]] = [
        (PointType.BI, (1, 2), int, 0x7F),
        (PointType.BO, (10, 11), int, 0x7F),
        (PointType.DBI, (3, 4), _state, 0x3F),
        (PointType.CTR, (20, 22), int, 0xFF),
        (PointType.FC, (21, 23), int, 0xFF),  # of their own: they share the counters' indices
    ]
    for kind, groups, convert, mask in whole:
        names = _Names(kind)
        for group in groups:
            shapes |= {group << 8 | v: _Shape(names, convert, mask) for v in range(11)}
    octets = _Names(PointType.OS)
    return shapes | {group << 8: _Shape(octets, None, 0) for group in (110, 111)}


# Not here, and so ignored: time-and-interval, command events, dead bands, security statistics.
_SHAPES = _shapes()


class FragmentHandler(dnp.ISOEHandler):
    """Gathers a fragment of one session, stores it, tells the core.

    Args:
        asset: whose fragments.
        store: returns only when the points are durable.
        post: the core's inbox.
        now: both clocks.
        late_ms: how old live data may be before it counts as skewed (>= 5000).
    """

    def __init__(
        self,
        asset: str,
        store: FragmentSink,
        post: Post,
        *,
        now: Callable[[], Now],
        late_ms: int = SKEW_MS,
    ) -> None:
        super().__init__()
        self.live = False  # after the events that waited for us have been read: ages count
        self.fragments = 0
        self.asked_at = -math.inf  # monotonic s at which the request under way was sent
        self.answered = 0  # points that it has brought
        self._asset, self._store, self._post, self._now = asset, store, post, now
        self._late_ms = late_ms
        self._points: list[RawPoint] = []
        self._rt_ms = 0
        self._undecoded = 0
        self._reason = ""

    def BeginFragment(self, info: dnp.ResponseInfo) -> None:  # noqa: ARG002, N802 - opendnp3
        """opendnp3: the first object header of a fragment follows."""
        self._points = []
        self._undecoded = 0
        self._rt_ms = self._now().unix_ms

    def Process(self, info: dnp.HeaderInfo, values: Sequence[dnp.Indexed]) -> None:  # noqa: N802 - opendnp3
        """opendnp3: the objects under one header."""
        try:
            self._gather(info, values)
        except Exception as error:  # an exception would be swallowed, and the data confirmed
            log.exception("%s: objects that cannot be read", self._asset)
            self._undecoded += len(values)
            self._reason = f"objects that cannot be read: {error}"

    def _gather(self, info: dnp.HeaderInfo, values: Sequence[dnp.Indexed]) -> None:
        shape = _SHAPES.get(info.gv.value)
        if shape is None:
            return
        names, convert, mask = shape
        add, rt, event = self._points.append, self._rt_ms, info.isEventVariation
        if convert is None:
            for v in values:
                text = v.value.ToBytes().rstrip(b"\0").decode("utf-8", "backslashreplace")
                add(_new(RawPoint, (names[v.index], text, None, rt, rt, _GATEWAY, event)))
            return
        flagged = info.flagsValid
        claimed = _BY_QUALITY.get(info.tsquality.value)
        if claimed is None:
            for v in values:
                m = v.value
                flags = m.flags.value & mask if flagged else None
                add(
                    _new(
                        RawPoint,
                        (names[v.index], convert(m.value), flags, rt, rt, _GATEWAY, event),
                    )
                )
            return
        oldest = rt - self._late_ms if self.live else 0
        newest = rt + SKEW_MS
        for v in values:
            m = v.value
            flags = m.flags.value & mask if flagged else None
            at, tq = m.time.value, claimed
            if at == 0:  # a time object without a time
                at, tq = rt, _GATEWAY
            elif at < oldest or at > newest:
                tq = _SKEWED
            add(_new(RawPoint, (names[v.index], convert(m.value), flags, at, rt, tq, event)))

    def EndFragment(self, info: dnp.ResponseInfo) -> None:  # noqa: N802 - opendnp3
        """opendnp3: all of it was given; the CONFIRM leaves when this returns."""
        points = tuple(self._points)
        if not info.unsolicited:
            self.answered += len(points)
        try:
            if points:
                self._store(self._asset, points)
                self.fragments += 1
                asked_at = -math.inf if info.unsolicited else self.asked_at
                self._post(
                    FragmentStored(self._asset, points, info.unsolicited, self._now(), asked_at)
                )
            if self._undecoded:
                self._lost(self._undecoded, self._reason)
        except (
            StoreError
        ) as error:  # a full disk says so for every fragment: the core tells it once
            self._lost(len(points) + self._undecoded, str(error))
        except (
            Exception
        ) as error:  # anything else is a bug; the loss must be announced all the same
            log.exception("%s: fragment of %d points not stored", self._asset, len(points))
            self._lost(len(points) + self._undecoded, str(error) or type(error).__name__)

    def _lost(self, count: int, reason: str) -> None:
        self._post(FragmentLost(self._asset, count, reason, self._now()))


class AttributeHandler(dnp.ISOEHandler):
    """Collects device attributes (group 0) as text; ``taken`` maps variation to text."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: dict[int, str] = {}

    def BeginFragment(self, info: dnp.ResponseInfo) -> None:  # noqa: N802 - opendnp3
        """opendnp3: nothing to prepare."""

    def EndFragment(self, info: dnp.ResponseInfo) -> None:  # noqa: N802 - opendnp3
        """opendnp3: the session reads ``taken`` when the read has ended."""

    def OnDeviceAttribute(  # noqa: N802 - opendnp3
        self, _info: dnp.HeaderInfo, set_: int, variation: int, value: dnp.DeviceAttributeValue
    ) -> None:
        """opendnp3: one attribute. Set 0 is the standard's; the others are the vendor's."""
        try:
            if set_ == 0:
                self.taken[variation] = _text(value)
        except Exception:  # an attribute that cannot be read is an attribute that is absent
            log.exception("device attribute %d cannot be read", variation)


def _text(value: dnp.DeviceAttributeValue) -> str:
    kinds = dnp.DeviceAttrType
    by_type: dict[int, object] = {
        kinds.VISIBLE_STRING.value: value.stringValue,
        kinds.UNSIGNED_INT.value: value.unsignedValue,
        kinds.SIGNED_INT.value: value.signedValue,
        kinds.FLOATING_POINT.value: value.floatValue,
        kinds.DNP3_TIME.value: value.timeValue,
    }
    found = by_type.get(value.type.value)
    return str(found if found is not None else bytes(value.rawValue).hex())
