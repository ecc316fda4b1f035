"""The daemon at a broker that enforces what a cloud's page documents: nothing is lost, or passed.

The settings are those of the pages in packaging/brokers; rates are scaled down, so that a small
site meets them.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from gateway.consumer import Consumer
from gateway.demo.pki import Pki
from gateway.sim.launch import SimProcess
from tests.fixtures import limited_broker as limited
from tests.fixtures.brokers import FakeBroker
from tests.fixtures.daemon import DEADLINE_S, Asset, Daemon
from tests.fixtures.limited_broker import Limited

if TYPE_CHECKING:
    from pathlib import Path

READINGS = 1500
# Documented: AWS IoT Core 8 filters, 7 slashes, 128 KB, 100 messages/s, beyond that in silence.
AWS = {"filters": 8, "slashes": 7, "payload": 128 << 10, "per_s": 20}
# Azure Event Grid: a user name, 512 KB, a rate of the session and 0x97 beyond it, no retain.
AZURE = {"wants_username": True, "payload": 512 << 10, "quota": 20, "tells": {limited.RETAIN: 0}}
NATS = {"only_3_1_1": True}
RABBIT = {"tells": {limited.RECEIVE_MAX: 10, limited.MAX_PACKET: 65_536, limited.KEEP_ALIVE: 5}}


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


def taken(broker: Limited) -> Consumer:
    """What a platform makes of all that the broker took."""
    consumer = Consumer(from_start=True)
    for one in list(broker.arrived):
        consumer.take(one.topic, one.payload)
    return consumer


@pytest.mark.parametrize(
    ("limits", "uplink", "may_break"),
    [
        (AWS, {"publish_per_s": 15, "telemetry_bundle_s": 1}, ()),
        (AWS, {}, ("per_s",)),
        (AZURE, {"username": "gw-17", "telemetry_bundle_s": 1, "publish_per_s": 15}, ()),
        (AZURE, {"username": "gw-17"}, ("quota",)),
        (NATS, {"protocol": "3.1.1", "window": 20, "telemetry_bundle_s": 1}, ()),
        (RABBIT, {"telemetry_bundle_s": 1, "require_subscriber": True}, ()),
    ],
    ids=["aws", "aws-unset", "azure", "azure-unset", "nats", "rabbitmq"],
)
def test_a_site_at_a_broker_with_documented_limits_loses_nothing(
    tmp_path: Path,
    pki: Pki,
    limits: dict[str, Any],
    uplink: dict[str, Any],
    may_break: tuple[str, ...],
) -> None:
    broker = Limited(**limits)
    with contextlib.ExitStack() as site:
        sim = SimProcess("generic-rtac", cwd=tmp_path, events_per_s=200.0)
        field = site.enter_context(contextlib.ExitStack())
        field.enter_context(sim)
        fake = site.enter_context(FakeBroker(pki, broker.serve))
        assets = [Asset(sim.port)]
        daemon = site.enter_context(
            Daemon(tmp_path / "gw", pki=pki, broker_port=fake.port, assets=assets, uplink=uplink)
        )
        daemon.start()
        daemon.up()
        assert broker.until(lambda: taken(broker).received > READINGS, DEADLINE_S)
        field.close()
        daemon.queue_when(lambda now: now["readings"] == 0, "the queue does not drain")
    assert set(broker.broke) <= set(may_break)
    assert taken(broker).lost() == 0
