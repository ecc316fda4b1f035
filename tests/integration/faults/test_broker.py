"""A broker that loses an acknowledgement, and one that resets connections inside a packet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.effects import Publish
from gateway.events import BrokerDown, BrokerUp, PublishAcknowledged, PublishRefused
from tests.faults.middle import Middle
from tests.fixtures.brokers import CONNACK, FakeBroker, Inbox, packets, session, site, suback
from tests.fixtures.rig import Rig

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

    from gateway.demo.pki import Pki


def order(token: int) -> Publish:
    return Publish(token, "bess/v1/gw-17/event", b"{}", qos=1, retain=False)


def test_one_lost_puback_among_many_ends_the_connection_so_that_the_record_goes_again(
    pki: Pki,
) -> None:
    """Else it would be in flight for ever, and after a window of such the shipping stands still."""
    published = 0

    def lose_the_first(connection: ssl.SSLSocket) -> None:
        nonlocal published
        for kind, body in packets(connection):
            if kind == 1:
                connection.sendall(CONNACK)
            elif kind == 8:
                connection.sendall(suback(body))
            elif kind == 3:
                published += 1
                if published > 1:
                    size = int.from_bytes(body[:2], "big")
                    connection.sendall(b"\x40\x02" + body[2 + size : 4 + size])

    inbox = Inbox()
    with (
        FakeBroker(pki, lose_the_first) as broker,
        session(site(pki, broker.port), inbox, stalled_s=1.0) as mqtt,
    ):
        inbox.wait(BrokerUp)
        mqtt.publish(order(1))
        for token in range(2, 100_000):
            mqtt.publish(order(token))
            event = inbox.wait(object)
            if isinstance(event, BrokerDown):
                assert "no PUBACK" in event.cause
                break
            # Between the end of the connection and BrokerDown a publish is refused, not lost.
            assert isinstance(event, PublishAcknowledged | PublishRefused), event
        else:
            pytest.fail("it is in flight for ever")


def test_pubacks_lost_publishes_repeated_and_resets_inside_a_packet_lose_nothing(
    tmp_path: Path, pki: Pki
) -> None:
    with Rig(tmp_path, pki) as rig, Middle(pki, rig.broker.port) as middle:
        rig.listen()
        rig.daemon.configure(rig.assets, port=middle.port)
        rig.daemon.start()
        rig.daemon.up()
        middle.repeat = 0.3
        rig.daemon.until(lambda: middle.repeated >= 5, "nothing repeated")
        middle.lose, middle.reset = 0.02, 0.03
        rig.daemon.until(lambda: middle.resets >= 2, "no reset")
        middle.lose = middle.reset = 0.0
        rig.daemon.configure(rig.assets, port=rig.broker.port)
        rig.daemon.reload()
        rig.daemon.up()
        rig.verdict()
        assert rig.recorder.consumer.duplicates


def test_a_packet_larger_than_we_allow_is_not_gathered_in_memory(pki: Pki) -> None:
    sent = 0

    def flood(connection: ssl.SSLSocket) -> None:
        nonlocal sent
        for kind, body in packets(connection):
            if kind == 1:
                connection.sendall(CONNACK)
            elif kind == 8:
                connection.sendall(suback(body))
                connection.sendall(b"\x30\xff\xff\xff\x7f")  # 268 MB follow, it says
                while sent < 64 << 20:
                    connection.sendall(bytes(65_536))
                    sent += 65_536

    inbox = Inbox()
    with FakeBroker(pki, flood) as broker, session(site(pki, broker.port), inbox):
        inbox.wait(BrokerUp)
        down = inbox.wait(BrokerDown)
    assert "268435455 bytes" in down.cause
    assert sent < 64 << 20
