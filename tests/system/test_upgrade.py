"""Upgrade, rollback, remove, purge: the queue and what an administrator decided survive."""

from __future__ import annotations

from tests.system.conftest import NEXT
from tests.system.machines import ETC, STATE, UNIT, Machine
from tests.system.sites import Site, ask, main_pid, start, working

EXAMPLE = f"{ETC}/site.toml.example"


def test_an_upgrade_keeps_the_queue_and_an_edited_conffile(gateway: Machine, site: Site) -> None:
    gateway.sh(f"echo '# edited here' >>{EXAMPLE}")
    epoch = ask(gateway, "queue")["epoch"]
    with site.outage():
        gateway.until(lambda: ask(gateway, "queue")["readings"] > 500, "a backlog grows")
        before = main_pid(gateway)
        gateway.apt("install", "bess-gateway")
        assert main_pid(gateway) != before
        answer = gateway.until(lambda: ask(gateway, "queue"), "the new version answers")
        assert answer["epoch"] != epoch  # of each start its own
        assert answer["gaps"] == 0
        assert ask(gateway, "status")["version"] == NEXT
    gateway.until(lambda: working(gateway), "it works")
    site.quiet(gateway)
    sent = site.sent()
    gateway.until(lambda: site.unseen(sent) == 0, "the platform has every event of the RTAC")
    assert "# edited here" in gateway.run("cat", EXAMPLE)
    assert f"# new in {NEXT}" in gateway.run("cat", f"{EXAMPLE}.dpkg-dist")


BROKEN = """\
mkdir -p /tmp/broken/DEBIAN; cd /tmp
printf 'Package: bess-gateway\\nVersion: 100.0\\nArchitecture: amd64\\n' >broken/DEBIAN/control
printf 'Maintainer: a <a@b.c>\\nDescription: x\\n' >>broken/DEBIAN/control
printf '#!/bin/sh\\nexit 1\\n' >broken/DEBIAN/preinst; chmod +x broken/DEBIAN/preinst
dpkg-deb --build broken broken.deb >/dev/null
"""


def test_an_upgrade_that_fails_leaves_the_old_version_at_work(gateway: Machine, site: Site) -> None:
    gateway.sh(BROKEN)
    before = main_pid(gateway)
    assert gateway.try_("dpkg", "-i", "/tmp/broken.deb").returncode != 0
    assert main_pid(gateway) == before
    site.quiet(gateway)


def test_with_control_an_upgrade_stops_before_anything_is_replaced(
    gateway: Machine, site: Site
) -> None:
    """A stop idles the battery; seen here from an upgrade that goes no further than that."""
    gateway.sh(f"touch {ETC}/safety.toml")
    before = main_pid(gateway)
    assert gateway.try_("dpkg", "-i", "/tmp/broken.deb").returncode != 0
    assert main_pid(gateway) != before
    gateway.until(lambda: working(gateway), "the old version works again")
    gateway.apt("install", "--reinstall", f"bess-gateway={NEXT}")
    gateway.until(lambda: working(gateway), "it works after an installation that succeeds")
    gateway.sh(f"systemctl stop {UNIT}")
    gateway.apt("install", "--reinstall", f"bess-gateway={NEXT}")
    assert gateway.show("ActiveState") == "inactive"
    assert not gateway.has("/run/bess-gateway.upgrading")
    gateway.sh(f"rm {ETC}/safety.toml")
    start(gateway)
    site.quiet(gateway)


def test_a_rollback_keeps_the_queue_and_a_stopped_service_stopped(
    gateway: Machine, site: Site, version: str
) -> None:
    epoch = ask(gateway, "queue")["epoch"]
    gateway.run("systemctl", "stop", UNIT)
    gateway.apt("install", "--allow-downgrades", f"bess-gateway={version}")
    assert gateway.show("ActiveState") == "inactive"
    start(gateway)
    assert ask(gateway, "status")["version"] == version
    answer = ask(gateway, "queue")
    assert answer["epoch"] != epoch  # of each start its own
    assert answer["gaps"] == 0
    site.quiet(gateway)


def test_a_disabled_service_stays_disabled(gateway: Machine, version: str) -> None:
    gateway.run("systemctl", "disable", "--now", UNIT)
    gateway.apt("install", "bess-gateway")
    assert gateway.show("UnitFileState") == "disabled"
    assert gateway.show("ActiveState") == "inactive"
    gateway.apt("install", "--allow-downgrades", f"bess-gateway={version}")
    gateway.run("systemctl", "enable", UNIT)
    start(gateway)


def test_remove_keeps_data_and_an_installation_after_it_goes_on(
    gateway: Machine, site: Site, version: str
) -> None:
    epoch = ask(gateway, "queue")["epoch"]
    gateway.apt("remove", "bess-gateway")
    assert not gateway.has("/usr/bin/bess-gateway")
    assert gateway.has(f"{ETC}/site.toml")
    assert gateway.run("ls", STATE)
    gateway.apt("install", f"bess-gateway={version}")
    gateway.until(lambda: working(gateway), "it started by itself")
    answer = ask(gateway, "queue")
    assert answer["epoch"] != epoch  # of each start its own
    assert answer["gaps"] == 0
    site.quiet(gateway)


def test_where_its_record_cannot_be_read_no_box_with_a_safety_file_is_removed(
    gateway: Machine,
) -> None:
    """What was in force is not known there. Who stopped the service finds it stopped."""
    gateway.run("systemctl", "stop", UNIT)
    gateway.sh(f"touch {ETC}/safety.toml; mv {STATE}/control.db {STATE}/elsewhere")
    told = gateway.try_("apt-get", "-y", "remove", "bess-gateway")
    assert told.returncode != 0
    assert "control.db: is gone" in told.stdout + told.stderr
    assert gateway.run("bess-gateway", "--version")
    assert gateway.show("ActiveState") == "inactive"
    gateway.sh(f"rm {ETC}/safety.toml")  # the purge goes


def test_purge_leaves_nothing(gateway: Machine) -> None:
    gateway.apt("purge", "bess-gateway")
    found = gateway.sh(
        "find / -xdev -name '*bess*' -not -path '/srv/*' -not -path '/proc/*' "
        "-not -path '/etc/apt/*' -not -path '/var/lib/apt/*' -not -path '/var/cache/apt/*'"
    )
    assert found.split() == []
    assert gateway.try_("getent", "passwd", "bess-gateway").returncode == 2
    for group in ("bess-gateway", "bess-operators", "bess-viewers"):
        assert gateway.try_("getent", "group", group).returncode == 2
    failed = gateway.run("systemctl", "list-units", "--all", "--plain", "--no-legend")
    assert "bess-gateway" not in failed
