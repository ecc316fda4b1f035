"""Section 6, execution: scripts of what happens, and every sequence of outcomes there is."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.control.commands.reasons import ResultState
from gateway.control.execution.job import (
    Aftermath,
    ControlAnswered,
    FeedbackDiffered,
    Finish,
    PowerDeviated,
    ReadFeedback,
    SendControl,
    TellCloud,
    other_job,
)
from gateway.control.execution.plan import PlanError
from gateway.control.execution.progress import JobPhase
from gateway.control.rules.limits import Ceiling
from gateway.control.rules.percent_base import Base
from gateway.measured import Quality
from gateway.ports import CrobOp, OutcomeKind, Stage
from tests.fixtures.control import (
    ENABLE,
    PERCENT,
    POWER,
    RAMP,
    RESERVE,
    RESET,
    REVERSION,
    SPLIT,
    command,
    control_map,
    measured,
)
from tests.fixtures.execution import (
    NO_ANSWER,
    NO_SELECT,
    NOT_SENT,
    SUCCESS,
    Drive,
    job,
    refused,
)

if TYPE_CHECKING:
    from gateway.ports import Outcome

FULL = control_map(POWER, ENABLE, REVERSION, RAMP)
LATCH_ON = CrobOp.LATCH_ON


def idled(cause: str, aftermath: Aftermath = Aftermath.IDLE) -> Finish:
    return Finish(aftermath, cause)


# --- the course of things --------------------------------------------------------------------


def test_reversion_ramp_setpoint_mode_feedback_power_in_this_order() -> None:
    drive = Drive(job(FULL)).begin()
    assert drive.writes == [("AO2", 60.0)]
    for _ in range(4):
        drive.answer()
    assert drive.writes == [
        ("AO2", 60.0),
        ("AO3", 1_000_000_000),
        ("AO0", 500_000),
        ("BO0", LATCH_ON),
    ]
    assert drive.phase is JobPhase.ECHO
    assert drive.look().phase is JobPhase.POWER
    drive.power_w = 500_000.0
    assert drive.look().phase is JobPhase.HOLDING
    assert drive.told == ["accepted", "executing", "succeeded"]
    assert drive.finish is None


def test_the_maps_own_order_counts() -> None:
    mapped = control_map(POWER, ENABLE, REVERSION, order=("mode_enable", "setpoint"))
    drive = Drive(job(mapped)).succeed()
    assert drive.writes == [("BO0", LATCH_ON), ("AO0", 500_000)]


def test_no_output_before_the_command_is_remembered() -> None:
    drive = Drive(job())
    for _ in range(10):
        drive.look()
    drive.limit(1e5, 1e5)
    assert drive.writes == []
    assert drive.begin().setpoints == [1e5]


def test_a_command_that_is_remembered_twice_is_carried_out_once() -> None:
    drive = Drive(job()).begin().begin()
    assert drive.setpoints == [500_000]
    drive = Drive(job()).succeed().begin()
    assert drive.setpoints == [500_000]
    assert drive.told == ["accepted", "executing", "succeeded"]


def test_a_job_above_the_ceiling_is_clamped_before_anything_is_written() -> None:
    assert Drive(job(), Ceiling(1e5, 2e5)).begin().setpoints == [2e5]


def test_no_output_after_expiry() -> None:
    drive = Drive(job())
    drive.now_s = 60.1
    assert drive.begin().writes == []
    assert drive.told == ["accepted", "expired:expired"]


def test_the_dispatch_ends_with_its_duration_and_idles() -> None:
    drive = Drive(job(durationS=100)).succeed()
    assert drive.executor.wake_at == 100.0
    assert drive.look(99.0 - drive.now_s).finish is None
    assert drive.look(1.0).finish == idled("duration")
    assert drive.told[-1] == "succeeded"
    assert drive.phase is JobPhase.OVER


def test_a_duration_that_ends_before_it_was_verified_is_a_failure() -> None:
    drive = Drive(job(durationS=3)).begin().look(3.0)
    assert drive.finish == idled("duration")
    assert drive.told[-1] == "failed:duration"


def test_the_duration_runs_from_acceptance_however_late_the_store_is() -> None:
    drive = Drive(job(durationS=30))
    drive.now_s = 31.0
    assert drive.begin().writes == []


# --- outcomes --------------------------------------------------------------------------------


def at_setpoint(mapped: bool = False) -> Drive:  # noqa: FBT002 - a test's choice
    drive = Drive(
        job(control_map(POWER, ENABLE, op_setpoint="sbo") if mapped else control_map(POWER, ENABLE))
    )
    return drive.begin()


def test_no_answer_to_select_is_selected_once_more() -> None:
    drive = at_setpoint(mapped=True).answer(NO_SELECT)
    assert drive.setpoints == [500_000, 500_000]
    drive.answer(NO_SELECT)
    assert drive.finish == idled("no_answer")
    assert len(drive.setpoints) == 2


def test_an_unknown_outcome_is_read_back_and_goes_on_if_the_echo_shows_it() -> None:
    drive = at_setpoint().answer(NO_ANSWER)
    assert isinstance(drive.orders[-1], ReadFeedback)
    drive.show()
    drive.read()
    assert drive.setpoints == [500_000]
    assert drive.writes[-1] == ("BO0", LATCH_ON)


@pytest.mark.parametrize("ok", [True, False])
def test_an_unknown_outcome_that_the_echo_does_not_show_idles(ok: bool) -> None:
    drive = at_setpoint().answer(NO_ANSWER)
    if not ok:
        drive.show()  # an old reading is no proof: the read must have succeeded
    drive.read(ok=ok)
    assert drive.finish == idled("unknown_outcome")
    assert drive.told[-1] == "failed:unknown_outcome"
    assert drive.setpoints == [500_000]


def test_a_read_that_never_ends_idles() -> None:
    drive = at_setpoint().answer(NO_ANSWER).look(4.9)
    assert drive.finish is None
    assert drive.look(0.1).finish == idled("unknown_outcome")


def test_an_outcome_that_never_comes_is_unknown() -> None:
    drive = at_setpoint().look(60.0)
    assert isinstance(drive.orders[-1], ReadFeedback)
    drive.answer(SUCCESS)
    assert drive.phase is JobPhase.READING
    assert drive.setpoints == [500_000]


@pytest.mark.parametrize("number", [1, 2])
def test_a_select_that_timed_out_is_one_full_sbo_again(number: int) -> None:
    drive = at_setpoint().answer(refused(number))
    again = drive.orders[-1]
    assert isinstance(again, SendControl)
    assert again.sbo
    assert drive.answer(refused(number)).finish == idled(f"refused:STATUS_{number}")
    assert len(drive.setpoints) == 2


@pytest.mark.parametrize("number", [5, 14])
def test_already_done_is_verified_by_feedback(number: int) -> None:
    drive = at_setpoint().answer(refused(number))
    drive.show()
    assert drive.read().writes[-1] == ("BO0", LATCH_ON)


@pytest.mark.parametrize(
    ("number", "aftermath"),
    [
        (6, Aftermath.IDLE),
        (7, Aftermath.LOCAL),
        (13, Aftermath.LOCAL),
        (9, Aftermath.YIELD),
        (15, Aftermath.YIELD),
        (17, Aftermath.YIELD),
        (3, Aftermath.SUSPECT),
        (4, Aftermath.SUSPECT),
        (12, Aftermath.SUSPECT),
        (8, Aftermath.IDLE),
        (10, Aftermath.IDLE),
        (11, Aftermath.IDLE),
        (18, Aftermath.IDLE),
    ],
)
def test_each_refusal_ends_the_command_as_the_table_says(number: int, aftermath: Aftermath) -> None:
    drive = at_setpoint().answer(refused(number))
    assert drive.finish == idled(f"refused:STATUS_{number}", aftermath)
    assert drive.told[-1] == f"failed:refused:STATUS_{number}"
    assert drive.setpoints == [500_000]


def test_what_was_not_sent_fails() -> None:
    assert at_setpoint().answer(NOT_SENT).finish == idled("failed")


def test_an_answer_to_something_older_is_ignored() -> None:
    drive = at_setpoint()
    before = drive.executor
    assert before.handle(ControlAnswered(99, SUCCESS), 1.0) == (before, ())


# --- verification ----------------------------------------------------------------------------


def test_a_feedback_that_does_not_follow_in_5_s_fails_and_is_told_to_the_map() -> None:
    drive = Drive(job()).begin().answer(shows=False).answer()
    drive.echoes["AI8"] = measured(0.0)
    assert drive.look(4.9).finish is None
    drive.look(0.1)
    assert drive.finish == idled("feedback")
    assert FeedbackDiffered("AI8", 500_000.0) in drive.orders


def test_a_feedback_that_was_not_read_since_accuses_no_map_and_has_10_s_more() -> None:
    drive = Drive(job()).begin().answer(shows=False).answer()
    for _ in range(14):
        assert drive.look(1.0).finish is None
    drive.look(1.5)
    assert drive.finish == idled("feedback_unread")
    assert not [one for one in drive.orders if isinstance(one, FeedbackDiffered)]


def held(power_w: float = 500_000.0) -> Drive:
    """A dispatch that is verified and in force; its measured power is then ``power_w``."""
    drive = Drive(job()).begin().answer().answer()
    drive.power_w = 500_000.0
    drive.look()
    assert drive.executor.phase is JobPhase.HOLDING
    drive.look(40.0)
    drive.power_w = power_w
    return drive


@pytest.mark.parametrize("power_w", [1_900_000.0, -1_900_000.0, -400_000.0])
def test_power_beyond_the_limit_or_the_other_way_ends_a_dispatch_after_10_s(
    power_w: float,
) -> None:
    drive = held(power_w)
    for _ in range(10):
        assert drive.look(1.0).finish is None
    assert drive.look(1.0).finish == idled("power")


def test_power_that_is_off_for_30_s_is_told_once_and_the_dispatch_goes_on() -> None:
    drive = held(430_000.0)
    for _ in range(100):
        drive.look(1.0)
    assert drive.finish is None
    told = [one for one in drive.orders if isinstance(one, PowerDeviated)]
    assert told == [PowerDeviated(430_000.0, 500_000.0)]


def test_power_that_is_off_for_less_is_not_told() -> None:
    drive = held(430_000.0)
    for power_w in (430_000.0, 500_000.0) * 5:
        drive.power_w = power_w
        drive.look(20.0)
    assert drive.finish is None
    assert not [one for one in drive.orders if isinstance(one, PowerDeviated)]


def test_power_that_does_not_follow_within_30_s_fails() -> None:
    drive = Drive(job()).begin().answer().answer().look()
    drive.power_w = 400_000.0
    assert drive.look(29.0).finish is None
    assert drive.look(1.0).finish == idled("power")


def test_the_ramp_of_the_rtac_is_waited_for() -> None:
    drive = Drive(job(FULL, ramp=1e4)).begin()
    while drive.executor.now.queue:
        drive.answer()
    assert drive.setpoints == [500_000]
    assert drive.look().look(79.0).finish is None
    assert drive.look(1.0).finish == idled("power")


@pytest.mark.parametrize(
    ("measured_w", "follows"),
    [(500_000, True), (540_000, True), (459_999, False), (-500_000, False), (None, False)],
)
def test_power_must_follow_within_5_percent_or_2_dead_bands(
    measured_w: float | None, follows: bool
) -> None:
    drive = Drive(job()).begin().answer().answer()
    drive.power_w = measured_w
    assert (drive.look().phase is JobPhase.HOLDING) is follows


def test_an_echo_that_moves_away_for_3_s_is_a_preemption() -> None:
    for yields, aftermath in ((True, Aftermath.YIELD), (False, Aftermath.IDLE)):
        drive = Drive(job(yields=yields)).succeed()
        drive.echoes["AI8"] = measured(100_000.0)
        assert drive.look().look(2.9).finish is None
        assert drive.look(0.1).finish == idled("preempted", aftermath)
        assert drive.told[-1] == "aborted:preempted"


def test_an_echo_that_comes_back_or_cannot_be_read_is_no_preemption() -> None:
    drive = Drive(job()).succeed()
    for value in (measured(1.0), measured(500_000.0), measured(1.0), measured(1.0, Quality.STALE)):
        drive.echoes["AI8"] = value
        drive.look(2.9)
    assert drive.finish is None


# --- ramps and limits ------------------------------------------------------------------------


def ramp(drive: Drive, seconds: float) -> None:
    """Let time pass; every write is accepted and echoed at once."""
    for _ in range(round(seconds / 0.25)):
        while drive.executor.now.queue:
            drive.answer()
        drive.look()


def test_a_ramp_is_stepped_2_s_apart_and_the_mode_enabled_after_the_first_step() -> None:
    drive = Drive(job(ramp=1e5)).begin()
    assert drive.setpoints == [200_000]
    ramp(drive, 10.0)
    assert drive.setpoints == [200_000, 400_000, 500_000]
    assert [point for point, _ in drive.writes] == ["AO0", "BO0", "AO0", "AO0"]


def test_a_ramp_may_be_slower_than_the_sites_and_not_faster() -> None:
    assert Drive(job(ramp=1e5, rampWPerS=50_000)).begin().setpoints == [100_000]
    assert Drive(job(ramp=1e5, rampWPerS=900_000)).begin().setpoints == [200_000]


def test_ramp_points_carry_the_sites_ramp_and_a_slower_one_is_stepped() -> None:
    site, slower = job(FULL, ramp=1e5), job(FULL, ramp=1e5, rampWPerS=50_000)
    for one in (site, slower):
        assert [write.expected for write in one.before if write.role == "cmd_ramp"] == [1e5]
    assert (site.ramp_w_per_s, slower.ramp_w_per_s) == (None, 50_000)
    assert slower.rtac_ramp_s == 0
    drive = Drive(slower).begin()
    ramp(drive, 4.0)
    assert drive.setpoints == [100_000, 200_000, 300_000]


def test_a_ramp_goes_from_what_is_in_force_through_zero() -> None:
    drive = Drive(job(ramp=1e5, applied_w=-300_000.0, start_w=300_000.0)).begin()
    ramp(drive, 10.0)
    assert drive.setpoints == [100_000, -100_000, -300_000]


def test_a_ramp_waits_for_its_echo_and_fights_nobody() -> None:
    drive = Drive(job(ramp=1e5)).begin().answer().answer()
    drive.echoes["AI8"] = measured(0.0)
    drive.look(2.0).look(2.9)
    assert drive.setpoints == [200_000]
    assert drive.executor.wake_at > drive.now_s
    assert drive.look(0.3).finish == idled("feedback")


def test_limits_that_shrink_reclamp_and_limits_that_grow_give_nothing_back() -> None:
    drive = Drive(job()).succeed()
    drive.look(5.0).limit(1e6, 300_000.0)
    assert drive.setpoints == [500_000, 300_000]
    assert drive.told[-1] == "succeeded:limit"
    drive.answer()
    drive.power_w = 300_000.0
    drive.look().limit(1e6, 1.8e6)
    drive.look(5.0)
    assert drive.setpoints == [500_000, 300_000]
    assert drive.phase is JobPhase.HOLDING


def test_limits_that_shrink_to_nothing_idle() -> None:
    drive = Drive(job()).succeed().limit(1e6, 0.0)
    assert drive.finish == idled("limit")
    assert drive.told[-1] == "aborted:limit"
    assert drive.setpoints == [500_000]


def test_limits_that_shrink_while_a_setpoint_is_out_reclamp_before_the_mode_is_enabled() -> None:
    drive = Drive(job()).begin().limit(1e6, 300_000.0).answer()
    assert drive.phase is JobPhase.STEPPING
    assert drive.writes == [("AO0", 500_000)]
    drive.look(2.0)
    assert drive.writes[-1] == ("AO0", 300_000)
    assert drive.answer().writes[-1] == ("BO0", LATCH_ON)


def test_a_retry_above_the_new_limit_is_not_sent() -> None:
    drive = Drive(job()).begin().limit(1e6, 300_000.0).answer(refused(1))
    assert drive.finish == idled("limit")
    assert drive.setpoints == [500_000]


def test_the_second_half_of_a_split_setpoint_above_the_new_limit_is_not_sent() -> None:
    drive = Drive(job(control_map(*SPLIT, method="split"))).begin()
    assert drive.limit(1e6, 300_000.0).answer().finish == idled("limit")
    assert drive.writes == [("AO0", 0)]


def test_the_other_direction_of_a_split_setpoint_is_zeroed_once_by_each_command() -> None:
    drive = Drive(job(control_map(*SPLIT, method="split"))).succeed()
    drive.limit(1e6, 300_000.0).look(2.0).answer().limit(1e6, 200_000.0).look(2.0)
    assert [point for point, _ in drive.writes] == ["AO0", "AO1", "AO1", "AO1"]
    crossing = Drive(job(control_map(*SPLIT, method="split"), start_w=-4e5)).begin()
    assert crossing.writes == [("AO0", 0)]


def test_split_and_percent_setpoints_are_verified_by_their_own_echoes() -> None:
    drive = Drive(job(control_map(*SPLIT, method="split"))).succeed()
    assert drive.phase is JobPhase.HOLDING
    percent = control_map(PERCENT, ENABLE, method="percent", base="max_power")
    drive = Drive(job(percent)).succeed()
    assert drive.writes[0] == ("AO0", 250)
    assert drive.phase is JobPhase.HOLDING


@given(
    target=st.floats(-1.5e6, 1.5e6),
    start=st.floats(-1.5e6, 1.5e6),
    rate=st.floats(1e4, 1e6),
    moves=st.lists(st.tuples(st.floats(0, 1.5e6), st.floats(0, 1.5e6)), max_size=4),
)
def test_every_setpoint_is_inside_the_envelope_and_2_s_after_the_last(
    target: float, start: float, rate: float, moves: list[tuple[float, float]]
) -> None:
    drive = Drive(job(applied_w=target, start_w=start, ramp=rate, durationS=400)).begin()
    at: list[float] = []
    for turn in range(90):
        before = len(drive.setpoints)
        if turn % 30 == 29 and moves:
            drive.limit(*moves.pop())
        drive.look()
        while drive.executor.now.queue and drive.phase is JobPhase.WRITING:
            drive.answer()
        for setpoint_w in drive.setpoints[before:]:
            assert drive.executor.now.ceiling.clamp(setpoint_w) == setpoint_w
            at.append(drive.now_s)
    assert all(later - earlier >= 2.0 for earlier, later in pairwise(at))


# --- the end by others -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "told"),
    [(ResultState.ABORTED, "aborted:lease"), (ResultState.SUPERSEDED, "superseded:lease")],
)
def test_a_command_ended_by_others_writes_nothing_more_and_resumes_nothing(
    state: ResultState, told: str
) -> None:
    for drive in (Drive(job()), Drive(job()).begin(), Drive(job()).succeed()):
        drive.end(state, "lease")
        assert drive.told[-1] == told
        writes = list(drive.writes)
        drive.begin().look(5.0).limit(1e5, 1e5).read()
        assert drive.writes == writes
        assert drive.executor.wake_at == float("inf")


# --- what is not power -----------------------------------------------------------------------


def other(verb: str, **params: int | str) -> Drive:
    mapped = control_map(POWER, ENABLE, RESERVE, RESET)
    asked = command(verb, **params)
    return Drive(other_job(asked, expires_at=60.0, points_map=mapped, of=Base(None, None)))


def test_a_reserve_is_written_and_verified() -> None:
    drive = other("reserve", percent=25).begin().answer().look()
    assert drive.writes == [("AO4", 25)]
    assert drive.told == ["accepted", "executing", "succeeded"]
    assert drive.finish is None


def test_a_mode_is_enabled_and_verified() -> None:
    drive = other("mode", name="cmd_mode_enable").begin().answer().look()
    assert drive.writes == [("BO0", LATCH_ON)]
    assert drive.told[-1] == "succeeded"


def test_a_mode_that_the_map_does_not_name_cannot_be_planned() -> None:
    with pytest.raises(PlanError, match="mode 'island'"):
        other("mode", name="island")
    assert other("mode", name="mode_enabled").begin().writes == [("BO0", LATCH_ON)]


def test_a_reserve_that_is_refused_fails_and_idles_nothing() -> None:
    drive = other("reserve", percent=25).begin().answer(refused(8))
    assert drive.told[-1] == "failed:refused:STATUS_8"
    assert drive.finish is None


def test_a_reset_is_a_pulse_that_goes_once() -> None:
    for outcome in (NO_SELECT, NO_ANSWER, refused(1), refused(2), refused(5)):
        drive = other("alarm_reset").begin().answer(outcome)
        assert len(drive.writes) == 1
        assert drive.phase is JobPhase.OVER
    drive = other("alarm_reset").begin().answer().look()
    assert drive.told[-1] == "succeeded"


# --- every sequence there is -----------------------------------------------------------------

_OUTCOMES = (
    SUCCESS,
    NO_SELECT,
    NO_ANSWER,
    NOT_SENT,
    *(refused(number) for number in (1, 3, 5, 7, 8, 9, 127)),
)


Sent = tuple[str, object]


class Explorer:
    """Walks through every sequence of outcomes, reads and looks, and counts them."""

    def __init__(self) -> None:
        self.paths = 0

    def walk(self, drive: Drive, unknown: dict[Sent, int], retries: int) -> None:
        """Go on from ``drive``.

        Args:
            drive: so far.
            unknown: controls whose outcome is unknown, and how often each had been sent by then.
            retries: that the table allowed.
        """
        _check(drive, unknown, retries)
        phase = drive.phase
        if phase is JobPhase.OVER or phase is JobPhase.HOLDING:
            self.paths += 1
            _check_end(drive)
        elif phase is JobPhase.WRITING:
            write = drive.executor.now.queue[0]
            control = (write.control.point, write.control.value)
            for outcome in _OUTCOMES:
                lost = unknown
                if _is_unknown(outcome):
                    lost = unknown | {control: drive.writes.count(control)}
                after = copy.copy(drive)
                after.orders, after.echoes = list(drive.orders), dict(drive.echoes)
                first = len(after.writes)
                after.answer(outcome)
                again = after.writes[first:] == [control]
                self.walk(after, lost, retries + again)
        else:
            for turn in range(3):
                after = copy.copy(drive)
                after.orders, after.echoes = list(drive.orders), dict(drive.echoes)
                if phase is JobPhase.READING:
                    if turn != 1:
                        after.show()
                    after.read(ok=turn != 2)
                else:
                    after.power_w = 500_000.0 if turn == 0 else 0.0
                    if turn == 2:
                        after.echoes["AI8"] = measured(1.0)
                    after.look(60.0)
                self.walk(after, unknown, retries)


def _is_unknown(outcome: Outcome) -> bool:
    named = outcome.kind is OutcomeKind.REFUSED and outcome.statuses[-1].number in (0, 16, 127)
    return named or (outcome.kind is OutcomeKind.NO_ANSWER and outcome.stage is Stage.OPERATE)


def _check(drive: Drive, unknown: dict[Sent, int], retries: int) -> None:
    for control, count in unknown.items():
        assert drive.writes.count(control) == count, "an unknown outcome was resent"
    assert len([power_w for power_w in drive.setpoints if power_w]) <= 1 + retries
    for control in set(drive.writes):
        assert drive.writes.count(control) <= 2


def _check_end(drive: Drive) -> None:
    reports = [order for order in drive.orders if isinstance(order, TellCloud)]
    assert reports[-1].state.final
    assert sum(report.state.final for report in reports) == 1
    failed = reports[-1].state is ResultState.FAILED
    assert failed is (drive.finish is not None)


def test_every_sequence_of_outcomes_writes_once_and_resends_no_unknown_outcome() -> None:
    mapped = control_map(POWER, ENABLE, REVERSION, op_setpoint="sbo")
    explorer = Explorer()
    explorer.walk(Drive(job(mapped)).begin(), {}, 0)
    assert explorer.paths > 3_000


def test_a_control_with_an_unknown_outcome_is_never_the_next_to_be_sent() -> None:
    """The strict form: from the unknown outcome on, that control is not sent any more."""
    for before in ((), (refused(1),), (NO_SELECT,)):
        for unknown in (NO_ANSWER, refused(0), refused(16), refused(127)):
            for shows in (True, False):
                drive = Drive(job(control_map(POWER, ENABLE, op_setpoint="sbo"))).begin()
                for outcome in (*before, unknown):
                    drive.answer(outcome)
                count = len(drive.setpoints)
                if shows:
                    drive.show()
                drive.read()
                for _ in range(3):
                    drive.answer().look(2.0)
                assert len(drive.setpoints) == count
