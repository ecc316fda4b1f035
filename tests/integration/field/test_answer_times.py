"""How long a session's requests take, as the core is told, at an outstation that takes its time."""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING

import pytest

from gateway.events import ConnectionDropped, ConnectionRemade, PollDone, SessionDown, SessionUp
from gateway.ports import Control, Outcome, OutcomeKind
from tests.fixtures.field import DEADLINE_S, Recorder
from tests.fixtures.raw_rtac import Function, RawRtac

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.field.dnp3.session import Dnp3Session

    Sessions = Callable[..., Dnp3Session]

DELAY_S = 1.0
LEAST_S = 0.95  # the peer sleeps by another clock than ours
QUIET = {"event_poll_s": 60, "integrity_poll_s": 3600, "link_check_s": 60, "response_timeout_s": 5}
TWO_REQUESTS = frozenset(f"AI{index}" for index in range(0, 40, 2))  # 20 ranges, 16 a request


@pytest.fixture
def rtac() -> Iterator[RawRtac]:
    with RawRtac() as made:
        yield made


def operate(session: Dnp3Session, *, sbo: bool) -> Outcome:
    answers: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
    session.operate([Control("AO3", 7)], sbo=sbo, done=answers.put)
    return answers.get(timeout=DEADLINE_S)


def test_a_control_is_timed_from_its_request_to_its_answer(
    rtac: RawRtac, session_to: Sessions, core: Recorder
) -> None:
    session = session_to(rtac.port, **QUIET)
    core.wait(SessionUp)
    rtac.delay_s = {Function.DIRECT_OPERATE: DELAY_S}
    outcome = operate(session, sbo=False)
    assert outcome.kind is OutcomeKind.SUCCESS
    assert outcome.answer_s is not None
    assert outcome.answer_s >= LEAST_S


def test_select_and_operate_are_timed_each_and_the_slower_one_counts(
    rtac: RawRtac, session_to: Sessions, core: Recorder
) -> None:
    session = session_to(rtac.port, **QUIET)
    core.wait(SessionUp)
    for slow, quick in (
        (Function.SELECT, Function.OPERATE),
        (Function.OPERATE, Function.SELECT),
    ):
        rtac.delay_s = {slow: 2 * DELAY_S, quick: DELAY_S}
        outcome = operate(session, sbo=True)
        assert outcome.answer_s is not None
        assert 2 * LEAST_S <= outcome.answer_s < 3 * DELAY_S, "not their sum"


def test_a_control_that_never_left_says_nothing_and_one_without_an_answer_its_timeout(
    rtac: RawRtac, session_to: Sessions, core: Recorder
) -> None:
    session = session_to(rtac.port, **QUIET | {"response_timeout_s": 1})
    core.wait(SessionUp)
    session.demand(on=True)
    assert operate(session, sbo=False).answer_s is None
    session.demand(on=False)
    rtac.mute = {Function.DIRECT_OPERATE}
    outcome = operate(session, sbo=False)
    assert outcome.kind is OutcomeKind.NO_ANSWER
    assert outcome.answer_s is not None
    assert outcome.answer_s >= 1


def test_the_slowest_request_of_a_critical_read_is_told_with_its_end(
    rtac: RawRtac, session_to: Sessions, core: Recorder
) -> None:
    session = session_to(rtac.port, critical=TWO_REQUESTS, critical_poll_s=3600, **QUIET)
    core.wait(SessionUp)
    rtac.delay_s = {Function.READ: DELAY_S}
    began = rtac.mark()
    session.poll("critical")
    done = core.wait(PollDone, lambda one: one.kind == "critical")
    assert done.ok
    assert done.answer_s is not None
    assert LEAST_S <= done.answer_s < 2 * DELAY_S, "not both together"
    reads = [one for one in rtac.asked[began:] if one.function == Function.READ]
    assert len(reads) >= 2
    session.poll("integrity")
    assert core.wait(PollDone, lambda one: one.kind == "integrity").answer_s is None


def test_a_connection_that_is_renewed_is_timed_until_its_first_request_is_answered(
    rtac: RawRtac, session_to: Sessions, core: Recorder
) -> None:
    session = session_to(rtac.port, **QUIET)
    core.wait(SessionUp)
    rtac.delay_s = {Function.DISABLE_UNSOLICITED: DELAY_S}
    session.renew()
    remade = core.wait(ConnectionRemade)
    assert remade.took_s >= LEAST_S
    core.wait(ConnectionDropped)
    first = next(one for one in rtac.asked if one.connection == 2)
    assert first.function == Function.DISABLE_UNSOLICITED
    assert operate(session, sbo=False).kind is OutcomeKind.SUCCESS
    assert core.all(SessionDown) == []


def test_no_connection_is_renewed_while_zero_is_owed(
    rtac: RawRtac, session_to: Sessions, core: Recorder
) -> None:
    session = session_to(rtac.port, **QUIET)
    core.wait(SessionUp)
    session.demand(on=True)
    session.renew()
    session.demand(on=False)
    assert operate(session, sbo=False).kind is OutcomeKind.SUCCESS
    assert core.all(ConnectionDropped) == []
    assert {one.connection for one in rtac.asked} == {1}
