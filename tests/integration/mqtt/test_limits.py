"""Brokers that say what they lack, or enforce what their pages document: all of it is obeyed."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from gateway.demo.broker import Broker
from gateway.demo.pki import Pki
from gateway.effects import Publish
from gateway.events import BrokerDown, BrokerUp, PublishRefused, ThreadFault
from gateway.mqtt import connection as connection_module
from gateway.mqtt import session as session_module
from tests.fixtures import limited_broker as limited
from tests.fixtures.brokers import CONNACK, WAIT_S, FakeBroker, Inbox, packets, session, site
from tests.fixtures.limited_broker import Limited

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

STATE = "bess/v1/gw-17/bess-1/state"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


def state(token: int = 1, size: int = 2) -> Publish:
    return Publish(token, STATE, b"x" * size, qos=1, retain=True)


def test_a_broker_without_retained_messages_is_used_without_them(pki: Pki) -> None:
    broker, inbox = Limited(tells={limited.RETAIN: 0}), Inbox()
    with FakeBroker(pki, broker.serve) as fake, session(site(pki, fake.port), inbox) as mqtt:
        inbox.wait(BrokerUp)
        mqtt.publish(state())
        assert inbox.taken() == 1
    assert [told.will_retain for told in broker.connects] == [True, False]
    assert [one.retain for one in broker.arrived] == [False]
    assert not any(isinstance(each, BrokerDown) for each in inbox.seen)


@pytest.mark.parametrize(("protocol", "retain"), [("5", True), ("5", False), ("3.1.1", False)])
def test_a_mosquitto_without_retained_messages_is_used_without_them(
    tmp_path: Path, pki: Pki, protocol: str, *, retain: bool
) -> None:
    broker, inbox = Broker(tmp_path / "b", pki=pki, retained=False), Inbox()
    broker.start()
    try:
        settings = site(pki, broker.port, protocol=protocol, retain=retain)
        with session(settings, inbox) as mqtt:
            inbox.wait(BrokerUp)
            mqtt.publish(state())
            assert inbox.taken() == 1
    finally:
        broker.stop()


def test_a_broker_of_qos_0_alone_is_named_as_one(pki: Pki) -> None:
    for broker in (Limited(tells={limited.MAX_QOS: 0}), Limited(code=0x9B)):
        inbox = Inbox()
        with FakeBroker(pki, broker.serve) as fake, session(site(pki, fake.port), inbox):
            assert "the broker takes QoS 0 only" in inbox.wait(BrokerDown).cause
            assert not any(isinstance(each, BrokerUp) for each in inbox.seen)


def test_a_subscribe_names_no_more_than_eight_topics(pki: Pki) -> None:
    broker, inbox = Limited(filters=8), Inbox()
    settings = site(pki, 0, assets=20)
    with FakeBroker(pki, broker.serve) as fake:
        with session(site(pki, fake.port, assets=20), inbox):
            inbox.wait(BrokerUp)
        assert [len(some) for some in broker.subscribed] == [8, 8, 6]
        wanted = {f"bess/v1/gw-17/{one.id}/cmd" for one in settings.assets}
        assert wanted < {topic for some in broker.subscribed for topic in some}


def test_what_the_broker_refuses_us_to_hear_is_told(pki: Pki) -> None:
    broker, inbox = Limited(refuses=("/cmd",)), Inbox()
    with FakeBroker(pki, broker.serve) as fake, session(site(pki, fake.port), inbox):
        assert inbox.wait(BrokerUp).refused == ("bess/v1/gw-17/bess-1/cmd",)


def test_the_servers_keep_alive_is_obeyed(pki: Pki) -> None:
    broker, inbox = Limited(tells={limited.KEEP_ALIVE: 1}), Inbox()
    with (
        FakeBroker(pki, broker.serve) as fake,
        session(site(pki, fake.port, keepalive_s=3600), inbox),
    ):
        inbox.wait(BrokerUp)
        end = time.monotonic() + WAIT_S
        while len(broker.pings) < 2:
            assert time.monotonic() < end, "no PING"
            time.sleep(0.05)
        assert not any(isinstance(each, BrokerDown) for each in inbox.seen)


def test_a_packet_larger_than_the_broker_takes_never_leaves(pki: Pki) -> None:
    broker, inbox = Limited(tells={limited.MAX_PACKET: 4096}), Inbox()
    with FakeBroker(pki, broker.serve) as fake, session(site(pki, fake.port), inbox) as mqtt:
        inbox.wait(BrokerUp)
        mqtt.publish(state(1, 5000))
        assert "takes packets up to 4096" in inbox.wait(PublishRefused).cause
        mqtt.publish(state(2, 3000))
        assert inbox.taken() == 2


def test_every_message_and_the_will_name_the_gateway(pki: Pki) -> None:
    broker, inbox = Limited(), Inbox()
    with FakeBroker(pki, broker.serve) as fake, session(site(pki, fake.port), inbox) as mqtt:
        inbox.wait(BrokerUp)
        mqtt.publish(state())
        inbox.taken()
    assert broker.connects[0].will_properties == {"gateway": "gw-17"}
    assert [one.properties for one in broker.arrived] == [{"gateway": "gw-17"}]


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_site_may_give_user_name_password_protocol_name_and_client_id(
    tmp_path: Path, pki: Pki, protocol: str
) -> None:
    secret = tmp_path / "password"
    secret.write_text("s3 cret\n")
    broker, inbox = Limited(password=b"s3 cret"), Inbox()
    with FakeBroker(pki, broker.serve, alpn=("mqtt",)) as fake:
        settings = site(
            pki,
            fake.port,
            protocol=protocol,
            username="box-17",
            password_file=str(secret),
            alpn="mqtt",
            client_id="box/17",
        )
        with session(settings, inbox):
            inbox.wait(BrokerUp)
    [told] = broker.connects
    assert (told.username, told.password) == ("box-17", b"s3 cret")
    assert (told.alpn, told.client_id) == ("mqtt", "box/17")


def test_a_wrong_password_is_named(tmp_path: Path, pki: Pki) -> None:
    secret = tmp_path / "password"
    secret.write_text("wrong")
    broker, inbox = Limited(password=b"right"), Inbox()
    with FakeBroker(pki, broker.serve) as fake:
        settings = site(pki, fake.port, username="box-17", password_file=str(secret))
        with session(settings, inbox):
            assert "bad user name or password" in inbox.wait(BrokerDown).cause


def test_the_next_host_is_tried_where_one_is_dead_or_sends_us_away(pki: Pki) -> None:
    inbox, broker = Inbox(), Limited()
    with FakeBroker(pki, broker.serve) as fake:
        settings = site(pki, fake.port, hosts=("no-such-host.invalid", "localhost"))
        for _ in range(4):  # whatever the order is
            with session(settings, inbox):
                inbox.wait(BrokerUp)
    assert not any("no-such" in str(each) for each in inbox.seen)


def test_a_round_over_all_hosts_is_one_failure_and_names_them_all(pki: Pki) -> None:
    inbox = Inbox()
    settings = site(pki, 1, hosts=("one.invalid", "two.invalid"))
    with session(settings, inbox):
        cause = inbox.wait(BrokerDown).cause
    assert "one.invalid cannot be resolved" in cause
    assert "two.invalid cannot be resolved" in cause


@pytest.mark.parametrize("code", [0x9C, 0x9D])
def test_a_broker_that_sends_us_away_is_not_waited_for(pki: Pki, code: int) -> None:
    first, inbox = threading.Event(), Inbox()
    other = Limited()

    def away(connection: ssl.SSLSocket) -> None:
        if first.is_set():
            other.serve(connection)
            return
        first.set()
        next(packets(connection))
        connection.sendall(bytes([0x20, 3, 0, code, 0]))

    with FakeBroker(pki, away) as fake:
        settings = site(pki, fake.port, hosts=("localhost", "Localhost"))
        with session(settings, inbox):
            inbox.wait(BrokerUp)
    assert not any(isinstance(each, BrokerDown) for each in inbox.seen)


def test_a_broker_of_3_1_1_alone_is_named_as_one(pki: Pki) -> None:
    broker, inbox = Limited(only_3_1_1=True), Inbox()
    with FakeBroker(pki, broker.serve) as fake:
        with session(site(pki, fake.port), inbox):
            assert 'set [uplink] protocol = "3.1.1"' in inbox.wait(BrokerDown).cause
        with session(site(pki, fake.port, protocol="3.1.1"), inbox):
            inbox.wait(BrokerUp)


def test_one_that_closes_on_a_connect_of_mqtt_5_may_be_of_3_1_1(pki: Pki) -> None:
    def closing(connection: ssl.SSLSocket) -> None:
        next(packets(connection))

    inbox = Inbox()
    with FakeBroker(pki, closing) as fake:
        with session(site(pki, fake.port), inbox):
            cause = inbox.wait(BrokerDown).cause
        assert "before it answered our CONNECT: perhaps it speaks MQTT 3.1.1 alone" in cause
        with session(site(pki, fake.port, protocol="3.1.1"), inbox):
            assert inbox.wait(BrokerDown).cause.endswith("before it answered our CONNECT")


def test_one_that_closes_on_our_subscribe_is_not_said_to_have_closed_on_connect(pki: Pki) -> None:
    def closing(connection: ssl.SSLSocket) -> None:
        for kind, _ in packets(connection):
            if kind != limited.CONNECT:
                return
            connection.sendall(CONNACK)

    inbox = Inbox()
    with FakeBroker(pki, closing) as fake, session(site(pki, fake.port), inbox):
        assert inbox.wait(BrokerDown).cause.endswith("before it answered our SUBSCRIBE")


def test_a_broker_that_drops_what_is_too_much_in_silence_is_found_out_soon(
    pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As AWS IoT Core does beyond its publish rate: later messages are acknowledged."""
    monkeypatch.setattr(connection_module, "SKIPPED_S", 0.2)
    broker, inbox = Limited(per_s=5), Inbox()
    with FakeBroker(pki, broker.serve) as fake, session(site(pki, fake.port), inbox) as mqtt:
        inbox.wait(BrokerUp)
        for token in range(1, 100):
            mqtt.publish(state(token))
        while len(broker.arrived) < 5:
            inbox.taken()
        time.sleep(1.1)  # the broker's next second
        mqtt.publish(state(100))
        down = inbox.wait(BrokerDown)
    assert down.silent
    assert "acknowledged later messages and not the oldest" in down.cause


def test_a_resolver_that_hangs_ends_no_thread_and_the_cause_is_told(
    pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs = threading.Event()

    def ask(*_: object, **__: object) -> list[tuple[object, ...]]:
        hangs.wait(WAIT_S)
        return []

    monkeypatch.setattr(session_module, "CONNECT_S", 0.05)
    inbox = Inbox()
    with session(site(pki, 1, host="mqtt.example.com"), inbox, start=False) as mqtt:
        mqtt._resolver._ask = ask  # as a resolver whose servers are dead
        mqtt.start()
        causes = [inbox.wait(BrokerDown).cause for _ in range(3)]
        before = mqtt.beat
        inbox.wait(BrokerDown)
        assert mqtt.beat > before
        hangs.set()
    assert all("DNS: no answer for mqtt.example.com" in cause for cause in causes)
    assert not any(isinstance(each, ThreadFault) for each in inbox.seen)
