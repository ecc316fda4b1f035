"""What the field says: session, authority, echo, and what became of our writes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.control.phases import Phase
from gateway.control.watchdog import force, moves
from gateway.control.watchdog.effects import KeepGroup, KeepPhase, ReadEcho, StopUnknown
from gateway.control.watchdog.state import LASTING, LOSABLE, OWING, RESTING
from gateway.control.watchdog.words import Cause, WriteKind, WriteResult

if TYPE_CHECKING:
    from gateway.control.watchdog.events import EchoRead, WriteDone
    from gateway.control.watchdog.moves import Effects
    from gateway.control.watchdog.state import ActiveDispatch, Demand, WatchdogState


def session_up(state: WatchdogState, at: float, effects: Effects) -> WatchdogState:
    """Judge what is in force after a loss; idle first, but after a short loss without change."""
    if state.session_up:
        return state
    lost_at = state.down_since
    state = replace(state, session_up=True, down_since=None)
    if state.phase in (Phase.STARTUP, Phase.BLIND):
        cause = Cause.STARTED if state.phase is Phase.STARTUP else Cause.SESSION
        return moves.arrive(state, at, cause, effects)
    if state.phase in RESTING:
        wanted_w = state.dispatch.setpoint_w if state.dispatch is not None else 0.0
        read_since = lost_at is not None and state.echo_at > lost_at
        if read_since and state.echo_w is not None and state.is_near(state.echo_w, wanted_w):
            return state
        return moves.to_idling(state, at, Cause.SESSION, effects)
    if state.phase in OWING:
        return moves.to_idling(state, at, Cause.SESSION, effects)
    return state


def local(
    state: WatchdogState,
    at: float,
    effects: Effects,
    *,
    told: bool = False,
    elsewhere: bool = False,
) -> WatchdogState:
    """Give way to the site, or to another master.

    Args:
        state: of the watchdog.
        at: monotonic s.
        effects: are added.
        told: only the answer to a write says so, not the switch.
        elsewhere: another master has the authority, and the site has not.
    """
    state = replace(state, local=True, elsewhere=elsewhere)
    yields = elsewhere and state.meets_another
    if yields and state.phase in LOSABLE and not state.yielded:
        return moves.to_local(state, at, Cause.PREEMPTED, effects, yielded=True)
    if elsewhere and state.yielded:
        return state
    if state.phase is Phase.LOCAL:
        if state.yielded:
            effects.append(KeepPhase(None, stop_owed=False))
        return replace(state if told else moves.halted(state, at), yielded=False)
    if state.phase in LOSABLE:
        return moves.to_local(state, at, Cause.LOCAL, effects, told=told)
    return state


def remote(state: WatchdogState, at: float, effects: Effects) -> WatchdogState:
    """Take the authority back, with idle first."""
    was_local = state.local
    state = replace(state, local=False, elsewhere=False)
    if state.phase is Phase.LOCAL and (was_local or not state.yielded):
        # An RTAC may resume its last remote value when the switch goes back.
        state = replace(state, silent=True, silent_since=at)
        return moves.to_idling(state, at, Cause.REMOTE, effects)
    if state.phase in LASTING and was_local:
        return moves.to_idling(state, at, Cause.REMOTE, effects)
    return state


def echo(state: WatchdogState, event: EchoRead, at: float, effects: Effects) -> WatchdogState:
    """Verify a zero, or notice that the field does something else than we wrote."""
    if event.at_s < state.echo_at:
        return state
    state = replace(state, echo_w=event.value_w, echo_at=event.at_s)
    zero = state.is_zero(event.value_w)
    ours = state.last_w is not None and state.is_near(event.value_w, state.last_w)
    if state.declared and state.reads_ours(event.value_w):
        state = force.belied(state, at, effects)
        if state.phase is not Phase.LOCAL:
            return state
    if state.phase in OWING:
        return _verify(state, event, at, effects, zero=zero)
    if state.phase is Phase.LOCAL:
        return _given(state, at, effects, lets_go=zero or ours)
    off = state.phase is Phase.MONITOR and state.in_force and not state.local
    if off and state.reads_ours(event.value_w):
        return moves.to_idling(state, at, Cause.RESUMED, effects)
    rests = state.phase in RESTING
    return _judge(state, at, effects, zero=zero, ours=ours) if rests else state


def _given(state: WatchdogState, at: float, effects: Effects, *, lets_go: bool) -> WatchdogState:
    """The echo in LOCAL: begins a yield at a start, and ends any."""
    if state.yielded and lets_go:
        if state.local:  # the authority is another's still
            return moves.to_local(state, at, Cause.LOCAL, effects)
        return moves.to_idling(state, at, Cause.RESUMED, effects)
    if state.elsewhere and not state.yielded and state.meets_another:
        return moves.to_local(state, at, Cause.PREEMPTED, effects, yielded=True)
    return state


def answered(state: WatchdogState, command_id: str, at: float) -> WatchdogState:
    """The setpoint in force was accepted at ``at``."""
    held = state.dispatch
    if held is None or held.command_id != command_id:
        return state
    return replace(state, dispatch=replace(held, answered_at=at))


def _verify(
    state: WatchdogState, event: EchoRead, at: float, effects: Effects, *, zero: bool
) -> WatchdogState:
    demand = state.demand
    if demand is None:
        return state if zero else moves.to_idling(state, at, Cause.RESUMED, effects)
    accepted_at = demand.accepted_at
    if state.local or accepted_at is None or event.at_s < accepted_at:
        return state
    if not zero:  # that zero did not do: the next one need not wait for another read
        again_at = max(at, accepted_at + state.terms.idle_repeat_s)
        return replace(state, demand=replace(demand, write_at=min(demand.write_at, again_at)))
    if state.grouped:
        effects.append(KeepGroup(used=False))
    state = force.echoed(replace(state, grouped=False, worded=False), at)
    if state.phase in LASTING:
        return replace(state, demand=None)
    return moves.to_rest(state, Cause.VERIFIED, effects)


def _judge(
    state: WatchdogState, at: float, effects: Effects, *, zero: bool, ours: bool
) -> WatchdogState:
    """The echo where we know what it ought to be."""
    dispatch = state.dispatch
    if dispatch is not None and state.echo_at < dispatch.answered_at:
        return state  # read before it was written: it says nothing
    if dispatch is not None:
        if state.is_near(state.echo_w or 0.0, dispatch.setpoint_w):
            return replace(state, dispatch=replace(dispatch, settled=True), astray_since=None)
        if not dispatch.settled:  # the executor gives the feedback its time
            return state
    elif zero:
        return replace(state, astray_since=None)
    elif ours or force.is_revived(state, at):  # by a beat of ours, or out of the blue
        return force.revived(state, at, effects)
    return state if state.astray_since is not None else replace(state, astray_since=at)


def preempted(state: WatchdogState, at: float, effects: Effects) -> WatchdogState:
    """Somebody else's value stood in the echo too long."""
    if state.echo_w is not None and state.is_zero(state.echo_w):
        return moves.to_idling(state, at, Cause.FIELD_ENDED, effects)
    if state.terms.reassert_idle:
        return moves.to_idling(state, at, Cause.PREEMPTED, effects)
    return moves.to_local(state, at, Cause.PREEMPTED, effects, yielded=True)


def written(state: WatchdogState, event: WriteDone, at: float, effects: Effects) -> WatchdogState:
    """Take the outcome of a write: an unknown one is never sent again, but a zero always."""
    if event.result is WriteResult.LOCAL:
        return local(state, at, effects, told=True)
    accepted, demand = event.result is WriteResult.ACCEPTED, state.demand
    beats = event.kind is WriteKind.HEARTBEAT or event.token == state.feeds
    if beats and event.result is not WriteResult.FAILED:
        state = replace(state, fed_at=at)
    if event.kind is WriteKind.SETPOINT and state.dispatch is not None:
        return _dispatched(state, state.dispatch, event, at, effects)
    if event.kind is WriteKind.IDLE and demand is not None and event.token >= demand.first:
        return _zeroed(state, demand, event, at, effects)
    if event.kind is WriteKind.HEARTBEAT and accepted:
        state = force.beaten(state, at)
    elif event.kind is WriteKind.HEARTBEAT and event.result is WriteResult.FAILED:
        state = force.unbeaten(state, at)
    if event.kind is WriteKind.STOP and state.phase is Phase.ESTOP:
        return _stopped(state, event.result, at, effects)
    return state


def _dispatched(
    state: WatchdogState, held: ActiveDispatch, event: WriteDone, at: float, effects: Effects
) -> WatchdogState:
    if event.result is WriteResult.ACCEPTED:
        return answered(state, held.command_id, at if event.at_s is None else event.at_s)
    unknown = event.result is WriteResult.UNKNOWN
    cause = Cause.UNKNOWN_OUTCOME if unknown else Cause.REFUSED
    return moves.to_idling(state, at, cause, effects)


def _zeroed(
    state: WatchdogState, demand: Demand, event: WriteDone, at: float, effects: Effects
) -> WatchdogState:
    # A zero may take longer than its repetition: reads, and the one that verifies it, go between.
    result, terms = event.result, state.terms
    newest = event.token == demand.newest  # else another one is under way, behind which to wait
    demand = replace(demand, busy_until=-math.inf) if newest else demand
    if result is WriteResult.ACCEPTED:
        effects.append(ReadEcho())
        # The read right behind it may have begun before this was told.
        accepted_at = at if event.at_s is None else event.at_s
        again_at = max(demand.write_at, at + terms.idle_repeat_s + 2 * terms.response_s)
        demand = replace(demand, accepted_at=accepted_at, write_at=again_at)
        return replace(state, silent=False, fresh=False, demand=demand)
    if newest:
        write_at = max(demand.write_at, at + terms.idle_pause_s) if demand.retried else at
        demand = replace(demand, write_at=write_at, retried=True)
    state = replace(state, demand=demand)
    if result is WriteResult.NOT_OURS and state.meets_another and state.phase is Phase.IDLING:
        return moves.to_local(state, at, Cause.PREEMPTED, effects, yielded=True)
    refused = result in (WriteResult.REFUSED, WriteResult.NOT_OURS)
    return force.refused(state, effects) if refused else state


def _stopped(
    state: WatchdogState, result: WriteResult, at: float, effects: Effects
) -> WatchdogState:
    """A stop that certainly did not operate is sent again; one that nobody knows of is not."""
    unknown = result is WriteResult.UNKNOWN
    if unknown or result is WriteResult.ACCEPTED:
        if state.stop_kept or not unknown:  # else it was kept so before it was sent
            effects.append(KeepPhase(Phase.ESTOP, stop_owed=False, stop_unknown=unknown))
        if unknown:
            effects.append(StopUnknown())
        return replace(state, stop_kept=False, stop_unknown=unknown)
    if not state.stop_kept:
        effects.append(KeepPhase(Phase.ESTOP, stop_owed=True))
    terms, first_at = state.terms, at if state.stop_first_at is None else state.stop_first_at
    young = at - first_at < terms.idle_verify_s
    return replace(
        state,
        stop_at=at + (terms.idle_repeat_s if young else terms.stop_repeat_s),
        stop_kept=True,
    )
