"""Rows of the table ``audit``, there and back. Pure.

SQLite keeps whatever somebody put into a column; what is not of the column's type is read as
text, so that the row's hash does not fit it and ``verify`` says so.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.audit.chain import AuditRow, Head

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class SignedHead:
    """A head and what the device key said of it."""

    head: Head
    ts: int  # Unix ms
    jws: str


def columns_of(row: AuditRow, body: bytes) -> tuple[object, ...]:
    """A row as the table has it. A text that is no UTF-8 is kept as the bytes that it is."""
    try:
        text: str | bytes = body.decode()
    except UnicodeDecodeError:
        text = body
    return (
        *(row.n, row.ts, row.mono, row.actor, row.event),
        *(row.payload, row.prev, row.hash, row.asset, text),
    )


def row_of(columns: Sequence[object]) -> AuditRow:
    """The chain's part of a row."""
    n, ts, mono, actor, event, payload, prev, hash_, asset = columns[:9]
    return AuditRow(
        n=_number(n),
        ts=_number(ts),
        mono=_number(mono),
        actor=_text(actor),
        event=_text(event),
        payload=_text(payload),
        prev=_text(prev),
        hash=_text(hash_),
        asset=_text(asset),
    )


def body_of(columns: Sequence[object]) -> bytes:
    """The text beside a row, as it was recorded."""
    body = columns[9]
    return body if isinstance(body, bytes) else _text(body).encode("utf-8", "surrogatepass")


def digest(body: bytes) -> str:
    """What ``payload`` must be, hex."""
    return hashlib.sha256(body).hexdigest()


def head_text(head: Head) -> str:
    """A head as its mark has it."""
    return json.dumps({"n": head.n, "hash": head.hash})


def read_head(text: str) -> Head:
    """The head in a mark.

    Raises:
        ValueError, KeyError, TypeError: it is none.
    """
    found = json.loads(text)
    return Head(int(found["n"]), str(found["hash"]))


def _number(value: object) -> int:
    # -1 was never written: time and number are above it, and the hash will not fit.
    return value if isinstance(value, int) else -1


def _text(value: object) -> str:
    return value if isinstance(value, str) else f"{type(value).__name__} {value!r}"
