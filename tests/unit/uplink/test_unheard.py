"""Nobody subscribes: PUBACK 0x10, around a real shipper."""

from __future__ import annotations

import itertools

import pytest

from gateway.streams import Stream
from gateway.uplink.unheard import PROBE_MAX_S, PROBE_S
from tests.fixtures.shipping import Bench, row_id

TELEMETRY = "bess/v1/gw-17/bess-1/telemetry"
EVENT = "bess/v1/gw-17/bess-1/event"


def heard(**change: object) -> Bench:
    """A broker from which somebody took telemetry and events before, connected."""
    bench = Bench(window=20, facts={TELEMETRY, EVENT}, **change)  # type: ignore[arg-type]  # test's
    bench.connect()
    bench.serve()
    return bench


def test_a_record_that_nobody_takes_is_kept_where_somebody_took_before() -> None:
    bench = heard()
    bench.append(3)
    for _ in range(3):
        bench.unheard()
    bench.tick(1)
    assert set(bench.store) == {1, 2, 3}
    assert bench.shipper.report(bench.now).unheard_topics == (TELEMETRY,)
    assert [each.text for each in bench.logs] == [
        f"nobody subscribes to {TELEMETRY}: its records are kept here until somebody does"
    ]


def test_one_record_at_a_time_asks_again_and_less_and_less_often() -> None:
    bench = heard()
    bench.append(30)
    while bench.unheard():
        pass
    asked: list[float] = []
    for _ in range(2000):
        if bench.in_flight:
            assert len(bench.in_flight) == 1
            asked.append(bench.mono_s)
            bench.unheard()
        elif not bench.serve():
            bench.tick(0.5)
        if bench.mono_s > 400:
            break
    waits = [round(then - before) for before, then in itertools.pairwise(asked)]
    assert min(waits) >= PROBE_S
    assert set(waits[3:]) == {round(PROBE_MAX_S)}
    assert len(bench.store) == 30


def test_the_other_topics_go_on_meanwhile() -> None:
    bench = heard()
    bench.append(1)
    bench.unheard()
    since = len(bench.published)
    bench.append(2)
    bench.append(2, stream=Stream.EVENT)
    assert bench.ids(since=since) == [4, 5]


def test_when_somebody_takes_again_everything_follows_at_once() -> None:
    bench = heard()
    bench.append(40)
    while bench.unheard():
        pass
    bench.tick(PROBE_S)
    bench.serve()
    assert len(bench.in_flight) == 1
    bench.acknowledge(taken=True)
    at_s = bench.mono_s
    while bench.serve() or bench.acknowledge(taken=True):
        pass
    bench.tick(0.1)
    assert not bench.store
    assert bench.mono_s - at_s < 1
    assert sorted(bench.acknowledged) == list(range(1, 41))


def test_where_nobody_ever_took_it_counts_as_delivered_and_is_said_once() -> None:
    bench = Bench(window=20)
    bench.connect()
    bench.serve()
    bench.append(3)
    for _ in range(3):
        bench.unheard(delivered=True)
    bench.tick(1)
    assert not bench.store
    assert len(bench.logs) == 1
    assert "counts as delivered" in bench.logs[0].text


def test_that_somebody_took_is_remembered_once_and_over_a_restart() -> None:
    bench = Bench(window=20)
    bench.connect()
    bench.serve()
    bench.append(1)
    bench.acknowledge(taken=True)
    assert bench.facts == {TELEMETRY}
    again = Bench(window=20, facts=bench.facts)
    again.connect()
    again.serve()
    again.append(1)
    again.unheard()
    again.tick(1)
    assert set(again.store) == {1}


def test_an_acknowledgement_of_3_1_1_says_nothing_about_readers() -> None:
    bench = Bench(window=20)
    bench.connect()
    bench.serve()
    bench.append(1)
    bench.acknowledge(taken=False)
    assert bench.facts == set()


@pytest.mark.parametrize("require", [True, False])
def test_a_site_may_say_whether_it_matters(require: bool) -> None:
    bench = Bench(window=20, facts=set() if require else {TELEMETRY}, require=require)
    bench.connect()
    bench.serve()
    bench.append(1)
    bench.unheard(delivered=not require)
    bench.tick(1)
    assert set(bench.store) == ({1} if require else set())


@pytest.mark.parametrize("stream", [Stream.STATE, Stream.AUDIT])
def test_retained_topics_and_audit_wait_for_nobody(stream: Stream) -> None:
    bench = Bench(window=20, require=True)
    bench.connect()
    bench.serve()
    bench.append(1, stream=stream)
    bench.unheard(delivered=True)
    bench.tick(1)
    assert not bench.store


def test_the_history_of_the_state_waits() -> None:
    bench = Bench(window=20, require=True)
    bench.append(1, stream=Stream.STATE)
    bench.connect()
    bench.serve()
    bench.unheard()
    bench.tick(1)
    assert set(bench.store) == {1}


def test_after_a_reconnect_one_probe_goes_at_once() -> None:
    bench = heard()
    bench.append(5)
    while bench.unheard():
        pass
    bench.disconnect()
    bench.connect()
    bench.serve()
    assert [row_id(order) for order in bench.in_flight.values()] == [1]
