from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.field.dnp3.reads import STATIC_GROUP, RangeHeader, requests, text
from gateway.points.raw import PointType, point_name
from gateway.points.runs import HEADERS, request_count


def test_consecutive_points_of_a_type_become_one_range() -> None:
    assert requests(["AI3", "AI1", "AI2", "BI7", "AO300"]) == (
        (RangeHeader(1, 7, 7), RangeHeader(30, 1, 3), RangeHeader(40, 300, 300)),
    )


def test_a_gap_is_not_read() -> None:
    assert requests(["AI1", "AI3"]) == ((RangeHeader(30, 1, 1), RangeHeader(30, 3, 3)),)


def test_a_request_is_named_by_its_points() -> None:
    (request,) = requests(["AI3", "AI1", "AI2", "BI7", "AO300"])
    assert text(request) == "BI7, AI1 to AI3, AO300"


def test_nothing_critical_is_no_request() -> None:
    assert requests([]) == ()


@given(st.sets(st.tuples(st.sampled_from(list(PointType)), st.integers(0, 65535)), max_size=60))
def test_every_point_is_read_once_and_nothing_else(wanted: set[tuple[PointType, int]]) -> None:
    made = requests(point_name(kind, index) for kind, index in wanted)
    read = [
        (span.group, index)
        for request in made
        for span in request
        for index in range(span.start, span.stop + 1)
    ]
    assert sorted(read) == sorted((STATIC_GROUP[kind], index) for kind, index in wanted)
    assert all(1 <= len(request) <= HEADERS for request in made)
    assert request_count(point_name(kind, index) for kind, index in wanted) == len(made)
