"""Which request of a DNP3 session is due, and which goes next: one at a time. Pure."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.field.dnp3 import words as w
from gateway.field.dnp3.connection import silence_s
from gateway.field.dnp3.iin import Iin
from gateway.field.dnp3.precedence import press_at
from gateway.field.dnp3.words import POLLS, REQUESTS, Attributes, Counting, SessionPhase

if TYPE_CHECKING:
    from gateway.field.dnp3.words import Instant, Order, SessionPlan, SessionState

START_S = 300.0  # from open to the end of the first integrity poll, while answers arrive
REQUEST_S = 300.0  # the longest that one request may take, while fragments arrive
FAILED_INTEGRITY_S = 30.0  # until a failed integrity poll is repeated, at most
_CRITICAL = ("rest", "critical")
_BEHIND_ZERO = "critical behind a zero"
_COUNTED = (Counting.ASK, Counting.ASKED, Counting.TAKEN)
HOLD_S = 0.05  # behind a control of a zero: the core hears of its answer, and sends the next one
REPEAT_S = 10.0  # between answers to one indication, however often it comes back


def due(state: SessionState, now: Instant, plan: SessionPlan) -> SessionState:
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


def end_at(state: SessionState, now: Instant, plan: SessionPlan) -> float:
    """Until when the request that is under way must have ended or brought something."""
    if not state.busy:
        return math.inf
    return min(max(state.busy_s, now.heard_s) + silence_s(plan), state.busy_s + REQUEST_S)


def check_at(state: SessionState, now: Instant, plan: SessionPlan) -> float:
    """When the link is checked: only after silence, as a check holds everything else up."""
    return max(state.check_at_s, now.heard_s + plan.link_check_s)


def indicated(state: SessionState, now: Instant, plan: SessionPlan) -> SessionState:
    """Want what the internal indications ask for."""
    if state.iin & Iin.DEVICE_RESTART and now.s >= state.restart_at_s + REPEAT_S:
        anew = {"clear_restart", "integrity"} | ({"unsolicited"} if plan.unsolicited else set())
        state = replace(state, wanted=state.wanted | anew, restart_at_s=now.s)
    if state.iin & Iin.EVENT_BUFFER_OVERFLOW and now.s >= state.overflow_at_s + REPEAT_S:
        # Events were lost: only class 0 tells the present values.
        state = replace(state, wanted=state.wanted | {"integrity"}, overflow_at_s=now.s)
    if plan.time_sync and state.iin & Iin.NEED_TIME and now.s >= state.time_at_s + REPEAT_S:
        state = replace(state, wanted=state.wanted | {"time"}, time_at_s=now.s)
    return state


def request_ended(
    state: SessionState, event: w.TaskEnded, now: Instant, plan: SessionPlan, orders: list[Order]
) -> SessionState:
    """A request of ours ended: tell of it, and note when it is due again."""
    kind, state = state.busy, replace(state, busy="")
    if kind == "operate" and state.zero:
        state = replace(state, hold_s=now.s + HOLD_S)
    if kind == "event" and state.counting in _COUNTED:
        state = _counted(state, event)
        if event.refused:
            return state
    if event.more:
        rest = "rest" if kind == "critical" else kind
        return replace(state, poll_failures=0, wanted=state.wanted | {rest})
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


def _counted(state: SessionState, event: w.TaskEnded) -> SessionState:
    """A read of a limited count of events ended: is it known here? Else all are read, at once."""
    unknown = event.refused or (state.counting is Counting.ASKED and not event.answered)
    if unknown:
        return replace(state, counting=Counting.NOT_HERE, wanted=state.wanted | {"event"})
    return replace(state, counting=Counting.TAKEN) if event.answered else state


def next_request(
    state: SessionState, now: Instant, plan: SessionPlan, orders: list[Order]
) -> SessionState:
    """Hand the most urgent request to opendnp3, if it has none."""
    if state.busy or (now.s < state.hold_s and not now.waiting):
        return state
    kind = _read(state)
    if now.waiting and _operates(state, now, kind):
        orders.append(w.Request("operate"))
        # The read that verifies a zero goes right behind it; behind every second one where others
        # wait, or zero upon zero would keep them waiting for ever.
        zero = now.urgent_s < math.inf
        read = "" if zero and state.read != _BEHIND_ZERO else state.read
        # Held once: zeros that are ordered one behind the other keep no read waiting.
        begins = zero and now.s >= state.hold_s
        state = replace(state, turn="operate", read=read, zero=begins, hold_s=-math.inf)
        return replace(state, busy="operate", busy_s=now.s)
    if kind is None:
        return state
    if kind in _CRITICAL:
        read = _BEHIND_ZERO if state.turn == "operate" and not state.read else kind
        state = replace(state, turn=kind, read=read)
    else:
        state = replace(state, turn=kind, read=kind, other=kind)
    counted = kind == "event" and state.counting in _COUNTED
    orders.append(w.Request("all_events" if kind == "event" and not counted else kind))
    if counted and state.counting is Counting.ASK:
        state = replace(state, counting=Counting.ASKED)
    done = {"integrity": {"integrity", "event"}, "critical": {"critical", "rest"}}.get(kind, {kind})
    busy = "critical" if kind == "rest" else kind
    state = replace(state, busy=busy, busy_s=now.s, wanted=state.wanted - done)
    if kind == "integrity":  # it reads the events too
        return replace(state, event_at_s=now.s + plan.event_poll_s)
    return replace(state, attributes=Attributes.ASKED) if kind == "attributes" else state


def _operates(state: SessionState, now: Instant, kind: str | None) -> bool:
    """Whether an operation goes before the read ``kind``, or before opendnp3's startup poll.

    The read that verifies a zero, which the startup poll may be, goes before all but zero and stop:
    a heartbeat, overdue, would take the turn that the next zero leaves, each time anew.
    """
    if now.urgent_s < math.inf:
        return True
    starting = state.phase is SessionPhase.STARTING
    if state.demanded and not state.read and (starting or kind in _CRITICAL):
        return False
    # opendnp3 lets whatever waits go before its startup poll: so one does, and no more.
    return now.first or state.turn != "operate" or (kind is None and not starting)


def _read(state: SessionState) -> str | None:
    """The read whose turn it is: the critical one and all others alternate.

    A critical read that has begun is read to its end before it is begun anew, however often it is
    asked for; and the others go round, for one that is wanted again and again keeps none waiting.
    """
    if state.phase is not SessionPhase.UP:
        return None
    critical = [kind for kind in _CRITICAL if kind in state.wanted]
    last = REQUESTS.index(state.other) + 1 if state.other else 0
    others = [kind for kind in (*REQUESTS[last:], *REQUESTS[:last]) if kind in state.wanted]
    others = [kind for kind in others if kind not in _CRITICAL]
    again = state.read in (*_CRITICAL, _BEHIND_ZERO)
    if state.turn in _CRITICAL and "rest" in critical:  # no control waits between the two
        return "rest"
    waiting = (*others, *critical) if again else (*critical, *others)
    return next(iter(waiting), None)


def look_at(state: SessionState, now: Instant, plan: SessionPlan) -> float | None:
    """Monotonic s at which something is due; None: nothing is."""
    if state.phase is SessionPhase.IDLE:
        return None
    if state.phase in (SessionPhase.WAITING, SessionPhase.CONNECTING):
        return state.until_s
    if state.phase is SessionPhase.STARTING:
        quiet = max(state.since_s, now.heard_s) + silence_s(plan)
        return min(quiet, state.since_s + START_S, press_at(state, now, plan))
    checked = check_at(state, now, plan)
    if state.checking_s is not None:
        checked = state.checking_s + silence_s(plan)
    due = [
        end_at(state, now, plan),
        state.event_at_s,
        state.integrity_at_s,
        checked,
        press_at(state, now, plan),
    ]
    due += [] if plan.critical_poll_s is None else [state.critical_at_s]
    due += [state.hold_s] if now.s < state.hold_s else []
    if state.iin & Iin.EVENT_BUFFER_OVERFLOW:
        due.append(state.overflow_at_s + REPEAT_S)
    if plan.time_sync and state.iin & Iin.NEED_TIME:
        due.append(state.time_at_s + REPEAT_S)
    if state.iin & Iin.DEVICE_RESTART:
        due.append(state.restart_at_s + REPEAT_S)
    return min(due)
