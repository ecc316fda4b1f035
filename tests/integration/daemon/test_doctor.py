"""``doctor`` on a running site into which a fault is put: it names it first, and it goes again."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.fixtures.daemon import DEADLINE_S, Asset, Daemon, bess_gateway
from tests.fixtures.rig import Rig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.demo.pki import Pki

HERE = {"host-release", "clock-sync", "service", "view"}  # what this machine is no proof of


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> Iterator[Rig]:
    with Rig(tmp_path_factory.mktemp("doctor"), pki, events_per_s=5.0) as made:
        made.daemon.start()
        made.daemon.status_when(lambda now: now["healthy"], "not healthy")
        yield made


def faults(site: Path, *options: str) -> tuple[str, dict[str, Any]]:
    """The first fault, and every check that found one."""
    told = json.loads(bess_gateway("doctor", "--json", "--config", site, *options).stdout)
    found = {one["name"]: one for one in told["checks"] if one["level"] == "fault"}
    return told["first"] if found else "", found


def named(site: Path, name: str) -> dict[str, Any]:
    """What is said of ``name``, as soon as it is the first fault."""
    until_s = time.monotonic() + DEADLINE_S
    while True:
        first, found = faults(site)
        if first == name:
            one: dict[str, Any] = found[name]
            return one
        assert time.monotonic() < until_s, f"{first or 'nothing'} is named, not {name}: {found}"


def test_a_site_that_is_well_has_no_fault(rig: Rig) -> None:
    assert faults(rig.daemon.site) == ("", {})
    shown = bess_gateway("doctor", "--config", rig.daemon.site)
    assert shown.stderr == ""
    assert "0 faults" in shown.stdout.splitlines()[-1]


def test_an_rtac_that_is_gone_is_named(rig: Rig, tmp_path: Path, pki: Pki) -> None:
    gone = [Asset(port=1)]
    with Daemon(tmp_path, pki=pki, broker_port=rig.broker.port, assets=gone) as daemon:
        daemon.start()
        assert "refused" in named(daemon.site, "rtac-port")["text"]


def test_a_broker_that_is_gone_is_named(rig: Rig) -> None:
    rig.broker.stop()
    try:
        assert "refused the connection" in named(rig.daemon.site, "broker-tls")["text"]
    finally:
        rig.broker.start()
    rig.daemon.status_when(lambda now: now["healthy"], "still ill")


def test_a_wrong_outstation_address_is_named(rig: Rig, tmp_path: Path, pki: Pki) -> None:
    asset = Asset(rig.sim.port, address=77)
    with Daemon(tmp_path, pki=pki, broker_port=rig.broker.port, assets=[asset]) as daemon:
        daemon.start()
        one = named(daemon.site, "dnp3-addresses")
        assert "address" in one["do"]


def test_without_a_daemon_the_files_and_the_network_are_looked_at(tmp_path: Path, pki: Pki) -> None:
    daemon = Daemon(tmp_path, pki=pki, broker_port=1, assets=[Asset(port=1)])
    first, found = faults(daemon.site)
    assert first == "socket"
    assert {"rtac-port", "broker-tls"} <= found.keys()
    daemon.site.write_text(daemon.site.read_text().replace("[uplink]", "[uplinc]"))
    assert faults(daemon.site)[0] == "config"
    assert bess_gateway("doctor", "--config", daemon.site).returncode == 78
