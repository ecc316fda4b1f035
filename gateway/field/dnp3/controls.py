"""Controls in the binding's words, and what its answers mean. Pure.

The binding checks nothing: ``AnalogOutputFloat32(1e39)`` becomes infinity in silence and NaN is
accepted (yadnp3 3.2.1.4), so values are checked here, before anything is sent. And its summary
says SUCCESS about a refused control: success needs summary, state and status.

What it reports about one control, and what that means (seen with yadnp3 3.2.1.4 against an
outstation of opendnp3 and one of py1815, which agree; the summary NO_COMMS stands for
FAILURE_NO_COMMS, TIMEOUT for FAILURE_RESPONSE_TIMEOUT; status 127 where none came):

| what happened | summary | state, SBO | state, direct | outcome | stage |
|---|---|---|---|---|---|
| carried out | SUCCESS | SUCCESS | SUCCESS | success | |
| select refused | SUCCESS | SELECT_FAIL, its status | | refused | select |
| operate refused | SUCCESS | SUCCESS, its status | SUCCESS, its status | refused | operate |
| select timed out there, none there | SUCCESS | SUCCESS, 1 or 2 | | refused | operate |
| no answer to SELECT | TIMEOUT | INIT | | no answer | select |
| session lost before it | NO_COMMS | INIT | | no answer | select |
| no answer to OPERATE | TIMEOUT | SELECT_SUCCESS | INIT | no answer | operate |
| session lost before it | NO_COMMS | SELECT_SUCCESS | INIT | no answer | operate |
| lost before it was sent | NO_COMMS, not started | INIT | INIT | failed | |
| never connected | not asked | | | failed | |

INIT says opposite things: of SBO that OPERATE was never sent, of a direct operate nothing. And
without an answer the state comes behind the task's end (see ``operation``).
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, NamedTuple

import opendnp3 as dnp

from gateway.field.dnp3 import iin as indications
from gateway.points.raw import PointType, parse_point
from gateway.ports import Control, CrobOp, Outcome, OutcomeKind, PointStatus, Stage, Variation

if TYPE_CHECKING:
    from collections.abc import Sequence

_INTEGERS = {Variation.INT16: 2**15, Variation.INT32: 2**31}
_PULSE_MAX_MS = 2**32 - 1
_COUNT_MAX = 255
_CROBS = {
    CrobOp.PULSE_ON: (dnp.OperationType.PULSE_ON, dnp.TripCloseCode.NUL),
    CrobOp.PULSE_OFF: (dnp.OperationType.PULSE_OFF, dnp.TripCloseCode.NUL),
    CrobOp.LATCH_ON: (dnp.OperationType.LATCH_ON, dnp.TripCloseCode.NUL),
    CrobOp.LATCH_OFF: (dnp.OperationType.LATCH_OFF, dnp.TripCloseCode.NUL),
    CrobOp.CLOSE: (dnp.OperationType.PULSE_ON, dnp.TripCloseCode.CLOSE),
    CrobOp.TRIP: (dnp.OperationType.PULSE_ON, dnp.TripCloseCode.TRIP),
}
_SELECT_FAILED = ("SELECT_FAIL", "SELECT_MISMATCH")
_UNSELECTED = ("INIT", *_SELECT_FAILED)  # opendnp3 sends no OPERATE after these
SILENT = 127  # DNP3 command status UNDEFINED: nothing was said about the point


class BoundControl(NamedTuple):
    """One control, ready for the binding."""

    output: int  # index
    body: object


class ControlAnswer(NamedTuple):
    """What opendnp3 reported about one control."""

    summary: str  # TaskCompletion
    state: str  # CommandPointState, "" if there is none
    status: int  # CommandStatus
    status_name: str
    iin: int  # of the response; 0 if there was none
    started: bool  # the request was handed to the link
    sbo: bool  # it was to be selected first


def command(control: Control) -> BoundControl:
    """Translate.

    Raises:
        ValueError: the point or the value is not lawful; says what is allowed.
    """
    parsed = parse_point(control.point)
    if parsed is None or parsed[0] not in (PointType.AO, PointType.BO):
        text = f"{control.point}: must be an output, AO0..AO65535 or BO0..BO65535"
        raise ValueError(text)
    kind, index = parsed
    if kind is PointType.BO:
        return BoundControl(index, _crob(control))
    if isinstance(control.value, (CrobOp, bool)):
        text = f"{control.point} = {control.value!r}: an analog output takes a number"
        raise ValueError(text)  # noqa: TRY004 - every fault here is a value's
    return BoundControl(index, _analog(control.point, control.value, control.variation))


def _crob(control: Control) -> object:
    if not isinstance(control.value, CrobOp):
        text = f"{control.point} = {control.value!r}: a binary output takes one of "
        raise ValueError(text + " ".join(CrobOp))  # noqa: TRY004 - every fault here is a value's
    for name, pulse_ms in (("on_ms", control.on_ms), ("off_ms", control.off_ms)):
        if not 0 <= pulse_ms <= _PULSE_MAX_MS:
            text = f"{control.point} {name} = {pulse_ms}: must be 0..{_PULSE_MAX_MS} ms"
            raise ValueError(text)
    if not 1 <= control.count <= _COUNT_MAX:
        text = f"{control.point} count = {control.count}: must be 1..{_COUNT_MAX}"
        raise ValueError(text)
    operation, trip_close = _CROBS[control.value]
    return dnp.ControlRelayOutputBlock(
        operation,
        trip_close,
        clear=False,
        count=control.count,
        onTime=control.on_ms,
        offTime=control.off_ms,
    )


def _analog(point: str, value: float, variation: Variation) -> object:
    if not math.isfinite(value):
        text = f"{point} = {value}: must be a finite number"
        raise ValueError(text)
    if (bound := _INTEGERS.get(variation)) is not None:
        if value != int(value) or not -bound <= value < bound:
            text = f"{point} = {value}: {variation} takes whole numbers {-bound}..{bound - 1}"
            raise ValueError(text)
        made = dnp.AnalogOutputInt16 if variation is Variation.INT16 else dnp.AnalogOutputInt32
        return made(int(value))
    if variation is Variation.DOUBLE:
        return dnp.AnalogOutputDouble64(float(value))
    try:
        struct.pack("<f", value)
    except OverflowError:
        text = f"{point} = {value}: float takes -3.4028235e38..3.4028235e38"
        raise ValueError(text) from None
    return dnp.AnalogOutputFloat32(float(value))


def judge(answer: ControlAnswer) -> tuple[OutcomeKind, str]:
    """What became of one control, and why, for people."""
    if answer.summary == "SUCCESS" and answer.state == "SUCCESS" and answer.status == 0:
        return OutcomeKind.SUCCESS, ""
    if answer.status not in (0, SILENT):
        return OutcomeKind.REFUSED, f"the outstation answered {answer.status_name}"
    if refusal := indications.refusal(answer.iin):
        return OutcomeKind.REFUSED, f"the outstation refused the request: {refusal}"
    if answer.state in _SELECT_FAILED:
        return OutcomeKind.REFUSED, f"not operated, the select failed: {answer.state}"
    if not answer.started:
        return OutcomeKind.FAILED, f"not sent: {answer.summary}"
    came = "sent, outcome unknown"
    if stage(answer) is Stage.SELECT:
        came = "not operated, no answer to SELECT"
    return OutcomeKind.NO_ANSWER, f"{came}: {answer.summary} {answer.state}".strip()


def stage(answer: ControlAnswer) -> Stage:
    """How far one control had come; OPERATE unless it is certain that none was sent."""
    return Stage.SELECT if answer.sbo and answer.state in _UNSELECTED else Stage.OPERATE


def outcome(controls: Sequence[Control], answers: Sequence[ControlAnswer]) -> Outcome:
    """Of a whole request: the last answer decides, those before it were successes."""
    kind, cause = judge(answers[-1])
    statuses = tuple(
        PointStatus(control.point, answer.status, answer.status_name)
        for control, answer in zip(controls, answers, strict=False)
    )
    point = controls[len(answers) - 1].point
    text = f"{point}: {cause}" if cause else ""
    return Outcome(kind, statuses, text, stage(answers[-1]))
