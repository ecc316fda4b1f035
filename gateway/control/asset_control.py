"""Everything that may command one asset: cloud, operator, commissioning; and why it may not. Pure.

Control is off while any reason of ``readiness`` stands. A commissioning test turns it on for
itself alone: commands from the cloud are refused meanwhile, but those that take power away.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from gateway.control.commands.reasons import ResultState
from gateway.control.commands.spent import fact_of_over, open_commands, seen_commands
from gateway.control.controller import Controller
from gateway.control.execution.job import TellCloud
from gateway.control.figures import figures
from gateway.control.intake import CommandIntake, IntakePlace
from gateway.control.phases import Phase
from gateway.control.proving import TESTS, Proving
from gateway.control.records import Records
from gateway.control.rules import readiness
from gateway.control.watchdog import events as watchdog_events
from gateway.control.watchdog.obligation import fact_of_force, fact_of_tries, is_kept
from gateway.control.watchdog.words import Cause
from gateway.effects import Effect, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway import events
    from gateway.asset.monitor import Monitor
    from gateway.checked import Safety
    from gateway.clock import Now
    from gateway.control.commissioning.procedure import Kind
    from gateway.control.ground import Ground
    from gateway.control.watchdog.obligation import Obligation

STANDING_S = 1.0  # keys run out, tests expire: judged so often


class AssetControl:
    """Control of one asset, as the core drives it."""

    def __init__(self, ground: Ground, monitor: Monitor, tokens: Iterator[int], now: Now) -> None:
        asset = ground.asset
        self._ground = ground
        self.name, self.points_map = asset.id, ground.points_map
        self.monitor = monitor
        self.safety: Safety | None = ground.safety
        self.faulty = ground.faulty
        self.log_lost = ground.log_lost
        self.deaf = ground.deaf
        self.records = Records(ground.gateway, asset.id, ground.topics, ground.epoch)
        self.proving = Proving(asset, ground.points_map, ground.facts, self.records, tokens)
        self._left = open_commands(ground.facts, asset.id)
        start = ground.start(enabled=not self._reasons(now), found=self.proving.found)
        safety = ground.safety or figures(start.owed)
        self.controller = Controller(
            asset, ground.points_map, monitor, safety, self.records, tokens, start, now
        )
        self._unkept = bool(self._left) and not is_kept(ground.facts, asset.id)
        self._uncounted = start.tries
        self._unsaid = self._is_other(start.owed, now)
        _, self._old = seen_commands(ground.facts, asset.id, now)
        place = IntakePlace(ground.gateway, ground.session)
        self.intake = CommandIntake(
            place, asset, ground.points_map, self.controller, self.records, tokens, ground.register
        )
        self._standing_at = now.mono_s
        self.reasons = self._reasons(now)
        self._said: tuple[object, ...] = ()

    def _is_other(self, owed: Obligation | None, now: Now) -> bool:
        """Whether what is in force was written otherwise than zero would be now; then none is."""
        controller = self.controller
        if owed is None:
            return False
        zero = controller.zero(owed.number, owed.setpoint_w, controller.view.base(now))
        controller.measure_by(owed.meter_beside(zero))
        controller.found_written(owed)
        if why := owed.differs(zero):
            controller.differs(why, elsewhere=owed.endpoint != zero.endpoint)
        return controller.state.blocked

    # --- what happens --------------------------------------------------------------------------

    @property
    def wake_at(self) -> float:
        """Monotonic s of the next ``tick``."""
        due = (self.controller.wake_at, self.intake.wake_at, self.proving.wake_at)
        return min(*due, self._standing_at)

    def handle(self, event: object, now: Now) -> list[Effect]:
        """Take an event of this asset; its monitor has seen it before."""
        self.proving.heard(event)
        return self.controller.handle(event, now) + self._after(now)

    def tick(self, now: Now) -> list[Effect]:
        """Let time pass."""
        out: list[Effect] = []
        if self._unsaid:
            self._unsaid = False
            out += self.records.blocked(self.controller.blocked_by, now)
        if self._uncounted:
            out.append(Record(0, (), fact_of_tries(self.name, self._uncounted)))
            self._uncounted = 0
        if self._old:
            out.append(Record(0, (), self._old))
            self._old = {}
        if self._unkept:  # an older store keeps no fact, and what follows ends its only trace
            self._unkept = False
            number = f"{self._ground.session}-older"
            owed = self.controller.zero(number, None, self.controller.view.base(now))
            out.append(Record(0, (), fact_of_force(self.name, owed)))
        for one in self._left:
            report = TellCloud(ResultState.ABORTED, Cause.RESTART.value, None, None, ())
            out += self.records.result(one.id, report, one.power_w, one.kid, now)
            out.append(Record(0, (), fact_of_over(self.name, one.id, now)))
        self._left = ()
        if now.mono_s >= self._standing_at:
            out += self._stand(now)
        return out + self.controller.tick(now) + self.intake.tick(now) + self._after(now)

    def command(self, event: events.MessageArrived, now: Now) -> list[Effect]:
        """Take a message of the command topic."""
        self.reasons = self._reasons(now)
        lent = self.proving.running and self.controller.state.enabled
        return self.intake.command(event, now, self._disabled, lent=lent) + self._after(now)

    @property
    def _disabled(self) -> tuple[str, ...]:
        """Why a command that asks for power is refused."""
        return self.reasons or (("COMMISSIONING",) if self.proving.running else ())

    def heartbeat(self, session: str, challenge: int, now: Now) -> list[Effect]:
        """Take a genuine answer to a challenge."""
        return self.controller.tell(watchdog_events.HeartbeatVerified(session, challenge), now)

    def recorded(self, event: events.Recorded, now: Now) -> list[Effect]:
        """Something became durable, or did not."""
        if self.proving.recorded(event):
            self.controller.measured(self.proving.found)
        return self.controller.handle(event, now) + self._stand(now) + self._after(now)

    def stop(self, now: Now) -> list[Effect]:
        """SIGTERM: idle, verify; ``controller.may_exit`` says when it is done."""
        ended = self.proving.abort("the gateway is stopping", now)
        return (
            ended
            + self.intake.stop(Cause.STOPPING, now)
            + self.controller.tell(watchdog_events.StopOrdered(), now)
        )

    def end(self, now: Now) -> list[Effect]:
        """A reload ends this control, which writes no more; who waits for something is told."""
        ended = self.proving.forsake("a reload changed its settings, or took the battery out", now)
        return ended + self.intake.stop(Cause.RELOAD, now)

    def become(self, safety: Safety | None, *, faulty: bool, now: Now) -> list[Effect]:
        """Take the safety file of a reload; without a good one the old figures idle the battery."""
        self.safety, self.faulty = safety, faulty
        if safety is not None:
            self.controller.become(safety)
        return self._stand(now)

    # --- why it is off -------------------------------------------------------------------------

    def standing(self, now: Now) -> readiness.Standing:
        """What control depends on now."""
        ground = self._ground
        return readiness.Standing(
            safety=self.safety,
            safety_faulty=self.faulty,
            points_map=ground.points_map,
            matched=ground.matched,
            commissioned=self.proving.done,
            now_ms=now.unix_ms,
            latest_ms=ground.latest_ms,
            log_lost=self.log_lost,
            deaf=self.deaf,
        )

    def connected(self, *, deaf: bool, now: Now) -> list[Effect]:
        """The broker is there: ask at once who is alive, and note if it keeps commands from us."""
        self.deaf = deaf
        self.controller.challenge(now)
        return self._stand(now) + self._after(now)

    def _reasons(self, now: Now) -> tuple[str, ...]:
        return readiness.reasons(self.standing(now))

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
        lent = self.proving.lends and not set(self.reasons) - TESTS
        on = not self.reasons or lent
        if on == self.controller.state.enabled:
            return []
        return self.controller.tell(
            watchdog_events.ControlEnabled() if on else watchdog_events.ControlDisabled(), now
        )

    def _after(self, now: Now) -> list[Effect]:
        """Let see what happened who waits for a word, and a test."""
        out = self._follow(now)
        if not self.proving.running:
            return out
        out += self.proving.advance(now)
        return out + (self._switch(now) if self.proving.running else self._stand(now))

    def _follow(self, now: Now) -> list[Effect]:
        cause, _, _ = self.controller.cause.partition(":")
        return self.intake.follow(self.controller.phase, cause, now)

    # --- the operator --------------------------------------------------------------------------

    def acknowledge(self, digest: str, user: str, now: Now) -> tuple[list[Effect], str]:
        """An operator takes the safety file upon himself; returns also why not."""
        if self.safety is None:
            return [], "there is no good safety.toml to acknowledge"
        if digest != self.safety.digest:
            return [], f"digest {digest}: must be that of the safety file, {self.safety.digest}"
        return self.proving.acknowledge(digest, user, now), ""

    def test(
        self, kind: Kind, user: str, now: Now, *, hold_s: float | None = None
    ) -> tuple[list[Effect], str]:
        """Begin a test; returns also why not."""
        if why := self.proving.refusal(kind, self.reasons):
            return [], why
        out = self.proving.begin(kind, hold_s, user, self.controller, self.intake, now)
        return out + self._after(now), ""

    def abort(self, user: str, now: Now) -> list[Effect]:
        """End a running test."""
        if not self.proving.running:
            return []
        return self.proving.abort(f"aborted by {user}", now) + self._stand(now)

    def reset(self, user: str, now: Now) -> list[Effect]:
        """Out of LATCHED and ESTOP, or back from yielding; with idle first."""
        phase = self.controller.phase.name
        out = self.records.act(user, "reset", f"out of {phase}", now)
        self.log_lost = False
        return out + self.controller.tell(watchdog_events.ResetByOperator(), now) + self._stand(now)

    def disable(self, user: str, now: Now) -> list[Effect]:
        """Turn control off, at once, until somebody enables it."""
        out = self.records.act(user, "disable-control", "control is off", now)
        return [*out, self.proving.disable(user), *self.abort(user, now), *self._stand(now)]

    def enable(self, user: str, now: Now) -> list[Effect]:
        """Take ``disable`` back; every other reason stays."""
        out = self.records.act(user, "enable-control", "control is no longer disabled", now)
        return [*out, self.proving.enable(), *self._stand(now)]

    def approve(self, id_: str, user: str, now: Now) -> tuple[list[Effect], str]:
        """Approve a waiting command."""
        self.reasons = self._reasons(now)
        gone = self._follow(now)
        out, why = self.intake.approve(id_, user, now, self._disabled)
        return gone + out + self._after(now), why

    # --- what others ask -----------------------------------------------------------------------

    def owes_zero(self, now: Now) -> bool:
        """Whether zero is being ordered, within V of its demand."""
        state = self.controller.state
        demand = state.demand
        return state.owes_zero() and demand is not None and now.mono_s < demand.overdue_at

    @property
    def drops(self) -> bool:
        """Whether a zero that waits may drop the connection.

        Not one that repeats an accepted one: it would drop the very read that verifies that one.
        """
        demand = self.controller.state.demand
        accepted = demand is not None and demand.accepted_at is not None
        return self.proving.drops and not accepted

    @property
    def hands_off(self) -> bool:
        """Whether nothing but the heartbeat may leave: it is the site's, or another master's."""
        state = self.controller.state
        return state.local or state.phase is Phase.LOCAL

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
        before, self._said = self._said, (self.controller.phase, self.reasons, self.safety)
        return before != self._said
