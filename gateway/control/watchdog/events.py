"""What the watchdog is told. Past tense; ``at_s`` and ``start_by_s`` are monotonic seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.control.watchdog.words import WriteKind, WriteResult


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed; wanted at ``wake_at`` and every 0.25 s."""


@dataclass(frozen=True, slots=True)
class SessionReady:
    """The outstation answered its first integrity poll; what that poll read was told before."""


@dataclass(frozen=True, slots=True)
class SessionLost:
    """The session is gone."""


@dataclass(frozen=True, slots=True)
class Restarted:
    """IIN1.7: the outstation restarted and may have resumed anything."""


@dataclass(frozen=True, slots=True)
class LocalSeen:
    """The local switch, IIN1.5, or another authority: tell at every fresh read."""

    elsewhere: bool = False  # only the authority's point says so: another master has it


@dataclass(frozen=True, slots=True)
class RemoteSeen:
    """The authority is ours: tell at every fresh read, so that LOCAL is left at once."""


@dataclass(frozen=True, slots=True)
class EchoRead:
    """The setpoint's feedback, W, + discharging, received at ``at_s`` (monotonic s)."""

    value_w: float
    at_s: float


@dataclass(frozen=True, slots=True)
class PowerRead:
    """Measured power, W, + discharging, in a static read that was asked for at ``at_s``."""

    value_w: float
    at_s: float


@dataclass(frozen=True, slots=True)
class DerHeartbeatRead:
    """The RTAC's own counter, for ``Heartbeat.ECHO``."""

    value: int


@dataclass(frozen=True, slots=True)
class InterlocksChanged:
    """Those that do not hold; none: clear. Lease and session are the watchdog's own affair."""

    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LimitsChanged:
    """What may be asked for now, W >= 0 each way."""

    charge_w: float
    discharge_w: float


@dataclass(frozen=True, slots=True)
class HeartbeatVerified:
    """A heartbeat whose signature and role are good; what it answers is not judged yet."""

    session: str
    challenge: int


@dataclass(frozen=True, slots=True)
class ArmOrdered:
    """A verified ``arm``."""

    command_id: str


@dataclass(frozen=True, slots=True)
class IdleOrdered:
    """A verified ``idle``, ``disarm`` or ``release``, or an operator's word."""

    command_id: str  # "" from the box


@dataclass(frozen=True, slots=True)
class DispatchAccepted:
    """A verified, approved, clamped power command, its dedupe row durable."""

    command_id: str
    setpoint_w: float  # first step of the ramp, + discharging
    duration_s: float  # 0 < duration_s <= max_dispatch_s, from now
    start_by_s: float  # monotonic second at which the command expires


@dataclass(frozen=True, slots=True)
class SetpointWanted:
    """Another step of the dispatch in force: a ramp, or a smaller limit."""

    command_id: str
    setpoint_w: float


@dataclass(frozen=True, slots=True)
class SetpointAnswered:
    """The executor's write of the setpoint in force was accepted."""

    command_id: str
    at_s: float  # monotonic s at which its answer came


@dataclass(frozen=True, slots=True)
class DispatchFailed:
    """The executor could not verify it: feedback or power differ."""

    command_id: str
    detail: str


@dataclass(frozen=True, slots=True)
class ForceBegun:
    """A record was ordered that says that a setpoint may be in force: an obligation from now on."""

    setpoint_w: float | None  # None: a mode or reserve, which may move power as well


@dataclass(frozen=True, slots=True)
class ForceUnused:
    """The command for which it was recorded ended before its first frame."""


@dataclass(frozen=True, slots=True)
class ForceForgotten:
    """What became of ``ForgetForce``."""

    ok: bool


@dataclass(frozen=True, slots=True)
class GroupKept:
    """What became of ``KeepGroup``."""

    ok: bool


@dataclass(frozen=True, slots=True)
class ZeroChosen:
    """An operator says by which rows zero is written, and so begins the demand anew."""


@dataclass(frozen=True, slots=True)
class ZeroDeclared:
    """An operator visited the site and declares that nothing is in force."""

    elsewhere: bool = False  # it was written to another endpoint


@dataclass(frozen=True, slots=True)
class WriteDone:
    """What became of the write with this token."""

    kind: WriteKind
    token: int
    result: WriteResult
    at_s: float | None = None  # monotonic s at which its answer came; None: now


@dataclass(frozen=True, slots=True)
class OtherMasterSeen:
    """A power frame was refused because another master has the outputs: yield, or idle."""


@dataclass(frozen=True, slots=True)
class EstopOrdered:
    """By a command of role emergency, or on the box."""

    command_id: str  # "" from the box


@dataclass(frozen=True, slots=True)
class ResetByOperator:
    """``reset`` on the box."""


@dataclass(frozen=True, slots=True)
class ControlEnabled:
    """Everything that control requires is there."""


@dataclass(frozen=True, slots=True)
class ControlDisabled:
    """By an operator, or because something that control requires is gone."""


@dataclass(frozen=True, slots=True)
class HeartbeatsHeld:
    """Dead-man test: withhold the RTAC heartbeat for so long."""

    hold_s: float


@dataclass(frozen=True, slots=True)
class StopOrdered:
    """SIGTERM: idle, verify, then ``MayExit``."""


Event = (
    Tick
    | SessionReady
    | SessionLost
    | Restarted
    | LocalSeen
    | RemoteSeen
    | EchoRead
    | PowerRead
    | DerHeartbeatRead
    | InterlocksChanged
    | LimitsChanged
    | HeartbeatVerified
    | ArmOrdered
    | IdleOrdered
    | DispatchAccepted
    | SetpointWanted
    | SetpointAnswered
    | DispatchFailed
    | ForceBegun
    | ForceUnused
    | ForceForgotten
    | GroupKept
    | ZeroChosen
    | ZeroDeclared
    | WriteDone
    | OtherMasterSeen
    | EstopOrdered
    | ResetByOperator
    | ControlEnabled
    | ControlDisabled
    | HeartbeatsHeld
    | StopOrdered
)
