"""Decides what a DNP3 session does next: connect, poll, check the link, give up, wait.

Pure: ``handle(event, now)`` returns the next state and the orders to carry out; the session's
shell carries them out and feeds back what opendnp3 reported.

    IDLE --Started--> CONNECTING --Opened--> STARTING --startup poll ok--> UP
    CONNECTING, STARTING, UP --Closed, no answer, link dead--> WAITING --back-off--> CONNECTING
    STARTING, UP --zero waited too long, or power must be stopped--> CONNECTING, see ``precedence``
    any --Stopped--> IDLE

Four things that a reader would get wrong:
- Every connection gets a new opendnp3 channel: after ``Disable(); Enable()`` of an old one its
  startup integrity poll is not repeated (seen with yadnp3 3.2.1.4).
- One request at a time is handed to opendnp3, because its ``OnTaskComplete`` does not say which
  of several ended.
- opendnp3's own connection retry has no jitter, so it is never given the time: each attempt is
  ended here, and the next one begins after our own back-off.
- What a restart, an overflow or NEED_TIME needs is ordered here: opendnp3 repeats it as fast as the
  bit comes back, thousands of requests a second to an outstation that never clears it.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gateway.field.dnp3 import connection, precedence, schedule
from gateway.field.dnp3 import words as w
from gateway.field.dnp3.connection import LINKED
from gateway.field.dnp3.iin import FLEETING, Iin
from gateway.field.dnp3.schedule import REPEAT_S, START_S
from gateway.field.dnp3.words import Attributes, Counting, SessionPhase, SessionState

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.field.dnp3.words import Event, Instant, Order, SessionPlan

LINK_FAILURES = 2  # checks in a row without an answer, the second at once; section 3: <= 3
POLL_FAILURES = 3  # reads in a row without an answer, while the link layer still answers


def handle(
    state: SessionState, event: Event, now: Instant, plan: SessionPlan
) -> tuple[SessionState, tuple[Order, ...]]:
    """Take one event.

    Args:
        state: before it.
        event: what happened.
        now: when.
        plan: the session's settings.

    Returns:
        The state after it, and the orders in the sequence in which to carry them out.
    """
    orders: list[Order] = []
    state = _TAKE[type(event)](state, event, now, plan, orders)
    state = _ON_TIME[state.phase](state, now, plan, orders)
    if state.phase in LINKED:
        state = precedence.press(state, now, plan, orders)
    if state.phase in LINKED:
        state = schedule.next_request(state, now, plan, orders)
    elif now.waiting:
        cause = f"not connected: {state.reported or state.phase.value}"
        orders.append(w.FailOperations(cause, keep=state.dropped))
    return replace(state, look_at_s=schedule.look_at(state, now, plan)), tuple(orders)


# --- what happened -----------------------------------------------------------------------------


def _started(
    state: SessionState, _event: w.Started, now: Instant, _plan: SessionPlan, orders: list[Order]
) -> SessionState:
    return connection.connect(state, now, orders) if state.phase is SessionPhase.IDLE else state


def _stopped(
    state: SessionState, _event: w.Stopped, now: Instant, _plan: SessionPlan, orders: list[Order]
) -> SessionState:
    if state.told:
        orders.append(w.TellDown("stopped"))
    if state.phase not in (SessionPhase.IDLE, SessionPhase.WAITING):
        orders.append(w.Disconnect())
    return SessionState(since_s=now.s, reported="stopped")


def _opened(
    state: SessionState, _event: w.TcpOpened, now: Instant, _plan: SessionPlan, _orders: list[Order]
) -> SessionState:
    if state.phase is not SessionPhase.CONNECTING:
        return state
    again = {Attributes.ANSWERED: Attributes.ASK, Attributes.ASKED: Attributes.NEVER}
    anew = {Counting.NOT_HERE: Counting.ASK, Counting.ASKED: Counting.NEVER}
    return replace(
        connection.anew(state, SessionPhase.STARTING, now),
        attributes=again.get(state.attributes, state.attributes),
        counting=anew.get(state.counting, state.counting),
        wanted=state.wanted,
    )


def _closed(
    state: SessionState, _event: w.TcpClosed, now: Instant, plan: SessionPlan, orders: list[Order]
) -> SessionState:
    if state.phase is SessionPhase.UP:
        return connection.lose(
            state, now, orders, "closed: the outstation's end closed the connection"
        )
    if state.phase is SessionPhase.STARTING and now.heard_s < state.since_s:
        cause = "closed: connected, and closed before any answer; another master may hold it"
        return connection.lose(state, now, orders, connection.address_fault(state, plan) or cause)
    if state.phase is SessionPhase.STARTING:
        return connection.lose(state, now, orders, "closed: during the first integrity poll")
    return state


def _failed(
    state: SessionState,
    event: w.ConnectFailed,
    now: Instant,
    _plan: SessionPlan,
    orders: list[Order],
) -> SessionState:
    if state.phase is not SessionPhase.CONNECTING:
        return state
    word = "refused" if "refused" in event.text.lower() else "unreachable"
    return connection.lose(state, now, orders, f"{word}: {event.text}")


def _stray(
    state: SessionState, event: w.StraySeen, _now: Instant, _plan: SessionPlan, _o: list[Order]
) -> SessionState:
    return replace(state, stray=event)


def _noise(
    state: SessionState, event: w.NoiseSeen, _now: Instant, _plan: SessionPlan, _o: list[Order]
) -> SessionState:
    return replace(state, noise=event.text)


def _iin(
    state: SessionState, event: w.IinSeen, _now: Instant, _plan: SessionPlan, orders: list[Order]
) -> SessionState:
    if state.phase not in LINKED:
        return state
    told_iin = state.told_iin
    if ((event.iin ^ state.iin) | (event.iin ^ told_iin)) & ~FLEETING:
        orders.append(w.TellIin(event.iin))
        told_iin = event.iin
    return replace(state, iin=event.iin, told_iin=told_iin)


def _ended(
    state: SessionState, event: w.TaskEnded, now: Instant, plan: SessionPlan, orders: list[Order]
) -> SessionState:
    if state.phase not in LINKED:
        return state
    if event.task == "startup":
        return _startup_ended(state, event, now, plan, orders)
    if event.task == "disable_unsolicited":
        return connection.used(state, now, orders) if event.answered else state
    if event.task == "enable_unsolicited":
        # opendnp3 enables it after every startup integrity poll, and offers no setting for that.
        quiet = state.wanted | {"quiet"}
        return state if plan.unsolicited else replace(state, wanted=quiet)
    return schedule.request_ended(state, event, now, plan, orders)


def _startup_ended(
    state: SessionState, event: w.TaskEnded, now: Instant, plan: SessionPlan, orders: list[Order]
) -> SessionState:
    if state.phase is not SessionPhase.STARTING:
        return state
    if not event.ok:
        if not event.answered:
            return state  # opendnp3 asks again; silence has its own limit
        return connection.lose(state, now, orders, f"the integrity poll failed: {event.cause}")
    orders.append(w.TellPoll("startup", event.ok, event.cause))
    if not state.told:
        orders.append(w.TellUp())
    restarted = bool(state.iin & Iin.DEVICE_RESTART)
    return replace(
        state,
        phase=SessionPhase.UP,
        since_s=now.s,
        told=True,
        reported=None,
        # This poll was made after the restart: what is left is to acknowledge it, for which
        # there is a second; a restart seen after that is another one.
        wanted=state.wanted | ({"clear_restart"} if restarted else set()),
        restart_at_s=now.s + 1 - REPEAT_S if restarted else state.restart_at_s,
        event_at_s=now.s,  # at once: what it finds ends the backlog
        integrity_at_s=now.s + plan.integrity_poll_s,
        critical_at_s=now.s + (plan.critical_poll_s or 0),
        check_at_s=now.s + plan.link_check_s,
    )


def _checked(
    state: SessionState, event: w.LinkChecked, now: Instant, plan: SessionPlan, orders: list[Order]
) -> SessionState:
    if state.phase is not SessionPhase.UP or state.checking_s is None:
        return state
    # An outstation may not know link status requests; if it answers reads it is alive.
    if event.ok or now.heard_s >= state.checking_s:
        return replace(
            state, checking_s=None, link_failures=0, check_at_s=now.s + plan.link_check_s
        )
    failures = state.link_failures + 1
    if failures >= LINK_FAILURES:
        cause = f"silent: no answer to {failures} link checks, the connection is half open"
        return connection.lose(state, now, orders, cause)
    return replace(state, checking_s=None, link_failures=failures, check_at_s=now.s)


def _poll_asked(
    state: SessionState, event: w.PollAsked, _now: Instant, plan: SessionPlan, orders: list[Order]
) -> SessionState:
    if not state.told:
        orders.append(w.TellPoll(event.kind, ok=False, cause="not connected"))
        return state
    if event.kind == "critical" and plan.critical_poll_s is None:
        orders.append(w.TellPoll(event.kind, ok=True, cause="no critical points"))
        return state
    return replace(state, wanted=state.wanted | {event.kind})


def _demanded(
    state: SessionState, event: w.ZeroDemanded, now: Instant, _p: SessionPlan, _o: list[Order]
) -> SessionState:
    return precedence.demanded(state, event, now)


def _renew_asked(
    state: SessionState, _event: w.RenewAsked, now: Instant, _p: SessionPlan, orders: list[Order]
) -> SessionState:
    if state.phase is not SessionPhase.UP or state.demanded or now.urgent_s < math.inf:
        return state
    return connection.renew(state, now, orders)


def _looked(
    state: SessionState, _event: w.Event, _now: Instant, _plan: SessionPlan, _orders: list[Order]
) -> SessionState:
    return state


_TAKE: dict[
    type, Callable[[SessionState, Any, Instant, SessionPlan, list[Order]], SessionState]
] = {
    w.Started: _started,
    w.Stopped: _stopped,
    w.TcpOpened: _opened,
    w.TcpClosed: _closed,
    w.ConnectFailed: _failed,
    w.StraySeen: _stray,
    w.NoiseSeen: _noise,
    w.IinSeen: _iin,
    w.TaskEnded: _ended,
    w.LinkChecked: _checked,
    w.PollAsked: _poll_asked,
    w.OperateAsked: _looked,
    w.ZeroDemanded: _demanded,
    w.RenewAsked: _renew_asked,
    w.Ticked: _looked,
}


# --- what the time says ------------------------------------------------------------------------


def _idle(
    state: SessionState, _now: Instant, _plan: SessionPlan, _orders: list[Order]
) -> SessionState:
    return state


def _waiting(
    state: SessionState, now: Instant, _plan: SessionPlan, orders: list[Order]
) -> SessionState:
    return connection.connect(state, now, orders) if now.s >= state.until_s else state


def _connecting(
    state: SessionState, now: Instant, _plan: SessionPlan, orders: list[Order]
) -> SessionState:
    if now.s < state.until_s:
        return state
    return connection.lose(
        state, now, orders, "unreachable: nothing answers the connection request"
    )


def _starting(
    state: SessionState, now: Instant, plan: SessionPlan, orders: list[Order]
) -> SessionState:
    if now.s >= max(state.since_s, now.heard_s) + connection.silence_s(plan):
        return connection.lose(state, now, orders, connection.silence_cause(state, now, plan))
    if now.s >= state.since_s + START_S:
        cause = f"answers, but no integrity poll succeeded in {START_S:.0f} s"
        return connection.lose(state, now, orders, cause)
    return state


def _up(state: SessionState, now: Instant, plan: SessionPlan, orders: list[Order]) -> SessionState:
    if state.poll_failures >= POLL_FAILURES:
        cause = f"silent: {state.poll_failures} reads in a row were not answered"
        return connection.lose(state, now, orders, cause)
    if state.checking_s is not None and now.s >= state.checking_s + connection.silence_s(plan):
        state = _checked(state, w.LinkChecked(ok=False), now, plan, orders)
        if state.phase is not SessionPhase.UP:
            return state
    if now.s >= schedule.end_at(state, now, plan):
        cause = f"a request had no end in {now.s - state.busy_s:.0f} s"
        return connection.lose(state, now, orders, f"silent: {cause} ({state.busy})")
    if state.checking_s is None and now.s >= schedule.check_at(state, now, plan):
        orders.append(w.CheckLink())
        state = replace(state, checking_s=now.s)
    return schedule.indicated(schedule.due(state, now, plan), now, plan)


_ON_TIME: dict[
    SessionPhase, Callable[[SessionState, Instant, SessionPlan, list[Order]], SessionState]
] = {
    SessionPhase.IDLE: _idle,
    SessionPhase.WAITING: _waiting,
    SessionPhase.CONNECTING: _connecting,
    SessionPhase.STARTING: _starting,
    SessionPhase.UP: _up,
}
