"""Brokers that refuse us, that we refuse, and that misbehave."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from gateway.demo.broker import Broker
from gateway.demo.pki import Pki
from gateway.effects import Publish
from gateway.events import BrokerDown, BrokerUp, MessageArrived, PublishAcknowledged, ThreadFault
from tests.fixtures.brokers import CONNACK, FakeBroker, Inbox, packets, session, site, suback

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator
    from pathlib import Path

CONNECT, PUBLISH, SUBSCRIBE = 1, 3, 8


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> Iterator[Broker]:
    found = Broker(tmp_path_factory.mktemp("broker"), pki=pki)
    found.start()
    yield found
    found.stop()


def cause(pki: Pki, port: int, **change: object) -> str:
    """Why the first attempt failed."""
    inbox = Inbox()
    with session(site(pki, port, **change), inbox):  # type: ignore[arg-type]  # test's keywords
        found = inbox.wait(BrokerDown).cause
    assert not any(isinstance(each, ThreadFault) for each in inbox.seen)
    return found


def test_a_broker_of_another_ca_is_refused(pki: Pki, broker: Broker) -> None:
    assert cause(pki, broker.port, ca=pki.other_ca).startswith("unknown CA: the broker's cert")


def test_a_broker_with_another_host_name_is_refused(tmp_path: Path, pki: Pki) -> None:
    wrong = Broker(tmp_path / "b", pki=pki, server=pki.broker(hosts=("mqtt.example.com",)))
    wrong.start()
    try:
        assert cause(pki, wrong.port).startswith("wrong host name: the broker's certificate")
        assert "wrong host name" in cause(pki, wrong.port, host="127.0.0.1")
    finally:
        wrong.stop()


def test_a_broker_with_an_expired_certificate_is_refused(tmp_path: Path, pki: Pki) -> None:
    old = Broker(tmp_path / "b", pki=pki, server=pki.broker(expired=True))
    old.start()
    try:
        assert "has expired" in cause(pki, old.port)
    finally:
        old.stop()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_the_broker_says_that_our_certificate_has_expired(
    pki: Pki, broker: Broker, protocol: str
) -> None:
    found = cause(pki, broker.port, protocol=protocol, identity=pki.client("gw-17", expired=True))
    assert "refused our certificate: it has expired" in found


def test_the_broker_says_that_it_does_not_know_our_ca(pki: Pki, broker: Broker) -> None:
    found = cause(pki, broker.port, identity=pki.stranger("gw-17"))
    assert "refused our certificate: it is signed by a CA that the broker does not" in found


def test_nobody_listens(pki: Pki) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        assert "no broker listens there" in cause(pki, bound.getsockname()[1])


def test_a_name_that_does_not_resolve(pki: Pki) -> None:
    assert "cannot be resolved" in cause(pki, 8883, host="no-such-host.invalid")


def test_a_port_without_tls(pki: Pki) -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def greet() -> None:
        connection, _ = listener.accept()
        connection.sendall(b"220 this is no broker\r\n")
        connection.recv(4096)
        connection.close()

    thread = threading.Thread(target=greet, daemon=True)
    thread.start()
    assert "does not speak TLS" in cause(pki, listener.getsockname()[1])
    thread.join(5)
    listener.close()


def welcome(connection: ssl.SSLSocket) -> Iterator[tuple[int, bytes]]:
    """Answer CONNECT and SUBSCRIBE; the rest is the test's."""
    for kind, body in packets(connection):
        if kind == CONNECT:
            connection.sendall(CONNACK)
        elif kind == SUBSCRIBE:
            connection.sendall(suback(body))
        else:
            yield kind, body


def end_with(
    pki: Pki,
    serve: Callable[[ssl.SSLSocket], None],
    *,
    publish: int = 0,
    stalled_s: float = 60.0,
) -> Inbox:
    """Publish against a fake broker until the connection ends."""
    inbox = Inbox()
    with (
        FakeBroker(pki, serve) as fake,
        session(site(pki, fake.port), inbox, stalled_s=stalled_s) as mqtt,
    ):
        if publish:
            inbox.wait(BrokerUp)
        for token in range(1, publish + 1):
            mqtt.publish(Publish(token, "bess/v1/gw-17/event", b"{}", qos=1, retain=False))
        inbox.wait(BrokerDown)
    assert not any(isinstance(each, ThreadFault) for each in inbox.seen)
    return inbox


def last_cause(inbox: Inbox) -> str:
    found = [each.cause for each in inbox.seen if isinstance(each, BrokerDown)]
    return found[0]


def test_a_broker_that_never_acknowledges_leaves_everything_unacknowledged(pki: Pki) -> None:
    def silent(connection: ssl.SSLSocket) -> None:
        for _ in welcome(connection):
            pass

    inbox = end_with(pki, silent, publish=50, stalled_s=1.0)
    assert last_cause(inbox) == "50 messages in flight and no PUBACK for 1 s"
    assert not any(isinstance(each, PublishAcknowledged) for each in inbox.seen)


def test_a_broker_that_closes_in_a_burst_acknowledged_only_what_it_acknowledged(pki: Pki) -> None:
    def closing(connection: ssl.SSLSocket) -> None:
        for at, (kind, body) in enumerate(welcome(connection)):
            assert kind == PUBLISH
            if at == 20:
                return
            mid = body[2 + int.from_bytes(body[:2], "big") :][:2]
            connection.sendall(b"\x40\x02" + mid)

    inbox = end_with(pki, closing, publish=100)
    tokens = [each.token for each in inbox.seen if isinstance(each, PublishAcknowledged)]
    assert tokens == list(range(1, len(tokens) + 1))
    assert len(tokens) <= 20


def test_a_session_that_is_taken_over_says_so(pki: Pki) -> None:
    def taken(connection: ssl.SSLSocket) -> None:
        for _ in welcome(connection):
            connection.sendall(b"\xe0\x02\x8e\x00")
            connection.recv(1)

    assert "two gateways share one id" in last_cause(end_with(pki, taken, publish=1))


def test_a_broker_that_refuses_the_connection_says_why(pki: Pki) -> None:
    def refusing(connection: ssl.SSLSocket) -> None:
        for _ in packets(connection):
            connection.sendall(bytes.fromhex("2003008700"))
            return

    found = last_cause(end_with(pki, refusing))
    assert found.startswith("the broker refused us: not authorized")


def test_a_refusal_after_the_session_was_up_ends_it_and_does_not_hang_the_uplink(pki: Pki) -> None:
    def changing_its_mind(connection: ssl.SSLSocket) -> None:
        for kind, body in packets(connection):
            if kind == CONNECT:
                connection.sendall(CONNACK)
            elif kind == SUBSCRIBE:
                connection.sendall(suback(body))
                connection.sendall(bytes.fromhex("2003008700"))

    assert last_cause(end_with(pki, changing_its_mind))


def test_a_broker_that_closes_before_it_answers(pki: Pki) -> None:
    def closing(connection: ssl.SSLSocket) -> None:
        next(packets(connection))

    assert "closed the connection" in last_cause(end_with(pki, closing))


@pytest.mark.parametrize(
    "garbage",
    [b"\x20\x03\x00\x00\xff", b"\xff" * 64, b"\x20\xff\xff\xff\xff\xff", b"\x20\x00", b"\x90\x00"],
)
def test_garbage_ends_the_connection_and_not_the_thread(pki: Pki, garbage: bytes) -> None:
    def babbling(connection: ssl.SSLSocket) -> None:
        next(packets(connection))
        connection.sendall(garbage)

    assert last_cause(end_with(pki, babbling))


def test_an_oversized_message_of_a_broker_that_ignores_our_limit_is_cut(pki: Pki) -> None:
    def flooding(connection: ssl.SSLSocket) -> None:
        for _ in welcome(connection):
            for size in (200_000, 10):
                body = b"\x00\x16bess/v1/gw-17/mgmt/req\x00" + b"x" * size
                length = bytes(
                    [len(body) % 128 | 0x80, len(body) // 128 % 128 | 0x80, len(body) >> 14]
                )
                connection.sendall(b"\x30" + length + body)

    inbox = Inbox()
    with FakeBroker(pki, flooding) as fake, session(site(pki, fake.port), inbox) as mqtt:
        inbox.wait(BrokerUp)
        mqtt.publish(Publish(1, "bess/v1/gw-17/event", b"{}", qos=1, retain=False))
        sizes = [len(inbox.wait(MessageArrived).payload) for _ in range(2)]
        assert sizes == [16 * 1024 + 1, 10]
