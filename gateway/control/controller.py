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
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

from gateway import events
from gateway.control.carrying import Carrying
from gateway.control.commands.reasons import ResultState
from gateway.control.commitment import InForceMark, commitment
from gateway.control.execution import frames
from gateway.control.execution.beating import BeatCount
from gateway.control.execution.job import (
    ControlAnswered,
    DurationOver,
    Unsent,
    deadband_w,
)
from gateway.control.execution.outcomes import IdleNext, after_idle
from gateway.control.execution.outputs import Output, Outputs, Rank
from gateway.control.execution.plan import PlanError
from gateway.control.execution.powerless import PowerlessOrders
from gateway.control.execution.stopping import HeldStop
from gateway.control.force_record import ForceRecord
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
from gateway.control.phases import Lasting, Phase
from gateway.control.rules.readiness import has_reversion, heartbeat_kind, heartbeat_range
from gateway.control.rules.shared import Burden
from gateway.control.sight import Sight
from gateway.control.turn import Turn
from gateway.control.watchdog import effects as watchdog_effects
from gateway.control.watchdog import events as watchdog_events
from gateway.control.watchdog import licence, machine, moves
from gateway.control.watchdog.obligation import needs_beat
from gateway.control.watchdog.state import POWERED
from gateway.control.watchdog.terms import terms
from gateway.control.watchdog.words import Cause, WriteKind, WriteResult
from gateway.effects import Effect, GiveWay, Poll
from gateway.ports import OutcomeKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from gateway.asset.monitor import Monitor
    from gateway.checked import Safety
    from gateway.clock import Now
    from gateway.config.site import AssetSettings
    from gateway.control.commissioning.proofs import Findings
    from gateway.control.execution.job import Job
    from gateway.control.execution.powerless import Told
    from gateway.control.execution.underway import Accepted, Execution
    from gateway.control.inward import Start
    from gateway.control.records import Records
    from gateway.control.rules.field_view import FieldView
    from gateway.control.rules.interlocks import Facts
    from gateway.control.rules.limits import Ceiling, SiteLimits, SocWindow
    from gateway.control.rules.percent_base import Base
    from gateway.control.rules.shared import Commitment
    from gateway.control.watchdog.kept_meter import KeptMeter
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
        self._turn = turn = Turn()
        self._force = ForceRecord(asset, points_map, start, records, tokens, turn)
        self.jobs = Carrying(monitor, records, self._sight, self._outputs, turn)
        self.safety = safety
        self._found = start.found
        self.state: WatchdogState = machine.start(
            self._terms(),
            now,
            session=start.session,
            enabled=start.enabled,
            kept=start.kept,
            secret=start.secret,
            held=start.held,
        )
        lease = replace(self.state.lease, newest=start.newest)
        self.state = replace(self.state, lease=lease, challenge_at=start.challenge_at)
        self._judged = False  # the field was judged in this pass
        self._orders = PowerlessOrders()
        self._stop = HeldStop()
        self._count = BeatCount()
        self.blocked_by = ""  # why no zero is written; "": one is
        self._other = ""  # or would be none if what was declared were not so
        self._mark = InForceMark()
        self._runs = False  # a pass is under way
        self._taken: tuple[float, Commitment] | None = None  # monotonic s, of what is shared
        self._releasing = False
        self.refused_with = ""  # the status by which this demand's zero is refused, once told
        self._stopped_by = ""  # who ordered ESTOP
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
            LookOf: self.jobs.look_of,
            ToJob: self.jobs.drive,
            JobDurable: lambda one, at: self.jobs.begin(one, self.state.dispatch, at),
            ControlWanted: lambda one, at: self.jobs.want(one, self.state.dispatch, at),
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
        held = replace(
            found,
            idle_verify_s=min(found.idle_verify_s, owed.verify_s),
            deadman_s=max(found.deadman_s, owed.deadman_s),
            zero_needs_beat=needs_beat(found.zero_needs_beat, owed.zero_needs_beat),
        )
        if owed.meter is not None:
            held = replace(held, zero_band_w=min(held.zero_band_w, owed.meter.band_w))
        return held if (meter := self._sight.meter) is None else replace(held, idle_w=meter.idle_w)

    def become(self, safety: Safety) -> None:
        """Be held to another safety file, that of a reload; it must be acknowledged first."""
        self.safety = safety
        self._sight.become(safety.settings)
        self._renew()
        held, lease = self.state.terms, self.state.lease
        less_s = min(0.0, held.lease_s - lease.lease_s)  # a shorter lease is shorter at once
        lease = replace(lease, lease_s=held.lease_s, expires_at=lease.expires_at + less_s)
        self.state = replace(self.state, lease=lease)

    def _renew(self) -> None:
        """Be held to what the files, the disk and commissioning say now."""
        self.state = moves.held_to(self.state, self._terms())

    def measured(self, found: Findings) -> None:
        """Commissioning measured something of the site."""
        self._found = found
        self._renew()

    @property
    def owed(self) -> Obligation | None:
        """What the disk says is in force, or was declared gone."""
        return self._force.owed

    @property
    def tries(self) -> int:
        """Starts that found something in force, one after the other; 0: nothing was."""
        return self._force.tries

    @property
    def phase(self) -> Phase:
        """The watchdog's."""
        return self.state.phase

    @property
    def lasting(self) -> Lasting | None:
        """LATCHED, ESTOP or a yield: since when, and by whom."""
        return self._force.lasting

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
        due = [self.state.wake_at, self._outputs.wake_at, self._stop.due_at, self.jobs.wake_at]
        if self.state.phase is not Phase.MONITOR:
            due.append(self._sight.look_at)
        return min(due)

    def facts(self, now: Now) -> Facts:
        """What the interlocks are judged from."""
        return self._sight.facts(now, lease=self.state.lease.live(now.mono_s))

    def ceiling(self, now: Now) -> Ceiling:
        """What may be applied now."""
        return self._sight.ceiling(now)

    def echo_w(self, now: Now) -> float | None:
        """The setpoint's echo as read, W; None: not known."""
        return self._sight.echo_w(now)

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
            self.jobs.accepted,
            self.jobs.under,
            measured_w=self.view.power_w(now),
            read_w=self.view.power_read_w(now),
            largest=Burden(asset.max_charge_w, asset.max_discharge_w),
            deadband_w=deadband_w(self._map, asset.nameplate_w),
        )
        if not self._runs:
            self._taken = now.mono_s, found
        return found

    @property
    def superseded_w(self) -> float:
        """Largest power, W >= 0, that another command would take over: in force, or about to be."""
        held = self.state.dispatch
        waiting = (abs(one.job.power_w or 0.0) for one in self.jobs.accepted)
        return max(0.0 if held is None else abs(held.setpoint_w), *waiting, 0.0)

    # --- the way in ----------------------------------------------------------------------------

    def handle(self, event: object, now: Now) -> list[Effect]:
        """Take one event of this asset; its monitor has seen it before."""
        return self._run(event, now) if type(event) in self._handlers else []

    def tick(self, now: Now) -> list[Effect]:
        """Let time pass."""
        return self._run(TimePassed(), now)

    def challenge(self, now: Now) -> None:
        """Let the next challenge be due now."""
        self.state = replace(self.state, challenge_at=now.mono_s, wake_at=now.mono_s)

    def tell(self, event: watchdog_events.Event, now: Now) -> list[Effect]:
        """Tell the watchdog something that did not happen in the field."""
        return self._run(event, now)

    def order(self, event: watchdog_events.Event, id_: str, actor: str, now: Now) -> list[Effect]:
        """Give the watchdog a command's order; results follow."""
        self._orders.give(id_, actor)
        return self._run(event, now)

    def estop(self, id_: str, actor: str, now: Now) -> list[Effect]:
        """Stop, and stay stopped; ``id_`` "" where somebody on the box orders it."""
        if self.state.phase is not Phase.ESTOP:
            self._stopped_by = actor
        order = watchdog_events.EstopOrdered(id_)
        return self.order(order, id_, actor, now) if id_ else self.tell(order, now)

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
        self.jobs.accept(accepted, token)
        return self._run(watchdog_events.ForceBegun(accepted.job.power_w), now)

    def begin(self, job: Job, token: int) -> Obligation:
        """What the record of ``job`` keeps; a setpoint that was in force stays in it."""
        number = f"{self.state.lease.session}-{token}"
        return self._force.begin(number, job.power_w, job.base, self.state.terms)

    def zero(self, number: str, setpoint_w: float | None, of: Base) -> Obligation:
        """How zero is written now, and to whom."""
        return self._force.zero(number, setpoint_w, of, self.state.terms)

    def differs(self, why: str, *, elsewhere: bool) -> None:
        """What is in force was written otherwise than zero would be now: nothing is written.

        Where it was declared gone, not before a read shows that it was not so.
        """
        self._other = why
        if self.state.in_force:
            self.blocked_by = why
            self.state = replace(self.state, blocked=True)
        elif self.state.declared:
            self.state = replace(
                self.state, declared_elsewhere=elsewhere, declared_by_others=not elsewhere
            )

    def found_written(self, owed: Obligation) -> None:
        """Know the echo of what the last run wrote, whatever percent are of by now."""
        self._sight.found_written(owed)

    def measure_by(self, meter: KeptMeter | None) -> None:
        """Read power by the row that was kept, where the map has another one now."""
        self._sight.meter = meter
        self._renew()

    @property
    def measured_by(self) -> str:
        """The point of power where it is not the map's: "AI1", or "?"; "": it is."""
        return "" if self._sight.meter is None else self._sight.meter.point or "?"

    def power_w(self, now: Now) -> float | None:
        """Measured power, W, by the row that a zero is verified by; None: not known."""
        return self._sight.power_w(now)

    def choose(self, rows: tuple[KeptRow, ...], now: Now) -> list[Effect]:
        """An operator says by which rows zero is written; none: by those of the map."""
        self._sight.rows, self.blocked_by, owed = rows, "", self.owed
        kept = owed if rows else None  # else the map of now is right: its row of power is, too
        here = self.zero("", None, self.view.base(now))
        self.measure_by(None if kept is None else kept.meter_beside(here))
        return self._run(watchdog_events.ZeroChosen(), now)

    def declare(self, text: str, now: Now, *, elsewhere: bool) -> list[Effect]:
        """An operator declares that nothing is in force, here or at another endpoint."""
        self._force.declared, self.blocked_by = text, ""
        return self._run(watchdog_events.ZeroDeclared(elsewhere), now)

    def _run(self, event: object, now: Now) -> list[Effect]:
        """Take ``event`` and all that follows from it."""
        self._judged = False
        self._runs, self._taken = True, None
        self._turn.then(event)
        while (one := self._turn.take()) is not None:
            self._handlers[type(one)](one, now)
            if self._turn.last:
                self._leave(now)
        self._tell_all(self._orders.settle(self.state, self.view.power_w(now)), now)
        self._mark = self._mark.handle(self.state, underway=self._outputs.powering)
        self._runs = False
        return self._turn.effects()

    # --- the field -----------------------------------------------------------------------------

    def _passed(self, _: TimePassed, now: Now) -> None:
        at = now.mono_s
        if (lost := self._outputs.overdue(at)) is not None:
            self._answered(*lost, now, at)
        self._send_stop(now)
        self._look_soon(now)
        self.jobs.pass_time(at)
        self._turn.then(watchdog_events.Tick())

    def _fragment(self, event: events.FragmentStored, now: Now) -> None:
        verifying = self.jobs.verifying
        self._turn.then(*self._sight.fragment(event, self.facts(now), now, verifying=verifying))
        self._look_soon(now)

    def _indications(self, event: events.IinReceived, now: Now) -> None:
        self._turn.then(*self._sight.indications(event, self.facts(now)))

    def _session(self, event: events.SessionUp | events.SessionDown, now: Now) -> None:
        if isinstance(event, events.SessionUp):
            self._turn.then(*self._sight.authority(self.facts(now)), watchdog_events.SessionReady())
        else:
            self._turn.then(watchdog_events.SessionLost())
        self._turn.then(LookDue())

    def _ask(self, _: Asked, _now: Now) -> None:
        self._turn.order(Poll(self._asset.id, "critical"))

    def _look_soon(self, now: Now) -> None:
        if now.mono_s >= self._sight.look_at and self.state.phase is not Phase.MONITOR:
            self._turn.then(LookDue())

    def _polled(self, event: events.PollDone, now: Now) -> None:
        if event.kind in ("critical", "integrity", "startup"):
            self._outputs.read()
        if event.kind not in ("critical", "integrity"):
            return
        self.jobs.polled(now, ok=event.ok)

    def _look(self, _: LookDue, now: Now) -> None:
        self._sight.look(now)
        self._turn.then(*self._sight.asks(now), JudgeDue(), LimitDue())
        self.jobs.look_all()

    def _judge(self, _: JudgeDue, now: Now) -> None:
        reasons = self._sight.interlocks(self.jobs.dispatch, self.state.dispatch, self.facts(now))
        if reasons != self.state.interlocks:
            self._turn.then(watchdog_events.InterlocksChanged(reasons))

    def _limit(self, _: LimitDue, now: Now) -> None:
        if (found := self._sight.moved(now)) is None:
            return
        ceiling, of = found
        self.jobs.limit(ceiling, of)
        held, waits = self.state.dispatch, self._outputs.waiting(WriteKind.SETPOINT.name)
        if held is not None and waits is not None:  # percent may be of something else now
            again = watchdog_effects.WriteSetpoint(waits.token, held.command_id, held.setpoint_w)
            self._write(again, now)
        self._turn.then(watchdog_events.LimitsChanged(ceiling.charge_w, ceiling.discharge_w))

    # --- outputs -------------------------------------------------------------------------------

    def _leave(self, now: Now) -> None:
        """Nothing waits to be done: let the next control go."""
        held = self.state.dispatch
        vain, self.jobs.in_vain = self.jobs.in_vain and self.jobs.dispatch is None, False
        if self.jobs.unborn or (vain and held is None):  # what prepared power may have left
            self.jobs.unborn = False
            self._turn.then(watchdog_events.ForceUnused())
            return
        if held is not None and self.jobs.dispatch is None:  # nobody looks after it any more
            self._turn.then(watchdog_events.DispatchFailed(held.command_id, "superseded in vain"))
            return
        at = now.mono_s
        beat_first = at - self._beat_since > self.state.terms.deadman_s / 2
        output = self._outputs.next(beat_first=beat_first)
        if output is None:
            withheld = not self.state.may_beat(at)
            if self._outputs.gives_way(overdue=beat_first, withheld=withheld):
                self._turn.order(GiveWay(self._asset.id, withheld))
            return
        if output.rank is Rank.POWER and not self._judged:
            self._judged = True  # a duration, or another deadline, may be over
            self._turn.then(JudgeDue(), LimitDue(), watchdog_events.Tick())
            return
        one = self.jobs.find(output.owner)
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
        if output.power_w is not None and (of := self._sight.written_of) is not None:
            self._force.say(of)
        first = self._outputs.goes_first(output, beat_first=beat_first)
        self._outputs.withhold(output)  # it waits no more
        output = self._count.leaving(output, self._map, self.state.terms)
        self._turn.order(self._outputs.send(output, at, by, first=first))

    def _withheld(self, output: Output, cause: Cause) -> None:
        if output.owner in WriteKind.__members__:
            kind = WriteKind[output.owner]
            self._turn.then(watchdog_events.WriteDone(kind, output.token, WriteResult.FAILED))
        elif cause is Cause.LIMIT:  # it shrank while this waited: a smaller setpoint follows
            self._turn.then(ToJob(output.owner, Unsent(output.token)))
        else:
            state = ResultState.EXPIRED if cause is Cause.EXPIRED else ResultState.ABORTED
            self.jobs.end(output.owner, state, cause.value)

    def _operated(self, event: events.Operated, now: Now) -> None:
        over = self._outputs.answered(event.token, event.outcome)
        if over is not None:
            self._answered(*over, now, event.at.mono_s)

    def _answered(self, output: Output, outcome: Outcome, now: Now, at: float) -> None:
        """Take what became of an output; its answer came at ``at`` (monotonic s)."""
        if output.owner in WriteKind.__members__:
            kind = WriteKind[output.owner]
            result = frames.result(kind, outcome)
            yields = result is WriteResult.NOT_OURS and self.state.meets_another
            if kind is WriteKind.IDLE and not yields:
                self._alarm(outcome, now)
            if kind is WriteKind.HEARTBEAT:
                self._count.answered(result)
            if kind is WriteKind.HEARTBEAT and result is WriteResult.ACCEPTED:
                self.beats, self.beat_at = self.beats + 1, now.mono_s
                self._beat_since = now.mono_s
            self._turn.then(watchdog_events.WriteDone(kind, output.token, result, at))
        elif (one := self.jobs.find(output.owner)) is not None:
            self.jobs.wrote(one, at)
            if output.power_w is not None and outcome.kind is OutcomeKind.SUCCESS:
                self._turn.then(watchdog_events.SetpointAnswered(output.owner, at))
            self._turn.then(ToJob(output.owner, ControlAnswered(output.token, outcome)))

    def _alarm(self, outcome: Outcome, now: Now) -> None:
        """Tell once a demand that zero is refused."""
        found = after_idle(outcome)
        if found not in (IdleNext.RETRY_ALARM, IdleNext.RETRY_ALARM_LATCH) or self.refused_with:
            return
        status = outcome.statuses[-1].name if outcome.statuses else outcome.kind.value
        self.refused_with = status
        text = f"zero power is refused with {status}: it is ordered again until it is verified"
        self._turn.order(self._records.event("alarm", "critical", text, now, code="idle_refused"))
        self._turn.order(self._records.log(logging.ERROR, text, "watchdog"))
        if found is IdleNext.RETRY_ALARM_LATCH:
            self._turn.order(
                *self._monitor.refused(f"the map's zero is refused with {status}", now)
            )

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
                self._force.group(used=used)
            case watchdog_effects.KeepForce(declared):
                here = self.zero("unknown", self.state.last_w, self.view.base(now))
                owed = self.owed or here
                if not declared and owed.endpoint != here.endpoint:
                    owed = owed.moved_to(here)  # it is here that it is read
                text = self._force.declared if declared else ""
                self._force.keep(replace(owed, declared=text))
                if self.state.blocked:
                    self.blocked_by = self._other
                    self._turn.order(*self._records.blocked(self._other, now))
            case watchdog_effects.ForgetForce():
                self._force.forget()
            case (
                watchdog_effects.PowerStays()
                | watchdog_effects.PowerDrifts()
                | watchdog_effects.DeadmanFailed()
                | watchdog_effects.StopUnknown()
            ):
                self._turn.order(*self._records.trouble(order, now))
            case watchdog_effects.WriteSetpoint(_, command_id, setpoint_w):
                if not self.jobs.granted(command_id, setpoint_w):
                    self._write(order, now)  # a limit shrank: the executor does not know yet
            case (
                watchdog_effects.WriteIdle()
                | watchdog_effects.WriteHeartbeat()
                | watchdog_effects.RefreshReversion()
            ):
                self._write(order, now)
            case watchdog_effects.ReadEcho():
                self._turn.order(Poll(self._asset.id, self._sight.verifying_read))
            case watchdog_effects.IssueChallenge():
                pass  # the fleet publishes each number once: see ``state.lease.newest``
            case watchdog_effects.KeepPhase():
                self._keep(order, now)
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
        of = self._sight.base(now)
        try:
            output = frames.output(
                order,
                self._map,
                of,
                release=self._releasing,
                reversion_s=self.safety.settings.watchdog.reversion_s,
                rows=self._sight.rows,
                carries_w=self._mark.carries_w(self.state.last_w, self.view.power_w(now)),
                only_w=self._mark.only_w,
            )
        except PlanError as error:
            text = f"{kind.name.lower()}: {error}"
            self._turn.order(self._records.log(logging.ERROR, text, "watchdog"))
            self._turn.then(watchdog_events.WriteDone(kind, order.token, WriteResult.FAILED))
            return
        if output is not None:
            if isinstance(order, watchdog_effects.WriteSetpoint):
                self._sight.wrote(order.setpoint_w, of)
            self._outputs.put(output)
            return
        text = "the map has no stop: zero power is ordered, and nothing feeds the dead-man"
        self._turn.order(self._records.log(logging.WARNING, text, "watchdog"))
        self._turn.then(watchdog_events.WriteDone(kind, order.token, WriteResult.ACCEPTED))

    def _send_stop(self, now: Now) -> None:
        """Let the stop go, if it is durable, or has waited long enough."""
        if (stop := self._stop.take(now.mono_s)) is not None:
            self._write(stop, now)

    def _keep(self, found: watchdog_effects.KeepPhase, now: Now) -> None:
        by = self._stopped_by if found.phase is Phase.ESTOP else ""
        token = self._force.phase(found, by=by, now=now)
        if found.phase is Phase.ESTOP and not found.stop_owed:
            self._stop.keep(token)

    def _changed(self, change: watchdog_effects.PhaseChanged, now: Now) -> None:
        self._turn.order(*self._records.phase(change, now))
        if change.cause is not Cause.VERIFIED:
            self.cause = f"{change.cause}: {change.detail}" if change.detail else change.cause.value
        self._monitor.controlled(change.after.name, now)
        if change.after is not Phase.IDLING:
            self.refused_with = ""
        if change.after in (Phase.IDLE, Phase.MONITOR):
            self._releasing = False
            self._renew()
        if change.after not in POWERED:
            self.jobs.end_all(change.cause.value, now)

    def _aborted(self, command_id: str, cause: Cause) -> None:
        for owner in (command_id, WriteKind.SETPOINT.name, WriteKind.REVERSION.name):
            self._outputs.drop(owner)
        if self.jobs.find(command_id) is None:
            return
        if cause is Cause.DURATION:
            self._turn.then(ToJob(command_id, DurationOver()))
        else:
            self.jobs.end(command_id, _ENDS.get(cause, ResultState.ABORTED), cause.value)

    def _refused(self, refuse: watchdog_effects.Refuse, now: Now) -> None:
        id_ = refuse.command_id
        if not self.jobs.refused(id_):
            self._tell_all(self._orders.refused(refuse), now)
            return
        self._turn.then(watchdog_events.DispatchFailed(id_, refuse.detail))
        self.jobs.end(id_, ResultState.FAILED, refuse.cause.value)

    def _recorded(self, event: events.Recorded, now: Now) -> None:
        self._stop.recorded(event.token, now.mono_s)
        self._send_stop(now)
        if self._force.recorded(event, awaited=bool(self.jobs.accepted)):
            self._sight.rows = ()
            self.measure_by(None)
        self.jobs.recorded(event, now)

    # --- what is told --------------------------------------------------------------------------

    def _tell_all(self, told: Iterable[Told], now: Now) -> None:
        for id_, actor, report in told:
            self._turn.order(*self._records.result(id_, report, None, actor, now))


def _is_late(one: Execution | None, now: Now) -> bool:
    """Whether nothing of ``one`` has left, and its command has expired by now."""
    return one is not None and not one.begun and now.mono_s > one.accepted.job.expires_at
