"""Takes the commands for one asset: checked, permitted, held for approval, handed on. Pure.

Everything that a command may change goes through the controller; here only the register of ids,
the list of those that wait, and the rate of power commands are kept. A receipt always comes first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gateway.control.commands import verify
from gateway.control.commands.approve import Approval, PendingCommands
from gateway.control.commands.command import Verb
from gateway.control.commands.permit import Conditions, Permitted, may_begin, offered, permit
from gateway.control.commands.reasons import Reason, Rejected, ResultState
from gateway.control.commands.signers import outdated
from gateway.control.commands.spent import fact_of_begun
from gateway.control.execution.job import TellCloud, other_job, power_job
from gateway.control.execution.plan import PlanError
from gateway.control.execution.underway import Accepted
from gateway.control.rules.limits import RateWindow
from gateway.control.rules.readiness import map_refusals
from gateway.control.watchdog import events as watchdog_events
from gateway.control.watchdog.obligation import fact_of_force
from gateway.control.watchdog.orders import arm_refusal
from gateway.control.watchdog.words import Cause
from gateway.effects import AuditEntry, Effect, Record
from gateway.uplink.allowance import Allowance

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gateway import events
    from gateway.clock import Now
    from gateway.config.site import AssetSettings
    from gateway.control.commands.command import Command
    from gateway.control.commands.register import Register
    from gateway.control.commands.verify import Admitted
    from gateway.control.controller import Controller
    from gateway.control.execution.job import Job
    from gateway.control.phases import Phase
    from gateway.control.records import Records
    from gateway.points.pointmap import PointsMap

REFUSED_COUNT, REFUSED_SPAN_S = 60, 300.0  # rows of the audit log about refused commands
# Reasons that are found before anybody's signature was seen to hold: such a message is nobody's,
# and the audit log, which is never cut short, is not filled with what the broker makes up.
_NOBODYS = frozenset(
    {
        Reason.TOO_LARGE,
        Reason.RETAINED,
        Reason.MALFORMED,
        Reason.SCHEMA,
        Reason.PARAMS,
        Reason.UNSUPPORTED,
        Reason.SIGNATURE,
        Reason.UNKNOWN_KEY,
        Reason.KEY_EXPIRED,
    }
)


@dataclass(frozen=True, slots=True)
class IntakePlace:
    """Where commands are taken."""

    gateway: str
    session: str  # boot nonce


class CommandIntake:
    """Commands of one asset."""

    def __init__(
        self,
        place: IntakePlace,
        asset: AssetSettings,
        points_map: PointsMap,
        controller: Controller,
        records: Records,
        tokens: Iterator[int],
        register: Register,
    ) -> None:
        """Begin; ``register`` is the gateway's."""
        self._place, self._asset, self._map = place, asset, points_map
        self._controller, self._records, self._tokens = controller, records, tokens
        self._register = register
        self._rate = RateWindow()
        self._pending = PendingCommands()
        self._phase = controller.phase  # as it was seen last
        self._rows_allowed = Allowance(REFUSED_COUNT, REFUSED_SPAN_S)
        self._omitted = 0  # genuine commands refused since the last one in the audit log
        self._kept: list[tuple[str | None, Reason]] = []  # whose text is there already

    @property
    def wake_at(self) -> float:
        """Monotonic s at which a waiting command runs out."""
        return self._pending.wake_at

    @property
    def waiting(self) -> int:
        """How many commands wait for the operator."""
        return len(self._pending.held)

    @property
    def verbs(self) -> frozenset[Verb]:
        """What map and site offer: a reload may change it."""
        return offered(self._map, self._controller.site, map_refusals(self._map))

    # --- what comes ----------------------------------------------------------------------------

    def command(
        self,
        event: events.MessageArrived,
        now: Now,
        disabled: tuple[str, ...],
        *,
        lent: bool = False,
    ) -> list[Effect]:
        """Take a message of the command topic.

        Args:
            event: as it came; nothing in it is trusted.
            now: the instant of judgement.
            disabled: why control is off; empty if it is on.
            lent: control is on for a commissioning test: what takes power away ends it.
        """
        found = verify.admit(
            event.payload, self._intake(), self._register, now, retained=event.retained
        )
        if isinstance(found, Rejected):
            return self._refuse(found, found.id, event.payload, now)
        if lent and found.command.verb.withdraws:
            disabled = ()
        permitted = permit(found, now.mono_s, self._conditions(now, disabled), approved=False)
        if isinstance(permitted, Permitted) and permitted.waits and self._pending.full:
            text = f"{self.waiting} commands wait for the operator already"
            permitted = Rejected(Reason.APPROVAL, text)
        if isinstance(permitted, Permitted) and not permitted.waits:
            job = self._job(permitted, now)
            if isinstance(job, Rejected):
                permitted = job
        id_ = found.command.id
        if isinstance(permitted, Rejected):
            return self._refuse(permitted, id_, event.payload, now)
        out = self._records.ack(id_, None, now)
        out.append(self._entry(found, event.payload, sign=True))
        if not permitted.waits:
            return out + self._do(permitted, found.issuer.kid, now)
        self._pending = self._pending.hold(found, now.mono_s)
        report = TellCloud(ResultState.PENDING_APPROVAL, None, None, None, ())
        return out + self._told(found, report, now)

    def approve(
        self, id_: str, user: str, now: Now, disabled: tuple[str, ...]
    ) -> tuple[list[Effect], str]:
        """An operator says yes: permitted again from the top. Returns also why not, "" if so."""
        self._pending, admitted = self._pending.take(id_, now.mono_s)
        if admitted is None:
            return [], f"command {id_}: does not wait here, or not any more"
        out = self._records.act(user, "approve", f"command {id_}", now, id=id_)
        conditions = self._conditions(now, disabled)
        unsigned = outdated(admitted.signers, self._controller.safety.trust, now_ms=now.unix_ms)
        permitted: Permitted | Rejected
        if unsigned is not None:
            permitted = unsigned
        elif admitted.command.safety_digest != self._controller.safety.digest:
            text = f"is for another safety file: ours is {self._controller.safety.digest}"
            permitted = Rejected(Reason.SAFETY_DIGEST, text)
        else:
            permitted = permit(admitted, now.mono_s, conditions, approved=True)
        found = permitted if isinstance(permitted, Rejected) else self._job(permitted, now)
        if isinstance(found, Rejected):
            report = TellCloud(ResultState.REJECTED, found.reason, None, None, (found.text,))
            return out + self._told(admitted, report, now), f"{found.reason}: {found.text}"
        assert isinstance(permitted, Permitted)
        return out + self._do(permitted, admitted.issuer.kid, now), ""

    def reject(self, id_: str, user: str, now: Now) -> tuple[list[Effect], str]:
        """An operator says no."""
        self._pending, admitted = self._pending.take(id_, now.mono_s)
        if admitted is None:
            return [], f"command {id_}: does not wait here, or not any more"
        out = self._records.act(user, "reject", f"command {id_}", now, id=id_)
        report = TellCloud(ResultState.REJECTED, Reason.APPROVAL, None, None, ())
        return out + self._told(admitted, report, now), ""

    def tick(self, now: Now) -> list[Effect]:
        """Let go of what has waited too long."""
        self._pending, gone = self._pending.expire(now.mono_s)
        out: list[Effect] = []
        for admitted in gone:
            report = TellCloud(ResultState.EXPIRED, "approval", None, None, ())
            out += self._told(admitted, report, now)
        return out

    def stop(self, cause: Cause, now: Now) -> list[Effect]:
        """Nothing that waits for the operator outlives the gateway, or its control of the asset."""
        self._pending, gone = PendingCommands(), self._pending.held
        return self._ended([one.admitted for one in gone], cause.value, now)

    def follow(self, phase: Phase, cause: str, now: Now) -> list[Effect]:
        """Nothing waits on where it could not begin: what took power away came later than it."""
        if not self._pending.held or phase is self._phase:
            self._phase = phase
            return []
        self._phase = phase
        self._pending, gone = self._pending.keep(lambda one: may_begin(one.command.verb, phase))
        return self._ended(gone, cause, now)

    def _ended(self, gone: Iterable[Admitted], cause: str, now: Now) -> list[Effect]:
        report = TellCloud(ResultState.ABORTED, cause, None, None, ())
        return [effect for one in gone for effect in self._told(one, report, now)]

    def listed(self, now: Now) -> list[dict[str, object]]:
        """What waits, for the operator's list: all that was signed."""
        return [
            {
                "id": one.admitted.command.id,
                "asset": self._asset.id,
                "verb": one.admitted.command.verb.value,
                **one.admitted.command.params(),
                "issuer": one.admitted.issuer.kid,
                "signers": sorted(issuer.kid for issuer in one.admitted.signers),
                "issuedAt": one.admitted.command.issued_ms,
                "expiresAt": one.admitted.command.expires_ms,
                "leftS": round(one.until - now.mono_s, 1),
            }
            for one in self._pending.held
        ]

    def trial(self, command: Command, now: Now) -> list[Effect] | str:
        """Carry out a commissioning test's own power command; or say why not."""
        power_w = float(command.power_w or 0)
        if self._controller.ceiling(now).clamp(power_w) != power_w:
            return f"{power_w:g} W is more than may be applied now"
        try:
            job = self._power(command, power_w, now.mono_s + 30.0, (), now)
        except PlanError as error:
            return str(error)
        token = next(self._tokens)
        accepted = Accepted(
            job=job,
            actor="commissioning",
            requested_w=command.power_w,
            min_soc_pct=None,
            max_soc_pct=None,
            number=token,
            cloud=False,
        )
        out = self._controller.accept(accepted, token, now)
        facts = fact_of_force(self._asset.id, self._controller.begin(job, token))
        body: dict[str, object] = {"id": command.id, "powerW": command.power_w}
        row = self._records.audited("commissioning", "dispatch", body, token=token, facts=facts)
        return [*out, row]

    # --- how it is judged ----------------------------------------------------------------------

    def _intake(self) -> verify.CommandContext:
        lease, safety = self._controller.state.lease, self._controller.safety
        return verify.CommandContext(
            gateway=self._place.gateway,
            asset=self._asset.id,
            session=self._place.session,
            map_digest=self._map.digest,
            safety_digest=safety.digest,
            trust=safety.trust,
            challenges=dict(lease.issued),
            lease_s=lease.lease_s,
        )

    def _conditions(self, now: Now, disabled: tuple[str, ...]) -> Conditions:
        controller = self._controller
        settings, state = controller.safety.settings, controller.state
        refusal, limits = arm_refusal(state, now.mono_s), settings.limits
        return Conditions(
            disabled=disabled,
            verbs=self.verbs,
            policy=Approval(settings.approval),
            threshold_w=settings.approval_threshold_w,
            phase=state.phase,
            arm_refusal="" if refusal is None else f"{refusal[0]}: {refusal[1]}",
            facts=controller.facts(now),
            site=controller.site,
            ceiling=controller.ceiling(now),
            rate=self._rate.held_to(limits.command_interval_s, limits.commands_per_5_min),
            in_force=state.in_force,
        )

    def _job(self, permitted: Permitted, now: Now) -> Job | Rejected | None:
        """What the executor is to do; None where the watchdog alone carries it out."""
        admitted = permitted.admitted
        command = admitted.command
        if command.verb.withdraws or command.verb is Verb.ARM:
            return None
        try:
            if permitted.applied_w is not None:
                return self._power(
                    command, permitted.applied_w, admitted.expires_at, permitted.warnings, now
                )
            if self._controller.jobs.busy:
                return Rejected(Reason.STATE, "a mode, reserve or reset is being carried out")
            return other_job(
                command,
                expires_at=admitted.expires_at,
                points_map=self._map,
                of=self._controller.view.base(now),
            )
        except PlanError as error:
            return Rejected(Reason.UNSUPPORTED, str(error))

    def _power(
        self,
        command: Command,
        applied_w: float,
        expires_at: float,
        warnings: tuple[str, ...],
        now: Now,
    ) -> Job:
        controller = self._controller
        held, watchdog = controller.state.dispatch, controller.safety.settings.watchdog
        if command.ramp_w_per_s is not None and self._is_small_after_large(command):
            # Else one signature would keep in force, slowly, what takes two to order.
            command = replace(command, ramp_w_per_s=None)
            warnings = (*warnings, "rampWPerS is not taken: what is in force needed approval")
        return power_job(
            command,
            applied_w=applied_w,
            start_w=0.0 if held is None else held.setpoint_w,
            ceiling_ramp_w_per_s=controller.site.ramp_w_per_s,
            expires_at=expires_at,
            points_map=self._map,
            of=controller.view.base(now),
            nameplate_w=self._asset.nameplate_w,
            yields=watchdog.preempted == "yield",
            reversion_s=watchdog.reversion_s,
            warnings=warnings,
        )

    def _is_small_after_large(self, command: Command) -> bool:
        """Whether it needs no approval itself, and supersedes power that did."""
        settings = self._controller.safety.settings
        asked_w, most_w = abs(float(command.power_w or 0)), settings.approval_threshold_w
        large = asked_w <= most_w < self._controller.superseded_w
        return large and settings.approval in (Approval.DUAL, Approval.LOCAL)

    # --- what follows --------------------------------------------------------------------------

    def _do(self, permitted: Permitted, actor: str, now: Now) -> list[Effect]:
        admitted, controller = permitted.admitted, self._controller
        command = admitted.command
        match command.verb:
            case Verb.ARM:
                return controller.order(
                    watchdog_events.ArmOrdered(command.id), command.id, actor, now
                )
            case Verb.ESTOP:
                return controller.estop(command.id, actor, now)
            case Verb.IDLE | Verb.DISARM | Verb.RELEASE:
                if command.verb is Verb.RELEASE:
                    controller.release()
                return controller.order(
                    watchdog_events.IdleOrdered(command.id), command.id, actor, now
                )
        job = self._job(permitted, now)
        assert job is not None, command.verb
        assert not isinstance(job, Rejected), job  # it was made a moment ago, in the same pass
        if command.power_w is not None:
            self._rate = self._rate.take(now.mono_s)
        token = next(self._tokens)
        accepted = Accepted(
            job=job,
            actor=actor,
            requested_w=command.power_w,
            min_soc_pct=command.min_soc_pct,
            max_soc_pct=command.max_soc_pct,
            number=token,
        )
        out = self._supersede(admitted, now) + controller.accept(accepted, token, now)
        facts: dict[str, str | None] = fact_of_begun(
            self._asset.id, command.id, actor, seq=command.seq, power_w=command.power_w, now=now
        )
        for asset, old in self._register.forgotten():
            facts[f"{asset}/command/{old}"] = None
        facts |= fact_of_force(self._asset.id, controller.begin(job, token))
        body: dict[str, object] = {"id": command.id, "appliedW": permitted.applied_w}
        return [*out, self._records.audited(actor, "executing", body, token=token, facts=facts)]

    def _supersede(self, begun: Admitted, now: Now) -> list[Effect]:
        """An older power command that waits must not take the place of a newer one."""
        if begun.command.power_w is None:
            return []
        self._pending, gone = self._pending.keep(
            lambda one: one.command.power_w is None or one.at.mono_s > begun.at.mono_s
        )
        report = TellCloud(ResultState.SUPERSEDED, Cause.SUPERSEDED.value, None, None, ())
        return [effect for one in gone for effect in self._told(one, report, now)]

    def _refuse(
        self, rejected: Rejected, id_: str | None, payload: bytes, now: Now
    ) -> list[Effect]:
        nobodys = rejected.reason in _NOBODYS
        out = self._records.ack(id_, rejected, now, told=not nobodys)
        if nobodys:
            return out
        # Genuine, but sent again and again by a broker that kept it: that must not fill the disk.
        if self._rows_allowed.beyond(now.mono_s):
            self._omitted += 1
            return out
        body: dict[str, object] = {"id": id_, "reason": rejected.reason, "text": rejected.text}
        if self._omitted:
            body["omitted"] = self._omitted  # refusals since the last row
        if (id_, rejected.reason) not in self._kept:
            self._kept = [*self._kept[1 - REFUSED_COUNT :], (id_, rejected.reason)]
            body["command"] = payload.decode("utf-8", "replace")
        self._omitted = 0
        out.append(self._records.audited("cloud", "refused", body, sign=True))
        return out

    def _entry(self, admitted: Admitted, payload: bytes, *, sign: bool) -> Record:
        """The command as it was signed: whoever audits can check its signatures again."""
        entry = AuditEntry(admitted.issuer.kid, "command", self._asset.id, payload)
        return Record(0, (entry,), {}, sign=sign)

    def _told(self, admitted: Admitted, report: TellCloud, now: Now) -> list[Effect]:
        command = admitted.command
        return self._records.result(command.id, report, command.power_w, admitted.issuer.kid, now)
