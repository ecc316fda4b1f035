"""``check`` on the shipped example and on every broken variant of it, and the maps commands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.cli import main
from gateway.site import load
from tests.fixtures.daemon import ROOT, bess_gateway

if TYPE_CHECKING:
    from gateway.demo.pki import Pki

EX_USAGE, EX_CONFIG = 64, 78
EXAMPLE = ROOT / "etc" / "site.toml.example"


@pytest.fixture
def site(tmp_path: Path, pki: Pki) -> Path:
    """A copy of the example with throwaway keys beside it, where it says they are."""
    tls = tmp_path / "tls"
    tls.mkdir()
    cert, key = pki.client("gw-17")
    shutil.copy(pki.ca, tls / "ca.pem")
    shutil.copy(cert, tls / "gateway.pem")
    shutil.copy(key, tls / "gateway.key")
    return Path(shutil.copy(EXAMPLE, tmp_path / "site.toml"))


def check(site: Path) -> int:
    """Exit code of ``check``."""
    return main.main(["check", "--config", str(site)])


def line_of(site: Path, text: str) -> int:
    """Number of the line that holds ``text``."""
    lines = site.read_text().splitlines()
    return next(at for at, line in enumerate(lines, 1) if text in line)


def test_the_shipped_example_is_good_and_its_map_is_named(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(site.parent.rglob("*"))
    assert check(site) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith(f"{site}: good\n  bess-1: map generic-rtac@1.0.0, ")
    assert shown.err == ""
    assert sorted(site.parent.rglob("*")) == before  # nothing was changed


def test_a_sealed_key_is_no_fault_outside_the_unit_and_is_said(
    site: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    text = site.read_text()
    assert 'key_file = "tls/gateway.key"' in text
    site.write_text(text.replace('key_file = "tls/gateway.key"', 'credential = "uplink-key"'))
    assert check(site) == 0
    assert "NOTE: credential 'uplink-key' was not read" in capsys.readouterr().out


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else: run as root")
def test_root_judges_the_installed_files_with_the_daemons_rights_and_keeps_its_own(
    site: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path_factory.mktemp("state")
    os.chown(state, 65534, -1)  # nobody's
    monkeypatch.setattr(load, "PACKAGED_STATE", str(state))
    before = os.geteuid(), os.getegid(), os.getgroups()
    assert check(site) == 0  # another file than the installed one: as it is
    monkeypatch.setattr(load, "DEFAULT_FILE", str(site))
    assert check(site) == EX_CONFIG  # pytest's own folders are closed to nobody
    assert (os.geteuid(), os.getegid(), os.getgroups()) == before


def test_every_commented_default_of_the_example_can_be_uncommented(site: Path) -> None:
    lines = []
    for line in site.read_text().splitlines():
        bare = line.removeprefix("# ")
        key, equals, _ = bare.partition(" = ")
        takes = line.startswith("# ") and equals and key.isidentifier()
        lines.append(bare if takes or bare.startswith("[asset.transformer]") else line)
    site.write_text("\n".join(lines) + "\n")
    (site.parent / "tls/password").write_text("of ops\n")
    (site.parent / "tls/password").chmod(0o640)
    assert "\nport = 20000" in site.read_text()
    assert check(site) == 0


BROKEN = [
    ('schema = "bess.site/1"', 'schema = "bess.site/2"', "bess.site/1"),
    ('schema = "bess.site/1"', "schema = ", "site.toml:"),
    ('id = "gw-17"', 'id = "gw 17"', "must be an id"),
    ('id = "gw-17"', "id = 17", "must be"),
    ('host = "mqtt.example.com"', "hst = 1", "hst"),
    ("# port = 8883", "port = 70000", "1..65535"),
    ('# prefix = "bess/v1"', 'prefix = "a/b/c/d/e"', "1..3 topic levels"),
    ('# protocol = "5"', 'protocol = "4"', "3.1.1"),
    ("# keepalive_s = 15", "keepalive_s = 1", "5..3600"),
    ("# window = 100", "window = 0", "1..1000"),
    ('key_file = "tls/gateway.key"', 'key_file = "tls/none.key"', "cannot be read"),
    ('key_file = "tls/gateway.key"', 'key_file = "tls/ca.pem"', "must be an unencrypted private"),
    ('cert_file = "tls/gateway.pem"', 'cert_file = "tls/ca.pem"', "does not belong"),
    ('ca_file = "tls/ca.pem"', 'ca_file = "tls/gateway.key"', "must be a CA certificate"),
    ('max_size = "2GiB"', 'max_size = "2 bananas"', "max_size"),
    ('max_size = "2GiB"', 'max_size = "1MiB"', "16MiB"),
    ("max_age_s = 604800", "max_age_s = -1", "3600"),
    ('id = "bess-1"', 'id = ""', "must be an id"),
    ('firmware = "1.4.2"', 'map = "none@1"', "must be an installed map"),
    ('firmware = "1.4.2"', 'map = "none"', "id@revision"),
    ("nameplate_w = 2000000", "nameplate_w = 0", "W"),
    ("nameplate_w = 2000000", 'nameplate_w = "2 MW"', "1..10000000000 W"),
    ("capacity_wh = 8000000", "capacity_wh = nan", "Wh"),
    ("max_charge_w = 2000000", "max_charge_w = 3000000", "0..2000000"),
    ("backup_reserve_pct = 10", "backup_reserve_pct = 101", "0..100"),
    ('host = "192.0.2.10"', "host = 10", "host"),
    ("outstation_address = 10", "outstation_address = 65520", "0..65519"),
    ("outstation_address = 10", "outstation_address = 1", "different from outstation_address"),
    ("# event_poll_s = 2", "event_poll_s = 0.1", "0.2..60"),
    ("# unsolicited = true", 'unsolicited = "yes"', "true or false"),
    ('# time_sync = "none"', 'time_sync = "gps"', "lan"),
]


@pytest.mark.parametrize(("good", "bad", "said"), BROKEN, ids=[bad for _, bad, _ in BROKEN])
def test_a_broken_example_is_refused_with_file_line_and_what_is_allowed(
    site: Path, good: str, bad: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = site.read_text()
    assert good in text
    site.write_text(text.replace(good, bad, 1))
    assert check(site) == EX_CONFIG
    shown = capsys.readouterr()
    assert shown.out == ""
    faults = [one for one in shown.err.splitlines() if said in one]
    assert faults, shown.err
    named = {int(one.split(":")[1]) for one in faults}
    blamed = {line_of(site, bad)}
    if "different from" in said:
        blamed.add(line_of(site, "[asset.dnp3]"))  # master_address has its default
    if "does not belong" in said:
        blamed.add(line_of(site, "key_file"))
    assert named & blamed, shown.err
    assert all(one.startswith(f"{site}:") for one in shown.err.splitlines())


def test_every_fault_of_a_file_is_reported_at_once(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = site.read_text()
    spoilt = (
        ('id = "gw-17"', 'id = "gw 17"'),
        ("# window = 100", "window = 0"),
        ("capacity_wh = 8000000", "capacity_wh = 0"),
        ("outstation_address = 10", "outstation_address = -1"),
    )
    for good, bad in spoilt:
        text = text.replace(good, bad, 1)
    site.write_text(text)
    assert check(site) == EX_CONFIG
    assert len(capsys.readouterr().err.splitlines()) == len(spoilt)


def test_two_batteries_with_one_id_are_refused_with_both_lines(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = site.read_text()
    site.write_text(text + text[text.index("[[asset]]") :].replace("192.0.2.10", "192.0.2.11"))
    assert check(site) == EX_CONFIG
    first = line_of(site, 'id = "bess-1"')
    assert f"= 'bess-1': already used in line {first}" in capsys.readouterr().err


def test_a_firmware_that_no_map_knows_is_a_warning_and_raw_data(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site.write_text(site.read_text().replace('"1.4.2"', '"9.9"'))
    assert check(site) == 0
    shown = capsys.readouterr().out
    assert "bess-1: map raw@1.0.0, 0 points" in shown
    assert "WARNING: no map matches generic/rtac firmware '9.9'" in shown


def test_an_expired_certificate_is_refused_by_check_and_not_by_run(
    site: Path, pki: Pki, capsys: pytest.CaptureFixture[str]
) -> None:
    cert, key = pki.client("gw-17", expired=True)
    shutil.copy(cert, site.parent / "tls" / "gateway.pem")
    shutil.copy(key, site.parent / "tls" / "gateway.key")
    assert check(site) == EX_CONFIG
    assert f"{site}:{line_of(site, 'cert_file')}:" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["check", "run", "status", "queue", "watch"])
def test_a_missing_file_exits_78_and_says_what_to_do(tmp_path: Path, verb: str) -> None:
    missing = tmp_path / "none.toml"
    shown = bess_gateway(verb, "--config", missing)
    assert shown.returncode == EX_CONFIG
    assert f"{missing}:1: no such file: copy the example" in shown.stderr
    assert "Traceback" not in shown.stderr


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        (b"\xff\xfe\x00", "UTF-8"),
        (b"", "is missing"),
        (b'schema = "bess.site/1"\nschema = "bess.site/1"\n', ":2:"),
        (b"[gateway]\nid = 'x\n", ":2:"),
    ],
)
def test_a_file_that_is_no_toml_is_refused_with_its_line(
    tmp_path: Path, octets: bytes, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    site = tmp_path / "site.toml"
    site.write_bytes(octets)
    assert check(site) == EX_CONFIG
    assert said in capsys.readouterr().err


def test_a_folder_in_place_of_the_file_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(tmp_path) == EX_CONFIG
    assert "is a directory: must be a TOML file" in capsys.readouterr().err


def test_an_unknown_command_exits_64() -> None:
    shown = bess_gateway("dance")
    assert shown.returncode == EX_USAGE
    assert "invalid choice: 'dance'" in shown.stderr


def test_the_maps_commands_work_from_the_command_line(tmp_path: Path) -> None:
    listed = bess_gateway("maps", "list")
    assert listed.returncode == 0
    assert "generic-rtac@1.0.0" in listed.stdout
    assert bess_gateway("maps", "check").returncode == 0
    shown = bess_gateway("maps", "show", "generic-rtac")
    assert (shown.returncode, "AI0" in shown.stdout) == (0, True)
    different = bess_gateway("maps", "diff", "example-bess-a", "example-bess-b")
    assert different.returncode == 0
    assert "power" in different.stdout
    broken = tmp_path / "broken.toml"
    broken.write_text((ROOT / "tests/fixtures/maps/m03-scale-zero.toml").read_text())
    refused = bess_gateway("maps", "check", broken)
    assert refused.returncode == EX_CONFIG
    assert f"{broken}:" in refused.stdout + refused.stderr
    assert "M03" in refused.stdout + refused.stderr


def test_a_closed_pipe_is_no_error() -> None:
    shown = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m gateway maps show generic-rtac | head -1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stderr == ""
