"""Rates, bytes in flight, quotas, and the history of an outage: around a real shipper."""

from __future__ import annotations

import math

from gateway.streams import Stream
from gateway.uplink.outage import LEAST_PER_S, OUTAGE_S, SPREAD_S, Outage
from gateway.uplink.shipper import ShipperBounds
from gateway.uplink.throttle import Throttle
from tests.fixtures.shipping import Bench


def run(bench: Bench, seconds: float, *, quota: float = math.inf) -> list[float]:
    """A broker that takes ``quota`` messages a second; when each was published, in s."""
    at: list[float] = []
    known = len(bench.published)
    end_s, second, taken = bench.mono_s + seconds, -1, 0
    while bench.mono_s < end_s:
        while bench.serve():
            pass
        at += [bench.mono_s] * (len(bench.published) - known)
        known = len(bench.published)
        if int(bench.mono_s) != second:
            second, taken = int(bench.mono_s), 0
        while bench.in_flight:
            taken += 1
            if taken > quota:
                bench.refuse(quota=True)
            else:
                bench.acknowledge()
            at += [bench.mono_s] * (len(bench.published) - known)
            known = len(bench.published)
        bench.tick(0.02)
    return at


def most_per_s(at: list[float]) -> int:
    return max(sum(first <= other < first + 1 for other in at) for first in at)


def test_a_site_may_bound_its_messages_a_second() -> None:
    bench = Bench(window=100, bounds=ShipperBounds(per_s=10))
    bench.append(200, stream=Stream.EVENT)
    bench.connect()
    at = run(bench, 10)
    assert most_per_s(at) <= 12
    assert 95 <= len(at) <= 105


def test_no_more_bytes_are_in_flight_than_the_site_says() -> None:
    bench = Bench(window=100, bounds=ShipperBounds(window_bytes=256 << 10))
    bench.append(100, stream=Stream.EVENT, size=50_000)
    bench.connect()
    bench.serve()
    assert sum(len(order.payload) for order in bench.in_flight.values()) <= 256 << 10
    assert len(bench.in_flight) > 1
    bench.drain()
    assert not bench.store


def test_a_quota_slows_history_down_and_live_data_is_not_blocked_for_long() -> None:
    bench = Bench(window=100)
    bench.append(3000, stream=Stream.EVENT)
    bench.connect()
    late: list[float] = []
    for _ in range(60):
        known = len(bench.published)
        (row,) = bench.append(1, stream=Stream.EVENT)
        began_s = bench.mono_s
        while not any(row.id in bench.ids(since=known) for _ in (0,)):
            run(bench, 0.1, quota=20)
            assert bench.mono_s - began_s < 5
        late.append(bench.mono_s - began_s)
        run(bench, 1.0, quota=20)
    assert sorted(late)[len(late) // 2] < 1.2
    assert bench.shipper.report(bench.now).blocked_topics == ()
    assert len(bench.acknowledged) > 400  # and the history goes on


def test_a_record_refused_for_a_quota_is_offered_again_and_not_lost() -> None:
    bench = Bench(window=100)
    bench.append(200, stream=Stream.EVENT)
    bench.connect()
    run(bench, 120, quota=20)
    bench.drain()
    assert not bench.store


def test_pubacks_that_were_passed_over_slow_us_down_on_the_next_connection() -> None:
    bench = Bench(window=100)
    bench.append(500, stream=Stream.EVENT)
    bench.connect()
    bench.serve()
    assert len(bench.in_flight) == 50
    bench.disconnect(silent=True)
    bench.mono_s += 2
    bench.connect()
    at = run(bench, 3)
    assert most_per_s(at) <= 28


def test_a_rate_that_was_learned_grows_again_until_it_is_none() -> None:
    throttle = Throttle()
    for _ in range(100):
        throttle.sent(0.0)
    throttle.slower(0.0)
    assert throttle.rate == 50
    throttle.slower(0.5)  # of the same burst
    assert throttle.rate == 50
    now_s = 0.0
    while math.isfinite(throttle.rate):
        now_s += 10
        throttle.ready_at(now_s)
    assert 200 < now_s < 300


def outage(bench: Bench, seconds: float) -> None:
    bench.disconnect()
    bench.mono_s += seconds


def test_after_an_outage_history_begins_at_random_in_the_first_minute_and_the_rest_at_once() -> (
    None
):
    bench = Bench(window=100)
    bench.connect()
    bench.serve()
    outage(bench, OUTAGE_S + 1)
    bench.append(10, stream=Stream.TELEMETRY)
    bench.append(10, stream=Stream.STATE)
    bench.append(1, stream=Stream.RESULT)
    bench.append(1, stream=Stream.EVENT)
    bench.connect(chance=0.5)
    began_s = bench.mono_s
    run(bench, 1)
    assert sorted(bench.ids()) == [21, 22]
    bench.append(1, stream=Stream.TELEMETRY)  # live
    run(bench, SPREAD_S / 2 - 2)
    assert sorted(bench.ids()) == [21, 22, 23]
    assert began_s < bench.shipper.wake_at <= began_s + SPREAD_S / 2
    run(bench, 2)
    assert len(bench.ids()) == 23


def test_a_start_and_a_short_outage_hold_nothing_back() -> None:
    bench = Bench(window=100)
    bench.append(10)
    bench.connect(chance=1.0)
    run(bench, 0.1)
    assert len(bench.ids()) == 10
    outage(bench, OUTAGE_S - 5)
    bench.append(10)
    bench.connect(chance=1.0)
    run(bench, 0.1)
    assert len(bench.ids()) == 20


def test_an_outages_history_keeps_to_its_rate_and_what_comes_later_does_not() -> None:
    bench = Bench(window=100, bounds=ShipperBounds(backfill_per_s=100))
    bench.connect()
    bench.serve()
    outage(bench, 3600)
    for _ in range(100):
        bench.append(1, asset="bess-1", stream=Stream.TELEMETRY)
        bench.append(1, asset="bess-2", stream=Stream.TELEMETRY)
    for _ in range(20):
        bench.append(20, stream=Stream.STATE)
    bench.connect()
    run(bench, 2)
    assert 150 <= len(bench.ids()) <= 320
    run(bench, 6)
    assert len(bench.ids()) == 600


def test_the_rate_follows_what_is_live() -> None:
    found = Outage()
    for second in range(100):
        found.live(500, float(second))
    found.begin(100.0)
    found.over(4000.0, chance=0.0)
    assert found._rate == LEAST_PER_S
    for second in range(4000, 4100):
        found.live(5000, float(second))
    assert 19_000 < found._rate < 21_000
