from __future__ import annotations

import math
from typing import Any

import opendnp3 as dnp
import pytest

from gateway.field.dnp3.controls import ControlAnswer, command, judge, outcome
from gateway.ports import Control, CrobOp, OutcomeKind, Stage, Variation

OK = ControlAnswer("SUCCESS", "SUCCESS", 0, "SUCCESS", 0, started=True, sbo=False)
MUTE = ControlAnswer("FAILURE_RESPONSE_TIMEOUT", "", 127, "UNDEFINED", 0, started=True, sbo=False)
LOST = MUTE._replace(summary="FAILURE_NO_COMMS")


@pytest.mark.parametrize(
    ("control", "kind", "value"),
    [
        (Control("AO0", -32768, Variation.INT16), dnp.AnalogOutputInt16, -32768),
        (Control("AO0", 32767.0, Variation.INT16), dnp.AnalogOutputInt16, 32767),
        (Control("AO0", 2**31 - 1), dnp.AnalogOutputInt32, 2**31 - 1),
        (Control("AO0", 0.5, Variation.FLOAT), dnp.AnalogOutputFloat32, 0.5),
        (Control("AO0", 1e300, Variation.DOUBLE), dnp.AnalogOutputDouble64, 1e300),
    ],
)
def test_a_lawful_number_becomes_its_variation(control: Control, kind: type, value: float) -> None:
    made = command(control)
    assert type(made.body) is kind
    body: Any = made.body
    assert (made.output, body.value) == (0, value)


@pytest.mark.parametrize(
    ("control", "text"),
    [
        (Control("AO0", 32768, Variation.INT16), "int16 takes whole numbers -32768..32767"),
        (Control("AO0", 2**31), "int32 takes whole numbers -2147483648..2147483647"),
        (Control("AO0", 0.5), "whole numbers"),
        (Control("AO0", 1e39, Variation.FLOAT), "float takes"),
        (Control("AO0", math.nan, Variation.FLOAT), "finite"),
        (Control("AO0", -math.inf, Variation.DOUBLE), "finite"),
        (Control("AO0", math.nan), "finite"),
        (Control("AO0", CrobOp.TRIP), "takes a number"),
        (Control("BO0", 1), "takes one of pulse_on"),
        (Control("BO0", CrobOp.TRIP, on_ms=-1), "on_ms"),
        (Control("BO0", CrobOp.TRIP, off_ms=2**32), "off_ms"),
        (Control("AI0", 1), "must be an output"),
        (Control("AO65536", 1), "must be an output"),
        (Control("x", 1), "must be an output"),
    ],
)
def test_an_unlawful_value_never_reaches_the_binding(control: Control, text: str) -> None:
    with pytest.raises(ValueError, match=text) as caught:
        command(control)
    assert control.point in str(caught.value)


def test_a_crob_carries_operation_and_pulse() -> None:
    made: Any = command(Control("BO18", CrobOp.TRIP, on_ms=250, off_ms=0))
    assert made.output == 18
    assert made.body.opType == dnp.OperationType.PULSE_ON
    assert made.body.tcc == dnp.TripCloseCode.TRIP
    assert (made.body.count, made.body.onTimeMS, made.body.offTimeMS) == (1, 250, 0)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (OK, OutcomeKind.SUCCESS),
        # pitfall: the summary says SUCCESS about a refused control
        (OK._replace(state="OPERATE_FAIL", status=7, status_name="LOCAL"), OutcomeKind.REFUSED),
        (OK._replace(status=12, status_name="OUT_OF_RANGE"), OutcomeKind.REFUSED),
        (OK._replace(state="SELECT_MISMATCH", status=127), OutcomeKind.REFUSED),
        # selected, and OPERATE never answered: it may have been carried out
        (OK._replace(state="SELECT_SUCCESS", status=127), OutcomeKind.NO_ANSWER),
        (OK._replace(state="INIT", status=127, iin=0x0100), OutcomeKind.REFUSED),
        (OK._replace(state="INIT", status=127), OutcomeKind.NO_ANSWER),
        (OK._replace(state="OPERATE_FAIL"), OutcomeKind.NO_ANSWER),
        (MUTE, OutcomeKind.NO_ANSWER),
        (LOST, OutcomeKind.NO_ANSWER),
        (LOST._replace(started=False), OutcomeKind.FAILED),
        (MUTE._replace(summary="FAILURE_START_TIMEOUT", started=False), OutcomeKind.FAILED),
    ],
)
def test_success_needs_summary_state_and_status(answer: ControlAnswer, kind: OutcomeKind) -> None:
    verdict, cause = judge(answer)
    assert verdict is kind
    assert (cause == "") == (kind is OutcomeKind.SUCCESS)


def test_the_last_answer_decides_and_names_its_point() -> None:
    refused = OK._replace(status=7, status_name="LOCAL")
    made = outcome([Control("AO1", 1), Control("AO2", 2), Control("AO3", 3)], [OK, refused])
    assert made.kind is OutcomeKind.REFUSED
    assert [(s.point, s.number, s.name) for s in made.statuses] == [
        ("AO1", 0, "SUCCESS"),
        ("AO2", 7, "LOCAL"),
    ]
    assert made.cause == "AO2: the outstation answered LOCAL"


@pytest.mark.parametrize(
    ("answer", "sbo", "kind", "stage"),
    [
        # SELECT was not answered, so opendnp3 sent no OPERATE: nothing was carried out
        (MUTE._replace(state="INIT"), True, OutcomeKind.NO_ANSWER, Stage.SELECT),
        (LOST._replace(state="INIT"), True, OutcomeKind.NO_ANSWER, Stage.SELECT),
        # selected, and nobody knows more
        (MUTE._replace(state="SELECT_SUCCESS"), True, OutcomeKind.NO_ANSWER, Stage.OPERATE),
        (LOST._replace(state="SELECT_SUCCESS"), True, OutcomeKind.NO_ANSWER, Stage.OPERATE),
        # a direct operate has no SELECT: the same word says nothing about it
        (MUTE._replace(state="INIT"), False, OutcomeKind.NO_ANSWER, Stage.OPERATE),
        (LOST._replace(state="INIT"), False, OutcomeKind.NO_ANSWER, Stage.OPERATE),
        # without a word the worse is assumed
        (MUTE, True, OutcomeKind.NO_ANSWER, Stage.OPERATE),
        (OK._replace(state="SELECT_FAIL", status=7), True, OutcomeKind.REFUSED, Stage.SELECT),
        (OK._replace(status=7), True, OutcomeKind.REFUSED, Stage.OPERATE),
    ],
)
def test_only_a_select_that_was_not_answered_is_known_to_have_done_nothing(
    answer: ControlAnswer, kind: OutcomeKind, stage: Stage, *, sbo: bool
) -> None:
    made = outcome([Control("AO1", 1)], [answer._replace(sbo=sbo)])
    assert (made.kind, made.stage) == (kind, stage)


def test_a_missing_answer_to_select_is_told_as_such() -> None:
    asked = MUTE._replace(state="INIT", sbo=True)
    cause = outcome([Control("AO1", 1)], [asked]).cause
    assert cause == "AO1: not operated, no answer to SELECT: FAILURE_RESPONSE_TIMEOUT INIT"


def test_the_stage_is_that_of_the_last_control() -> None:
    made = outcome(
        [Control("AO1", 1), Control("AO2", 2)],
        [OK._replace(sbo=True), MUTE._replace(state="INIT", sbo=True)],
    )
    assert (made.kind, made.stage) == (OutcomeKind.NO_ANSWER, Stage.SELECT)
