"""What apt takes and refuses, on machines that nothing was installed on before."""

from __future__ import annotations

import hashlib
import shutil
from typing import TYPE_CHECKING

import pytest

from gateway import __version__
from tests.system.machines import RELEASES, TREE, WHEELS, Machine, MachineError, output

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.system.conftest import Boots

SOURCES = "/etc/apt/sources.list.d/bess-gateway.sources"


def test_purge_before_a_site_was_written_leaves_nothing(boots: Boots, release: str) -> None:
    with boots(release) as machine:
        machine.add_repository()
        before = _everything(machine)
        machine.apt("install", "bess-gateway")
        machine.apt("purge", "bess-gateway")
        assert _everything(machine) - before == set()
        assert machine.try_("getent", "passwd", "bess-gateway").returncode == 2
        assert machine.try_("getent", "group", "bess-operators").returncode == 2


def test_a_changed_index_or_package_is_refused(boots: Boots, release: str) -> None:
    with boots(release) as machine:
        machine.add_repository()
        machine.sh(f"cp -r /srv/apt /tmp/apt; sed -i 's|/srv/apt|/tmp/apt|' {SOURCES}")
        machine.sh("apt-get -qq update")
        machine.sh(
            "for deb in /tmp/apt/pool/main/*.deb; do "
            "printf x | dd of=$deb bs=1 seek=5000 conv=notrunc status=none; done"
        )
        ended = machine.try_("apt-get", "-y", "install", "--no-install-recommends", "bess-gateway")
        assert ended.returncode != 0
        assert "Hash Sum mismatch" in ended.stdout + ended.stderr
        machine.sh(
            "rm -rf /var/lib/apt/lists/*; find /tmp/apt/dists -name 'Packages*' "
            "-exec sh -c 'printf x >>$1' x {} ';'; rm -r /tmp/apt/dists/*/main/*/by-hash"
        )
        ended = machine.try_("apt-get", "update")
        assert ended.returncode != 0


def test_a_repository_signed_by_another_key_is_refused(boots: Boots, release: str) -> None:
    with boots(release) as machine:
        machine.add_repository()
        keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
        machine.sh(f"sed -i 's|^Signed-By: .*|Signed-By: {keyring}|' {SOURCES}")
        machine.sh("rm -rf /var/lib/apt/lists/*")
        ended = machine.try_("apt-get", "update")
        assert ended.returncode != 0
        assert "is not signed" in ended.stdout + ended.stderr


@pytest.fixture(scope="module")
def bare(boots: Boots, release: str) -> Iterator[Machine]:
    """A machine as debootstrap leaves it, which knows the repository."""
    with boots(release, bare=True) as machine:
        machine.add_repository()
        yield machine


@pytest.mark.parametrize(
    ("python", "told"),
    [
        pytest.param("3.9.2-3", "python3 (>= 3.11)", id="Debian 11"),
        pytest.param("3.12.8-1", "python3 (>= 3.13~)", id="no wheel of the binding"),
        pytest.param("3.14.0-1", "python3 (< 3.14~)", id="later than Debian 13"),
    ],
)
def test_another_release_is_a_clear_dependency_error(bare: Machine, python: str, told: str) -> None:
    bare.sh(
        "mkdir -p /tmp/other/DEBIAN; cd /tmp; "
        f"printf 'Package: python3\\nVersion: {python}\\nArchitecture: amd64\\n"
        "Maintainer: a <a@b.c>\\nDescription: x\\n' >other/DEBIAN/control; "
        "dpkg-deb --build other python3.deb >/dev/null; dpkg -i python3.deb; "
        # apt takes a status file of the same second and size for the one that it knows.
        "rm -f /var/cache/apt/*.bin"
    )
    ended = bare.try_("apt-get", "-y", "install", "bess-gateway")
    assert ended.returncode != 0
    assert told in ended.stdout + ended.stderr
    assert not bare.has("/usr/bin/bess-gateway")


def test_another_architecture_is_a_clear_error(boots: Boots, release: str, deb: Path) -> None:
    arm = "-o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State::status=/dev/null"
    with boots(release) as machine:
        machine.add_repository()
        machine.sh(f"apt-get -qq {arm} update")
        ended = machine.try_("sh", "-c", f"apt-get -y {arm} install bess-gateway 2>&1")
        assert ended.returncode != 0
        # apt 2.6 does not look at other architectures' packages, apt 3.0 says what they need.
        plain, told = "Unable to locate package bess-gateway", "bess-gateway:amd64 : Depends:"
        assert plain in ended.stdout or told in ended.stdout
        ended = machine.try_("sh", "-c", f"apt-get -y {arm} install /srv/deb/{deb.name} 2>&1")
        assert ended.returncode != 0
        assert told in ended.stdout


def test_an_installation_without_room_can_be_repeated(boots: Boots, release: str) -> None:
    with boots(release) as machine:
        machine.add_repository()
        machine.sh("mkdir -p /usr/lib/bess-gateway; mount -t tmpfs -o size=200k x $_")
        ended = machine.try_("apt-get", "-y", "install", "--no-install-recommends", "bess-gateway")
        assert ended.returncode != 0
        assert "No space left on device" in ended.stdout + ended.stderr
        machine.sh("umount /usr/lib/bess-gateway")
        machine.apt("install", "bess-gateway")
        assert machine.show("UnitFileState") == "enabled"


def test_the_offline_bundle_installs_on_a_bare_machine(
    boots: Boots, release: str, released: Path
) -> None:
    out = released / "dist" / __version__
    name = f"bess-gateway_{__version__}_{release}_offline"
    other = next(one for one in ("bookworm", "trixie") if one != release)
    with boots(release, bare=True, sees=out) as machine:
        machine.sh("rm -rf /var/lib/apt/lists/*")
        machine.sh(f"cd /root; tar xf /srv/sees/{name}.tar; ./{name}/install")
        assert "bess-gateway" in machine.run("bess-gateway", "--version")
        assert machine.show("UnitFileState") == "enabled"
        leftovers = machine.sh("ls /etc/apt/sources.list.d /etc/apt/keyrings 2>/dev/null || true")
        assert "bess-gateway" not in leftovers
    if other in RELEASES:
        with boots(other, bare=True, sees=out) as machine:
            machine.sh(f"cd /root; tar xf /srv/sees/{name}.tar")
            ended = machine.try_(f"/root/{name}/install")
            assert ended.returncode == 1
            assert f"this bundle is for Debian {release}" in ended.stderr


def test_a_wheel_with_another_hash_stops_the_build(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    shutil.copytree(WHEELS, wheels)
    wheel = next(wheels.glob("paho*.whl"))
    wheel.write_bytes(wheel.read_bytes() + b"x")
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    with pytest.raises(MachineError, match=f"SHA-256 is {found}"):
        output(str(TREE / "packaging/build-deb"), str(wheels), str(tmp_path))
    assert not list(tmp_path.glob("*.deb"))


def _everything(machine: Machine) -> set[str]:
    """Every file but those that apt, dpkg and the journal keep for themselves."""
    roots = "/etc /usr /var/lib /var/cache /srv /root /opt /run/systemd"
    skip = r"/(dpkg|apt|journal|catalog|units|log|transient|propagate)(/|$)|/srv/(apt|tree|deb)"
    found = machine.sh(f"find {roots} -xdev 2>/dev/null | grep -Ev '{skip}'")
    return {line for line in found.splitlines() if "bess" in line}
