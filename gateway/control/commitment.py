"""What one battery may be putting on what it shares with others. Pure.

A setpoint may be in force from the instant at which it is ordered until another one of ours is
seen in the echo, or nothing of ours is in force any more. Until a zero was verified since the
start, nobody knows what the last run left there, unless it is on record.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gateway.control.execution.progress import JobPhase
from gateway.control.execution.watching import DEAD_BANDS, POWER_SHARE
from gateway.control.phases import Phase
from gateway.control.rules.shared import NOTHING, Burden, Commitment
from gateway.control.watchdog.state import POWERED, RESTING

if TYPE_CHECKING:
    from collections.abc import Collection

    from gateway.control.execution.underway import Accepted, Execution
    from gateway.control.watchdog.state import WatchdogState

_STILL = frozenset({Phase.IDLE, Phase.MONITOR})  # the echo reads zero, or nobody orders
_READ = frozenset({Phase.MONITOR, Phase.LOCAL})  # not ours to order: what is measured is so


@dataclass(frozen=True, slots=True)
class InForceMark:
    """The largest setpoints of ours that may be in force, each way."""

    burden: Burden = NOTHING
    verified: bool = False  # a zero, since the start
    phase: Phase = Phase.MONITOR  # when it was last looked at

    def handle(self, state: WatchdogState, *, underway: bool) -> InForceMark:
        """Look at the watchdog after a pass.

        Args:
            state: of the watchdog.
            underway: a power output waits, or is on its way.
        """
        left = state.phase is Phase.MONITOR and self.phase is Phase.IDLING
        verified = self.verified or left or state.phase is Phase.IDLE
        now = replace(self, phase=state.phase, verified=verified)
        if verified and state.phase in _STILL and not state.in_force:
            return replace(now, burden=NOTHING)
        held = state.dispatch
        if held is None:
            return now
        burden = Burden.of(held.setpoint_w)
        if held.settled and not underway:
            return replace(now, burden=burden)
        return replace(now, burden=self.burden.beside(burden))

    @property
    def only_w(self) -> float:
        """The one way in which anything may be in force, by its sign; 0: both, or none."""
        charge_w, discharge_w = self.burden.charge_w, self.burden.discharge_w
        return 0.0 if charge_w and discharge_w else discharge_w - charge_w

    def carries_w(self, last_w: float | None, measured_w: float | None) -> float:
        """Which way power may be flowing, by its sign: the point that carries it is zeroed first.

        By the setpoint that may be in force; where it may be one each way, or none is known, by
        the measured power, or else the last setpoint; 0: nobody knows.

        Args:
            last_w: the last setpoint of ours that was not zero, W; None: not known.
            measured_w: power, + discharging; None: not known.
        """
        if self.only_w:
            return self.only_w
        if self.burden.charge_w:
            return measured_w or last_w or 0.0
        return last_w or measured_w or 0.0


def commitment(
    mark: InForceMark,
    state: WatchdogState,
    accepted: Collection[Accepted],
    executions: Collection[Execution],
    *,
    measured_w: float | None,
    read_w: float | None,
    largest: Burden,
    deadband_w: float,
) -> Commitment:
    """What this battery takes.

    Args:
        mark: of the last pass.
        state: of the watchdog.
        accepted: commands that are not durable yet.
        executions: commands that are being carried out, or in force.
        measured_w: its power as last heard, + discharging; None: not known.
        read_w: likewise as last read: an event may be old.
        largest: what it can do at all.
        deadband_w: of its measured power.
    """
    powered = [one for one in executions if one.power]
    begun = {one.accepted.number: one.executor.now.target_w for one in powered}
    waiting = {one.number: one.job.power_w for one in accepted if one.job.power_w is not None}
    ordered = Burden.of(None if state.dispatch is None else state.dispatch.setpoint_w)
    for power_w in (*begun.values(), *waiting.values()):
        ordered = ordered.beside(Burden.of(power_w))
    measured = Burden.of(measured_w).beside(Burden.of(read_w))
    echo_w = state.echo_w
    foreign = state.phase is not Phase.ACTIVE and echo_w is not None and not state.is_zero(echo_w)
    most = mark.burden.beside(ordered).beside(measured)
    if foreign:
        most = most.beside(Burden.of(echo_w))
    rests = state.phase in RESTING
    if measured_w is None or not (rests or state.phase in _READ):
        most = most.beside(Burden.of(state.last_w))  # an RTAC may take it up again
    kept = state.in_force and state.last_w is not None
    if not (mark.verified or kept) and (measured_w is None or state.phase not in _READ):
        most = most.beside(largest)
    if not rests or measured_w is None or foreign:
        return Commitment(most=most, sure=most)
    sure, band_w = ordered, DEAD_BANDS * deadband_w
    wanted_w = 0.0 if state.dispatch is None else state.dispatch.setpoint_w
    moves = bool(waiting) or any(one.executor.phase is not JobPhase.HOLDING for one in powered)
    if not moves and abs(measured_w - wanted_w) > max(POWER_SHARE * abs(wanted_w), band_w):
        sure = ordered.beside(measured)
    numbers = [*begun, *waiting]
    if not numbers or state.phase not in POWERED:
        return Commitment(most=most, sure=sure)
    held = Burden.of(wanted_w)
    return Commitment(most=most, sure=sure, ordered=ordered, held=held, number=min(numbers))
