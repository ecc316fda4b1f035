"""Carries out one permitted command. Pure: ``handle(event, now_s)`` and ``wake_at``.

| phase | event | next |
|---|---|---|
| WAITING | the id is durable, not expired | WRITING, the first control goes out |
| WRITING | accepted | the next control; none left: STEPPING, or ECHO |
| WRITING | no answer to SELECT, status 1 or 2 | the same control once more, whole |
| WRITING | any other doubt | READING; never the control again |
| WRITING | it never left, because the limit shrank | STEPPING, a smaller setpoint |
| READING | the echo shows it | as accepted; else failed, idle |
| STEPPING | what was prepared is seen, before the first setpoint | WRITING |
| STEPPING | 2 s since the last step, and the echo shows it | WRITING, the next step of the ramp |
| ECHO | every echo agrees | POWER; without power: succeeded |
| POWER | measured power follows | HOLDING, succeeded |
| quiet | what percent are of makes the setpoint too much | WRITING, said anew, smaller, at once |
| POWER, HOLDING | or makes it other W than ordered | WRITING, said anew, 2 s after the last |
| HOLDING | the duration ends | OVER, idle |
| any | refused, too late, echo gone for 3 s, ended by others | OVER |

What a reader would get wrong: with a stepped ramp the mode is enabled after the first step and not
at the end, else the battery would jump. ``succeeded`` means verified, and the dispatch then stays
in force; when it is cut short, ``aborted`` follows. Limits only ever shrink a dispatch.
``SendControl`` is an order to the core, which sends it only while lease and interlocks hold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gateway.control.commands.reasons import ResultState
from gateway.control.execution.job import (
    Aftermath,
    ControlAnswered,
    DurationOver,
    EndedElsewhere,
    Event,
    FeedbackRead,
    Finish,
    LimitsMoved,
    Looked,
    Order,
    Remembered,
    Unsent,
)
from gateway.control.execution.progress import JobPhase, Progress, Step
from gateway.control.execution.restating import CALM
from gateway.control.execution.watching import looked, moved
from gateway.control.execution.writing import answered, begin, feedback_read, unsent

if TYPE_CHECKING:
    from gateway.control.execution.job import Job
    from gateway.control.rules.limits import Ceiling


@dataclass(frozen=True, slots=True)
class Executor:
    """One command's execution; see the table above."""

    now: Progress

    @classmethod
    def start(cls, job: Job, ceiling: Ceiling, now_s: float) -> tuple[Executor, tuple[Order, ...]]:
        """Accept ``job`` at ``now_s`` (monotonic s); its duration runs from here."""
        progress = Progress(
            job=job,
            ceiling=ceiling,
            ends_at=math.inf if job.duration_s is None else now_s + job.duration_s,
            written_w=job.start_w,
            target_w=0.0 if job.power_w is None else ceiling.clamp(job.power_w),
            unseen=frozenset() if job.start_w else job.prepared,
        )
        return cls(progress), (progress.report(ResultState.ACCEPTED),)

    @property
    def phase(self) -> JobPhase:
        """How far it is."""
        return self.now.phase

    @property
    def wake_at(self) -> float:
        """Monotonic s by which ``handle`` must be called with ``Looked``; inf when over."""
        now = self.now
        restate_at = now.restate_at if now.phase in CALM else math.inf
        return min(now.due_at, now.ends_at, restate_at)

    def handle(self, event: Event, now_s: float) -> tuple[Executor, tuple[Order, ...]]:
        """Return the next state and the orders, in order; ``now_s`` is monotonic."""
        progress, orders = _handle(self.now, event, now_s)
        return Executor(progress), orders


def _handle(now: Progress, event: Event, now_s: float) -> Step:
    match event:
        case _ if now.phase is JobPhase.OVER:
            found: Step = (now, ())
        case EndedElsewhere():
            found = (now.over(), (now.report(event.state, event.cause),))
        case _ if now_s >= now.ends_at or isinstance(event, DurationOver):
            found = _expired(now)
        case Remembered() if now.phase is JobPhase.WAITING:
            found = begin(now, now_s)
        case ControlAnswered() if now.phase is JobPhase.WRITING and event.token == now.token:
            found = answered(now, event, now_s)
        case Unsent() if now.phase is JobPhase.WRITING and event.token == now.token:
            found = unsent(now, now_s)
        case FeedbackRead() if now.phase is JobPhase.READING:
            found = feedback_read(now, event, now_s)
        case LimitsMoved():
            found = moved(now, event, now_s)
        case Looked():
            found = looked(replace(now, measured_w=event.power_w), event, now_s)
        case _:
            found = (now, ())
    return found


def _expired(now: Progress) -> Step:
    finish = Finish(Aftermath.IDLE, "duration")
    if now.verified:
        return now.over(), (finish,)
    return now.over(), (finish, now.report(ResultState.FAILED, "duration"))
