"""Brokers that want our memory, our time or our journal: real TLS, a broker of a few lines."""

from __future__ import annotations

import contextlib
import logging
import queue
import struct
import threading
import time
from typing import TYPE_CHECKING

import pytest

from gateway.demo.pki import Pki
from gateway.effects import Publish
from gateway.events import BrokerDown, BrokerUp, MessageArrived, PublishAcknowledged
from gateway.mqtt import moderation
from tests.fixtures.brokers import CONNACK, FakeBroker, Inbox, packets, session, site, suback
from tests.fixtures.deadline import DEADLINE_S

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

CONNECT, SUBSCRIBE = 1, 8
TOPIC = "bess/v1/gw-17/"
_ENDS = (PublishAcknowledged, BrokerDown)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


def publish(topic: str, payload: bytes, *, qos: int = 0, mid: int = 1) -> bytes:
    """A PUBLISH of MQTT 5 without properties."""
    name = topic.encode()
    head = struct.pack(">H", len(name)) + name + (struct.pack(">H", mid) if qos else b"")
    left, length = len(head) + 1 + len(payload), b""
    while True:
        left, digit = divmod(left, 128)
        length += bytes([digit | (0x80 if left else 0)])
        if not left:
            return bytes([0x30 | qos << 1]) + length + head + b"\x00" + payload


def greeted(then: Callable[[ssl.SSLSocket], None]) -> Callable[[ssl.SSLSocket], None]:
    """A broker that lets us in, and then does this."""

    def serve(connection: ssl.SSLSocket) -> None:
        for kind, body in packets(connection):
            if kind == CONNECT:
                connection.sendall(CONNACK)
            elif kind == SUBSCRIBE:
                connection.sendall(suback(body))
                with contextlib.suppress(OSError):
                    then(connection)
                return

    return serve


def test_of_a_flood_the_allowance_is_heard_and_it_is_said_once(
    pki: Pki, caplog: pytest.LogCaptureFixture
) -> None:
    done = threading.Event()

    def flooding(connection: ssl.SSLSocket) -> None:
        connection.sendall(publish(TOPIC + "hb/down", b"x" * 2000) * 2000)
        connection.sendall(publish(TOPIC + "made/up", b"x" * 2000) * 2000)
        connection.sendall(publish(TOPIC + "mgmt/req", b"last"))
        done.wait(DEADLINE_S)

    inbox, began = Inbox(), time.monotonic()
    with FakeBroker(pki, greeted(flooding)) as fake, session(site(pki, fake.port), inbox):
        inbox.wait(MessageArrived, lambda found: found.payload == b"last")
        allowed = moderation.BURST + moderation.PER_S * (time.monotonic() - began)
        done.set()
    heard = [one for one in inbox.seen if isinstance(one, MessageArrived)]
    assert {one.topic for one in heard} == {TOPIC + "hb/down", TOPIC + "mgmt/req"}
    # Reading four thousand packets takes seconds, each with its allowance.
    assert moderation.BURST < len(heard) <= allowed + 1  # the last one is of another topic
    said = [one for one in caplog.records if one.levelno >= logging.WARNING]
    assert len([one for one in said if "dropped" in one.getMessage()]) in (1, 2)


def test_a_message_at_qos_2_ends_the_connection_because_it_would_be_kept(pki: Pki) -> None:
    def keeping(connection: ssl.SSLSocket) -> None:
        connection.sendall(publish(TOPIC + "mgmt/req", b"x" * 100_000, qos=2))
        connection.recv(1)

    inbox = Inbox()
    with FakeBroker(pki, greeted(keeping)) as fake, session(site(pki, fake.port), inbox):
        assert "QoS 2" in inbox.wait(BrokerDown).cause


def test_a_broker_that_acknowledges_what_it_never_read_does_not_get_our_memory(pki: Pki) -> None:
    mids = queue.SimpleQueue[int]()

    def lying(connection: ssl.SSLSocket) -> None:
        while mid := mids.get():
            connection.sendall(b"\x40\x02" + struct.pack(">H", mid))

    inbox, ended = Inbox(), ""
    with FakeBroker(pki, greeted(lying)) as fake, session(site(pki, fake.port), inbox) as mqtt:
        inbox.wait(BrokerUp)
        for token in range(1, 1000):
            body = b"x" * 100_000
            mqtt.publish(Publish(token, TOPIC + "event", body, qos=1, retain=False))
            mids.put(token + 1)  # 1 was the SUBSCRIBE's
            found = inbox.wait(object, lambda one: isinstance(one, _ENDS))
            if isinstance(found, BrokerDown):
                ended = found.cause
                break
        mids.put(0)
    assert "reads nothing" in ended
    assert token < 500
