"""Decides what a DNP3 session does next: connect, poll, check the link, give up, wait.

Pure: ``handle(event, now)`` returns the next state and the orders to carry out; the session's
shell carries them out and feeds back what opendnp3 reported.

    IDLE --Started--> CONNECTING --Opened--> STARTING --startup poll ok--> UP
    CONNECTING, STARTING, UP --Closed, no answer, link dead--> WAITING --back-off--> CONNECTING
    any --Stopped--> IDLE

Four things that a reader would get wrong:
- Every connection gets a new opendnp3 channel: after ``Disable(); Enable()`` of an old one its
  startup integrity poll is not repeated (seen with yadnp3 3.2.1.4).
- One request at a time is handed to opendnp3, because its ``OnTaskComplete`` does not say which
  of several ended.
- opendnp3's own connection retry has no jitter, so it is never given the time: each attempt is
  ended here, and the next one begins after our own back-off.
- What a restart or an overflow needs is ordered here: opendnp3 repeats it as fast as the bit comes
  back, hundreds of integrity polls a second from an outstation that never clears it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gateway.field.dnp3 import words as w
from gateway.field.dnp3.iin import FLEETING, Iin
from gateway.field.dnp3.words import Attributes, SessionPhase, SessionState

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.field.dnp3.words import Event, Instant, Order, SessionPlan

CONNECT_S = 10.0  # a SYN that nobody answers
RETRY_MIN_S, RETRY_MAX_S = 1.0, 30.0  # section 3: back-off with jitter
STEADY_S = 30.0  # a session that was up this long starts its back-off anew
START_S = 300.0  # from open to the end of the first integrity poll, while answers arrive
LINK_FAILURES = 2  # checks in a row without an answer, the second at once; section 3: <= 3
POLL_FAILURES = 3  # reads in a row without an answer, while the link layer still answers
FAILED_INTEGRITY_S = 30.0  # until a failed integrity poll is repeated, at most
REPEAT_S = 10.0  # between answers to one indication, however often it comes back
POLLS = ("integrity", "critical", "event")
REQUESTS = ("quiet", "clear_restart", *POLLS, "unsolicited", "attributes")  # the urgent first
_LINKED = (SessionPhase.STARTING, SessionPhase.UP)


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
    if state.phase in _LINKED:
        state = _next_request(state, now, plan, orders)
    elif state.operations:
        orders.append(w.FailOperations(f"not connected: {state.reported or state.phase.value}"))
        state = replace(state, operations=0)
    return replace(state, look_at_s=_look_at(state, now, plan)), tuple(orders)


# --- what happened -----------------------------------------------------------------------------


def _started(
    state: SessionState, _event: w.Started, now: Instant, _plan: SessionPlan, orders: list[Order]
) -> SessionState:
    return _connect(state, now, orders) if state.phase is SessionPhase.IDLE else state


def _stopped(
    state: SessionState, _event: w.Stopped, now: Instant, _plan: SessionPlan, orders: list[Order]
) -> SessionState:
    if state.phase is SessionPhase.UP:
        orders.append(w.TellDown("stopped"))
    if state.phase not in (SessionPhase.IDLE, SessionPhase.WAITING):
        orders.append(w.Disconnect())
    return SessionState(since_s=now.s, reported="stopped", operations=state.operations)


def _opened(
    state: SessionState, _event: w.TcpOpened, now: Instant, _plan: SessionPlan, _orders: list[Order]
) -> SessionState:
    if state.phase is not SessionPhase.CONNECTING:
        return state
    again = {Attributes.ANSWERED: Attributes.ASK, Attributes.ASKED: Attributes.NEVER}
    return SessionState(
        phase=SessionPhase.STARTING,
        since_s=now.s,
        attempt=state.attempt,
        reported=state.reported,
        operations=state.operations,
        attributes=again.get(state.attributes, state.attributes),
    )


def _closed(
    state: SessionState, _event: w.TcpClosed, now: Instant, plan: SessionPlan, orders: list[Order]
) -> SessionState:
    if state.phase is SessionPhase.UP:
        return _lose(state, now, orders, "closed: the outstation's end closed the connection")
    if state.phase is SessionPhase.STARTING and now.heard_s < state.since_s:
        cause = "closed: connected, and closed before any answer; another master may hold it"
        return _lose(state, now, orders, _address_fault(state, plan) or cause)
    if state.phase is SessionPhase.STARTING:
        return _lose(state, now, orders, "closed: during the first integrity poll")
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
    return _lose(state, now, orders, f"{word}: {event.text}")


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
    if state.phase not in _LINKED:
        return state
    if (event.iin ^ state.iin) & ~FLEETING:
        orders.append(w.TellIin(event.iin))
    return replace(state, iin=event.iin)


def _ended(
    state: SessionState, event: w.TaskEnded, now: Instant, plan: SessionPlan, orders: list[Order]
) -> SessionState:
    if state.phase not in _LINKED:
        return state
    if event.task == "startup":
        return _startup_ended(state, event, now, plan, orders)
    if event.task == "enable_unsolicited":
        # opendnp3 enables it after every startup integrity poll, and offers no setting for that.
        quiet = state.wanted | {"quiet"}
        return state if plan.unsolicited else replace(state, wanted=quiet)
    return _request_ended(state, event, now, plan, orders)


def _startup_ended(
    state: SessionState, event: w.TaskEnded, now: Instant, plan: SessionPlan, orders: list[Order]
) -> SessionState:
    if state.phase is not SessionPhase.STARTING:
        return state
    if not event.ok:
        if not event.answered:
            return state  # opendnp3 asks again; silence has its own limit
        return _lose(state, now, orders, f"the integrity poll failed: {event.cause}")
    orders += [w.TellPoll("startup", event.ok, event.cause), w.TellUp()]
    restarted = bool(state.iin & Iin.DEVICE_RESTART)
    return replace(
        state,
        phase=SessionPhase.UP,
        since_s=now.s,
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


def _request_ended(
    state: SessionState, event: w.TaskEnded, now: Instant, plan: SessionPlan, orders: list[Order]
) -> SessionState:
    kind, state = state.busy, replace(state, busy="")
    if kind in POLLS or kind == "attributes":
        orders.append(w.TellPoll(kind, event.ok, event.cause))
    if kind == "attributes":
        return replace(
            state, attributes=Attributes.ANSWERED if event.answered else Attributes.NEVER
        )
    if kind in POLLS:
        failures = 0 if event.answered else state.poll_failures + 1
        state = replace(state, poll_failures=failures)
    if kind == "integrity":
        wait_s = plan.integrity_poll_s
        wait_s = wait_s if event.ok else min(wait_s, FAILED_INTEGRITY_S)
        state = replace(state, integrity_at_s=now.s + wait_s)
    if kind == "event" and event.ok and not state.live:
        orders.append(w.CountAges())
        state = replace(state, live=True)
    return state


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
        return _lose(state, now, orders, cause)
    return replace(state, checking_s=None, link_failures=failures, check_at_s=now.s)


def _poll_asked(
    state: SessionState, event: w.PollAsked, _now: Instant, plan: SessionPlan, orders: list[Order]
) -> SessionState:
    if state.phase is not SessionPhase.UP:
        orders.append(w.TellPoll(event.kind, ok=False, cause="not connected"))
        return state
    if event.kind == "critical" and plan.critical_poll_s is None:
        orders.append(w.TellPoll(event.kind, ok=True, cause="no critical points"))
        return state
    return replace(state, wanted=state.wanted | {event.kind})


def _operate_asked(
    state: SessionState,
    _event: w.OperateAsked,
    _now: Instant,
    _plan: SessionPlan,
    _orders: list[Order],
) -> SessionState:
    return replace(state, operations=state.operations + 1)


def _ticked(
    state: SessionState, _event: w.Ticked, _now: Instant, _plan: SessionPlan, _orders: list[Order]
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
    w.OperateAsked: _operate_asked,
    w.Ticked: _ticked,
}


# --- what the time says ------------------------------------------------------------------------


def _idle(
    state: SessionState, _now: Instant, _plan: SessionPlan, _orders: list[Order]
) -> SessionState:
    return state


def _waiting(
    state: SessionState, now: Instant, _plan: SessionPlan, orders: list[Order]
) -> SessionState:
    return _connect(state, now, orders) if now.s >= state.until_s else state


def _connecting(
    state: SessionState, now: Instant, _plan: SessionPlan, orders: list[Order]
) -> SessionState:
    if now.s < state.until_s:
        return state
    return _lose(state, now, orders, "unreachable: nothing answers the connection request")


def _starting(
    state: SessionState, now: Instant, plan: SessionPlan, orders: list[Order]
) -> SessionState:
    if now.s >= max(state.since_s, now.heard_s) + _silence_s(plan):
        return _lose(state, now, orders, _silence_cause(state, now, plan))
    if now.s >= state.since_s + START_S:
        cause = f"answers, but no integrity poll succeeded in {START_S:.0f} s"
        return _lose(state, now, orders, cause)
    return state


def _up(state: SessionState, now: Instant, plan: SessionPlan, orders: list[Order]) -> SessionState:
    if state.poll_failures >= POLL_FAILURES:
        cause = f"silent: {state.poll_failures} reads in a row were not answered"
        return _lose(state, now, orders, cause)
    if state.checking_s is not None and now.s >= state.checking_s + _silence_s(plan):
        state = _checked(state, w.LinkChecked(ok=False), now, plan, orders)
        if state.phase is not SessionPhase.UP:
            return state
    if state.checking_s is None and now.s >= state.check_at_s:
        orders.append(w.CheckLink())
        state = replace(state, checking_s=now.s)
    return _indicated(_due(state, now, plan), now, plan)


def _due(state: SessionState, now: Instant, plan: SessionPlan) -> SessionState:
    """Want the polls whose time has come."""
    wanted = set(state.wanted)
    event_at_s, critical_at_s = state.event_at_s, state.critical_at_s
    integrity_at_s = state.integrity_at_s
    if now.s >= event_at_s:
        wanted.add("event")
        event_at_s = now.s + plan.event_poll_s
    if plan.critical_poll_s is not None and now.s >= critical_at_s:
        wanted.add("critical")
        critical_at_s = now.s + plan.critical_poll_s
    if now.s >= integrity_at_s:
        wanted.add("integrity")
        integrity_at_s = now.s + plan.integrity_poll_s
    if state.attributes is Attributes.ASK and state.live:
        wanted.add("attributes")
    return replace(
        state,
        wanted=frozenset(wanted),
        event_at_s=event_at_s,
        critical_at_s=critical_at_s,
        integrity_at_s=integrity_at_s,
    )


def _indicated(state: SessionState, now: Instant, plan: SessionPlan) -> SessionState:
    """Want what the internal indications ask for."""
    if state.iin & Iin.DEVICE_RESTART and now.s >= state.restart_at_s + REPEAT_S:
        anew = {"clear_restart", "integrity"} | ({"unsolicited"} if plan.unsolicited else set())
        state = replace(state, wanted=state.wanted | anew, restart_at_s=now.s)
    if state.iin & Iin.EVENT_BUFFER_OVERFLOW and now.s >= state.overflow_at_s + REPEAT_S:
        # Events were lost: only class 0 tells the present values.
        state = replace(state, wanted=state.wanted | {"integrity"}, overflow_at_s=now.s)
    return state


_ON_TIME: dict[
    SessionPhase, Callable[[SessionState, Instant, SessionPlan, list[Order]], SessionState]
] = {
    SessionPhase.IDLE: _idle,
    SessionPhase.WAITING: _waiting,
    SessionPhase.CONNECTING: _connecting,
    SessionPhase.STARTING: _starting,
    SessionPhase.UP: _up,
}


def _look_at(state: SessionState, now: Instant, plan: SessionPlan) -> float | None:
    if state.phase is SessionPhase.IDLE:
        return None
    if state.phase in (SessionPhase.WAITING, SessionPhase.CONNECTING):
        return state.until_s
    if state.phase is SessionPhase.STARTING:
        quiet = max(state.since_s, now.heard_s) + _silence_s(plan)
        return min(quiet, state.since_s + START_S)
    checked = state.check_at_s
    if state.checking_s is not None:
        checked = state.checking_s + _silence_s(plan)
    due = [state.event_at_s, state.integrity_at_s, checked]
    due += [] if plan.critical_poll_s is None else [state.critical_at_s]
    if state.iin & Iin.EVENT_BUFFER_OVERFLOW:
        due.append(state.overflow_at_s + REPEAT_S)
    if state.iin & Iin.DEVICE_RESTART:
        due.append(state.restart_at_s + REPEAT_S)
    return min(due)


# --- steps -------------------------------------------------------------------------------------


def _connect(state: SessionState, now: Instant, orders: list[Order]) -> SessionState:
    orders.append(w.Connect())
    return replace(state, phase=SessionPhase.CONNECTING, since_s=now.s, until_s=now.s + CONNECT_S)


def _lose(state: SessionState, now: Instant, orders: list[Order], cause: str) -> SessionState:
    """Give the connection up, tell the core if that is news, and wait."""
    if state.busy in POLLS:
        orders.append(w.TellPoll(state.busy, ok=False, cause=cause))
    if state.phase is SessionPhase.UP or cause != state.reported:
        orders.append(w.TellDown(cause))
    orders.append(w.Disconnect())
    steady = state.phase is SessionPhase.UP and now.s >= state.since_s + STEADY_S
    attempt = 0 if steady else state.attempt
    ceiling_s = min(RETRY_MAX_S, 2.0 ** (attempt + 1))
    wait_s = RETRY_MIN_S + now.luck * (ceiling_s - RETRY_MIN_S)
    return SessionState(
        phase=SessionPhase.WAITING,
        since_s=now.s,
        until_s=now.s + wait_s,
        attempt=min(attempt + 1, 5),
        reported=cause,
        operations=state.operations,
        attributes=state.attributes,
    )


def _next_request(
    state: SessionState, now: Instant, plan: SessionPlan, orders: list[Order]
) -> SessionState:
    """Hand the most urgent request to opendnp3, if it has none."""
    if state.busy:
        return state
    if state.operations:
        orders.append(w.Request("operate"))
        return replace(state, busy="operate", operations=state.operations - 1)
    if state.phase is not SessionPhase.UP:
        return state
    kind = next((k for k in REQUESTS if k in state.wanted), None)
    if kind is None:
        return state
    orders.append(w.Request(kind))
    done = {"integrity", "event"} if kind == "integrity" else {kind}
    state = replace(state, busy=kind, wanted=state.wanted - done)
    if kind == "integrity":  # it reads the events too
        return replace(state, event_at_s=now.s + plan.event_poll_s)
    return replace(state, attributes=Attributes.ASKED) if kind == "attributes" else state


def _silence_s(plan: SessionPlan) -> float:
    return 2 * plan.response_timeout_s + 1


def _silence_cause(state: SessionState, now: Instant, plan: SessionPlan) -> str:
    if now.heard_s >= state.since_s:
        return "silent: it stopped answering before the first integrity poll was complete"
    if fault := _address_fault(state, plan):
        return fault
    return (
        f"silent: connected, but no answer from outstation address {plan.outstation_address}: "
        "wrong link address, or nothing behind the port"
    )


def _address_fault(state: SessionState, plan: SessionPlan) -> str:
    """What the frames that did arrive say about the addresses; "" if none arrived."""
    if state.stray is not None:
        return (
            f"wrong link address: the outstation is {state.stray.source} and speaks to master "
            f"{state.stray.destination}; configured are outstation {plan.outstation_address} "
            f"and master {plan.master_address}"
        )
    return f"not DNP3: {state.noise}" if state.noise else ""
