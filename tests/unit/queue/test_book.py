"""The counters, and the names of epochs."""

from __future__ import annotations

import pytest

from gateway.errors import PayloadError
from gateway.queue.book import Book, sealed
from gateway.queue.epoch import new_epoch
from gateway.streams import Stream


def test_sequence_numbers_start_at_one_and_leave_none_out() -> None:
    book = Book("E")
    assert book.reserve(Stream.STATE, 500) == 1
    assert book.reserve(Stream.STATE, 1) == 501
    assert book.reserve(Stream.EVENT, 1) == 1


def test_counters_are_read_back() -> None:
    book = Book("E", next_id=9, gaps=2, aged_s=77)
    book.streams[Stream.TELEMETRY].add(rows=1, readings=500, size=3400)
    assert Book.parse(book.text()) == book


def test_a_copy_does_not_change_with_its_original() -> None:
    book = Book("E")
    before = book.copy()
    book.reserve(Stream.AUDIT, 3)
    assert before.streams[Stream.AUDIT].next == 1


def test_counts_never_fall_below_nothing() -> None:
    book = Book("E")
    book.streams[Stream.EVENT].add(rows=-1, readings=-5, size=-100)
    assert book.streams[Stream.EVENT].rows == 0


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"epoch": "E", "streams": {"x": {}}}'])
def test_counters_that_cannot_be_read_are_damage(text: str) -> None:
    with pytest.raises(PayloadError, match="counters of the queue"):
        Book.parse(text)


def test_a_seal_covers_key_and_value() -> None:
    assert len({sealed("a", "b"), sealed("a", "c"), sealed("b", "b")}) == 3


def test_epochs_sort_by_time_and_do_not_repeat() -> None:
    older, newer = new_epoch(1_795_324_200_000), new_epoch(1_795_324_200_001)
    assert len(older) == 26
    assert older < newer
    assert new_epoch(5) != new_epoch(5)
