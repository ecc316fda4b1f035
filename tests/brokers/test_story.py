"""The story of a site at brokers that are not mosquitto: ``make test-brokers``."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from gateway.demo.pki import Pki
from tests.brokers.boxed import BoxedBroker, Nats, Rabbit
from tests.fixtures.commanded_site import ControlSite
from tests.fixtures.daemon import ROOT
from tests.fixtures.story import Story

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module", autouse=True)
def bootable() -> None:
    """Skips where no machine can be booted, and says what it lacks."""
    ended = subprocess.run(
        [ROOT / "packaging/can-boot"], check=False, capture_output=True, text=True
    )
    if ended.returncode:
        pytest.skip(f"cannot boot a machine: {ended.stdout}{ended.stderr}")


@pytest.mark.parametrize(
    ("kind", "protocol", "uplink"),
    [
        (Nats, "3.1.1", {"window": 20, "telemetry_bundle_s": 1}),
        (Rabbit, "5", {"telemetry_bundle_s": 1, "require_subscriber": True}),
    ],
    ids=["nats", "rabbitmq"],
)
def test_a_site_from_connect_to_dispatch(
    tmp_path: Path, kind: type[BoxedBroker], protocol: str, uplink: dict[str, object]
) -> None:
    pki = Pki(tmp_path / "pki")
    with (
        kind(pki) as broker,
        ControlSite(tmp_path, pki, protocol=protocol, uplink=uplink, broker=broker) as site,
    ):
        Story(site, pki, protocol=protocol).tell()
