"""What commissioning proved of one asset, and the test that runs. Pure.

The acknowledgement and a passed test count once they are durable; a test that shows the fault voids
the one that passed, at once. Where the RTAC has a dead-man it is proved first: the sign test would
else order power that nothing on the site is known to end.
"""

from __future__ import annotations

import json
import logging
import math
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.control.commissioning.procedure import HOLD_S, Kind, TrialPlan
from gateway.control.rules import readiness
from gateway.control.trial import Trial
from gateway.effects import Effect, Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway import events
    from gateway.clock import Now
    from gateway.config.site import AssetSettings
    from gateway.control.controller import Controller
    from gateway.control.intake import CommandIntake
    from gateway.control.records import Records
    from gateway.points.pointmap import PointsMap

DEADMAN = frozenset({"DEADMAN_TEST_MISSING", "DEADMAN_TEST_EXPIRED"})
TESTS = DEADMAN | {"SIGN_TEST_MISSING", "RTAC_TOO_SLOW"}  # what a test may mend
_FACTS = {
    Kind.SIGN: readiness.fact_of_sign_test,
    Kind.DEADMAN: readiness.fact_of_deadman_test,
}


class Proving:
    """Commissioning of one asset."""

    def __init__(
        self,
        asset: AssetSettings,
        points_map: PointsMap,
        facts: Mapping[str, str],
        records: Records,
        tokens: Iterator[int],
    ) -> None:
        self._asset, self._map = asset, points_map
        self._records, self._tokens = records, tokens
        self.done = readiness.commissioned(facts, asset.id)
        self.trial: Trial | None = None
        self._proofs: dict[int, str] = {}  # token of a record -> what it proves once durable
        self._tested: int | None = None  # token of the record of the newest test that passed
        self._unkept = ""  # why the disk did not take that one; "": it did, or has it still

    @property
    def wake_at(self) -> float:
        """Monotonic s at which the test wants to see the field."""
        return math.inf if self.trial is None else self.trial.wake_at

    @property
    def running(self) -> bool:
        """Whether a test runs."""
        return self.trial is not None and self.trial.ok is None

    @property
    def lends(self) -> bool:
        """Whether control is on for the test alone, should nothing but tests be missing."""
        return self.trial is not None and self.trial.enabled

    @property
    def found(self) -> readiness.Findings:
        """What was measured through this map."""
        return self.done.findings(self._map.digest)

    @property
    def drops(self) -> bool:
        """Whether a zero that waits r may drop the connection: not where a new one takes longer.

        Where nobody knows, it may: before commissioning a start's zero must get through, too, and
        the session drops twice for it at most.
        """
        connect_s = self.found.connect_s
        return connect_s is None or connect_s <= self._asset.dnp3.response_timeout_s

    # --- the operator --------------------------------------------------------------------------

    def acknowledge(self, digest: str, user: str, now: Now) -> list[Effect]:
        """An operator takes the safety file with this digest upon himself."""
        facts = readiness.fact_of_acknowledgement(self._asset.id, digest)
        text = f"safety file {digest} acknowledged"
        token = next(self._tokens)
        self._proofs[token] = json.dumps(facts)
        body: dict[str, object] = {"act": "acknowledge", "text": text}
        actor = f"operator:{user}"
        return [
            self._records.event(
                "commissioning", "info", f"{text} by {user}", now, user=user, act="acknowledge"
            ),
            self._records.audited(
                actor, "commissioning", body, token=token, facts=facts, sign=True
            ),
            self._records.log(logging.WARNING, f"{text} by {user}", "operator"),
        ]

    def refusal(self, kind: Kind, reasons: tuple[str, ...]) -> str:
        """Why a test may not begin while these ``reasons`` keep control off; "": it may."""
        if self.running:
            assert self.trial is not None
            return f"a {self.trial.kind} is running"
        others = [reason for reason in reasons if reason not in TESTS]
        if others:
            return f"control is off: {', '.join(others)}"
        if kind is Kind.DEADMAN and not readiness.dead_man_testable(self._map):
            return "the points map has no heartbeat that could be withheld"
        if kind is Kind.SIGN and any(reason in DEADMAN for reason in reasons):
            return (
                "the dead-man test comes first: none that counts is on record for this points map; "
                "run `commission deadman-test`"
            )
        return ""

    def begin(
        self,
        kind: Kind,
        hold_s: float | None,
        user: str,
        controller: Controller,
        intake: CommandIntake,
        now: Now,
    ) -> list[Effect]:
        """Begin a test that nothing refuses; ``hold_s`` None: the usual one."""
        held_s = HOLD_S[kind] if hold_s is None else hold_s
        plan = self._plan(kind, held_s, controller, now)
        self.trial = Trial(self._asset.id, plan, user, controller, intake)
        self._tested, self._unkept = None, ""
        if (
            kind is Kind.DEADMAN
        ):  # it asks anew, so what was known must not keep zero from an answer
            controller.measured(replace(self.found, zero_needs_beat=None))
        text = f"{kind} begun with a hold of {held_s:g} s"
        return self._records.act(user, f"commission {kind}", text, now)

    def _plan(self, kind: Kind, hold_s: float, controller: Controller, now: Now) -> TrialPlan:
        settings, nameplate_w = controller.safety.settings, self._asset.nameplate_w
        power = self._map.row("power")
        window, soc = controller.window, controller.view.soc(now)
        share_w = nameplate_w * 0.02
        return TrialPlan(
            kind=kind,
            nameplate_w=nameplate_w,
            tolerance_w=controller.state.terms.tolerance_w,
            deadman_s=settings.watchdog.rtac_deadman_s,
            idle_verify_s=settings.watchdog.idle_verify_s,
            hold_s=hold_s,
            discharge=not window.refusal(share_w, soc),
            ramp_s=share_w / settings.limits.ramp_w_per_s,
            dead_band_w=(power.deadband if power is not None else None) or 0.0,
            arm_after_s=controller.state.terms.arm_after_s,
            # Once, and in the test that comes first.
            drops=kind is Kind.DEADMAN or not readiness.dead_man_testable(self._map),
            reads=readiness.read_requests(self._map),
            sbo=readiness.is_selected(self._map),
        )

    def abort(self, why: str, now: Now) -> list[Effect]:
        """End a running test."""
        if self.trial is None or not self.running:
            return []
        return self.trial.abort(why, now) + self._judged(self.trial, now)

    def forsake(self, why: str, now: Now) -> list[Effect]:
        """End a running test, and order nothing."""
        if self.trial is None or not self.running:
            return []
        self.trial.forsake(why, now)
        return self._judged(self.trial, now)

    def disable(self, user: str) -> Record:
        """Turn control off until somebody enables it."""
        self.done = replace(self.done, disabled_by=user)
        return Record(0, (), readiness.fact_of_disabled(self._asset.id, user))

    def enable(self) -> Record:
        """Take ``disable`` back."""
        self.done = replace(self.done, disabled_by=None)
        return Record(0, (), readiness.fact_of_enabled(self._asset.id))

    def progress(self, now: Now) -> dict[str, object]:
        """How the newest test goes."""
        if self.trial is None:
            return {"running": False, "lines": [], "ok": None, "figures": {}}
        found = self.trial.progress(now)
        if self._proofs:  # it passed, and counts once that is durable
            return {**found, "running": True}
        if self._unkept:
            line = (
                f"FAILED: passed, but not on disk: {self._unkept}: it does not count; run it again"
            )
            return {**found, "ok": False, "lines": [*self.trial.lines, line]}
        return found

    # --- what happens --------------------------------------------------------------------------

    def heard(self, event: object) -> None:
        """Let a running test time what the field answered."""
        if self.trial is not None and self.running:
            self.trial.heard(event)

    def advance(self, now: Now) -> list[Effect]:
        """Let a running test see what happened."""
        if self.trial is None or not self.running:
            return []
        return self.trial.advance(now) + self._judged(self.trial, now)

    def recorded(self, event: events.Recorded) -> bool:
        """Something became durable, or did not; whether it proves anything."""
        proof = self._proofs.pop(event.token, None)
        if proof is not None and not event.ok and event.token == self._tested:
            self._unkept = event.cause or "no cause is known"
        if proof is None or not event.ok:
            return False
        found = readiness.commissioned(json.loads(proof), self._asset.id)
        self.done = replace(
            self.done,
            acknowledged=found.acknowledged or self.done.acknowledged,
            sign_test=found.sign_test or self.done.sign_test,
            deadman_test=found.deadman_test or self.done.deadman_test,
        )
        return True

    def _judged(self, trial: Trial, now: Now) -> list[Effect]:
        if trial.ok is None:
            return []
        trial.controller.measured(self.found)
        text = trial.lines[-1]
        severity = "info" if trial.ok else "warning"
        figures, digest = dict(trial.figures), self._map.digest
        facts: dict[str, str | None] = {}
        if trial.ok:
            proof = readiness.Proof(digest, now.unix_ms, readiness.measured(figures))
            facts = _FACTS[trial.kind](self._asset.id, proof)
        elif _is_disproof(trial):  # it held once and does not now: what was proved is void
            facts = dict.fromkeys(_FACTS[trial.kind](self._asset.id, readiness.Proof("", 0)))
            self._disprove(trial.kind, facts)
        token = next(self._tokens)
        if trial.ok:
            self._proofs[token] = json.dumps(facts)
            self._tested = token
        body = {"test": trial.kind.value, "ok": trial.ok, "text": text, "map": digest, **figures}
        actor, records = f"operator:{trial.user}", self._records
        return [
            records.event("commissioning", severity, f"{trial.kind}: {text}", now, **figures),
            records.log(logging.WARNING, f"{trial.kind} {text}", "operator"),
            records.audited(actor, "commissioning", body, token=token, facts=facts, sign=True),
        ]

    def _disprove(self, kind: Kind, facts: dict[str, str | None]) -> None:
        if kind is Kind.SIGN:
            self.done = replace(self.done, sign_test=None)
        else:
            self.done = replace(self.done, deadman_test=None)
        # Nor may one that passed before, and is not durable yet, bring it back.
        self._proofs = {
            token: proof
            for token, proof in self._proofs.items()
            if facts.keys().isdisjoint(json.loads(proof))
        }


def _is_disproof(trial: Trial) -> bool:
    """Whether a failed test showed the fault itself, and was not merely cut short."""
    figures = trial.figures
    stays = trial.kind is Kind.DEADMAN and "deadmanS" in figures and "zeroS" not in figures
    return stays or "fault" in figures
