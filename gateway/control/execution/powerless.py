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
            state, self._idling[id_] = ResultState.EXECUTING, actor
        warnings = (carried.warning,) if carried.warning else ()
        return ((id_, actor, TellCloud(state, None, None, None, warnings)),)

    def settle(self, state: WatchdogState, power_w: float | None) -> tuple[Told, ...]:
        """Those that are over now: an idle succeeds when zero is verified."""
        if not self._idling:
            return ()
        reason = None
        if state.phase in _SILENT:
            told, reason = ResultState.ABORTED, state.phase.name.lower()
        elif state.demand is None:
            told = ResultState.SUCCEEDED
        elif state.phase is Phase.LATCHED:
            told, reason = ResultState.FAILED, Cause.UNVERIFIED.value
        else:
            return ()
        report = TellCloud(told, reason, None, power_w, ())
        over = tuple((id_, actor, report) for id_, actor in self._idling.items())
        self._idling.clear()
        return over
