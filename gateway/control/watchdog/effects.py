"""What the watchdog orders. Every write carries a token and is answered by ``WriteDone``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.control.phases import Phase
    from gateway.control.watchdog.words import Cause


@dataclass(frozen=True, slots=True)
class WriteIdle:
    """Order zero active power; answered by ``WriteDone`` with the token, as every write is."""

    token: int
    beat: int | None = None  # feed the dead-man with it right before, and nothing between


@dataclass(frozen=True, slots=True)
class WriteSetpoint:
    """Order this power, W, + discharging. Frames of it still unsent die with ``Abort``."""

    token: int
    command_id: str
    setpoint_w: float


@dataclass(frozen=True, slots=True)
class WriteHeartbeat:
    """Feed the RTAC's dead-man."""

    token: int
    value: int


@dataclass(frozen=True, slots=True)
class RefreshReversion:
    """Start the device's reversion timer anew."""

    token: int


@dataclass(frozen=True, slots=True)
class WriteStop:
    """Stop the battery: a pulse; once more only if it certainly did not operate."""

    token: int
    again: bool = False  # behind a zero that waits


@dataclass(frozen=True, slots=True)
class ReadEcho:
    """Poll the feedback now: an accepted zero waits for it."""


@dataclass(frozen=True, slots=True)
class IssueChallenge:
    """Publish challenge ``number`` of ``session``; its lease runs from this very instant."""

    session: str
    number: int


@dataclass(frozen=True, slots=True)
class KeepPhase:
    """Make it durable: ``phase`` is LATCHED, ESTOP, LOCAL (yielded), or None to forget them."""

    phase: Phase | None
    stop_owed: bool  # the stop was not sent yet
    stop_unknown: bool = False  # it was, and nobody knows yet whether it operated


@dataclass(frozen=True, slots=True)
class KeepGroup:
    """Make it durable that zero, beat, zero was ordered as a group; answered by ``GroupKept``.

    ``used`` False: forget it; nobody waits.
    """

    used: bool


@dataclass(frozen=True, slots=True)
class KeepForce:
    """Make it durable: an operator declared that nothing is in force, or it was not so."""

    declared: bool


@dataclass(frozen=True, slots=True)
class ForgetForce:
    """Nothing is in force: make it durable; answered by ``ForceForgotten``."""


@dataclass(frozen=True, slots=True)
class PowerStays:
    """Zero was accepted and echoed, and measured power is not gone in time."""

    power_w: float | None  # None: it cannot be read
    withheld: bool  # it looks like our setpoint: no heartbeat feeds it


@dataclass(frozen=True, slots=True)
class PowerDrifts:
    """In IDLE measured power is not at zero for long; nobody may arm."""

    power_w: float


@dataclass(frozen=True, slots=True)
class DeadmanFailed:
    """No heartbeat was written for W and 5 s, and what may be ours has not gone."""

    silent_s: float
    echo_w: float | None  # None: it reads zero, and power does not
    power_w: float | None


@dataclass(frozen=True, slots=True)
class PhaseChanged:
    """For journal, event stream and audit."""

    before: Phase
    after: Phase
    cause: Cause
    detail: str


@dataclass(frozen=True, slots=True)
class Abort:
    """The dispatch is over: not one frame more of it."""

    command_id: str
    cause: Cause


@dataclass(frozen=True, slots=True)
class Refuse:
    """The order did nothing."""

    command_id: str
    cause: Cause
    detail: str


@dataclass(frozen=True, slots=True)
class Carried:
    """The order ``arm``, ``idle`` or ``estop`` took effect."""

    command_id: str
    warning: str = ""  # what whoever ordered it must know


@dataclass(frozen=True, slots=True)
class StopUnknown:
    """Nobody knows whether the stop operated; it is not repeated."""


@dataclass(frozen=True, slots=True)
class MayExit:
    """The process may end."""

    verified: bool  # zero is in force


Effect = (
    WriteIdle
    | WriteSetpoint
    | WriteHeartbeat
    | RefreshReversion
    | WriteStop
    | ReadEcho
    | IssueChallenge
    | KeepPhase
    | KeepGroup
    | KeepForce
    | ForgetForce
    | PowerStays
    | PowerDrifts
    | DeadmanFailed
    | StopUnknown
    | PhaseChanged
    | Abort
    | Refuse
    | Carried
    | MayExit
)
