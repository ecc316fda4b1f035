"""How far one command's execution is: the executor's state, and how it ends."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import TYPE_CHECKING

from gateway.control.commands.reasons import ResultState
from gateway.control.execution.job import Aftermath, Finish, Job, Order, TellCloud

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.control.execution.plan import Write
    from gateway.control.rules.limits import Ceiling
    from gateway.control.rules.percent_base import Base

STEP_S = 2.0  # between two setpoints, at least


class JobPhase(Enum):
    """How far the command is."""

    WAITING = auto()  # its id is not durable yet: no output
    WRITING = auto()  # one control is out and not answered
    READING = auto()  # its outcome is unknown: the feedback is being read, once
    STEPPING = auto()  # between two setpoints: of a ramp, or to a smaller one
    ECHO = auto()  # everything written; the echoes must agree
    POWER = auto()  # they do; the measured power must follow
    HOLDING = auto()  # verified and in force
    OVER = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """State of one execution. All times are monotonic seconds."""

    job: Job
    ceiling: Ceiling
    phase: JobPhase = JobPhase.WAITING
    ends_at: float = math.inf  # the duration's end
    due_at: float = math.inf  # of what the phase waits for
    queue: tuple[Write, ...] = ()  # the first is out in WRITING and READING
    sending_w: float | None = None  # setpoint that the queue makes, W; None: it makes none
    written_w: float = 0.0  # last setpoint accepted, W
    target_w: float = 0.0  # the setpoint to reach, W; its magnitude only ever shrinks
    written_at: float = -math.inf  # when a setpoint was last sent
    made: Mapping[str, Write] = field(default_factory=dict)  # echo point -> last write accepted
    unseen: frozenset[str] = frozenset()  # echoes that must agree before the first setpoint
    seen_by: float = math.inf  # and when
    retried: bool = False  # the first of the queue was sent again
    entered: bool = False  # the writes behind the setpoint (mode enable) were ordered
    verified: bool = False
    differs_since: float | None = None  # the setpoint's echo has moved away from our value
    unread_until: float = math.inf  # so long an echo that is late may stay unread
    beyond_since: float | None = None  # measured power is where it must not be
    deviates_since: float | None = None  # it is off
    deviates: bool = False  # and that was told
    measured_w: float | None = None
    token: int = 0
    moved_of: Base | None = None  # what percent are of now, where that has moved
    restate_at: float = math.inf  # when the setpoint in force may be said anew, if it is quiet

    @property
    def of(self) -> Base:
        """What percent are of."""
        return self.moved_of or self.job.base

    def report(self, state: ResultState, reason: str | None = None) -> TellCloud:
        """What the cloud is told now."""
        applied_w = None if self.job.power_w is None else self.target_w
        return TellCloud(state, reason, applied_w, self.measured_w, self.job.warnings)

    def over(self) -> Progress:
        """Nothing more will be done."""
        return replace(self, phase=JobPhase.OVER, due_at=math.inf, ends_at=math.inf, queue=())

    def is_within(self, power_w: float) -> bool:
        """Whether the ceiling still allows ``power_w``."""
        return self.ceiling.clamp(power_w) == power_w


Step = tuple[Progress, tuple[Order, ...]]


def failed(
    now: Progress, cause: str, aftermath: Aftermath = Aftermath.IDLE, *, doubt: bool = True
) -> Step:
    """End ``now`` badly.

    Args:
        now: the state before.
        cause: for the cloud and the journal.
        aftermath: what else it means.
        doubt: whether an output may be in force that nobody knows; without it, a command that
            is no setpoint does not idle the battery.
    """
    state = ResultState.ABORTED if now.verified else ResultState.FAILED
    report = now.report(state, cause)
    if now.job.power_w is None and aftermath is Aftermath.IDLE and not doubt:
        return now.over(), (report,)
    return now.over(), (Finish(aftermath, cause), report)
