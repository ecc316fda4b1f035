"""Internal indications: the two octets at the head of every response, as names.

A number here holds IIN1 in its low octet and IIN2 in its high octet.
Source: IEEE 1815-2012, 4.2.2.4 (application layer, internal indications).
"""

from __future__ import annotations

from enum import IntFlag


class Iin(IntFlag):
    """One bit per indication, named as the standard names them."""

    BROADCAST = 0x0001
    CLASS_1_EVENTS = 0x0002
    CLASS_2_EVENTS = 0x0004
    CLASS_3_EVENTS = 0x0008
    NEED_TIME = 0x0010
    LOCAL_CONTROL = 0x0020
    DEVICE_TROUBLE = 0x0040
    DEVICE_RESTART = 0x0080
    NO_FUNC_CODE_SUPPORT = 0x0100
    OBJECT_UNKNOWN = 0x0200
    PARAMETER_ERROR = 0x0400
    EVENT_BUFFER_OVERFLOW = 0x0800
    ALREADY_EXECUTING = 0x1000
    CONFIG_CORRUPT = 0x2000


EVENTS_WAIT = Iin.CLASS_1_EVENTS | Iin.CLASS_2_EVENTS | Iin.CLASS_3_EVENTS
REQUEST_ERRORS = Iin.NO_FUNC_CODE_SUPPORT | Iin.OBJECT_UNKNOWN | Iin.PARAMETER_ERROR

# Bits that come and go with every request or event: a change of these alone is no news.
FLEETING = EVENTS_WAIT | REQUEST_ERRORS | Iin.BROADCAST


def join(iin1: int, iin2: int) -> int:
    """Two octets (0..255 each) as one number."""
    return iin1 | iin2 << 8


def names(iin: int) -> tuple[str, ...]:
    """Names of the bits that are set, IIN1.0 first; reserved bits have none."""
    return tuple(bit.name for bit in Iin if iin & bit and bit.name is not None)


def refusal(iin: int) -> str:
    """What is wrong with the request that was answered with ``iin``; "" if nothing is."""
    return ", ".join(names(iin & REQUEST_ERRORS))
