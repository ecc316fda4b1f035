"""What is to be recorded and is not yet: in order, stamped, bounded. Pure.

The audit is never dropped while there is room to remember it. Beyond that, entries are counted,
and a row says how many are missing where they would have stood; facts are merged and kept.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.effects import AuditEntry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.clock import Now
    from gateway.effects import Record

MOST_BYTES = 8 << 20  # of entries remembered while the disk does not take them
CHUNK_BYTES = 1 << 20  # of entries in one transaction
_ROW_BYTES = 400  # what a row takes beside its text


@dataclass(frozen=True, slots=True)
class Stamped:
    """An entry and when it was recorded."""

    entry: AuditEntry
    at: Now


@dataclass(slots=True)
class WaitingOrder:
    """One order, or all that came after there was no more room to remember entries."""

    entries: tuple[Stamped, ...]
    facts: dict[str, str | None]
    size: int  # bytes
    token: int = 0  # 0: nobody waits, or they were told already
    lost: int = 0  # entries that were given up here
    first: Now | None = None  # of those
    last: Now | None = None

    def rows(self) -> tuple[Stamped, ...]:
        """What becomes rows: the entries, and what tells of those that are missing."""
        if not self.lost or self.first is None or self.last is None:
            return self.entries
        body = {"lost": self.lost, "from": self.first.unix_ms, "to": self.last.unix_ms}
        told = AuditEntry("gateway", "audit", "", json.dumps(body).encode())
        return (*self.entries, Stamped(told, self.last))


@dataclass(slots=True)
class AuditBacklog:
    """Every order that is not durable yet, oldest first."""

    most_bytes: int = MOST_BYTES
    orders: deque[WaitingOrder] = field(default_factory=deque)
    size: int = 0  # bytes of entries
    is_sign_asked: bool = False
    untold: list[int] = field(default_factory=list)  # tokens of orders that were given up

    def __bool__(self) -> bool:
        """Whether something is to be written."""
        return bool(self.orders)

    @property
    def entries(self) -> int:
        """How many entries wait."""
        return sum(len(order.entries) for order in self.orders)

    @property
    def lost(self) -> int:
        """How many were given up and not told of in the log yet."""
        return sum(order.lost for order in self.orders)

    def put(self, order: Record, at: Now) -> None:
        """Remember an order; beyond the limit its entries are given up, its facts never are."""
        self.is_sign_asked = self.is_sign_asked or order.sign
        entries = tuple(Stamped(_clean(entry), at) for entry in order.entries)
        size = sum(len(entry.payload) + _ROW_BYTES for entry in order.entries)
        facts = {_text(key): _optional(value) for key, value in order.facts.items()}
        last = self.orders[-1] if self.orders else None
        if last is not None and (last.first or self.size + size > self.most_bytes):
            if not last.first:
                last = WaitingOrder((), {}, 0)
                self.orders.append(last)
            last.facts.update(facts)
            last.lost += len(entries)
            last.first, last.last = last.first or at, at
            if order.token:
                self.untold.append(order.token)
            return
        self.orders.append(WaitingOrder(entries, facts, size, order.token))
        self.size += size

    def take(self, *, most_bytes: int = CHUNK_BYTES) -> list[WaitingOrder]:
        """Remove what goes into one transaction: whole orders, at least one if there is one."""
        taken: list[WaitingOrder] = []
        size = 0
        while self.orders and (not taken or size + self.orders[0].size <= most_bytes):
            taken.append(self.orders.popleft())
            size += taken[-1].size
        self.size -= size
        return taken

    def put_back(self, orders: Iterable[WaitingOrder]) -> None:
        """What could not be written goes first again; everybody in it has been told."""
        for order in reversed(list(orders)):
            order.token = 0
            self.orders.appendleft(order)
            self.size += order.size

    def refused(self) -> list[int]:
        """Tokens of those who wait; they are told, and nobody waits any more."""
        tokens = [order.token for order in self.orders if order.token]
        for order in self.orders:
            order.token = 0
        tokens += self.untold
        self.untold = []
        return tokens


def _clean(entry: AuditEntry) -> AuditEntry:
    """Text that SQLite takes: a name from the wire may hold half of a surrogate pair."""
    return AuditEntry(_text(entry.actor), _text(entry.event), _text(entry.asset), entry.payload)


def _optional(value: str | None) -> str | None:
    return None if value is None else _text(value)


def _text(value: str) -> str:
    return value.encode("utf-8", "replace").decode()
