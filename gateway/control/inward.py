"""What a controller begins with, and what happens inside it: each event goes through its queue."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.control.commissioning.proofs import Findings
    from gateway.control.execution.job import Event as JobEvent
    from gateway.control.execution.job import SendControl
    from gateway.control.execution.underway import Accepted
    from gateway.control.phases import Lasting
    from gateway.control.watchdog.effects import KeepPhase
    from gateway.control.watchdog.obligation import Obligation
    from gateway.control.watchdog.state import Held


@dataclass(slots=True)
class Start:
    """What a controller begins with."""

    session: str  # boot nonce
    secret: bytes = field(repr=False)  # of this boot: what the challenges are made from
    enabled: bool
    kept: KeepPhase | None
    held: Held
    tries: int  # starts, with this one, that found something in force; 0: it did not
    found: Findings  # what commissioning measured
    owed: Obligation | None  # what the disk says is in force, or was declared gone
    lasting: Lasting | None  # what the disk says of ``kept``
    newest: int  # challenge that the other assets are at
    challenge_at: float  # monotonic s of the next one


@dataclass(frozen=True, slots=True)
class TimePassed:
    """Something may be due."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An event told something that only a static read can say for certain."""


@dataclass(frozen=True, slots=True)
class LookDue:
    """The field is to be judged afresh, and the executors are to see it."""


@dataclass(frozen=True, slots=True)
class JudgeDue:
    """The interlocks are to be judged afresh."""


@dataclass(frozen=True, slots=True)
class LimitDue:
    """The limits are to be judged afresh."""


@dataclass(frozen=True, slots=True)
class LookOf:
    """The executor of this command is to see the field."""

    id: str


@dataclass(frozen=True, slots=True)
class ToJob:
    """Something happened to the executor of this command."""

    id: str
    event: JobEvent


@dataclass(frozen=True, slots=True)
class JobDurable:
    """The id of this command is durable: it may begin."""

    accepted: Accepted
    unsent_from_w: float | None = None  # the setpoint before did not leave: what is in force, W


@dataclass(frozen=True, slots=True)
class ControlWanted:
    """The executor of ``id`` wants this control to leave."""

    id: str
    order: SendControl
