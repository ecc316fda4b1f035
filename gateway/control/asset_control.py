"""Everything that may command one asset: cloud, operator, commissioning; and why it may not. Pure.

Control is off while any reason of ``readiness`` stands. A commissioning test turns it on for
itself alone: commands from the cloud are refused meanwhile, but those that take power away.
"""

from __future__ import annotations

import json
import logging
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from gateway.config.safety import bounds
from gateway.control import telling
from gateway.control.commands.reasons import ResultState
from gateway.control.commands.spent import fact_of_over, open_commands, seen_commands
from gateway.control.commissioning.procedure import HOLD_S, Kind, TrialPlan
from gateway.control.controller import Controller
from gateway.control.execution.job import TellCloud
from gateway.control.figures import figures
from gateway.control.intake import CommandIntake, IntakePlace
from gateway.control.inward import Start
from gateway.control.records import Records
from gateway.control.rules import readiness
from gateway.control.rules.zero_path import zero_path
from gateway.control.trial import Trial
from gateway.control.watchdog import events as watchdog_events
from gateway.control.watchdog.force import is_ours
from gateway.control.watchdog.obligation import (
    fact_of_force,
    is_in_force,
    is_kept,
    obligation,
    was_grouped,
)
from gateway.control.watchdog.orders import LOCAL_STOP, idle_refusal
from gateway.control.watchdog.state import LASTING, POWERED, Held
from gateway.control.watchdog.words import Cause, Phase
from gateway.effects import Effect, Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway import events
    from gateway.asset.monitor import Monitor
    from gateway.checked import Safety
    from gateway.clock import Now
    from gateway.config.safety import (
        LimitSettings,
        RiskAcceptance,
        SharedLimitSettings,
        WatchdogSettings,
    )
    from gateway.config.site import AssetSettings
    from gateway.control.watchdog.obligation import Obligation
    from gateway.points.pointmap import PointsMap
    from gateway.uplink.topics import Topics

STANDING_S = 1.0  # keys run out, tests expire: judged so often
_TESTS = frozenset({"SIGN_TEST_MISSING", "DEADMAN_TEST_MISSING", "DEADMAN_TEST_EXPIRED"})
_FACTS = {
    Kind.SIGN: readiness.fact_of_sign_test,
    Kind.DEADMAN: readiness.fact_of_deadman_test,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What one asset's control stands on when it begins."""

    asset: AssetSettings
    points_map: PointsMap
    matched: bool
    safety: Safety | None  # None: there is no good one, and something is owed all the same
    faulty: bool  # because it has faults
    gateway: str
    session: str  # boot nonce
    secret: bytes = field(repr=False)  # of this boot
    topics: Topics
    epoch: str
    facts: Mapping[str, str]  # of the audit log
    log_lost: bool  # the audit log was set aside, or cannot be written
    latest_ms: int | None  # Unix ms of its newest row
    newest: int  # challenge that other assets are at
    challenge_at: float  # monotonic s of the next one


class AssetControl:
    """Control of one asset, as the core drives it."""

    def __init__(self, ground: Ground, monitor: Monitor, tokens: Iterator[int], now: Now) -> None:
        asset = ground.asset
        self._ground = ground
        self._name = asset.id
        self.monitor = monitor
        self._safety: Safety | None = ground.safety
        self._faulty = ground.faulty
        self.log_lost = ground.log_lost
        self._commissioned = readiness.commissioned(ground.facts, asset.id)
        self._tokens = tokens
        self.records = Records(ground.gateway, asset.id, ground.topics, ground.epoch)
        kept, stop_owed = _kept(ground)
        self._left = open_commands(ground.facts, asset.id)
        owed = obligation(ground.facts, asset.id)
        start = Start(
            session=ground.session,
            secret=ground.secret,
            enabled=not self._reasons(now),
            kept=kept,
            stop_owed=stop_owed,
            held=Held(
                in_force=is_in_force(ground.facts, asset.id) or bool(self._left),
                last_w=None if owed is None else owed.setpoint_w,
                grouped=was_grouped(ground.facts, asset.id),
                declared=owed is not None and bool(owed.declared),
            ),
            idle_w=self._idle_w(),
            owed=owed,
            newest=ground.newest,
            challenge_at=ground.challenge_at,
        )
        safety = ground.safety or figures(owed)
        self.controller = Controller(
            asset, ground.points_map, monitor, safety, self.records, tokens, start, now
        )
        self._unkept = bool(self._left) and not is_kept(ground.facts, asset.id)
        self._other = self._otherwise(owed, now)
        self._unsaid = bool(self._other)
        seen, self._old = seen_commands(ground.facts, asset.id, now)
        place = IntakePlace(ground.gateway, ground.session)
        self.intake = CommandIntake(
            place, asset, ground.points_map, self.controller, self.records, tokens, seen
        )
        self._trial: Trial | None = None
        self._proofs: dict[int, str] = {}  # token of a record -> what it proves once durable
        self._standing_at = now.mono_s
        self.reasons = self._reasons(now)
        self._said: tuple[object, ...] = ()

    def _otherwise(self, owed: Obligation | None, now: Now) -> str:
        """Why what is in force was written otherwise than zero would be now; then none is."""
        controller = self.controller
        if owed is None or owed.declared or not controller.state.in_force:
            return ""
        of = controller.view.base(now)
        why = owed.differs(controller.zero(owed.number, owed.setpoint_w, of))
        if why:
            controller.block()
        return why

    # --- what happens --------------------------------------------------------------------------

    @property
    def wake_at(self) -> float:
        """Monotonic s of the next ``tick``."""
        trial_at = math.inf if self._trial is None else self._trial.wake_at
        return min(self.controller.wake_at, self.intake.wake_at, trial_at, self._standing_at)

    def handle(self, event: object, now: Now) -> list[Effect]:
        """Take an event of this asset; its monitor has seen it before."""
        return self.controller.handle(event, now) + self._after(now)

    def tick(self, now: Now) -> list[Effect]:
        """Let time pass."""
        out: list[Effect] = []
        if self._unsaid:
            self._unsaid = False
            out += self.records.blocked(self._other, now)
        if self._old:
            out.append(Record(0, (), self._old))
            self._old = {}
        if self._unkept:  # an older store keeps no fact, and what follows ends its only trace
            self._unkept = False
            number = f"{self._ground.session}-older"
            owed = self.controller.zero(number, None, self.controller.view.base(now))
            out.append(Record(0, (), fact_of_force(self._name, owed)))
        for one in self._left:
            report = TellCloud(ResultState.ABORTED, Cause.RESTART.value, None, None, ())
            out += self.records.result(one.id, report, one.power_w, one.kid, now)
            out.append(Record(0, (), fact_of_over(self._name, one.id, now)))
        self._left = ()
        if now.mono_s >= self._standing_at:
            out += self._stand(now)
        return out + self.controller.tick(now) + self.intake.tick(now) + self._after(now)

    def command(self, event: events.MessageArrived, now: Now) -> list[Effect]:
        """Take a message of the command topic."""
        self.reasons = self._reasons(now)
        lent = self._testing and self.controller.state.enabled
        return self.intake.command(event, now, self._disabled, lent=lent) + self._after(now)

    @property
    def _testing(self) -> bool:
        return self._trial is not None and self._trial.ok is None

    @property
    def _disabled(self) -> tuple[str, ...]:
        """Why a command that asks for power is refused."""
        return self.reasons or (("COMMISSIONING",) if self._testing else ())

    def heartbeat(self, session: str, challenge: int, now: Now) -> list[Effect]:
        """Take a genuine answer to a challenge."""
        return self.controller.tell(watchdog_events.HeartbeatVerified(session, challenge), now)

    def recorded(self, event: events.Recorded, now: Now) -> list[Effect]:
        """Something became durable, or did not."""
        proof = self._proofs.pop(event.token, None)
        if proof is not None and event.ok:
            self._prove(proof)
        return self.controller.handle(event, now) + self._stand(now) + self._after(now)

    def stop(self, now: Now) -> list[Effect]:
        """SIGTERM: idle, verify; ``controller.may_exit`` says when it is done."""
        trial, ended = self._trial, list[Effect]()
        if trial is not None and trial.ok is None:
            ended = trial.abort("the gateway is stopping", now)
            ended += self._judged(trial, now)
        return (
            ended + self.intake.stop(now) + self.controller.tell(watchdog_events.StopOrdered(), now)
        )

    def become(self, safety: Safety | None, *, faulty: bool, now: Now) -> list[Effect]:
        """Take the safety file of a reload; without a good one the old figures idle the battery."""
        self._safety, self._faulty = safety, faulty
        if safety is not None:
            self.controller.become(safety)
        return self._stand(now)

    # --- why it is off -------------------------------------------------------------------------

    def _standing(self, now: Now) -> readiness.Standing:
        ground = self._ground
        return readiness.Standing(
            safety=self._safety,
            safety_faulty=self._faulty,
            points_map=ground.points_map,
            matched=ground.matched,
            commissioned=self._commissioned,
            now_ms=now.unix_ms,
            latest_ms=ground.latest_ms,
            log_lost=self.log_lost,
        )

    def _reasons(self, now: Now) -> tuple[str, ...]:
        return readiness.reasons(self._standing(now))

    def _stand(self, now: Now) -> list[Effect]:
        """Turn control on or off as the reasons have it."""
        self._standing_at = now.mono_s + STANDING_S
        before, self.reasons = self.reasons, self._reasons(now)
        out: list[Effect] = []
        if self.reasons != before:
            why = ", ".join(self.reasons)
            text = f"control is off: {why}" if why else "control may be used"
            level = logging.WARNING if why else logging.INFO
            out.append(self.records.log(level, text, "control"))
        return out + self._switch(now)

    def _switch(self, now: Now) -> list[Effect]:
        trial = self._trial
        lent = trial is not None and trial.enabled and not set(self.reasons) - _TESTS
        on = not self.reasons or lent
        if on == self.controller.state.enabled:
            return []
        return self.controller.tell(
            watchdog_events.ControlEnabled() if on else watchdog_events.ControlDisabled(), now
        )

    def _after(self, now: Now) -> list[Effect]:
        """Let a test see what happened."""
        trial = self._trial
        if trial is None or trial.ok is not None:
            return []
        out = trial.advance(now)
        out += self._switch(now)
        return out + self._judged(trial, now)

    # --- commissioning -------------------------------------------------------------------------

    def acknowledge(self, digest: str, user: str, now: Now) -> tuple[list[Effect], str]:
        """An operator takes the safety file upon himself; returns also why not."""
        if self._safety is None:
            return [], "there is no good safety.toml to acknowledge"
        if digest != self._safety.digest:
            return [], f"digest {digest}: must be that of the safety file, {self._safety.digest}"
        facts = readiness.fact_of_acknowledgement(self._name, digest)
        text = f"safety file {digest} acknowledged"
        token = next(self._tokens)
        self._proofs[token] = json.dumps(facts)
        body: dict[str, object] = {"act": "acknowledge", "text": text}
        actor = f"operator:{user}"
        return [
            self.records.event(
                "commissioning", "info", f"{text} by {user}", now, user=user, act="acknowledge"
            ),
            self.records.audited(actor, "commissioning", body, token=token, facts=facts, sign=True),
            self.records.log(logging.WARNING, f"{text} by {user}", "operator"),
        ], ""

    def test(
        self, kind: Kind, user: str, now: Now, *, hold_s: float | None = None
    ) -> tuple[list[Effect], str]:
        """Begin a test; returns also why not."""
        if self._trial is not None and self._trial.ok is None:
            return [], f"a {self._trial.kind} is running"
        others = [reason for reason in self.reasons if reason not in _TESTS]
        if others:
            return [], f"control is off: {', '.join(others)}"
        if kind is Kind.DEADMAN and not readiness.dead_man_testable(self._ground.points_map):
            return [], "the points map has no heartbeat that could be withheld"
        held_s = HOLD_S[kind] if hold_s is None else hold_s
        self._trial = Trial(kind, self._plan(kind, held_s, now), user, self.controller, self.intake)
        text = f"{kind} begun with a hold of {held_s:g} s"
        out = self.records.act(user, f"commission {kind}", text, now)
        return out + self._after(now), ""

    def _plan(self, kind: Kind, hold_s: float, now: Now) -> TrialPlan:
        controller, asset = self.controller, self._ground.asset
        settings = controller.safety.settings
        power = self._ground.points_map.row("power")
        window, soc_pct = controller.window, controller.view.soc_pct(now)
        share_w = asset.nameplate_w * 0.02
        return TrialPlan(
            kind=kind,
            nameplate_w=asset.nameplate_w,
            tolerance_w=controller.state.terms.tolerance_w,
            deadman_s=settings.watchdog.rtac_deadman_s,
            idle_verify_s=settings.watchdog.idle_verify_s,
            hold_s=hold_s,
            discharge=not window.refusal(share_w, soc_pct),
            ramp_s=share_w / settings.limits.ramp_w_per_s,
            dead_band_w=(power.deadband if power is not None else None) or 0.0,
            arm_after_s=controller.state.terms.arm_after_s,
        )

    def _judged(self, trial: Trial, now: Now) -> list[Effect]:
        if trial.ok is None:
            return []
        text = trial.lines[-1]
        severity = "info" if trial.ok else "warning"
        figures = dict(trial.figures)
        out: list[Effect] = [
            self.records.event("commissioning", severity, f"{trial.kind}: {text}", now, **figures),
            self.records.log(logging.WARNING, f"{trial.kind} {text}", "operator"),
        ]
        facts: dict[str, str | None] = {}
        if trial.ok:
            idle_w = figures.get("idleW")
            proof = readiness.Proof(
                self._ground.points_map.digest,
                now.unix_ms,
                idle_w if isinstance(idle_w, float) else None,
            )
            facts = _FACTS[trial.kind](self._name, proof)
        elif _is_disproof(trial):  # it held once and does not now: what was proved is void
            facts = dict.fromkeys(_FACTS[trial.kind](self._name, readiness.Proof("", 0)))
            self._disprove(trial.kind, facts)
        token = next(self._tokens)
        if trial.ok:
            self._proofs[token] = json.dumps(facts)
        digest = self._ground.points_map.digest
        body = {"test": trial.kind.value, "ok": trial.ok, "text": text, "map": digest, **figures}
        actor = f"operator:{trial.user}"
        out.append(
            self.records.audited(actor, "commissioning", body, token=token, facts=facts, sign=True)
        )
        return out + self._stand(now)

    def _disprove(self, kind: Kind, facts: dict[str, str | None]) -> None:
        done = self._commissioned
        if kind is Kind.SIGN:
            self._commissioned = replace(done, sign_test=None)
        else:
            self._commissioned = replace(done, deadman_test=None)
        # Nor may one that passed before, and is not durable yet, bring it back.
        self._proofs = {
            token: proof
            for token, proof in self._proofs.items()
            if facts.keys().isdisjoint(json.loads(proof))
        }

    def _prove(self, facts: str) -> None:
        found = readiness.commissioned(json.loads(facts), self._name)
        done = self._commissioned
        self._commissioned = replace(
            done,
            acknowledged=found.acknowledged or done.acknowledged,
            sign_test=found.sign_test or done.sign_test,
            deadman_test=found.deadman_test or done.deadman_test,
        )
        self.controller.measured(self._idle_w())

    def _idle_w(self) -> float | None:
        """Power of the idle battery, W, where it was measured through this map."""
        test = self._commissioned.sign_test
        ours = test is not None and test.map_digest == self._ground.points_map.digest
        return test.idle_w if test is not None and ours else None

    def progress(self, now: Now) -> dict[str, object]:
        """How the newest test goes."""
        if self._trial is None:
            return {"running": False, "lines": [], "ok": None, "figures": {}}
        found = self._trial.progress(now)
        if self._proofs:  # it passed, and counts once that is durable
            return {**found, "running": True}
        return found

    def abort(self, user: str, now: Now) -> list[Effect]:
        """End a running test."""
        trial = self._trial
        if trial is None or trial.ok is not None:
            return []
        out = trial.abort(f"aborted by {user}", now)
        out += self._switch(now)
        return out + self._judged(trial, now)

    # --- the operator --------------------------------------------------------------------------

    def estop(self, user: str, now: Now) -> tuple[list[Effect], str]:
        """Stop, and stay stopped."""
        state = self.controller.state
        if state.phase is Phase.MONITOR and not state.in_force:
            text = "control is off and nothing is in force: use the hard-wired stop"
            return [], f"{self._name} is in MONITOR: {text}"
        text = LOCAL_STOP if state.local else "stop ordered"
        out = self.records.act(user, "estop", text, now)
        return out + self.controller.tell(watchdog_events.EstopOrdered(""), now), ""

    def idle(self, user: str, now: Now) -> tuple[list[Effect], str]:
        """Zero, written and verified afresh."""
        if why := idle_refusal(self.controller.state):
            return [], f"{self._name}: {why}"
        out = self.records.act(user, "idle", "zero ordered", now)
        return out + self.controller.tell(watchdog_events.IdleOrdered(""), now), ""

    def zero(self, by: str, user: str, now: Now) -> tuple[list[Effect], str]:
        """An operator says by which rows zero is written: those that were kept, or the new ones."""
        controller = self.controller
        owed = controller.owed
        if not controller.state.in_force:
            return [], f"{self._name}: nothing is in force"
        if by == "kept" and owed is None:
            return [], f"{self._name}: what was kept cannot be read: choose new"
        if by == "kept" and owed is not None and self._elsewhere(owed, now):
            text = f"what is in force was written to {owed.endpoint}: put site.toml back"
            return [], f"{self._name}: {text}, or declare-zero after a visit"
        out = self.records.act(user, "zero", f"by the {by} rows", now)
        rows = owed.rows if by == "kept" and owed is not None else ()
        self._other = ""
        return out + controller.choose(rows, now), ""

    def _elsewhere(self, owed: Obligation, now: Now) -> bool:
        of = self.controller.view.base(now)
        return self.controller.zero(owed.number, None, of).endpoint != owed.endpoint

    def declare(self, text: str, user: str, now: Now) -> tuple[list[Effect], str]:
        """An operator visited the site, and declares that nothing is in force."""
        controller = self.controller
        state, power_w = controller.state, controller.view.power_w(now)
        if not state.in_force:
            return [], f"{self._name}: nothing is in force"
        if state.phase in POWERED:  # what is being ordered is what nobody can declare gone
            return [], f"{self._name} is {state.phase.name}: idle it first"
        waits = state.forgetting or not math.isinf(state.forget_at)
        if waits and state.demand is None:
            return [], f"{self._name}: zero is verified, and waits for the disk"
        echo_w, last_w = controller.view.echo_w(now), state.last_w
        owed = controller.owed
        here = owed is None or not self._elsewhere(owed, now)
        if here and last_w and echo_w is not None and state.is_near(echo_w, last_w):
            return [], f"{self._name}: the echo reads {echo_w:g} W, which is our setpoint"
        if here and power_w is not None and is_ours(power_w, last_w):
            return [], f"{self._name}: measured power is {power_w:g} W, as our setpoint was"
        out = self.records.act(user, "declare-zero", text, now)
        self._other = ""
        return out + controller.declare(f"{user}: {text}", now), ""

    def reset(self, user: str, now: Now) -> list[Effect]:
        """Out of LATCHED and ESTOP, or back from yielding; with idle first."""
        phase = self.controller.phase.name
        out = self.records.act(user, "reset", f"out of {phase}", now)
        self.log_lost = False
        return out + self.controller.tell(watchdog_events.ResetByOperator(), now) + self._stand(now)

    def disable(self, user: str, now: Now) -> list[Effect]:
        """Turn control off, at once, until somebody enables it."""
        self._commissioned = replace(self._commissioned, disabled_by=user)
        facts = readiness.fact_of_disabled(self._name, user)
        out = self.records.act(user, "disable-control", "control is off", now)
        return [*out, Record(0, (), facts), *self.abort(user, now), *self._stand(now)]

    def enable(self, user: str, now: Now) -> list[Effect]:
        """Take ``disable`` back; every other reason stays."""
        self._commissioned = replace(self._commissioned, disabled_by=None)
        facts = readiness.fact_of_enabled(self._name)
        out = self.records.act(user, "enable-control", "control is no longer disabled", now)
        return [*out, Record(0, (), facts), *self._stand(now)]

    def approve(self, id_: str, user: str, now: Now) -> tuple[list[Effect], str]:
        """Approve a waiting command."""
        self.reasons = self._reasons(now)
        out, why = self.intake.approve(id_, user, now, self._disabled)
        return out + self._after(now), why

    # --- how it is described -------------------------------------------------------------------

    def owes_zero(self, now: Now) -> bool:
        """Whether zero is being ordered, within V of its demand, or power must be held back."""
        if self.controller.overstays:
            return True
        state = self.controller.state
        demand = state.demand
        return state.owes_zero() and demand is not None and now.mono_s < demand.overdue_at

    @property
    def unsettled(self) -> bool:
        """Whether a setpoint may be in force, or zero is not verified: a reload must wait.

        Not so where nothing is written because the files say otherwise: one may put them back.
        """
        if self.controller.state.blocked:
            return False
        held = self.controller.phase in (Phase.ARMED, Phase.ACTIVE, Phase.IDLING)
        return held or self.controller.state.in_force

    def is_news(self) -> bool:
        """Whether the description is another than when this was asked last."""
        before, self._said = self._said, (self.controller.phase, self.reasons, self._safety)
        return before != self._said

    def description(self) -> dict[str, object]:
        """For ``bess.birth/1``."""
        safety = self._safety
        return {
            "state": self.controller.phase.name,
            "enabled": not self.reasons,
            "reasons": list(self.reasons),
            "approval": None if safety is None else safety.settings.approval,
            "safetyDigest": None if safety is None else safety.digest,
            "verbs": sorted(self.intake.verbs),
        }

    def summary(self, now: Now) -> dict[str, object]:
        """For ``status``."""
        controller = self.controller
        state, last = controller.state, controller.last
        held = state.dispatch
        left_s = max(0.0, state.lease.expires_at - now.mono_s)
        test = self._commissioned.deadman_test
        return {
            **self.description(),
            "leaseS": round(left_s, 1),
            "dispatch": None
            if held is None
            else {
                "id": held.command_id,
                "powerW": round(held.setpoint_w),
                "leftS": round(held.ends_at - now.mono_s, 1),
            },
            "pending": self.intake.waiting,
            "warnings": list(readiness.warnings(self._standing(now))),
            "interlocks": list(state.interlocks),
            "inForce": telling.in_force(self.controller, self._other),
            "lastResult": None
            if last is None
            else {"id": controller.last_id, "state": last.state, "reason": last.reason},
            "deadmanTestDays": None
            if test is None
            else (now.unix_ms - test.unix_ms) // readiness.DAY_MS,
        }

    def troubles(self, now: Now) -> list[str]:
        """Why nobody can call this control healthy, for people."""
        found = telling.troubles(self.controller, self._other, now)
        return [*found, "safety.toml has faults: see `check`"] if self._faulty else found

    def shown(self) -> dict[str, object]:
        """For ``commission show``."""
        done, ground = self._commissioned, self._ground
        settings = self.controller.safety.settings
        path = zero_path(ground.points_map, ground.asset.dnp3.response_timeout_s)
        found = bounds(settings.watchdog, path)
        return {
            "safetyDigest": None if self._safety is None else self._safety.digest,
            "mapDigest": ground.points_map.digest,
            "reasons": list(self.reasons),
            "approval": settings.approval,
            "approvalThresholdW": settings.approval_threshold_w,
            "limits": _camel(settings.limits),
            "siteLimits": None if settings.limits.site is None else _camel(settings.limits.site),
            "watchdog": _camel(settings.watchdog),
            "risk": None if settings.risk is None else _camel(settings.risk),
            "acknowledged": done.acknowledged,
            "signTest": None if done.sign_test is None else done.sign_test.unix_ms,
            "deadmanTest": None if done.deadman_test is None else done.deadman_test.unix_ms,
            "bounds": {
                "A": found.cloud_dead_s,
                "B": found.gateway_dead_s,
                "C": found.refused_s,
                "D": found.reversion_s,
            },
        }


def _camel(
    table: LimitSettings | SharedLimitSettings | WatchdogSettings | RiskAcceptance,
) -> dict[str, object]:
    """A table of safety.toml with the names that go over the socket: max_charge_w is maxChargeW."""
    return {
        first + "".join(word.capitalize() for word in rest): getattr(table, name)
        for name in table.__slots__
        if name != "site"  # a table of its own
        for first, *rest in [name.split("_")]
    }


def _is_disproof(trial: Trial) -> bool:
    """Whether a failed test showed the fault itself, and was not merely cut short."""
    figures = trial.figures
    if trial.kind is Kind.SIGN:
        return "fault" in figures
    return "deadmanS" in figures and "zeroS" not in figures


def _kept(ground: Ground) -> tuple[Phase | None, bool]:
    """LATCHED, ESTOP or the yield of the last run; a log that was lost may have held any."""
    found = ground.facts.get(f"{ground.asset.id}/phase")
    if found is None:
        safety = ground.safety  # in "monitor" nothing of ours is in force
        monitors = safety is not None and safety.settings.approval == "monitor"
        return (Phase.LATCHED if ground.log_lost and not monitors else None), False
    try:
        body = json.loads(found)
        phase, stop_owed = Phase[body["phase"]], bool(body["stopOwed"])
    except (ValueError, TypeError, KeyError):
        return Phase.LATCHED, False
    lasts = phase in LASTING or phase is Phase.LOCAL
    return (phase, stop_owed) if lasts else (Phase.LATCHED, False)
