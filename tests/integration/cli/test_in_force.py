"""``bess-gateway audit in-force``: what the package asks before it goes, of a log on the disk."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from gateway.audit.chain import TROUBLE
from gateway.cli import main
from tests.fixtures.audits import Ledger, tampered
from tests.fixtures.control_site import ControlSite

if TYPE_CHECKING:
    from pathlib import Path

SITE = '[gateway]\nid = "gw-17"\nstate_dir = "state"\n'
TOLD = "bess-1: 500000 W at 192.0.2.10:20000, outstation 11, master 1\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """site.toml beside its state folder."""
    (tmp_path / "state").mkdir()
    config = tmp_path / "site.toml"
    config.write_text(SITE)
    return config


def dispatched() -> str:
    """The fact of a battery under a dispatch."""
    made = ControlSite()
    made.activate()
    return made.disk.facts["bess-1/in-force"]


def keep(config: Path, facts: dict[str, str | None]) -> Path:
    """A log of before, closed; its file."""
    with Ledger(config.parent / "state") as ledger:
        assert ledger.record(facts=facts).ok
    return config.parent / "state/control.db"


def ask(capsys: pytest.CaptureFixture[str], config: Path, *more: str) -> tuple[int, str, str]:
    code = main.main(["audit", "in-force", "--config", str(config), *more])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_what_is_in_force_is_named_until_it_is_gone(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Ledger(config.parent / "state") as ledger:  # as a daemon that runs has it open
        assert ledger.record(facts={"bess-1/in-force": dispatched()}).ok
        assert ask(capsys, config) == (1, TOLD, "")
        _, said, _ = ask(capsys, config, "--json")
        assert json.loads(said) == {"inForce": {"bess-1": TOLD.removeprefix("bess-1: ").strip()}}
        assert ledger.record(facts={"bess-1/in-force": None}).ok
        assert ask(capsys, config) == (0, "", "")
    assert ask(capsys, config) == (0, "", "")


def test_it_leaves_the_folder_as_it_is(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = keep(config, {"bess-1/in-force": dispatched()})
    before = {one.name: one.read_bytes() for one in path.parent.iterdir()}
    assert ask(capsys, config)[0] == 1
    assert {one.name: one.read_bytes() for one in path.parent.iterdir()} == before


def test_a_box_that_never_ran_has_nothing_in_force(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(capsys, config) == (0, "", "")


def test_a_log_that_is_gone_is_not_nothing(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(config, {"bess-1/in-force": dispatched()}).unlink()
    code, told, why = ask(capsys, config)
    assert (code, told) == (74, "")
    assert "control.db: is gone" in why


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM fact WHERE key = 'bess-1/in-force'",
        "UPDATE fact SET key = 'bess-1/in-Force' WHERE key = 'bess-1/in-force'",
        "DELETE FROM mark WHERE key = 'facts'",
        "UPDATE mark SET value = '0' WHERE key = 'facts'",
        "DROP TABLE fact",
        "UPDATE mark SET value = 99 WHERE key = 'schema'",
    ],
)
def test_facts_that_were_changed_or_are_of_another_version_are_not_nothing(
    config: Path, capsys: pytest.CaptureFixture[str], sql: str
) -> None:
    tampered(keep(config, {"bess-1/in-force": dispatched()}), sql)
    code, told, why = ask(capsys, config)
    assert (code, told) == (74, "")
    assert "control.db: " in why


def test_a_log_that_was_begun_anew_says_so_until_an_operator_has_judged(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(config, {}).write_bytes(b"no database" * 500)
    keep(config, {})  # sets the damaged one aside
    code, told, why = ask(capsys, config)
    assert (code, told) == (74, "")
    assert "was begun anew" in why
    keep(config, {TROUBLE: None})  # reset
    assert ask(capsys, config) == (0, "", "")


def test_a_site_file_with_faults_hides_nothing(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = keep(config, {"bess-1/in-force": dispatched()})
    config.write_text("[gateway\n")
    code, told, why = ask(capsys, config)
    assert (code, told) == (78, "")
    assert "site.toml:1" in why
    assert ask(capsys, config, "--database", str(path)) == (1, TOLD, "")
