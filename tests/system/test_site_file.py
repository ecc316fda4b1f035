"""What a technician may write, and what the service makes of it: an answer, never a loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.demo.pki import Pki
from tests.system.machines import ETC, STATE, UNIT, Machine
from tests.system.sites import GATEWAY, SITE

if TYPE_CHECKING:
    from pathlib import Path

# Nobody listens on these ports: the gateway runs all the same.
GOOD = SITE.format(gateway=GATEWAY, asset="bess-1", broker_port=9, rtac_port=9, max_size="64MiB")
CONFIG, STORAGE = "78", "74"


NEWER = """\
import sqlite3, sys
sys.path.insert(0, "/usr/lib/bess-gateway")
from gateway.queue.rules.counters import sealed
queue = sqlite3.connect(sys.argv[1])
queue.execute("UPDATE meta SET value = '999', crc = ? WHERE key = 'schema'",
              (sealed("schema", "999"),))
queue.commit()
"""


@pytest.fixture(scope="module")
def box(machine: Machine, version: str, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """The machine with the package and with keys."""
    machine.apt("install", f"bess-gateway={version}")
    _keys(machine, tmp_path_factory.mktemp("pki"))
    return machine


@pytest.fixture(autouse=True)
def _stopped_afterwards(box: Machine) -> object:
    yield
    box.sh(
        f"systemctl stop {UNIT}; systemctl reset-failed {UNIT} || true; rm -f {ETC}/site.toml; "
        f"chown root:bess-gateway {ETC}/tls/gateway.key; chmod 0640 {ETC}/tls/gateway.key"
    )


def test_runs_with_nobody_to_talk_to(box: Machine) -> None:
    box.write(f"{ETC}/site.toml", GOOD)
    box.run("bess-gateway", "check")
    box.run("systemctl", "start", UNIT)
    assert box.show("ActiveState") == "active"
    assert box.try_("bess-gateway", "status").returncode == 1
    assert "0 of 1 sessions up" in box.until(
        lambda: (text := box.show("StatusText")) != "started" and text, "a status line"
    )


@pytest.mark.parametrize(
    ("body", "told"),
    [
        pytest.param(b"", "[gateway]", id="empty"),
        pytest.param(GOOD[: GOOD.index("cert_file") + 5].encode(), "site.toml:", id="half written"),
        pytest.param(GOOD.replace("North", "N\xf6rd").encode("latin-1"), "UTF-8", id="latin-1"),
        pytest.param(GOOD.replace("host =", "hots =").encode(), "hots is unknown", id="misspelt"),
        pytest.param(GOOD.replace("ca.pem", "other.pem").encode(), "other.pem", id="missing file"),
    ],
)
def test_a_bad_file_ends_with_78_and_without_a_loop(box: Machine, body: bytes, told: str) -> None:
    box.write(f"{ETC}/site.toml", body)
    checked = box.try_("bess-gateway", "check")
    assert checked.returncode == 78
    assert told in checked.stderr
    _fails_once(box, CONFIG, told)


@pytest.mark.parametrize(
    ("owner", "mode"), [("root:root", "0600"), ("root:root", "0640"), ("nobody:nogroup", "0600")]
)
def test_a_key_that_the_daemon_cannot_read_is_named(box: Machine, owner: str, mode: str) -> None:
    box.sh(f"chown {owner} {ETC}/tls/gateway.key; chmod {mode} {ETC}/tls/gateway.key")
    box.write(f"{ETC}/site.toml", GOOD)
    _fails_once(box, CONFIG, "gateway.key")


def test_a_site_that_is_not_commissioned_stays_inactive(box: Machine) -> None:
    box.run("systemctl", "start", UNIT)
    assert box.show("ActiveState") == "inactive"
    assert box.show("Result") == "success"


def test_read_only_configuration_is_enough(box: Machine) -> None:
    box.write(f"{ETC}/site.toml", GOOD)
    box.sh(f"mount --bind {ETC} {ETC}; mount -o remount,bind,ro {ETC}")
    try:
        box.run("systemctl", "start", UNIT)
        assert box.show("ActiveState") == "active"
        box.run("systemctl", "stop", UNIT)
    finally:
        box.run("umount", ETC)


def test_a_queue_of_a_newer_version_is_refused_unharmed(box: Machine) -> None:
    box.write(f"{ETC}/site.toml", GOOD)
    box.sh(f"systemctl start {UNIT}; systemctl stop {UNIT}")
    database = f"{STATE}/queue.db"
    box.run("python3", "-c", NEWER, database)
    before = box.run("sha256sum", database)
    box.try_("systemctl", "start", UNIT)
    said = box.until(lambda: box.said("newer"), "the journal says it")
    assert "999" in said[0]["MESSAGE"]
    box.run("systemctl", "stop", UNIT)
    assert box.run("sha256sum", database) == before
    box.sh(f"rm -rf {STATE}/*")


def test_a_state_folder_of_somebody_else_is_named(box: Machine) -> None:
    box.write(f"{ETC}/site.toml", GOOD)
    box.sh(f"install -d -m 0700 /srv/other; mount --bind /srv/other {STATE}")
    box.sh(f"mount -o remount,bind,ro {STATE}")
    try:
        box.try_("systemctl", "start", UNIT)
        box.until(lambda: box.said(STATE), "the journal names the folder")
    finally:
        box.sh(f"systemctl stop {UNIT}; umount {STATE}")


def _fails_once(box: Machine, code: str, told: str) -> None:
    assert box.try_("systemctl", "start", UNIT).returncode != 0
    assert box.show("ActiveState") == "failed"
    assert box.show("ExecMainStatus") == code
    invocation = f"_SYSTEMD_INVOCATION_ID={box.show('InvocationID')}"
    assert box.said(told, invocation), box.journal()
    # Waiting for a restart it would be "activating", in "auto-restart".
    assert box.show("NRestarts") == "0"
    assert box.show("SubState") == "failed"


def _keys(machine: Machine, folder: Path) -> None:
    pki = Pki(folder)
    cert, key = pki.client(GATEWAY)
    machine.write(f"{ETC}/tls/ca.pem", pki.ca.read_bytes())
    machine.write(f"{ETC}/tls/gateway.pem", cert.read_bytes())
    machine.write(
        f"{ETC}/tls/gateway.key", key.read_bytes(), mode="0640", owner="root:bess-gateway"
    )
