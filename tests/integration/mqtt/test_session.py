"""The real session against a real mosquitto with mutual TLS."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from gateway.demo.broker import Broker, Limits
from gateway.demo.pki import Pki
from gateway.effects import Publish
from gateway.errors import ConfigError
from gateway.events import (
    BrokerDown,
    BrokerUp,
    MessageArrived,
    PublishAcknowledged,
    PublishRefused,
    PublishUnheard,
)
from tests.fixtures.brokers import TAKEN, WAIT_S, Inbox, Subscriber, session, site
from tests.fixtures.schemas import check

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EVENTS = "bess/v1/gw-17/bess-1/event"
ACKED = (*TAKEN, PublishRefused)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def broker(tmp_path: Path, pki: Pki) -> Iterator[Broker]:
    found = Broker(tmp_path / "broker", pki=pki)
    found.start()
    yield found
    found.stop()


def order(
    token: int, payload: bytes = b"{}", *, topic: str = EVENTS, retain: bool = False
) -> Publish:
    return Publish(token, topic, payload, qos=1, retain=retain, encoding="zstd")


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_message_arrives_at_the_platform_and_is_acknowledged(
    pki: Pki, broker: Broker, protocol: str
) -> None:
    inbox = Inbox()
    with (
        Subscriber(pki, broker.port) as platform,
        session(site(pki, broker.port, protocol=protocol), inbox) as mqtt,
    ):
        inbox.wait(BrokerUp)
        mqtt.publish(order(7, b'{"a":1}'))
        assert inbox.wait(PublishAcknowledged).token == 7
        message = platform.on(EVENTS)
        assert message.payload == b'{"a":1}'
        assert message.qos == 1
        if protocol == "5":
            assert message.properties is not None
            told = vars(message.properties)
            assert told["ContentType"] == "application/json"
            assert told["UserProperty"] == [("gateway", "gw-17"), ("encoding", "zstd")]


def test_a_broker_of_mqtt_5_says_that_nobody_subscribes(pki: Pki, broker: Broker) -> None:
    inbox = Inbox()
    with session(site(pki, broker.port), inbox) as mqtt:
        inbox.wait(BrokerUp)
        mqtt.publish(order(1))
        with Subscriber(pki, broker.port):
            mqtt.publish(order(2))
            first, second = inbox.take(TAKEN, 2)
    assert first == PublishUnheard(1)
    assert second == PublishAcknowledged(2, taken=True)


def test_mqtt_3_1_1_does_not_say_whether_anybody_subscribes(pki: Pki, broker: Broker) -> None:
    inbox = Inbox()
    with session(site(pki, broker.port, protocol="3.1.1"), inbox) as mqtt:
        inbox.wait(BrokerUp)
        mqtt.publish(order(1))
        assert inbox.wait(PublishAcknowledged) == PublishAcknowledged(1, taken=False)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_the_will_says_offline_when_the_gateway_vanishes(
    tmp_path: Path, pki: Pki, protocol: str
) -> None:
    broker = Broker(tmp_path / "b", pki=pki)
    broker.start()
    inbox = Inbox()
    try:
        with Subscriber(pki, broker.port) as platform:
            with session(site(pki, broker.port, protocol=protocol), inbox) as mqtt:
                inbox.wait(BrokerUp)
                connection = mqtt._connection
                assert connection is not None
                connection._client.socket().shutdown(2)  # type: ignore[union-attr]  # as a cut cable
                message = platform.on("bess/v1/gw-17/status")
                inbox.wait(BrokerDown)
            status = json.loads(message.payload)
            check(status)
            assert status["online"] is False
        with Subscriber(pki, broker.port) as late:
            assert late.on("bess/v1/gw-17/status").retain
    finally:
        broker.stop()


def test_the_will_follows_the_queue_into_a_new_epoch(pki: Pki, broker: Broker) -> None:
    inbox, epoch = Inbox(), "01JDNEWEP0CH00000000000000"
    with (
        Subscriber(pki, broker.port) as platform,
        session(site(pki, broker.port), inbox) as mqtt,
    ):
        inbox.wait(BrokerUp)
        mqtt.follow(epoch)
        assert inbox.wait(BrokerDown).cause == "the queue began a new epoch"
        inbox.wait(BrokerUp)
        mqtt.follow(epoch)  # known already: the connection stays
        mqtt.publish(order(1))
        inbox.taken()
        connection = mqtt._connection
        assert connection is not None
        connection._client.socket().shutdown(2)  # type: ignore[union-attr]  # as a cut cable
        status = json.loads(platform.on("bess/v1/gw-17/status").payload)
        check(status)
        assert (status["online"], status["epoch"]) == (False, epoch)


def test_closing_waits_for_what_is_in_flight_and_sends_no_will(pki: Pki, broker: Broker) -> None:
    inbox = Inbox()
    with Subscriber(pki, broker.port) as platform:
        with session(site(pki, broker.port), inbox, close_s=WAIT_S) as mqtt:
            inbox.wait(BrokerUp)
            for token in range(1, 201):
                mqtt.publish(order(token))
        assert len(inbox.take(ACKED, 200)) == 200
        assert inbox.wait(BrokerDown).cause == "closed by the gateway"
        mark = "bess/v1/gw-17/done"
        with session(site(pki, broker.port), inbox) as mqtt:
            inbox.wait(BrokerUp)
            mqtt.publish(order(1, topic=mark))
            topics = [platform.next().topic for _ in range(201)]
        assert "bess/v1/gw-17/status" not in topics
        assert topics[-1] == mark


def test_a_retained_message_is_there_for_a_platform_that_comes_later(
    pki: Pki, broker: Broker
) -> None:
    inbox = Inbox()
    with session(site(pki, broker.port), inbox) as mqtt:
        inbox.wait(BrokerUp)
        mqtt.publish(order(1, b'{"n":1}', topic="bess/v1/gw-17/bess-1/state", retain=True))
        inbox.taken()
        with Subscriber(pki, broker.port) as late:
            message = late.on("bess/v1/gw-17/bess-1/state")
            assert message.retain
            assert message.payload == b'{"n":1}'


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_commands_heartbeats_and_requests_are_heard_and_retained_ones_are_marked(
    pki: Pki, broker: Broker, protocol: str
) -> None:
    inbox = Inbox()
    with Subscriber(pki, broker.port, name="dispatcher") as dispatcher:
        dispatcher.publish("bess/v1/gw-17/bess-1/cmd", b"old", retain=True)
        with session(site(pki, broker.port, protocol=protocol), inbox):
            old = inbox.wait(MessageArrived)
            assert (old.payload, old.retained) == (b"old", True)
            dispatcher.publish("bess/v1/gw-17/bess-1/cmd", b"new")
            dispatcher.publish("bess/v1/gw-17/hb/down", b"beat")
            dispatcher.publish("bess/v1/gw-17/mgmt/req", b"ask")
            found = inbox.take((MessageArrived,), 3)
            assert [(each.payload, each.retained) for each in found] == [
                (b"new", False),
                (b"beat", False),
                (b"ask", False),
            ]


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_of_a_message_of_more_than_sixteen_kibibytes_one_byte_too_many_is_let_in(
    pki: Pki, broker: Broker, protocol: str
) -> None:
    inbox = Inbox()
    with (
        Subscriber(pki, broker.port, name="dispatcher") as dispatcher,
        session(site(pki, broker.port, protocol=protocol), inbox),
    ):
        inbox.wait(BrokerUp)
        for size in (100 * 1024, 16 * 1024 + 1, 16 * 1024):
            dispatcher.publish("bess/v1/gw-17/bess-1/cmd", b"x" * size)
        sizes = [len(inbox.wait(MessageArrived).payload) for _ in range(3)]
        assert sizes == [16 * 1024 + 1, 16 * 1024 + 1, 16 * 1024]


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_every_message_of_a_burst_is_acknowledged_once(
    pki: Pki, broker: Broker, protocol: str
) -> None:
    inbox = Inbox()
    with (
        Subscriber(pki, broker.port) as platform,
        session(site(pki, broker.port, protocol=protocol), inbox) as mqtt,
    ):
        inbox.wait(BrokerUp)
        for token in range(1, 3001):
            mqtt.publish(order(token, b"%d" % token))
        tokens = [each.token for each in inbox.take((PublishAcknowledged,), 3000)]
        assert sorted(tokens) == list(range(1, 3001))
        assert [int(platform.on(EVENTS).payload) for _ in range(3000)] == list(range(1, 3001))


def test_a_small_receive_maximum_is_told_and_never_exceeded(tmp_path: Path, pki: Pki) -> None:
    broker = Broker(tmp_path / "b", pki=pki, limits=Limits(receive_max=2))
    broker.start()
    inbox = Inbox()
    try:
        with session(site(pki, broker.port), inbox) as mqtt:
            assert inbox.wait(BrokerUp).receive_max == 2
            for token in range(1, 501):
                mqtt.publish(order(token))
            inbox.take(TAKEN, 500)
            assert not any(isinstance(each, BrokerDown) for each in inbox.seen)
    finally:
        broker.stop()


def test_a_message_that_the_broker_would_not_take_is_refused_without_losing_the_connection(
    tmp_path: Path, pki: Pki
) -> None:
    broker = Broker(tmp_path / "b", pki=pki, limits=Limits(max_packet_size=4000))
    broker.start()
    inbox = Inbox()
    try:
        with session(site(pki, broker.port), inbox) as mqtt:
            inbox.wait(BrokerUp)
            mqtt.publish(order(1, b"x" * 5000))
            refused = inbox.wait(PublishRefused)
            assert (refused.token, "takes packets up to 4000" in refused.cause) == (1, True)
            mqtt.publish(order(2, b"x" * 3000))
            assert inbox.taken() == 2
    finally:
        broker.stop()


def test_a_topic_that_the_acl_denies_is_refused_in_words(pki: Pki, broker: Broker) -> None:
    inbox = Inbox()
    with session(site(pki, broker.port), inbox) as mqtt:
        inbox.wait(BrokerUp)
        mqtt.publish(order(3, topic="bess/v1/other/bess-1/event"))
        assert "not authorized" in inbox.wait(PublishRefused).cause


def test_the_session_comes_back_with_the_broker(pki: Pki, broker: Broker) -> None:
    inbox = Inbox()
    with session(site(pki, broker.port), inbox) as mqtt:
        inbox.wait(BrokerUp)
        broker.stop()
        assert "closed the connection" in inbox.wait(BrokerDown).cause
        assert "no broker listens there" in inbox.wait(BrokerDown).cause
        mqtt.publish(order(1))
        assert inbox.wait(PublishRefused).cause == "not connected"
        broker.start()
        inbox.wait(BrokerUp)
        mqtt.publish(order(2))
        assert inbox.taken() == 2


def test_a_frozen_broker_acknowledges_nothing_and_the_connection_is_given_up(
    pki: Pki, broker: Broker
) -> None:
    inbox = Inbox()
    with session(site(pki, broker.port), inbox, stalled_s=1.0) as mqtt:
        inbox.wait(BrokerUp)
        broker.freeze()
        mqtt.publish(order(1))
        assert "no PUBACK for 1 s" in inbox.wait(BrokerDown).cause
        assert not any(isinstance(each, PublishAcknowledged) for each in inbox.seen)
        broker.thaw()
        inbox.wait(BrokerUp)


def test_two_gateways_with_one_id_are_told_so(pki: Pki, broker: Broker) -> None:
    first, second = Inbox(), Inbox()
    with session(site(pki, broker.port), first):
        first.wait(BrokerUp)
        with session(site(pki, broker.port), second):
            second.wait(BrokerUp)
            first.wait(BrokerDown, lambda down: "another client" in down.cause)
            # mosquitto 2.0.11 just closes, 2.0.21 says why: both must lead to the right thought


def test_new_settings_are_used_without_a_restart(tmp_path: Path, pki: Pki, broker: Broker) -> None:
    other = Broker(tmp_path / "other", pki=pki)
    other.start()
    inbox = Inbox()
    try:
        with session(site(pki, broker.port), inbox) as mqtt:
            inbox.wait(BrokerUp)
            mqtt.replace(site(pki, other.port))
            assert inbox.wait(BrokerDown).cause == "the settings were replaced"
            inbox.wait(BrokerUp)
            assert other.logged("gw-17", within_s=WAIT_S)
    finally:
        other.stop()


def test_new_settings_that_do_not_connect_are_dropped_for_the_old_ones(
    pki: Pki, broker: Broker
) -> None:
    inbox = Inbox()
    with session(site(pki, broker.port), inbox) as mqtt:
        inbox.wait(BrokerUp)
        mqtt.replace(site(pki, broker.port, identity=pki.stranger("gw-17")))
        cause = inbox.wait(BrokerDown, lambda down: "replaced" not in down.cause).cause
        assert "refused our certificate" in cause
        assert "the old ones are used again" in cause
        inbox.wait(BrokerUp)


def test_settings_whose_files_are_wrong_change_nothing(
    tmp_path: Path, pki: Pki, broker: Broker
) -> None:
    inbox = Inbox()
    with session(site(pki, broker.port), inbox) as mqtt:
        inbox.wait(BrokerUp)
        with pytest.raises(ConfigError, match="cannot be read"):
            mqtt.replace(site(pki, broker.port, ca=tmp_path / "missing.pem"))
        mqtt.publish(order(1))
        inbox.taken()
