"""One DNP3 session: carries out what its supervisor orders, and tells the core.

Three threads meet here. opendnp3's thread delivers measurements (stored before it goes on) and
reports; the watch thread alone runs the supervisor and gives opendnp3 its orders; anybody may
ask for a poll or a control, which only puts the wish into a queue.
"""

from __future__ import annotations

import logging
import math
import random
import threading
from collections import deque
from typing import TYPE_CHECKING

from gateway import clock, events
from gateway.field.dnp3 import headers, supervise
from gateway.field.dnp3 import words as w
from gateway.field.dnp3.critical import CriticalReads
from gateway.field.dnp3.fragments import SKEW_MS, AttributeHandler, FragmentHandler
from gateway.field.dnp3.iin import EVENTS_WAIT, names, refusal
from gateway.field.dnp3.operation import (
    LESS_POWER,
    LOCAL,
    WITHHELD,
    ZERO_DEMANDED,
    Licence,
    Operation,
)
from gateway.field.dnp3.stack import EndedTask, Stack
from gateway.field.dnp3.time_sync import TimeSync
from gateway.field.dnp3.waiting import WaitingOperations
from gateway.ports import Outcome, OutcomeKind, Purpose

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.clock import Now
    from gateway.config.site import AssetSettings
    from gateway.events import Post
    from gateway.field.dnp3.engine import Engine
    from gateway.ports import Control, FragmentSink

log = logging.getLogger(__name__)

_CAUSES = {  # opendnp3's TaskCompletion, for people
    "FAILURE_RESPONSE_TIMEOUT": "no answer in time",
    "FAILURE_BAD_RESPONSE": "an answer that cannot be read",
    "FAILURE_START_TIMEOUT": "not sent: other requests took too long",
    "FAILURE_NO_COMMS": "the connection was lost",
}


class Dnp3Session:
    """A ``Pathway`` to one outstation.

    Args:
        engine: opendnp3 for this connection.
        asset: whose session, and its settings.
        critical: names of the points to read every ``critical_poll_s``.
        store: makes a fragment durable; called on the dnp3 thread.
        poll_done: called on the dnp3 thread with asset and kind when a read ended, well or not.
        post: the core's inbox.
        now: both clocks.
        critical_poll_s: seconds between reads of the critical points.
    """

    def __init__(
        self,
        engine: Engine,
        asset: AssetSettings,
        *,
        critical: frozenset[str],
        store: FragmentSink,
        poll_done: Callable[[str, str], None] | None,
        post: Post,
        now: Callable[[], Now] = clock.now,
        critical_poll_s: float = 5.0,
    ) -> None:
        self._engine, self._asset, self._settings = engine, asset.id, asset.dnp3
        self._post, self._now, self._poll_done = post, now, poll_done
        self._critical = CriticalReads(critical)
        settings = asset.dnp3
        self._plan = w.SessionPlan(
            outstation_address=settings.outstation_address,
            master_address=settings.master_address,
            response_timeout_s=settings.response_timeout_s,
            event_poll_s=settings.event_poll_s,
            integrity_poll_s=settings.integrity_poll_s,
            critical_poll_s=critical_poll_s if self._critical else None,
            link_check_s=settings.link_check_s,
            unsolicited=settings.unsolicited,
            time_sync=settings.time_sync != "none",
        )
        # An event may wait for the next poll, and that poll for its answer.
        late_ms = round((settings.event_poll_s + settings.response_timeout_s) * 1000)
        self._points = FragmentHandler(
            asset.id, store, post, now=now, late_ms=max(SKEW_MS, late_ms)
        )
        self._state = w.SessionState()
        self._inbox: deque[tuple[Stack | None, w.Event]] = deque()
        self._operations = WaitingOperations()
        self._operation: Operation | None = None  # the last one that was handed to opendnp3
        self._demanded = False  # zero is owed to the battery; written by whoever publishes it
        self._local = False  # the site has the authority; as that
        self._licence = Licence(now, lambda: self._demanded, lambda: self._local)
        self._giving = False  # a heartbeat that waits gives way
        self._withheld = False  # and so does one that goes before reads
        self._stack: Stack | None = None
        self._stacks = 0
        self._answer_s = 0.0  # of a critical read, its slowest request so far; 0: none was answered
        self._attributes = AttributeHandler()
        self._heard_s = 0.0
        self._sent = now()  # when the request that is under way was sent
        self._started = False
        self._closed = threading.Event()

    # --- Pathway: any thread

    @property
    def beat(self) -> float:
        """CLOCK_BOOTTIME seconds of the last sign of life of opendnp3's thread."""
        return self._engine.beat

    @property
    def phase(self) -> w.SessionPhase:
        """Where the session stands."""
        return self._state.phase

    def start(self) -> None:
        """Begin to connect; it goes on until ``close``."""
        self._started = True
        self._engine.add(self)
        self._tell(None, w.Started())

    def poll(self, kind: str) -> None:
        """Order a read: integrity | event | critical. Answered by ``PollDone``."""
        if kind not in w.POLLS:
            text = f"poll {kind!r}: must be one of {' '.join(w.POLLS)}"
            raise ValueError(text)
        self._tell(None, w.PollAsked(kind))

    def operate(
        self,
        controls: Sequence[Control],
        *,
        sbo: bool,
        done: Callable[[Outcome], None],
        by: float = math.inf,
        purpose: Purpose = Purpose.POWER,
        first: bool = False,
    ) -> None:
        """Carry out ``controls`` one after another; controls and reads that wait take turns.

        Args:
            controls: one or more; the first that does not succeed ends the request. opendnp3's
                binding cannot put several into one request.
            sbo: select before operate, else direct operate.
            done: takes the outcome once, on the dnp3 thread or the watch thread.
            by: CLOCK_BOOTTIME s; what has waited longer is not sent and has FAILED.
            purpose: what the controls do to the battery's power.
            first: no read goes before it, as none goes before zero.
        """
        operation = Operation(
            tuple(controls),
            done,
            sbo=sbo,
            by=by,
            purpose=purpose,
            first=first,
            licence=self._licence,
        )
        self._operations.put(operation)
        self._tell(None, w.OperateAsked())

    def demand(self, *, on: bool, drops: bool = True) -> None:
        """Zero is owed to the battery, or none is any more; holds from this instant on."""
        self._demanded = on
        self._tell(None, w.ZeroDemanded(on, drops))

    def renew(self) -> None:
        """Drop the connection and make it again, unless zero is owed: ``ConnectionRemade``."""
        self._tell(None, w.RenewAsked())

    def hands_off(self, *, on: bool) -> None:
        """The site has the authority, or no more; holds from this instant on."""
        self._local = on
        self._tell(None, w.OperateAsked())

    def give_way(self, *, withheld: bool = False) -> None:
        """A heartbeat that waits for its turn is not sent: less power goes before it.

        ``withheld``: none may leave any more, not even one that goes before reads.
        """
        self._withheld = self._withheld or withheld  # first: the watch thread looks at the other
        self._giving = True
        self._tell(None, w.OperateAsked())

    def close(self, *, within_s: float) -> None:
        """Disconnect for good; return when done or after ``within_s`` seconds."""
        if not self._started:
            return
        self._tell(None, w.Stopped())
        if not self._closed.wait(within_s):
            log.warning("%s: DNP3 session not closed within %.1f s", self._asset, within_s)
        self._engine.remove(self)

    # --- the watch thread

    def advance(self) -> float | None:
        """Take what was reported, let the supervisor decide, carry out its orders."""
        while self._inbox:
            stack, event = self._inbox.popleft()
            if stack is None or stack is self._stack:  # a dropped stack may still speak
                self._handle(event)
        self._give_back_late()
        at_s = self._state.look_at_s
        if at_s is not None and self._now().mono_s >= at_s:
            self._handle(w.Ticked())
        look_at_s = self._state.look_at_s
        due_s = min(self._operations.by, math.inf if look_at_s is None else look_at_s)
        return None if math.isinf(due_s) else due_s

    def _give_back_late(self) -> None:
        """What is too late is not held until its turn: the core sends nothing beside it."""
        now_s = self._now().mono_s
        for operation in self._operations.take(lambda one: now_s > one.by):
            operation.judge()
            operation.refuse(self._engine)

    def _handle(self, event: w.Event) -> None:
        if self._demanded:
            # A heartbeat that waits would be one transaction more before the zero behind it; those
            # that are ordered later wait for their turn.
            news = isinstance(event, w.ZeroDemanded)
            gone = (Purpose.POWER, Purpose.BEAT) if news else (Purpose.POWER,)
            self._take_back(lambda one: one.purpose in gone, ZERO_DEMANDED)
        if self._local:
            self._take_back(lambda one: one.purpose is not Purpose.BEAT, LOCAL)
        if self._giving:
            self._giving = False
            if withheld := self._withheld:
                self._withheld = False
            self._take_back(
                lambda one: one.purpose is Purpose.BEAT and (withheld or not one.first),
                WITHHELD if withheld else LESS_POWER,
            )
        self._state, orders = supervise.handle(self._state, event, self._instant(), self._plan)
        for order in orders:
            self._carry_out(order)
        if isinstance(event, w.Stopped):
            self._closed.set()

    def _take_back(self, which: Callable[[Operation], bool], why: str) -> None:
        for operation in self._operations.take(which):
            operation.finish(Outcome(OutcomeKind.FAILED, (), why), self._engine)

    def _instant(self) -> w.Instant:
        operation = self._operation
        if operation is not None and operation.over:
            operation = None
        urgent_s = self._operations.urgent_s
        if operation is not None and operation.purpose is Purpose.ZERO:
            # One that is on the wire already is what others wait for, and it ends by itself.
            urgent_s = math.inf if operation.started else min(urgent_s, operation.asked_s)
        return w.Instant(
            self._now().mono_s,
            self._heard_s,
            random.random(),  # noqa: S311 - jitter
            waiting=len(self._operations),
            first=self._operations.first,
            urgent_s=urgent_s,
            stop_s=math.inf
            if operation is None
            else operation.stop_s(heard=self._heard_s > self._sent.mono_s),
        )

    def _carry_out(self, order: w.Order) -> None:
        match order:
            case w.Connect():
                self._connect()
            case w.Disconnect():
                self._disconnect(keep=order.keep)
            case w.CheckLink():
                if self._stack is not None:
                    self._stack.check_link()
            case w.Request():
                if self._stack is not None:
                    self._request(self._stack, order.kind)
            case w.FailOperations():
                self._fail_operations(order.cause, keep=order.keep)
            case w.CountAges():
                self._points.live = True
            case _:
                self._tell_core(order)

    def _tell_core(self, order: w.Order) -> None:
        asset, at = self._asset, self._now()
        match order:
            case w.TellUp():
                self._post(events.SessionUp(asset, at))
            case w.TellDown():
                self._post(events.SessionDown(asset, order.cause, at))
            case w.TellDropped():
                self._post(events.ConnectionDropped(asset, order.cause, at))
            case w.TellRemade():
                self._post(events.ConnectionRemade(asset, order.took_s, at))
            case w.TellHeld():
                self._post(events.OutputHeld(asset, order.cause, at))
            case w.TellIin():
                named = frozenset(names(order.iin))
                self._post(events.IinReceived(asset, order.iin, named, at))
            case w.TellPoll():
                if order.kind == "attributes" and self._attributes.taken:
                    self._post(events.AttributesRead(asset, dict(self._attributes.taken), at))
                read = order.kind == "critical"
                answer_s = self._answer_s or None if read else None
                missing = self._critical.missing if read else frozenset()
                done = (asset, order.kind, order.ok, order.cause, at, answer_s, missing)
                self._post(events.PollDone(*done))

    def _connect(self) -> None:
        self._stacks += 1
        self._critical.renew()
        self._points.live = False
        self._stack = Stack(
            self._engine,
            f"{self._asset}#{self._stacks}",
            self._settings,
            points=self._points,
            owner=self,
            now=self._now,
        )
        self._stack.open()

    def _disconnect(self, *, keep: bool) -> None:
        stack, self._stack = self._stack, None
        operation = self._operation
        if keep and operation is not None and operation.purpose is Purpose.ZERO:
            operation.keep = self._put_back
        if stack is not None:
            stack.drop()

    def _request(self, stack: Stack, kind: str) -> None:
        stack.on_end = None
        master = stack.master
        if kind == "integrity":
            master.ScanClasses(headers.EVERYTHING, self._points)
        elif kind == "event":
            master.Scan(headers.SOME_EVENTS, self._points)
        elif kind == "all_events":
            master.ScanClasses(headers.ALL_EVENTS, self._points)
        elif kind in ("critical", "rest"):
            if kind == "critical":
                self._critical.begin()
                self._answer_s = 0.0
            ranges = [headers.header(span) for span in self._critical.request]
            master.Scan(ranges, self._points)
        elif kind == "attributes":
            self._attributes = AttributeHandler()
            master.Scan(headers.ATTRIBUTES, self._attributes)
        elif kind == "time":
            TimeSync(self._settings.time_sync, now=self._now, sent=lambda: self._sent).run(stack)
        elif kind in headers.FUNCTIONS:
            master.PerformFunction(kind, *headers.FUNCTIONS[kind])
        elif kind == "operate":
            self._operate(stack)

    def _operate(self, stack: Stack) -> None:
        operation = self._operations.next()
        if operation is not None:
            operation.judge()
        if operation is None or operation.fault:
            if operation is not None:
                operation.refuse(self._engine)
            self._tell(stack, w.TaskEnded("request", ok=False, answered=True, cause=""))
        else:
            self._operation = operation
            operation.run(stack)
            self._tell(stack, w.Ticked())  # until when it may be under way is known only now

    def _put_back(self, operation: Operation) -> None:
        """Its connection was dropped before it was started: it waits for the next one."""
        operation.keep = None
        self._operation = None
        self._operations.put_back(operation)
        self._tell(None, w.OperateAsked())

    def _fail_operations(self, cause: str, *, keep: bool) -> None:
        for operation in self._operations.take(
            lambda one: not (keep and one.purpose is Purpose.ZERO)
        ):
            if operation.fault:
                operation.refuse(self._engine)
            else:
                operation.finish(Outcome(OutcomeKind.FAILED, (), cause), self._engine)

    # --- the dnp3 thread

    def heard(self, stack: Stack) -> None:
        """A response arrived."""
        if stack is self._stack:
            self._heard_s = self._now().mono_s

    def started(self, stack: Stack, task: str) -> None:
        """A request is being sent."""
        if stack is not self._stack:
            return
        self._sent = self._now()
        self._points.asked_at, self._points.answered = self._sent.mono_s, 0
        if task == "request" and self._operation is not None:
            self._operation.left(self._sent.mono_s)

    def notice(self, stack: Stack, event: w.Event) -> None:
        """Something for the supervisor."""
        self._tell(stack, event)

    def ended(self, stack: Stack, ended: EndedTask) -> None:
        """A task ended: flush what it gathered, then let the supervisor know."""
        kind = "startup" if ended.task == "startup" else self._state.busy
        if kind == "startup" or (ended.task == "request" and kind in w.POLLS):
            self._flush(kind)
        cause = "" if ended.ok else _CAUSES.get(ended.result, ended.result)
        ok, more = ended.ok, False
        refused = refusal(ended.iin)
        if refused:
            cause = f"the outstation answers {refused}"
            # Class polls may be refused in part (a class that it lacks); a list of points may not.
            ok = ok and kind != "critical"
        if kind == "critical" and ended.task == "request":
            self._answer_s = max(self._answer_s, ended.took_s)
            ok, more = ended.ok, self._critical.ended(refused, ok=ended.ok)
            if ended.ok and not more:
                told = self._critical.over()
                ok, cause = not told, f"the outstation refuses {told}" if told else ""
        if kind == "event" and ended.task == "request":
            full = self._points.answered >= headers.COUNT
            more = ok and full and bool(ended.iin & EVENTS_WAIT)
        self._tell(stack, w.TaskEnded(ended.task, ok, ended.answered, cause, more, bool(refused)))

    def closed(self, _stack: Stack) -> None:
        """The connection ended; a startup poll is then cut short without an end of its own."""
        self._flush("startup")

    def _flush(self, kind: str) -> None:
        if self._poll_done is None:
            return
        try:
            self._poll_done(self._asset, kind)
        except Exception as error:  # StoreError, or anything else: the loss must be announced
            log.exception("%s: gathered readings not stored", self._asset)
            self._post(events.FragmentLost(self._asset, 0, f"{kind} poll: {error}", self._now()))

    def _tell(self, stack: Stack | None, event: w.Event) -> None:
        self._inbox.append((stack, event))
        self._engine.wake()
