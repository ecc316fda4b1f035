"""Idles the battery when the cloud, the session or an interlock is lost. Pure.

| from | on | to |
|---|---|---|
| MONITOR | control enabled: no session / session / session, local | STARTUP / IDLING / LOCAL |
| MONITOR | idle, IIN1.7, or our setpoint in the echo, while something may be in force | IDLING |
| MONITOR | a read belies what was declared | IDLING |
| STARTUP | session: remote / local | IDLING / LOCAL |
| IDLING | a zero written after the demand was accepted, then an echo of zero | IDLE |
| IDLING | the same, control off | MONITOR |
| IDLING | V passes | LATCHED |
| IDLE | arm: interlocks clear, lease unbroken for 30 s, echo zero | ARMED |
| IDLE | control off | MONITOR |
| ARMED | dispatch accepted | ACTIVE |
| ACTIVE | another dispatch accepted (the old one is superseded) | ACTIVE |
| ARMED, ACTIVE | lease expiry, interlock, idle, disarm, release, SIGTERM, control off | IDLING |
| ACTIVE | end of duration, refused or unknown outcome, unverified, field set it to 0 | IDLING |
| IDLE, ARMED, ACTIVE | IIN1.7 | IDLING |
| IDLE, ARMED | echo shows our old setpoint, or soon after beats began again power does | LATCHED |
| ARMED | a dispatch ended before its first frame | IDLING |
| IDLE, ARMED, ACTIVE | echo elsewhere for 3 s; 9, 15, 17: yield / reassert | LOCAL / IDLING |
| IDLE, ARMED, ACTIVE | session back within 10 s, but echo not read since or not equal | IDLING |
| IDLE | idle ordered: zero is written and verified again | IDLING |
| IDLING, IDLE, ARMED, ACTIVE | local, or status 7 or 13 | LOCAL |
| LOCAL | remote (where it yielded: the echo lets go) | IDLING |
| STARTUP, IDLING | at a start another's echo, and 9, 15, 17 or its authority: yield | LOCAL |
| IDLING, IDLE, ARMED, ACTIVE, LOCAL | session lost for 10 s | BLIND |
| BLIND | session: remote / local | IDLING / LOCAL |
| all but MONITOR with nothing in force | estop | ESTOP |
| LATCHED, ESTOP | operator's reset: session / local / none | IDLING / LOCAL / BLIND |
| LATCHED | operator says by which rows | the same |
| IDLE | a read belies what was declared | LATCHED |

What a reader would get wrong: nothing is ever resumed, so every way back leads through IDLING.
Deadlines are judged before the event that comes with them: an answer that arrives together with
its lease's end is late. LATCHED and ESTOP do not become LOCAL or BLIND (they must last), but they
write nothing while the site is local or the session is down. The RTAC heartbeat is also withheld
until a zero was accepted after a start or LOCAL, while zero is unverified for longer than V, though
a session that comes and goes, or a reset, keeps the phase from LATCHED, and while we yield to
another master: were it our own setpoint behind a wrong echo, only the dead-man could end it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.control.phases import Phase
from gateway.control.watchdog import due, field_events, force, moves, orders
from gateway.control.watchdog.effects import KeepPhase
from gateway.control.watchdog.events import (
    ArmOrdered,
    ControlDisabled,
    ControlEnabled,
    DerHeartbeatRead,
    DispatchAccepted,
    DispatchFailed,
    EchoRead,
    EstopOrdered,
    Event,
    ForceBegun,
    ForceForgotten,
    ForceUnused,
    GroupKept,
    HeartbeatsHeld,
    HeartbeatVerified,
    IdleOrdered,
    InterlocksChanged,
    LimitsChanged,
    LocalSeen,
    OtherMasterSeen,
    PowerRead,
    RemoteSeen,
    ResetByOperator,
    Restarted,
    SessionLost,
    SessionReady,
    SetpointAnswered,
    SetpointWanted,
    StopOrdered,
    Tick,
    WriteDone,
    ZeroChosen,
    ZeroDeclared,
)
from gateway.control.watchdog.lease import Lease
from gateway.control.watchdog.state import LOSABLE, OWING, POWERED, RESTING, Held, WatchdogState
from gateway.control.watchdog.words import Cause, Terms

if TYPE_CHECKING:
    from gateway.clock import Now
    from gateway.control.watchdog.effects import Effect
    from gateway.control.watchdog.moves import Effects


def start(
    terms: Terms,
    now: Now,
    *,
    session: str,
    enabled: bool,
    kept: KeepPhase | None = None,
    secret: bytes = b"",
    held: Held | None = None,
) -> WatchdogState:
    """Begin after a start of the gateway. What is in force is unknown: idle will be first.

    It is silent until a zero is accepted: were our setpoint in force and zero refused, a process
    that is started again and again would feed the dead-man for ever.

    Args:
        terms: of this asset.
        now: both clocks; only the monotonic one is used.
        session: boot nonce, new at every start.
        enabled: everything that control requires is there.
        kept: the last ``KeepPhase``.
        secret: of this boot, so that nobody can tell the next challenge.
        held: what the disk says of a setpoint of ours.
    """
    held = held or Held()
    kept = kept or KeepPhase(None, stop_owed=False)
    phase = kept.phase or (Phase.STARTUP if enabled or held.in_force else Phase.MONITOR)
    return WatchdogState(
        terms=terms,
        phase=phase,
        lease=Lease(session, terms.lease_s, secret=secret),
        challenge_at=now.mono_s,
        enabled=enabled,
        stop_at=now.mono_s if kept.stop_owed else None,
        stop_kept=kept.stop_owed,
        stop_unknown=kept.stop_unknown,
        yielded=kept.phase is Phase.LOCAL,
        in_force=held.in_force,
        last_w=held.last_w,
        span_w=held.span_w if held.in_force or held.declared else (0.0, 0.0),
        blocked=held.blocked,
        grouped=held.grouped,
        declared=held.declared,
        silent_since=now.mono_s,
        wake_at=now.mono_s,
    )


def handle(
    state: WatchdogState, event: Event, now: Now
) -> tuple[WatchdogState, tuple[Effect, ...]]:
    """Return the next state and the effects to carry out, in order. Holds every transition."""
    at = now.mono_s
    if at < state.wake_at and isinstance(event, Tick):
        return state, ()
    effects: list[Effect] = []
    state = _elapsed(state, at, effects)
    state = force.failed(_happened(state, event, at, effects), at, effects)
    state = due.due(state, at, effects)
    return replace(state, wake_at=due.wake_at(state, at)), tuple(effects)


def _elapsed(state: WatchdogState, at: float, effects: Effects) -> WatchdogState:
    """Transitions that time alone brings."""
    terms = state.terms
    lost = state.down_since is not None and at - state.down_since >= terms.blind_after_s
    if lost and state.phase in LOSABLE:
        state = moves.to_blind(state, at, effects)
    if state.phase in POWERED and not state.lease.live(at):
        state = moves.to_idling(state, at, Cause.LEASE, effects)
    if state.dispatch is not None and at >= state.dispatch.ends_at:
        state = moves.to_idling(state, at, Cause.DURATION, effects)
    if state.astray_since is not None and at - state.astray_since >= terms.astray_s:
        state = field_events.preempted(state, at, effects)
    state = force.late(state, at, effects)
    demand = state.demand
    if state.phase is Phase.IDLING and demand is not None and at >= demand.latch_at:
        state = moves.to_latched(state, effects)
    return state


def _happened(state: WatchdogState, event: Event, at: float, effects: Effects) -> WatchdogState:  # noqa: C901, PLR0911, PLR0912 - one arm for each event, on purpose in one place
    match event:
        case Tick():
            return state
        case SessionReady():
            return field_events.session_up(state, at, effects)
        case SessionLost():
            return replace(state, session_up=False, down_since=at) if state.session_up else state
        case Restarted():
            owed = state.phase in RESTING or state.phase in OWING
            owed = owed or (state.phase is Phase.MONITOR and state.in_force)
            return moves.to_idling(state, at, Cause.RESTART, effects) if owed else state
        case LocalSeen(elsewhere):
            return field_events.local(state, at, effects, elsewhere=elsewhere)
        case RemoteSeen():
            return field_events.remote(state, at, effects)
        case EchoRead():
            return field_events.echo(state, event, at, effects)
        case PowerRead():
            return force.power(state, event, at, effects)
        case ForceBegun():
            return force.begun(state, event)
        case ForceUnused():
            return force.unused(state, at, effects)
        case ForceForgotten(ok):
            return force.forgotten(state, at, ok=ok)
        case GroupKept(ok):
            return force.group(state, at, effects) if ok else state
        case ZeroChosen():
            return force.anew(replace(state, blocked=False), at, effects)
        case ZeroDeclared(elsewhere):
            return force.declared(state, effects, elsewhere=elsewhere)
        case DerHeartbeatRead(value):
            return replace(state, der_beat=value)
        case InterlocksChanged(reasons):
            state = replace(state, interlocks=reasons)
            if reasons and state.phase in POWERED:
                text = ", ".join(reasons)
                return moves.to_idling(state, at, Cause.INTERLOCK, effects, detail=text)
            return state
        case LimitsChanged(charge_w, discharge_w):
            return replace(state, charge_w=charge_w, discharge_w=discharge_w)
        case HeartbeatVerified(session, challenge):
            return replace(state, lease=state.lease.answer(session, challenge, at))
        case ArmOrdered(command_id):
            return orders.arm(state, command_id, at, effects)
        case IdleOrdered(command_id):
            return orders.idle(state, command_id, at, effects)
        case DispatchAccepted():
            return orders.dispatch(state, event, at, effects)
        case SetpointWanted():
            return orders.step(state, event, at, effects)
        case SetpointAnswered(command_id, answered_at):
            return field_events.answered(state, command_id, answered_at)
        case DispatchFailed(command_id, detail):
            if state.dispatch is None or state.dispatch.command_id != command_id:
                return state
            return moves.to_idling(state, at, Cause.FAILED, effects, detail=detail)
        case WriteDone():
            return field_events.written(state, event, at, effects)
        case OtherMasterSeen():
            return field_events.preempted(state, at, effects) if state.phase in RESTING else state
        case EstopOrdered(command_id):
            return orders.estop(state, command_id, at, effects)
        case ResetByOperator():
            return orders.reset(state, at, effects)
        case ControlEnabled():
            return _enabled(replace(state, enabled=True), at, effects)
        case ControlDisabled():
            return _disabled(replace(state, enabled=False), at, effects)
        case HeartbeatsHeld(hold_s):
            return replace(state, held_until=at + hold_s)
        case StopOrdered():
            state = replace(state, stopping=True)
            if state.phase in POWERED:
                return moves.to_idling(state, at, Cause.STOPPING, effects)
            return state


def _enabled(state: WatchdogState, at: float, effects: Effects) -> WatchdogState:
    if state.phase is not Phase.MONITOR:
        return state
    if state.session_up:
        return moves.arrive(state, at, Cause.STARTED, effects)
    return moves.to_phase(state, Phase.STARTUP, Cause.STARTED, effects)


def _disabled(state: WatchdogState, at: float, effects: Effects) -> WatchdogState:
    if state.phase is Phase.IDLE or (state.phase is Phase.STARTUP and not state.in_force):
        return moves.to_rest(state, Cause.DISABLED, effects)
    if state.phase in POWERED:
        return moves.to_idling(state, at, Cause.DISABLED, effects)
    return state
