"""What an operator on the box orders that writes zero or stop, or says that none is needed. Pure.

Each returns what follows, and why it was refused.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gateway.control.phases import NO_STOP, Phase
from gateway.control.watchdog import events as watchdog_events
from gateway.control.watchdog.force import is_ours
from gateway.control.watchdog.orders import idle_refusal, stop_waits_for
from gateway.control.watchdog.state import POWERED

if TYPE_CHECKING:
    from gateway.clock import Now
    from gateway.control.asset_control import AssetControl
    from gateway.control.watchdog.obligation import Obligation
    from gateway.effects import Effect

    Acted = tuple[list[Effect], str]


def estop(control: AssetControl, user: str, now: Now) -> Acted:
    """Stop, and stay stopped."""
    state = control.controller.state
    if state.phase is Phase.MONITOR and not state.in_force:
        return [], f"{control.name} is in MONITOR: {NO_STOP}"
    text = stop_waits_for(state) or "stop ordered"
    out = control.records.act(user, "estop", text, now)
    return out + control.controller.estop("", f"operator:{user}", now), ""


def idle(control: AssetControl, user: str, now: Now) -> Acted:
    """Zero, written and verified afresh."""
    if why := idle_refusal(control.controller.state):
        return [], f"{control.name}: {why}"
    out = control.records.act(user, "idle", "zero ordered", now)
    return out + control.controller.tell(watchdog_events.IdleOrdered(""), now), ""


def zero(control: AssetControl, by: str, user: str, now: Now) -> Acted:
    """An operator says by which rows zero is written: those that were kept, or the new ones."""
    controller, name = control.controller, control.name
    owed = controller.owed
    if not controller.state.in_force:
        return [], f"{name}: nothing is in force"
    if by == "kept" and owed is None:
        return [], f"{name}: what was kept cannot be read: choose new"
    if by == "kept" and owed is not None and _elsewhere(control, owed, now):
        text = f"what is in force was written to {owed.endpoint}: put site.toml back"
        return [], f"{name}: {text}, or declare-zero after a visit"
    out = control.records.act(user, "zero", f"by the {by} rows", now)
    rows = owed.rows if by == "kept" and owed is not None else ()
    return out + controller.choose(rows, now), ""


def declare(control: AssetControl, text: str, user: str, now: Now) -> Acted:
    """An operator visited the site, and declares that nothing is in force."""
    controller, name = control.controller, control.name
    state, power_w = controller.state, controller.power_w(now)
    if not state.in_force:
        return [], f"{name}: nothing is in force"
    if state.phase in POWERED:  # what is being ordered is what nobody can declare gone
        return [], f"{name} is {state.phase.name}: idle it first"
    waits = state.forgetting or not math.isinf(state.forget_at)
    if waits and state.demand is None:
        return [], f"{name}: zero is verified, and waits for the disk"
    echo_w, last_w = controller.echo_w(now), state.last_w
    owed = controller.owed
    here = owed is None or not _elsewhere(control, owed, now)
    if here and echo_w is not None and state.reads_ours(echo_w):
        step = "" if last_w and state.is_near(echo_w, last_w) else "a step on the way to "
        return [], f"{name}: the echo reads {echo_w:g} W, which is {step}our setpoint"
    if here and power_w is not None and is_ours(power_w, last_w):
        return [], f"{name}: measured power is {power_w:g} W, as our setpoint was"
    out = control.records.act(user, "declare-zero", text, now)
    return out + controller.declare(f"{user}: {text}", now, elsewhere=not here), ""


def _elsewhere(control: AssetControl, owed: Obligation, now: Now) -> bool:
    of = control.controller.view.base(now)
    return control.controller.zero(owed.number, None, of).endpoint != owed.endpoint
