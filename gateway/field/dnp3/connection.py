"""How a DNP3 session makes a connection, gives one up, and says why. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.field.dnp3 import words as w
from gateway.field.dnp3.words import POLLS, Attributes, Counting, SessionPhase, SessionState

if TYPE_CHECKING:
    from gateway.field.dnp3.words import Instant, Order, SessionPlan

LINKED = (SessionPhase.STARTING, SessionPhase.UP)
CONNECT_S = 10.0  # a SYN that nobody answers
RETRY_MIN_S, RETRY_MAX_S = 1.0, 30.0  # section 3: back-off with jitter
STEADY_S = 30.0  # a session that was up this long starts its back-off anew


def connect(state: SessionState, now: Instant, orders: list[Order]) -> SessionState:
    """Make a connection; it is given up after ``CONNECT_S``."""
    orders.append(w.Connect())
    return replace(state, phase=SessionPhase.CONNECTING, since_s=now.s, until_s=now.s + CONNECT_S)


def anew(state: SessionState, phase: SessionPhase, now: Instant) -> SessionState:
    """Forget the connection that was, and nothing that outlives one."""
    return SessionState(
        phase=phase,
        since_s=now.s,
        attempt=state.attempt,
        reported=state.reported,
        attributes=state.attributes,
        counting=state.counting,
        told=state.told,
        told_iin=state.told_iin,
        drops=state.drops,
        demand_drops=state.demand_drops,
        dropped_s=state.dropped_s,
        demanded=state.demanded,
        drops_for_zero=state.drops_for_zero,
        held=state.held,
    )


def lose(state: SessionState, now: Instant, orders: list[Order], cause: str) -> SessionState:
    """Give the connection up, tell the core if that is news, and wait."""
    if state.busy in POLLS:
        orders.append(w.TellPoll(state.busy, ok=False, cause=cause))
    if state.told or cause != state.reported:
        orders.append(w.TellDown(cause))
    orders.append(w.Disconnect())
    steady = state.phase is SessionPhase.UP and now.s >= state.since_s + STEADY_S
    attempt = 0 if steady else state.attempt
    ceiling_s = min(RETRY_MAX_S, 2.0 ** (attempt + 1))
    wait_s = RETRY_MIN_S + now.luck * (ceiling_s - RETRY_MIN_S)
    return replace(
        anew(state, SessionPhase.WAITING, now),
        until_s=now.s + wait_s,
        attempt=min(attempt + 1, 5),
        reported=cause,
        told=False,
    )


def drop(
    state: SessionState, now: Instant, orders: list[Order], cause: str, *, waited: bool
) -> SessionState:
    """Drop the connection for a zero's sake, and make it again at once.

    Only a drop for a zero that ``waited`` counts: power that must not leave is stopped each time.

    The core is not told that the session is down: it goes on as it was, and hears of it only if
    the new connection is not made.
    """
    if state.busy in POLLS and state.busy != "critical":
        orders.append(w.TellPoll(state.busy, ok=False, cause=cause))
    critical = {"critical", "rest"} & {state.busy, *state.wanted}
    orders += [w.TellDropped(cause), w.Disconnect(keep=True)]
    # What was asked before may be asked again: it was we who hung up.
    again = {Attributes.ASKED: Attributes.ASK}
    uncounted = {Counting.ASKED: Counting.ASK}
    return replace(
        connect(anew(state, SessionPhase.CONNECTING, now), now, orders),
        attributes=again.get(state.attributes, state.attributes),
        counting=uncounted.get(state.counting, state.counting),
        dropped=True,
        drops=(*state.drops, now.s) if waited else state.drops,
        demand_drops=state.demand_drops + waited,
        dropped_s=now.s,
        # The startup poll reads the rest.
        wanted=frozenset({"critical"} if critical else ()),
    )


def renew(state: SessionState, now: Instant, orders: list[Order]) -> SessionState:
    """Drop the connection to see how long a new one takes: none of the drops that zero may have."""
    cause = "commissioning measures how long a new connection takes"
    return drop(state, now, orders, cause, waited=False)


def used(state: SessionState, now: Instant, orders: list[Order]) -> SessionState:
    """The first frame of a connection was answered: any other would be, too."""
    if state.dropped_s is not None:
        orders.append(w.TellRemade(now.s - state.dropped_s))
    return replace(state, dropped_s=None)


def silence_s(plan: SessionPlan) -> float:
    """How long nothing may be heard while an answer is due."""
    return 2 * plan.response_timeout_s + 1


def silence_cause(state: SessionState, now: Instant, plan: SessionPlan) -> str:
    """Why a session that starts hears nothing, for people."""
    if now.heard_s >= state.since_s:
        return "silent: it stopped answering before the first integrity poll was complete"
    if fault := address_fault(state, plan):
        return fault
    return (
        f"silent: connected, but no answer from outstation address {plan.outstation_address}: "
        "wrong link address, or nothing behind the port"
    )


def address_fault(state: SessionState, plan: SessionPlan) -> str:
    """What the frames that did arrive say about the addresses; "" if none arrived."""
    if state.stray is not None:
        return (
            f"wrong link address: the outstation is {state.stray.source} and speaks to master "
            f"{state.stray.destination}; configured are outstation {plan.outstation_address} "
            f"and master {plan.master_address}"
        )
    return f"not DNP3: {state.noise}" if state.noise else ""
