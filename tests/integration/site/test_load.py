"""Where the daemon of a site listens, whatever state its files are in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config.site import site_settings
from gateway.config.toml import parse
from gateway.demo.pki import Pki
from gateway.errors import ConfigError
from gateway.local import client
from gateway.site import load
from tests.fixtures.daemon import Asset, Daemon
from tests.fixtures.sites import SITE

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "key",
    ['state_dir = "state"', 'state_dir = "/var/lib/bess-gateway"', 'state_dir = "../x/y"', ""],
)
def test_who_asks_looks_where_the_daemon_listens(tmp_path: Path, key: str) -> None:
    text = SITE.replace('id = "gw-17"', f'id = "gw-17"\n{key}')
    path = tmp_path / "site.toml"
    path.write_text(text)
    settings = site_settings(parse(text.encode(), file=str(path)), folder=str(tmp_path))
    assert load.find_socket(path) == load.socket_path(settings)


def test_a_broken_site_and_an_unreadable_key_do_not_keep_an_operator_from_asking(
    tmp_path: Path,
) -> None:
    path = tmp_path / "site.toml"
    path.write_text('schema = "wrong"\nnonsense = 1\n[gateway]\nstate_dir = "state"\n')
    with pytest.raises(ConfigError):
        load.load_site(path)
    assert load.find_socket(path) == tmp_path / "state" / "control.sock"
    with pytest.raises(client.NotRunningError, match="is bess-gateway running"):
        client.ask(load.find_socket(path), "status")


def test_an_edited_site_of_the_installed_daemon_does_not_lead_away_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    etc, run = tmp_path / "site.toml", tmp_path / "run"
    monkeypatch.setattr(load, "DEFAULT_FILE", str(etc))
    monkeypatch.setattr(load, "PACKAGED_SOCKET", str(run / "control.sock"))
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(run))
    etc.write_text(SITE)
    settings = site_settings(parse(SITE.encode(), file=str(etc)), folder=str(tmp_path))
    assert load.socket_path(settings) == run / "control.sock"
    run.mkdir()
    (run / "control.sock").touch()
    etc.write_text(SITE.replace('id = "gw-17"', 'id = "gw-17"\nstate_dir = "elsewhere"'))
    assert load.find_socket(etc) == run / "control.sock"
    etc.write_text("= 3\n")
    assert load.find_socket(etc) == run / "control.sock"


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text("= 3\n")
    with pytest.raises(ConfigError, match=r"site\.toml:1"):
        load.find_socket(path)


def test_a_shared_transformer_without_a_meter_is_a_fault_of_the_site(tmp_path: Path) -> None:
    pki = Pki(tmp_path / "pki")
    assets = [Asset(20_000), Asset(20_001, id="bess-2")]
    path = Daemon(tmp_path, pki=pki, broker_port=1, assets=assets).site
    load.load_site(path)
    text = path.read_text().replace('id = "bess-1"', 'id = "bess-1"\ntransformer = "T1"')
    path.write_text(f'{text}\n[asset.transformer]\nid = "T1"\nrating_kva = 2000\nenforce = true\n')
    with pytest.raises(ConfigError, match=r"site\.toml:\d+: \[asset\[1\]\.transformer\] enforce"):
        load.load_site(path)
