"""Two gateways with one id: the broker throws one out for the other, again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.demo.pki import Pki
from gateway.host.journal import MESSAGE_IDS
from tests.system.machines import ETC, UNIT, Machine
from tests.system.sites import GATEWAY, SITE, ask

if TYPE_CHECKING:
    from pathlib import Path

PORT = 28883
OBSERVED_S = 40.0
CHANCE_S = 480.0  # the waits grow, and are drawn by lot
TOO_OFTEN = 20  # without growing waits they change places every second
BROKER = f"""\
user root
listener {PORT} 127.0.0.1
cafile /srv/broker/ca.pem
certfile /srv/broker/broker.pem
keyfile /srv/broker/broker.key
require_certificate true
use_identity_as_username true
"""
# The same id and key, and a state of its own: as a box that was cloned.
TWIN = (
    "systemd-run --quiet --unit=twin --property=User=bess-gateway --property=StateDirectory=twin "
    "/usr/bin/bess-gateway run --config /etc/bess-gateway/twin.toml"
)


@pytest.fixture(scope="module")
def box(machine: Machine, version: str, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A machine with its release's own broker in it, and a gateway that is connected."""
    machine.apt("install", f"bess-gateway={version}")
    _keys(machine, tmp_path_factory.mktemp("pki"))
    machine.run("systemd-run", "--quiet", "--unit=broker", "mosquitto", "-c", "/srv/broker/conf")
    toml = SITE.format(
        gateway=GATEWAY, asset="bess-1", broker_port=PORT, rtac_port=9, max_size="64MiB"
    )
    machine.write(f"{ETC}/site.toml", toml)
    twin = toml.replace("[gateway]\n", '[gateway]\nstate_dir = "/var/lib/twin"\n')
    machine.write(f"{ETC}/twin.toml", twin)
    machine.run("systemctl", "start", UNIT)
    machine.until(lambda: _connected(machine), "the broker is connected")
    return machine


def test_a_twin_is_named_in_the_journal_and_they_do_not_flap(box: Machine) -> None:
    box.sh(TWIN)
    ends = box.until(
        lambda: _observed(box), "they have thrown each other out for a while", within_s=CHANCE_S
    )
    assert len(ends) <= TOO_OFTEN, ends
    (told, *_) = box.until(
        lambda: box.said("another client", f"MESSAGE_ID={MESSAGE_IDS['broker-down']}"),
        "the journal says what is happening",
    )
    assert "our id" in told["MESSAGE"]
    assert told["PRIORITY"] == "4"
    explained = box.run("journalctl", "-x", "--no-pager", f"MESSAGE_ID={told['MESSAGE_ID']}")
    assert "must be unique among all gateways" in explained


def test_it_recovers_when_its_twin_is_gone(box: Machine) -> None:
    box.sh("systemctl stop twin")
    box.until(lambda: _connected(box), "the broker is connected")
    assert box.show("NRestarts") == "0"


def _observed(box: Machine) -> list[float]:
    """When they were thrown out, in seconds; empty until that took long enough."""
    entries = box.journal("-u", "twin", f"MESSAGE_ID={MESSAGE_IDS['broker-down']}")
    ends = [int(entry["__MONOTONIC_TIMESTAMP"]) / 1e6 for entry in entries]
    return ends if ends and ends[-1] - ends[0] > OBSERVED_S else []


def _connected(box: Machine) -> bool:
    answer = ask(box, "status")
    return bool(answer) and bool(answer["broker"]["up"])


def _keys(machine: Machine, folder: Path) -> None:
    pki = Pki(folder)
    ours, theirs = pki.client(GATEWAY), pki.broker()
    for path in ("/srv/broker", f"{ETC}/tls"):
        machine.write(f"{path}/ca.pem", pki.ca.read_bytes())
    machine.write(f"{ETC}/tls/gateway.pem", ours[0].read_bytes())
    owner = "root:bess-gateway"
    machine.write(f"{ETC}/tls/gateway.key", ours[1].read_bytes(), mode="0640", owner=owner)
    machine.write("/srv/broker/broker.pem", theirs[0].read_bytes())
    machine.write("/srv/broker/broker.key", theirs[1].read_bytes(), mode="0600")
    machine.write("/srv/broker/conf", BROKER)
