from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.consumer import Reading, decode, readings
from gateway.measured import TimeQuality
from gateway.points.raw import PointType, RawPoint, point_name
from gateway.streams import Batch, Codec, Stream
from gateway.uplink import messages
from gateway.uplink.telemetry import Telemetry
from tests.fixtures.readings import ASSET, DIGEST, GATEWAY, T0, point, rows_of
from tests.fixtures.schemas import check


def telemetry(*, linger_s: float = 0.1) -> Telemetry:
    return Telemetry(ASSET, GATEWAY, DIGEST, linger_s=linger_s)


def opened(batches: list[Batch], *, first_seq: int = 1) -> list[dict[str, Any]]:
    return [
        decode(messages.wire(row, published_ms=T0, backfill=False))
        for row in rows_of(batches, first_seq=first_seq)
    ]


def rows(batches: list[Batch]) -> list[Reading]:
    return [reading for message in opened(batches) for reading in readings(message)]


def static(name: str = "AI1", value: float | str = 1.0, *, flags: int | None = 1) -> RawPoint:
    return point(name, value, flags=flags, event=False)


NUMERIC = [kind for kind in PointType if kind is not PointType.OS]  # octet strings are text
POINTS = st.builds(
    RawPoint,
    st.builds(point_name, st.sampled_from(NUMERIC), st.integers(0, 40)),
    st.one_of(st.integers(-(2**31), 2**31), st.floats(), st.sampled_from([0, 1])),
    st.one_of(st.none(), st.integers(0, 255)),
    st.integers(0, 2**48 - 1),
    st.integers(T0, T0 + 10_000),
    st.sampled_from(TimeQuality),
    st.just(True),  # noqa: FBT003 - a strategy's value
)


@given(st.lists(POINTS, min_size=1, max_size=1200))
def test_what_goes_in_comes_out_of_the_columns(points: list[RawPoint]) -> None:
    batches = telemetry().take(points, mono_s=0)
    found = rows(batches)
    assert [each.seq for each in found] == list(range(1, len(points) + 1))
    for got, put in zip(found, points, strict=True):
        assert (got.point, got.flags) == (put.point, put.flags)
        assert (got.at_ms, got.tq) == (put.at_ms, put.tq)
        assert repr(got.value) == repr(put.value) or got.value == put.value


def test_a_message_has_the_form_of_the_published_example() -> None:
    points = [point("AI1"), point("AI8"), point("BI0", 1, at_ms=T0 + 5)]
    [message] = opened(telemetry().take(points, mono_s=0), first_seq=90_210)
    check(message)
    assert message["schema"] == "bess.telemetry/1"
    assert (message["seq"], message["n"], message["t0"]) == (90_210, 3, T0)
    assert message["point"] == ["AI1", "AI8", "BI0"]
    assert message["dt"] == [0, 0, 5]
    assert message["value"] == [-750.0, -750.0, 1]
    assert message["flags"] == [1, 1, 1]
    assert message["tq"] == ["synced", "synced", "synced"]


def test_events_are_shipped_before_the_fragment_is_confirmed_even_if_nothing_changed() -> None:
    subject = telemetry()
    for _ in range(3):
        assert len(rows(subject.take([point("AI1", 5.0)], mono_s=0))) == 1


def test_a_static_reading_that_equals_the_last_one_shipped_is_not_shipped_again() -> None:
    subject = telemetry()
    subject.take([static("AI1", 5.0)], mono_s=0)
    assert len(rows(subject.flush())) == 1
    subject.take([static("AI1", 5.0)], mono_s=1)
    assert subject.flush() == []


def test_a_static_reading_with_another_value_or_other_flags_is_shipped() -> None:
    subject = telemetry()
    subject.take([static("AI1", 5.0), static("AI1", 6.0), static("AI1", 6.0, flags=9)], mono_s=0)
    found = rows(subject.flush())
    assert [(each.value, each.flags) for each in found] == [(5.0, 1), (6.0, 1), (6.0, 9)]


def test_an_event_counts_as_shipped_for_the_static_readings_that_follow() -> None:
    subject = telemetry()
    subject.take([point("AI1", 5.0)], mono_s=0)
    subject.take([static("AI1", 5.0)], mono_s=1)
    assert subject.flush() == []


def test_after_forget_each_static_point_is_shipped_once_more() -> None:
    subject = telemetry()
    both = [static("AI1", 5.0), static("AI2", 6.0)]
    subject.take(both, mono_s=0)
    subject.flush()
    subject.forget()
    subject.take(both, mono_s=1)
    assert len(rows(subject.flush())) == 2
    subject.take(both, mono_s=2)
    assert subject.flush() == []


def test_a_point_that_stays_nan_has_not_changed() -> None:
    subject = telemetry()
    for _ in range(3):
        subject.take([static("AI1", math.nan)], mono_s=0)
    assert len(rows(subject.flush())) == 1


def test_nan_and_infinities_travel_as_words() -> None:
    values = [math.nan, math.inf, -math.inf, 1.5]
    batches = telemetry().take([point("AI1", each) for each in values], mono_s=0)
    [message] = opened(batches)
    check(message)
    assert message["value"] == ["NaN", "Infinity", "-Infinity", 1.5]
    found = [each.value for each in rows(batches)]
    assert math.isnan(float(found[0]))
    assert found[1:] == [math.inf, -math.inf, 1.5]


def test_an_octet_string_that_spells_nan_stays_text() -> None:
    found = rows(telemetry().take([point("OS1", "NaN")], mono_s=0))
    assert found[0].value == "NaN"


def test_static_readings_gather_over_the_fragments_of_a_poll() -> None:
    subject = telemetry(linger_s=1.0)
    assert subject.take([static(f"AI{n}") for n in range(100)], mono_s=0.0) == []
    assert subject.take([static(f"BI{n}") for n in range(100)], mono_s=0.1) == []
    [batch] = subject.flush()
    assert batch.n == 200


def test_static_readings_wait_no_longer_than_the_linger() -> None:
    subject = telemetry(linger_s=0.1)
    assert subject.take([static("AI1")], mono_s=10.0) == []
    assert subject.take([static("AI2")], mono_s=10.05) == []
    [batch] = subject.take([static("AI3")], mono_s=10.11)
    assert batch.n == 3


def test_whole_batches_leave_at_once_and_the_rest_waits() -> None:
    subject = telemetry()
    batches = subject.take([static(f"AI{n}") for n in range(1200)], mono_s=0)
    assert [batch.n for batch in batches] == [500, 500]
    assert [batch.n for batch in subject.flush()] == [200]


def test_an_event_takes_the_waiting_static_readings_along_so_that_order_is_kept() -> None:
    subject = telemetry()
    subject.take([static("AI1", 5.0)], mono_s=0)
    found = rows(subject.take([point("AI1", 7.0)], mono_s=0.01))
    assert [each.value for each in found] == [5.0, 7.0]
    assert subject.flush() == []


def test_small_batches_stay_plain_json_and_large_ones_are_compressed() -> None:
    subject = telemetry()
    assert subject.take([point()], mono_s=0)[0].codec is Codec.JSON
    assert subject.take([point(f"AI{n}") for n in range(500)], mono_s=0)[0].codec is Codec.ZSTD


def test_a_batch_is_dated_by_receipt_because_an_outstations_clock_may_say_anything() -> None:
    points = [point(at_ms=0, rt_ms=T0), point(at_ms=2**48 - 1, rt_ms=T0 + 7)]
    [batch] = telemetry().take(points, mono_s=0)
    assert (batch.stream, batch.asset) == (Stream.TELEMETRY, ASSET)
    assert (batch.t_min, batch.t_max) == (T0, T0 + 7)
    assert [each.at_ms for each in rows([batch])] == [0, 2**48 - 1]


@pytest.mark.parametrize(
    ("name", "flags", "quality"),
    [
        ("AI1", 0x01, "good"),
        ("AI1", None, "good"),
        ("BI1", 0x81, "good"),
        ("DBI1", 0x41, "good"),
        ("DBI1", 0xC1, "good"),
        ("AI1", 0x41, "questionable"),
        ("AI1", 0x21, "bad"),
        ("BI1", 0x21, "questionable"),
        ("CTR1", 0x21, "good"),
        ("AI1", 0x11, "questionable"),
        ("AI1", 0x09, "questionable"),
        ("BI1", 0x00, "bad"),
        ("BI1", 0x03, "bad"),
        ("BI1", 0x05, "bad"),
    ],
)
def test_the_header_hints_at_the_worst_flags(name: str, flags: int | None, quality: str) -> None:
    points = [point("AI7"), point(name, 1, flags=flags)]
    [message] = opened(telemetry().take(points, mono_s=0))
    assert message["quality"] == quality


def test_five_hundred_slow_analogs_cost_at_most_eight_bytes_a_reading_on_the_wire() -> None:
    points = [
        point(f"AI{n % 250}", round(1000 * math.sin(n / 9) + n % 7 / 10, 1), at_ms=T0 + n // 50)
        for n in range(500)
    ]
    [row] = rows_of(telemetry().take(points, mono_s=0))
    assert len(messages.wire(row, published_ms=T0, backfill=False)) <= 8 * 500
