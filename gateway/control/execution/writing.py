"""The executor's outputs: which control goes next, and what its outcome means. Pure."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.control.commands.reasons import ResultState
from gateway.control.execution.job import Aftermath, ControlAnswered, ReadFeedback, SendControl
from gateway.control.execution.outcomes import PowerNext, after_power
from gateway.control.execution.plan import PlanError, Write, power_writes
from gateway.control.execution.progress import STEP_S, JobPhase, Progress, Step, failed
from gateway.control.execution.restating import is_beyond, scheduled
from gateway.ports import OutcomeKind

if TYPE_CHECKING:
    from gateway.control.execution.job import FeedbackRead

READ_S = 5.0  # for the one read after an unknown outcome
OUTCOME_S = 60.0  # the pathway always answers; if it does not, the outcome is unknown
_AFTERMATH = {
    PowerNext.FAIL: Aftermath.IDLE,
    PowerNext.FAIL_LOCAL: Aftermath.LOCAL,
    PowerNext.FAIL_YIELD: Aftermath.YIELD,
    PowerNext.FAIL_SUSPECT: Aftermath.SUSPECT,
}


def begin(now: Progress, now_s: float) -> Step:
    """Send the first control, unless the command has expired by now."""
    if now_s > now.job.expires_at:
        return now.over(), (now.report(ResultState.EXPIRED, "expired"),)
    after, orders = go_on(now, now.job.before, now_s)
    if after.phase is JobPhase.OVER:
        return after, orders
    return after, (now.report(ResultState.EXECUTING), *orders)


def go_on(now: Progress, queue: tuple[Write, ...], now_s: float) -> Step:
    """Send the first of ``queue``; where it is empty, go on to the setpoint, or verify."""
    if queue:
        return _send(replace(now, queue=queue, retried=False), now_s)
    now = replace(now, queue=())
    if now.sending_w is not None:
        now = replace(now, written_w=now.sending_w, sending_w=None)
        # The mode is enabled behind the first setpoint, and only if that is still allowed.
        if not now.entered and now.is_within(now.written_w):
            return go_on(replace(now, entered=True), now.job.after, now_s)
    if now.job.power_w is not None:
        now = scheduled(now)
        if not now.entered or now.written_w != now.target_w or is_beyond(now):
            return step(now, now_s)
    longest_s = max((write.verify_s for write in now.made.values()), default=0.0)
    due_at = now_s + longest_s
    return replace(now, phase=JobPhase.ECHO, due_at=due_at, unread_until=math.inf), ()


def step(now: Progress, now_s: float) -> Step:
    """Write the next setpoint, or wait until it may be written."""
    if now.unseen:
        return _see(now, now_s)
    try:
        gap_s, beyond = max(STEP_S, *(one.gap_s for one in _writes(now, 0.0))), is_beyond(now)
        if now_s < now.written_at + gap_s and not beyond:
            return replace(now, phase=JobPhase.STEPPING, due_at=now.written_at + gap_s), ()
        wanted_w = now.ceiling.clamp(now.written_w) if beyond else _next_w(now, gap_s)
        writes = _writes(now, wanted_w)
    except PlanError as error:
        return failed(now, f"unsupported: {error}", doubt=now.written_w != 0)
    return go_on(replace(now, sending_w=wanted_w), writes, now_s)


def _see(now: Progress, now_s: float) -> Step:
    """Wait until what was prepared is seen; it is read at once."""
    waits = replace(now, phase=JobPhase.STEPPING, due_at=now_s)
    if not math.isinf(now.seen_by):
        return waits, ()
    longest_s = max(now.made[echo].verify_s for echo in now.unseen)
    return replace(waits, seen_by=now_s + longest_s), (ReadFeedback(),)


def _writes(now: Progress, power_w: float) -> tuple[Write, ...]:
    """The controls of a setpoint, less the other direction's zero that this job has written."""
    writes = power_writes(now.job.points_map, power_w, now.of, carries_w=now.written_w)
    if power_w * now.written_w <= 0:
        return writes
    return tuple(one for one in writes if one.expected != 0 or now.made.get(one.echo) != one)


def _next_w(now: Progress, gap_s: float) -> float:
    """The next step of the ramp, never above the ceiling."""
    ramp = now.job.ramp_w_per_s
    rest_w = now.target_w - now.written_w
    if ramp is None or abs(rest_w) <= ramp * gap_s:
        return now.target_w
    return now.ceiling.clamp(now.written_w + math.copysign(ramp * gap_s, rest_w))


def _send(now: Progress, now_s: float) -> Step:
    write = now.queue[0]
    sent = replace(
        now,
        phase=JobPhase.WRITING,
        token=now.token + 1,
        due_at=now_s + OUTCOME_S,
        written_at=now.written_at if now.sending_w is None else now_s,
    )
    anew = sent.sending_w is not None and sent.sending_w == sent.written_w
    sbo = write.sbo or sent.retried
    order = SendControl(sent.token, write.control, sbo, sent.sending_w, anew=anew)
    return sent, (order,)


def answered(now: Progress, event: ControlAnswered, now_s: float) -> Step:
    """Follow the retry table."""
    write, outcome = now.queue[0], event.outcome
    found = after_power(outcome, retried=now.retried, pulse=write.once)
    if found is PowerNext.GO_ON:
        return _accepted(now, now_s)
    if found is PowerNext.READ:
        return read_back(now, now_s)
    if found is PowerNext.RETRY:
        if _outgrown(now, now.queue):
            return failed(now, "limit")
        return _send(replace(now, retried=True), now_s)
    # A control without an answer has a status too: undefined.
    refused = outcome.kind is OutcomeKind.REFUSED and bool(outcome.statuses)
    cause = f"refused:{outcome.statuses[-1].name}" if refused else outcome.kind.value
    return failed(now, cause, _AFTERMATH[found], doubt=False)


def unsent(now: Progress, now_s: float) -> Step:
    """Plan the setpoint anew: no part of it that is still to come may leave."""
    return replace(now, phase=JobPhase.STEPPING, queue=(), sending_w=None, due_at=now_s), ()


def read_back(now: Progress, now_s: float) -> Step:
    """The outcome is unknown: read the feedback once. A pulse leaves none, and goes once."""
    if now.queue[0].pulse:
        return failed(now, "unknown_outcome")
    return replace(now, phase=JobPhase.READING, due_at=now_s + READ_S), (ReadFeedback(),)


def feedback_read(now: Progress, event: FeedbackRead, now_s: float) -> Step:
    """Go on if the echo shows what was written; never send it again."""
    write = now.queue[0]
    if event.ok and write.agrees(event.echoes.get(write.echo)):
        return _accepted(now, now_s)
    return failed(now, "unknown_outcome")


def _accepted(now: Progress, now_s: float) -> Step:
    write, rest = now.queue[0], now.queue[1:]
    if _outgrown(now, rest):
        return failed(now, "limit")
    made = now.made if write.pulse else {**now.made, write.echo: write}
    return go_on(replace(now, made=made), rest, now_s)


def _outgrown(now: Progress, queue: tuple[Write, ...]) -> bool:
    """Whether more of a setpoint would go out that the ceiling does not allow any more."""
    return bool(queue) and now.sending_w is not None and not now.is_within(now.sending_w)
