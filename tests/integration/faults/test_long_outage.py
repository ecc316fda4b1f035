"""Days without a broker, compressed in time: what goes, what stays, and that all of it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.faults.trials import scratch
from tests.faults.week import POINTS, Site

if TYPE_CHECKING:
    from tests.faults.week import Outcome


def outage(days: float, *, step_s: float, size: int) -> Outcome:
    with scratch() as folder:
        site = Site(folder, size=size)
        site.away(days, step_s=step_s)
        return site.recover(per_s=40)


def check(outcome: Outcome) -> None:
    """Sent = received + announced, in order, and what may never be dropped was not."""
    assert outcome.lost == 0
    assert outcome.duplicates == 0
    assert outcome.disorder == 0
    for stream in ("audit", "result"):
        assert outcome.received[stream] == outcome.sent[stream]


def test_a_week_beyond_the_quota_drops_telemetry_and_says_so() -> None:
    outcome = outage(7, step_s=1800, size=1 << 20)
    check(outcome)
    assert outcome.gap_records
    assert outcome.received["telemetry"] < outcome.sent["telemetry"]
    assert outcome.received["telemetry"] > 100 * POINTS
    assert outcome.received["event"] == outcome.sent["event"]  # only telemetry had to go
    assert outcome.received["state"] == outcome.sent["state"]


def test_readings_of_the_outages_end_do_not_wait_for_its_history() -> None:
    outcome = outage(2, step_s=1800, size=1 << 30)
    check(outcome)
    assert outcome.announced == 0
    assert outcome.live_s
    assert max(outcome.live_s) < 5.0  # seconds of the virtual clock: half a window of history


def test_progress_and_the_time_left_are_shown_and_come_true() -> None:
    outcome = outage(2, step_s=600, size=1 << 30)
    first = next(one for one in outcome.reports if one.left_s is not None)
    assert first.backfill_per_s > 0
    assert first.left_s is not None
    assert outcome.history_s / 3 < first.left_s < 3 * outcome.history_s
    assert outcome.reports[-1].backlog_rows < first.backlog_rows


def test_gaps_are_still_told_after_their_own_records_grew_too_old() -> None:
    outcome = outage(20, step_s=3600, size=1 << 30)
    check(outcome)
    assert outcome.announced > 10 * 24 * POINTS


def test_gaps_are_still_told_where_the_quota_took_their_own_records() -> None:
    outcome = outage(2, step_s=300, size=96 << 10)
    check(outcome)
    assert outcome.received["event"] < outcome.sent["event"]
