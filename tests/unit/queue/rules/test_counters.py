"""The counters, and the names of epochs."""

from __future__ import annotations

import pytest

from gateway.errors import PayloadError
from gateway.queue.epoch import new_epoch
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
