"""What one command is to do, and what the executor says and is told. Words, and how a job is made.

A job is complete: the executor needs nothing else to know what to write, how fast, until when.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from gateway.control.execution.plan import (
    REVERSION_S,
    PlanError,
    Write,
    prepare_writes,
    preparing_writes,
    reserve_write,
    switch_write,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.control.commands.command import Command
    from gateway.control.commands.reasons import ResultState
    from gateway.control.rules.limits import Ceiling
    from gateway.control.rules.percent_base import Base
    from gateway.measured import Measured
    from gateway.points.pointmap import PointsMap
    from gateway.ports import Control, Outcome

DEADBAND_SHARE = 0.01  # of nameplate


class Aftermath(StrEnum):
    """What else a failure means."""

    IDLE = "idle"  # demand idle
    LOCAL = "local"  # the site has the authority: no writes
    YIELD = "yield"  # another master has it: no writes
    SUSPECT = "suspect"  # the points map is in doubt: control off, and idle


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One command on its way to the field. ``power_w`` None: a mode, a reserve, a reset."""

    id: str
    points_map: PointsMap
    base: Base
    before: tuple[Write, ...]  # in the map's order, up to the setpoint
    after: tuple[Write, ...]  # in the map's order, behind it
    power_w: float | None  # W, already inside the limits
    start_w: float  # setpoint in force before, W
    ramp_w_per_s: float | None  # for stepping; None where the RTAC ramps, or nobody
    rtac_ramp_s: float  # how long the RTAC's ramp will take; 0 where we step
    duration_s: float | None
    expires_at: float  # monotonic s: no first output after it
    deadband_w: float
    preempted: Aftermath  # when somebody else moves the setpoint: yield, or idle
    warnings: tuple[str, ...] = ()
    prepared: frozenset[str] = frozenset()  # echoes that must agree before there is any power


def power_job(  # noqa: PLR0913 - a job is complete, so everything goes in
    command: Command,
    *,
    applied_w: float,
    start_w: float,
    ceiling_ramp_w_per_s: float,
    expires_at: float,
    points_map: PointsMap,
    of: Base,
    nameplate_w: float,
    yields: bool = True,
    reversion_s: float = REVERSION_S,
    warnings: tuple[str, ...] = (),
) -> Job:
    """Plan a power command.

    Args:
        command: a verb of power.
        applied_w: W, inside the limits.
        start_w: the setpoint that is in force, W; 0 when idle.
        ceiling_ramp_w_per_s: the site's ramp, > 0; the command's own may only be slower.
        expires_at: monotonic s.
        points_map: how to say it.
        of: what percent are of.
        nameplate_w: for the dead band.
        yields: to whoever moves the setpoint; else idle is ordered again.
        reversion_s: of the device's reversion timer, where the map has one.
        warnings: to be told with every result.

    Raises:
        PlanError: the map cannot say it.
    """
    site = ceiling_ramp_w_per_s
    ramp = min(site, command.ramp_w_per_s or site)
    control = points_map.control
    order = control.order if control is not None else ("setpoint",)
    ready = preparing_writes(points_map, ramp_w_per_s=site, of=of, reversion_s=reversion_s)
    at = order.index("setpoint") if "setpoint" in order else len(order)
    # Its points carry the site's ramp, for zero follows them: a slower one is made of steps.
    by_rtac = "ramp" in order and "ramp" in ready and ramp == site
    prepared = prepare_writes(points_map) if applied_w else ()
    return Job(
        id=command.id,
        points_map=points_map,
        base=of,
        before=(
            *prepared,
            *(write for word in order[:at] for write in ready.get(word, ())),
        ),
        after=tuple(write for word in order[at + 1 :] for write in ready.get(word, ())),
        power_w=applied_w,
        start_w=start_w,
        ramp_w_per_s=None if by_rtac else ramp,
        rtac_ramp_s=abs(applied_w - start_w) / ramp if by_rtac else 0.0,
        duration_s=float(command.duration_s or 0),
        expires_at=expires_at,
        deadband_w=deadband_w(points_map, nameplate_w),
        preempted=Aftermath.YIELD if yields else Aftermath.IDLE,
        warnings=warnings,
        prepared=frozenset(write.echo for write in prepared),
    )


def deadband_w(points_map: PointsMap, nameplate_w: float) -> float:
    """How far measured power may wander without meaning it, W."""
    power = points_map.row("power")
    return max(DEADBAND_SHARE * nameplate_w, (power.deadband if power else None) or 0.0)


def other_job(command: Command, *, expires_at: float, points_map: PointsMap, of: Base) -> Job:
    """Plan a mode, a reserve or an alarm reset.

    A mode is called by the name of the map's mode enable or of its feedback.

    Raises:
        PlanError: the map cannot say it.
    """
    if command.percent is not None:
        write = reserve_write(points_map, float(command.percent))
    elif command.mode is not None:
        if command.mode not in points_map.modes:
            message = f"mode {command.mode!r}: must be one of {points_map.modes}"
            raise PlanError(message)
        write = switch_write(points_map, "cmd_mode_enable", on=True)
    else:
        write = switch_write(points_map, "cmd_alarm_reset", on=True)
    return Job(
        id=command.id,
        points_map=points_map,
        base=of,
        before=(write,),
        after=(),
        power_w=None,
        start_w=0.0,
        ramp_w_per_s=None,
        rtac_ramp_s=0.0,
        duration_s=None,
        expires_at=expires_at,
        deadband_w=0.0,
        preempted=Aftermath.YIELD,
    )


# --- what the executor is told -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Remembered:
    """The command's id is durable, with state EXECUTING: outputs may begin."""


@dataclass(frozen=True, slots=True)
class ControlAnswered:
    """What became of the ``SendControl`` with this token."""

    token: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Unsent:
    """The ``SendControl`` with this token never left: it waited, and the limit shrank meanwhile."""

    token: int


@dataclass(frozen=True, slots=True)
class FeedbackRead:
    """The read that ``ReadFeedback`` ordered has ended; ``ok`` False: it failed."""

    ok: bool
    echoes: Mapping[str, Measured | None]


@dataclass(frozen=True, slots=True)
class Looked:
    """Time passed, and this is what the feedback (by point) and the power point say now."""

    echoes: Mapping[str, Measured | None]
    power_w: float | None  # W, good and fresh; None otherwise


@dataclass(frozen=True, slots=True)
class LimitsMoved:
    """The ceiling is now this, and percent are of that; None: of the same."""

    ceiling: Ceiling
    of: Base | None = None


@dataclass(frozen=True, slots=True)
class EndedElsewhere:
    """Somebody else ended it (watchdog, operator, a newer command), and sees to the idling."""

    state: ResultState  # ABORTED or SUPERSEDED
    cause: str


@dataclass(frozen=True, slots=True)
class DurationOver:
    """The watchdog's clock says that the duration has ended."""


Event = (
    Remembered
    | ControlAnswered
    | Unsent
    | FeedbackRead
    | Looked
    | LimitsMoved
    | EndedElsewhere
    | DurationOver
)


# --- what it orders ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SendControl:
    """Send this one control; answered by ``ControlAnswered`` with the token."""

    token: int
    control: Control
    sbo: bool
    power_w: float | None  # setpoint that it makes, W; None: it is no setpoint
    anew: bool = False  # the setpoint in force said again: what percent are of has moved


@dataclass(frozen=True, slots=True)
class ReadFeedback:
    """Read the feedback points now, once; answered by ``FeedbackRead``."""


@dataclass(frozen=True, slots=True)
class TellCloud:
    """Tell the cloud."""

    state: ResultState
    reason: str | None
    applied_w: float | None
    measured_w: float | None
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Finish:
    """The dispatch is over; what the watchdog must do about it."""

    aftermath: Aftermath
    cause: str  # duration | unknown_outcome | refused:STATUS | feedback | power | preempted | ...


@dataclass(frozen=True, slots=True)
class FeedbackDiffered:
    """An echo did not show what was written (L6: twice makes the map suspect)."""

    point: str
    expected: float | bool


@dataclass(frozen=True, slots=True)
class PowerDeviated:
    """Measured power is off the setpoint for long; the dispatch goes on."""

    power_w: float
    setpoint_w: float


Order = SendControl | ReadFeedback | TellCloud | Finish | FeedbackDiffered | PowerDeviated
