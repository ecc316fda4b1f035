"""A platform that is away, and one that may not be heard: what the daemon makes of it."""

from __future__ import annotations

import contextlib
import json
import queue
from typing import TYPE_CHECKING

from gateway.consumer import Consumer
from gateway.demo.broker import Broker
from gateway.sim.launch import SimProcess
from tests.fixtures.brokers import FakeBroker, Subscriber
from tests.fixtures.daemon import DEADLINE_S, Asset, Daemon
from tests.fixtures.limited_broker import Limited

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.demo.pki import Pki

TELEMETRY = "bess/v1/gw-17/bess-1/telemetry"


def read(reader: Subscriber, consumer: Consumer, *, until: int) -> None:
    """Take what comes until there are so many records."""
    while consumer.received < until:
        message = reader.next()
        consumer.take(message.topic, bytes(message.payload))


def test_what_is_recorded_while_the_reader_is_gone_with_its_session_waits_for_the_next_one(
    tmp_path: Path, pki: Pki
) -> None:
    """Its session ends with its connection; the gateway is killed meanwhile, too."""
    consumer = Consumer()
    with contextlib.ExitStack() as site:
        broker = Broker(tmp_path / "broker", pki=pki)
        broker.start()
        site.callback(broker.stop)
        field = site.enter_context(contextlib.ExitStack())
        sim = field.enter_context(SimProcess("generic-rtac", cwd=tmp_path, events_per_s=100.0))
        daemon = site.enter_context(
            Daemon(tmp_path / "gw", pki=pki, broker_port=broker.port, assets=[Asset(sim.port)])
        )
        with Subscriber(pki, broker.port) as first:
            daemon.start()
            daemon.up()
            read(first, consumer, until=300)
        with contextlib.suppress(queue.Empty):
            while True:  # what came before it was gone
                message = first.messages.get_nowait()
                consumer.take(message.topic, bytes(message.payload))
        daemon.queue_when(lambda now: TELEMETRY in now["unheardTopics"], "0x10 is not heard")
        status = daemon.ask("status")
        assert f"nobody subscribes to {TELEMETRY}: its records wait" in status["reasons"]
        daemon.queue_when(lambda now: now["readings"] > 500, "they do not wait")
        daemon.kill()
        daemon.start()
        daemon.up()
        daemon.queue_when(lambda now: TELEMETRY in now["unheardTopics"], "it was forgotten")
        field.close()
        with Subscriber(pki, broker.port) as second:
            daemon.queue_when(lambda now: now["readings"] == 0, "they do not follow")
            read(second, consumer, until=consumer.received + 500)
            while consumer.lost():
                message = second.next()
                consumer.take(message.topic, bytes(message.payload))
    assert consumer.lost() == 0


def test_a_broker_that_refuses_us_commands_makes_the_site_degraded_and_birth_says_why(
    tmp_path: Path, pki: Pki
) -> None:
    broker = Limited(refuses=("/cmd", "/hb/down"))
    with (
        SimProcess("generic-rtac", cwd=tmp_path) as sim,
        FakeBroker(pki, broker.serve) as fake,
        Daemon(tmp_path / "gw", pki=pki, broker_port=fake.port, assets=[Asset(sim.port)]) as daemon,
    ):
        daemon.start()
        status = daemon.up()
        assert not status["healthy"]
        assert any("refuses our subscription to" in why for why in status["reasons"])
        assert broker.until(lambda: "SUBSCRIPTION_REFUSED" in reasons(broker), DEADLINE_S)


def reasons(broker: Limited) -> list[str]:
    """Why control is off, by the newest birth."""
    births = [one.payload for one in list(broker.arrived) if one.topic.endswith("/birth")]
    if not births:
        return []
    found: list[str] = json.loads(births[-1])["assets"][0]["control"]["reasons"]
    return found
