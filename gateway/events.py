"""What happened: every event that a shell posts to the core's inbox.

Frozen values, past tense. ``at`` is the instant at which the shell saw it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gateway.checked import Site
    from gateway.clock import Now
    from gateway.points.raw import RawPoint
    from gateway.ports import Outcome
    from gateway.streams import Gap, QueueDepth, Row


class Post(Protocol):
    """What a shell may do with the core: hand it an event, from any thread. The one way in."""

    def __call__(self, event: object, /) -> None:
        """Enqueue ``event`` and return at once."""
        ...


# --- field ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SessionUp:
    """The link is open and the outstation answered its first integrity poll."""

    asset: str
    at: Now


@dataclass(frozen=True, slots=True)
class SessionDown:
    """The session is gone, or was never there. ``cause`` is for people."""

    asset: str
    cause: str
    at: Now


@dataclass(frozen=True, slots=True)
class FragmentStored:
    """These points were received; what is to be shipped of them is durable or announced as lost."""

    asset: str
    points: tuple[RawPoint, ...]
    unsolicited: bool
    at: Now
    # Monotonic s at which the request that it answers was sent; -inf where nobody asked. What is
    # static in it is younger than that.
    asked_at: float = -math.inf
    made: int = 0  # so many points more than were received: the map makes them of others


@dataclass(frozen=True, slots=True)
class FragmentLost:
    """``count`` readings reached us but not the disk: the gap is announced, a poll ordered."""

    asset: str
    count: int
    reason: str
    at: Now


@dataclass(frozen=True, slots=True)
class ConnectionDropped:
    """The pathway dropped its connection for a zero's sake, and makes it again: no ``SessionDown``.

    That follows only if the new connection is not made.
    """

    asset: str
    cause: str
    at: Now


@dataclass(frozen=True, slots=True)
class ConnectionRemade:
    """The connection that was dropped on purpose is there again: a control would be answered."""

    asset: str
    took_s: float  # since it was dropped, with all attempts that failed
    at: Now


@dataclass(frozen=True, slots=True)
class OutputHeld:
    """A zero or a stop waits, and the connection is not dropped, or not again, for it.

    ``cause`` is "" when it waits no more.
    """

    asset: str
    cause: str
    at: Now


@dataclass(frozen=True, slots=True)
class PollDone:
    """A read ended. ``kind``: startup | integrity | event | critical | attributes."""

    asset: str
    kind: str
    ok: bool
    cause: str
    at: Now
    # Of a critical one: s until the last fragment of the slowest of its requests was taken, on disk
    # too, for nothing else can be asked before; None: not known.
    answer_s: float | None = None
    missing: frozenset[str] = frozenset()  # points that it lacks, left out of the critical read


@dataclass(frozen=True, slots=True)
class IinReceived:
    """The internal indications changed. ``iin`` holds IIN1 in the low octet, IIN2 in the high.

    ``names`` are those that are set, as ``field.dnp3.iin`` spells them.
    """

    asset: str
    iin: int
    names: frozenset[str]
    at: Now


@dataclass(frozen=True, slots=True)
class AttributesRead:
    """Device attributes (group 0): variation -> text."""

    asset: str
    attributes: dict[int, str]
    at: Now


@dataclass(frozen=True, slots=True)
class Operated:
    """What became of the ``Operate`` with this token."""

    asset: str
    token: int
    outcome: Outcome
    at: Now


# --- audit ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Recorded:
    """The ``Record`` with this token is durable, or (``ok`` False) it is not and why."""

    token: int
    ok: bool
    cause: str


@dataclass(frozen=True, slots=True)
class HeadSigned:
    """The device key signed the head of the audit chain."""

    n: int  # of the last row under it
    jws: str  # compact serialization; its payload is ``audit.chain.head_payload``
    at: Now
    hash: str = ""  # of that row, hex; the log always fills it in


@dataclass(frozen=True, slots=True)
class AuditTroubled:
    """The audit log is in trouble.

    It is disk_full | failed | corrupt | unsigned | recalled, or works | signs.

    ``works`` ends ``disk_full`` and ``failed``; ``signs`` ends ``unsigned``. ``corrupt``: the file
    was set aside while it was open; no fact was lost. ``recalled``: it may be an older copy.
    """

    kind: str
    text: str
    at: Now


# --- store ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RowsStored:
    """These rows are durable, in id order. Sent for every commit that appended."""

    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class RowsFetched:
    """Answer to ``FetchRows``, in shipping order; fewer rows than asked for: there are no more."""

    token: int
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class GapsRecorded:
    """Readings were given up; the gap records are durable with the loss itself."""

    gaps: tuple[Gap, ...]


@dataclass(frozen=True, slots=True)
class QueueReported:
    """The queue's depth, after a commit that changed it (at most twice a second)."""

    depth: QueueDepth
    at: Now


@dataclass(frozen=True, slots=True)
class QueueTroubled:
    """The store is in trouble, or is no longer.

    ``kind``: disk_full, ended by disk_ok; slow and failed, by works; log_held (another program
    holds a transaction), by log_free; bound (a stream that is never dropped was), by bound_ok;
    corrupt.
    """

    kind: str
    text: str
    at: Now


# --- uplink --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BrokerUp:
    """CONNACK was positive. ``receive_max`` is the broker's Receive Maximum (65535 if unsaid)."""

    receive_max: int
    at: Now
    where: str = ""  # host:port
    refused: tuple[str, ...] = ()  # topics that we may not subscribe to
    max_packet: int = 268_435_455  # bytes of a packet that the broker takes
    chance: float = 0.0  # 0..1: by which the gateways of a fleet differ


@dataclass(frozen=True, slots=True)
class BrokerDown:
    """The MQTT connection ended or could not be made; everything in flight is unacknowledged."""

    cause: str
    at: Now
    silent: bool = False  # the broker passed PUBACKs over: we may have sent too much


@dataclass(frozen=True, slots=True)
class PublishAcknowledged:
    """PUBACK for the ``Publish`` with this token."""

    token: int
    taken: bool = False  # MQTT 5 said Success: somebody subscribes. 3.1.1 never says


@dataclass(frozen=True, slots=True)
class PublishUnheard:
    """PUBACK 0x10 for the ``Publish`` with this token: nobody subscribes to its topic."""

    token: int


@dataclass(frozen=True, slots=True)
class PublishRefused:
    """The broker answered PUBACK with a failure, or the client would not take it."""

    token: int
    cause: str
    quota: bool = False  # we sent too much; the record is as good as any


@dataclass(frozen=True, slots=True)
class MessageArrived:
    """A message on a topic we subscribe to. Nothing in it is trusted yet."""

    topic: str
    payload: bytes
    retained: bool
    at: Now


# --- the box -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LocalAsked:
    """Somebody on the control socket asks; answered by the effect ``Answer`` with this token."""

    token: int
    verb: str
    arguments: dict[str, object]
    user: str
    operator: bool  # root or a member of bess-operators, by SO_PEERCRED


@dataclass(frozen=True, slots=True)
class StopAsked:
    """SIGTERM or SIGINT."""

    cause: str


@dataclass(frozen=True, slots=True)
class ReloadAsked:
    """SIGHUP, read and checked in another process: the new site, or why there is none."""

    site: Site | None
    error: str


@dataclass(frozen=True, slots=True)
class SettingsApplied:
    """The sessions that this site replaces are closed, and its own are about to start."""

    site: Site


@dataclass(frozen=True, slots=True)
class ThreadFault:
    """A thread's guard caught an exception, or a thread fell silent: no limping."""

    thread: str
    text: str
