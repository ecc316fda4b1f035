"""One asset under command: what happens in the field and what is ordered, put together. Pure.

The watchdog decides whether anything may be written; a dispatch's executor decides what; the
commands' intake decides who may ask. This joins them and keeps three promises that none of them can
keep alone: a frame of power leaves only if the watchdog does not object at that very moment, no
output of a command leaves before its id is durable, and LATCHED and ESTOP are durable before the
stop that they order (or a second has passed: stopping never waits for a disk).

It runs to completion. An event goes into a queue; the one machine that owns it is asked, and
everything that it orders inside becomes a further event of that queue, before those that came
earlier. No machine is asked while another one is. When the queue is empty the next output is
judged, which may bring further events; when there is none left, the effects are returned.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

from gateway import events
from gateway.control import records as words
from gateway.control.commands.reasons import ResultState
from gateway.control.commands.spent import fact_of_over
from gateway.control.commitment import InForceMark, commitment
from gateway.control.execution import frames
from gateway.control.execution.execute import Executor
from gateway.control.execution.job import (
    Aftermath,
    ControlAnswered,
    DurationOver,
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
    deadband_w,
)
from gateway.control.execution.keeping import kept
from gateway.control.execution.outcomes import IdleNext, after_idle
from gateway.control.execution.outputs import Output, Outputs, Rank
from gateway.control.execution.plan import PlanError
from gateway.control.execution.powerless import PowerlessOrders
from gateway.control.execution.progress import JobPhase
from gateway.control.execution.stopping import HeldStop
from gateway.control.execution.underway import Execution
from gateway.control.inward import (
    Asked,
    ControlWanted,
    JobDurable,
    JudgeDue,
    LimitDue,
    LookDue,
    LookOf,
    TimePassed,
    ToJob,
)
from gateway.control.rules.readiness import has_reversion, heartbeat_kind, heartbeat_range
from gateway.control.rules.shared import Burden
from gateway.control.sight import Sight
from gateway.control.watchdog import effects as watchdog_effects
from gateway.control.watchdog import events as watchdog_events
from gateway.control.watchdog import licence, machine
from gateway.control.watchdog.obligation import fact_of_force, fact_of_group, needs_beat
from gateway.control.watchdog.state import POWERED
from gateway.control.watchdog.terms import terms
from gateway.control.watchdog.words import Cause, Phase, WriteKind, WriteResult
from gateway.effects import Effect, Poll, Record
from gateway.ports import OutcomeKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from gateway.asset.monitor import Monitor
    from gateway.checked import Safety
    from gateway.clock import Now
    from gateway.config.site import AssetSettings
    from gateway.control.commissioning.proofs import Findings
    from gateway.control.execution.job import Job, Order
    from gateway.control.execution.powerless import Told
    from gateway.control.execution.underway import Accepted
    from gateway.control.inward import Start
    from gateway.control.records import Records
    from gateway.control.rules.field_view import FieldView
    from gateway.control.rules.interlocks import Facts
    from gateway.control.rules.limits import Ceiling, SiteLimits, SocWindow
    from gateway.control.rules.percent_base import Base
    from gateway.control.rules.shared import Commitment
    from gateway.control.watchdog.obligation import KeptRow, Obligation
    from gateway.control.watchdog.state import WatchdogState
    from gateway.control.watchdog.words import Terms
    from gateway.points.pointmap import PointsMap
    from gateway.ports import Outcome

_ENDS = {Cause.SUPERSEDED: ResultState.SUPERSEDED}


class Controller:
    """Watchdog, outputs and executors of one asset."""

    def __init__(
        self,
        asset: AssetSettings,
        points_map: PointsMap,
        monitor: Monitor,
        safety: Safety,
        records: Records,
        tokens: Iterator[int],
        start: Start,
        now: Now,
    ) -> None:
        self._asset, self._map, self._monitor = asset, points_map, monitor
        self._records, self._tokens = records, tokens
        self._sight = Sight(asset, points_map, monitor, safety.settings, now)
        self._outputs = Outputs(asset.id, tokens)
        self.safety = safety
        self.owed, self._found = start.owed, start.found
        self.state: WatchdogState = machine.start(
            self._terms(),
            now,
            session=start.session,
            enabled=start.enabled,
            kept=start.kept,
            stop_owed=start.stop_owed,
            secret=start.secret,
            held=start.held,
        )
        lease = replace(self.state.lease, newest=start.newest)
        self.state = replace(self.state, lease=lease, challenge_at=start.challenge_at)
        self._next: list[object] = []  # what follows from the event that is being taken
        self._judged = False  # the field was judged in this pass
        self._effects: list[Effect] = []  # of this pass
        self._executions: dict[str, Execution] = {}
        self._accepted: dict[int, Accepted] = {}  # token of the record -> not durable yet
        self._wanted: dict[str, SendControl] = {}  # setpoints that the watchdog is asked for
        self._orders = PowerlessOrders()
        self._stop = HeldStop()
        self._declared = "" if start.owed is None else start.owed.declared
        self.blocked_by = ""  # why no zero is written; "": one is
        self._mark = InForceMark()
        self._runs = False  # a pass is under way
        self._taken: tuple[float, Commitment] | None = None  # monotonic s, of what is shared
        self._unborn = False  # a command ended before its first frame
        self._forgetting: set[int] = set()  # tokens of records that nothing is in force
        self._grouping = 0  # of the record that zero, beat, zero waits for
        self._releasing = False
        self._alarmed = False  # this demand's refusal was told
        self.last: TellCloud | None = None
        self.last_id = ""
        self.beats = 0  # heartbeats that the RTAC accepted
        self._beat_since = now.mono_s  # since when the dead-man was not fed, at least
        self.beat_at: float | None = None  # monotonic s of the last one
        self.cause = ""  # of the last change of phase but "verified", for people
        self.may_exit = False
        self._handlers: dict[type, Callable[[Any, Now], None]] = {
            events.FragmentStored: self._fragment,
            events.SessionUp: self._session,
            events.SessionDown: self._session,
            events.IinReceived: self._indications,
            events.PollDone: self._polled,
            events.Operated: self._operated,
            events.Recorded: self._recorded,
            TimePassed: self._passed,
            LookDue: self._look,
            Asked: self._ask,
            JudgeDue: self._judge,
            LimitDue: self._limit,
            LookOf: self._look_of,
            ToJob: self._drive,
            JobDurable: self._begin,
            ControlWanted: self._want,
            **dict.fromkeys(get_args(watchdog_events.Event), self._watch),
        }
        monitor.controlled(self.state.phase.name, now)

    # --- what it is held to --------------------------------------------------------------------

    def _terms(self) -> Terms:
        found = terms(
            self.safety.settings.watchdog,
            response_s=self._asset.dnp3.response_timeout_s,
            heartbeat=heartbeat_kind(self._map),
            beats=heartbeat_range(self._map),
            reversion=has_reversion(self._map),
            tolerance_w=self.view.tolerance_w(),
            nameplate_w=self._asset.nameplate_w,
            dead_band_w=self.view.dead_band_w,
            ramp_s=self.safety.settings.limits.ramp_to_zero_s,
            idle_w=self._found.idle_w,
            zero_needs_beat=self._found.zero_needs_beat,
        )
        if (owed := self.owed) is None:
            return found
        # While something is in force the stricter of old and new holds.
        return replace(
            found,
            idle_verify_s=min(found.idle_verify_s, owed.verify_s),
            deadman_s=max(found.deadman_s, owed.deadman_s),
            zero_needs_beat=needs_beat(found.zero_needs_beat, owed.zero_needs_beat),
        )

    def become(self, safety: Safety) -> None:
        """Be held to another safety file, that of a reload; it must be acknowledged first."""
        self.safety = safety
        self._sight.become(safety.settings)
        held = self._terms()
        lease = self.state.lease
        less_s = min(0.0, held.lease_s - lease.lease_s)  # a shorter lease is shorter at once
        lease = replace(lease, lease_s=held.lease_s, expires_at=lease.expires_at + less_s)
        self.state = replace(self.state, terms=held, lease=lease)

    def measured(self, found: Findings) -> None:
        """Commissioning measured something of the site."""
        self._found = found
        self.state = replace(self.state, terms=self._terms())

    @property
    def phase(self) -> Phase:
        """The watchdog's."""
        return self.state.phase

    @property
    def view(self) -> FieldView:
        """What the field shows."""
        return self._sight.view

    @property
    def site(self) -> SiteLimits:
        """What the site allows at most."""
        return self._sight.site

    @property
    def window(self) -> SocWindow:
        """State of charge that is allowed, with its hysteresis so far."""
        return self._sight.window

    @property
    def wake_at(self) -> float:
        """Monotonic s of the next ``tick``."""
        due = [self.state.wake_at, self._outputs.wake_at, self._stop.due_at]
        due += [one.executor.wake_at for one in self._executions.values()]
        if self.state.phase is not Phase.MONITOR:
            due.append(self._sight.look_at)
        return min(due)

    def facts(self, now: Now) -> Facts:
        """What the interlocks are judged from."""
        return self._sight.facts(now, lease=self.state.lease.live(now.mono_s))

    def ceiling(self, now: Now) -> Ceiling:
        """What may be applied now."""
        return self._sight.ceiling(now)

    def take_share(self, share: Callable[[Now], Ceiling], *, alone: bool) -> None:
        """Be held to what others leave of what is shared; ``alone`` at its transformer."""
        self._sight.share, self.view.alone = share, alone

    def commitment(self, now: Now) -> Commitment:
        """What it takes of what it shares with others."""
        if self._taken is not None and self._taken[0] == now.mono_s:
            return self._taken[1]  # all that share ask, at the same instant
        asset = self._asset
        found = commitment(
            self._mark,
            self.state,
            self._accepted.values(),
            self._executions.values(),
            measured_w=self.view.power_w(now),
            largest=Burden(asset.max_charge_w, asset.max_discharge_w),
            deadband_w=deadband_w(self._map, asset.nameplate_w),
        )
        if not self._runs:
            self._taken = now.mono_s, found
        return found

    @property
    def dispatch(self) -> Execution | None:
        """The power command that is being carried out or in force."""
        return next((one for one in self._executions.values() if one.power), None)

    @property
    def superseded_w(self) -> float:
        """Largest power, W >= 0, that another command would take over: in force, or about to be."""
        held = self.state.dispatch
        waiting = (abs(one.job.power_w or 0.0) for one in self._accepted.values())
        return max(0.0 if held is None else abs(held.setpoint_w), *waiting, 0.0)

    @property
    def busy(self) -> bool:
        """Whether a command without power is being carried out."""
        jobs = [*self._accepted.values(), *(one.accepted for one in self._executions.values())]
        return any(one.job.power_w is None for one in jobs)

    # --- the way in ----------------------------------------------------------------------------

    def handle(self, event: object, now: Now) -> list[Effect]:
        """Take one event of this asset; its monitor has seen it before."""
        return self._run(event, now) if type(event) in self._handlers else []

    def tick(self, now: Now) -> list[Effect]:
        """Let time pass."""
        return self._run(TimePassed(), now)

    def tell(self, event: watchdog_events.Event, now: Now) -> list[Effect]:
        """Tell the watchdog something that did not happen in the field."""
        return self._run(event, now)

    def order(self, event: watchdog_events.Event, id_: str, actor: str, now: Now) -> list[Effect]:
        """Give the watchdog a command's order; results follow."""
        self._orders.give(id_, actor)
        return self._run(event, now)

    def release(self) -> None:
        """The next zeros also switch the mode off."""
        self._releasing = True

    def free(self, disk_free_pct: float) -> None:
        """Note how much of the disk is free, %."""
        self._sight.disk_free_pct = disk_free_pct

    def accept(self, accepted: Accepted, token: int, now: Now) -> list[Effect]:
        """Hold a permitted command until ``Recorded`` answers this token.

        From now on a setpoint may be in force: the record says so, if it becomes durable.
        """
        self._accepted[token] = accepted
        return self._run(watchdog_events.ForceBegun(accepted.job.power_w), now)

    def begin(self, job: Job, token: int) -> Obligation:
        """What the record of ``job`` keeps; a setpoint that was in force stays in it."""
        setpoint_w = job.power_w or (None if self.owed is None else self.owed.setpoint_w)
        self.owed = self.zero(f"{self.state.lease.session}-{token}", setpoint_w, job.base)
        return self.owed

    def zero(self, number: str, setpoint_w: float | None, of: Base) -> Obligation:
        """How zero is written now, and to whom."""
        return kept(
            self._asset,
            self._map,
            self.state.terms,
            number=number,
            of=of,
            setpoint_w=setpoint_w,
        )

    def block(self, why: str) -> None:
        """What is in force was written otherwise than zero would be now: nothing is written."""
        self.blocked_by = why
        self.state = replace(self.state, blocked=True)

    def choose(self, rows: tuple[KeptRow, ...], now: Now) -> list[Effect]:
        """An operator says by which rows zero is written; none: by those of the map."""
        self._sight.rows, self.blocked_by = rows, ""
        return self._run(watchdog_events.ZeroChosen(), now)

    def declare(self, text: str, now: Now) -> list[Effect]:
        """An operator declares that nothing is in force."""
        self._declared, self.blocked_by = text, ""
        return self._run(watchdog_events.ZeroDeclared(), now)

    def _run(self, event: object, now: Now) -> list[Effect]:
        """Take ``event`` and all that follows from it."""
        queue = deque((event,))
        self._judged = False
        self._runs, self._taken = True, None
        while queue:
            one = queue.popleft()
            self._handlers[type(one)](one, now)
            if not queue and not self._next:
                self._leave(now)
            queue.extendleft(reversed(self._next))  # what follows goes before what waits
            self._next.clear()
        self._tell_all(self._orders.settle(self.state, self.view.power_w(now)), now)
        self._mark = self._mark.handle(self.state, underway=self._outputs.powering)
        found, self._effects = self._effects, []
        self._runs = False
        return found

    def _then(self, *found: object) -> None:
        """Let these happen next."""
        self._next += found

    # --- the field -----------------------------------------------------------------------------

    def _passed(self, _: TimePassed, now: Now) -> None:
        at = now.mono_s
        if (lost := self._outputs.overdue(at)) is not None:
            self._answered(*lost, now, at)
        self._send_stop(now)
        self._look_soon(now)
        late = (id_ for id_, one in self._executions.items() if at >= one.executor.wake_at)
        self._then(*map(LookOf, late))
        self._then(watchdog_events.Tick())

    def _fragment(self, event: events.FragmentStored, now: Now) -> None:
        self._then(*self._sight.fragment(event, self.facts(now), now))
        self._look_soon(now)

    def _indications(self, event: events.IinReceived, now: Now) -> None:
        self._then(*self._sight.indications(event, self.facts(now)))

    def _session(self, event: events.SessionUp | events.SessionDown, now: Now) -> None:
        if isinstance(event, events.SessionUp):
            self._then(*self._sight.authority(self.facts(now)), watchdog_events.SessionReady())
        else:
            self._then(watchdog_events.SessionLost())
        self._then(LookDue())

    def _ask(self, _: Asked, _now: Now) -> None:
        self._effects.append(Poll(self._asset.id, "critical"))

    def _look_soon(self, now: Now) -> None:
        if now.mono_s >= self._sight.look_at and self.state.phase is not Phase.MONITOR:
            self._then(LookDue())

    def _polled(self, event: events.PollDone, now: Now) -> None:
        if event.kind not in ("critical", "integrity"):
            return
        for id_, one in self._executions.items():
            if not event.ok or self._sight.is_read(one):  # else it was asked for before the write
                self._then(ToJob(id_, FeedbackRead(event.ok, self._sight.echoes(one, now))))

    def _look(self, _: LookDue, now: Now) -> None:
        self._sight.look(now)
        self._then(JudgeDue(), LimitDue(), *map(LookOf, self._executions))

    def _judge(self, _: JudgeDue, now: Now) -> None:
        reasons = self._sight.interlocks(self.dispatch, self.state.dispatch, self.facts(now))
        if reasons != self.state.interlocks:
            self._then(watchdog_events.InterlocksChanged(reasons))

    def _limit(self, _: LimitDue, now: Now) -> None:
        if (ceiling := self._sight.moved(now)) is not None:
            self._then(*(ToJob(id_, LimitsMoved(ceiling)) for id_ in self._executions))
            self._then(watchdog_events.LimitsChanged(ceiling.charge_w, ceiling.discharge_w))

    def _look_of(self, look: LookOf, now: Now) -> None:
        one = self._executions.get(look.id)
        if one is not None:
            self._then(ToJob(look.id, self._sight.looked(one, now)))

    # --- outputs -------------------------------------------------------------------------------

    def _leave(self, now: Now) -> None:
        """Nothing waits to be done: let the next control go."""
        held = self.state.dispatch
        if self._unborn:
            self._unborn = False
            self._then(watchdog_events.ForceUnused())
            return
        if held is not None and self.dispatch is None:  # nobody looks after it any more
            self._then(watchdog_events.DispatchFailed(held.command_id, "superseded in vain"))
            return
        at = now.mono_s
        beat_first = at - self._beat_since > self.state.terms.deadman_s / 2
        output = self._outputs.next(beat_first=beat_first)
        if output is None:
            return
        if output.rank is Rank.POWER and not self._judged:
            self._judged = True  # a duration, or another deadline, may be over
            self._then(JudgeDue(), LimitDue(), watchdog_events.Tick())
            return
        one = self._executions.get(output.owner)
        kind = frames.KIND_OF[output.rank]
        refusal = licence.refusal(self.state, kind, at, output.power_w)
        if (refusal is None or refusal[0] is Cause.LIMIT) and _is_late(one, now):
            refusal = Cause.EXPIRED, "expired"
        if refusal is not None:
            self._outputs.withhold(output)
            self._withheld(output, refusal[0])
            return
        by = licence.until(self.state, WriteKind.HEARTBEAT if output.beats else kind, at)
        if one is not None:
            one.begun = True
            by = min(by, one.executor.now.ends_at)
        first = output.reduces or (beat_first and output.rank is Rank.HEARTBEAT)
        self._effects.append(self._outputs.send(output, at, by, first=first))

    def _withheld(self, output: Output, cause: Cause) -> None:
        if output.owner in WriteKind.__members__:
            kind = WriteKind[output.owner]
            self._then(watchdog_events.WriteDone(kind, output.token, WriteResult.FAILED))
        elif cause is Cause.LIMIT:  # it shrank while this waited: a smaller setpoint follows
            self._then(ToJob(output.owner, Unsent(output.token)))
        else:
            state = ResultState.EXPIRED if cause is Cause.EXPIRED else ResultState.ABORTED
            self._end(output.owner, state, cause.value)

    def _operated(self, event: events.Operated, now: Now) -> None:
        over = self._outputs.answered(event.token, event.outcome)
        if over is not None:
            self._answered(*over, now, event.at.mono_s)

    def _answered(self, output: Output, outcome: Outcome, now: Now, at: float) -> None:
        """Take what became of an output; its answer came at ``at`` (monotonic s)."""
        if output.owner in WriteKind.__members__:
            kind = WriteKind[output.owner]
            result = frames.result(kind, outcome)
            if kind is WriteKind.IDLE:
                self._alarm(outcome, now)
            if kind is WriteKind.HEARTBEAT and result is WriteResult.ACCEPTED:
                self.beats, self.beat_at = self.beats + 1, now.mono_s
                self._beat_since = now.mono_s
            self._then(watchdog_events.WriteDone(kind, output.token, result, at))
        elif (one := self._executions.get(output.owner)) is not None:
            self._wrote(one, at)
            if output.power_w is not None and outcome.kind is OutcomeKind.SUCCESS:
                self._then(watchdog_events.SetpointAnswered(output.owner, at))
            self._then(ToJob(output.owner, ControlAnswered(output.token, outcome)))

    def _wrote(self, one: Execution, at: float) -> None:
        """Only what is asked for from ``at`` on says what became of the control that is out."""
        for write in one.executor.now.queue[:1]:
            one.since[write.echo] = at

    def _alarm(self, outcome: Outcome, now: Now) -> None:
        """Tell once a demand that zero is refused."""
        found = after_idle(outcome)
        if found not in (IdleNext.RETRY_ALARM, IdleNext.RETRY_ALARM_LATCH) or self._alarmed:
            return
        self._alarmed = True
        status = outcome.statuses[-1].name if outcome.statuses else outcome.kind.value
        text = f"zero power is refused with {status}: it is ordered again until it is verified"
        self._effects.append(
            self._records.event("alarm", "critical", text, now, code="idle_refused")
        )
        self._effects.append(self._records.log(logging.ERROR, text, "watchdog"))
        if found is IdleNext.RETRY_ALARM_LATCH:
            self._effects += self._monitor.refused(f"the map's zero is refused with {status}", now)

    # --- the watchdog --------------------------------------------------------------------------

    def _watch(self, event: watchdog_events.Event, now: Now) -> None:
        self.state, orders = machine.handle(self.state, event, now)
        for order in orders:
            self._perform(order, now)

    def _perform(self, order: watchdog_effects.Effect, now: Now) -> None:  # noqa: C901, PLR0912 - one arm for each effect
        match order:
            case watchdog_effects.WriteStop():
                self._stop.hold(order, now.mono_s)
                self._send_stop(now)
            case watchdog_effects.KeepGroup(used):
                token = self._fact("group", fact_of_group(self._asset.id, used=used))
                self._grouping = token if used else 0  # for one that is forgotten nothing waits
            case watchdog_effects.KeepForce(declared):
                owed = self.owed or self.zero("unknown", self.state.last_w, self.view.base(now))
                self.owed = replace(owed, declared=self._declared if declared else "")
                self._fact("declared", fact_of_force(self._asset.id, self.owed))
            case watchdog_effects.ForgetForce():
                fact = fact_of_force(self._asset.id, None)
                self._forgetting.add(self._fact("nothing in force", fact))
            case watchdog_effects.PowerStays() | watchdog_effects.StopUnknown():
                self._effects += self._records.trouble(order, now)
            case watchdog_effects.WriteSetpoint(_, command_id, setpoint_w):
                wanted = self._wanted.pop(command_id, None)
                if wanted is not None and wanted.power_w == setpoint_w:
                    self._put(command_id, wanted)
                else:  # a limit shrank: the executor does not know yet
                    self._write(order, now)
            case (
                watchdog_effects.WriteIdle()
                | watchdog_effects.WriteHeartbeat()
                | watchdog_effects.RefreshReversion()
            ):
                self._write(order, now)
            case watchdog_effects.ReadEcho():
                self._effects.append(Poll(self._asset.id, "critical"))
            case watchdog_effects.IssueChallenge():
                pass  # the fleet publishes each number once: see ``state.lease.newest``
            case watchdog_effects.KeepPhase(phase, stop_owed):
                self._keep(phase, stop_owed=stop_owed)
            case watchdog_effects.PhaseChanged():
                self._changed(order, now)
            case watchdog_effects.Abort(command_id, cause):
                self._aborted(command_id, cause)
            case watchdog_effects.Refuse():
                self._refused(order, now)
            case watchdog_effects.Carried():
                self._tell_all(self._orders.carried(order, self.state.phase), now)
            case watchdog_effects.MayExit():
                self.may_exit = True

    def _write(self, order: frames.WatchdogWrite, now: Now) -> None:
        kind = frames.KINDS[type(order)]
        try:
            output = frames.output(
                order,
                self._map,
                self.view.base(now),
                release=self._releasing,
                reversion_s=self.safety.settings.watchdog.reversion_s,
                rows=self._sight.rows,
                carries_w=self._mark.carries_w(self.state.last_w, self.view.power_w(now)),
            )
        except PlanError as error:
            text = f"{kind.name.lower()}: {error}"
            self._effects.append(self._records.log(logging.ERROR, text, "watchdog"))
            self._then(watchdog_events.WriteDone(kind, order.token, WriteResult.FAILED))
            return
        if output is not None:
            self._outputs.put(output)
            return
        text = "the map has no stop: zero power is ordered, and nothing feeds the dead-man"
        self._effects.append(self._records.log(logging.WARNING, text, "watchdog"))
        self._then(watchdog_events.WriteDone(kind, order.token, WriteResult.ACCEPTED))

    def _send_stop(self, now: Now) -> None:
        """Let the stop go, if it is durable, or has waited long enough."""
        if (stop := self._stop.take(now.mono_s)) is not None:
            self._write(stop, now)

    def _fact(self, what: str, facts: Mapping[str, str | None]) -> int:
        """Order a record of the watchdog's own; returns its token."""
        token = next(self._tokens)
        body: dict[str, object] = {"what": what}
        self._effects.append(
            self._records.audited(words.GATEWAY, "kept", body, token=token, facts=facts)
        )
        return token

    def _keep(self, phase: Phase | None, *, stop_owed: bool) -> None:
        fact = {f"{self._asset.id}/phase": words.kept_phase(phase, stop_owed=stop_owed)}
        name = "none" if phase is None else phase.name
        token = self._fact(f"phase {name}", fact)
        if phase is Phase.ESTOP and not stop_owed:
            self._stop.keep(token)

    def _changed(self, change: watchdog_effects.PhaseChanged, now: Now) -> None:
        self._effects += self._records.phase(change, now)
        if change.cause is not Cause.VERIFIED:
            self.cause = f"{change.cause}: {change.detail}" if change.detail else change.cause.value
        self._monitor.controlled(change.after.name, now)
        if change.after is not Phase.IDLING:
            self._alarmed = False
        if change.after in (Phase.IDLE, Phase.MONITOR):
            self._releasing = False
        if change.after in POWERED:
            return
        waiting, self._accepted = self._accepted, {}
        for accepted in waiting.values():
            report = TellCloud(ResultState.ABORTED, change.cause.value, None, None, ())
            self._over(accepted, now)
            self._report(accepted, report, now)
        # Also a dispatch that writes what comes before its setpoint: were it left alone, it
        # would go on after the next ``arm``.
        for id_ in self._executions:
            self._end(id_, ResultState.ABORTED, change.cause.value)

    def _aborted(self, command_id: str, cause: Cause) -> None:
        for owner in (command_id, WriteKind.SETPOINT.name, WriteKind.REVERSION.name):
            self._outputs.drop(owner)
        if command_id not in self._executions:
            return
        if cause is Cause.DURATION:
            self._then(ToJob(command_id, DurationOver()))
        else:
            self._end(command_id, _ENDS.get(cause, ResultState.ABORTED), cause.value)

    def _refused(self, refuse: watchdog_effects.Refuse, now: Now) -> None:
        id_ = refuse.command_id
        if self._wanted.pop(id_, None) is None:
            self._tell_all(self._orders.refused(refuse), now)
            return
        self._then(watchdog_events.DispatchFailed(id_, refuse.detail))
        self._end(id_, ResultState.FAILED, refuse.cause.value)

    # --- executors -----------------------------------------------------------------------------

    def _recorded(self, event: events.Recorded, now: Now) -> None:
        self._stop.recorded(event.token, now.mono_s)
        self._send_stop(now)
        if event.token in self._forgetting:
            self._forgetting.discard(event.token)
            self._then(watchdog_events.ForceForgotten(event.ok))
            if event.ok and not self._accepted:
                self.owed, self._sight.rows = None, ()
                self.state = replace(self.state, terms=self._terms())
        if event.token == self._grouping:
            self._then(watchdog_events.GroupKept(event.ok))
        accepted = self._accepted.pop(event.token, None)
        if accepted is None:
            return
        if not event.ok:
            self._unborn = True
            self._over(accepted, now)
            report = TellCloud(ResultState.FAILED, "not_durable", None, None, (event.cause,))
            self._report(accepted, report, now)
            return
        if accepted.job.power_w is not None and (before := self.dispatch) is not None:
            self._end(before.accepted.job.id, ResultState.SUPERSEDED, "superseded")
        self._then(JobDurable(accepted))

    def _begin(self, begin: JobDurable, now: Now) -> None:
        job, accepted, held = begin.accepted.job, begin.accepted, self.state.dispatch
        if job.power_w is not None:
            job = replace(job, start_w=0.0 if held is None else held.setpoint_w)
        ceiling = self._sight.taken(now)
        executor, orders = Executor.start(job, ceiling, now.mono_s)
        self._executions[job.id] = Execution(accepted, executor)
        self._then(watchdog_events.LimitsChanged(ceiling.charge_w, ceiling.discharge_w))
        self._carry_out(job.id, orders, now)
        self._then(ToJob(job.id, Remembered()))

    def _drive(self, to: ToJob, now: Now) -> None:
        one = self._executions.get(to.id)
        if one is None:
            return
        one.executor, orders = one.executor.handle(to.event, now.mono_s)
        self._carry_out(to.id, orders, now)
        if one.executor.phase is JobPhase.OVER:
            del self._executions[to.id]
            self._wanted.pop(to.id, None)
            self._outputs.drop(to.id)
            self._unborn = self._unborn or not one.begun
            self._over(one.accepted, now)

    def _carry_out(self, id_: str, orders: tuple[Order, ...], now: Now) -> None:
        one = self._executions[id_]
        for order in orders:
            match order:
                case SendControl():
                    self._then(JudgeDue(), ControlWanted(id_, order))
                case ReadFeedback():
                    self._wrote(one, now.mono_s)
                    self._effects.append(Poll(self._asset.id, "critical"))
                case TellCloud():
                    if order.state is ResultState.SUCCEEDED:
                        self._monitor.agreed(one.executor.now.made)
                    self._report(one.accepted, order, now)
                case Finish():
                    self._finish(one, order, now)
                case PowerDeviated(power_w, setpoint_w):
                    self._effects += self._records.deviates(power_w, setpoint_w, now)
                case FeedbackDiffered(point, expected):
                    seen = self.view.echoes((point,), now)[point]
                    found = None if seen is None else seen.value
                    self._effects += self._monitor.differed(
                        point, expected=expected, found=found, now=now
                    )

    def _want(self, wanted: ControlWanted, now: Now) -> None:
        """Ask the watchdog for a setpoint that it does not hold already."""
        id_, order = wanted.id, wanted.order
        one, held = self._executions.get(id_), self.state.dispatch
        if one is None:
            return  # what was seen meanwhile has ended it
        ours = held if held is not None and held.command_id == id_ else None
        if order.power_w is None or (ours is not None and ours.setpoint_w == order.power_w):
            self._put(id_, order)
            return
        self._wanted[id_] = order
        event: watchdog_events.Event = watchdog_events.SetpointWanted(id_, order.power_w)
        if ours is None:
            left_s = one.executor.now.ends_at - now.mono_s
            expires_at = one.accepted.job.expires_at
            event = watchdog_events.DispatchAccepted(id_, order.power_w, left_s, expires_at)
        self._then(event)

    def _put(self, id_: str, order: SendControl) -> None:
        output = Output(
            rank=Rank.POWER,
            owner=id_,
            token=order.token,
            controls=((order.control, order.sbo),),
            power_w=order.power_w,
            reduces=self._reduces(id_, order.power_w),
        )
        self._outputs.put(output)

    def _reduces(self, id_: str, power_w: float | None) -> bool:
        """Whether this setpoint takes power away, and gives none the other way."""
        one = self._executions.get(id_)
        written_w = 0.0 if one is None else one.executor.now.written_w
        if power_w is None or not written_w or power_w * written_w < 0:
            return False
        return abs(power_w) < abs(written_w)

    def _finish(self, one: Execution, finish: Finish, now: Now) -> None:
        match finish.aftermath:
            case Aftermath.LOCAL:
                self._then(watchdog_events.LocalSeen())
            case Aftermath.YIELD:
                self._then(watchdog_events.OtherMasterSeen())
            case Aftermath.SUSPECT:
                text = f"a command was answered with {finish.cause}"
                self._effects += self._monitor.refused(text, now)
        if not one.power:
            self._then(watchdog_events.IdleOrdered(""))
        elif finish.cause == "duration":
            self._then(watchdog_events.Tick())
        else:
            self._then(watchdog_events.DispatchFailed(one.accepted.job.id, finish.cause))

    def _end(self, id_: str, state: ResultState, cause: str) -> None:
        self._then(ToJob(id_, EndedElsewhere(state, cause)))

    # --- what is told --------------------------------------------------------------------------

    def _over(self, accepted: Accepted, now: Now) -> None:
        """Nothing of it is in force any more: a restart has nothing to say about it."""
        if accepted.cloud:
            fact = fact_of_over(self._asset.id, accepted.job.id, now)
            self._effects.append(Record(0, (), fact))

    def _report(self, accepted: Accepted, report: TellCloud, now: Now) -> None:
        self.last, self.last_id = report, accepted.job.id
        if accepted.cloud:
            self._effects += self._records.result(
                accepted.job.id, report, accepted.requested_w, accepted.actor, now
            )

    def _tell_all(self, told: Iterable[Told], now: Now) -> None:
        for id_, actor, report in told:
            self._effects += self._records.result(id_, report, None, actor, now)


def _is_late(one: Execution | None, now: Now) -> bool:
    """Whether nothing of ``one`` has left, and its command has expired by now."""
    return one is not None and not one.begun and now.mono_s > one.accepted.job.expires_at
