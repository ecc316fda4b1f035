"""Payloads to messages, and telemetry to readings; what does not fit is refused. Pure."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeGuard

import zstandard

from gateway.errors import PayloadError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_CONTENT = 8 << 20  # bytes after decompression; a full batch has some 10 kB
_BUNDLED = "bess.telemetry/"  # what may come together
_ZSTD = b"\x28\xb5\x2f\xfd"
_COLUMNS = ("point", "dt", "value", "flags", "tq")
_WORDS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


class Reading(NamedTuple):
    """One row of a telemetry message."""

    seq: int
    point: str  # "AI47"
    value: float | int | str  # raw, as the outstation sent it
    flags: int | None  # DNP3 object flags; None for variations without flags
    at_ms: int  # Unix ms, UTC
    tq: str  # synced | unsynced | skewed | gateway


def decode(payload: bytes, *, encoding: str | None = None) -> dict[str, Any]:
    """The one message in ``payload``.

    Raises:
        PayloadError: not one of our messages, or a bundle of them.
    """
    found = decode_all(payload, encoding=encoding)
    if len(found) != 1:
        refuse(f"is a bundle of {len(found)} messages: decode_all reads it")
    return found[0]


def decode_all(payload: bytes, *, encoding: str | None = None) -> list[dict[str, Any]]:
    """The messages in ``payload``: one, or those of a bundle, each in a zstd frame of its own.

    Args:
        payload: as it arrived.
        encoding: the MQTT 5 user property "encoding" if there is one; without it zstd is
            recognised by its first bytes, so MQTT 3.1.1 needs nothing.

    Raises:
        PayloadError: not our messages; drop and report it.
    """
    if encoding not in {None, "", "zstd"}:
        refuse(f"has the encoding {encoding!r}: must be zstd or none")
    if encoding == "zstd" or payload[:4] == _ZSTD:
        found = [_message(content) for content in _frames(payload)]
        if len(found) != 1 and any(not one["schema"].startswith(_BUNDLED) for one in found):
            refuse(f"is a bundle of {len(found)}: must be one message, or several of telemetry")
        return found
    if len(payload) > MAX_CONTENT:
        refuse(f"has {len(payload)} bytes: at most {MAX_CONTENT} are read")
    return [_message(payload)]


def _message(content: bytes) -> dict[str, Any]:
    try:
        message = json.loads(content)
    except (ValueError, RecursionError) as error:
        refuse(f"is not JSON: {error}")
    if not isinstance(message, dict) or not isinstance(message.get("schema"), str):
        refuse('has no "schema": not one of our messages')
    return message


def readings(message: dict[str, Any]) -> Iterator[Reading]:
    """The rows of a telemetry message, in order.

    Raises:
        PayloadError: not a telemetry message, or its columns differ in length or hold what no
            point, time or value is.
    """
    _, t0, seq = columns_of(message)
    rows = zip(*(message[name] for name in _COLUMNS), strict=True)
    for at, (point, dt, value, flags, tq) in enumerate(rows):
        if not (isinstance(point, str) and is_whole(dt) and isinstance(value, int | float | str)):
            refuse(f"has the row {(point, dt, value)!r}: must be a point, ms after t0, a value")
        if isinstance(value, str) and not point.startswith("OS"):
            value = _WORDS.get(value, value)  # noqa: PLW2901 - the word stands for this number
        yield Reading(seq + at, point, value, flags, t0 + dt, tq)


def _frames(payload: bytes) -> Iterator[bytes]:
    """The contents of all frames; ``MAX_CONTENT`` is for all of them together."""
    left, room = payload, MAX_CONTENT
    while left:
        content, left = _frame(left)
        room -= len(content)
        if room < 0:
            refuse(f"holds more than {MAX_CONTENT} bytes: no more are read")
        yield content


def _frame(payload: bytes) -> tuple[bytes, bytes]:
    """The content of the first frame, and what follows it."""
    try:
        size = zstandard.frame_content_size(payload)
        if not 0 <= size <= MAX_CONTENT:  # without a size a frame has the payload to itself
            return _decompress(payload), b""
        frame = zstandard.ZstdDecompressor(max_window_size=MAX_CONTENT).decompressobj()
        content = frame.decompress(payload)
        if not frame.eof or len(content) != size:
            refuse(f"holds {len(content)} bytes where its frame says {size}")
    except zstandard.ZstdError as error:
        refuse(f"is not zstd: {error}")
    return content, frame.unused_data


def _decompress(payload: bytes) -> bytes:
    try:
        size = zstandard.frame_content_size(payload)
        if size > MAX_CONTENT:
            refuse(f"claims {size} bytes after decompression: at most {MAX_CONTENT} are read")
        reader = zstandard.ZstdDecompressor(max_window_size=MAX_CONTENT).stream_reader(
            io.BytesIO(payload)
        )
        content = reader.read(MAX_CONTENT + 1)
    except zstandard.ZstdError as error:
        refuse(f"is not zstd: {error}")
    if len(content) > MAX_CONTENT or (size >= 0 and len(content) != size):
        refuse(f"holds {len(content)} bytes where its frame says {size}")
    return content


def columns_of(message: dict[str, Any]) -> tuple[int, int, int]:
    """``n``, ``t0`` and ``seq`` of a telemetry message whose columns fit together."""
    if not message["schema"].startswith("bess.telemetry/"):
        refuse(f"has the schema {message['schema']!r}: must be bess.telemetry")
    n, t0, seq = message.get("n"), message.get("t0"), message.get("seq")
    if not (is_whole(n) and n and is_whole(t0) and is_whole(seq)):
        refuse(f"has n = {n!r}, t0 = {t0!r}, seq = {seq!r}: must be integers, n 1 or more")
    for name in _COLUMNS:
        column = message.get(name)
        if not isinstance(column, list) or len(column) != n:
            found = len(column) if isinstance(column, list) else "no"
            refuse(f"has {found} entries in {name!r}: must be n = {n}")
    return n, t0, seq


def part_of(message: dict[str, Any], begin: int, end: int) -> dict[str, Any]:
    """Some rows of a telemetry message, as a message."""
    columns = {name: message[name][begin:end] for name in _COLUMNS}
    return {**message, **columns, "seq": message["seq"] + begin, "n": end - begin}


def text_of(message: dict[str, Any], name: str) -> str:
    """The text of this name.

    Raises:
        PayloadError: it is not there, or no text.
    """
    value = message.get(name)
    if not isinstance(value, str):
        refuse(f"has {name} = {value!r}: must be text")
    return value


def is_whole(value: object) -> TypeGuard[int]:
    """Whether it is an integer, 0 or more."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def refuse(text: str) -> NoReturn:
    """Say what is wrong with a payload."""
    wrong = f"the payload {text}"
    raise PayloadError(wrong)
