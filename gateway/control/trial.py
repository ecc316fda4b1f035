"""Carries out a commissioning test on one asset: gives the machine what it sees, does its orders.

Pure. The test's power goes the way of every command's: limits, interlocks, lease, watchdog.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gateway import events
from gateway.control.commands.command import Command, Verb
from gateway.control.commissioning import procedure
from gateway.control.commissioning.procedure import Commissioning, TrialPlan, TrialView
from gateway.control.watchdog import events as watchdog_events
from gateway.control.watchdog.orders import unsettled
from gateway.effects import Poll, Renew

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.clock import Now
    from gateway.control.controller import Controller
    from gateway.control.intake import CommandIntake
    from gateway.effects import Effect

UNWATCHED_S = 15.0  # whoever began the test asks how it goes more often than this


class Trial:
    """One test, from its order to its verdict."""

    def __init__(
        self,
        asset: str,
        plan: TrialPlan,
        user: str,
        controller: Controller,
        intake: CommandIntake,
    ) -> None:
        self.kind, self.user, self._asset = plan.kind, user, asset
        self.lines: list[str] = []
        self.ok: bool | None = None  # None while it runs
        self.figures: Mapping[str, float | str] = {}
        self.enabled = False  # control is on for this test alone
        self._machine = Commissioning(plan)
        self.controller, self._intake = controller, intake
        self._dispatches = 0
        self._answers, self._answer_s = 0, 0.0
        self._connect_s: float | None = None
        self._watched_at = math.inf  # monotonic s at which somebody last asked how it goes

    @property
    def wake_at(self) -> float:
        """Monotonic s of the next ``advance``."""
        return math.inf if self.ok is not None else self._machine.wake_at

    def heard(self, event: object) -> None:
        """Note how long an answer took, and the connection that was dropped."""
        match event:
            case events.Operated():
                answer_s = event.outcome.answer_s
            case events.PollDone():
                answer_s = event.answer_s
            case events.ConnectionRemade():
                self._connect_s, answer_s = event.took_s, None
            case _:
                answer_s = None
        if answer_s is not None:
            self._answers, self._answer_s = self._answers + 1, max(answer_s, self._answer_s)

    def advance(self, now: Now) -> list[Effect]:
        """Let the test see the field; called after everything that happens."""
        if self.ok is not None:
            return []
        if math.isinf(self._watched_at):
            self._watched_at = now.mono_s
        if now.mono_s - self._watched_at > UNWATCHED_S:
            return self.abort("nobody looks on any more", now)
        self._machine, orders = self._machine.handle(self._view(now), now.mono_s)
        return self._do(orders, now)

    def abort(self, why: str, now: Now) -> list[Effect]:
        """End it."""
        if self.ok is not None:
            return []
        self._machine, orders = self._machine.abort(why)
        return self._do(orders, now)

    def forsake(self, why: str, now: Now) -> None:
        """End it and order nothing: the session that it saw is another's now, or nobody's."""
        self._machine, orders = self._machine.abort(why)
        self._do(tuple(one for one in orders if isinstance(one, procedure.Finished)), now)

    def progress(self, now: Now) -> dict[str, object]:
        """For whoever looks on: a test that nobody follows is ended."""
        self._watched_at = now.mono_s
        return {
            "running": self.ok is None,
            "lines": list(self.lines),
            "ok": self.ok,
            "figures": dict(self.figures),
        }

    def _view(self, now: Now) -> TrialView:
        controller = self.controller
        state = controller.state
        demand = state.demand
        return TrialView(
            phase=state.phase,
            lease_s=state.lease.unbroken_s(now.mono_s),
            interlocks=state.interlocks,
            echo_w=state.echo_w,
            echo_at=state.echo_at,
            power_w=controller.view.power_w(now),
            setpoint_w=None if state.dispatch is None else state.dispatch.setpoint_w,
            heartbeat_at=controller.beat_at,
            beats=controller.beats,
            cause=controller.cause,
            unsettled=unsettled(state) or "",
            answers=self._answers,
            answer_s=self._answer_s,
            connect_s=self._connect_s,
            zeroed=demand is not None and demand.accepted_at is not None,
            grouped=state.grouped,
        )

    def _do(self, orders: tuple[procedure.Order, ...], now: Now) -> list[Effect]:
        out: list[Effect] = []
        for order in orders:
            match order:
                case procedure.Enable() | procedure.Disable():
                    self.enabled = isinstance(order, procedure.Enable)
                case procedure.TellOperator(text):
                    self.lines.append(text)
                case procedure.Finished(ok, text, figures):
                    self.ok, self.figures = ok, figures
                    self.lines.append(f"{'passed' if ok else 'FAILED'}: {text}")
                case _:
                    out += self._carry_out(order, now)
        return out

    def _carry_out(self, order: procedure.FieldOrder, now: Now) -> list[Effect]:
        match order:
            case procedure.Reconnect():
                return [Renew(self._asset)]
            case procedure.AskRead():
                return [Poll(self._asset, "critical")]
            case procedure.OrderPower(power_w, duration_s):
                return self._dispatch(power_w, duration_s, now)
            case procedure.Arm():
                event: watchdog_events.Event = watchdog_events.ArmOrdered("")
            case procedure.HoldHeartbeats(hold_s):
                event = watchdog_events.HeartbeatsHeld(hold_s)
            case procedure.Idle():
                event = watchdog_events.IdleOrdered("")
        return self.controller.tell(event, now)

    def _dispatch(self, power_w: float, duration_s: float, now: Now) -> list[Effect]:
        self._dispatches += 1
        whole_w = math.trunc(power_w)
        command = Command(
            id=f"{self.kind.value}-{now.unix_ms}-{self._dispatches}",
            gateway="",
            asset="",
            session="",
            challenge=0,
            seq=0,
            issued_ms=now.unix_ms,
            expires_ms=now.unix_ms,
            map_digest="",
            safety_digest="",
            verb=Verb.SETPOINT,
            power_w=whole_w,
            duration_s=math.ceil(duration_s),
        )
        found = self._intake.trial(command, now)
        return self.abort(found, now) if isinstance(found, str) else found
