"""Steps from phase to phase that several transitions share."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.control.phases import Phase
from gateway.control.watchdog.effects import Abort, Effect, KeepPhase, PhaseChanged
from gateway.control.watchdog.state import LASTING, Demand
from gateway.control.watchdog.words import Cause

if TYPE_CHECKING:
    from gateway.control.watchdog.state import WatchdogState
    from gateway.control.watchdog.words import Terms

Effects = list[Effect]


def held_to(state: WatchdogState, terms: Terms) -> WatchdogState:
    """Be held to other terms; while zero is demanded, to the stricter V and W of both.

    A smaller V counts from the demand on: it may be over at once.
    """
    demand, before = state.demand, state.terms
    if demand is None:
        return replace(state, terms=terms)
    terms = replace(
        terms,
        idle_verify_s=min(terms.idle_verify_s, before.idle_verify_s),
        deadman_s=max(terms.deadman_s, before.deadman_s),
    )
    less_s = before.idle_verify_s - terms.idle_verify_s
    demand = replace(
        demand,
        overdue_at=demand.overdue_at - less_s,
        latch_at=demand.latch_at - less_s,
        left_s=demand.left_s - less_s,
        latch_left_s=demand.latch_left_s - less_s,
    )
    wake_at = min(state.wake_at, demand.overdue_at, demand.latch_at)
    return replace(state, terms=terms, demand=demand, wake_at=wake_at)


def to_phase(
    state: WatchdogState, phase: Phase, cause: Cause, effects: Effects, *, detail: str = ""
) -> WatchdogState:
    """Enter ``phase``; a dispatch lives only in ACTIVE, a foreign echo is judged afresh."""
    if state.dispatch is not None:
        effects.append(Abort(state.dispatch.command_id, cause))
    if state.yielded and phase not in LASTING:
        effects.append(KeepPhase(None, stop_owed=False))
    if phase is not state.phase:
        effects.append(PhaseChanged(state.phase, phase, cause, detail))
    return replace(state, phase=phase, dispatch=None, astray_since=None, yielded=False)


def to_idling(
    state: WatchdogState, at: float, cause: Cause, effects: Effects, *, detail: str = ""
) -> WatchdogState:
    """Demand zero, at once. A lasting phase stays what it is and demands it all the same."""
    phase = state.phase if state.phase in LASTING else Phase.IDLING
    demand = _demand(state, at)
    failed = state.deadman_failed and state.demand is not None  # told once a demand
    state = replace(state, demand=demand, settling=None, drifts_since=None, deadman_failed=failed)
    state = to_phase(state, phase, cause, effects, detail=detail)
    over = (
        phase is Phase.IDLING and at >= demand.latch_at
    )  # V ran out where only an answer said LOCAL
    return to_latched(state, effects) if over else state


def to_local(
    state: WatchdogState,
    at: float,
    cause: Cause,
    effects: Effects,
    *,
    yielded: bool = False,
    told: bool = False,
) -> WatchdogState:
    """Write nothing more. What is left of V waits for the authority to come back.

    Not so where only the answer to a write said local (``told``): an outstation that refuses zero
    with it, while its switch reads remote, would else stop that clock for ever, and be fed.
    """
    if not told:
        state = halted(state, at)
    # Power is the site's now and says nothing of our zero, which is verified anew on remote.
    state = replace(state, settling=None, drifts_since=None)
    state = to_phase(state, Phase.LOCAL, cause, effects)
    if yielded:  # silent, also after it, until a zero is accepted
        effects.append(KeepPhase(Phase.LOCAL, stop_owed=False))
        state = replace(state, silent=True, silent_since=at)
    return replace(state, yielded=yielded)


def halted(state: WatchdogState, at: float) -> WatchdogState:
    """Let what is left of V wait."""
    demand = state.demand
    if demand is None or math.isinf(demand.overdue_at):
        return state
    trying = state.phase in (Phase.IDLING, Phase.LOCAL)
    latch_left_s = demand.latch_at - at if trying else 0.0
    left_s = demand.overdue_at - at
    demand = replace(demand, left_s=left_s, latch_left_s=latch_left_s, overdue_at=math.inf)
    return replace(state, demand=demand)


def to_blind(state: WatchdogState, at: float, effects: Effects) -> WatchdogState:
    """The session is lost. V runs on: a session that comes and goes must not stretch it."""
    demand = replace(_demand(state, at), write_at=math.inf)
    state = replace(state, demand=demand, settling=None, drifts_since=None)
    return to_phase(state, Phase.BLIND, Cause.SESSION, effects)


def to_latched(
    state: WatchdogState, effects: Effects, cause: Cause = Cause.UNVERIFIED
) -> WatchdogState:
    """V is over: withhold the heartbeat, so that the RTAC's dead-man acts."""
    effects.append(KeepPhase(Phase.LATCHED, stop_owed=False))
    return to_phase(state, Phase.LATCHED, cause, effects)


def arrive(state: WatchdogState, at: float, cause: Cause, effects: Effects) -> WatchdogState:
    """Where a session, or an operator's reset, begins: with idle, unless the site says local."""
    if not state.session_up:
        return to_blind(state, at, effects)
    if state.local:
        if state.elsewhere and state.meets_another:
            return to_local(state, at, Cause.PREEMPTED, effects, yielded=True)
        return to_local(state, at, Cause.LOCAL, effects)
    state = replace(state, demand=_demand(state, at), settling=None, drifts_since=None)
    return to_phase(state, Phase.IDLING, cause, effects)


def to_rest(state: WatchdogState, cause: Cause, effects: Effects) -> WatchdogState:
    """Zero is verified, or nothing was owed: IDLE, or MONITOR where control is off."""
    phase = Phase.IDLE if state.enabled or state.stopping else Phase.MONITOR
    return to_phase(replace(state, demand=None), phase, cause, effects)


def _demand(state: WatchdogState, at: float) -> Demand:
    """Demand zero at ``at``; V runs on where an earlier demand is still unverified."""
    verify_s = state.terms.idle_verify_s
    old = state.demand
    overdue_at = at + verify_s
    if old is not None:
        overdue_at = at + old.left_s if math.isinf(old.overdue_at) else old.overdue_at
    latch_at = overdue_at
    runs = old is not None and not math.isinf(old.overdue_at)
    if old is not None and (state.phase is Phase.IDLING or (runs and state.phase is Phase.LOCAL)):
        latch_at = old.latch_at
    elif state.phase is Phase.LOCAL and old is not None and old.latch_left_s > 0.0:
        latch_at = at + old.latch_left_s
    elif state.phase is Phase.BLIND or overdue_at <= at:
        # The field gets a whole V to obey after an absence; heartbeats wait for it, see overdue_at.
        latch_at = at + verify_s
    return Demand(state.token + 1, overdue_at, latch_at, write_at=at)
