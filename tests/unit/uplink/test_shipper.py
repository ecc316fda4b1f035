from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.clock import Now
from gateway.consumer import decode_all
from gateway.effects import Publish
from gateway.events import PublishAcknowledged, RowsStored, StopAsked
from gateway.streams import Codec, Stream
from gateway.uplink import shipper as shipper_module
from gateway.uplink.history import CHUNK
from gateway.uplink.refusals import BLOCK_S, ENDINGS, HOLD_S, STRIKES
from gateway.uplink.shipper import ShipperBounds
from tests.fixtures.readings import OTHER_EPOCH, T0
from tests.fixtures.shipping import Bench, row_id


def test_nothing_is_published_before_the_broker_is_up() -> None:
    bench = Bench()
    bench.append(3)
    assert bench.published == []


def test_live_rows_are_published_from_the_event_without_asking_the_store() -> None:
    bench = Bench()
    bench.connect()
    bench.serve()
    bench.append(3)
    assert bench.ids(backfill=False) == [1, 2, 3]
    assert not bench.fetches


def test_what_was_stored_before_the_connection_is_history() -> None:
    bench = Bench()
    bench.append(3)
    bench.connect()
    bench.serve()
    assert bench.ids(backfill=True) == [1, 2, 3]
    assert bench.ids(backfill=False) == []


def test_live_rows_go_before_history() -> None:
    bench = Bench(window=4)
    bench.append(100, stream=Stream.EVENT)
    bench.connect()
    bench.append(1)
    bench.serve()
    bench.append(1)
    assert bench.ids() == [101, 1, 2, 102]


def test_history_uses_at_most_half_of_the_window() -> None:
    bench = Bench(window=10)
    bench.append(100, stream=Stream.EVENT)
    bench.connect()
    bench.serve()
    assert len(bench.in_flight) == 5
    bench.append(5)
    assert len(bench.in_flight) == 10


def test_history_goes_by_priority_and_then_oldest_first() -> None:
    bench = Bench()
    bench.append(2, stream=Stream.TELEMETRY)
    bench.append(2, stream=Stream.EVENT)
    bench.append(1, stream=Stream.STATE)
    bench.append(1, stream=Stream.RESULT)
    bench.connect()
    bench.drain()
    assert bench.ids() == [6, 3, 4, 5, 1, 2]


def test_a_waiting_result_overtakes_waiting_telemetry() -> None:
    bench = Bench(window=1)
    bench.connect()
    bench.serve()
    bench.append(5, stream=Stream.TELEMETRY)
    bench.append(1, stream=Stream.RESULT)
    bench.acknowledge()
    assert bench.ids() == [1, 6]


def test_a_row_is_deleted_only_after_its_acknowledgement() -> None:
    bench = Bench()
    bench.append(1)
    bench.connect()
    bench.serve()
    bench.tick(60)
    assert set(bench.store) == {1}
    bench.acknowledge()
    bench.tick(1)
    assert not bench.store


def test_deletes_are_grouped_but_not_for_long() -> None:
    bench = Bench(window=100)
    bench.connect()
    bench.serve()
    bench.append(80)
    for _ in range(63):
        bench.acknowledge()
    assert not bench.forgotten
    bench.acknowledge()
    assert len(bench.forgotten) == 64
    bench.acknowledge()
    assert bench.shipper.wake_at == pytest.approx(bench.mono_s + shipper_module.FORGET_S)
    bench.tick(shipper_module.FORGET_S)
    assert len(bench.forgotten) == 65


def test_what_was_in_flight_when_the_broker_went_comes_again_as_history() -> None:
    bench = Bench()
    bench.connect()
    bench.serve()
    bench.append(3)
    bench.acknowledge()
    bench.disconnect()
    assert set(bench.store) == {2, 3}
    since = len(bench.published)
    bench.connect()
    bench.drain()
    assert bench.ids(since=since, backfill=True) == [2, 3]
    assert not bench.store


def test_an_acknowledgement_from_before_the_disconnect_deletes_nothing_afterwards() -> None:
    bench = Bench()
    bench.connect()
    bench.append(1)
    token = next(iter(bench.in_flight))
    bench.disconnect()
    bench.post(PublishAcknowledged(token))
    bench.tick(1)
    assert set(bench.store) == {1}


def test_the_answer_to_a_fetch_from_before_the_disconnect_is_ignored() -> None:
    bench = Bench()
    bench.append(3)
    bench.connect()
    stale = bench.fetches[0]
    bench.disconnect()
    bench.serve()
    bench.connect()
    bench.fetches.appendleft(stale)
    bench.serve()
    assert bench.published == []
    bench.serve()
    assert bench.ids() == [1, 2, 3]


@pytest.mark.parametrize("receive_max", [1, 2, 7])
def test_the_brokers_receive_maximum_lowers_the_window(receive_max: int) -> None:
    bench = Bench(window=100)
    bench.append(50)
    bench.connect(receive_max)
    bench.append(50)
    bench.serve()
    assert len(bench.in_flight) == receive_max
    bench.drain()
    assert not bench.store


def test_a_long_backlog_is_read_in_chunks_ahead_of_the_shipping() -> None:
    bench = Bench(window=10)
    bench.append(5 * CHUNK)
    bench.connect()
    bench.serve()
    fetched_ahead = 0
    while bench.store:
        bench.serve()
        fetched_ahead += bool(bench.fetches and bench.in_flight)
        bench.acknowledge()
        if not bench.in_flight:
            bench.tick(1)
    assert bench.ids() == list(range(1, 5 * CHUNK + 1))


def test_live_rows_that_memory_cannot_hold_are_fetched_later_in_order() -> None:
    bench = Bench(window=2)
    bench.connect()
    bench.serve()
    size = 100_000
    bench.append(100, size=size)
    waiting = bench.shipper.report(bench.now).live_waiting
    assert waiting * size <= shipper_module.LIVE_BYTES
    bench.drain()
    assert not bench.store
    live, old = bench.ids(backfill=False), bench.ids(backfill=True)
    assert live == sorted(live)
    assert old == sorted(old)
    assert sorted(live + old) == list(range(1, 101))


def test_events_are_still_held_when_telemetry_has_filled_the_memory() -> None:
    bench = Bench(window=1)
    bench.connect()
    bench.serve()
    bench.append(100, size=100_000)
    bench.append(1, stream=Stream.EVENT)
    bench.acknowledge()
    assert bench.ids()[-1] == 101


def test_live_state_is_retained_and_its_history_goes_elsewhere_unretained() -> None:
    bench = Bench()
    bench.append(1, stream=Stream.STATE)
    bench.connect()
    bench.serve()
    bench.append(1, stream=Stream.STATE)
    found = {
        row_id(order): (order.topic.split("/", 3)[3], order.retain) for order in bench.published
    }
    assert found == {1: ("bess-1/state/backfill", False), 2: ("bess-1/state", True)}


def test_a_compressed_body_says_so() -> None:
    bench = Bench()
    bench.connect()
    [row] = bench.append(1)
    assert bench.published[0].encoding == ""
    frame = b"\x28\xb5\x2f\xfd\x20\x01\x09\x00\x00}"  # a raw block of one byte
    batch = dataclasses.replace(row.batch, codec=Codec.ZSTD, body=frame)
    _, effects = bench.shipper.handle(
        RowsStored((dataclasses.replace(row, id=9, batch=batch),)), bench.now
    )
    [order] = [each for each in effects if isinstance(each, Publish)]
    assert order.encoding == "zstd"


def test_one_refused_record_is_kept_and_offered_again_without_stopping_the_others() -> None:
    bench = Bench()
    bench.append(5, stream=Stream.EVENT)
    bench.connect()
    bench.serve()
    bench.refuse(2)
    while bench.acknowledge():
        pass
    bench.tick(1)
    assert set(bench.store) == {3}
    assert bench.ids() == [1, 2, 3, 4, 5]
    bench.drain()
    assert not bench.store
    assert bench.mono_s >= BLOCK_S


def test_a_topic_that_refuses_everything_is_left_alone_for_a_while_and_others_go_on() -> None:
    bench = Bench(window=20)
    bench.connect()
    bench.serve()
    bench.append(STRIKES, stream=Stream.TELEMETRY)
    for _ in range(STRIKES):
        bench.refuse()
    assert len(bench.logs) == 1
    assert bench.shipper.report(bench.now).blocked_topics == ("bess/v1/gw-17/bess-1/telemetry",)
    since = len(bench.published)
    bench.append(500, stream=Stream.TELEMETRY)
    bench.append(2, stream=Stream.EVENT)
    assert bench.ids(since=since) == [504, 505]
    bench.drain()
    assert not bench.store


def test_a_broker_that_refuses_for_ever_is_not_asked_in_a_hot_loop() -> None:
    bench = Bench(window=20)
    bench.connect()
    bench.append(200)
    for _ in range(20_000):
        if bench.mono_s > 3600:
            break
        if not (bench.serve() or bench.refuse()):
            bench.tick(max(0.01, min(5.0, bench.shipper.wake_at - bench.mono_s)))
    assert bench.mono_s > 3600
    assert len(bench.published) < 300
    assert len(bench.store) == 200


def test_a_record_that_ends_the_connection_is_found_and_held_and_all_others_arrive() -> None:
    bench = Bench(window=20)
    bench.append(60, stream=Stream.EVENT)
    poison = 37
    ended = 0
    bench.connect()
    for _ in range(5000):
        at = [row_id(order) for order in bench.in_flight.values()]
        if poison in at and at.index(poison) == 0:
            ended += 1
            bench.disconnect()
            bench.mono_s += 5
            bench.connect()
        elif not (bench.serve() or bench.acknowledge()):
            bench.tick(0.5)
        if set(bench.store) == {poison} and bench.shipper.idle:
            break
    assert set(bench.store) == {poison}
    assert bench.shipper.report(bench.now).held == 1
    assert ended <= ENDINGS + 3
    assert any("held back" in each.text for each in bench.logs)
    bench.tick(HOLD_S)
    bench.serve()
    assert [row_id(order) for order in bench.in_flight.values()] == [poison]


def test_a_network_that_fails_again_and_again_holds_no_record_back() -> None:
    """Silent for 20 s, then gone, ten times: the same record is the oldest in flight each time."""
    bench = Bench(window=20)
    bench.append(3)
    for _ in range(10):
        bench.connect()
        bench.serve()
        assert bench.in_flight
        bench.mono_s += 20
        bench.disconnect()
    bench.connect()
    while bench.serve() or bench.acknowledge():
        pass
    bench.tick(0.5)
    assert not bench.store
    assert bench.shipper.report(bench.now).held == 0


def test_a_record_that_cannot_be_encoded_is_held_and_the_others_go_on() -> None:
    bench = Bench()
    bench.connect()
    bench.serve()
    [row] = bench.append(1)
    bench.acknowledge()
    batch = dataclasses.replace(row.batch, codec=Codec.ZSTD)
    bad = dataclasses.replace(row, id=2, batch=batch)
    bench.store[2], bench.last_id = bad, 2
    bench.post(RowsStored((bad,)))
    assert "record 2 cannot be shipped" in bench.logs[0].text
    bench.append(1)
    assert bench.ids()[-1] == 3


def test_a_new_epoch_forgets_the_old_ids_so_that_no_wrong_row_is_deleted() -> None:
    bench = Bench()
    bench.connect()
    bench.serve()
    bench.append(5)
    tokens = list(bench.in_flight)
    bench.acknowledge()
    bench.last_id = 0
    bench.store.clear()
    bench.in_flight.clear()
    bench.report_depth(OTHER_EPOCH)
    for token in tokens:
        bench.post(PublishAcknowledged(token))
    bench.tick(1)
    assert not bench.forgotten
    bench.append(1)
    assert bench.ids()[-1] == 1


def test_ids_that_start_again_mean_a_new_epoch_before_any_report_says_so() -> None:
    bench = Bench()
    bench.connect()
    bench.serve()
    bench.append(5)
    tokens = list(bench.in_flight)
    bench.in_flight.clear()
    bench.last_id = 0
    bench.store.clear()
    bench.append(1)
    for token in tokens:
        bench.post(PublishAcknowledged(token))
    bench.tick(1)
    assert not bench.forgotten


def test_when_stopping_nothing_more_is_published_and_deletes_are_not_delayed() -> None:
    bench = Bench(window=2)
    bench.connect()
    bench.serve()
    bench.append(5)
    bench.post(StopAsked("SIGTERM"))
    idle = [bench.shipper.idle]
    for _ in range(2):
        bench.acknowledge()
        idle.append(bench.shipper.idle)
    assert idle == [False, False, True]
    assert bench.forgotten == {1, 2}
    assert len(bench.published) == 2


def test_a_resized_window_holds_from_the_next_record_on() -> None:
    bench = Bench(window=10)
    bench.connect()
    bench.serve()
    bench.append(20)
    bench.shipper.resize(ShipperBounds(window=2))
    for _ in range(8):
        bench.acknowledge()
    assert len(bench.in_flight) == 2


def test_the_report_knows_the_backfill_rate_and_the_time_left() -> None:
    bench = Bench(window=10)
    bench.append(1000, stream=Stream.EVENT)
    bench.connect()
    for _ in range(200):
        bench.serve()
        bench.acknowledge()
        bench.tick(0.05)
    report = bench.shipper.report(bench.now)
    assert report.backfilling
    assert report.backfill_per_s == pytest.approx(20, rel=0.2)
    assert report.acknowledged == 200
    assert report.newest_acknowledged_ms == T0 + 200
    assert report.age_s(T0 + 5200) == pytest.approx(5.0)


def test_events_of_other_parts_change_nothing() -> None:
    bench = Bench()
    assert bench.post(object()) == []


def test_an_acknowledgement_costs_the_same_with_a_full_window_as_with_an_empty_one() -> None:
    bench = Bench(window=1000)
    bench.connect()
    bench.serve()
    bench.append(5000)
    before = len(bench.published)
    bench.acknowledge(500)
    assert len(bench.published) == before + 1


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 30), st.sampled_from(list(Stream))),
        st.tuples(st.just("connect"), st.integers(1, 12), st.none()),
        st.tuples(st.just("disconnect"), st.just(0), st.none()),
        st.tuples(st.just("acknowledge"), st.integers(0, 20), st.none()),
        st.tuples(st.just("refuse"), st.integers(0, 20), st.none()),
        st.tuples(st.just("quota"), st.integers(0, 20), st.none()),
        st.tuples(st.just("unheard"), st.integers(0, 20), st.none()),
        st.tuples(st.just("serve"), st.just(0), st.none()),
        st.tuples(st.just("tick"), st.integers(0, 40), st.none()),
    ),
    max_size=120,
)


BOUNDS = st.builds(
    ShipperBounds,
    window_bytes=st.sampled_from([1 << 18, 4 << 20]),
    per_s=st.sampled_from([None, 1.0, 20.0]),
    backfill_per_s=st.sampled_from([None, 100.0]),
    bundle_s=st.sampled_from([0.0, 1.0, 10.0]),
)


def act(bench: Bench, kind: str, number: int) -> None:
    """One thing that a broker, a store or the time does."""
    match kind:
        case "connect" if not bench.up:
            bench.connect(number)
        case "disconnect" if bench.up:
            bench.disconnect()
        case "acknowledge":
            bench.acknowledge(number)
        case "refuse" | "quota":
            bench.refuse(number, quota=kind == "quota")
        case "unheard" if bench.keeps(number):
            bench.unheard(number)
        case "serve":
            bench.serve()
        case "tick":
            bench.tick(number)


@given(actions=ACTIONS, window=st.integers(1, 12), bounds=BOUNDS)
def test_whatever_broker_and_store_do_nothing_is_lost_or_deleted_unacknowledged(
    actions: list[tuple[str, int, Stream | None]], window: int, bounds: ShipperBounds
) -> None:
    # It asserts window and deletions at every step; 0x10 for every topic, so that all of it waits.
    bench = Bench(window=window, bounds=bounds, require=True)
    for kind, number, stream in actions:
        if stream is not None:
            bench.append(number, stream=stream)
        else:
            act(bench, kind, number)
    if bench.up:
        bench.disconnect()
    bench.tick(100_000)
    bench.connect()
    bench.drain()
    assert not bench.store
    assert bench.forgotten == set(range(1, bench.last_id + 1))


@given(actions=ACTIONS, window=st.integers(1, 12), bounds=BOUNDS)
def test_within_a_connection_each_stream_keeps_its_order_live_and_as_history(
    actions: list[tuple[str, int, Stream | None]], window: int, bounds: ShipperBounds
) -> None:
    bench = Bench(window=window, bounds=bounds)
    since = 0
    for kind, number, stream in actions:
        match kind:
            case "append":
                assert stream is not None
                bench.append(number, stream=stream)
            case "connect" | "disconnect":
                if bench.up:
                    bench.disconnect()
                since = len(bench.published)
                bench.connect(number or 5)
            case "acknowledge":
                bench.acknowledge(number)
            case "serve":
                bench.serve()
            case _:
                bench.tick(number)
        for of in Stream:
            for backfill in (False, True):
                ids = [
                    message["seq"]
                    for order in bench.published[since:]
                    for message in decode_all(order.payload)
                    if message["schema"] == f"bess.{of.value}/1" and message["backfill"] is backfill
                ]
                assert ids == sorted(set(ids))


def test_a_new_epoch_with_deletes_under_way_does_not_wake_the_core_for_ever() -> None:
    bench = Bench()
    bench.append(1)
    bench.connect()
    bench.serve()
    bench.acknowledge()
    bench.report_depth(OTHER_EPOCH)  # the delete is still to come, and now means nothing
    bench.fetches.clear()
    assert bench.shipper.wake_at == math.inf


def test_neither_an_outstations_clock_nor_ours_hides_a_standstill() -> None:
    bench = Bench()
    (made,) = bench.append(1)
    far = dataclasses.replace(made.batch, t_max=1 << 47)
    bench.store[made.id] = dataclasses.replace(made, batch=far)
    bench.connect()
    bench.serve()
    bench.acknowledge()
    early_ms = T0 - 3_600_000
    report = bench.shipper.report(Now(bench.mono_s + 100, early_ms))
    assert report.age_s(early_ms) == 100
    assert report.age_s(T0 + 200_000) == pytest.approx(200, abs=1)
