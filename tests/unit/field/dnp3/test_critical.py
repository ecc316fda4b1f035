"""A point that the outstation lacks is found by halving, and left out of the critical read."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.field.dnp3.critical import AGAIN, MOST, SEARCHING, CriticalReads
from gateway.field.dnp3.reads import points, requests

ALL = frozenset(f"AI{index}" for index in range(60)) | {"BI0", "BI2", "BI4"}


def read(reads: CriticalReads, lacks: frozenset[str], *, how: str = "PARAMETER_ERROR") -> set[str]:
    """One critical read of an outstation that refuses a request with a point that it lacks."""
    reads.begin()
    answered: set[str] = set()
    count, more = 0, True
    while more:
        count += 1
        asked = points(reads.request)
        refused = how if asked & lacks else ""
        answered |= asked if not refused else set()
        more = reads.ended(refused, ok=True)
    assert count <= len(requests(ALL)) + SEARCHING + MOST
    reads.over()
    return answered


def test_one_point_that_is_missing_keeps_the_others_from_nothing_after_a_few_reads() -> None:
    reads, lacks = CriticalReads(ALL), frozenset({"AI41"})
    assert read(reads, lacks) == set()
    for _ in range(6):  # 2 ** 6 points
        read(reads, lacks)
    assert reads.missing == lacks
    assert read(reads, lacks) == ALL - lacks
    reads.begin()
    assert points(reads.request) == ALL - lacks, "in one request"
    assert not reads.ended("", ok=True)


@settings(max_examples=60, deadline=None)
@given(st.sets(st.sampled_from(sorted(ALL)), max_size=MOST))
def test_all_that_are_missing_are_found_and_nothing_else(found: set[str]) -> None:
    reads, lacks = CriticalReads(ALL), frozenset(found)
    for _ in range(8 * (len(lacks) + 1)):
        read(reads, lacks)
    assert reads.missing == lacks
    assert read(reads, lacks) == ALL - lacks


def test_a_point_that_is_there_again_is_read_again_at_a_new_connection_and_by_itself() -> None:
    for renews in (True, False):
        reads = CriticalReads(ALL)
        while not reads.missing:
            read(reads, frozenset({"AI7"}))
        if renews:
            reads.renew()
        for _ in range(1 if renews else AGAIN):
            read(reads, frozenset())
        assert reads.missing == frozenset()
        assert read(reads, frozenset()) == ALL


def test_with_more_missing_than_a_few_the_rest_is_told_as_refused() -> None:
    reads = CriticalReads(ALL)
    for _ in range(200):
        read(reads, frozenset(f"AI{index}" for index in range(20)))
    assert len(reads.missing) == MOST
    reads.begin()
    reads.ended("PARAMETER_ERROR", ok=False)
    assert reads.over().endswith(": PARAMETER_ERROR")


def test_a_function_that_the_outstation_lacks_is_no_missing_point() -> None:
    reads = CriticalReads(ALL)
    for _ in range(20):
        read(reads, ALL, how="NO_FUNC_CODE_SUPPORT")
    assert reads.missing == frozenset()
    reads.begin()
    assert points(reads.request) == ALL


def test_the_only_point_is_not_left_out() -> None:
    reads = CriticalReads(["AI1"])
    read(reads, frozenset({"AI1"}))
    assert reads.missing == frozenset()
    reads.begin()
    assert points(reads.request) == {"AI1"}


def test_a_request_that_is_too_long_stays_halved() -> None:
    reads = CriticalReads(f"AI{index}" for index in range(0, 32, 2))  # 16 ranges
    answered: set[str] = set()
    for _ in range(4):
        reads.begin()
        answered, more = set(), True
        while more:
            long = len(reads.request) > 10
            answered |= set() if long else points(reads.request)
            more = reads.ended("PARAMETER_ERROR" if long else "", ok=True)
        reads.over()
    assert len(answered) == 16
    assert reads.missing == frozenset()


def test_a_read_that_is_not_answered_learns_nothing() -> None:
    reads = CriticalReads(ALL)
    reads.begin()
    assert not reads.ended("", ok=False)
    reads.begin()
    assert points(reads.request) == ALL
