"""What a master writes: from DNP3 control objects to the RTAC's logic, and on the record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from py1815.control import CommandStatus, ControlRelayOutputBlock, OperationType, TripCloseCode

from gateway.clock import Now, now
from gateway.points.raw import PointType, point_name
from gateway.sim.record import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from py1815.session import Control

    from gateway.sim.record import Recorder
    from gateway.sim.rtac import Rtac
    from gateway.sim.wiring import Wiring

_ANALOG_COMMAND = 41
_ON = (OperationType.LATCH_ON, OperationType.PULSE_ON)
_OFF = (OperationType.LATCH_OFF, OperationType.PULSE_OFF)


class Commanded(Protocol):
    """The site that controls act on."""

    wiring: Wiring
    rtac: Rtac

    def ordered(self, rtac: Rtac, at: Now) -> None:
        """Take over the RTAC's new state, and show it."""


class Controls:
    """py1815's control provider: every select and operate, decided and recorded."""

    def __init__(self, site: Commanded, recorder: Recorder) -> None:
        self._site = site
        self._recorder = recorder

    def select(self, controls: Sequence[Control]) -> list[CommandStatus]:
        """Say whether each control could be operated."""
        return [self._answer(control, execute=False) for control in controls]

    def operate(self, controls: Sequence[Control]) -> list[CommandStatus]:
        """Carry out each control."""
        return [self._answer(control, execute=True) for control in controls]

    def _answer(self, control: Control, *, execute: bool) -> CommandStatus:
        site, command, at = self._site, control.command, now()
        kind = PointType.AO if control.group == _ANALOG_COMMAND else PointType.BO
        point = point_name(kind, control.index)
        row = site.wiring.output(point)
        crob = command if isinstance(command, ControlRelayOutputBlock) else None
        asked = float(command.value) if crob is None else _latched(crob)  # type: ignore[union-attr]  # the other kind
        status, value, role = int(CommandStatus.NOT_SUPPORTED), None, ""
        if row is not None and asked is not None and crob is not None:
            taken = row.op is None or _kind(crob) == row.op
            asked = site.wiring.relayed(point, asked) if taken else None
        if row is not None and asked is not None:
            role, limit = row.role or "", site.wiring.limit(row)
            value = site.wiring.engineering(row, asked, site.rtac)
            status = int(site.rtac.refusal(role, value, limit=limit))
        if execute and value is not None and status == CommandStatus.SUCCESS:
            own = point if row is None else row.point
            after, status = site.rtac.order(role, value, at.mono_s, point=own)
            site.ordered(after, at)
        elif (after := site.rtac.answered(role)) is not site.rtac:
            site.ordered(after, at)
        self._recorder.add(
            "control",
            function=control.function.name,
            point=point,
            variation=control.variation,
            raw=None if asked is None else plain(asked),
            role=role,
            value=None if value is None else plain(value),
            code=None if crob is None else crob.control_code,
            **({} if crob is None else _pulse(crob)),
            status=status,
            at_mono_s=at.mono_s,
        )
        self._recorder.flush()
        return CommandStatus(status)


def _kind(command: ControlRelayOutputBlock) -> str:
    """latch, pulse or close_trip, as maps have it."""
    if command.trip_close is not TripCloseCode.NUL:
        return "close_trip"
    latches = (OperationType.LATCH_ON, OperationType.LATCH_OFF)
    return "latch" if command.operation in latches else "pulse"


def _pulse(command: ControlRelayOutputBlock) -> dict[str, int]:
    return {"count": command.count, "on_ms": command.on_time_ms, "off_ms": command.off_time_ms}


def _latched(command: ControlRelayOutputBlock) -> float | None:
    """State that a CROB asks for, as if every output latched; None where it asks for nothing."""
    if command.queued or command.clear:
        return None
    if command.trip_close is not TripCloseCode.NUL:
        return {TripCloseCode.CLOSE: 1.0, TripCloseCode.TRIP: 0.0}.get(command.trip_close)
    if command.operation in _ON:
        return 1.0
    return 0.0 if command.operation in _OFF else None
