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
    ForgetForce,
    KeepForce,
    KeepGroup,
    KeepPhase,
    PowerStays,
    ReadEcho,
    WriteIdle,
)
from gateway.control.watchdog.state import LASTING, Settling
from gateway.control.watchdog.words import Cause, HeartbeatForm

if TYPE_CHECKING:
    from gateway.control.watchdog.events import ForceBegun, PowerRead
    from gateway.control.watchdog.moves import Effects
    from gateway.control.watchdog.state import WatchdogState

GROUPING = frozenset({Phase.IDLING, Phase.ESTOP})
# In response timeouts: a read that is dropped for it and the new connection, two points of power
# and a mode, each selected first. A zero behind one that is under way would go before its read.
LONGEST_ZERO = 8


def begun(state: WatchdogState, event: ForceBegun) -> WatchdogState:
    """A record is on its way to the disk: from now on zero is owed at the end, whatever comes."""
    last_w = event.setpoint_w or state.last_w
    if state.dispatch is not None:  # that one is in force until this one is written
        last_w = state.last_w
    return replace(state, in_force=True, forgetting=False, last_w=last_w, declared=False)


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
    return replace(state, settling=settling, drifts_since=None)


def power(state: WatchdogState, event: PowerRead, at: float, effects: Effects) -> WatchdogState:
    """Take a read of the measured power."""
    terms = state.terms
    gone = abs(event.value_w - terms.idle_w) <= terms.zero_band_w
    state = replace(state, power_w=event.value_w, power_at=event.at_s)
    if state.declared and is_ours(event.value_w, state.last_w):
        return belied(state, at, effects)
    settling = state.settling
    if settling is None:
        drifts = not gone and state.phase is Phase.IDLE
        since = at if state.drifts_since is None else state.drifts_since
        return replace(state, drifts_since=since if drifts else None)
    if not gone:
        return replace(state, settling=replace(settling, good_at=None))
    if settling.good_at is None and math.isfinite(event.at_s):  # else nobody asked for it
        settling = replace(settling, good_at=event.at_s, read_at=event.at_s + terms.apart_s)
        return replace(state, settling=settling)
    if settling.good_at is None or event.at_s - settling.good_at < terms.apart_s:
        return state
    known = state.in_force or state.declared  # of both the disk has a fact
    state = replace(state, settling=None, declared=False, ended=False, in_force=known)
    return forget(state, effects) if known else state


def forget(state: WatchdogState, effects: Effects) -> WatchdogState:
    """Nothing is in force: say so on the disk. Until that is done, nobody may arm."""
    effects.append(ForgetForce())
    return replace(state, forgetting=True)


def forgotten(state: WatchdogState, at: float, *, ok: bool) -> WatchdogState:
    """Take the disk's answer; what it could not keep is tried again."""
    if not state.forgetting:
        return state  # something began meanwhile
    if ok:
        return replace(state, forgetting=False, in_force=False, blocked=False)
    return replace(state, forgetting=False, forget_at=at + state.terms.keep_again_s)


def due(state: WatchdogState, at: float, effects: Effects) -> WatchdogState:
    """Ask for a read of the power, and try again what the disk could not keep."""
    settling = state.settling
    if settling is not None and at >= settling.read_at:
        effects.append(ReadEcho())
        state = replace(state, settling=replace(settling, read_at=math.inf))
    if at >= state.forget_at:
        state = replace(state, forget_at=math.inf)
        if state.in_force and state.demand is None and state.dispatch is None:
            state = forget(state, effects)
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
    if since is not None and at - since >= state.terms.settle_s:
        effects.append(PowerStays(state.power_w, withheld=False))
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
        times.append(state.drifts_since + state.terms.settle_s)
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
        demand, write_at=at + terms.idle_repeat_s, busy_until=at + LONGEST_ZERO * terms.response_s
    )
    return replace(state, demand=demand, token=token, beat=value, beat_at=at + terms.heartbeat_s)


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
    state = replace(state, grouped=False, ended=False, worded=True)
    if stays:
        return moves.to_idling(state, at, Cause.ORDERED, effects)
    return moves.arrive(state, at, Cause.ORDERED, effects)


def declared(state: WatchdogState, effects: Effects) -> WatchdogState:
    """An operator who visited the site says that nothing is in force. It is no proof."""
    effects.append(KeepForce(declared=True))
    return replace(state, declared=True, in_force=False, blocked=False)


def belied(state: WatchdogState, at: float, effects: Effects) -> WatchdogState:
    """A read shows that what was declared was not so."""
    effects.append(KeepForce(declared=False))
    return anew(replace(state, declared=False, in_force=True), at, effects)
