"""Commands of one asset that are being carried out: their executors, and what these order. Pure.

No output of a command leaves before its id is durable. A setpoint is asked of the watchdog first,
and put in the row of outputs only when it holds that setpoint.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.control.commands.reasons import ResultState
from gateway.control.commands.spent import fact_of_over
from gateway.control.execution.execute import Executor
from gateway.control.execution.job import (
    Aftermath,
    EndedElsewhere,
    FeedbackDiffered,
    FeedbackRead,
    Finish,
    LimitsMoved,
    PowerDeviated,
    ReadFeedback,
    Remembered,
    SendControl,
    TellCloud,
    Unsent,
)
from gateway.control.execution.outputs import Output, Rank
from gateway.control.execution.progress import JobPhase
from gateway.control.execution.restating import is_beyond
from gateway.control.execution.underway import Execution
from gateway.control.inward import ControlWanted, JobDurable, JudgeDue, LookOf, ToJob
from gateway.control.watchdog import events as watchdog_events
from gateway.effects import Poll, Record

if TYPE_CHECKING:
    from collections.abc import Collection

    from gateway import events
    from gateway.asset.monitor import Monitor
    from gateway.clock import Now
    from gateway.control.execution.job import Order
    from gateway.control.execution.outputs import Outputs
    from gateway.control.execution.progress import Progress
    from gateway.control.execution.underway import Accepted
    from gateway.control.records import Records
    from gateway.control.rules.limits import Ceiling
    from gateway.control.rules.percent_base import Base
    from gateway.control.sight import Sight
    from gateway.control.turn import Turn
    from gateway.control.watchdog.state import ActiveDispatch


class Carrying:
    """At most one dispatch, and one command without power. Mutable."""

    def __init__(
        self, monitor: Monitor, records: Records, sight: Sight, outputs: Outputs, turn: Turn
    ) -> None:
        self._monitor, self._records = monitor, records
        self._sight, self._outputs, self._turn = sight, outputs, turn
        self._under: dict[str, Execution] = {}
        self._accepted: dict[int, Accepted] = {}  # token of the record -> not durable yet
        self._wanted: dict[str, SendControl] = {}  # setpoints that the watchdog is asked for
        self.unborn = False  # a command ended before its first frame
        self.in_vain = False  # a power command ended, perhaps before its setpoint
        self.last: TellCloud | None = None
        self.last_id = ""

    # --- what is under way ---------------------------------------------------------------------

    @property
    def wake_at(self) -> float:
        """Monotonic s at which an executor wants to look."""
        return min((one.executor.wake_at for one in self._under.values()), default=float("inf"))

    @property
    def accepted(self) -> Collection[Accepted]:
        """Commands that are not durable yet."""
        return self._accepted.values()

    @property
    def under(self) -> Collection[Execution]:
        """Commands that are being carried out, or in force."""
        return self._under.values()

    def find(self, id_: str) -> Execution | None:
        """The command with this id."""
        return self._under.get(id_)

    @property
    def dispatch(self) -> Execution | None:
        """The power command among them."""
        return next((one for one in self._under.values() if one.power), None)

    @property
    def verifying(self) -> bool:
        """Whether one waits for measured power to follow."""
        return any(one.executor.phase is JobPhase.POWER for one in self._under.values())

    @property
    def busy(self) -> bool:
        """Whether a command without power is among them."""
        jobs = [*self._accepted.values(), *(one.accepted for one in self._under.values())]
        return any(one.job.power_w is None for one in jobs)

    # --- the way in ----------------------------------------------------------------------------

    def accept(self, accepted: Accepted, token: int) -> None:
        """Hold a permitted command until ``recorded`` answers this token."""
        self._accepted[token] = accepted

    def recorded(self, event: events.Recorded, now: Now) -> None:
        """A record became durable, or did not."""
        accepted = self._accepted.pop(event.token, None)
        if accepted is None:
            return
        if not event.ok:
            self.unborn = True
            self._over(accepted, now)
            report = TellCloud(ResultState.FAILED, "not_durable", None, None, (event.cause,))
            self._report(accepted, report, now)
            return
        unsent_from_w = None
        if accepted.job.power_w is not None and (before := self.dispatch) is not None:
            id_ = before.accepted.job.id
            waits = self._outputs.waiting(id_)
            if waits is not None and waits.power_w is not None:
                unsent_from_w = before.executor.now.written_w
            self.end(id_, ResultState.SUPERSEDED, "superseded")
        self._turn.then(JobDurable(accepted, unsent_from_w))

    def begin(self, begin: JobDurable, held: ActiveDispatch | None, now: Now) -> None:
        """Begin a command that is durable; ``held`` is what the watchdog holds until then."""
        job, accepted = begin.accepted.job, begin.accepted
        ceiling, of = self._sight.taken(now)
        if job.power_w is not None:
            start_w = 0.0 if held is None else held.setpoint_w
            if begin.unsent_from_w is not None:  # a ramp begins where power is, not where it waits
                start_w = begin.unsent_from_w
            job = replace(job, start_w=start_w, base=of)
        executor, orders = Executor.start(job, ceiling, now.mono_s)
        self._under[job.id] = Execution(accepted, executor)
        self._turn.then(watchdog_events.LimitsChanged(ceiling.charge_w, ceiling.discharge_w))
        self._carry_out(job.id, orders, now)
        self._turn.then(ToJob(job.id, Remembered()))

    # --- what they see -------------------------------------------------------------------------

    def pass_time(self, at: float) -> None:
        """Let those look at the field that are due at ``at`` (monotonic s)."""
        late = (id_ for id_, one in self._under.items() if at >= one.executor.wake_at)
        self._turn.then(*map(LookOf, late))

    def look_all(self) -> None:
        """Let all of them look at the field."""
        self._turn.then(*map(LookOf, self._under))

    def look_of(self, look: LookOf, now: Now) -> None:
        """Let one of them see the field."""
        one = self._under.get(look.id)
        if one is not None:
            self._turn.then(ToJob(look.id, self._sight.looked(one, now)))

    def polled(self, now: Now, *, ok: bool) -> None:
        """A read ended that may show what they wrote."""
        for id_, one in self._under.items():
            if not ok or self._sight.is_read(one):  # else it was asked for before the write
                self._turn.then(ToJob(id_, FeedbackRead(ok, self._sight.echoes(one, now))))

    def limit(self, ceiling: Ceiling, of: Base) -> None:
        """The limits moved, or what percent are of: a setpoint that waits is planned anew."""
        for id_, one in self._under.items():
            self._turn.then(ToJob(id_, LimitsMoved(ceiling, of)))
            waits = None if of == one.executor.now.of else self._outputs.waiting(id_)
            if waits is not None and waits.power_w is not None:
                self._outputs.withhold(waits)
                self._turn.then(ToJob(id_, Unsent(waits.token)))

    def wrote(self, one: Execution, at: float) -> None:
        """Only what is asked for from ``at`` on says what became of the control that is out."""
        for write in one.executor.now.queue[:1]:
            one.since[write.echo] = at

    def drive(self, to: ToJob, now: Now) -> None:
        """Let one of them take an event."""
        one = self._under.get(to.id)
        if one is None:
            return
        one.executor, orders = one.executor.handle(to.event, now.mono_s)
        self._carry_out(to.id, orders, now)
        if one.executor.phase is JobPhase.OVER:
            del self._under[to.id]
            self._wanted.pop(to.id, None)
            self._outputs.drop(to.id)
            self.unborn = self.unborn or not one.begun
            self.in_vain = self.in_vain or one.power
            self._over(one.accepted, now)

    # --- what they order -----------------------------------------------------------------------

    def _carry_out(self, id_: str, orders: tuple[Order, ...], now: Now) -> None:
        one, turn = self._under[id_], self._turn
        for order in orders:
            match order:
                case SendControl():
                    turn.then(JudgeDue(), ControlWanted(id_, order))
                case ReadFeedback():
                    self.wrote(one, now.mono_s)
                    turn.order(Poll(self._records.asset, "critical"))
                case TellCloud():
                    if order.state is ResultState.SUCCEEDED:
                        self._monitor.agreed(one.executor.now.made)
                    self._report(one.accepted, order, now)
                case Finish():
                    self._finish(one, order, now)
                case PowerDeviated(power_w, setpoint_w):
                    turn.order(*self._records.deviates(power_w, setpoint_w, now))
                case FeedbackDiffered(point, expected):
                    seen = self._sight.view.echoes((point,), now)[point]
                    found = None if seen is None else seen.value
                    differed = self._monitor.differed(
                        point, expected=expected, found=found, now=now
                    )
                    turn.order(*differed)

    def want(self, wanted: ControlWanted, held: ActiveDispatch | None, now: Now) -> None:
        """Ask the watchdog for a setpoint that it does not hold already."""
        id_, order = wanted.id, wanted.order
        one = self._under.get(id_)
        if one is None:
            return  # what was seen meanwhile has ended it
        ours = held if held is not None and held.command_id == id_ else None
        held_already = ours is not None and ours.setpoint_w == order.power_w and not order.anew
        if order.power_w is None or held_already:
            self._put(id_, order)
            return
        self._wanted[id_] = order
        event: watchdog_events.Event = watchdog_events.SetpointWanted(id_, order.power_w)
        if ours is None:
            left_s = one.executor.now.ends_at - now.mono_s
            expires_at = one.accepted.job.expires_at
            event = watchdog_events.DispatchAccepted(id_, order.power_w, left_s, expires_at)
        self._turn.then(event)

    def granted(self, id_: str, setpoint_w: float) -> bool:
        """The watchdog holds ``setpoint_w``: put it in the row; False: nobody asked for it."""
        wanted = self._wanted.pop(id_, None)
        if wanted is None or wanted.power_w != setpoint_w:
            return False
        self._put(id_, wanted)
        return True

    def refused(self, id_: str) -> bool:
        """The watchdog refuses the setpoint; False: nobody asked for one."""
        return self._wanted.pop(id_, None) is not None

    def _put(self, id_: str, order: SendControl) -> None:
        if order.power_w is not None:
            self._sight.wrote(order.power_w, self._under[id_].executor.now.of)
        output = Output(
            rank=Rank.POWER,
            owner=id_,
            token=order.token,
            controls=((order.control, order.sbo),),
            power_w=order.power_w,
            reduces=self._reduces(self._under[id_].executor.now, order),
        )
        self._outputs.put(output)

    def _reduces(self, now: Progress, order: SendControl) -> bool:
        """Whether this setpoint takes power away, and gives none the other way."""
        power_w = order.power_w
        if power_w is None or not now.written_w or power_w * now.written_w < 0:
            return False
        return abs(power_w) < abs(now.written_w) or (order.anew and is_beyond(now))

    # --- how they end --------------------------------------------------------------------------

    def _finish(self, one: Execution, finish: Finish, now: Now) -> None:
        then = self._turn.then
        match finish.aftermath:
            case Aftermath.LOCAL:
                then(watchdog_events.LocalSeen())
            case Aftermath.YIELD:
                then(watchdog_events.OtherMasterSeen())
            case Aftermath.SUSPECT:
                text = f"a command was answered with {finish.cause}"
                self._turn.order(*self._monitor.refused(text, now))
        if not one.power:
            then(watchdog_events.IdleOrdered(""))
        elif finish.cause == "duration":
            then(watchdog_events.Tick())
        else:
            then(watchdog_events.DispatchFailed(one.accepted.job.id, finish.cause))

    def end(self, id_: str, state: ResultState, cause: str) -> None:
        """End one of them from outside."""
        self._turn.then(ToJob(id_, EndedElsewhere(state, cause)))

    def end_all(self, cause: str, now: Now) -> None:
        """Nothing may be ordered any more.

        That ends also a dispatch that writes what comes before its setpoint: were it left alone,
        it would go on after the next ``arm``.
        """
        waiting, self._accepted = self._accepted, {}
        for accepted in waiting.values():
            report = TellCloud(ResultState.ABORTED, cause, None, None, ())
            self._over(accepted, now)
            self._report(accepted, report, now)
        for id_ in self._under:
            self.end(id_, ResultState.ABORTED, cause)

    def _over(self, accepted: Accepted, now: Now) -> None:
        """Nothing of it is in force any more: a restart has nothing to say about it."""
        if accepted.cloud:
            fact = fact_of_over(self._records.asset, accepted.job.id, now)
            self._turn.order(Record(0, (), fact))

    def _report(self, accepted: Accepted, report: TellCloud, now: Now) -> None:
        self.last, self.last_id = report, accepted.job.id
        if accepted.cloud:
            found = self._records.result(
                accepted.job.id, report, accepted.requested_w, accepted.actor, now
            )
            self._turn.order(*found)
