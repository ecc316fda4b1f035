"""One asset under command: what happens in the field and what is ordered, put together. Pure.

The watchdog decides whether anything may be written; a dispatch's executor decides what; the
commands' intake decides who may ask. This joins them and keeps three promises that none of them can
keep alone: a frame of power leaves only if the watchdog does not object at that very moment, no
output of a command leaves before its id is durable, and LATCHED and ESTOP are durable before the
stop that they order (or a second has passed: stopping never waits for a disk).
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from gateway import events
from gateway.control import records as words
from gateway.control.commands.reasons import ResultState
from gateway.control.commands.spent import fact_of_over
from gateway.control.execution import plan
from gateway.control.execution.execute import Executor
from gateway.control.execution.job import (
    Aftermath,
    ControlAnswered,
    EndedElsewhere,
    FeedbackDiffered,
    FeedbackRead,
    Finish,
    LimitsMoved,
    Looked,
    ReadFeedback,
    Remembered,
    SendControl,
    TellCloud,
    Unsent,
)
from gateway.control.execution.outcomes import IdleNext, after_idle
from gateway.control.execution.outputs import Output, Outputs, Rank
from gateway.control.execution.underway import Accepted, Execution
from gateway.control.rules.field_view import FieldView
from gateway.control.rules.limits import Ceiling, SocWindow, site_limits
from gateway.control.rules.readiness import has_reversion, heartbeat_kind, heartbeat_range
from gateway.control.watchdog import effects as watchdog_effects
from gateway.control.watchdog import events as watchdog_events
from gateway.control.watchdog import machine
from gateway.control.watchdog.terms import terms
from gateway.control.watchdog.words import Cause, Phase, WriteKind, WriteResult
from gateway.effects import Effect, Poll, Record
from gateway.ports import OutcomeKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.asset.monitor import Monitor
    from gateway.checked import Safety
    from gateway.clock import Now
    from gateway.config.site import AssetSettings
    from gateway.control.execution.job import Event as JobEvent
    from gateway.control.execution.job import Order
    from gateway.control.execution.plan import Write
    from gateway.control.records import Records
    from gateway.control.rules.interlocks import Facts
    from gateway.control.watchdog.state import WatchdogState
    from gateway.control.watchdog.words import Terms
    from gateway.points.pointmap import PointsMap
    from gateway.ports import Outcome

LOOK_S = 0.25  # between two looks at the field by time alone
SOON_S = 0.05  # and between two that fragments ask for, however many they are
STOP_S = 1.0  # longest that a stop waits for the disk
BEAT_S = 2.0  # a heartbeat says that the core ticked so lately
_LOCAL_STATUSES = frozenset({7, 13})
_RANKS = {
    WriteKind.STOP: Rank.STOP,
    WriteKind.IDLE: Rank.IDLE,
    WriteKind.HEARTBEAT: Rank.HEARTBEAT,
    WriteKind.SETPOINT: Rank.POWER,
    WriteKind.REVERSION: Rank.POWER,
}
_ENDS = {Cause.SUPERSEDED: ResultState.SUPERSEDED}


@dataclass(slots=True)
class Start:
    """What a controller begins with."""

    session: str  # boot nonce
    secret: bytes = field(repr=False)  # of this boot: what the challenges are made from
    enabled: bool
    kept: Phase | None
    stop_owed: bool
    newest: int  # challenge that the other assets are at
    challenge_at: float  # monotonic s of the next one


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
        self._records = records
        self._tokens = tokens
        self.view = FieldView(asset, points_map, monitor)
        self._outputs = Outputs(asset.id, tokens)
        self._adopt(safety)
        self.state: WatchdogState = machine.start(
            self._terms(),
            now,
            session=start.session,
            enabled=start.enabled,
            kept=start.kept,
            stop_owed=start.stop_owed,
            secret=start.secret,
        )
        lease = replace(self.state.lease, newest=start.newest)
        self.state = replace(self.state, lease=lease, challenge_at=start.challenge_at)
        self._executions: dict[str, Execution] = {}
        self._accepted: dict[int, Accepted] = {}  # token of the record -> not durable yet
        self._orders: dict[str, str] = {}  # id of an order without power -> its actor
        self._idling: dict[str, str] = {}  # id of a carried idle, disarm, release -> its actor
        self._releasing = False
        self._asking: str | None = None  # command for which a setpoint is being asked for
        self._refused: watchdog_effects.Refuse | None = None
        self._stop_token = 0  # of the record that a stop waits for
        self._stop_at = math.inf
        self._stop: watchdog_effects.WriteStop | None = None
        self._ceiling = Ceiling(0.0, 0.0)
        self._disk_free_pct = 0.0
        self._iin: frozenset[str] = frozenset()
        self._looked_at, self._look_at = -math.inf, now.mono_s
        self._alarmed = False  # this demand's refusal was told
        self.last: TellCloud | None = None
        self.last_id = ""
        self.beats = 0  # heartbeats that the RTAC accepted
        self.beat_at: float | None = None  # monotonic s of the last one
        self.cause = ""  # of the last change of phase but "verified", for people
        self.may_exit = False
        self._handlers: dict[type, Callable[[Any, Now, list[Effect]], None]] = {
            events.FragmentStored: self._fragment,
            events.SessionUp: self._session,
            events.SessionDown: self._session,
            events.IinReceived: self._indications,
            events.PollDone: self._polled,
            events.Operated: self._operated,
            events.Recorded: self._recorded,
        }
        monitor.controlled(self.state.phase.name, now)

    # --- what it is held to --------------------------------------------------------------------

    def _adopt(self, safety: Safety) -> None:
        self.safety = safety
        self.site = site_limits(self._asset, safety.settings)
        self.window = SocWindow(self.site.min_soc_pct, self.site.max_soc_pct)

    def _terms(self) -> Terms:
        return terms(
            self.safety.settings.watchdog,
            response_s=self._asset.dnp3.response_timeout_s,
            heartbeat=heartbeat_kind(self._map),
            beats=heartbeat_range(self._map),
            reversion=has_reversion(self._map),
            tolerance_w=self.view.tolerance_w(),
        )

    def become(self, safety: Safety) -> None:
        """Be held to another safety file, that of a reload; it must be acknowledged first."""
        before = self.window
        self._adopt(safety)
        # A battery that reached an end of its window is still there, whatever was reloaded.
        self.window = replace(self.window, empty=before.empty, full=before.full)
        held = self._terms()
        lease = self.state.lease
        less_s = min(0.0, held.lease_s - lease.lease_s)  # a shorter lease is shorter at once
        lease = replace(lease, lease_s=held.lease_s, expires_at=lease.expires_at + less_s)
        self.state = replace(self.state, terms=held, lease=lease)

    @property
    def phase(self) -> Phase:
        """The watchdog's."""
        return self.state.phase

    @property
    def wake_at(self) -> float:
        """Monotonic s of the next ``tick``."""
        due = [self.state.wake_at, self._outputs.wake_at, self._stop_at]
        due += [one.executor.wake_at for one in self._executions.values()]
        if self.state.phase is not Phase.MONITOR:
            due.append(self._look_at)
        return min(due)

    # --- what happens --------------------------------------------------------------------------

    def handle(self, event: object, now: Now) -> list[Effect]:
        """Take one event of this asset; its monitor has seen it before."""
        handler = self._handlers.get(type(event))
        if handler is None:
            return []
        out: list[Effect] = []
        handler(event, now, out)
        return self._done(now, out)

    def tick(self, now: Now) -> list[Effect]:
        """Let time pass."""
        out: list[Effect] = []
        lost = self._outputs.overdue(now.mono_s)
        if lost is not None:
            self._answered(*lost, now, out)
        if now.mono_s >= self._stop_at:
            self._send_stop(now, out)
        if now.mono_s >= self._look_at and self.state.phase is not Phase.MONITOR:
            self._look(now, out)
        for id_, one in tuple(self._executions.items()):
            if now.mono_s >= one.executor.wake_at:
                self._drive(id_, self._looked(one, now), now, out)
        self._tell(watchdog_events.Tick(), now, out)
        return self._done(now, out)

    def tell(self, event: watchdog_events.Event, now: Now) -> list[Effect]:
        """Tell the watchdog something that did not happen in the field."""
        out: list[Effect] = []
        self._tell(event, now, out)
        return self._done(now, out)

    def order(self, event: watchdog_events.Event, id_: str, actor: str, now: Now) -> list[Effect]:
        """Give the watchdog a command's order; results follow."""
        self._orders[id_] = actor
        return self.tell(event, now)

    def release(self) -> None:
        """The next zeros also switch the mode off."""
        self._releasing = True

    def free(self, disk_free_pct: float) -> None:
        """Note how much of the disk is free, %."""
        self._disk_free_pct = disk_free_pct

    def accept(self, accepted: Accepted, token: int) -> None:
        """Hold a permitted command until ``Recorded`` answers this token."""
        self._accepted[token] = accepted

    def facts(self, now: Now) -> Facts:
        """What the interlocks are judged from."""
        live = self.state.lease.live(now.mono_s)
        return self.view.facts(self.window, now, lease=live, disk_free_pct=self._disk_free_pct)

    def ceiling(self, now: Now) -> Ceiling:
        """What may be applied now."""
        return self.view.ceiling(self.site, now)

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

    # --- the field -----------------------------------------------------------------------------

    def _fragment(self, event: events.FragmentStored, now: Now, out: list[Effect]) -> None:
        names = {raw.point for raw in event.points}
        view = self.view
        if names.isdisjoint(view.points):
            return
        if names & view.authority_points:
            self._authority(now, out)
        if names & view.echo_points:
            echo_w = view.echo_w(now)
            if echo_w is not None:
                self._tell(watchdog_events.EchoRead(echo_w, event.at.mono_s), now, out)
        if view.beat_point in names:
            beat = view.echoes((view.beat_point,), now)[view.beat_point]
            if beat is not None and isinstance(beat.value, int | float):
                self._tell(watchdog_events.DerHeartbeatRead(int(beat.value)), now, out)
        self._look_at = min(self._look_at, self._looked_at + SOON_S)
        if now.mono_s >= self._look_at and self.state.phase is not Phase.MONITOR:
            self._look(now, out)

    def _authority(self, now: Now, out: list[Effect]) -> None:
        ours = self.view.authority(self.facts(now))
        if ours is not None:
            self._tell(
                watchdog_events.RemoteSeen() if ours else watchdog_events.LocalSeen(), now, out
            )

    def _indications(self, event: events.IinReceived, now: Now, out: list[Effect]) -> None:
        before, self._iin = self._iin, event.names
        if "DEVICE_RESTART" in event.names - before:
            self._tell(watchdog_events.Restarted(), now, out)
        if "LOCAL_CONTROL" in event.names ^ before:
            self._authority(now, out)

    def _session(
        self, event: events.SessionUp | events.SessionDown, now: Now, out: list[Effect]
    ) -> None:
        up = isinstance(event, events.SessionUp)
        if up:
            self._authority(now, out)
        self._tell(
            watchdog_events.SessionReady() if up else watchdog_events.SessionLost(), now, out
        )
        self._look(now, out)

    def _polled(self, event: events.PollDone, now: Now, out: list[Effect]) -> None:
        if event.kind not in ("critical", "integrity"):
            return
        for id_, one in tuple(self._executions.items()):
            read = FeedbackRead(event.ok, self._echoes(one, now))
            self._drive(id_, read, now, out)

    def _look(self, now: Now, out: list[Effect]) -> None:
        """Judge interlocks and limits afresh, and let the executors see the field."""
        self._looked_at, self._look_at = now.mono_s, now.mono_s + LOOK_S
        soc = self.view.soc_pct(now)
        if soc is not None:
            self.window = self.window.handle(soc)
        self._judge(now, out)
        self._limit(now, out)
        for id_, one in tuple(self._executions.items()):
            self._drive(id_, self._looked(one, now), now, out)

    def _limit(self, now: Now, out: list[Effect]) -> None:
        ceiling = self.ceiling(now)
        if ceiling == self._ceiling:
            return
        self._ceiling = ceiling
        for id_ in tuple(self._executions):
            self._drive(id_, LimitsMoved(ceiling), now, out)
        self._tell(watchdog_events.LimitsChanged(ceiling.charge_w, ceiling.discharge_w), now, out)

    def _judge(self, now: Now, out: list[Effect]) -> None:
        dispatch, power_w = self.dispatch, 0.0
        facts = self.facts(now)
        if dispatch is not None:
            accepted = dispatch.accepted
            power_w = accepted.job.power_w or 0.0
            window = self.window.narrowed(accepted.min_soc_pct, accepted.max_soc_pct)
            facts = replace(facts, window=window)
        reasons = self.view.interlocks(facts, power_w)
        held = self.state.dispatch
        if held is not None and held.setpoint_w * power_w < 0:  # a ramp begins in the other one
            reasons = tuple(
                dict.fromkeys((*reasons, *self.view.interlocks(facts, held.setpoint_w)))
            )
        if reasons != self.state.interlocks:
            self._tell(watchdog_events.InterlocksChanged(reasons), now, out)

    def _looked(self, one: Execution, now: Now) -> Looked:
        return Looked(self._echoes(one, now), self.view.power_w(now))

    def _echoes(self, one: Execution, now: Now) -> dict[str, Any]:
        progress = one.executor.now
        points = {write.echo for write in progress.queue} | progress.made.keys()
        return self.view.echoes(points, now)

    # --- outputs -------------------------------------------------------------------------------

    def _done(self, now: Now, out: list[Effect]) -> list[Effect]:
        """End every pass: let the next control go, tell what became of idles."""
        while True:
            held = self.state.dispatch
            if held is not None and self.dispatch is None:  # nobody looks after it any more
                self._tell(
                    watchdog_events.DispatchFailed(held.command_id, "superseded in vain"), now, out
                )
            order, stopped = self._outputs.send(now.mono_s, lambda one: self._may(one, now, out))
            if order is not None:
                out.append(order)
            if not stopped:
                break
            for output in stopped:
                self._withheld(output, now, out)
        if self._idling:
            self._settle(now, out)
        return out

    def _may(self, output: Output, now: Now, out: list[Effect]) -> float:
        """Until when an output may leave, -inf: not at all; it may have waited since its order."""
        match output.rank:
            case Rank.STOP:
                return math.inf if self.state.phase is Phase.ESTOP else -math.inf
            case Rank.IDLE:
                return math.inf if self.state.owes_zero() else -math.inf
            case Rank.HEARTBEAT:
                return now.mono_s + BEAT_S if self.state.may_beat(now.mono_s) else -math.inf
            case Rank.POWER:
                return self._until(output, now) if self._may_power(output, now, out) else -math.inf

    def _until(self, output: Output, now: Now) -> float:
        """How long power may wait in the session for a poll that is under way."""
        held, one = self.state.dispatch, self._executions.get(output.owner)
        return min(
            now.mono_s + 2 * self.state.terms.response_s,
            self.state.lease.expires_at,
            math.inf if held is None else held.ends_at,
            math.inf if one is None else one.executor.now.ends_at,
        )

    def _may_power(self, output: Output, now: Now, out: list[Effect]) -> bool:
        self._judge(now, out)
        self._limit(now, out)
        self._tell(watchdog_events.Tick(), now, out)  # a duration, or another deadline, may be over
        one = self._executions.get(output.owner)
        if self.state.objection(now.mono_s) is not None or _is_late(one, now):
            return False
        if output.power_w is not None and not self._is_within(output.power_w):
            return False
        if one is not None:
            one.begun = True
        return True

    def _is_within(self, power_w: float) -> bool:
        return self.state.clamped_w(power_w) == power_w

    def _withheld(self, output: Output, now: Now, out: list[Effect]) -> None:
        objection = self.state.objection(now.mono_s)
        one = self._executions.get(output.owner)
        if one is not None:
            state, cause = ResultState.ABORTED, "state" if objection is None else objection[0].value
            if objection is None and _is_late(one, now):
                state, cause = ResultState.EXPIRED, "expired"
            elif objection is None:  # the limit shrank while it waited: a smaller setpoint follows
                self._drive(output.owner, Unsent(output.token), now, out)
                return
            self._end(output.owner, state, cause, now, out)
        elif output.owner in WriteKind.__members__:
            kind = WriteKind[output.owner]
            self._tell(watchdog_events.WriteDone(kind, output.token, WriteResult.FAILED), now, out)

    def _operated(self, event: events.Operated, now: Now, out: list[Effect]) -> None:
        over = self._outputs.answered(event.token, event.outcome)
        if over is not None:
            self._answered(*over, now, out)

    def _answered(self, output: Output, outcome: Outcome, now: Now, out: list[Effect]) -> None:
        if output.owner in WriteKind.__members__:
            kind = WriteKind[output.owner]
            result = self._result(kind, outcome, now, out)
            if kind is WriteKind.HEARTBEAT and result is WriteResult.ACCEPTED:
                self.beats, self.beat_at = self.beats + 1, now.mono_s
            self._tell(watchdog_events.WriteDone(kind, output.token, result), now, out)
        elif output.owner in self._executions:
            self._drive(output.owner, ControlAnswered(output.token, outcome), now, out)

    def _result(
        self, kind: WriteKind, outcome: Outcome, now: Now, out: list[Effect]
    ) -> WriteResult:
        if kind is WriteKind.IDLE:
            return self._idle_result(outcome, now, out)
        if outcome.kind is OutcomeKind.SUCCESS:
            return WriteResult.ACCEPTED
        if outcome.kind is OutcomeKind.FAILED:
            return WriteResult.FAILED
        if outcome.kind is OutcomeKind.NO_ANSWER:
            return WriteResult.UNKNOWN
        number = outcome.statuses[-1].number if outcome.statuses else None
        if kind is WriteKind.SETPOINT and number in _LOCAL_STATUSES:
            return WriteResult.LOCAL
        return WriteResult.REFUSED

    def _idle_result(self, outcome: Outcome, now: Now, out: list[Effect]) -> WriteResult:
        found = after_idle(outcome)
        if found is IdleNext.VERIFY:
            return WriteResult.ACCEPTED
        if found is IdleNext.LOCAL:
            return WriteResult.LOCAL
        if found is not IdleNext.RETRY and not self._alarmed:
            self._alarmed = True
            status = outcome.statuses[-1].name if outcome.statuses else outcome.kind.value
            text = f"zero power is refused with {status}: it is ordered again until it is verified"
            out.append(self._records.event("alarm", "critical", text, now, code="idle_refused"))
            out.append(self._records.log(logging.ERROR, text, "watchdog"))
            if found is IdleNext.RETRY_ALARM_LATCH:
                out += self._monitor.refused(f"the map's zero is refused with {status}", now)
        if outcome.kind is OutcomeKind.FAILED:
            return WriteResult.FAILED
        unanswered = outcome.kind is OutcomeKind.NO_ANSWER
        return WriteResult.UNKNOWN if unanswered else WriteResult.REFUSED

    def _put(
        self,
        kind: WriteKind,
        token: int,
        writes: tuple[Write, ...],
        power_w: float | None = None,
    ) -> None:
        controls = tuple((write.control, write.sbo) for write in writes)
        output = Output(
            rank=_RANKS[kind],
            owner=kind.name,
            token=token,
            controls=controls,
            power_w=power_w,
            newest=True,
        )
        self._outputs.put(output)

    # --- the watchdog --------------------------------------------------------------------------

    def _tell(self, event: watchdog_events.Event, now: Now, out: list[Effect]) -> None:
        self.state, orders = machine.handle(self.state, event, now)
        for order in orders:
            self._perform(order, now, out)

    def _perform(self, order: watchdog_effects.Effect, now: Now, out: list[Effect]) -> None:  # noqa: C901, PLR0912 - one arm for each effect
        match order:
            case watchdog_effects.WriteIdle(token):
                base = self.view.base(now)
                self._write(
                    WriteKind.IDLE,
                    token,
                    lambda: plan.idle_writes(self._map, base, release=self._releasing),
                    now,
                    out,
                )
            case watchdog_effects.WriteSetpoint(token, command_id, setpoint_w):
                if command_id != self._asking:  # a limit shrank: the executor does not know yet
                    base = self.view.base(now)
                    self._write(
                        WriteKind.SETPOINT,
                        token,
                        lambda: plan.power_writes(self._map, setpoint_w, base),
                        now,
                        out,
                        setpoint_w,
                    )
            case watchdog_effects.WriteHeartbeat(token, value):
                self._write(
                    WriteKind.HEARTBEAT,
                    token,
                    lambda: (plan.heartbeat_write(self._map, value),),
                    now,
                    out,
                )
            case watchdog_effects.RefreshReversion(token):
                seconds = self.safety.settings.watchdog.reversion_s
                self._write(
                    WriteKind.REVERSION,
                    token,
                    lambda: (plan.reversion_write(self._map, seconds),),
                    now,
                    out,
                )
            case watchdog_effects.WriteStop():
                self._stop, self._stop_at = order, now.mono_s + STOP_S
                if self._stop_token == 0:
                    self._send_stop(now, out)
            case watchdog_effects.ReadEcho():
                out.append(Poll(self._asset.id, "critical"))
            case watchdog_effects.IssueChallenge():
                pass  # the fleet publishes each number once: see ``state.lease.newest``
            case watchdog_effects.KeepPhase(phase, stop_owed):
                self._keep(phase, stop_owed=stop_owed, out=out)
            case watchdog_effects.PhaseChanged():
                self._changed(order, now, out)
            case watchdog_effects.Abort(command_id, cause):
                self._aborted(command_id, cause, now, out)
            case watchdog_effects.Refuse():
                self._refusal(order, now, out)
            case watchdog_effects.Carried(command_id):
                self._carried(command_id, now, out)
            case watchdog_effects.MayExit():
                self.may_exit = True

    def _write(
        self,
        kind: WriteKind,
        token: int,
        writes: Callable[[], tuple[Write, ...]],
        now: Now,
        out: list[Effect],
        power_w: float | None = None,
    ) -> None:
        try:
            found = writes()
        except plan.PlanError as error:
            out.append(
                self._records.log(logging.ERROR, f"{kind.name.lower()}: {error}", "watchdog")
            )
            self._tell(watchdog_events.WriteDone(kind, token, WriteResult.FAILED), now, out)
            return
        self._put(kind, token, found, power_w)

    def _send_stop(self, now: Now, out: list[Effect]) -> None:
        """Let the stop go: it is durable, or it has waited long enough."""
        stop, self._stop, self._stop_at, self._stop_token = self._stop, None, math.inf, 0
        if stop is None:
            return
        writes = plan.stop_writes(self._map)
        if writes:
            self._put(WriteKind.STOP, stop.token, writes)
            return
        text = "the map has no stop: zero power is ordered, and nothing feeds the dead-man"
        out.append(self._records.log(logging.WARNING, text, "watchdog"))
        self._tell(
            watchdog_events.WriteDone(WriteKind.STOP, stop.token, WriteResult.ACCEPTED), now, out
        )

    def _keep(self, phase: Phase | None, *, stop_owed: bool, out: list[Effect]) -> None:
        token = next(self._tokens)
        if phase is Phase.ESTOP and not stop_owed:
            self._stop_token = token
        fact = {f"{self._asset.id}/phase": words.kept_phase(phase, stop_owed=stop_owed)}
        name = "none" if phase is None else phase.name
        body: dict[str, object] = {"phase": name, "stopOwed": stop_owed}
        out.append(self._records.audited(words.GATEWAY, "kept", body, token=token, facts=fact))

    def _recorded(self, event: events.Recorded, now: Now, out: list[Effect]) -> None:
        if event.token == self._stop_token:
            self._send_stop(now, out)
        accepted = self._accepted.pop(event.token, None)
        if accepted is None:
            return
        if event.ok:
            self._start(accepted, now, out)
            return
        self._over(accepted, now, out)
        report = TellCloud(ResultState.FAILED, "not_durable", None, None, (event.cause,))
        self._report(accepted.job.id, report, accepted, now, out)

    def _changed(self, change: watchdog_effects.PhaseChanged, now: Now, out: list[Effect]) -> None:
        out += self._records.phase(change, now)
        if change.cause is not Cause.VERIFIED:
            self.cause = f"{change.cause}: {change.detail}" if change.detail else change.cause.value
        self._monitor.controlled(change.after.name, now)
        if change.after is not Phase.IDLING:
            self._alarmed = False
        if change.after in (Phase.IDLE, Phase.MONITOR):
            self._releasing = False
        if change.after not in (Phase.ARMED, Phase.ACTIVE):
            for token, accepted in tuple(self._accepted.items()):
                del self._accepted[token]
                self._over(accepted, now, out)
                report = TellCloud(ResultState.ABORTED, change.cause.value, None, None, ())
                self._report(accepted.job.id, report, accepted, now, out)
            # Also a dispatch that writes what comes before its setpoint: were it left alone, it
            # would go on after the next ``arm``.
            for id_ in tuple(self._executions):
                self._end(id_, ResultState.ABORTED, change.cause.value, now, out)

    # --- orders without power ------------------------------------------------------------------

    def _refusal(self, refuse: watchdog_effects.Refuse, now: Now, out: list[Effect]) -> None:
        if refuse.command_id == self._asking:
            self._refused = refuse
            return
        actor = self._orders.pop(refuse.command_id, None)
        if actor is None:
            return
        report = TellCloud(ResultState.REJECTED, refuse.cause.value, None, None, (refuse.detail,))
        out += self._records.result(refuse.command_id, report, None, actor, now)

    def _carried(self, command_id: str, now: Now, out: list[Effect]) -> None:
        actor = self._orders.pop(command_id, None)
        if actor is None:
            return
        state = ResultState.SUCCEEDED
        if self.state.phase is not Phase.ARMED:
            state, self._idling[command_id] = ResultState.EXECUTING, actor
        out += self._records.result(
            command_id, TellCloud(state, None, None, None, ()), None, actor, now
        )

    def _settle(self, now: Now, out: list[Effect]) -> None:
        """An ordered idle succeeds when zero is verified."""
        phase, reason = self.state.phase, None
        if self.state.demand is None:
            state = ResultState.SUCCEEDED
        elif phase is Phase.LATCHED:
            state, reason = ResultState.FAILED, Cause.UNVERIFIED.value
        elif phase in (Phase.LOCAL, Phase.BLIND):
            state, reason = ResultState.ABORTED, phase.name.lower()
        else:
            return
        report = TellCloud(state, reason, None, self.view.power_w(now), ())
        for id_, actor in self._idling.items():
            out += self._records.result(id_, report, None, actor, now)
        self._idling.clear()

    # --- executors -----------------------------------------------------------------------------

    def _start(self, accepted: Accepted, now: Now, out: list[Effect]) -> None:
        job = accepted.job
        if job.power_w is not None:
            before = self.dispatch
            if before is not None:
                self._end(before.accepted.job.id, ResultState.SUPERSEDED, "superseded", now, out)
            held = self.state.dispatch
            job = replace(job, start_w=0.0 if held is None else held.setpoint_w)
        self._ceiling = self.ceiling(now)
        executor, orders = Executor.start(job, self._ceiling, now.mono_s)
        self._executions[job.id] = Execution(accepted, executor)
        self._tell(
            watchdog_events.LimitsChanged(self._ceiling.charge_w, self._ceiling.discharge_w),
            now,
            out,
        )
        self._order(job.id, orders, now, out)
        self._drive(job.id, Remembered(), now, out)

    def _drive(self, id_: str, event: JobEvent, now: Now, out: list[Effect]) -> None:
        one = self._executions.get(id_)
        if one is None or one.executor.phase.name == "OVER":
            return  # its last orders are being carried out: this happened because of them
        at = now.mono_s
        one.executor, orders = one.executor.handle(event, at)
        self._order(id_, orders, now, out)

    def _order(self, id_: str, orders: tuple[Order, ...], now: Now, out: list[Effect]) -> None:
        for order in orders:
            one = self._executions.get(id_)
            if one is None:
                return
            match order:
                case SendControl():
                    self._operate(one, order, now, out)
                case ReadFeedback():
                    out.append(Poll(self._asset.id, "critical"))
                case TellCloud():
                    self._report(id_, order, one.accepted, now, out)
                case Finish():
                    self._finish(one, order, now, out)
                case FeedbackDiffered(point, expected):
                    seen = self.view.echoes((point,), now)[point]
                    found = None if seen is None else seen.value
                    out += self._monitor.differed(point, expected=expected, found=found, now=now)
        one = self._executions.get(id_)
        if one is not None and one.executor.phase.name == "OVER":
            del self._executions[id_]
            self._outputs.drop(id_)
            self._over(one.accepted, now, out)

    def _operate(self, one: Execution, order: SendControl, now: Now, out: list[Effect]) -> None:
        self._judge(now, out)
        id_ = one.accepted.job.id
        if order.power_w is not None and not self._licensed(one, order.power_w, now, out):
            return
        if self._executions.get(id_) is not one:
            return  # what we saw while asking has ended it
        output = Output(
            rank=Rank.POWER,
            owner=id_,
            token=order.token,
            controls=((order.control, order.sbo),),
            power_w=order.power_w,
        )
        self._outputs.put(output)

    def _licensed(self, one: Execution, power_w: float, now: Now, out: list[Effect]) -> bool:
        """Ask the watchdog for this setpoint; without its leave the command ends."""
        id_, held = one.accepted.job.id, self.state.dispatch
        if held is not None and held.command_id == id_ and held.setpoint_w == power_w:
            return True
        event: watchdog_events.Event = watchdog_events.SetpointWanted(id_, power_w)
        if held is None or held.command_id != id_:
            left_s = one.executor.now.ends_at - now.mono_s
            event = watchdog_events.DispatchAccepted(
                id_, power_w, left_s, one.accepted.job.expires_at
            )
        self._asking, self._refused = id_, None
        self._tell(event, now, out)
        self._asking = None
        refused: watchdog_effects.Refuse | None = self._refused
        if refused is None:
            return id_ in self._executions
        self._tell(watchdog_events.DispatchFailed(id_, refused.detail), now, out)
        self._end(id_, ResultState.FAILED, refused.cause.value, now, out)
        return False

    def _finish(self, one: Execution, finish: Finish, now: Now, out: list[Effect]) -> None:
        id_ = one.accepted.job.id
        match finish.aftermath:
            case Aftermath.LOCAL:
                self._tell(watchdog_events.LocalSeen(), now, out)
            case Aftermath.YIELD:
                self._tell(watchdog_events.OtherMasterSeen(), now, out)
            case Aftermath.SUSPECT:
                out += self._monitor.refused(f"a command was answered with {finish.cause}", now)
        if not one.power:
            self._tell(watchdog_events.IdleOrdered(""), now, out)
        elif finish.cause == "duration":
            self._tell(watchdog_events.Tick(), now, out)
        else:
            self._tell(watchdog_events.DispatchFailed(id_, finish.cause), now, out)

    def _aborted(self, command_id: str, cause: Cause, now: Now, out: list[Effect]) -> None:
        self._outputs.drop(command_id)
        self._outputs.drop(WriteKind.SETPOINT.name)
        self._outputs.drop(WriteKind.REVERSION.name)
        one = self._executions.get(command_id)
        if one is None:
            return
        if cause is Cause.DURATION:  # its own clock ends at the same instant, but for rounding
            late = now._replace(mono_s=max(now.mono_s, one.executor.now.ends_at))
            self._drive(command_id, self._looked(one, now), late, out)
            return
        self._end(command_id, _ENDS.get(cause, ResultState.ABORTED), cause.value, now, out)

    def _end(self, id_: str, state: ResultState, cause: str, now: Now, out: list[Effect]) -> None:
        self._drive(id_, EndedElsewhere(state, cause), now, out)

    def _over(self, accepted: Accepted, now: Now, out: list[Effect]) -> None:
        """Nothing of it is in force any more: a restart has nothing to say about it."""
        if accepted.cloud:
            out.append(Record(0, (), fact_of_over(self._asset.id, accepted.job.id, now)))

    def _report(
        self, id_: str, report: TellCloud, accepted: Accepted, now: Now, out: list[Effect]
    ) -> None:
        self.last, self.last_id = report, id_
        if report.state is ResultState.SUCCEEDED and id_ in self._executions:
            self._monitor.agreed(self._executions[id_].executor.now.made)
        if accepted.cloud:
            out += self._records.result(id_, report, accepted.requested_w, accepted.actor, now)


def _is_late(one: Execution | None, now: Now) -> bool:
    """Whether nothing of ``one`` has left, and its command has expired by now."""
    return one is not None and not one.begun and now.mono_s > one.accepted.job.expires_at
