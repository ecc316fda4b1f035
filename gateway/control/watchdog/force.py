"""Whether a setpoint of ours may be in force: begun, gone, declared gone; and its power with it.

A verified zero has two stages. The echo reads zero: IDLING ends. The measured power is gone, on two
reads: only then nothing is in force, and only then anybody may arm again.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.control.phases import Phase
from gateway.control.watchdog import moves
from gateway.control.watchdog.effects import (
    DeadmanFailed,
    ForgetForce,
    KeepForce,
    KeepGroup,
    KeepPhase,
    PowerDrifts,
    PowerStays,
    ReadEcho,
    WriteIdle,
)
from gateway.control.watchdog.obligation import spanned
from gateway.control.watchdog.state import LASTING, OWING, RESTING, Settling
from gateway.control.watchdog.words import Cause, HeartbeatForm

if TYPE_CHECKING:
    from gateway.control.watchdog.events import ForceBegun, PowerRead
    from gateway.control.watchdog.moves import Effects
    from gateway.control.watchdog.state import WatchdogState
    from gateway.control.watchdog.words import Terms

GROUPING = frozenset({Phase.IDLING, Phase.ESTOP})
# In response timeouts: a read that is dropped for it and the new connection, two points of power
# and a mode, each selected first. A zero behind one that is under way would go before its read.
LONGEST_ZERO = 8
NO_BEAT = -1  # nothing that the RTAC counted was echoed


def begun(state: WatchdogState, event: ForceBegun) -> WatchdogState:
    """A record is on its way to the disk: from now on zero is owed at the end, whatever comes."""
    last_w = event.setpoint_w or state.last_w
    if state.dispatch is not None:  # that one is in force until this one is written
        last_w = state.last_w
    span_w = spanned(state.span_w, event.setpoint_w)
    return replace(
        state, in_force=True, forgetting=False, last_w=last_w, span_w=span_w, declared=False
    )


def unused(state: WatchdogState, at: float, effects: Effects) -> WatchdogState:
    """It may be on the disk, and nothing left: one zero is written and verified."""
    if state.in_force and state.phase is Phase.ARMED:
        return moves.to_idling(state, at, Cause.UNBORN, effects)
    return state


def echoed(state: WatchdogState, at: float) -> WatchdogState:
    """The echo reads zero; the power is to follow."""
    accepted_at = at if state.demand is None else state.demand.accepted_at or at
    terms = state.terms
    settling = Settling(max(accepted_at + terms.settle_s, at + 2 * terms.apart_s), read_at=at)
    return replace(state, settling=settling, drifts_since=None, deadman_failed=False)


def power(state: WatchdogState, event: PowerRead, at: float, effects: Effects) -> WatchdogState:
    """Take a read of the measured power."""
    terms = state.terms
    gone = _is_gone(event.value_w, terms)
    left = state.power_w is not None and _is_gone(state.power_w, terms) and not gone
    ours = is_ours(event.value_w, state.last_w)
    state = replace(state, power_w=event.value_w, power_at=event.at_s)
    if state.declared and ours and not state.declared_elsewhere:
        return belied(state, at, effects)
    if left and ours and _is_soon(state, at) and state.dispatch is None and state.phase in RESTING:
        return revived(state, at, effects)
    settling = state.settling
    if settling is None:
        drifts = not gone and state.phase is Phase.IDLE
        since = at if state.drifts_since is None else state.drifts_since
        return replace(state, drifts_since=since if drifts else None)
    return _settle(state, settling, event, effects, gone=gone)


def _settle(
    state: WatchdogState, settling: Settling, event: PowerRead, effects: Effects, *, gone: bool
) -> WatchdogState:
    """Nothing is in force once two reads, so far apart, show that power is gone."""
    terms = state.terms
    if not gone:
        return replace(state, settling=replace(settling, good_at=None))
    if settling.good_at is None and math.isfinite(event.at_s):  # else nobody asked for it
        settling = replace(settling, good_at=event.at_s, read_at=event.at_s + terms.apart_s)
        return replace(state, settling=settling)
    if settling.good_at is None or event.at_s - settling.good_at < terms.apart_s:
        return state
    known = state.in_force or state.declared  # of both the disk has a fact
    state = replace(state, settling=None, declared=False, ended=False, in_force=known)
    state = replace(state, deadman_failed=False)
    return forget(state, effects) if known else state


def _is_gone(power_w: float, terms: Terms) -> bool:
    return abs(power_w - terms.idle_w) <= terms.zero_band_w


def beaten(state: WatchdogState, at: float) -> WatchdogState:
    """The outstation took a heartbeat; after W without one its dead-man may have masked power."""
    again = at - state.beaten_at >= state.terms.deadman_s
    return replace(state, beaten_at=at, beats_since=at if again else state.beats_since)


def unbeaten(state: WatchdogState, at: float) -> WatchdogState:
    """A heartbeat never left: another one follows at once, but not as fast as they come back.

    Of the RTAC's own count, the same: it may not count again before its dead-man acts.
    """
    terms = state.terms
    if terms.heartbeat is HeartbeatForm.ECHO:
        state = replace(state, beat=NO_BEAT)
    pause_s = terms.heartbeat_s / 4
    if state.beat_at - at <= pause_s:
        return state
    return replace(state, beat_at=max(at, state.beat_at - terms.heartbeat_s + pause_s))


def _is_soon(state: WatchdogState, at: float) -> bool:
    """So soon after beats began again that they may have brought back what comes."""
    return at - state.beats_since <= state.terms.settle_s


def is_revived(state: WatchdogState, at: float) -> bool:
    """Whether the echo reads a step on the way to our last setpoint, soon after that."""
    echo_w, last_w = state.echo_w, state.last_w
    if echo_w is None or last_w is None or not _is_soon(state, at):
        return False
    return echo_w * last_w > 0 and abs(echo_w) <= abs(last_w)


def revived(state: WatchdogState, at: float, effects: Effects) -> WatchdogState:
    """A setpoint of ours came back, perhaps by a beat: it is in force; no beat until a reset."""
    if not state.in_force or state.forgetting:
        effects.append(KeepForce(declared=False))
    state = replace(state, ended=True, in_force=True, forgetting=False, forget_at=math.inf)
    state = moves.to_idling(state, at, Cause.RESUMED, effects)
    return moves.to_latched(state, effects, Cause.RESUMED)


def failed(state: WatchdogState, at: float, effects: Effects) -> WatchdogState:
    """Tell, once a demand, that silence did not let the dead-man end what may be ours."""
    terms = state.terms
    # Also one that waited long, or was not answered.
    since = max(state.beat_at - terms.heartbeat_s, state.fed_at, state.silent_since)
    asks = state.phase in OWING or (state.phase is Phase.IDLE and state.ended)
    reaches = state.session_up and not (state.local or state.blocked)
    if state.deadman_failed or not asks or not reaches or terms.heartbeat is HeartbeatForm.NONE:
        return state
    due_at = since + terms.deadman_s + terms.silence_s
    echo_w = state.echo_w if state.echo_at >= due_at else None
    if echo_w is not None and (state.is_zero(echo_w) or not state.may_be_ours(echo_w)):
        echo_w = None
    power_w = state.power_w if state.power_at >= due_at else None
    if power_w is not None and not is_ours(power_w, state.last_w):
        power_w = None
    if echo_w is None and power_w is None:
        return state
    effects.append(DeadmanFailed(at - since, echo_w, power_w))
    return replace(state, deadman_failed=True)


def forget(state: WatchdogState, effects: Effects) -> WatchdogState:
    """Nothing is in force: say so on the disk. Until that is done, nobody may arm."""
    effects.append(ForgetForce())
    return replace(state, forgetting=True)


def forgotten(state: WatchdogState, at: float, *, ok: bool) -> WatchdogState:
    """Take the disk's answer; what it could not keep is tried again."""
    if not state.forgetting:
        return state  # something began meanwhile
    if ok:
        return replace(state, forgetting=False, in_force=False, blocked=False, span_w=(0.0, 0.0))
    return replace(state, forgetting=False, forget_at=at + state.terms.keep_again_s)


def due(state: WatchdogState, at: float, effects: Effects) -> WatchdogState:
    """Ask for a read of the power, and try again what the disk could not keep."""
    if at >= state.forget_at:
        state = replace(state, forget_at=math.inf)
        if state.in_force and state.demand is None and state.dispatch is None:
            # What two reads showed then need not be so now.
            gone = state.power_w is not None and _is_gone(state.power_w, state.terms)
            state = forget(state, effects) if gone else echoed(state, at)
    settling = state.settling
    if settling is not None and at >= settling.read_at:
        effects.append(ReadEcho())
        state = replace(state, settling=replace(settling, read_at=math.inf))
    return state


def is_ours(power_w: float, last_w: float | None) -> bool:
    """Whether measured power looks like our setpoint: its sign, and more than half its size.

    A meter's offset does not; withholding the heartbeat could not help against one.
    """
    return last_w is not None and power_w * last_w > 0 and abs(power_w) > abs(last_w) / 2


def late(state: WatchdogState, at: float, effects: Effects) -> WatchdogState:
    """Power ought to be gone by now: say that it is not, and let the dead-man try where it can."""
    settling, since = state.settling, state.drifts_since
    if settling is not None and at >= settling.late_at and not settling.told:
        known_w = state.power_w if at - state.power_at <= 2 * state.terms.settle_s else None
        ours = known_w is not None and is_ours(known_w, state.last_w)
        effects.append(PowerStays(known_w, withheld=ours))
        told = replace(settling, told=True)
        return replace(state, settling=told, ended=state.ended or ours)
    if since is not None and at - since >= state.terms.drift_s:
        effects.append(PowerDrifts(state.power_w or 0.0))
        return replace(state, settling=Settling(at, math.inf, told=True), drifts_since=None)
    return state


def wake_at(state: WatchdogState) -> float:
    """Monotonic s at which something here falls due."""
    times = [state.forget_at]
    if state.settling is not None:
        times.append(state.settling.read_at)
    if state.settling is not None and not state.settling.told:
        times.append(state.settling.late_at)
    if state.drifts_since is not None:
        times.append(state.drifts_since + state.terms.drift_s)
    return min(times)


def next_beat(state: WatchdogState) -> int | None:
    """Value of the next heartbeat; None: the RTAC's own counter is not known."""
    if state.terms.heartbeat is HeartbeatForm.ECHO:
        return state.der_beat
    first, last = state.terms.beats
    return state.beat + 1 if first <= state.beat < last else first


def refused(state: WatchdogState, effects: Effects) -> WatchdogState:
    """Zero was refused; perhaps for want of a heartbeat: zero, beat, zero, once a demand.

    That it was used is kept before it is sent: each start would else feed the dead-man with it.
    """
    able = state.terms.heartbeat is not HeartbeatForm.NONE and state.phase in GROUPING
    # Commissioning saw it accepted without one: then a person decides whether to try.
    unfed = state.terms.zero_needs_beat is False and not state.worded
    if not able or unfed or state.grouped or state.ended:
        return state
    effects.append(KeepGroup(used=True))
    return replace(state, grouped=True)


def group(state: WatchdogState, at: float, effects: Effects) -> WatchdogState:
    """It is kept: beat and zero, and nothing between."""
    demand = state.demand
    if demand is None or not state.owes_zero() or state.phase not in GROUPING:
        return state
    value = next_beat(state)
    if value is None:
        return state
    token, terms = state.token + 1, state.terms
    effects.append(WriteIdle(token, beat=value))
    demand = replace(
        demand,
        write_at=at + terms.idle_repeat_s,
        busy_until=at + LONGEST_ZERO * terms.response_s,
        newest=token,
    )
    state = replace(beaten(state, at), demand=demand, token=token, beat=value)
    return replace(state, feeds=token, beat_at=at + terms.heartbeat_s)


def anew(
    state: WatchdogState, at: float, effects: Effects, *, leaves: bool = False
) -> WatchdogState:
    """An operator's word: a demand with a V and a group of its own, in IDLING.

    Heartbeats wait for V as it ran on. ESTOP stays, unless the word ``leaves`` it.
    """
    if state.grouped:
        effects.append(KeepGroup(used=False))
    stays = state.phase is Phase.ESTOP and not leaves
    if state.phase in LASTING and not stays:
        effects.append(KeepPhase(None, stop_owed=False))
    state = replace(
        state, grouped=False, ended=False, fresh=False, deadman_failed=False, worded=True
    )
    if stays:
        return moves.to_idling(state, at, Cause.ORDERED, effects)
    return moves.arrive(state, at, Cause.ORDERED, effects)


def declared(state: WatchdogState, effects: Effects, *, elsewhere: bool) -> WatchdogState:
    """An operator who visited the site says that nothing is in force. It is no proof."""
    effects.append(KeepForce(declared=True))
    differs = state.blocked and not elsewhere
    state = replace(state, declared=True, declared_elsewhere=elsewhere, declared_by_others=differs)
    return replace(state, in_force=False, blocked=False)


def belied(state: WatchdogState, at: float, effects: Effects) -> WatchdogState:
    """A read shows that what was declared was not so: in force, and blocked where it was."""
    effects.append(KeepForce(declared=False))
    blocked = state.declared_by_others
    state = replace(state, declared=False, in_force=True, blocked=blocked)
    if state.phase in RESTING:
        return revived(state, at, effects)
    if state.phase is Phase.LOCAL:  # on remote zero is demanded anyway
        return state
    return moves.to_idling(state, at, Cause.RESUMED, effects)
