"""The counters, and the names of epochs."""

from __future__ import annotations

import pytest

from gateway.errors import PayloadError
from gateway.queue.opening import new_epoch
from gateway.queue.rules.counters import Counters, sealed
from gateway.streams import Stream


def test_sequence_numbers_start_at_one_and_leave_none_out() -> None:
    counters = Counters("E")
    assert counters.reserve(Stream.STATE, 500) == 1
    assert counters.reserve(Stream.STATE, 1) == 501
    assert counters.reserve(Stream.EVENT, 1) == 1


def test_counters_are_read_back() -> None:
    counters = Counters("E", next_id=9, gaps=2, aged_s=77)
    counters.streams[Stream.TELEMETRY].add(rows=1, readings=500, size=3400, ids=8)
    assert Counters.parse(counters.text()) == counters


def test_a_copy_does_not_change_with_its_original() -> None:
    counters = Counters("E")
    before = counters.copy()
    counters.reserve(Stream.AUDIT, 3)
    assert before.streams[Stream.AUDIT].next == 1


def test_counts_never_fall_below_nothing() -> None:
    counters = Counters("E")
    counters.streams[Stream.EVENT].add(rows=-1, readings=-5, size=-100, ids=-7)
    assert counters.streams[Stream.EVENT].rows == 0


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"epoch": "E", "streams": {"x": {}}}'])
def test_counters_that_cannot_be_read_are_damage(text: str) -> None:
    with pytest.raises(PayloadError, match="counters of the queue"):
        Counters.parse(text)


def test_a_seal_covers_key_and_value() -> None:
    assert len({sealed("a", "b"), sealed("a", "c"), sealed("b", "b")}) == 3


def test_epochs_sort_by_time_and_do_not_repeat() -> None:
    older, newer = new_epoch(1_795_324_200_000), new_epoch(1_795_324_200_001)
    assert len(older) == 26
    assert older < newer
    assert new_epoch(5) != new_epoch(5)


def at_start(epoch: str, start: int, *, behind: int, rows: int = 1, commits: int = 0) -> Counters:
    """Counters of telemetry alone."""
    counters = Counters(epoch, start=start, commits=commits)
    counters.streams[Stream.TELEMETRY].next = behind
    counters.streams[Stream.TELEMETRY].rows = rows
    return counters


def begun(own: Counters, noted: Counters | None) -> tuple[list[object], list[object]]:
    gaps, over = own.begin("NEW", noted)
    assert (own.epoch, own.streams[Stream.TELEMETRY].next) == ("NEW", 1)
    assert own.before == (over[-1] if over else None)
    return (
        [(gap.epoch, gap.first, gap.last) for gap in gaps],
        [(one.epoch, one.start, one.last["telemetry"], one.told_in) for one in over],
    )


def test_the_first_start_ends_nothing() -> None:
    counters = Counters()
    assert begun(counters, None) == ([], [])
    assert counters.start == 1


def test_a_start_ends_the_epoch_before() -> None:
    counters = at_start("A", 4, behind=101)
    assert begun(counters, at_start("A", 4, behind=101)) == ([], [("A", 4, 100, 5)])


def test_commits_that_vanished_are_announced_with_the_end() -> None:
    counters = at_start("A", 4, behind=101, commits=5)
    noted = at_start("A", 4, behind=105, commits=6)
    assert begun(counters, noted) == ([("A", 101, 104)], [("A", 4, 104, 5)])


def test_a_tally_that_is_behind_says_nothing() -> None:
    for noted in (at_start("A", 4, behind=90, commits=1), at_start("OLD", 3, behind=900)):
        counters = at_start("A", 4, behind=101, commits=5)
        assert begun(counters, noted) == ([], [("A", 4, 100, 5)])


def test_a_tally_of_the_next_epoch_tells_of_both() -> None:
    noted = at_start("A", 4, behind=105)
    noted.begin("B", None)
    noted.streams[Stream.TELEMETRY].next = 31
    said = begun(at_start("A", 4, behind=101), noted)
    assert said == ([("A", 101, 104), ("B", 1, 30)], [("A", 4, 104, 6), ("B", 5, 30, 6)])


@pytest.mark.parametrize(("rows", "gap"), [(0, []), (3, [("B", 1, 30)])])
def test_a_queue_that_is_gone_is_missed_where_something_waited(rows: int, gap: object) -> None:
    counters = Counters()
    assert begun(counters, at_start("B", 9, behind=31, rows=rows)) == (gap, [("B", 9, 30, 10)])


def test_the_epoch_before_is_read_back() -> None:
    counters = at_start("A", 4, behind=101)
    counters.begin("B", None)
    assert Counters.parse(counters.text()) == counters
