"""Which numbers are announced after damage."""

from __future__ import annotations

from gateway.queue.rules import missing
from gateway.queue.rules.counters import Counters, Counts
from gateway.queue.rules.rows import MOST_RANGES
from gateway.streams import Gap, Stream

ALL = set(Stream)
T = Stream.TELEMETRY


def counters(epoch: str = "E2", *, behind: int = 101, commits: int = 0) -> Counters:
    """Counters of an epoch in which telemetry has given out all numbers below ``behind``."""
    made = Counters(epoch, commits=commits)
    made.streams[T].next = behind
    return made


def told(numbers: missing.Ranges, **more: object) -> list[Gap]:
    """What is announced."""
    known: dict[str, object] = {"counters": counters(), "older": {}, "whole": ALL, **more}
    return missing.gaps(numbers, **known)  # type: ignore[arg-type]  # by name


def ranges(gaps: list[Gap]) -> list[tuple[int, int]]:
    return [(gap.first, gap.last) for gap in gaps]


def test_numbers_that_follow_each_other_join() -> None:
    numbers: missing.Ranges = {}
    for first, last in ((1, 5), (6, 9), (12, 12)):
        missing.note(numbers, T, "E2", first=first, last=last)
    assert numbers == {(T, "E2"): [(1, 9), (12, 12)]}


def test_many_holes_become_few_and_cover_all() -> None:
    found = missing.holes([(at, at) for at in range(2, 200, 2)], first=1, last=300)
    assert len(found) == MOST_RANGES
    assert found[0] == (1, 1)
    assert found[-1][1] == 300


def test_with_every_row_there_what_went_before_is_not_announced() -> None:
    numbers = {(T, "E2"): [(40, 60), (71, 100)]}
    assert ranges(told(numbers)) == [(61, 70)]
    assert not told({})


def test_with_a_row_missing_everything_that_is_not_there_is_announced() -> None:
    numbers = {(T, "E2"): [(40, 60), (71, 90)]}
    assert ranges(told(numbers, whole=ALL - {T})) == [(1, 39), (61, 70), (91, 100)]


def test_a_missing_event_may_have_been_a_gap_record_so_all_is_said_again() -> None:
    numbers = {(T, "E2"): [(40, 60)]}
    assert ranges(told(numbers, whole=ALL - {Stream.EVENT})) == [(1, 39), (61, 100)]


def test_epochs_that_ended_by_damage_are_remembered() -> None:
    kept = missing.with_ended(None, [counters("E1", behind=11).ended(told_in=2)])
    older = missing.older(kept)
    assert older["E1"]["telemetry"] == 11
    said = told({(T, "E1"): [(3, 4)]}, older=older, whole=set())
    assert [(gap.epoch, gap.first, gap.last) for gap in said] == [
        ("E1", 1, 2),
        ("E1", 5, 10),
        ("E2", 1, 100),
    ]
    for number in reversed(range(100)):  # whatever their names are
        kept = missing.with_ended(kept, [counters(f"F{number:02d}").ended(told_in=2)])
    assert list(missing.older(kept)) == [f"F{63 - number:02d}" for number in range(64)]


def test_without_counters_only_what_lies_between_rows_is_known() -> None:
    numbers = {(T, "E1"): [(40, 60), (71, 90)]}
    assert ranges(told(numbers, counters=None)) == [(61, 70)]
    assert ranges(told(numbers, counters=None, whole=set())) == [(1, 39), (61, 70)]


def test_as_much_is_counted_to_the_byte() -> None:
    assert Counts(next=1, rows=2, readings=3, bytes=4).is_as_much_as(Counts(9, 2, 3, 4))
    assert not Counts(1, 2, 3, 4).is_as_much_as(Counts(1, 2, 3, 5))
