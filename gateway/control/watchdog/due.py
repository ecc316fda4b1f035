"""What falls due: zeros, stops, heartbeats, reversion timers, challenges; and when next.

Called at the end of every ``handle``, so that what is written fits the phase of that instant.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.control.phases import Phase
from gateway.control.watchdog import force
from gateway.control.watchdog.effects import (
    IssueChallenge,
    KeepPhase,
    MayExit,
    RefreshReversion,
    WriteHeartbeat,
    WriteIdle,
    WriteSetpoint,
    WriteStop,
)
from gateway.control.watchdog.state import LOSABLE, POWERED

if TYPE_CHECKING:
    from gateway.control.watchdog.moves import Effects
    from gateway.control.watchdog.state import WatchdogState


def due(state: WatchdogState, at: float, effects: Effects) -> WatchdogState:
    """Order what is due at ``at`` (monotonic s); stop and zero go before all other effects."""
    first: Effects = []
    state = _idle(_stop(state, at, first), at, first)
    effects[:0] = first
    state = _challenge(_power(_beat(state, at, effects), at, effects), at, effects)
    state = force.due(state, at, effects)
    if state.stopping and not state.exit_told and not _waits(state):
        effects.append(MayExit(verified=state.phase is Phase.IDLE))
        state = replace(state, exit_told=True)
    return state


def _waits(state: WatchdogState) -> bool:
    """Whether a stop has something to wait for: zero, or that its record goes."""
    settling = state.settling is not None and not state.settling.told
    forgets = state.in_force and (settling or state.forgetting)
    return state.phase is Phase.IDLING or (state.phase is Phase.IDLE and forgets)


def wake_at(state: WatchdogState, at: float) -> float:
    """Monotonic second, after ``at``, at which something falls due next."""
    times = [state.challenge_at, _beat_at(state, at)]
    if state.down_since is not None and state.phase in LOSABLE:
        times.append(state.down_since + state.terms.blind_after_s)
    if state.phase in POWERED:
        times.append(state.lease.expires_at)
    if state.astray_since is not None:
        times.append(state.astray_since + state.terms.astray_s)
    if state.dispatch is not None:
        times.append(state.dispatch.ends_at)
        if state.terms.reversion and state.session_up:
            times.append(state.dispatch.refresh_at)
    if state.demand is not None:
        if state.phase is Phase.IDLING:
            times.append(state.demand.latch_at)
        if state.owes_zero():
            times.append(max(state.demand.write_at, state.demand.busy_until))
    if state.stop_at is not None and not state.stop_waits:
        times.append(state.stop_at)
    times.append(force.wake_at(state))
    return min(times)


def _stop(state: WatchdogState, at: float, effects: Effects) -> WatchdogState:
    if state.stop_at is None or at < state.stop_at or state.stop_waits:
        return state
    token, again = state.token + 1, state.stop_first_at is not None
    if not again:
        # Kept before it is sent, also where it was owed until now: after a crash between the two
        # nobody knows whether it operated, and it is never sent twice.
        effects.append(KeepPhase(Phase.ESTOP, stop_owed=False, stop_unknown=True))
        state = replace(state, stop_kept=False)
    effects.append(WriteStop(token, again=again))
    return replace(state, stop_at=None, token=token, stop_first_at=state.stop_first_at or at)


def _idle(state: WatchdogState, at: float, effects: Effects) -> WatchdogState:
    demand = state.demand
    if demand is None or not state.owes_zero() or at < max(demand.write_at, demand.busy_until):
        return state
    token = state.token + 1
    effects.append(WriteIdle(token))
    terms = state.terms
    demand = replace(
        demand,
        write_at=at + terms.idle_repeat_s,
        busy_until=at + force.LONGEST_ZERO * terms.response_s,
        newest=token,
    )
    return replace(state, demand=demand, token=token)


def _beat_at(state: WatchdogState, at: float) -> float:
    """When the next heartbeat may be written; none while zero is unverified for V."""
    beat_at = max(at, state.beats_from())
    overdue_at = math.inf if state.demand is None else state.demand.overdue_at
    return beat_at if beat_at < overdue_at else math.inf


def _beat(state: WatchdogState, at: float, effects: Effects) -> WatchdogState:
    if at < _beat_at(state, at):
        return state
    value = force.next_beat(state)
    beat_at = at + state.terms.heartbeat_s
    if value is None or value == state.beat:  # nothing new to echo: silence is the truth
        return replace(state, beat_at=beat_at)
    token = state.token + 1
    effects.append(WriteHeartbeat(token, value))
    return replace(state, beat=value, beat_at=beat_at, token=token)


def _power(state: WatchdogState, at: float, effects: Effects) -> WatchdogState:
    """Refresh the reversion timer, and follow limits that shrink; both need what power needs."""
    dispatch = state.dispatch
    if dispatch is None or state.objection(at) is not None:
        return state
    clamped_w = state.clamped_w(dispatch.setpoint_w)
    if clamped_w != dispatch.setpoint_w:
        token = state.token + 1
        effects.append(WriteSetpoint(token, dispatch.command_id, clamped_w))
        dispatch = replace(dispatch, setpoint_w=clamped_w, settled=False, answered_at=math.inf)
        last_w = state.last_w if state.is_zero(clamped_w) else clamped_w
        state = replace(state, dispatch=dispatch, token=token, last_w=last_w, astray_since=None)
    if state.terms.reversion and at >= dispatch.refresh_at:
        token = state.token + 1
        effects.append(RefreshReversion(token))
        dispatch = replace(dispatch, refresh_at=at + state.terms.refresh_s)
        state = replace(state, dispatch=dispatch, token=token)
    return state


def _challenge(state: WatchdogState, at: float, effects: Effects) -> WatchdogState:
    if at < state.challenge_at:
        return state
    lease = state.lease.issue(at)
    effects.append(IssueChallenge(lease.session, lease.newest))
    return replace(state, lease=lease, challenge_at=at + state.terms.challenge_s)
