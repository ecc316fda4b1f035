"""Scripts of (second, event, expected orders), and invariants."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.field.dnp3 import words as w
from gateway.field.dnp3.supervise import handle
from gateway.field.dnp3.words import (
    Attributes,
    Instant,
    Request,
    SessionPhase,
    SessionPlan,
    SessionState,
    TaskEnded,
)

PLAN = SessionPlan(
    outstation_address=10,
    master_address=1,
    response_timeout_s=3,
    event_poll_s=2,
    integrity_poll_s=300,
    critical_poll_s=5,
    link_check_s=10,
    unsolicited=True,
    time_sync=True,
)
OVERFLOW, RESTART, NEED_TIME = 0x0800, 0x0080, 0x0010


def ended(task: str = "request", *, ok: bool = True, answered: bool = True) -> TaskEnded:
    return TaskEnded(task, ok, answered, "" if ok else "why")


class Script:
    """Feeds one machine; ``at`` is monotonic, ``heard`` the last response's second."""

    def __init__(self, plan: SessionPlan = PLAN, *, luck: float = 0.0) -> None:
        self.plan, self.luck, self.heard = plan, luck, -1.0
        self.waiting, self.urgent_s, self.stop_s = 0, math.inf, math.inf
        self.first = False  # what waits goes before any read
        self.state = SessionState()

    def __call__(self, at: float, event: w.Event) -> list[w.Order]:
        self.waiting += isinstance(event, w.OperateAsked)
        first = self.waiting > 0 and (self.first or self.urgent_s < math.inf)
        instant = Instant(
            at, self.heard, self.luck, self.waiting, self.urgent_s, first, self.stop_s
        )
        self.state, orders = handle(self.state, event, instant, self.plan)
        for order in orders:
            if order == Request("operate"):
                self.waiting -= 1
            elif isinstance(order, w.FailOperations) and not order.keep:
                self.waiting = 0
        return list(orders)

    def zero(self, at: float) -> list[w.Order]:
        """A zero is asked for."""
        self.urgent_s = at
        return self(at, w.OperateAsked())

    def up(self, at: float = 0.0) -> Script:
        """To UP at second ``at``, quiet: the first event poll and attributes are done."""
        self(at, w.Started())
        self(at, w.TcpOpened())
        self.heard = at
        self(at, ended("startup"))
        self(at, ended())
        self(at, ended())
        assert (self.state.phase, self.state.busy) == (SessionPhase.UP, "")
        return self


def reading() -> Script:
    """Up, and an integrity poll is under way since second 300."""
    run = Script(replace(PLAN, event_poll_s=9999, critical_poll_s=None, link_check_s=9999)).up()
    assert run(300, w.Ticked()) == [Request("integrity")]
    run.heard = 300
    return run


def test_a_session_starts_by_connecting() -> None:
    assert Script()(0, w.Started()) == [w.Connect()]


def test_up_is_told_after_the_first_integrity_poll_and_the_backlog_is_read_at_once() -> None:
    run = Script()
    run(0, w.Started())
    assert run(0.1, w.TcpOpened()) == []
    run.heard = 0.2
    assert run(0.2, ended("startup")) == [
        w.TellPoll("startup", ok=True, cause=""),
        w.TellUp(),
        Request("event"),
    ]
    # only then do old times count as skewed, and attributes are read
    assert run(0.3, ended()) == [
        w.TellPoll("event", ok=True, cause=""),
        w.CountAges(),
        Request("attributes"),
    ]


def test_polls_come_at_their_periods_one_at_a_time_the_important_first() -> None:
    run = Script().up()
    assert run(1.9, w.Ticked()) == []
    assert run(2.0, w.Ticked()) == [Request("event")]
    assert run(5.0, w.Ticked()) == []  # the event poll is still under way
    assert run(5.1, ended()) == [w.TellPoll("event", ok=True, cause=""), Request("critical")]
    assert run(5.2, ended()) == [w.TellPoll("critical", ok=True, cause=""), Request("event")]


def test_an_integrity_poll_reads_the_events_too() -> None:
    run = Script(replace(PLAN, event_poll_s=60, critical_poll_s=None, link_check_s=999)).up()
    assert run(60, w.Ticked()) == [Request("event")]
    run(60, ended())
    assert run(300, w.Ticked()) == [Request("integrity")]
    assert run(301, ended()) == [w.TellPoll("integrity", ok=True, cause="")]


def test_a_failed_integrity_poll_is_repeated_after_30_seconds() -> None:
    run = Script(replace(PLAN, event_poll_s=9999, critical_poll_s=None, link_check_s=9999)).up()
    run(300, w.Ticked())
    run(303, ended(ok=False))
    assert run(332.9, w.Ticked()) == []
    assert run(333, w.Ticked()) == [Request("integrity")]


def test_without_critical_points_asking_for_them_is_answered_at_once() -> None:
    run = Script(replace(PLAN, critical_poll_s=None)).up()
    assert run(1, w.PollAsked("critical")) == [
        w.TellPoll("critical", ok=True, cause="no critical points")
    ]


def test_a_poll_asked_for_while_there_is_no_session_fails_at_once() -> None:
    assert Script()(0, w.PollAsked("integrity")) == [
        w.TellPoll("integrity", ok=False, cause="not connected")
    ]


# --- indications -------------------------------------------------------------------------------


def test_an_event_buffer_overflow_orders_an_integrity_poll_and_again_while_it_stays() -> None:
    run = Script(replace(PLAN, event_poll_s=999, critical_poll_s=None, link_check_s=999)).up()
    assert run(1, w.IinSeen(OVERFLOW)) == [w.TellIin(OVERFLOW), Request("integrity")]
    run(1.1, ended())
    assert run(2, w.IinSeen(OVERFLOW | 0x0E)) == []  # no storm
    assert run(11, w.Ticked()) == [Request("integrity")]
    run(11.1, ended())
    run(12, w.IinSeen(0))
    assert run(30, w.Ticked()) == []


def test_a_restart_is_acknowledged_and_everything_read_and_enabled_anew() -> None:
    run = Script().up()
    assert run(1, w.IinSeen(RESTART)) == [w.TellIin(RESTART), Request("clear_restart")]
    assert run(1.1, w.IinSeen(0)) == [w.TellIin(0)]
    assert run(1.1, ended()) == [Request("integrity")]
    assert run(1.2, ended()) == [
        w.TellPoll("integrity", ok=True, cause=""),
        Request("unsolicited"),
    ]
    assert run(1.3, ended()) == []


def test_a_restart_seen_before_the_startup_poll_only_needs_acknowledging() -> None:
    run = Script()
    run(0, w.Started())
    run(0, w.TcpOpened())
    assert run(0.1, w.IinSeen(RESTART)) == [w.TellIin(RESTART)]
    assert run(0.2, ended("startup"))[-1] == Request("clear_restart")
    run(0.3, w.IinSeen(0))
    assert run(0.3, ended()) == [Request("event")]


def test_a_restart_indication_that_never_goes_is_no_storm() -> None:
    run = Script(replace(PLAN, event_poll_s=999, critical_poll_s=None, link_check_s=999)).up()
    integrity = 0
    for tenth in range(10, 310):
        at = tenth / 10
        iin = RESTART if tenth % 2 else 0  # it comes back after every acknowledgement
        orders = [*run(at, w.IinSeen(iin)), *(run(at, ended()) if run.state.busy else [])]
        integrity += orders.count(Request("integrity"))
    assert integrity == 3


def test_time_is_set_when_asked_for_and_every_10_seconds_at_most() -> None:
    run = Script(replace(PLAN, event_poll_s=999, critical_poll_s=None, link_check_s=999)).up()
    assert run(1, w.IinSeen(NEED_TIME)) == [w.TellIin(NEED_TIME), Request("time")]
    assert run(1.1, ended()) == []
    run(1.2, w.IinSeen(0))
    assert run(1.3, w.IinSeen(NEED_TIME)) == [w.TellIin(NEED_TIME)]
    assert run.state.look_at_s == 11
    assert run(11, w.Ticked()) == [Request("time")]
    assert run(11.1, ended(ok=False)) == []
    assert run(20.9, w.Ticked()) == []
    run(20.9, w.IinSeen(0))
    assert run(30, w.Ticked()) == []


def test_time_is_not_set_where_the_site_does_not_want_it() -> None:
    run = Script(replace(PLAN, time_sync=False)).up()
    assert run(1, w.IinSeen(NEED_TIME)) == [w.TellIin(NEED_TIME)]


def test_waiting_events_alone_are_no_news() -> None:
    run = Script().up()
    assert run(1, w.IinSeen(0x0E)) == []
    assert run(1, w.IinSeen(0x20)) == [w.TellIin(0x20)]


def test_an_indication_that_went_while_there_was_no_connection_is_told_as_gone() -> None:
    run = Script().up()
    local = 0x20
    assert run(1, w.IinSeen(local)) == [w.TellIin(local)]
    run(2, w.TcpClosed())
    run(4, w.Ticked())
    run(4, w.TcpOpened())
    assert run(4.1, w.IinSeen(0x0E)) == [w.TellIin(0x0E)]
    assert run(4.2, w.IinSeen(0)) == []


def test_a_restart_that_is_indicated_over_a_new_connection_is_told_again() -> None:
    run = Script().up()
    assert w.TellIin(RESTART) in run(1, w.IinSeen(RESTART))
    run(2, w.TcpClosed())
    run(4, w.Ticked())
    run(4, w.TcpOpened())
    assert run(4.1, w.IinSeen(RESTART)) == [w.TellIin(RESTART)]


def test_unsolicited_off_is_said_after_each_time_opendnp3_switched_it_on() -> None:
    run = Script(replace(PLAN, unsolicited=False)).up()
    assert run(0.5, ended("enable_unsolicited")) == [Request("quiet")]
    assert run(0.6, ended()) == []
    assert Script().up()(0.5, ended("enable_unsolicited")) == []


# --- what goes wrong ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("Connection refused", "refused: Connection refused"),
        ("No route to host", "unreachable: No route to host"),
        ("Host not found (authoritative)", "unreachable: Host not found (authoritative)"),
    ],
)
def test_a_connection_that_fails_is_told_once_per_cause(text: str, cause: str) -> None:
    run = Script()
    run(0, w.Started())
    assert run(0.1, w.ConnectFailed(text)) == [w.TellDown(cause), w.Disconnect()]
    assert run(1.1, w.Ticked()) == [w.Connect()]
    assert run(1.2, w.ConnectFailed(text)) == [w.Disconnect()]
    assert run(2.2, w.Ticked()) == [w.Connect()]
    assert run(2.3, w.ConnectFailed("Network is unreachable")) == [
        w.TellDown("unreachable: Network is unreachable"),
        w.Disconnect(),
    ]


def test_a_connection_request_that_nothing_answers_ends_after_10_seconds() -> None:
    run = Script()
    run(0, w.Started())
    assert run.state.look_at_s == 10
    (notice, dropped) = run(10, w.Ticked())
    assert isinstance(notice, w.TellDown)
    assert notice.cause.startswith("unreachable")
    assert dropped == w.Disconnect()


def test_a_silent_peer_is_given_up_after_two_response_timeouts() -> None:
    run = Script()
    run(0, w.Started())
    run(0, w.TcpOpened())
    assert run(6.9, w.Ticked()) == []
    (notice, _) = run(7, w.Ticked())
    assert isinstance(notice, w.TellDown)
    assert "no answer from outstation address 10" in notice.cause


def test_an_answer_from_another_link_address_names_both() -> None:
    run = Script()
    run(0, w.Started())
    run(0, w.TcpOpened())
    run(1, w.StraySeen(11, 1))
    (notice, _) = run(7, w.Ticked())
    assert isinstance(notice, w.TellDown)
    assert notice.cause.startswith("wrong link address: the outstation is 11 ")


def test_a_peer_that_hangs_up_at_once_says_so() -> None:
    run = Script()
    run(0, w.Started())
    run(0.1, w.TcpOpened())
    (notice, _) = run(0.2, w.TcpClosed())
    assert isinstance(notice, w.TellDown)
    assert "another master" in notice.cause


def test_noise_is_named() -> None:
    run = Script()
    run(0, w.Started())
    run(0, w.TcpOpened())
    run(1, w.NoiseSeen("CRC failure in header"))
    (notice, _) = run(7, w.Ticked())
    assert notice == w.TellDown("not DNP3: CRC failure in header")


def test_an_outstation_that_answers_but_never_completes_the_startup_poll_is_given_up() -> None:
    run = Script()
    run(0, w.Started())
    run(0, w.TcpOpened())
    for second in range(1, 300):
        run.heard = second
        assert run(second, w.Ticked()) == []
    run.heard = 300
    (notice, _) = run(300, w.Ticked())
    assert isinstance(notice, w.TellDown)
    assert "no integrity poll succeeded" in notice.cause


def test_a_startup_poll_that_cannot_be_read_ends_the_connection() -> None:
    run = Script()
    run(0, w.Started())
    run(0, w.TcpOpened())
    (notice, _) = run(1, ended("startup", ok=False))
    assert notice == w.TellDown("the integrity poll failed: why")


def test_a_startup_poll_without_an_answer_is_opendnp3s_to_repeat() -> None:
    run = Script()
    run(0, w.Started())
    run(0, w.TcpOpened())
    assert run(3, ended("startup", ok=False, answered=False)) == []


def test_a_half_open_connection_is_found_in_two_link_checks() -> None:
    run = Script(replace(PLAN, event_poll_s=999, critical_poll_s=None)).up()
    assert run(10, w.Ticked()) == [w.CheckLink()]
    assert run(13, w.LinkChecked(ok=False)) == [w.CheckLink()]
    notice, dropped = run(16, w.LinkChecked(ok=False))
    assert isinstance(notice, w.TellDown)
    assert "half open" in notice.cause
    assert dropped == w.Disconnect()


def test_a_link_check_whose_answer_never_comes_counts_as_failed() -> None:
    run = Script(replace(PLAN, event_poll_s=999, critical_poll_s=None)).up()
    run(10, w.Ticked())
    assert run(17, w.Ticked()) == [w.CheckLink()]
    notice, _ = run(24, w.Ticked())
    assert isinstance(notice, w.TellDown)


def test_an_outstation_without_link_status_that_answers_reads_is_alive() -> None:
    run = Script(replace(PLAN, event_poll_s=999, critical_poll_s=None)).up()
    for second in range(10, 145, 14):
        assert run(second, w.Ticked()) == [w.CheckLink()]
        run.heard = second + 1
        assert run(second + 3, w.LinkChecked(ok=False)) == []
        assert run(second + 11, w.Ticked()) == []
        assert run.state.look_at_s == second + 13
        run.heard = second + 4


def test_a_link_is_checked_only_after_silence() -> None:
    run = Script(replace(PLAN, critical_poll_s=None)).up()
    for second in range(2, 100, 2):
        run.heard = second
        assert run(second, w.Ticked()) == [Request("event")]
        run(second + 0.1, ended())
    run.plan = replace(run.plan, event_poll_s=999)
    run.state = replace(run.state, event_at_s=999)
    assert run.state.look_at_s is not None
    assert run(107.9, w.Ticked()) == []
    assert run(108, w.Ticked()) == [w.CheckLink()]


def test_a_request_that_brings_nothing_for_2_r_and_a_second_ends_the_connection() -> None:
    run = reading()
    for second in range(301, 320):
        run.heard = second
        assert run(second, w.Ticked()) == []
    assert run(325.9, w.Ticked()) == []
    assert w.TellDown("silent: a request had no end in 26 s (integrity)") in run(326, w.Ticked())


def test_a_request_whose_fragments_go_on_coming_ends_after_300_s_with_its_connection() -> None:
    run = reading()
    for second in range(301, 600):
        run.heard = second
        assert run(second, w.Ticked()) == []
    run.heard = 600
    assert run(600, w.Ticked()) == [
        w.TellPoll(
            "integrity", ok=False, cause="silent: a request had no end in 300 s (integrity)"
        ),
        w.TellDown("silent: a request had no end in 300 s (integrity)"),
        w.Disconnect(),
    ]


def test_a_critical_poll_of_several_requests_lets_a_control_pass_between_them() -> None:
    run = Script(replace(PLAN, event_poll_s=999)).up()
    assert run(5, w.Ticked()) == [Request("critical")]
    run(5.1, w.OperateAsked())
    more = TaskEnded("request", ok=True, answered=True, cause="", more=True)
    assert run(5.2, more) == [Request("operate")]
    assert run(5.3, ended()) == [Request("rest")]
    assert run(5.4, ended()) == [w.TellPoll("critical", ok=True, cause="")]


def test_a_critical_poll_that_is_asked_for_is_made_whole() -> None:
    run = Script(replace(PLAN, event_poll_s=999)).up()
    run(5, w.Ticked())
    run(5.1, w.PollAsked("critical"))
    more = TaskEnded("request", ok=True, answered=True, cause="", more=True)
    assert run(5.2, more) == [Request("rest")]
    assert run(5.3, ended()) == [w.TellPoll("critical", ok=True, cause=""), Request("critical")]
    assert run(5.4, more) == [Request("rest")]
    assert run(5.5, ended()) == [w.TellPoll("critical", ok=True, cause="")]


ALL_EVENTS = Request("all_events")
REFUSED = TaskEnded("request", ok=True, answered=True, cause="why", refused=True)


def test_an_outstation_that_refuses_a_count_is_asked_for_all_events_on_this_connection() -> None:
    run = Script(replace(PLAN, critical_poll_s=None, link_check_s=999))
    run(0, w.Started())
    run(0, w.TcpOpened())
    assert run(0, ended("startup"))[-1] == Request("event")
    assert run(0.1, REFUSED) == [ALL_EVENTS]
    # one that lacks a class refuses this in part, too
    assert w.TellPoll("event", ok=True, cause="why") in run(0.2, REFUSED)
    run(0.3, ended())
    assert run(2, w.Ticked()) == [ALL_EVENTS]
    run(2.1, w.TcpClosed())
    run(4, w.Ticked())
    run(4, w.TcpOpened())
    assert run(4.1, ended("startup"))[-1] == Request("event")


def test_an_outstation_that_does_not_answer_the_first_read_of_a_count_is_asked_for_all() -> None:
    run = Script(replace(PLAN, critical_poll_s=None, link_check_s=999))
    run(0, w.Started())
    run(0, w.TcpOpened())
    run(0, ended("startup"))
    assert run(3, ended(ok=False, answered=False))[-1] == ALL_EVENTS
    run(3.1, ended())
    assert run.state.phase is SessionPhase.UP


def test_an_outstation_that_hangs_up_on_a_count_is_never_asked_for_one_again() -> None:
    run = Script()
    run(0, w.Started())
    run(0, w.TcpOpened())
    assert run(0, ended("startup"))[-1] == Request("event")
    run(0.1, w.TcpClosed())
    run(2, w.Ticked())
    run(2, w.TcpOpened())
    assert run(2.1, ended("startup"))[-1] == ALL_EVENTS


def test_events_are_read_again_at_once_while_there_are_more_and_controls_pass() -> None:
    run = Script(replace(PLAN, critical_poll_s=None)).up()
    more = TaskEnded("request", ok=True, answered=True, cause="", more=True)
    assert run(2, w.Ticked()) == [Request("event")]
    assert run(2.1, more) == [Request("event")]
    run(2.2, w.OperateAsked())
    assert run(2.3, more) == [Request("operate")]
    assert run(2.4, ended()) == [Request("event")]
    assert run(2.5, ended()) == [w.TellPoll("event", ok=True, cause="")]


def test_three_reads_without_an_answer_end_a_session_whose_link_still_answers() -> None:
    run = Script(replace(PLAN, critical_poll_s=None, link_check_s=999)).up()
    run(2, w.Ticked())
    run(5, ended(ok=False, answered=False))
    run(8, ended(ok=False, answered=False))
    orders = run(11, ended(ok=False, answered=False))
    assert w.TellDown("silent: 3 reads in a row were not answered") in orders
    assert orders[-1] == w.Disconnect()


def test_a_refused_read_is_an_answer() -> None:
    run = Script(replace(PLAN, critical_poll_s=None, link_check_s=999)).up()
    for second in range(2, 40, 2):
        run(second, w.Ticked())
        run(second + 1, ended(ok=False, answered=True))
    assert run.state.phase is SessionPhase.UP


def test_what_was_under_way_when_the_connection_ended_is_told_as_failed() -> None:
    run = Script().up()
    run(2, w.Ticked())
    notice, down, dropped = run(2.5, w.TcpClosed())
    assert isinstance(notice, w.TellPoll)
    assert (notice.kind, notice.ok) == ("event", False)
    assert isinstance(down, w.TellDown)
    assert dropped == w.Disconnect()
    assert run(2.6, ended()) == []  # the old connection's last word


def test_attributes_are_not_asked_for_again_after_they_broke_the_connection() -> None:
    run = Script()
    run(0, w.Started())
    run(0, w.TcpOpened())
    run(0, ended("startup"))
    run(0, ended())
    assert run.state.busy == "attributes"
    run(0.1, w.TcpClosed())
    run(2, w.Ticked())
    run(2, w.TcpOpened())
    assert run.state.attributes is Attributes.NEVER
    run(2, ended("startup"))
    assert Request("attributes") not in run(2, ended())


def test_attributes_that_were_read_are_read_again_on_the_next_connection() -> None:
    run = Script().up()
    run(1, w.TcpClosed())
    run(3, w.Ticked())
    run(3, w.TcpOpened())
    run(3, ended("startup"))
    assert Request("attributes") in run(3, ended())


# --- back-off ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("luck", "waits"), [(0.0, [1, 1, 1, 1, 1, 1, 1]), (1.0, [2, 4, 8, 16, 30, 30, 30])]
)
def test_back_off_grows_to_30_seconds_with_jitter_down_to_1(luck: float, waits: list[int]) -> None:
    run = Script(luck=luck)
    run(0, w.Started())
    at = 0.0
    for wait in waits:
        run(at, w.ConnectFailed("Connection refused"))
        assert run.state.look_at_s == at + wait
        assert run(at + wait - 0.01, w.Ticked()) == []
        at += wait
        assert run(at, w.Ticked()) == [w.Connect()]


def test_a_session_that_lived_starts_its_back_off_anew_and_one_that_flaps_does_not() -> None:
    run = Script(luck=1.0).up()
    run(1, w.TcpClosed())
    assert run.state.look_at_s == 3
    run(3, w.Ticked())
    run(3, w.TcpOpened())
    run(3, ended("startup"))
    run(4, w.TcpClosed())
    assert run.state.look_at_s == 8
    run(8, w.Ticked())
    run(8, w.TcpOpened())
    run(8, ended("startup"))
    run(38, w.TcpClosed())
    assert run.state.look_at_s == 40


# --- controls ----------------------------------------------------------------------------------


def test_a_control_goes_before_every_poll_that_waits() -> None:
    run = Script().up()
    run(2, w.Ticked())
    run(2.1, w.PollAsked("integrity"))
    assert run(2.2, w.OperateAsked()) == []
    assert run(2.3, ended()) == [w.TellPoll("event", ok=True, cause=""), Request("operate")]
    assert run(2.4, ended()) == [Request("integrity")]


def test_a_control_goes_out_before_the_startup_poll_is_complete() -> None:
    run = Script()
    run(0, w.Started())
    run(0, w.TcpOpened())
    assert run(0.1, w.OperateAsked()) == [Request("operate")]


def test_no_heartbeat_goes_between_a_zero_and_the_read_that_verifies_it() -> None:
    run = Script().up()
    run(2, w.ZeroDemanded(on=True))
    run(2, ended())
    assert run.zero(2.1) == [Request("operate")]
    run.urgent_s = math.inf
    run.first = True  # it is overdue
    run(2.2, w.OperateAsked())
    run(2.3, w.PollAsked("critical"))
    assert run(4.6, ended()) == [Request("critical")]
    assert run(7, ended())[-1:] == [Request("operate")]


def test_no_heartbeat_goes_between_a_zero_and_the_startup_poll() -> None:
    run = Script()
    run(0, w.Started())
    run(0, w.ZeroDemanded(on=True))
    run(0, w.TcpOpened())
    run.heard = 0.1
    assert run.zero(0.1) == [Request("operate")]
    run.urgent_s = math.inf
    run.first = True
    assert run(1, w.OperateAsked()) == []
    assert run(2, ended()) == []
    assert Request("operate") in run(3, ended("startup"))


def test_one_heartbeat_goes_before_the_startup_poll_and_no_more() -> None:
    run = Script()
    run(0, w.Started())
    run(0, w.TcpOpened())
    run.heard = 0.1
    assert run(0.1, w.OperateAsked()) == [Request("operate")]
    run(2, w.OperateAsked())
    assert run(5, ended()) == []
    assert run(6, ended("startup"))[-1] == Request("event")
    assert Request("operate") in run(7, ended())


def test_a_control_without_a_connection_is_handed_back() -> None:
    run = Script()
    run(0, w.Started())
    (failed,) = run(0.1, w.OperateAsked())
    assert isinstance(failed, w.FailOperations)
    run(0.2, w.ConnectFailed("Connection refused"))
    assert run(0.3, w.OperateAsked()) == [
        w.FailOperations("not connected: refused: Connection refused")
    ]


def test_controls_that_wait_are_handed_back_when_the_connection_ends() -> None:
    run = Script().up()
    run(2, w.Ticked())
    run(2.1, w.OperateAsked())
    assert any(isinstance(order, w.FailOperations) for order in run(2.2, w.TcpClosed()))


# --- zero goes first ---------------------------------------------------------------------------


def again(run: Script, at: float) -> list[w.Order]:
    """The dropped connection is there again, and what follows at once."""
    orders = run(at, w.TcpOpened())
    run.heard = at
    return orders


DROPPED = "zero waited 3 s behind another request"
DROP = [
    w.TellDropped(DROPPED),
    w.Disconnect(keep=True),
    w.Connect(),
    w.FailOperations("not connected: connecting", keep=True),  # all but zero and stop
]


def test_the_second_control_of_a_zero_may_drop_the_startup_poll_too() -> None:
    """Bound A counts it: 2 (r + c + r) where a zero is two controls."""
    run = reading()
    run.zero(301)
    run(304.2, w.Ticked())
    assert again(run, 304.3) == [Request("operate")]
    run.urgent_s = math.inf
    run(310, ended())  # behind DISABLE_UNSOLICITED; the startup poll is under way now
    assert run.zero(310.1) == [Request("operate")]
    run.heard = 313
    assert run(313.3, w.Ticked())[0] == w.TellDropped(DROPPED)


def test_a_zero_that_waited_r_drops_the_connection_and_is_the_first_on_the_next_one() -> None:
    run = reading()
    assert run.zero(301) == []
    run.heard = 304  # fragments go on coming
    assert run(304, w.Ticked()) == []
    assert run.state.look_at_s == pytest.approx(304.1)
    assert run(304.2, w.Ticked()) == [w.TellPoll("integrity", ok=False, cause=DROPPED), *DROP]
    assert again(run, 304.3) == [Request("operate")]


def test_the_core_is_not_told_that_a_session_is_down_whose_connection_was_dropped_for_zero() -> (
    None
):
    run = reading()
    run.zero(301)
    run(304.2, w.Ticked())
    again(run, 304.3)
    run.urgent_s = math.inf
    run(304.3, ended())
    orders = run(304.4, ended("startup"))
    assert [order for order in orders if not isinstance(order, (w.TellPoll, Request))] == []
    assert run.state.phase is SessionPhase.UP


def test_the_core_is_told_that_the_session_is_down_if_the_connection_is_not_made_again() -> None:
    run = reading()
    run.zero(301)
    run(304.2, w.Ticked())
    assert run(304.3, w.ConnectFailed("Connection refused")) == [
        w.TellDown("refused: Connection refused"),
        w.Disconnect(),
        w.FailOperations("not connected: refused: Connection refused"),
    ]


def test_what_is_no_zero_is_handed_back_while_a_dropped_connection_is_made_again() -> None:
    run = reading()
    run.zero(301)
    run(304.2, w.Ticked())
    (failed,) = run(304.3, w.OperateAsked())
    assert failed == w.FailOperations("not connected: connecting", keep=True)


def test_a_zero_that_waited_for_the_connection_does_not_drop_it_before_it_is_up() -> None:
    run = reading()
    run.zero(301)
    run(304.2, w.Ticked())
    again(run, 304.3)
    assert run(308, w.Ticked()) == []
    assert run.state.phase is SessionPhase.STARTING


def test_a_zero_asked_for_during_the_startup_poll_drops_the_connection_too() -> None:
    run = Script()
    run(0, w.Started())
    run(0, w.TcpOpened())
    run.heard = 3
    assert run.zero(1) == [Request("operate")]  # behind the poll, which is opendnp3's
    assert run(4.2, w.Ticked()) == DROP[:3]


def test_two_drops_a_demand_are_all_and_then_waiting_goes_on_and_is_told() -> None:
    run = reading()
    run(300.5, w.ZeroDemanded(on=True))
    at = 301.0
    for _ in range(2):
        run.heard = at
        run.zero(at)
        assert run(at + 3.2, w.Ticked())[-4:] == DROP
        again(run, at + 3.2)
        run.urgent_s, run.waiting = math.inf, 0
        run(at + 3.3, ended())
        run(at + 3.4, ended("startup"))
        at += 10
    run.heard = at
    run.zero(at)
    (held,) = run(at + 3.2, w.Ticked())
    assert isinstance(held, w.TellHeld)
    assert held.cause.startswith(DROPPED)
    assert run(at + 3.2, w.Ticked()) == []
    run.urgent_s = math.inf
    assert w.TellHeld("") in run(at + 3.3, w.Ticked())


def test_three_drops_in_ten_minutes_are_all_however_many_demands_there_were() -> None:
    run, drops = reading(), []
    for at in range(310, 1300, 20):
        run.heard = at
        run.state = replace(run.state, busy="")
        run(at, w.ZeroDemanded(on=True))
        run.state = replace(run.state, busy="integrity", busy_s=at)
        run.zero(at)
        if w.TellDropped(DROPPED) in run(at + 3.2, w.Ticked()):
            drops.append(at)
            again(run, at + 3.2)
        run.urgent_s, run.waiting, run.heard = math.inf, 0, at + 4
        run(at + 4, ended())
        run(at + 4.1, ended("startup"))
        run(at + 4.2, w.ZeroDemanded(on=False))
    assert drops[:3] == [310, 330, 350]
    assert 600 <= drops[3] - drops[0] <= 620
    assert len(drops) == 6


def test_what_is_told_again_of_one_demand_begins_no_new_count_of_drops() -> None:
    run = reading()
    run(300.5, w.ZeroDemanded(on=True))
    run.zero(301)
    assert w.Connect() in run(304.2, w.Ticked())
    run(305, w.ZeroDemanded(on=True, drops=False))
    assert run.state.demand_drops == 1
    run(306, w.ZeroDemanded(on=False))
    run(307, w.ZeroDemanded(on=True))
    assert run.state.demand_drops == 0


def test_a_zero_drops_nothing_where_a_new_connection_is_known_to_take_longer() -> None:
    run = reading()
    run(300.5, w.ZeroDemanded(on=True, drops=False))
    run.zero(301)
    run.heard = 304
    (held,) = run(304.2, w.Ticked())
    assert isinstance(held, w.TellHeld)
    assert held.cause == f"{DROPPED}, and no connection is dropped for it"
    assert run.state.phase is SessionPhase.UP


def test_power_is_stopped_however_long_a_new_connection_takes() -> None:
    run = Script().up()
    run.waiting = 1
    run(1, w.OperateAsked())
    run.stop_s = -math.inf
    assert w.Connect() in run(1.1, w.ZeroDemanded(on=True, drops=False))


UNSOLICITED = ended("disable_unsolicited")  # of every connection the first request
RENEWED = "commissioning measures how long a new connection takes"


def test_a_renewed_connection_is_timed_until_its_first_request_is_answered() -> None:
    run = Script().up()
    assert w.Connect() in run(10, w.RenewAsked())
    run(10.4, w.TcpOpened())
    run.heard = 10.7
    (told,) = (one for one in run(10.7, UNSOLICITED) if isinstance(one, w.TellRemade))
    assert told.took_s == pytest.approx(0.7)
    assert run.state.drops == (), "none of those that a zero may have"
    run(10.8, ended("startup"))
    assert run.state.phase is SessionPhase.UP
    assert run(10.9, UNSOLICITED) == [], "told once"


def test_a_renewed_connection_that_is_refused_at_first_is_timed_with_its_back_off() -> None:
    run = Script().up()
    run(10, w.RenewAsked())
    run(10.1, w.ConnectFailed("Connection refused"))
    assert run.state.phase is SessionPhase.WAITING
    run(12, w.Ticked())
    run(12.1, w.TcpOpened())
    run.heard = 12.5
    (told,) = (one for one in run(12.5, UNSOLICITED) if isinstance(one, w.TellRemade))
    assert told.took_s == pytest.approx(2.5)


def test_no_connection_is_renewed_while_zero_is_owed_or_before_the_session_is_up() -> None:
    run = Script().up()
    run(1, w.ZeroDemanded(on=True))
    assert run(1.1, w.RenewAsked()) == []
    run(1.2, w.ZeroDemanded(on=False))
    assert w.TellDropped(RENEWED) in run(1.3, w.RenewAsked())
    assert run(1.4, w.RenewAsked()) == []


def test_what_is_no_zero_waits_for_ever_without_a_drop() -> None:
    run = reading()
    run(301, w.OperateAsked())
    for second in range(302, 400):
        run.heard = second
        assert run(second, w.Ticked()) == []


def test_power_that_can_still_be_stopped_is_stopped_when_zero_is_demanded() -> None:
    run = Script().up()
    run(1, w.OperateAsked())
    run.stop_s = -math.inf
    cause = "power was being written, and it may not leave any more"
    assert run(1.1, w.ZeroDemanded(on=True)) == [
        w.TellDropped(cause),
        w.Disconnect(keep=True),
        w.Connect(),
    ]
    run.stop_s = math.inf
    assert run.zero(1.2) == [w.FailOperations("not connected: connecting", keep=True)]
    assert again(run, 1.3) == [Request("operate")]


def test_a_drop_that_stopped_power_leaves_the_zero_both_of_its_own() -> None:
    run = Script().up()
    run(1, w.OperateAsked())
    run.stop_s = -math.inf
    assert w.Connect() in run(1.1, w.ZeroDemanded(on=True))
    assert (run.state.demand_drops, run.state.drops) == (0, ())


def test_power_that_can_still_be_stopped_is_stopped_when_its_time_is_over() -> None:
    run = Script(replace(PLAN, critical_poll_s=None, event_poll_s=999)).up()
    run.stop_s = 4.0
    assert run(1, w.OperateAsked()) == [Request("operate")]
    assert run.state.look_at_s == 4
    assert run(3.9, w.Ticked()) == []
    assert w.TellDropped("power was being written, and its time is over") in run(4, w.Ticked())


def test_what_an_outstation_was_not_left_the_time_to_answer_is_asked_again_after_a_drop() -> None:
    run = Script()
    run(0, w.Started())
    run(0, w.TcpOpened())
    run(0, ended("startup"))
    run(0, ended())
    assert run.state.busy == "attributes"
    run.stop_s = -math.inf
    run(0.1, w.ZeroDemanded(on=True))
    run.stop_s = math.inf
    again(run, 0.2)
    run(0.3, ended("startup"))
    assert Request("attributes") in run(0.4, ended())


def test_a_critical_poll_that_a_drop_cut_short_is_made_on_the_next_connection() -> None:
    run = Script().up()
    run(2, w.Ticked())
    run(5, ended())
    assert run.state.busy == "critical"
    run.stop_s = -math.inf
    assert w.Connect() in run(5.1, w.ZeroDemanded(on=True))
    run.stop_s = math.inf
    again(run, 5.2)
    assert run(5.3, w.PollAsked("critical")) == []
    assert Request("critical") in run(5.4, ended("startup"))


# --- the end -----------------------------------------------------------------------------------


def test_stopping_drops_the_connection_and_nothing_is_tried_again() -> None:
    run = Script().up()
    assert run(1, w.Stopped()) == [w.TellDown("stopped"), w.Disconnect()]
    assert run.state.look_at_s is None
    assert run(100, w.Ticked()) == []
    assert run(100, w.PollAsked("event")) == [w.TellPoll("event", ok=False, cause="not connected")]


EVENTS = st.one_of(
    st.sampled_from(
        [
            w.Started(),
            w.TcpOpened(),
            w.TcpClosed(),
            w.ConnectFailed("Connection refused"),
            w.StraySeen(11, 1),
            w.NoiseSeen("CRC failure"),
            w.OperateAsked(),
            w.Ticked(),
            w.Stopped(),
            w.ZeroDemanded(on=True),
            w.ZeroDemanded(on=True, drops=False),
            w.ZeroDemanded(on=False),
            w.RenewAsked(),
            ended("disable_unsolicited"),
        ]
    ),
    st.builds(w.IinSeen, st.sampled_from([0, OVERFLOW, RESTART, NEED_TIME, 0x0E])),
    st.builds(w.LinkChecked, st.booleans()),
    st.builds(w.PollAsked, st.sampled_from(["integrity", "event", "critical"])),
    st.builds(
        TaskEnded,
        st.sampled_from(["startup", "enable_unsolicited", "request"]),
        st.booleans(),
        st.booleans(),
        st.just("why"),
    ),
)


STEPS = st.tuples(st.floats(0, 5), EVENTS, st.booleans(), st.booleans(), st.booleans())


@given(st.lists(STEPS, max_size=60), st.booleans())
def test_whatever_happens_requests_come_one_at_a_time_and_only_over_a_connection(
    script: list[tuple[float, w.Event, bool, bool, bool]], unsolicited: bool
) -> None:
    run = Script(replace(PLAN, unsolicited=unsolicited), luck=0.5)
    at, linked, busy, told_up = 0.0, False, "", False
    for step, event, heard, urgent, unlicensed in script:
        at += step
        run.heard = at if heard else run.heard
        run.urgent_s = min(run.urgent_s, at) if urgent else math.inf
        run.stop_s = -math.inf if unlicensed else math.inf
        before = run.state.busy
        for order in run(at, event):
            if isinstance(order, w.Connect):
                assert not linked
                linked = True
            elif isinstance(order, w.Disconnect):
                assert linked
                linked = False
            elif isinstance(order, (Request, w.CheckLink)):
                assert linked
            if isinstance(order, w.TellUp):
                assert not told_up
                told_up = True
            elif isinstance(order, w.TellDown):
                told_up = False
            if isinstance(order, Request):
                assert before == "" or (isinstance(event, TaskEnded) and event.task == "request")
            if isinstance(order, w.TellDropped):
                before = ""
        busy = run.state.busy
        assert linked or busy == ""
        assert told_up == run.state.told
        assert told_up or run.state.phase is not SessionPhase.UP
        assert (run.state.look_at_s is None) == (run.state.phase is SessionPhase.IDLE)
        # waking at the moment that was asked for always moves on: no spinning
        assert run.state.look_at_s is None or run.state.look_at_s > at or busy


@given(st.lists(st.floats(0, 1), min_size=30, max_size=30))
def test_left_alone_a_session_that_is_refused_sleeps_at_least_a_second_between_attempts(
    lucks: list[float],
) -> None:
    run, at, attempts = Script(), 0.0, []
    run(at, w.Started())
    for luck in lucks:
        run.luck = luck
        run(at, w.ConnectFailed("Connection refused"))
        assert run.state.look_at_s is not None
        at = run.state.look_at_s
        assert run(at, w.Ticked()) == [w.Connect()]
        attempts.append(at)
    assert all(1 <= round(later - earlier, 9) <= 30 for earlier, later in pairwise(attempts))


# --- turns -------------------------------------------------------------------------------------


def busy_site(script: Script, at: float, seconds: float, answer_s: float) -> list[str]:
    """Requests handed over while a heartbeat is asked for every 2 s and each answer takes long."""
    sent, beat_at, answered_at, end_s = list[str](), at, math.inf, at + seconds
    while at < end_s:
        at = round(at + 0.1, 2)
        orders = script(at, w.Ticked())
        if at >= beat_at:
            beat_at += 2.0
            orders += script(at, w.OperateAsked()) if not script.waiting else []
        if at >= answered_at:
            script.heard, answered_at = at, math.inf
            orders += script(at, ended())
        asked = [one.kind for one in orders if isinstance(one, Request)]
        if asked:
            sent += asked
            answered_at = at + answer_s
    return sent


def test_where_answers_are_slow_heartbeats_and_reads_take_turns() -> None:
    sent = busy_site(Script().up(), 10.0, 120.0, 2.1)
    assert sent.count("critical") >= 120 / 2.1 / 5
    assert sent.count("operate") >= 120 / 2.1 / 3
    assert sent.count("event") + sent.count("integrity") >= 120 / 2.1 / 6
    runs = "".join("o" if one == "operate" else "r" for one in sent)
    assert "ooo" not in runs


def test_what_goes_first_waits_for_no_read_that_waits() -> None:
    script = Script().up()
    at = 50.0
    script(at, w.Ticked())
    script(at, w.PollAsked("critical"))
    script.waiting = 2
    script.first = True
    found = [script(at, ended()) for _ in range(2)]
    kinds = [one.kind for orders in found for one in orders if isinstance(one, Request)]
    assert kinds == ["operate", "operate"]


def test_the_read_behind_a_zero_is_the_critical_one() -> None:
    script = Script().up()
    script(50.0, w.Ticked())
    script.zero(50.0)
    script(50.1, ended())  # what was under way
    script.urgent_s = math.inf
    script(50.1, w.PollAsked("critical"))
    script(50.1, w.OperateAsked())
    kinds = [one.kind for one in script(50.2, ended()) if isinstance(one, Request)]
    assert kinds == ["critical"]


MORE = TaskEnded("request", ok=True, answered=True, cause="", more=True)


def slow_site(script: Script, seconds: float, *, zeros: bool, parts: int = 1) -> list[str]:
    """What is told and sent while reads are always wanted, and each answer takes one second.

    A zero is ordered again as soon as it was answered; an event read always leaves more.
    """
    found, part = list[str](), 0
    for second in range(50, 50 + int(seconds)):
        script.heard = at = float(second)
        busy = script.state.busy
        part = (part + 1) % parts if busy == "critical" else part
        more = busy == "event" or (busy == "critical" and part > 0)
        orders = script(at, MORE if more else ended()) if busy else []
        script.urgent_s = math.inf
        orders += script(at + 0.01, w.PollAsked("critical"))
        if zeros and script.state.busy != "operate":
            orders += script.zero(at + 0.02)
        found += [one.kind for one in orders if isinstance(one, (Request, w.TellPoll))]
    return found


@pytest.mark.parametrize("zeros", [False, True])
def test_a_critical_read_of_several_requests_comes_to_its_end_however_often_it_is_wanted(
    zeros: bool,
) -> None:
    script = Script(replace(PLAN, response_timeout_s=9)).up()
    found = slow_site(script, 120, zeros=zeros, parts=3)
    assert found.count("rest") >= 120 / 12


@pytest.mark.parametrize("zeros", [False, True])
def test_neither_critical_reads_nor_endless_events_nor_zeros_keep_another_read_waiting(
    zeros: bool,
) -> None:
    script = Script(replace(PLAN, response_timeout_s=9)).up()
    script(20.0, w.IinSeen(OVERFLOW | RESTART | NEED_TIME))
    found = slow_site(script, 120, zeros=zeros)
    for kind in (
        "clear_restart",
        "time",
        "integrity",
        "critical",
        "event",
        "unsolicited",
    ):
        assert found.count(kind) >= 3, kind


def test_no_read_goes_between_the_controls_of_a_zero_and_one_goes_right_behind_them() -> None:
    script = Script().up()
    assert [one.kind for one in script(50.0, w.Ticked()) if isinstance(one, Request)]
    script.zero(50.1)
    assert Request("operate") in script(50.2, ended())
    script.urgent_s = math.inf  # it is on the wire
    assert script(51.0, ended()) == []  # the core is told, and has the next control on its way
    assert script.zero(51.01) == [Request("operate")]
    script.urgent_s = math.inf
    script(51.02, w.PollAsked("critical"))
    assert script(52.0, ended()) == [Request("critical")]


def test_a_zero_of_one_control_is_read_back_at_once() -> None:
    script = Script().up()
    script(50.0, w.Ticked())
    script.zero(50.1)
    script(50.2, ended())
    script.urgent_s = math.inf
    script(51.0, ended())
    script(51.01, w.PollAsked("critical"))
    assert script.state.look_at_s == 51.05
    assert script(51.05, w.Ticked()) == [Request("critical")]
