"""DNP3 objects as octets: static and event objects of every point type that is served.

Values arrive raw, with flags. A number that its variation cannot hold is clamped and flagged
OVER_RANGE; a NaN goes out as NaN where the variation is a float, else as 0 with REFERENCE_ERR.
Source: IEEE 1815-2012, Annex A, object groups 1 to 4, 10, 20, 22, 30, 32, 40, 51, 110 and 0.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, NamedTuple

from gateway.points.raw import PointType, point_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Flag(IntEnum):
    """Object flags. Bit 5 means CHATTER_FILTER on binaries and OVER_RANGE on analogs."""

    ONLINE = 0x01
    RESTART = 0x02
    COMM_LOST = 0x04
    REMOTE_FORCED = 0x08
    LOCAL_FORCED = 0x10
    CHATTER_FILTER = 0x20
    OVER_RANGE = 0x20
    REFERENCE_ERR = 0x40


class Form(StrEnum):
    """How an analog value travels."""

    INT16 = "int16"
    INT32 = "int32"
    FLOAT = "float"
    DOUBLE = "double"


class RawValue(NamedTuple):
    """One value as it is served; ``value`` is text for octet strings only."""

    value: float | str
    flags: int


@dataclass(frozen=True, slots=True)
class Spec:
    """How one point is served."""

    kind: PointType
    index: int
    form: Form = Form.INT32  # of analogs
    event_class: int = 2  # 0: no events
    deadband: float = 0.0  # raw; a change must exceed it

    @property
    def point(self) -> str:
        """Printed name."""
        return point_name(self.kind, self.index)


_PACK = {Form.INT32: "<i", Form.INT16: "<h", Form.FLOAT: "<f", Form.DOUBLE: "<d"}
_LIMIT = {
    Form.INT32: (-(2**31), 2**31 - 1),
    Form.INT16: (-(2**15), 2**15 - 1),
    Form.FLOAT: (-3.4028234663852886e38, 3.4028234663852886e38),
    Form.DOUBLE: (-math.inf, math.inf),
}
_ANALOG_STATIC = {Form.INT32: 1, Form.INT16: 2, Form.FLOAT: 5, Form.DOUBLE: 6}
_ANALOG_EVENT = {Form.INT32: 3, Form.INT16: 4, Form.FLOAT: 7, Form.DOUBLE: 8}  # with time
_OUTPUT_STATUS = {Form.INT32: 1, Form.INT16: 2, Form.FLOAT: 3, Form.DOUBLE: 4}
_STATIC_GROUP = {
    PointType.BI: 1,
    PointType.DBI: 3,
    PointType.BO: 10,
    PointType.CTR: 20,
    PointType.FC: 21,
    PointType.AI: 30,
    PointType.AO: 40,
    PointType.OS: 110,
}
KIND_OF_GROUP = {group: kind for kind, group in _STATIC_GROUP.items()}
EVENT_GROUPS = frozenset({2, 4, 22, 23, 32, 111})
_FORM_OF_VARIATION = {
    PointType.AI: {variation: form for form, variation in _ANALOG_STATIC.items()},
    PointType.AO: {variation: form for form, variation in _OUTPUT_STATUS.items()},
}
_WITH_FLAGS = {
    PointType.BI: 2,
    PointType.DBI: 2,
    PointType.BO: 2,
    PointType.CTR: 1,
    PointType.FC: 1,
}
_BLOCK_OCTETS = 1200  # of objects behind one header: well inside the smallest fragment in use
_NARROW = 0xFF  # largest index of the 8-bit qualifier


def time_octets(at_ms: int) -> bytes:
    """DNP3 time: 48 bits, Unix ms."""
    return max(0, at_ms).to_bytes(8, "little")[:6]


def value_octets(spec: Spec, raw: RawValue, form: Form | None = None) -> bytes:
    """Flags and value of one object, without time. ``form`` overrides the point's own."""
    kind, flags = spec.kind, raw.flags
    if isinstance(raw.value, str):
        return raw.value.encode()[:255]
    if kind in (PointType.BI, PointType.BO):
        return bytes([flags & 0x7F | (0x80 if raw.value else 0)])
    if kind is PointType.DBI:
        return bytes([flags & 0x3F | (int(raw.value) & 0b11) << 6])
    if kind in (PointType.CTR, PointType.FC):
        return bytes([flags]) + (int(raw.value) % 2**32).to_bytes(4, "little")
    return _analog(form or spec.form, raw.value, flags)


def _analog(form: Form, value: float, flags: int) -> bytes:
    if math.isnan(value):
        if form in (Form.FLOAT, Form.DOUBLE):
            return bytes([flags]) + struct.pack(_PACK[form], value)
        return bytes([flags & ~Flag.ONLINE | Flag.REFERENCE_ERR]) + struct.pack(_PACK[form], 0)
    low, high = _LIMIT[form]
    number = value if form in (Form.FLOAT, Form.DOUBLE) else _rounded(value, low, high)
    if not low <= number <= high:
        number, flags = min(max(number, low), high), flags | Flag.OVER_RANGE
    return bytes([flags]) + struct.pack(_PACK[form], number)


def _rounded(value: float, low: float, high: float) -> float:
    """Nearest whole number; infinities become one beyond the limit they passed."""
    if math.isinf(value):
        return high + 1 if value > 0 else low - 1
    return round(value)


def as_sent(spec: Spec, value: float) -> float:
    """What of ``value`` survives the trip: whole numbers, or single precision."""
    if spec.kind not in (PointType.AI, PointType.AO) or not math.isfinite(value):
        return value
    if spec.form in (Form.INT16, Form.INT32):
        return float(round(value))
    low, high = _LIMIT[spec.form]
    if spec.form is Form.DOUBLE or not low <= value <= high:
        return value
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def static_variation(spec: Spec) -> int:
    """The default static variation of a point."""
    if spec.kind is PointType.AI:
        return _ANALOG_STATIC[spec.form]
    if spec.kind is PointType.AO:
        return _OUTPUT_STATUS[spec.form]
    return _WITH_FLAGS.get(spec.kind, 0)


def event_object(spec: Spec, raw: RawValue, at_ms: int) -> tuple[int, int, bytes]:
    """Group, variation and octets of an event with absolute time."""
    octets = value_octets(spec, raw)
    match spec.kind:
        case PointType.BI:
            return 2, 2, octets + time_octets(at_ms)
        case PointType.DBI:
            return 4, 2, octets + time_octets(at_ms)
        case PointType.CTR:
            return 22, 5, octets + time_octets(at_ms)
        case PointType.FC:
            return 23, 5, octets + time_octets(at_ms)
        case PointType.AI:
            return 32, _ANALOG_EVENT[spec.form], octets + time_octets(at_ms)
        case PointType.OS:
            return 111, len(octets), octets
        case PointType.AO | PointType.BO:
            pass
    message = f"{spec.point}: outputs have no events here"
    raise ValueError(message)


def relative_event(spec: Spec, raw: RawValue, after_ms: int) -> tuple[int, int, bytes]:
    """A binary event whose time counts from a common time of occurrence (0..65535 ms after)."""
    group = 2 if spec.kind is PointType.BI else 4
    return group, 3, value_octets(spec, raw) + after_ms.to_bytes(2, "little")


def common_time(at_ms: int, *, synchronized: bool) -> bytes:
    """Group 51: the common time of occurrence that relative times count from."""
    return bytes([51, 1 if synchronized else 2, 0x07, 1]) + time_octets(at_ms)


def static_blocks(points: Sequence[tuple[Spec, RawValue]], variation: int = 0) -> Iterator[bytes]:
    """Object headers with ranges and the objects behind them, for points in index order.

    Args:
        points: of one type, ascending indices.
        variation: the one asked for, 0 for each point's default.

    Raises:
        ValueError: the variation is not served for this type.
    """
    run: list[bytes] = []
    first = last = given = size = 0
    for spec, raw in points:
        octets, used = _static_object(spec, raw, variation)
        if run and (spec.index != last + 1 or used != given or size > _BLOCK_OCTETS):
            yield _range(_STATIC_GROUP[spec.kind], given, first, last) + b"".join(run)
            run, size = [], 0
        if not run:
            first, given = spec.index, used
        run.append(octets)
        last, size = spec.index, size + len(octets)
    if run:
        kind = points[0][0].kind
        yield _range(_STATIC_GROUP[kind], given, first, last) + b"".join(run)


def _static_object(spec: Spec, raw: RawValue, variation: int) -> tuple[bytes, int]:
    if spec.kind is PointType.OS:
        octets = value_octets(spec, raw)
        return octets, len(octets)
    if not variation or variation == static_variation(spec):
        return value_octets(spec, raw), static_variation(spec)
    form = _FORM_OF_VARIATION.get(spec.kind, {}).get(variation)
    if form is None:
        message = f"group {_STATIC_GROUP[spec.kind]} variation {variation} is not served"
        raise ValueError(message)
    return value_octets(spec, raw, form), variation


def _range(group: int, variation: int, first: int, last: int) -> bytes:
    if last <= _NARROW:
        return bytes([group, variation, 0x00, first, last])
    return bytes([group, variation, 0x01]) + struct.pack("<HH", first, last)


def attribute(variation: int, text: str) -> bytes:
    """Group 0: one device attribute as a visible string."""
    octets = text.encode()[:255]
    return bytes([0, variation, 0x00, 0, 0, 1, len(octets)]) + octets
