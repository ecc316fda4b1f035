"""Telemetry that waits for the same topic goes out together."""

from __future__ import annotations

import pytest
import zstandard

from gateway.consumer import Consumer, decode_all
from gateway.events import RowsStored
from gateway.streams import Stream
from gateway.uplink import frame
from gateway.uplink.messages import MAX_PAYLOAD
from gateway.uplink.shipper import Shipper, ShipperBounds
from gateway.uplink.telemetry import Telemetry
from tests.fixtures.readings import ASSET, DIGEST, EPOCH, GATEWAY, point, rows_of
from tests.fixtures.shipping import TOPICS, Bench, row_ids

ONE_S = ShipperBounds(bundle_s=1.0)


def up(bounds: ShipperBounds = ONE_S, window: int = 100) -> Bench:
    bench = Bench(window=window, bounds=bounds)
    bench.connect()
    bench.serve()
    return bench


def test_what_comes_within_the_time_goes_in_one_message() -> None:
    bench = up()
    for _ in range(9):
        bench.append(1)
        bench.tick(0.1)
    assert bench.published == []
    assert bench.shipper.wake_at == pytest.approx(1.0)
    bench.tick(0.11)
    (order,) = bench.published
    assert row_ids(order) == list(range(1, 10))
    assert order.encoding == "zstd"


def test_a_site_of_ten_fragments_a_second_publishes_once_a_second() -> None:
    bench = up()
    for _ in range(600):
        bench.append(1)
        bench.tick(0.1)
        bench.acknowledge()
    assert 50 <= len(bench.published) <= 60


def test_the_acknowledgement_takes_all_of_them_off_the_queue() -> None:
    bench = up()
    bench.append(5)
    bench.tick(1.0)
    assert set(bench.store) == {1, 2, 3, 4, 5}
    bench.acknowledge()
    bench.tick(0.1)
    assert not bench.store


def test_other_streams_and_assets_under_control_are_not_held() -> None:
    bench = up()
    bench.shipper.unhold(frozenset({ASSET}))
    bench.append(1)
    bench.append(1, asset="bess-2")
    bench.append(1, stream=Stream.EVENT, asset="bess-2")
    assert sorted(bench.ids()) == [1, 3]
    bench.tick(1.0)
    assert sorted(bench.ids()) == [1, 2, 3]


def test_without_the_setting_each_goes_at_once_and_alone() -> None:
    bench = up(ShipperBounds())
    bench.append(3)
    assert [row_ids(order) for order in bench.published] == [[1], [2], [3]]
    assert bench.published[0].encoding == ""


def test_history_goes_together_too_and_two_assets_do_not() -> None:
    bench = Bench(window=10)
    for asset in ("bess-1", "bess-2"):
        bench.append(20, asset=asset)
    bench.connect()
    bench.serve()
    found = [row_ids(order) for order in bench.published]
    assert found == [list(range(1, 21)), list(range(21, 41))]


def test_a_bundle_keeps_to_what_the_broker_takes() -> None:
    bench = Bench(window=10)
    bench.append(100, size=3000)
    bench.connect(max_packet=20_000)
    while bench.serve() or bench.acknowledge():
        pass
    bench.tick(1)
    assert not bench.store
    assert max(len(order.payload) for order in bench.published) <= 20_000 - 600
    assert len(bench.published) >= 18


def test_a_record_larger_than_a_bundle_may_be_goes_alone() -> None:
    bench = up()
    bench.append(1, size=10)
    bench.append(1, size=MAX_PAYLOAD)
    bench.append(1, size=10)
    bench.tick(1.0)
    assert [row_ids(order) for order in bench.published] == [[1], [2], [3]]


def test_a_bad_record_does_not_keep_its_bundle_back() -> None:
    bench = Bench(window=10)
    bench.append(5)
    bench.connect()
    bench.serve()
    bench.refuse()  # all of it
    for _ in range(200):
        bad = [at for at, one in enumerate(bench.in_flight.values()) if 3 in row_ids(one)]
        if bad:
            bench.refuse(bad[0])
        elif not (bench.serve() or bench.acknowledge()):
            bench.tick(1)
    assert set(bench.store) == {3}


def test_stored_frames_go_as_they_are_and_each_is_a_message() -> None:
    telemetry = Telemetry(ASSET, GATEWAY, DIGEST)
    batches = [
        batch
        for at in range(3)
        for batch in telemetry.take(
            [point(f"AI{k}", float(at * k)) for k in range(300)], mono_s=float(at)
        )
    ]
    rows = rows_of(batches)
    shipper = Shipper(TOPICS, bounds=ONE_S, epoch=EPOCH, last_id=0)
    bench = Bench(bounds=ONE_S)
    bench.shipper = shipper
    bench.connect()
    bench.serve()
    bench.post(RowsStored(tuple(rows)))
    bench.tick(1.0)
    (order,) = bench.published
    for row in rows:
        assert row.batch.body[12:] in order.payload  # nothing is compressed again
    consumer = Consumer(from_start=True)
    found = consumer.take(order.topic, order.payload, encoding=order.encoding)
    assert [message["n"] for message in found] == [300, 300, 300]
    assert (consumer.received, consumer.lost()) == (900, 0)


@pytest.mark.parametrize("size", [0, 1, frame.MAX_PREFIX, frame.MAX_PREFIX + 1, 200_000])
def test_a_raw_frame_holds_its_content(size: int) -> None:
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    made = frame.raw(content)
    assert zstandard.ZstdDecompressor().decompress(made) == content
    assert zstandard.frame_content_size(made) == size


def test_small_plain_messages_are_read_from_a_bundle() -> None:
    bench = up()
    bench.append(3)
    bench.tick(1.0)
    (order,) = bench.published
    assert [message["seq"] for message in decode_all(order.payload)] == [1, 2, 3]
