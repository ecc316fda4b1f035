"""The watchdog's orders as outputs of the field, by the points map; and their answers. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.control.execution import plan
from gateway.control.execution.outcomes import NOT_OURS, SITE_HAS_IT, IdleNext, after_idle
from gateway.control.execution.outputs import Output, Rank
from gateway.control.watchdog.effects import (
    RefreshReversion,
    WriteHeartbeat,
    WriteIdle,
    WriteSetpoint,
    WriteStop,
)
from gateway.control.watchdog.words import WriteKind, WriteResult
from gateway.ports import Control, CrobOp, OutcomeKind, Stage, Variation

if TYPE_CHECKING:
    from gateway.control.execution.plan import Write
    from gateway.control.rules.percent_base import Base
    from gateway.control.watchdog.obligation import KeptRow
    from gateway.points.pointmap import PointsMap
    from gateway.ports import Outcome

WatchdogWrite = WriteIdle | WriteSetpoint | WriteHeartbeat | RefreshReversion | WriteStop
KINDS: dict[type, WriteKind] = {
    WriteIdle: WriteKind.IDLE,
    WriteSetpoint: WriteKind.SETPOINT,
    WriteHeartbeat: WriteKind.HEARTBEAT,
    RefreshReversion: WriteKind.REVERSION,
    WriteStop: WriteKind.STOP,
}
_RANKS = {
    WriteKind.STOP: Rank.STOP,
    WriteKind.IDLE: Rank.IDLE,
    WriteKind.HEARTBEAT: Rank.HEARTBEAT,
    WriteKind.SETPOINT: Rank.POWER,
    WriteKind.REVERSION: Rank.POWER,
}
_RESULTS = {
    OutcomeKind.SUCCESS: WriteResult.ACCEPTED,
    OutcomeKind.FAILED: WriteResult.FAILED,
    OutcomeKind.NO_ANSWER: WriteResult.UNKNOWN,
}
KIND_OF = {
    Rank.STOP: WriteKind.STOP,
    Rank.STOP_AGAIN: WriteKind.STOP,
    Rank.IDLE: WriteKind.IDLE,
    Rank.HEARTBEAT: WriteKind.HEARTBEAT,
    Rank.POWER: WriteKind.SETPOINT,
}


def output(
    order: WatchdogWrite,
    points_map: PointsMap,
    of: Base,
    *,
    release: bool,
    reversion_s: float,
    rows: tuple[KeptRow, ...] = (),
    carries_w: float = 0.0,
    only_w: float = 0.0,
) -> Output | None:
    """The output that carries out ``order``; None: the map has no stop.

    Args:
        order: of the watchdog.
        points_map: how to say it.
        of: what percent are of.
        release: a zero also switches the mode off.
        reversion_s: of the device's reversion timer.
        rows: by which zero is written, where an operator chose those that were kept.
        carries_w: which way power may be flowing, by its sign; 0: nobody knows.
        only_w: the one way in which anything may be in force, by its sign; 0: it may be both.

    Raises:
        PlanError: the map cannot say it.
    """
    power_w = order.setpoint_w if isinstance(order, WriteSetpoint) else None
    same = power_w is not None and power_w * only_w > 0
    writes = _writes(
        order,
        points_map,
        of,
        release=release,
        reversion_s=reversion_s,
        carries_w=carries_w,
        same=same,
    )
    if not writes:
        return None
    controls = tuple((write.control, write.sbo) for write in writes)
    if rows and isinstance(order, WriteIdle):
        beat = controls[:1] if order.beat is not None else ()
        controls = (*beat, *map(_control, rows))
    kind = KINDS[type(order)]
    again = isinstance(order, WriteStop) and order.again
    return Output(
        rank=Rank.STOP_AGAIN if again else _RANKS[kind],
        owner=kind.name,
        token=order.token,
        controls=controls,
        power_w=power_w,
        newest=True,
        beats=isinstance(order, WriteIdle) and order.beat is not None,
        reduces=kind is WriteKind.SETPOINT,  # of the watchdog: a limit shrank
    )


def _control(row: KeptRow) -> tuple[Control, bool]:
    if isinstance(row.value, str):
        relay = Control(
            row.point,
            CrobOp(row.value),
            on_ms=row.on_ms,
            off_ms=row.off_ms,
            count=row.count,
        )
        return relay, row.sbo
    whole = row.variation.startswith("int")
    value = int(row.value) if whole else row.value
    return Control(row.point, value, Variation(row.variation)), row.sbo


def _writes(
    order: WatchdogWrite,
    points_map: PointsMap,
    of: Base,
    *,
    release: bool,
    reversion_s: float,
    carries_w: float,
    same: bool,
) -> tuple[Write, ...]:
    match order:
        case WriteIdle(_, beat):
            zero = plan.idle_writes(points_map, of, release=release, carries_w=carries_w)
            return zero if beat is None else (plan.heartbeat_write(points_map, beat), *zero)
        case WriteSetpoint():
            return plan.power_writes(
                points_map, order.setpoint_w, of, carries_w=carries_w, same=same
            )
        case WriteHeartbeat():
            return (plan.heartbeat_write(points_map, order.value),)
        case RefreshReversion():
            return (plan.reversion_write(points_map, reversion_s),)
        case WriteStop():
            return plan.stop_writes(points_map)


def result(kind: WriteKind, outcome: Outcome) -> WriteResult:
    """What the watchdog is told of the outcome of its write."""
    if kind is WriteKind.IDLE:
        found = after_idle(outcome)
        if found is IdleNext.VERIFY:
            return WriteResult.ACCEPTED
        if found is IdleNext.LOCAL:
            return WriteResult.LOCAL
    if kind is WriteKind.STOP and outcome.stage is Stage.SELECT:
        return WriteResult.REFUSED  # no OPERATE was sent: it certainly did not operate
    if outcome.kind in _RESULTS:
        return _RESULTS[outcome.kind]
    number = outcome.statuses[-1].number if outcome.statuses else None
    if kind is WriteKind.IDLE and number in NOT_OURS:
        return WriteResult.NOT_OURS
    local = kind is WriteKind.SETPOINT and number in SITE_HAS_IT
    return WriteResult.LOCAL if local else WriteResult.REFUSED
