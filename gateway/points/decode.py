"""Raw DNP3 value -> canonical value and quality, by one row of a points map.

Quality follows the flags alone, except: a value that is no finite number, a double-bit point or a
code that is neither on nor off, and a value outside the row's ``min``..``max`` are BAD whatever
the flags say. The value of a BAD reading is for people; nothing is calculated from it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gateway.measured import Measured, Quality
from gateway.points.raw import PointType
from gateway.points.roles import BINARY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.points.pointmap import MapPoint
    from gateway.points.raw import RawPoint

# IEEE 1815, object flags of each point type.
ONLINE = 0x01
RESTART = 0x02
COMM_LOST = 0x04
REMOTE_FORCED = 0x08
LOCAL_FORCED = 0x10
CHATTER = 0x20  # binary and double-bit inputs
OVER_RANGE = 0x20  # analogs
ROLLOVER = 0x20  # counters; obsolete: says only that the counter passed its end
DISCONTINUITY = 0x40  # counters: cannot be compared with the reading before
REFERENCE_ERR = 0x40  # analogs: the reference of the converter drifted

OFF, ON = 1, 2  # determined states of a double-bit point; 0 moves, 3 is impossible
_BAD = {
    PointType.AI: RESTART | COMM_LOST | OVER_RANGE,
    PointType.AO: RESTART | COMM_LOST | OVER_RANGE,
}
_DOUBTFUL = {
    PointType.BI: REMOTE_FORCED | LOCAL_FORCED | CHATTER,
    PointType.DBI: REMOTE_FORCED | LOCAL_FORCED | CHATTER,
    PointType.AI: REMOTE_FORCED | LOCAL_FORCED | REFERENCE_ERR,
    PointType.AO: REMOTE_FORCED | LOCAL_FORCED | REFERENCE_ERR,
    PointType.CTR: REMOTE_FORCED | LOCAL_FORCED | DISCONTINUITY,
    PointType.FC: REMOTE_FORCED | LOCAL_FORCED | DISCONTINUITY,
}


def _verdict(kind: PointType, flags: int) -> Quality:
    if not flags & ONLINE or flags & _BAD.get(kind, RESTART | COMM_LOST):
        return Quality.BAD
    if flags & _DOUBTFUL.get(kind, REMOTE_FORCED | LOCAL_FORCED):
        return Quality.QUESTIONABLE
    return Quality.GOOD


_VERDICTS = {kind: tuple(_verdict(kind, flags) for flags in range(256)) for kind in PointType}


def flag_quality(raw: RawPoint, kind: PointType) -> Quality:
    """What the flags alone say; GOOD for variations without flags (``raw.flags`` is None)."""
    return Quality.GOOD if raw.flags is None else _VERDICTS[kind][raw.flags & 0xFF]


def decode(raw: RawPoint, row: MapPoint) -> Measured:
    """Give ``raw`` its meaning. Never raises, whatever the outstation sent.

    Args:
        raw: an update of the point that ``row`` is about.
        row: its row.

    Returns:
        Value in the row's canonical unit with power positive discharging, a bool, an enum's
        name, or an octet string's text. No finite number decodes to 0.0 and BAD: NaN must reach
        no calculation and no JSON.
    """
    kind = row.kind
    flags = raw.flags
    quality = Quality.GOOD if flags is None else _VERDICTS[kind][flags & 0xFF]
    found = raw.value
    value: float | bool | str
    if kind is PointType.OS:
        value = str(found)
    elif isinstance(found, str) or not math.isfinite(found):
        value = False if row.is_flag else 0.0
        quality = Quality.BAD
    elif row.enum is not None:
        value = _enum_name(found, row.enum)
        if kind is PointType.DBI and found not in (OFF, ON):
            quality = Quality.BAD
    elif kind in BINARY:
        off, on = (OFF, ON) if kind is PointType.DBI else (0, 1)
        if found not in (off, on):
            quality = Quality.BAD
        value = (found == on) is not row.invert
    else:
        value, possible = _number(found, row)
        if not possible:
            quality = Quality.BAD
    if row.how is not None:
        quality = max(quality, Quality.DERIVED)
    return Measured(value, quality, raw.at_ms, raw.point, flagless=flags is None)


def _number(found: float, row: MapPoint) -> tuple[float | bool, bool]:
    """Its value, or whether its code says on; and whether the row may have it."""
    if row.on is not None:
        on = found in row.on
        return on, on or found in (row.off or ())
    value = found * row.mul / row.div + row.bias
    low, high = row.min, row.max
    return value, not ((low is not None and value < low) or (high is not None and value > high))


def _enum_name(found: float, names: Mapping[str, str]) -> str:
    whole = int(found)
    name = names.get(str(whole)) if whole == found else None
    return name if name is not None else names["*"]


def decode_bits(raw: RawPoint, row: MapPoint) -> frozenset[str]:
    """What the value names ("alarm:over_temp") by its bits or as a code; empty where it has none.

    Quality is the caller's business: ask ``decode`` or ``flag_quality`` first. A negative
    value is taken as two's complement, as a 16- or 32-bit analog carries a status word.
    """
    found = raw.value
    if isinstance(found, str) or not math.isfinite(found):
        return frozenset()
    if row.codes is not None:
        told = _enum_name(found, row.codes).replace("{code}", f"{found:.15g}")
        return frozenset({told} if told else ())
    if row.bits is None:
        return frozenset()
    word = int(found)
    return frozenset(code for bit, code in row.bits.items() if word >> bit & 1)
