"""Finding rows in the pages themselves, where the tree that leads to them is destroyed. Pure.

Every leaf page of a table is looked at, whoever it belongs to, and the newest copy of a page
in the log goes before that in the file. What is found may be damaged, or long deleted: the
caller keeps what its CRC allows, and a consumer recognises what it already has.

Source: SQLite, Database File Format: 1.6 (b-tree pages), 2.1 (records), 4.1 (the log).
"""

from __future__ import annotations

from struct import unpack_from
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LEAF = 0x0D  # a leaf page of a table
_FRAME = 24  # bytes before each page of the log
_LOG_HEADER = 32
_COLUMNS = 12
_LARGEST = 4 << 20  # bytes of a row; a message has at most 128 KiB
_SIZES = (0, 1, 2, 3, 4, 6, 8)  # of integers, by serial type


def log_pages(log: bytes, *, page: int) -> dict[int, int]:
    """Page number -> where its newest copy begins in the log."""
    found: dict[int, int] = {}
    salts = log[16:24]
    for at in range(_LOG_HEADER, len(log) - _FRAME - page + 1, _FRAME + page):
        if log[at + 8 : at + 16] == salts:  # others are left from before the last checkpoint
            found[unpack_from(">I", log, at)[0]] = at + _FRAME
    return found


def carve(read: Callable[[int], bytes], pages: int, *, page: int) -> Iterator[tuple[object, ...]]:
    """Rows of twelve columns.

    Args:
        read: the bytes of a page, by its number from 1; empty where there is none.
        pages: how many there are.
        page: bytes of a page.
    """
    for number in range(2, pages + 1):
        leaf = read(number)
        if len(leaf) != page or leaf[0] != _LEAF:
            continue
        for index in range(min(unpack_from(">H", leaf, 3)[0], (page - 8) // 2)):
            at = unpack_from(">H", leaf, 8 + 2 * index)[0]
            try:
                key, payload = _payload(leaf, at, read, page)
                columns = _record(payload, key)
            except (IndexError, ValueError):
                continue  # a cell that leads out of its page
            if columns is not None:
                yield columns


def _varint(source: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index in range(9):
        octet = source[at + index]
        if index == 8:  # noqa: PLR2004 - the ninth octet holds eight bits
            return value << 8 | octet, at + 9
        value = value << 7 | octet & 0x7F
        if octet < 0x80:  # noqa: PLR2004 - the top bit says that more follows
            return value, at + index + 1
    raise ValueError(at)  # pragma: no cover - nine octets always end it


def _payload(leaf: bytes, at: int, read: Callable[[int], bytes], page: int) -> tuple[int, bytes]:
    size, at = _varint(leaf, at)
    key, at = _varint(leaf, at)
    most, least = page - 35, (page - 12) * 32 // 255 - 23
    if size > _LARGEST:
        raise ValueError(size)  # garbage, and its pages may follow each other in circles
    if size <= most:
        return key, leaf[at : at + size]
    local = least + (size - least) % (page - 4)
    local = local if local <= most else least
    parts, behind = [leaf[at : at + local]], at + local
    (follow,) = unpack_from(">I", leaf[behind : behind + 4].ljust(4, b"\0"))
    left = size - local
    while left > 0:
        sheet = read(follow) if follow else b""
        if len(sheet) != page:
            raise ValueError(follow)
        parts.append(sheet[4 : 4 + left])
        left -= page - 4
        (follow,) = unpack_from(">I", sheet)
    return key, b"".join(parts)


def _record(payload: bytes, key: int) -> tuple[object, ...] | None:
    end, at = _varint(payload, 0)
    kinds = []
    while at < end:
        kind, at = _varint(payload, at)
        kinds.append(kind)
    if len(kinds) != _COLUMNS or kinds[0] != 0:  # the key is the row's own number
        return None
    values: list[object] = [key]
    for kind in kinds[1:]:
        value, end = _value(payload, end, kind)
        values.append(value)
    return tuple(values)


def _value(payload: bytes, at: int, kind: int) -> tuple[object, int]:
    if kind < len(_SIZES):
        size = _SIZES[kind]
        return int.from_bytes(payload[at : at + size], "big", signed=True), at + size
    if kind in (8, 9):
        return kind - 8, at
    if kind < 12:  # noqa: PLR2004 - a float, or reserved: the queue stores neither
        raise ValueError(kind)
    size = (kind - 12) // 2
    part = payload[at : at + size]
    return (part.decode("utf-8", "replace") if kind % 2 else part), at + size
