"""When a connection is dropped so that zero leaves, and power does not. Pure.

A request that is under way cannot be interrupted, only its connection can be dropped; the zero
that waits then leaves as the second frame of the new one, behind opendnp3's DISABLE_UNSOLICITED and
before its startup integrity poll (seen with yadnp3 3.2.1.4). Where commissioning found that a new
connection takes longer than the zero waits, it waits on. Power that must not leave ends the
connection in any case: what follows can wait.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.field.dnp3 import connection
from gateway.field.dnp3 import words as w
from gateway.field.dnp3.words import SessionPhase

if TYPE_CHECKING:
    from gateway.field.dnp3.words import Instant, Order, SessionPlan, SessionState

DEMAND_DROPS = 2  # while one demand lasts
LATE_DROPS, LATE_S = 3, 600.0  # in any ten minutes
GRACE_S = 0.1  # a request that began just before ends by its own response timeout


def press(
    state: SessionState, now: Instant, plan: SessionPlan, orders: list[Order]
) -> SessionState:
    """Drop the connection where power must not leave over it, or zero cannot."""
    if now.s >= now.stop_s:
        demanded = math.isinf(now.stop_s)
        why = "it may not leave any more" if demanded else "its time is over"
        cause = f"power was being written, and {why}"
        return connection.drop(state, now, orders, cause, waited=False)
    if math.isinf(now.urgent_s) and state.held:
        orders.append(w.TellHeld(""))
        return replace(state, held=False)
    if now.s < _late_at(state, now, plan):
        return state
    waited = f"zero waited {plan.response_timeout_s:g} s behind another request"
    if now.s >= _free_at(state):
        return connection.drop(state, now, orders, waited, waited=True)
    if state.held:
        return state
    many = f"{waited}, and the connection was dropped for it {len(state.drops)} times"
    if not state.drops_for_zero:
        many = f"{waited}, and no connection is dropped for it"
    orders.append(w.TellHeld(many))
    return replace(state, held=True)


def demanded(state: SessionState, event: w.ZeroDemanded, now: Instant) -> SessionState:
    """Count drops anew with each demand."""
    drops = tuple(at_s for at_s in state.drops if now.s < at_s + LATE_S)
    return replace(
        state,
        drops=drops,
        demand_drops=0 if event.on and not state.demanded else state.demand_drops,
        demanded=event.on,
        drops_for_zero=event.drops,
    )


def press_at(state: SessionState, now: Instant, plan: SessionPlan) -> float:
    """When ``press`` has something to do (monotonic s)."""
    late_at = _late_at(state, now, plan)
    return min(now.stop_s, max(late_at, _free_at(state)) if state.held else late_at)


def _late_at(state: SessionState, now: Instant, plan: SessionPlan) -> float:
    """When a zero or a stop has waited too long on this connection."""
    if state.phase is SessionPhase.STARTING and now.urgent_s <= state.since_s:
        return math.inf  # it waited for this connection: nothing but DISABLE_UNSOLICITED precedes
    return max(now.urgent_s, state.since_s) + plan.response_timeout_s + GRACE_S


def _free_at(state: SessionState) -> float:
    """When a connection may be dropped again because a zero waits."""
    if state.demand_drops >= DEMAND_DROPS or not state.drops_for_zero:
        return math.inf
    late = state.drops[-LATE_DROPS:]
    return late[0] + LATE_S if len(late) == LATE_DROPS else -math.inf
