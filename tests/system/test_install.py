"""From the repository, or the bundle, to an installed and inactive gateway."""

from __future__ import annotations

import json

import pytest

from gateway.host.journal import MESSAGE_IDS
from tests.system.machines import ETC, STATE, TREE, Machine


@pytest.fixture(scope="module")
def installed(machine: Machine, version: str) -> Machine:
    """The machine with the package, as ``apt install`` leaves it."""
    machine.apt("install", f"bess-gateway={version}")
    return machine


def test_installs_and_waits_for_its_site_file(installed: Machine) -> None:
    assert installed.show("UnitFileState") == "enabled"
    assert installed.show("ActiveState") == "inactive"
    assert installed.show("ConditionResult") == "no"
    failed = installed.run("systemctl", "list-units", "--failed", "--plain", "--no-legend")
    assert "bess-gateway" not in failed
    told = installed.try_("bess-gateway", "check")
    assert told.returncode == 78
    assert "copy the example site.toml and edit it" in told.stderr


def test_the_command_runs_with_the_package_alone(installed: Machine, version: str) -> None:
    assert installed.run("bess-gateway", "--version").strip() == f"bess-gateway {version}"
    maps = installed.run("bess-gateway", "maps", "list")
    assert "generic-rtac@1.0.0" in maps
    assert "an2018-storage@1.0.0" in maps


def test_the_simulator_runs_from_the_package(installed: Machine) -> None:
    said = installed.sh(
        "bess-gateway sim --map generic-rtac --port 0 >/tmp/said & "
        "until [ -s /tmp/said ]; do kill -0 $!; sleep 0.2; done; kill $!; cat /tmp/said"
    )
    assert json.loads(said.splitlines()[0])["listening"] > 0


def test_files_have_their_owners(installed: Machine) -> None:
    paths = (ETC, f"{ETC}/tls", f"{ETC}/pointmaps", f"{ETC}/site.toml.example", STATE)
    found = installed.run("stat", "-c", "%a %U:%G", *paths).splitlines()
    assert found == [
        "755 root:root",
        "750 root:bess-gateway",
        "755 root:root",
        "644 root:root",
        "750 bess-gateway:bess-gateway",
    ]
    assert "bess-operators" in installed.run("getent", "group", "bess-operators")
    assert installed.run("getent", "passwd", "bess-gateway").strip().endswith("/nologin")


def test_byte_code_is_there_since_the_service_cannot_write_it(installed: Machine) -> None:
    sources = int(installed.sh("find /usr/lib/bess-gateway -name '*.py' | wc -l"))
    compiled = int(installed.sh("find /usr/lib/bess-gateway -name '*.pyc' | wc -l"))
    assert compiled == sources > 100


def test_the_journal_catalog_is_installed(installed: Machine) -> None:
    listed = installed.run("journalctl", "--list-catalog", "--no-pager")
    for message_id in MESSAGE_IDS.values():
        assert message_id in listed


def test_the_sbom_names_what_is_vendored(installed: Machine) -> None:
    bom = json.loads(installed.run("cat", "/usr/share/doc/bess-gateway/sbom.cdx.json"))
    assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.5")
    parts = {part["name"]: part for part in bom["components"]}
    assert {"yadnp3", "py1815", "paho-mqtt", "openssl-libs", "python3-sqlalchemy"} <= set(parts)
    hashes = {one["value"] for name in ("yadnp3", "paho-mqtt") for one in parts[name]["properties"]}
    locked = (TREE / "packaging/wheels.lock").read_text()
    assert len(hashes) == 3
    assert all(value in locked for value in hashes)
