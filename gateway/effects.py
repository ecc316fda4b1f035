"""What shall be done: every order the core gives to a shell. Orders, in the imperative."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.ports import Purpose

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.checked import Site
    from gateway.ports import Control
    from gateway.streams import Batch


@dataclass(frozen=True, slots=True)
class StoreBatch:
    """Make it durable; nobody waits."""

    batch: Batch


@dataclass(frozen=True, slots=True)
class FetchRows:
    """Read up to ``limit`` rows in (prio, id) order behind the cursor, ids below ``before_id``.

    Answered by ``RowsFetched`` with the token.
    """

    token: int
    after: tuple[int, int]  # (prio, id) of the last row seen; (-1, 0) from the start
    before_id: int
    limit: int


@dataclass(frozen=True, slots=True)
class ForgetRows:
    """The broker has them: delete these ids."""

    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Publish:
    """Publish once, now; answered by ``PublishAcknowledged`` or ``PublishRefused`` at QoS 1."""

    token: int  # 0: nobody waits for an acknowledgement
    topic: str  # whole topic, prefix included
    payload: bytes
    qos: int
    retain: bool
    content_type: str = "application/json"
    encoding: str = ""  # "zstd" where the payload is compressed; an MQTT 5 user property


@dataclass(frozen=True, slots=True)
class HurryUplink:
    """Wait no longer than this between attempts to reach the broker: a lease runs; None: none."""

    within_s: float | None


@dataclass(frozen=True, slots=True)
class Poll:
    """Order a read of an asset. ``kind``: integrity | event | critical."""

    asset: str
    kind: str


@dataclass(frozen=True, slots=True)
class Operate:
    """Carry out one control now; answered by ``Operated`` with the token, once.

    It may have to wait for a request that is under way. What would leave after ``by`` does not
    leave at all: by then the reasons for which it was allowed may be gone.
    """

    asset: str
    token: int
    control: Control
    sbo: bool
    by: float = math.inf  # CLOCK_BOOTTIME s; inf: zero and stop are never too late
    purpose: Purpose = Purpose.POWER
    first: bool = False  # before any read that waits


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One row to be: who did what."""

    actor: str  # kid, "operator:NAME" or "gateway"
    event: str  # "command", "result", "watchdog", "operator", "commissioning" ...
    asset: str  # "" where it is the gateway's own
    payload: bytes  # JSON text; the chain holds its SHA-256, the log keeps it beside the row


@dataclass(frozen=True, slots=True)
class Record:
    """Append to the audit log and keep facts that survive restarts, in one transaction (FULL).

    Answered by ``Recorded`` with the token unless it is 0.
    """

    token: int
    entries: tuple[AuditEntry, ...]
    facts: Mapping[str, str | None] = field(default_factory=dict)  # None removes it
    sign: bool = False  # publish the signed head with it


@dataclass(frozen=True, slots=True)
class ForgetShipped:
    """Forget what static values were shipped last, so that each is shipped once more."""

    asset: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Reply on the control socket; a callable in ``body`` is called when it is sent, elsewhere."""

    token: int
    body: dict[str, object]


@dataclass(frozen=True, slots=True)
class Log:
    """One line for the journal. ``level`` as in logging; ``fields`` are journald's, upper case."""

    level: int
    text: str
    message_id: str = ""
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReportStatus:
    """systemd's STATUS= line."""

    text: str


@dataclass(frozen=True, slots=True)
class ApplySettings:
    """Swap to this checked site: sessions (but ``kept`` assets), uplink and queue limits."""

    site: Site
    kept: frozenset[str]


@dataclass(frozen=True, slots=True)
class Hurry:
    """This battery waits for zero, or does no more.

    While it does nothing may hold the field up for long, and nothing that moves power may leave.
    """

    asset: str
    on: bool
    drops: bool = True  # for a zero that waits the connection may be dropped


@dataclass(frozen=True, slots=True)
class Renew:
    """Drop the connection and make it again; answered by ``ConnectionRemade``.

    Commissioning orders it, where nothing is in force.
    """

    asset: str


@dataclass(frozen=True, slots=True)
class HandsOff:
    """The site has the authority over this battery, or no more.

    While it has, nothing but the heartbeat may leave.
    """

    asset: str
    on: bool


@dataclass(frozen=True, slots=True)
class GiveWay:
    """A heartbeat that waits in the field comes back: less power goes before it."""

    asset: str
    withheld: bool = False  # none may leave any more: one that goes before reads comes back, too


@dataclass(frozen=True, slots=True)
class FollowEpoch:
    """The queue counts in this epoch from now on: the last will must name it."""

    epoch: str


@dataclass(frozen=True, slots=True)
class Stop:
    """End the process with ``exit_code``; the core has drained what it could."""

    exit_code: int
    cause: str


Effect = (
    StoreBatch
    | FetchRows
    | ForgetRows
    | Publish
    | Poll
    | Operate
    | Record
    | ForgetShipped
    | Answer
    | Log
    | ReportStatus
    | ApplySettings
    | Hurry
    | HandsOff
    | GiveWay
    | Renew
    | FollowEpoch
    | HurryUplink
    | Stop
)
