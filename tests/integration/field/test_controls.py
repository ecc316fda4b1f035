"""Controls against both outstations: every variation, taken and refused, answered or not."""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING

import pytest

from gateway import clock
from gateway.events import SessionUp, ThreadFault
from gateway.field.dnp3.engine import Engine
from gateway.field.dnp3.session import Dnp3Session
from gateway.ports import Control, CrobOp, Outcome, OutcomeKind, Stage, Variation
from tests.fixtures.field import DEADLINE_S, Recorder, Sink, asset
from tests.fixtures.tcp import refusing_port
from tests.fixtures.yadnp3_outstation import yadnp3_outstation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.fixtures.outstation_process import OutstationProcess

    Stations = Callable[..., OutstationProcess]
    Sessions = Callable[..., Dnp3Session]

EVERY_KIND = [
    Control("BO3", CrobOp.LATCH_ON),
    Control("AO3", -5, Variation.INT16),
    Control("AO3", 100_000, Variation.INT32),
    Control("AO3", 0.5, Variation.FLOAT),
    Control("AO3", 0.1, Variation.DOUBLE),
]
LOCAL = 7


def operate(session: Dnp3Session, controls: Sequence[Control], *, sbo: bool = False) -> Outcome:
    answers: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
    session.operate(controls, sbo=sbo, done=answers.put)
    return answers.get(timeout=DEADLINE_S)


@pytest.mark.parametrize("sbo", [False, True])
@pytest.mark.parametrize("control", EVERY_KIND, ids=str)
def test_every_kind_of_control_is_carried_out_or_refused(
    outstation: Stations, session_to: Sessions, core: Recorder, control: Control, *, sbo: bool
) -> None:
    station = outstation()
    session = session_to(station.port)
    core.wait(SessionUp)
    outcome = operate(session, [control], sbo=sbo)
    assert outcome.kind is OutcomeKind.SUCCESS
    assert [(s.point, s.number, s.name) for s in outcome.statuses] == [
        (control.point, 0, "SUCCESS")
    ]
    ((_, index, value, *_),) = station.ask("commands", refuse={3: LOCAL})["taken"]
    assert index == 3
    if control.value != CrobOp.LATCH_ON:
        assert value == control.value
    refused = operate(session, [control], sbo=sbo)
    assert refused.kind is OutcomeKind.REFUSED
    assert [(s.number, s.name) for s in refused.statuses] == [(LOCAL, "LOCAL")]
    assert len(station.ask("commands")["taken"]) == 1


@pytest.mark.parametrize("sbo", [False, True])
def test_how_long_it_took_from_a_controls_licence_to_its_frame_is_told(
    outstation: Stations, session_to: Sessions, core: Recorder, *, sbo: bool
) -> None:
    station = outstation()
    session = session_to(station.port)
    core.wait(SessionUp)
    outcome = operate(session, [Control("AO0", 1)], sbo=sbo)
    assert outcome.handed_s is not None
    assert outcome.handed_s > 0
    late = operate(session, [])
    assert (late.kind, late.handed_s) == (OutcomeKind.FAILED, None)


def test_several_controls_go_in_order_and_end_at_the_first_refusal(
    outstation: Stations, session_to: Sessions, core: Recorder
) -> None:
    station = outstation()
    station.ask("commands", refuse={2: LOCAL})
    session = session_to(station.port)
    core.wait(SessionUp)
    outcome = operate(session, [Control(f"AO{index}", 1) for index in range(5)], sbo=True)
    assert outcome.kind is OutcomeKind.REFUSED
    assert [s.number for s in outcome.statuses] == [0, 0, LOCAL]
    assert outcome.cause.startswith("AO2: ")
    assert [taken[1] for taken in station.ask("commands")["taken"]] == [0, 1]


def test_a_control_that_is_not_answered_has_an_unknown_outcome(
    outstation: Stations, session_to: Sessions, core: Recorder
) -> None:
    station = outstation()
    session = session_to(station.port, event_poll_s=60, link_check_s=60)  # nothing else to miss
    core.wait(SessionUp)
    station.stop()
    assert operate(session, [Control("AO0", 1)]).kind is OutcomeKind.NO_ANSWER
    station.resume()


@pytest.mark.parametrize(
    ("trouble", "sbo", "kind", "stage", "carried_out"),
    [
        ({"silent": "select"}, True, OutcomeKind.NO_ANSWER, Stage.SELECT, 0),
        ({"silent": "operate"}, True, OutcomeKind.NO_ANSWER, Stage.OPERATE, 1),
        ({"silent": "operate"}, False, OutcomeKind.NO_ANSWER, Stage.OPERATE, 1),
        ({"ends": "select"}, True, OutcomeKind.NO_ANSWER, Stage.SELECT, None),
        ({"ends": "operate"}, True, OutcomeKind.NO_ANSWER, Stage.OPERATE, None),
        ({"ends": "operate"}, False, OutcomeKind.NO_ANSWER, Stage.OPERATE, None),
        ({"refuse": {3: LOCAL}}, True, OutcomeKind.REFUSED, Stage.SELECT, 0),
        ({"refuse_operate": {3: LOCAL}}, True, OutcomeKind.REFUSED, Stage.OPERATE, 0),
        ({"refuse_operate": {3: LOCAL}}, False, OutcomeKind.REFUSED, Stage.OPERATE, 0),
    ],
    ids=str,
)
def test_how_far_a_control_came_is_known(
    outstation: Stations,
    session_to: Sessions,
    core: Recorder,
    trouble: dict[str, object],
    kind: OutcomeKind,
    stage: Stage,
    carried_out: int | None,
    *,
    sbo: bool,
) -> None:
    station = outstation()
    session = session_to(station.port)
    core.wait(SessionUp)
    station.ask("commands", **trouble)
    outcome = operate(session, [Control("AO3", 1), Control("AO4", 1)], sbo=sbo)
    assert (outcome.kind, outcome.stage) == (kind, stage)
    assert [one.point for one in outcome.statuses] == ["AO3"]  # and AO4 was not sent
    if carried_out is not None:  # the outstation is still there to be asked
        assert len(station.ask("commands")["taken"]) == carried_out


def test_a_select_without_an_answer_ends_the_request_and_the_next_one_goes_through(
    outstation: Stations, session_to: Sessions, core: Recorder
) -> None:
    station = outstation()
    session = session_to(station.port, event_poll_s=60, link_check_s=60)  # nothing else to miss
    core.wait(SessionUp)
    station.ask("commands", silent="select")
    assert operate(session, [Control("AO3", 1)], sbo=True).stage is Stage.SELECT
    station.ask("commands")  # answers once it is awake again
    assert operate(session, [Control("AO3", 2)], sbo=True).kind is OutcomeKind.SUCCESS
    assert [taken[2] for taken in station.ask("commands")["taken"]] == [2]


@pytest.mark.parametrize("sbo", [False, True])
def test_a_session_that_is_closed_meanwhile_tells_the_outcome_of_what_it_sent(
    outstation: Stations, session_to: Sessions, core: Recorder, *, sbo: bool
) -> None:
    station = outstation()
    session = session_to(station.port, response_timeout_s=20)
    core.wait(SessionUp)
    station.stop()
    answers: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
    session.operate([Control("AO0", 1)], sbo=sbo, done=answers.put)
    session.operate([Control("AO1", 1)], sbo=sbo, done=answers.put)
    session.close(within_s=DEADLINE_S)
    outcomes = {answers.get(timeout=DEADLINE_S).kind for _ in range(2)}
    assert OutcomeKind.FAILED in outcomes
    assert outcomes <= {OutcomeKind.NO_ANSWER, OutcomeKind.FAILED}
    station.resume()


def test_a_control_that_has_waited_too_long_is_not_sent_and_the_next_one_is(
    outstation: Stations, session_to: Sessions, core: Recorder
) -> None:
    station = outstation()
    session = session_to(station.port)
    core.wait(SessionUp)
    answers: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
    session.operate([Control("AO3", 500)], sbo=False, done=answers.put, by=clock.now().mono_s - 1)
    late = answers.get(timeout=DEADLINE_S)
    assert late.kind is OutcomeKind.FAILED
    assert "too late" in late.cause
    assert operate(session, [Control("AO3", 0)]).kind is OutcomeKind.SUCCESS
    assert [value for _, _, value, *_ in station.ask("commands")["taken"]] == [0]


def test_a_control_without_a_connection_was_not_sent(
    session_to: Sessions,
) -> None:
    session = session_to(refusing_port())
    outcome = operate(session, [Control("AO0", 1)])
    assert outcome.kind is OutcomeKind.FAILED
    assert "not connected" in outcome.cause


@pytest.mark.parametrize(
    "controls", [[], [Control("AO0", float("nan"))], [Control("AO0", 1), Control("AO1", 2**31)]]
)
def test_an_unlawful_request_is_not_sent_at_all(
    outstation: Stations, session_to: Sessions, core: Recorder, controls: list[Control]
) -> None:
    station = outstation()
    session = session_to(station.port)
    core.wait(SessionUp)
    outcome = operate(session, controls)
    assert outcome.kind is OutcomeKind.FAILED
    assert outcome.cause
    assert station.ask("commands")["taken"] == []
    assert operate(session, [Control("AO0", 1)]).kind is OutcomeKind.SUCCESS


def test_an_outcome_that_cannot_be_taken_is_a_fault_and_does_not_end_the_process() -> None:
    core = Recorder()
    engine = Engine(core)
    with yadnp3_outstation() as station:
        session = Dnp3Session(
            engine,
            asset(station.port),
            critical=frozenset(),
            store=Sink(),
            poll_done=None,
            post=core,
        )
        session.start()
        core.wait(SessionUp)

        def broken(_outcome: Outcome) -> None:
            raise ZeroDivisionError

        session.operate([Control("AO0", 1)], sbo=False, done=broken)
        assert "ZeroDivisionError" in core.wait(ThreadFault).text
        assert operate(session, [Control("AO0", 2)]).kind is OutcomeKind.SUCCESS
        session.close(within_s=10)
        engine.close()
