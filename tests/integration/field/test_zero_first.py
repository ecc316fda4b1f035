"""What is on the wire when zero is demanded: no more power, and zero whatever else takes long."""

from __future__ import annotations

import queue
import struct
import time
from typing import TYPE_CHECKING

import pytest

from gateway import clock
from gateway.events import ConnectionDropped, OutputHeld, PollDone, SessionDown, SessionUp
from gateway.ports import Control, Outcome, OutcomeKind, Purpose, Stage
from tests.fixtures.field import DEADLINE_S, Recorder
from tests.fixtures.raw_rtac import Asked, Function, RawRtac

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.field.dnp3.session import Dnp3Session

    Sessions = Callable[..., Dnp3Session]

POWER_W, ZERO, BEAT = Control("AO3", 300_000), Control("AO3", 0), Control("AO9", 7)
CLASS_0 = bytes([60, 1, 6])
QUIET = {"event_poll_s": 60, "integrity_poll_s": 3600, "link_check_s": 60}


@pytest.fixture
def rtac() -> Iterator[RawRtac]:
    with RawRtac() as made:
        yield made


class Answers:
    """Outcomes, in the order in which they came."""

    def __init__(self) -> None:
        self.put: queue.SimpleQueue[Outcome] = queue.SimpleQueue()

    def next(self) -> Outcome:
        return self.put.get(timeout=DEADLINE_S)


def order(
    session: Dnp3Session, control: Control, purpose: Purpose, *, sbo: bool = False
) -> Answers:
    answers = Answers()
    session.operate([control], sbo=sbo, done=answers.put.put, purpose=purpose)
    return answers


def writes(value: int) -> Callable[[Asked], bool]:
    """A control with this value, as int32 behind its index."""
    return lambda one: (
        one.function in (Function.SELECT, Function.OPERATE, Function.DIRECT_OPERATE)
        and one.objects.endswith(struct.pack("<ib", value, 0))
    )


def reads_everything(objects: bytes) -> bool:
    return CLASS_0 in objects


def begin_a_read(session: Dnp3Session, rtac: RawRtac) -> None:
    """One that is not answered is under way."""
    rtac.mute = {Function.READ}
    session.poll("integrity")
    rtac.wait(lambda one: one.function == Function.READ and reads_everything(one.objects), after=3)


def first_on_the_second_connection(rtac: RawRtac, count: int) -> list[Asked]:
    """But for DISABLE_UNSOLICITED, which opendnp3 sends before them, or right behind."""
    second = [one for one in rtac.asked if one.connection == 2]
    return [one for one in second if one.function != Function.DISABLE_UNSOLICITED][:count]


def reads_all_over(connection: int) -> Callable[[Asked], bool]:
    return lambda one: one.connection == connection and reads_everything(one.objects)


def test_power_whose_select_is_not_answered_never_operates_after_zero_is_demanded(
    rtac: RawRtac, session_to: Sessions, core: Recorder
) -> None:
    session = session_to(rtac.port, response_timeout_s=5, **QUIET)
    core.wait(SessionUp)
    rtac.mute = {Function.SELECT}
    power = order(session, POWER_W, Purpose.POWER, sbo=True)
    rtac.wait(writes(300_000))
    session.demand(on=True)
    rtac.mute = set()
    zero = order(session, ZERO, Purpose.ZERO, sbo=True)
    assert (ended := power.next()).kind is OutcomeKind.NO_ANSWER
    assert ended.stage is Stage.SELECT
    assert zero.next().kind is OutcomeKind.SUCCESS
    functions = [(one.connection, one.function) for one in rtac.asked if writes(300_000)(one)]
    assert functions == [(1, Function.SELECT)]
    first = first_on_the_second_connection(rtac, 2)
    assert [one.function for one in first] == [Function.SELECT, Function.OPERATE]
    assert all(writes(0)(one) for one in first)
    assert core.all(SessionDown) == []
    core.wait(ConnectionDropped)


def test_power_whose_select_is_not_answered_never_operates_once_the_site_has_the_authority(
    rtac: RawRtac, session_to: Sessions, core: Recorder
) -> None:
    session = session_to(rtac.port, response_timeout_s=5, **QUIET)
    core.wait(SessionUp)
    rtac.mute = {Function.SELECT}
    power = order(session, POWER_W, Purpose.POWER, sbo=True)
    rtac.wait(writes(300_000))
    session.hands_off(on=True)
    assert power.next().stage is Stage.SELECT
    core.wait(ConnectionDropped)
    functions = [one.function for one in rtac.asked if writes(300_000)(one)]
    assert functions == [Function.SELECT]


def test_power_that_waits_behind_a_read_does_not_leave_after_zero_is_demanded(
    rtac: RawRtac, session_to: Sessions, core: Recorder
) -> None:
    session = session_to(rtac.port, response_timeout_s=1, **QUIET)
    core.wait(SessionUp)
    begin_a_read(session, rtac)
    power = order(session, POWER_W, Purpose.POWER)
    session.demand(on=True)
    assert power.next() == Outcome(OutcomeKind.FAILED, (), "not sent: zero is demanded")
    later = order(session, POWER_W, Purpose.POWER)
    assert later.next().kind is OutcomeKind.FAILED
    time.sleep(0.5)  # the read is half over: it ends well before the zero has waited too long
    zero = order(session, ZERO, Purpose.ZERO)
    assert zero.next().kind is OutcomeKind.SUCCESS  # behind the read's response timeout
    session.demand(on=False)
    assert order(session, POWER_W, Purpose.POWER).next().kind is OutcomeKind.SUCCESS
    assert len([one for one in rtac.asked if writes(300_000)(one)]) == 1
    assert {one.connection for one in rtac.asked} == {1}


def test_a_stop_that_waits_behind_a_read_does_not_leave_once_the_site_has_the_authority(
    rtac: RawRtac, session_to: Sessions, core: Recorder
) -> None:
    session = session_to(rtac.port, response_timeout_s=1, **QUIET)
    core.wait(SessionUp)
    begin_a_read(session, rtac)
    waiting = [
        order(session, Control("AO3", 7), purpose) for purpose in (Purpose.ZERO, Purpose.POWER)
    ]
    beat = order(session, BEAT, Purpose.BEAT)
    session.hands_off(on=True)
    for one in waiting:
        assert one.next() == Outcome(OutcomeKind.FAILED, (), "not sent: the site has the authority")
    later = order(session, ZERO, Purpose.ZERO)
    assert later.next().kind is OutcomeKind.FAILED
    ended = [one for one in core.all(PollDone) if one.kind == "integrity" and not one.ok]
    assert ended == [], "the read is still under way"
    assert beat.next().kind is OutcomeKind.SUCCESS, "the heartbeat goes on"
    session.hands_off(on=False)
    assert order(session, ZERO, Purpose.ZERO).next().kind is OutcomeKind.SUCCESS
    assert [one for one in rtac.asked if writes(0)(one)][1:] == []
    assert {one.connection for one in rtac.asked} == {1}


def test_a_request_of_two_controls_ends_where_the_site_takes_the_authority_between_them(
    rtac: RawRtac, session_to: Sessions, core: Recorder
) -> None:
    session = session_to(rtac.port, response_timeout_s=5, **QUIET)
    core.wait(SessionUp)
    rtac.delay_s = {Function.DIRECT_OPERATE: 0.5}
    both, answers = [Control("AO3", 0), Control("AO4", 1)], Answers()
    session.operate(both, sbo=False, done=answers.put.put, purpose=Purpose.ZERO)
    rtac.wait(writes(0))
    session.hands_off(on=True)
    ended = answers.next()
    assert (ended.kind, ended.cause) == (
        OutcomeKind.FAILED,
        "not sent: the site has the authority",
    )
    assert not [one for one in rtac.asked if writes(1)(one)]


def test_a_heartbeat_that_waits_behind_a_read_gives_way_and_less_power_is_next(
    rtac: RawRtac, session_to: Sessions, core: Recorder
) -> None:
    session = session_to(rtac.port, response_timeout_s=1, **QUIET)
    core.wait(SessionUp)
    begin_a_read(session, rtac)
    beat = order(session, BEAT, Purpose.BEAT)
    session.give_way()
    assert beat.next() == Outcome(OutcomeKind.FAILED, (), "not sent: less power goes before it")
    assert order(session, POWER_W, Purpose.POWER).next().kind is OutcomeKind.SUCCESS
    assert not any(writes(7)(one) for one in rtac.asked)
    assert order(session, BEAT, Purpose.BEAT).next().kind is OutcomeKind.SUCCESS


def test_a_heartbeat_that_goes_before_reads_does_not_leave_once_it_is_withheld(
    rtac: RawRtac, session_to: Sessions, core: Recorder
) -> None:
    session = session_to(rtac.port, response_timeout_s=1, **QUIET)
    core.wait(SessionUp)
    begin_a_read(session, rtac)
    beat = Answers()
    session.operate([BEAT], sbo=False, done=beat.put.put, purpose=Purpose.BEAT, first=True)
    session.give_way()
    session.give_way(withheld=True)
    assert beat.next() == Outcome(OutcomeKind.FAILED, (), "not sent: the heartbeat is withheld")


def test_a_direct_operate_that_is_on_the_wire_is_left_alone_when_zero_is_demanded(
    rtac: RawRtac, session_to: Sessions, core: Recorder
) -> None:
    session = session_to(rtac.port, response_timeout_s=1, **QUIET)
    core.wait(SessionUp)
    rtac.mute = {Function.DIRECT_OPERATE}
    power = order(session, POWER_W, Purpose.POWER)
    rtac.wait(writes(300_000))
    session.demand(on=True)
    assert power.next().kind is OutcomeKind.NO_ANSWER
    rtac.mute = set()
    assert order(session, ZERO, Purpose.ZERO).next().kind is OutcomeKind.SUCCESS
    assert {one.connection for one in rtac.asked} == {1}


def test_power_whose_select_is_not_answered_before_its_time_is_over_never_operates(
    rtac: RawRtac, session_to: Sessions, core: Recorder
) -> None:
    session = session_to(rtac.port, response_timeout_s=10, **QUIET)
    core.wait(SessionUp)
    rtac.mute = {Function.SELECT}
    answers = Answers()
    by = clock.now().mono_s + 1
    session.operate([POWER_W], sbo=True, done=answers.put.put, by=by)
    assert answers.next().stage is Stage.SELECT
    assert by <= clock.now().mono_s
    assert core.all(ConnectionDropped)  # no core was needed for that
    rtac.wait(lambda one: one.connection == 2)
    assert [one.function for one in rtac.asked if writes(300_000)(one)] == [Function.SELECT]


@pytest.mark.parametrize("sbo", [False, True])
def test_power_that_was_handed_over_behind_the_startup_poll_does_not_leave(
    rtac: RawRtac, session_to: Sessions, core: Recorder, *, sbo: bool
) -> None:
    rtac.endless = reads_everything
    session = session_to(rtac.port, response_timeout_s=2, **QUIET)
    rtac.wait(lambda one: one.function == Function.READ)
    power = order(session, POWER_W, Purpose.POWER, sbo=sbo)
    session.demand(on=True)
    assert power.next().kind in (OutcomeKind.FAILED, OutcomeKind.NO_ANSWER)
    rtac.endless = lambda _: False
    core.wait(SessionUp)
    assert not any(writes(300_000)(one) for one in rtac.asked)


def test_zero_that_waits_for_a_read_without_an_end_leaves_on_a_new_connection_first(
    rtac: RawRtac, session_to: Sessions, core: Recorder
) -> None:
    session = session_to(rtac.port, response_timeout_s=1, **QUIET)
    core.wait(SessionUp)
    rtac.endless = reads_everything
    mark = rtac.mark()
    session.poll("integrity")
    rtac.wait(lambda one: reads_everything(one.objects), after=mark)
    session.demand(on=True)
    zero = order(session, ZERO, Purpose.ZERO)
    assert zero.next().kind is OutcomeKind.SUCCESS
    (first,) = first_on_the_second_connection(rtac, 1)
    assert first.function == Function.DIRECT_OPERATE
    assert core.wait(ConnectionDropped).cause == "zero waited 1 s behind another request"
    rtac.endless = lambda _: False
    session.poll("critical")
    assert core.all(SessionDown) == []
    assert len(core.all(SessionUp)) == 1


def test_zero_that_still_waits_after_two_drops_waits_on_and_the_core_is_told(
    rtac: RawRtac, session_to: Sessions, core: Recorder
) -> None:
    # Of 1 s a busy machine would need the second one, the engine's own limit, to connect anew.
    session = session_to(rtac.port, response_timeout_s=3, **QUIET)
    core.wait(SessionUp)
    rtac.endless = reads_everything
    session.demand(on=True)
    mark = rtac.mark()
    session.poll("integrity")  # on the first connection; on the others it is the startup's
    for connection in (1, 2):
        rtac.wait(reads_all_over(connection), after=mark)
        assert order(session, ZERO, Purpose.ZERO).next().kind is OutcomeKind.SUCCESS
    rtac.wait(reads_all_over(3))
    last = order(session, ZERO, Purpose.ZERO)
    assert core.wait(OutputHeld).cause
    assert last.next().kind is OutcomeKind.FAILED  # opendnp3's own limit, 2 r; the core tries again
    assert core.wait(OutputHeld, lambda told: told.cause == "").asset == "bess-1"
    assert {one.connection for one in rtac.asked} == {1, 2, 3}


def test_a_heartbeat_behind_a_long_read_is_given_back_when_its_time_is_over(
    rtac: RawRtac, session_to: Sessions, core: Recorder
) -> None:
    session = session_to(rtac.port, response_timeout_s=10, **QUIET)
    core.wait(SessionUp)
    begin_a_read(session, rtac)
    answers, by = Answers(), clock.now().mono_s + 0.3
    session.operate([BEAT], sbo=False, done=answers.put.put, by=by, purpose=Purpose.BEAT)
    outcome = answers.next()
    assert outcome.kind is OutcomeKind.FAILED
    assert "too late" in outcome.cause
    assert clock.now().mono_s < by + 5  # a stop that the core holds behind it waits no longer
    assert not any(writes(7)(one) for one in rtac.asked)
