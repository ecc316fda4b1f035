"""Orders of cloud and operator: arm, dispatch, idle, estop, reset."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.control.phases import NO_STOP, Phase
from gateway.control.watchdog import force, moves
from gateway.control.watchdog.effects import Abort, Carried, KeepPhase, Refuse, WriteSetpoint
from gateway.control.watchdog.state import LASTING, ActiveDispatch
from gateway.control.watchdog.words import Cause

if TYPE_CHECKING:
    from gateway.control.watchdog.events import DispatchAccepted, SetpointWanted
    from gateway.control.watchdog.moves import Effects
    from gateway.control.watchdog.state import WatchdogState

LOCAL_STOP = "the site has control: use the hard-wired stop; ours follows on remote"
BLOCKED_STOP = (
    "zero would be another one than that in force, so nothing is written: use the hard-wired "
    "stop; ours follows `zero` or `declare-zero`"
)
BLIND_STOP = "no session: use the hard-wired stop; ours follows when it is up"
_CALM = frozenset({Phase.IDLING, Phase.IDLE, Phase.ARMED, Phase.ACTIVE, *LASTING})


def arm(state: WatchdogState, command_id: str, at: float, effects: Effects) -> WatchdogState:
    """IDLE to ARMED, where nothing objects."""
    refusal = arm_refusal(state, at)
    if refusal is not None:
        effects.append(Refuse(command_id, *refusal))
        return state
    effects.append(Carried(command_id))
    return moves.to_phase(state, Phase.ARMED, Cause.ORDERED, effects)


def arm_refusal(state: WatchdogState, at: float) -> tuple[Cause, str] | None:
    """Why ``arm`` would do nothing at ``at`` (monotonic s); None: it would be carried out."""
    if state.phase is not Phase.IDLE:
        return Cause.STATE, f"{state.phase.name}, must be IDLE"
    unready = state.unready(at)
    if unready is not None:
        return unready
    held_s, wanted_s = state.lease.unbroken_s(at), state.terms.arm_after_s
    if held_s < wanted_s:
        return Cause.LEASE, f"lease unbroken for {held_s:.1f} s, must be {wanted_s:g} s"
    if (why := unsettled(state)) is not None:
        return Cause.STATE, why
    if state.echo_w is None or not state.is_zero(state.echo_w):
        return Cause.STATE, f"echo reads {state.echo_w} W, must be 0"
    return None


def unsettled(state: WatchdogState) -> str | None:
    """Why the last zero is not over; None: nothing of ours is in force, and power is gone."""
    power = "unknown" if state.power_w is None else f"{state.power_w:.0f} W"
    if state.dispatch is not None:
        return None  # no zero is wanted
    if state.settling is not None or state.drifts_since is not None:
        apart = f"on two reads {state.terms.apart_s:g} s apart"
        return f"measured power is {power}, must be at zero {apart}"
    if state.in_force and not state.forgetting and math.isinf(state.forget_at):
        return "a setpoint may be in force, and no zero is verified since"
    if state.in_force:
        return "that zero is verified is not on the disk yet"
    if state.declared:
        return "zero was declared by an operator and is not verified yet"
    return None


def idle_refusal(state: WatchdogState) -> str:
    """Why an idle would do nothing; "": it would be carried out."""
    if state.phase in _CALM or state.in_force:
        return ""
    return f"{state.phase.name} writes nothing"


def idle(state: WatchdogState, command_id: str, at: float, effects: Effects) -> WatchdogState:
    """Zero, written and verified afresh; needs neither lease nor arming."""
    if why := idle_refusal(state):
        effects.append(Refuse(command_id, Cause.STATE, why))
        return state
    if state.phase in _CALM or state.phase is Phase.MONITOR:
        effects.append(Carried(command_id))
        return moves.to_idling(state, at, Cause.ORDERED, effects)
    text = f"{state.phase.name} writes nothing: zero is written as soon as it may be"
    effects.append(Carried(command_id, warning=text))
    return state


def dispatch(
    state: WatchdogState, event: DispatchAccepted, at: float, effects: Effects
) -> WatchdogState:
    """Begin a dispatch, or refuse it; one that was in force is superseded."""
    refusal = _dispatch_refusal(state, event, at)
    if refusal is not None:
        effects.append(Refuse(event.command_id, *refusal))
        return state
    if state.dispatch is not None:
        effects.append(Abort(state.dispatch.command_id, Cause.SUPERSEDED))
        state = replace(state, dispatch=None)
    state = moves.to_phase(state, Phase.ACTIVE, Cause.ORDERED, effects, detail=event.command_id)
    young = tuple(one for one in state.spent if one[1] > at)
    begun = ActiveDispatch(
        event.command_id,
        event.setpoint_w,
        ends_at=at + event.duration_s,
        refresh_at=at + state.terms.refresh_s,
    )
    state = replace(state, dispatch=begun, spent=(*young, (event.command_id, event.start_by_s)))
    return _write(state, event.setpoint_w, effects)


def _dispatch_refusal(
    state: WatchdogState, event: DispatchAccepted, at: float
) -> tuple[Cause, str] | None:
    objection = state.objection(at)
    if objection is not None:
        return objection
    if at >= event.start_by_s:
        return Cause.EXPIRED, f"expired {at - event.start_by_s:.1f} s ago"
    if any(event.command_id == command_id for command_id, _ in state.spent):
        return Cause.DUPLICATE, "begun before"
    if not 0.0 < event.duration_s <= state.terms.max_dispatch_s:
        allowed = f"more than 0 and at most {state.terms.max_dispatch_s:g} s"
        return Cause.PARAMS, f"duration {event.duration_s:g} s, must be {allowed}"
    return _limit_refusal(state, event.setpoint_w)


def _limit_refusal(state: WatchdogState, setpoint_w: float) -> tuple[Cause, str] | None:
    if not math.isfinite(setpoint_w) or state.clamped_w(setpoint_w) != setpoint_w:
        allowed = f"{-state.charge_w:.0f}..{state.discharge_w:.0f} W"
        return Cause.LIMIT, f"setpoint {setpoint_w:g} W, must be {allowed}"
    return None


def step(state: WatchdogState, event: SetpointWanted, at: float, effects: Effects) -> WatchdogState:
    """Another setpoint of the dispatch in force, or a refusal."""
    refusal = state.objection(at)
    if state.dispatch is None or state.dispatch.command_id != event.command_id:
        refusal = Cause.STATE, "that dispatch is not in force"
    refusal = refusal or _limit_refusal(state, event.setpoint_w)
    if refusal is not None:
        effects.append(Refuse(event.command_id, *refusal))
        return state
    return _write(state, event.setpoint_w, effects)


def _write(state: WatchdogState, setpoint_w: float, effects: Effects) -> WatchdogState:
    assert state.dispatch is not None
    token = state.token + 1
    effects.append(WriteSetpoint(token, state.dispatch.command_id, setpoint_w))
    changed = replace(state.dispatch, setpoint_w=setpoint_w, settled=False, answered_at=math.inf)
    last_w = state.last_w if state.is_zero(setpoint_w) else setpoint_w
    return replace(state, dispatch=changed, token=token, last_w=last_w, astray_since=None)


def stop_waits_for(state: WatchdogState) -> str:
    """Why a stop that is ordered now does not leave yet, for people; "": it does."""
    if state.local:
        return LOCAL_STOP
    if state.blocked:
        return BLOCKED_STOP
    return "" if state.session_up else BLIND_STOP


def estop(state: WatchdogState, command_id: str, at: float, effects: Effects) -> WatchdogState:
    """Stop, and stay stopped; needs neither lease nor arming, but control."""
    if state.phase is Phase.MONITOR and not state.in_force:
        effects.append(Refuse(command_id, Cause.STATE, NO_STOP))
        return state
    effects.append(Carried(command_id, warning=stop_waits_for(state)))
    if state.phase is Phase.ESTOP:
        return state
    owed = state.stop_waits
    if owed:  # else it is kept together with the stop, see outputs
        effects.append(KeepPhase(Phase.ESTOP, stop_owed=True))
    state = replace(state, stop_at=at, stop_first_at=None, stop_kept=owed, stop_unknown=False)
    state = moves.to_phase(state, Phase.ESTOP, Cause.ORDERED, effects)
    return moves.to_idling(state, at, Cause.ORDERED, effects)


def reset(state: WatchdogState, at: float, effects: Effects) -> WatchdogState:
    """Out of LATCHED and ESTOP, or back from yielding: with idle first."""
    if not (state.yielded or state.ended or state.phase in LASTING):
        return state
    # An unverified demand stays: no heartbeat feeds the RTAC's dead-man until zero is verified.
    state = replace(state, stop_at=None, stop_kept=False, stop_unknown=False)
    return force.anew(state, at, effects, leaves=True)
