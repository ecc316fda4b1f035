"""A point's value as the outstation sent it.

A point is known by its printed name, "AI47" or "BO2", everywhere: it is the key of maps, the
column of telemetry and what people read. ``RawPoint`` is a named tuple and not a dataclass
because one is made for every event of every session (0.3 against 1 microsecond).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gateway.measured import TimeQuality

MAX_INDEX = 65535  # DNP3 point indices are 16 bit with the widest qualifier that opendnp3 uses


class PointType(StrEnum):
    """DNP3 point types, named as they are printed."""

    AI = "AI"  # analog input, group 30/32
    BI = "BI"  # binary input, group 1/2
    DBI = "DBI"  # double-bit binary input, group 3/4
    CTR = "CTR"  # counter, group 20/22
    AO = "AO"  # analog output (status), group 40/42
    BO = "BO"  # binary output (status), group 10/11
    OS = "OS"  # octet string, group 110/111
    FC = "FC"  # frozen counter, group 21/23


class RawPoint(NamedTuple):
    """One update of one point."""

    point: str  # "AI47"
    value: float | int | str  # binaries 0/1; double-bit 0..3 (group 3); octet strings as text
    flags: int | None  # DNP3 object flags; None for variations without flags
    at_ms: int  # Unix ms, UTC: DNP3 time if it came with one, else time of receipt
    rt_ms: int  # Unix ms, UTC: time of receipt
    tq: TimeQuality
    event: bool  # an event object; False for static (class 0) data


_POINT = re.compile(r"(AI|BI|DBI|CTR|AO|BO|OS|FC)(0|[1-9][0-9]{0,4})\Z")


@cache
def point_name(kind: PointType, index: int) -> str:
    """Printed name of a point; cached, since the same few thousand come again and again."""
    return f"{kind.value}{index}"


@dataclass(frozen=True, slots=True)
class Reference:
    """What a row of a map is about: a point, or one bit of it."""

    kind: PointType  # as it is read: BI for a bit
    point: str  # "AI12", also for AI12.3
    index: int  # 0..65535
    bit: int | None = None  # 0..31, of an analog input or a counter


_MADE = re.compile(r"@[a-z][a-z0-9_]{0,63}\Z")  # combined of others
_BIT = re.compile(r"((?:AI|CTR)[0-9]{1,5})\.(0|[1-9][0-9]?)\Z")
MAX_BIT = 31


@cache
def parse_reference(text: str) -> Reference | None:
    """Read "AI47", "AI12.3" (bit 3 of a status word) or "@name" (made of others); else None."""
    if _MADE.match(text):
        return Reference(PointType.AI, text, 0)
    found = _BIT.match(text)
    whole = parse_point(text if found is None else found[1])
    if whole is None or (found is not None and int(found[2]) > MAX_BIT):
        return None
    if found is None:
        return Reference(whole[0], text, whole[1])
    return Reference(PointType.BI, found[1], whole[1], int(found[2]))


def parse_point(text: str) -> tuple[PointType, int] | None:
    """Split "AI47" into its type and index (0..65535); None if it is not a point's name."""
    found = _POINT.match(text)
    if found is None or int(found[2]) > MAX_INDEX:
        return None
    return PointType(found[1]), int(found[2])
