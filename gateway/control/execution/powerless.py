"""Orders without power (arm, idle, disarm, release, estop), and what became of each. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.control.commands.reasons import ResultState
from gateway.control.execution.job import TellCloud
from gateway.control.phases import Phase
from gateway.control.watchdog.words import Cause

if TYPE_CHECKING:
    from gateway.control.watchdog.effects import Carried, Refuse
    from gateway.control.watchdog.state import WatchdogState

_SILENT = (Phase.STARTUP, Phase.LOCAL, Phase.BLIND)  # where no zero is written
Told = tuple[str, str, TellCloud]  # id, actor, what is told


class PowerlessOrders:
    """Those of one asset that are not over. Mutable."""

    def __init__(self) -> None:
        self._given: dict[str, str] = {}  # id -> actor: the watchdog has not said yet
        self._idling: dict[str, str] = {}  # id -> actor: over when zero is verified
        self._waiting: dict[str, str] = {}  # as those, ordered where no zero may be written yet

    def give(self, id_: str, actor: str) -> None:
        """Somebody ordered ``id_``."""
        self._given[id_] = actor

    def refused(self, refuse: Refuse) -> tuple[Told, ...]:
        """The watchdog did nothing."""
        actor = self._given.pop(refuse.command_id, None)
        if actor is None:
            return ()
        report = TellCloud(ResultState.REJECTED, refuse.cause.value, None, None, (refuse.detail,))
        return ((refuse.command_id, actor, report),)

    def carried(self, carried: Carried, phase: Phase) -> tuple[Told, ...]:
        """The watchdog carried it out, and is in ``phase``."""
        id_ = carried.command_id
        actor = self._given.pop(id_, None)
        if actor is None:
            return ()
        state = ResultState.SUCCEEDED
        if phase is not Phase.ARMED:
            state = ResultState.EXECUTING
            (self._waiting if phase in _SILENT else self._idling)[id_] = actor
        warnings = (carried.warning,) if carried.warning else ()
        return ((id_, actor, TellCloud(state, None, None, None, warnings)),)

    def settle(self, state: WatchdogState, power_w: float | None) -> tuple[Told, ...]:
        """Those that are over now: an idle succeeds when zero is verified.

        One whose zero was being written ends with the session or the authority; one that was
        ordered without them waits for them.
        """
        over: tuple[Told, ...] = ()
        if state.phase not in _SILENT and state.demand is None:
            over = _told(self._waiting, ResultState.ABORTED, Cause.DISABLED.value, power_w)
        elif state.phase not in _SILENT:
            self._idling |= self._waiting
            self._waiting.clear()
        if not self._idling:
            return over
        if state.phase in _SILENT:
            return _told(self._idling, ResultState.ABORTED, state.phase.name.lower(), power_w)
        if state.demand is None:
            return over + _told(self._idling, ResultState.SUCCEEDED, None, power_w)
        if state.phase is Phase.LATCHED:
            return _told(self._idling, ResultState.FAILED, Cause.UNVERIFIED.value, power_w)
        return ()


def _told(
    orders: dict[str, str], state: ResultState, reason: str | None, power_w: float | None
) -> tuple[Told, ...]:
    """``orders`` are over, and nobody's any more."""
    report = TellCloud(state, reason, None, power_w, ())
    over = tuple((id_, actor, report) for id_, actor in orders.items())
    orders.clear()
    return over
