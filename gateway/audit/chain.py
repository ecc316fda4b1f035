"""The audit's hash chain: rows that only grow, and how tampering with them is found. Pure.

hash = SHA-256(prev || canonical row), where the canonical row is compact JSON with sorted keys of
every column but the hash (``asset`` only where there is one). A chain alone proves order, not
completeness: rows cut off at the end leave a good chain, and whoever can write the file can forge
a whole new one. The signed head, kept elsewhere too, is what finds both.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SCHEMA = "bess.audit/1"
GENESIS = "0" * 64  # prev of row 1
TROUBLE = "audit.trouble"  # fact: why an older log was set aside; removed by an operator's reset


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """One row."""

    n: int  # from 1, +1 each
    ts: int  # Unix ms
    mono: int  # ms of CLOCK_BOOTTIME
    actor: str  # kid, "operator:NAME" or "gateway"
    event: str
    payload: str  # SHA-256 of the payload, hex
    prev: str  # hash of the row before, hex
    hash: str
    asset: str = ""  # "" where it is the gateway's own


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain ends: what is signed."""

    n: int  # 0: before the first row
    hash: str


START = Head(0, GENESIS)


def appended(
    head: Head, *, ts: int, mono: int, actor: str, event: str, payload: bytes, asset: str = ""
) -> tuple[Head, AuditRow]:
    """The row that follows ``head``, and the head that it makes.

    Args:
        head: of the chain so far.
        ts: Unix ms.
        mono: ms of CLOCK_BOOTTIME.
        actor: who did it.
        event: what happened.
        payload: the bytes it was about; only their hash is kept here.
        asset: which battery it was about, if one.
    """
    row = AuditRow(
        n=head.n + 1,
        ts=ts,
        mono=mono,
        actor=actor,
        event=event,
        payload=hashlib.sha256(payload).hexdigest(),
        prev=head.hash,
        hash="",
        asset=asset,
    )
    sealed = replace(row, hash=row_hash(row))
    return Head(sealed.n, sealed.hash), sealed


def row_hash(row: AuditRow) -> str:
    """SHA-256(prev || canonical row), hex."""
    return hashlib.sha256(row.prev.encode("utf-8", "surrogatepass") + canonical(row)).hexdigest()


def canonical(row: AuditRow) -> bytes:
    """The row less its hash, as compact JSON with sorted keys; an empty asset is left out."""
    columns = {one.name: getattr(row, one.name) for one in fields(row) if one.name != "hash"}
    if not row.asset:
        del columns["asset"]
    return json.dumps(columns, sort_keys=True, separators=(",", ":")).encode("ascii")


class Tampering(StrEnum):
    """How a row betrays that somebody was here."""

    EDITED = "edited"  # its hash is not that of its columns
    REMOVED = "removed"  # numbers are missing before it
    REORDERED = "reordered"  # its number is not above the one before
    RELINKED = "relinked"  # it does not follow the row before
    TRUNCATED = "truncated"  # the signed head lies behind the last row
    FORGED = "forged"  # the row at the signed head has another hash: rewritten as a whole


@dataclass(frozen=True, slots=True)
class ChainFinding:
    """One thing wrong with a chain."""

    kind: Tampering
    n: int  # of the row at which it shows
    text: str


def verify_chain(
    rows: Iterable[AuditRow], head: Head, *, anchor: Head = START
) -> tuple[ChainFinding, ...]:
    """Everything wrong with ``rows``; empty if nothing is.

    Args:
        rows: as they stand in the log, oldest first.
        head: the newest signed one; rows behind it are held by the chain alone.
        anchor: where the log begins: ``START``, or the signed head before rows that were let go
            after 400 days.
    """
    return tuple(_findings(rows, head, anchor))


def _findings(rows: Iterable[AuditRow], head: Head, anchor: Head) -> Iterator[ChainFinding]:
    last = anchor
    at_head = anchor.hash if anchor.n == head.n else None
    for row in rows:
        if row.n <= last.n:
            yield ChainFinding(
                Tampering.REORDERED, row.n, f"row {row.n} stands behind row {last.n}"
            )
        elif row.n > last.n + 1:
            text = _missing(last.n + 1, row.n - 1)
            yield ChainFinding(Tampering.REMOVED, row.n, text)
        elif row.prev != last.hash:
            yield ChainFinding(
                Tampering.RELINKED, row.n, f"row {row.n} does not follow row {last.n}"
            )
        if row.hash != row_hash(row):
            yield ChainFinding(Tampering.EDITED, row.n, f"row {row.n} is not what was written")
        if row.n == head.n:
            at_head = row.hash
        last = Head(row.n, row.hash)
    if at_head is not None and at_head != head.hash:
        text = f"row {head.n} is not the one that was signed"
        yield ChainFinding(Tampering.FORGED, head.n, text)
    elif at_head is None:
        text = f"ends at row {last.n}: the signed head is row {head.n}"
        yield ChainFinding(Tampering.TRUNCATED, last.n, text)


def _missing(first: int, last: int) -> str:
    return f"row {first} is missing" if first == last else f"rows {first}..{last} are missing"


def head_payload(head: Head, gateway: str, *, ts: int) -> bytes:
    """What the device key signs: hourly, and on every command. ``ts`` is Unix ms."""
    claims = {"schema": SCHEMA, "gateway": gateway, "n": head.n, "hash": head.hash, "ts": ts}
    return json.dumps(claims, sort_keys=True, separators=(",", ":")).encode("ascii")
