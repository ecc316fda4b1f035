from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from gateway.consumer import Consumer, decode, readings
from gateway.consumer.decoding import MAX_CONTENT
from gateway.consumer.intervals import Intervals
from gateway.errors import PayloadError
from gateway.streams import EpochEnded, Gap, Stream
from gateway.uplink import messages
from gateway.uplink.telemetry import Telemetry
from tests.fixtures.readings import (
    ASSET,
    DIGEST,
    EPOCH,
    GATEWAY,
    OTHER_EPOCH,
    T0,
    point,
    row,
    rows_of,
)

TOPIC = "bess/v1/gw-17/bess-1/event"


def event(seq: int, *, epoch: str = EPOCH) -> bytes:
    return messages.wire(row(seq, epoch=epoch), published_ms=T0, backfill=False)


def gap(seq: int, first: int, last: int, *, stream: Stream, epoch: str = "") -> bytes:
    batch = messages.notice_batch(
        Gap(stream, ASSET, first, last, "quota", epoch), T0, gateway=GATEWAY
    )
    [record] = rows_of([batch], first_seq=seq)
    return messages.wire(record, published_ms=T0, backfill=False)


def telemetry(n: int, *, seq: int) -> bytes:
    batches = Telemetry(ASSET, GATEWAY, DIGEST).take([point(f"AI{k}") for k in range(n)], mono_s=0)
    [record] = rows_of(batches, first_seq=seq)
    return messages.wire(record, published_ms=T0, backfill=False)


def test_a_record_counts_once_however_often_it_comes() -> None:
    consumer = Consumer()
    taken = [consumer.take(TOPIC, event(1)) for _ in range(3)]
    assert [len(each) for each in taken] == [1, 0, 0]
    assert (consumer.received, consumer.duplicates, consumer.lost()) == (1, 2, 0)


def test_the_same_number_in_another_epoch_is_another_record() -> None:
    consumer = Consumer()
    consumer.take(TOPIC, event(1))
    assert len(consumer.take(TOPIC, event(1, epoch=OTHER_EPOCH))) == 1
    assert consumer.duplicates == 0


def test_readings_of_a_batch_are_counted_one_by_one() -> None:
    consumer = Consumer()
    [message] = consumer.take(TOPIC, telemetry(500, seq=1))
    assert [each.seq for each in readings(message)] == list(range(1, 501))
    consumer.take(TOPIC, telemetry(500, seq=1001))
    assert (consumer.received, consumer.lost()) == (1000, 500)
    assert consumer.gaps((GATEWAY, "telemetry", EPOCH)) == [(501, 1000)]


def test_of_a_batch_that_overlaps_only_the_new_readings_are_given() -> None:
    consumer = Consumer()
    consumer.take(TOPIC, telemetry(2, seq=3))
    parts = consumer.take(TOPIC, telemetry(6, seq=1))
    found = [each.seq for part in parts for each in readings(part)]
    assert found == [1, 2, 5, 6]
    assert consumer.duplicates == 2


def test_what_is_missing_and_announced_is_not_lost() -> None:
    consumer = Consumer()
    consumer.take(TOPIC, telemetry(1, seq=1))
    consumer.take(TOPIC, telemetry(1, seq=12))
    assert consumer.lost() == 10
    consumer.take(TOPIC, gap(1, 2, 11, stream=Stream.TELEMETRY))
    assert (consumer.lost(), consumer.announced()) == (0, 10)


def test_an_announced_record_that_arrives_all_the_same_is_no_longer_missing() -> None:
    consumer = Consumer()
    consumer.take(TOPIC, gap(1, 2, 11, stream=Stream.TELEMETRY))
    consumer.take(TOPIC, telemetry(4, seq=2))
    assert consumer.announced() == 6


def test_a_gap_record_is_itself_a_numbered_event() -> None:
    consumer = Consumer()
    consumer.take(TOPIC, gap(1, 2, 11, stream=Stream.TELEMETRY))
    assert consumer.take(TOPIC, gap(1, 2, 11, stream=Stream.TELEMETRY)) == []
    consumer.take(TOPIC, event(3))
    assert consumer.gaps((GATEWAY, "event", EPOCH)) == [(2, 2)]


def test_a_gap_of_an_older_epoch_closes_the_hole_there() -> None:
    consumer = Consumer()
    consumer.take(TOPIC, event(1, epoch=OTHER_EPOCH))
    consumer.take(TOPIC, event(4, epoch=OTHER_EPOCH))
    assert consumer.lost() == 2
    consumer.take(TOPIC, gap(1, 2, 3, stream=Stream.EVENT, epoch=OTHER_EPOCH))
    assert consumer.lost() == 0


def test_a_consumer_that_listened_from_the_start_misses_the_first_records() -> None:
    late, early = Consumer(), Consumer(from_start=True)
    for consumer in (late, early):
        consumer.take(TOPIC, event(3))
    assert (late.lost(), early.lost()) == (0, 2)


def test_messages_without_a_number_are_always_new() -> None:
    payload = messages.status(
        gateway=GATEWAY, epoch=EPOCH, online=True, boot_id="b", since_ms=T0, unix_ms=T0
    )
    consumer = Consumer()
    assert [len(consumer.take(TOPIC, payload)) for _ in range(2)] == [1, 1]
    assert consumer.received == 0


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 12)), max_size=40))
def test_intervals_are_a_set_of_integers(spans: list[tuple[int, int]]) -> None:
    subject, model = Intervals(), set[int]()
    for first, width in spans:
        last = first + width
        fresh = subject.add(first, last)
        new = {n for a, b in fresh for n in range(a, b + 1)}
        assert new == set(range(first, last + 1)) - model
        model |= new
        assert subject.count == len(model)
    pairs = list(zip(subject.firsts, subject.lasts, strict=True))
    assert {n for a, b in pairs for n in range(a, b + 1)} == model
    assert all(a[1] + 1 < b[0] for a, b in itertools.pairwise(pairs))
    if model:
        missing = set(range(min(model), max(model) + 1)) - model
        assert {n for a, b in subject.holes() for n in range(a, b + 1)} == missing
        found = subject.missing(1, 80)
        assert {n for a, b in found for n in range(a, b + 1)} == set(range(1, 81)) - model


@pytest.mark.parametrize(
    ("payload", "wrong"),
    [
        (b"", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", 'has no "schema"'),
        (b'{"schema":1}', 'has no "schema"'),
        (b"\x28\xb5\x2f\xfdgarbage", "is not zstd"),
        (b'{"schema":"bess.event/1","seq":1}', "has gateway = None: must be text"),
        (
            b'{"schema":"bess.event/1","gateway":"g","epoch":"e","seq":true}',
            "has seq = True: must be an integer",
        ),
        (
            b'{"schema":"bess.telemetry/1","gateway":"g","epoch":"e","seq":1,"n":2,"t0":0}',
            "has no entries in 'point': must be n = 2",
        ),
        (
            b'{"schema":"bess.event/1","gateway":"g","epoch":"","seq":1,"type":"gap","from":3,"to":1}',
            "announces a gap from 3 to 1",
        ),
    ],
)
def test_what_is_not_ours_is_refused_with_the_topic_and_the_reason(
    payload: bytes, wrong: str
) -> None:
    with pytest.raises(PayloadError) as caught:
        Consumer().take("bess/v1/g/topic", payload)
    assert str(caught.value).startswith("bess/v1/g/topic: the payload ")
    assert wrong in str(caught.value)


def test_a_bomb_is_refused_by_what_its_frame_claims() -> None:
    bomb = zstandard.ZstdCompressor().compress(b" " * (MAX_CONTENT + 1))
    assert len(bomb) < 2000
    with pytest.raises(PayloadError, match="at most"):
        decode(bomb)


def test_a_bomb_that_claims_nothing_is_refused_by_what_comes_out() -> None:
    stream = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    bomb = stream.compress(b" " * (MAX_CONTENT + 1)) + stream.flush()
    with pytest.raises(PayloadError):
        decode(bomb)


def test_an_unknown_encoding_is_refused() -> None:
    with pytest.raises(PayloadError, match="encoding 'br': must be zstd or none"):
        decode(b"{}", encoding="br")


def test_zstd_is_recognised_with_and_without_the_property() -> None:
    payload = telemetry(500, seq=1)
    assert payload[:4] == b"\x28\xb5\x2f\xfd"
    assert decode(payload, encoding="zstd") == decode(payload)


def test_a_telemetry_message_whose_columns_differ_in_length_is_refused() -> None:
    message: dict[str, Any] = json.loads(telemetry(2, seq=1))
    message["flags"].append(1)
    with pytest.raises(PayloadError, match="has 3 entries in 'flags': must be n = 2"):
        list(readings(message))


@pytest.mark.parametrize(
    "wrong", [{"point": [7]}, {"dt": ["x"]}, {"dt": [-1]}, {"value": [None]}, {"value": [[]]}]
)
def test_a_row_that_is_no_reading_is_refused_and_not_a_crash(wrong: dict[str, Any]) -> None:
    message = {**decode(telemetry(1, seq=1)), **wrong}
    with pytest.raises(PayloadError, match="has the row"):
        list(readings(message))


def test_a_telemetry_message_without_a_reading_is_refused() -> None:
    columns: dict[str, Any] = {name: [] for name in ("point", "dt", "value", "flags", "tq")}
    empty = {**decode(telemetry(1, seq=5)), **columns, "n": 0}
    consumer = Consumer()
    with pytest.raises(PayloadError, match="n 1 or more"):
        consumer.take(TOPIC, json.dumps(empty).encode())
    assert consumer.keys() == []


@pytest.mark.parametrize(
    "topic",
    ["bess/v1/gw-18/bess-1/event", "bess/v1/gw-1/event", "other/gw-17/event", "gw-17/event", "x"],
)
def test_a_payload_on_the_topic_of_another_gateway_is_refused_and_counted(topic: str) -> None:
    consumer = Consumer()
    with pytest.raises(PayloadError, match="names the gateway 'gw-17': the topic is not one of"):
        consumer.take(topic, event(1))
    assert (consumer.refused, consumer.received, consumer.keys()) == (1, 0, [])


def test_a_message_without_a_number_is_believed_no_more_than_others() -> None:
    payload = messages.status(
        gateway="gw-18", epoch=EPOCH, online=True, boot_id="b", since_ms=T0, unix_ms=T0
    )
    with pytest.raises(PayloadError, match="names the gateway 'gw-18'"):
        Consumer().take("bess/v1/gw-17/status", payload)


def test_another_prefix_is_the_readers_choice() -> None:
    consumer = Consumer(prefix="fleet/a")
    assert len(consumer.take("fleet/a/gw-17/event", event(1))) == 1


def framed(*payloads: bytes) -> bytes:
    return b"".join(
        one if one[:4] == b"\x28\xb5\x2f\xfd" else zstandard.compress(one) for one in payloads
    )


def test_a_bundle_is_several_telemetry_messages_each_in_a_frame() -> None:
    consumer = Consumer()
    bundle = framed(telemetry(500, seq=1), telemetry(2, seq=501), telemetry(3, seq=503))
    assert [message["seq"] for message in consumer.take(TOPIC, bundle)] == [1, 501, 503]
    assert consumer.take(TOPIC, bundle) == []
    assert (consumer.received, consumer.duplicates, consumer.lost()) == (505, 505, 0)
    with pytest.raises(PayloadError, match="is a bundle of 3 messages"):
        decode(bundle)


def test_of_a_bundle_with_a_fault_nothing_is_taken() -> None:
    consumer = Consumer()
    foreign = json.dumps({**decode(telemetry(2, seq=3)), "gateway": "gw-18"}).encode()
    for second in (foreign, b"{}", event(3), b"nothing"):
        with pytest.raises(PayloadError):
            consumer.take(TOPIC, framed(telemetry(2, seq=1), second))
    with pytest.raises(PayloadError):
        consumer.take(TOPIC, framed(telemetry(2, seq=1))[:-3])
    with pytest.raises(PayloadError):
        consumer.take(TOPIC, framed(telemetry(2, seq=1)) + b"garbage")
    assert (consumer.received, consumer.keys()) == (0, [])


def test_a_bundle_of_bombs_is_refused() -> None:
    frame = zstandard.ZstdCompressor().compress(b" " * (MAX_CONTENT - 1))
    with pytest.raises(PayloadError):
        decode(frame * 40)


def ended(seq: int, last: int, *, start: int = 2, epoch: str, of: str) -> bytes:
    """The event with which ``epoch`` says how ``of`` ended."""
    over = {**dict.fromkeys(map(str, Stream), 0), "event": last}
    batch = messages.notice_batch(
        EpochEnded(of, start - 1, over, closed=True, told_in=start), T0, gateway=GATEWAY
    )
    [record] = rows_of([batch], first_seq=seq)
    return messages.wire(replace(record, epoch=epoch), published_ms=T0, backfill=False)


def birth(epoch: str, start: int) -> bytes:
    return json.dumps(
        {"schema": "bess.birth/1", "gateway": GATEWAY, "epoch": epoch, "seq": None, "start": start}
    ).encode()


def test_what_is_missing_at_the_end_of_an_epoch_is_lost() -> None:
    consumer = Consumer(from_start=True)
    consumer.take(TOPIC, event(1))
    assert consumer.lost() == 0
    consumer.take(TOPIC, ended(1, 3, epoch=OTHER_EPOCH, of=EPOCH))
    assert consumer.lost() == 2
    assert consumer.gaps((GATEWAY, "event", EPOCH)) == [(2, 3)]
    consumer.take(TOPIC, event(3))
    assert consumer.gaps((GATEWAY, "event", EPOCH)) == [(2, 2)]
    consumer.take(TOPIC, event(2))
    assert consumer.gaps((GATEWAY, "event", EPOCH)) == []
    assert consumer.went_back() == []


@pytest.mark.parametrize("late", [False, True])
def test_a_number_above_the_end_of_its_epoch_says_that_the_store_went_back(*, late: bool) -> None:
    consumer = Consumer(from_start=True)
    parts = [event(1), event(2), event(3), event(4)]
    end = ended(1, 2, epoch=OTHER_EPOCH, of=EPOCH)
    for payload in [*parts[:2], end, *parts[2:]] if late else [*parts, end]:
        assert consumer.take(TOPIC, payload)
    assert consumer.went_back() == [(GATEWAY, EPOCH, "event", 2, 4)]
    for payload in parts:
        assert consumer.take(TOPIC, payload) == []


def test_an_epoch_in_whose_place_another_follows_is_forgotten_unless_it_goes_on() -> None:
    consumer = Consumer(from_start=True)
    consumer.take(TOPIC, event(1, epoch="A"))
    consumer.take(TOPIC, ended(1, 1, epoch="B", of="A"))
    consumer.take(TOPIC, ended(1, 1, epoch="C", of="A"))
    assert consumer.went_back() == [(GATEWAY, "B", "event", 0, 1)]
    consumer.take(TOPIC, ended(1, 1, start=3, epoch="D", of="B"))  # a clone: it lives
    assert consumer.went_back() == []


def test_a_thousand_epochs_take_no_more_memory_than_64() -> None:
    consumer = Consumer(from_start=True)
    for number in range(1, 1001):
        consumer.take("bess/v1/gw-17/birth", birth(f"E{number}", number))
        if number > 1:
            payload = ended(1, 3, start=number, epoch=f"E{number}", of=f"E{number - 1}")
            consumer.take(TOPIC, payload)
        for seq in range(1 + (number > 1), 4):
            if (number, seq) != (7, 2):  # lost, and its epoch is let go later
                consumer.take(TOPIC, event(seq, epoch=f"E{number}"))
    known = consumer._gateways[GATEWAY].known
    assert len(known) == 64
    assert sum(not epoch.have for epoch in known.values()) == 63
    assert (consumer.received, consumer.lost()) == (2999, 1)


@pytest.mark.parametrize("is_born", [False, True])
def test_the_present_epoch_is_kept_though_its_start_is_counted_anew(*, is_born: bool) -> None:
    """A store was put back that had seen few starts; its records come twice."""
    consumer = Consumer(from_start=True)
    for number in range(100, 200):
        consumer.take("bess/v1/gw-17/birth", birth(f"E{number}", number))
        consumer.take(TOPIC, event(1, epoch=f"E{number}"))
    if is_born:
        consumer.take("bess/v1/gw-17/birth", birth("NEW", 3))
    assert consumer.take(TOPIC, event(1, epoch="NEW"))
    for number in range(4, 80):
        if is_born:
            consumer.take("bess/v1/gw-17/birth", birth(f"N{number}", number))
        assert consumer.take(TOPIC, event(1, epoch=f"N{number}"))
        assert consumer.take(TOPIC, event(1, epoch=f"N{number}")) == []
    assert consumer.lost() == 0


@pytest.mark.parametrize(
    "wrong", [{"start": None}, {"endedStart": -1}, {"last": 3}, {"last": {"event": "x"}}]
)
def test_an_end_of_an_epoch_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    message = {**decode(ended(1, 3, epoch=OTHER_EPOCH, of=EPOCH)), **wrong}
    with pytest.raises(PayloadError, match="announces the end of an epoch"):
        Consumer().take(TOPIC, json.dumps(message).encode())
