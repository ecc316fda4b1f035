"""Why nobody can call control of an asset healthy: what, what to do, since when, by whom. Pure.

Each has its entry in bess-gateway(8), "WHEN STATUS SAYS", under its title.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.clock import local_time
from gateway.control.phases import Phase
from gateway.control.watchdog.orders import unsettled

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.clock import Now
    from gateway.control.asset_control import AssetControl

_BUSY = (Phase.ARMED, Phase.ACTIVE, Phase.IDLING)  # where something in force is no surprise


@dataclass(frozen=True, slots=True)
class Trouble:
    """One that may be."""

    title: str  # how it begins, always
    holds: Callable[[AssetControl, float], bool]  # at a monotonic second
    rest: Callable[[AssetControl], str] = lambda _: ""


def _is_late(control: AssetControl, _: float) -> bool:
    state = control.controller.state
    return state.settling is not None and state.settling.told and not state.in_force


def _is_overdue(control: AssetControl, at: float) -> bool:
    demand = control.controller.state.demand
    return demand is not None and at >= demand.overdue_at


def _is_refused(control: AssetControl, _: float) -> bool:
    controller = control.controller
    return bool(controller.refused_with) and controller.state.demand is not None


def _never_up(control: AssetControl, at: float) -> bool:
    state = control.controller.state
    return state.phase is Phase.STARTUP and at >= state.silent_since + state.terms.idle_verify_s


def _over(control: AssetControl) -> str:
    cause = control.controller.cause
    return f"{f' ({cause})' if cause else ''}: `reset`, after a look at the site"


def _measure(control: AssetControl) -> str:
    point = control.controller.measured_by
    return f" (power as the map has it that wrote: {point})" if point else ""


def _declared(control: AssetControl) -> str:
    owed = control.controller.owed
    return f": {owed.declared}" if owed is not None and owed.declared else ""


TROUBLES = (
    Trouble("LATCHED", lambda one, _: one.controller.phase is Phase.LATCHED, _over),
    Trouble("ESTOP", lambda one, _: one.controller.phase is Phase.ESTOP, _over),
    Trouble(
        "yielded: another master's setpoint is in force",
        lambda one, _: one.controller.state.yielded,
        lambda _: "; `reset` takes over",
    ),
    Trouble(
        "in force, and nothing is written",
        lambda one, _: bool(one.controller.blocked_by),
        lambda one: f": {one.controller.blocked_by}; `zero` or `declare-zero`",
    ),
    Trouble(
        "zero is refused",
        _is_refused,
        lambda one: (
            f" with {one.controller.refused_with}: it is ordered again until it is verified"
        ),
    ),
    Trouble("zero is ordered for longer than it may take, and is not verified", _is_overdue),
    Trouble("in STARTUP for longer than zero may take: the session is not up", _never_up),
    Trouble(
        "something is in force without a dispatch",
        lambda one, _: one.controller.state.in_force and one.controller.phase not in _BUSY,
        lambda one: f": {unsettled(one.controller.state)}{_measure(one)}",
    ),
    Trouble(
        "a start without a verified zero before it: the gateway ends too early",
        lambda one, _: one.controller.tries > 1 and one.controller.state.in_force,
        lambda one: f"; {one.controller.tries} in a row",
    ),
    Trouble(
        "the stop is owed: it follows as soon as the site and the session let it",
        lambda one, _: (
            one.controller.state.stop_at is not None and one.controller.phase is Phase.ESTOP
        ),
    ),
    Trouble(
        "nobody knows whether the stop operated: look at the site",
        lambda one, _: one.controller.state.stop_unknown,
    ),
    Trouble(
        "the RTAC's dead-man did not act",
        lambda one, _: one.controller.state.deadman_failed,
        lambda _: ": no heartbeat was written for longer than it may take",
    ),
    Trouble(
        "zero was only declared, and is not verified",
        lambda one, _: one.controller.state.declared,
        _declared,
    ),
    Trouble(
        "zero is not over",
        _is_late,
        lambda one: f": {unsettled(one.controller.state)}",
    ),
    Trouble("safety.toml has faults: see `check`", lambda one, _: one.faulty),
)
_LASTING = ("LATCHED", "ESTOP", TROUBLES[2].title)


class TroubleBook:
    """Those of one asset, and since when. Mutable."""

    def __init__(self) -> None:
        self._since_ms: dict[str, int] = {}  # by title; Unix ms at which it was seen first

    def note(self, control: AssetControl, now: Now) -> None:
        """See which there are."""
        at, lasting = now.mono_s, control.controller.lasting
        kept_ms = now.unix_ms if lasting is None else lasting.since_ms or now.unix_ms
        self._since_ms = {
            one.title: self._since_ms.get(
                one.title, kept_ms if one.title in _LASTING else now.unix_ms
            )
            for one in TROUBLES
            if one.holds(control, at)
        }

    def told(self, control: AssetControl, now: Now) -> list[str]:
        """All of them, for people."""
        self.note(control, now)
        lasting, found = control.controller.lasting, []
        for one in TROUBLES:
            if (since_ms := self._since_ms.get(one.title)) is not None:
                by = lasting.by if lasting is not None and one.title in _LASTING else ""
                text = f"{one.title}{one.rest(control)}; since {local_time(since_ms)}"
                found.append(f"{text}, by {by}" if by else text)
        return found
