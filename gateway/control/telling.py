"""What people are told of a setpoint that may be in force, and why control is not healthy. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.control.watchdog.orders import unsettled
from gateway.control.watchdog.state import LASTING
from gateway.control.watchdog.words import Phase

if TYPE_CHECKING:
    from gateway.clock import Now
    from gateway.control.controller import Controller

_BUSY = (Phase.ARMED, Phase.ACTIVE, Phase.IDLING)  # where something in force is no surprise


def in_force(controller: Controller, blocked: str) -> dict[str, object] | None:
    """What may be in force, and why its zero is not over; None: nothing.

    Args:
        controller: of the asset.
        blocked: why no zero is written; "" if one is.
    """
    state, owed = controller.state, controller.owed
    if not (state.in_force or state.declared or state.ended):
        return None
    return {
        "setpointW": None if owed is None or not owed.setpoint_w else round(owed.setpoint_w),
        "endpoint": None if owed is None else owed.endpoint,
        "number": None if owed is None else owed.number,
        "blocked": blocked,
        "declared": "" if owed is None else owed.declared,
        "silent": state.silent or state.ended,
        "unsettled": "" if state.dispatch is not None else unsettled(state) or "",
    }


def troubles(controller: Controller, blocked: str, now: Now) -> list[str]:
    """Why nobody can call this control healthy: what, since when or by whom, and what to do."""
    state, phase, at = controller.state, controller.phase, now.mono_s
    demand, verify_s = state.demand, state.terms.idle_verify_s
    late = state.settling is not None and state.settling.told
    told = (
        (phase in LASTING, f"{phase.name} ({controller.cause}): `reset`, after a look at the site"),
        (state.yielded, "yielded: another master's setpoint is in force; `reset` takes over"),
        (bool(blocked), f"in force, and nothing is written: {blocked}; `zero` or `declare-zero`"),
        (
            demand is not None and at >= demand.overdue_at,
            "zero is ordered for longer than it may take, and is not verified",
        ),
        (
            phase is Phase.STARTUP and at >= state.silent_since + verify_s,
            "in STARTUP for longer than zero may take: the session is not up",
        ),
        (
            state.in_force and phase not in _BUSY,
            f"something is in force without a dispatch: {unsettled(state)}",
        ),
        (
            state.stop_at is not None and phase is Phase.ESTOP,
            "the stop is owed: it follows as soon as the site and the session let it",
        ),
        (state.stop_unknown, "nobody knows whether the stop operated: look at the site"),
        (state.declared, "zero was only declared, and is not verified"),
        (late and not state.in_force, str(unsettled(state))),
    )
    return [text for is_so, text in told if is_so]
