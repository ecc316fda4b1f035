"""The executor's eyes: echoes, measured power, limits that move, deadlines that pass. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.control.commands.reasons import ResultState
from gateway.control.execution.job import FeedbackDiffered, LimitsMoved, Looked, PowerDeviated
from gateway.control.execution.progress import JobPhase, Progress, Step, failed
from gateway.control.execution.restating import CALM, is_beyond, scheduled
from gateway.control.execution.writing import read_back, step

if TYPE_CHECKING:
    from gateway.control.execution.plan import Write

POWER_SHARE = 0.05  # of the setpoint: how far the measured power may be off
DEAD_BANDS = 2.0
POWER_WAIT_S = 30.0  # beyond the ramp
PREEMPTED_S = 3.0
UNREAD_S = 10.0  # beyond its time, for an echo that was not read since it was written
BEYOND_S = 10.0  # power beyond the limit, or the other way, ends a dispatch
DEVIATES_S = 30.0  # power that is off is told
LOOK_S = 0.25  # between two looks at an echo that holds a ramp up
_SETPOINTS = frozenset({"cmd_power", "cmd_charge", "cmd_discharge"})
_QUIET = frozenset(
    {JobPhase.STEPPING, JobPhase.ECHO, JobPhase.POWER, JobPhase.HOLDING}
)  # nothing is out


def moved(now: Progress, event: LimitsMoved, now_s: float) -> Step:
    """Take a new ceiling: a smaller one re-clamps at once, a larger one gives nothing back.

    What percent are of may have moved, too: what that makes too much is said anew at once.
    """
    ceiling = event.ceiling
    target_w = ceiling.clamp(now.target_w)
    shrunk = target_w != now.target_w
    now = replace(now, ceiling=ceiling, target_w=target_w, moved_of=event.of or now.moved_of)
    if now.job.power_w is None or now.phase is JobPhase.WAITING:
        return now, ()
    now = scheduled(now)
    if shrunk and target_w == 0.0:
        return failed(now, "limit")
    state = ResultState.SUCCEEDED if now.verified else ResultState.EXECUTING
    reports = (now.report(state, "limit"),) if shrunk else ()
    if now.phase not in _QUIET or not (shrunk or is_beyond(now)):
        return now, reports
    after, orders = step(now, now_s)
    return after, (*reports, *orders)


def looked(now: Progress, event: Looked, now_s: float) -> Step:
    """Take a look at the field, and at the time."""
    if now.phase in CALM and now_s >= now.restate_at:
        return step(now, now_s)
    late = now_s >= now.due_at
    found: Step = (now, ())
    match now.phase:
        case JobPhase.WRITING if late:
            found = read_back(now, now_s)
        case JobPhase.READING if late:
            found = failed(now, "unknown_outcome")
        case JobPhase.STEPPING if late:
            found = _stepping(now, event, now_s)
        case JobPhase.ECHO:
            found = _echo(now, event, now_s, late=late)
        case JobPhase.POWER | JobPhase.HOLDING:
            found = _in_force(now, event, now_s, late=late)
    return found


def _setpoints(now: Progress) -> tuple[Write, ...]:
    return tuple(write for write in now.made.values() if write.role in _SETPOINTS)


def _stepping(now: Progress, event: Looked, now_s: float) -> Step:
    """One more step, once the echo shows the last one: nobody is fought against in a ramp.

    A setpoint above the ceiling does not wait for its echo.
    """
    if now.unseen:
        return _preparing(now, event, now_s)
    differing = tuple(
        write for write in _setpoints(now) if not write.agrees(event.echoes.get(write.echo))
    )
    if not differing or not now.is_within(now.written_w) or is_beyond(now):
        return step(now, now_s)
    by = now.written_at + max(write.verify_s for write in differing)
    if now_s < by or (not _seen(differing, event) and now_s < by + UNREAD_S):
        return replace(now, due_at=now_s + LOOK_S), ()
    return _differed(now, differing, event)


def _preparing(now: Progress, event: Looked, now_s: float) -> Step:
    """The first setpoint, once the echoes show what must stand before there is any power."""
    writes = (now.made[echo] for echo in now.unseen)
    differing = tuple(one for one in writes if not one.agrees(event.echoes.get(one.echo)))
    if not differing:
        return step(replace(now, unseen=frozenset()), now_s)
    by = now.seen_by
    if now_s < by or (not _seen(differing, event) and now_s < by + UNREAD_S):
        return replace(now, due_at=now_s + LOOK_S), ()
    return _differed(now, differing, event)


def _seen(differing: tuple[Write, ...], event: Looked) -> tuple[Write, ...]:
    """Those of which a read says that they differ; one that was not read since says nothing."""
    return tuple(one for one in differing if one.is_contradicted(event.echoes.get(one.echo)))


def _differed(now: Progress, differing: tuple[Write, ...], event: Looked) -> Step:
    seen = _seen(differing, event)
    after, orders = failed(now, "feedback" if seen else "feedback_unread", doubt=not seen)
    told = (FeedbackDiffered(write.echo, write.expected) for write in seen)
    return after, (*told, *orders)


def _echo(now: Progress, event: Looked, now_s: float, *, late: bool) -> Step:
    differing = tuple(
        write for point, write in now.made.items() if not write.agrees(event.echoes.get(point))
    )
    if differing and not late:
        return now, ()
    if differing:
        until = min(now.unread_until, now_s + UNREAD_S)
        if _seen(differing, event) or now_s >= until:
            return _differed(now, differing, event)
        return replace(now, due_at=now_s + LOOK_S, unread_until=until), ()
    if now.job.power_w is None:
        return now.over(), (now.report(ResultState.SUCCEEDED),)
    due_at = now.written_at + now.job.rtac_ramp_s + POWER_WAIT_S
    power = replace(now, phase=JobPhase.POWER, due_at=due_at, differs_since=None)
    return _in_force(power, event, now_s, late=now_s >= due_at)


def _in_force(now: Progress, event: Looked, now_s: float, *, late: bool) -> Step:
    differs_since = None
    if any(write.is_contradicted(event.echoes.get(write.echo)) for write in _setpoints(now)):
        differs_since = now_s if now.differs_since is None else now.differs_since
        if now_s - differs_since >= PREEMPTED_S:
            return failed(now, "preempted", now.job.preempted)
    now = _strayed(replace(now, differs_since=differs_since), event.power_w, now_s)
    if now.beyond_since is not None and now_s - now.beyond_since >= BEYOND_S:
        return failed(now, "power")
    if now.phase is JobPhase.HOLDING:
        return _deviates(now, event.power_w, now_s)
    if _follows(now, event.power_w):
        held = replace(now, phase=JobPhase.HOLDING, due_at=float("inf"), verified=True)
        return held, () if now.verified else (held.report(ResultState.SUCCEEDED),)
    return failed(now, "power") if late else (now, ())


def _strayed(now: Progress, power_w: float | None, now_s: float) -> Progress:
    """Note since when measured power is where it must not be, and since when it is off."""
    ramped = now_s >= now.written_at + now.job.rtac_ramp_s + POWER_WAIT_S
    beyond = power_w is not None and _is_beyond(now, power_w, ramped=ramped)
    off = ramped and power_w is not None and not _follows(now, power_w)
    began, since = now.beyond_since, now.deviates_since
    return replace(
        now,
        beyond_since=(now_s if began is None else began) if beyond else None,
        deviates_since=(now_s if since is None else since) if off else None,
        deviates=now.deviates and off,
    )


def _is_beyond(now: Progress, power_w: float, *, ramped: bool) -> bool:
    """More than the limit of that direction; or, once it had its time, the other way."""
    band_w = _band_w(now)
    other = ramped and power_w * now.target_w < 0 and abs(power_w) > band_w
    return other or abs(power_w) > now.ceiling.side_w(power_w) + band_w


def _deviates(now: Progress, power_w: float | None, now_s: float) -> Step:
    since = now.deviates_since
    if since is None or now.deviates or now_s - since < DEVIATES_S:
        return now, ()
    return replace(now, deviates=True), (PowerDeviated(power_w or 0.0, now.target_w),)


def _band_w(now: Progress) -> float:
    return max(POWER_SHARE * abs(now.target_w), DEAD_BANDS * now.job.deadband_w)


def _follows(now: Progress, power_w: float | None) -> bool:
    return power_w is not None and abs(power_w - now.target_w) <= _band_w(now)
