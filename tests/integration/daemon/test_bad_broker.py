"""A broker that is wrong, away or unkind: the daemon says why, keeps reading, loses nothing.

A wall clock that jumps cannot be made here without moving the machine's own clock; what the core
makes of it is tested in tests/unit/test_core.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.demo.broker import Broker, Limits
from tests.fixtures.brokers import CONNACK, FakeBroker, packets, suback
from tests.fixtures.daemon import GATEWAY
from tests.fixtures.rig import Rig
from tests.fixtures.tcp import Proxy

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

    from gateway.demo.pki import Pki

CONNECT, PUBLISH, SUBSCRIBE, PINGREQ = 1, 3, 8, 12


def waits(rig: Rig, *causes: str) -> None:
    """The daemon says ``causes`` in its log and in its status, and goes on collecting."""
    rig.daemon.logged("broker down", *causes)
    status = rig.daemon.status_when(
        lambda now: all(cause in now["broker"]["cause"] for cause in causes),
        "the cause is not in the status",
    )
    assert not status["healthy"]
    assert any(causes[0] in reason for reason in status["reasons"])
    rig.daemon.queue_when(lambda now: now["readings"] > 100, "nothing is collected")


def arrives(rig: Rig) -> None:
    """Everything since the daemon's start reaches the platform."""
    rig.daemon.up()
    rig.flows()
    rig.verdict()


def replaced(rig: Rig, folder: Path, pki: Pki) -> Broker:
    """A good broker on the port of a bad one, with the recorder subscribed before the daemon."""
    rig.broker.stop()
    good = Broker(folder / "good", pki=pki)
    good.port = rig.broker.port
    rig.daemon.pause()
    good.start()
    rig.listen()
    rig.daemon.resume()
    return good


@pytest.mark.parametrize(
    ("wrong", "cause"),
    [
        ("ca", "unknown CA: the broker's certificate"),
        ("stranger", "refused our certificate: it is signed by a CA that the broker does not"),
        ("expired", "refused our certificate: it has expired"),
    ],
)
def test_keys_that_do_not_fit_are_named_and_a_reload_with_good_ones_ships_everything(
    tmp_path: Path, pki: Pki, wrong: str, cause: str
) -> None:
    cert, key = pki.client(GATEWAY)
    tls = {
        "ca": (pki.other_ca, cert, key),
        "stranger": (pki.ca, *pki.stranger(GATEWAY)),
        "expired": (pki.ca, *pki.client(GATEWAY, expired=True)),
    }[wrong]
    with Rig(tmp_path, pki, tls=tls) as rig:
        rig.listen()
        rig.daemon.start()
        waits(rig, cause)
        rig.daemon.configure(
            rig.assets, ca_file=str(pki.ca), cert_file=str(cert), key_file=str(key)
        )
        rig.daemon.reload()
        arrives(rig)


@pytest.mark.parametrize(
    ("wrong", "cause"),
    [
        ("host", "wrong host name: the broker's certificate"),
        ("expired", "has expired"),
    ],
)
def test_a_broker_that_cannot_show_who_it_is_gets_nothing_until_it_can(
    tmp_path: Path, pki: Pki, wrong: str, cause: str
) -> None:
    hosts = ("mqtt.example.com",) if wrong == "host" else ()
    server = pki.broker(hosts=hosts, expired=wrong == "expired")
    with Rig(tmp_path, pki, server=server) as rig:
        rig.daemon.start()
        waits(rig, cause, f"localhost:{rig.broker.port}")
        good = replaced(rig, tmp_path, pki)
        try:
            arrives(rig)
        finally:
            good.stop()


def test_a_broker_that_is_down_at_the_start_gets_everything_later(tmp_path: Path, pki: Pki) -> None:
    with Rig(tmp_path, pki) as rig:
        rig.listen()
        rig.broker.stop()
        rig.daemon.start()
        waits(rig, "refused the connection: no broker listens there")
        rig.broker.start()
        arrives(rig)


@pytest.mark.parametrize("receive_max", [1, 2])
def test_a_small_receive_maximum_is_kept_and_everything_arrives(
    tmp_path: Path, pki: Pki, receive_max: int
) -> None:
    limits = Limits(receive_max=receive_max)
    with Rig(tmp_path, pki, limits=limits).run() as rig:
        rig.flow_of_the_outstation(more=200)
        rig.verdict()
        assert "more than its Receive Maximum" not in rig.daemon.log + rig.broker.log
        assert "broker down" not in rig.daemon.log


def test_a_broker_that_never_acknowledges_is_given_a_window_and_nothing_is_forgotten(
    tmp_path: Path, pki: Pki
) -> None:
    def swallow(connection: ssl.SSLSocket) -> None:
        for kind, body in packets(connection):
            if kind == CONNECT:
                connection.sendall(CONNACK)
            elif kind == SUBSCRIBE:
                connection.sendall(suback(body))
            elif kind == PINGREQ:
                connection.sendall(b"\xd0\x00")

    with Rig(tmp_path, pki, uplink={"window": 10}) as rig, FakeBroker(pki, swallow) as fake:
        rig.listen()
        rig.daemon.configure(rig.assets, port=fake.port)
        rig.daemon.start()
        rig.daemon.queue_when(
            lambda now: now["inFlight"] == 10 and now["readings"] > 200, "the window is not kept"
        )
        status = rig.daemon.ask("status")
        assert status["lastAcknowledgedS"] is None
        rig.daemon.configure(rig.assets, port=rig.broker.port)
        rig.daemon.reload()
        arrives(rig)


def test_a_broker_that_closes_in_the_middle_of_a_burst_gets_all_of_it(
    tmp_path: Path, pki: Pki
) -> None:
    closed = 0

    def close_in_burst(connection: ssl.SSLSocket) -> None:
        nonlocal closed
        publishes = 0
        for kind, body in packets(connection):
            if kind == CONNECT:
                connection.sendall(CONNACK)
            elif kind == SUBSCRIBE:
                connection.sendall(suback(body))
            publishes += kind == PUBLISH
            if publishes == 5:
                closed += 1
                return

    with Rig(tmp_path, pki) as rig, FakeBroker(pki, close_in_burst) as fake:
        rig.listen()
        rig.daemon.configure(rig.assets, port=fake.port)
        rig.daemon.start()
        rig.daemon.until(lambda: closed >= 2, "it did not come back")
        waits(rig, "closed the connection")
        rig.daemon.configure(rig.assets, port=rig.broker.port)
        rig.daemon.reload()
        arrives(rig)


def test_a_network_that_breaks_under_load_loses_nothing(tmp_path: Path, pki: Pki) -> None:
    with Rig(tmp_path, pki) as rig, Proxy(rig.broker.port) as network:
        rig.listen()
        rig.daemon.configure(rig.assets, port=network.port)
        rig.daemon.start()
        rig.daemon.up()
        rig.flows()
        for cuts in range(3):
            network.cut()
            rig.daemon.until(lambda: network.connections > cuts + 1, "it stayed away")  # noqa: B023 - called at once
            rig.flows()
        arrives(rig)
