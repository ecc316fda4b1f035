"""What a DNP3 session's supervisor is told, and what it orders. Words only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

POLLS = ("integrity", "critical", "event")
# The urgent first. "rest" is what is left of a critical poll that takes several requests.
REQUESTS = (
    "quiet",
    "clear_restart",
    "time",
    "integrity",
    "critical",
    "rest",
    "event",
    "unsolicited",
    "attributes",
)

# --- events ------------------------------------------------------------------------------------


class Started(NamedTuple):
    """Begin."""


class Stopped(NamedTuple):
    """End; nothing is tried again."""


class TcpOpened(NamedTuple):
    """The TCP connection is there."""


class TcpClosed(NamedTuple):
    """The TCP connection is gone."""


class ConnectFailed(NamedTuple):
    """The TCP connection was not made."""

    text: str  # the system's words: "Connection refused"


class StraySeen(NamedTuple):
    """A frame arrived between link addresses that are not this session's."""

    source: int
    destination: int


class NoiseSeen(NamedTuple):
    """Octets arrived that are no link frame."""

    text: str


class IinSeen(NamedTuple):
    """Internal indications arrived that differ from the last ones."""

    iin: int


class TaskEnded(NamedTuple):
    """opendnp3 ended a task.

    ``task``: startup | disable_unsolicited | enable_unsolicited | request.
    """

    task: str
    ok: bool
    answered: bool
    cause: str
    more: bool = False  # of a read: it goes on with another request, when its turn comes again
    refused: bool = False  # the outstation says that it does not know what was asked


class LinkChecked(NamedTuple):
    """The link status request was answered, or was not."""

    ok: bool


class PollAsked(NamedTuple):
    """The core, or an operator, wants a read now."""

    kind: str


class OperateAsked(NamedTuple):
    """One more control waits in the shell's queue."""


class ZeroDemanded(NamedTuple):
    """Zero is owed to the battery, or none is any more; ``drops``: it may drop the connection."""

    on: bool
    drops: bool = True


class RenewAsked(NamedTuple):
    """Commissioning wants to know how long a new connection takes."""


class Ticked(NamedTuple):
    """Time went by."""


Event = (
    Started
    | Stopped
    | TcpOpened
    | TcpClosed
    | ConnectFailed
    | StraySeen
    | NoiseSeen
    | IinSeen
    | TaskEnded
    | LinkChecked
    | PollAsked
    | OperateAsked
    | ZeroDemanded
    | RenewAsked
    | Ticked
)


# --- orders ------------------------------------------------------------------------------------


class Connect(NamedTuple):
    """Make a new channel and open it."""


class Disconnect(NamedTuple):
    """Close and drop the channel.

    ``keep``: a zero or a stop that was handed over and not started shall wait again, not fail.
    """

    keep: bool = False


class CheckLink(NamedTuple):
    """Send REQUEST LINK STATUS; answer with ``LinkChecked``."""


class Request(NamedTuple):
    """One request. ``kind`` is one of ``REQUESTS``, or operate, or all_events (without a count)."""

    kind: str


class TellUp(NamedTuple):
    """Tell the core: up."""


class TellDown(NamedTuple):
    """Tell the core: down, or still not up for another reason than before."""

    cause: str


class TellPoll(NamedTuple):
    """Tell the core: a read ended."""

    kind: str
    ok: bool
    cause: str


class TellIin(NamedTuple):
    """Tell the core: the indications changed."""

    iin: int


class FailOperations(NamedTuple):
    """Give the waiting controls back: they were not sent. ``keep``: but zero and stop wait on."""

    cause: str
    keep: bool = False


class TellDropped(NamedTuple):
    """Tell the core: the connection was dropped on purpose, and is being made again."""

    cause: str


class TellRemade(NamedTuple):
    """Tell the core: the connection that was dropped on purpose can be used again."""

    took_s: float


class TellHeld(NamedTuple):
    """Tell the core: a zero or a stop waits, and no connection is dropped for it; "": no more."""

    cause: str


class CountAges(NamedTuple):
    """What waited at the outstation has been read: from now on old times are suspicious."""


Order = (
    Connect
    | Disconnect
    | CheckLink
    | Request
    | TellUp
    | TellDown
    | TellPoll
    | TellIin
    | FailOperations
    | TellDropped
    | TellRemade
    | TellHeld
    | CountAges
)


# --- state -------------------------------------------------------------------------------------


class Instant(NamedTuple):
    """The instant of an event, and what the shell knows without being asked."""

    s: float  # monotonic seconds
    heard_s: float  # when the last response of this outstation arrived; 0 if never
    luck: float  # 0..1, drawn anew each time: the jitter of the back-off
    waiting: int = 0  # controls in the shell's queue
    urgent_s: float = math.inf  # since when a zero or a stop waits to be sent; inf: none does
    first: bool = False  # one of them goes before any read
    stop_s: float = math.inf  # from when on power that opendnp3 has must be stopped, if it can be


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """A session's settings, as far as they decide anything. All in seconds but the flags."""

    outstation_address: int
    master_address: int
    response_timeout_s: float
    event_poll_s: float
    integrity_poll_s: float
    critical_poll_s: float | None  # None: no critical points
    link_check_s: float
    unsolicited: bool
    time_sync: bool  # whether NEED_TIME is answered


class SessionPhase(Enum):
    """Where the session stands."""

    IDLE = "idle"  # not started, or stopped
    WAITING = "waiting"  # no connection until ``until_s``
    CONNECTING = "connecting"  # TCP connect under way, given up at ``until_s``
    STARTING = "starting"  # connected; the first integrity poll has not succeeded
    UP = "up"  # polled; the core has been told


class Attributes(Enum):
    """Whether to read group 0 on this connection."""

    ASK = "ask"  # not yet
    ASKED = "asked"  # sent; if the connection ends before an answer, never again
    ANSWERED = "answered"  # read, or refused
    NEVER = "never"  # the outstation fell silent or hung up on it


class Counting(Enum):
    """Whether event reads ask for a limited count of events."""

    ASK = "ask"  # not tried yet
    ASKED = "asked"  # sent; if the connection ends before an answer, never again
    TAKEN = "taken"  # answered
    NOT_HERE = "not here"  # refused, or not answered, on this connection
    NEVER = "never"  # the outstation hung up on it


@dataclass(frozen=True, slots=True)
class SessionState:
    """One session. ``_s`` are monotonic seconds."""

    phase: SessionPhase = SessionPhase.IDLE
    since_s: float = 0.0  # when the phase was entered
    until_s: float = 0.0  # WAITING, CONNECTING: when it ends
    look_at_s: float | None = None  # when a Ticked is due
    attempt: int = 0  # back-off exponent
    reported: str | None = None  # cause of TellDown the core heard last; None: none, or it is up
    stray: StraySeen | None = None
    noise: str = ""
    iin: int = 0  # of this connection's last response that was news
    told_iin: int = 0  # those that the core heard last, over whichever connection
    busy: str = ""  # the request that opendnp3 has, or ""
    busy_s: float = 0.0  # since when
    turn: str = ""  # the last request that was handed over: the next one is of another kind
    read: str = ""  # and the last read
    other: str = ""  # and the last one that was no critical read
    zero: bool = False  # the control that was handed over last begins a zero or a stop
    hold_s: float = float("-inf")  # no read begins before: the rest of that zero may follow
    wanted: frozenset[str] = frozenset()
    told: bool = False  # the core believes that the session is up
    dropped: bool = False  # CONNECTING: again and at once, so that zero and stop wait for it
    drops: tuple[float, ...] = ()  # when the connection was dropped for a zero that waited, of late
    demand_drops: int = 0  # of them, since zero was demanded
    dropped_s: float | None = None  # when it was dropped last; None: it was used since
    demanded: bool = False  # zero is owed
    drops_for_zero: bool = True  # one that waits may drop the connection
    held: bool = False  # the core was told that a zero or a stop waits without a drop
    event_at_s: float = 0.0
    integrity_at_s: float = 0.0
    critical_at_s: float = 0.0
    check_at_s: float = 0.0
    checking_s: float | None = None  # when the pending link check was sent
    link_failures: int = 0
    poll_failures: int = 0
    overflow_at_s: float = float("-inf")  # last integrity poll because of an overflow
    restart_at_s: float = float("-inf")  # last time a restart was acknowledged
    time_at_s: float = float("-inf")  # last time the outstation's clock was set
    live: bool = False  # what waited at the outstation has been read
    attributes: Attributes = Attributes.ASK
    counting: Counting = Counting.ASK
