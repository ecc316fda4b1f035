"""When two spellings of a host are the same place, as far as the text alone can tell. Pure."""

from __future__ import annotations

import ipaddress
import re

_LOOPBACK = ipaddress.IPv4Address("127.0.0.1")
_LOOPBACK_NAMES = frozenset(
    {"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback", "localhost6"}
)
_PARTS = re.compile(r"(?:0x[0-9a-f]{0,8}|[0-9]{1,10})(?:\.(?:0x[0-9a-f]{0,8}|[0-9]{1,10})){0,3}\Z")
_PART_BITS = 8


def ambiguous(host: str) -> bool:
    """Whether it is an address with a leading zero: some read 010 as ten, others as eight."""
    text = _plain(host)
    if not _PARTS.match(text):
        return False
    return any(len(one) > 1 and one[0] == "0" and one[1] != "x" for one in text.split("."))


def same_host(host: str) -> str:
    """One text for all spellings of a host: of an address, of this machine, of a name."""
    text = _plain(host)
    if text in _LOOPBACK_NAMES or text.endswith(".localhost"):
        return str(_LOOPBACK)
    number = _number(text)
    if number is not None:
        return str(ipaddress.IPv4Address(number))
    try:
        found = ipaddress.IPv6Address(text)
    except ValueError:
        return text
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(_LOOPBACK) if found.is_loopback else str(found)


def _plain(host: str) -> str:
    text = host.strip().lower()
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    return text.removesuffix(".")


def _number(text: str) -> int | None:
    """The address of 1 to 4 numbers, the last of which fills what is left: as inet_aton(3)."""
    if not _PARTS.match(text):
        return None
    *first, last = (int(part, 16) if part[1:2] == "x" else int(part) for part in _filled(text))
    if any(part >> _PART_BITS for part in first) or last >> (_PART_BITS * (4 - len(first))):
        return None
    for at, part in enumerate(first):
        last |= part << (_PART_BITS * (3 - at))
    return last


def _filled(text: str) -> list[str]:
    return [f"{part}0" if part == "0x" else part for part in text.split(".")]
