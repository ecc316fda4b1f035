"""control.db is put back from an older copy: what lasts stands in a file beside it, too."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from gateway.audit.file import FILE
from gateway.audit.witness import FILE as WITNESS
from gateway.audit.witness import read_witness
from gateway.cli.in_force import in_force
from gateway.errors import StoreError
from gateway.events import AuditTroubled
from tests.fixtures.audits import Ledger, entry
from tests.fixtures.disks import fill, small_disk

if TYPE_CHECKING:
    from pathlib import Path

FORCE, PHASE, OFF = "bess-1/in-force", "bess-1/phase", "bess-1/disabled"


def copied(folder: Path) -> Path:
    """What lies there now, put aside."""
    copy = folder / "copy.db"
    shutil.copy(folder / FILE, copy)
    return copy


def test_what_an_older_copy_does_not_know_is_recalled_until_it_ends(tmp_path: Path) -> None:
    with Ledger(tmp_path):
        pass
    copy = copied(tmp_path)
    with Ledger(tmp_path) as ledger:
        assert ledger.record(entry(), facts={FORCE: "{}", PHASE: "{}", OFF: "{}", "x": "y"}).ok
        assert ledger.record(entry(1), facts={FORCE: '{"more": 1}'}).ok
    shutil.copy(copy, tmp_path / FILE)
    with Ledger(tmp_path) as ledger:
        assert ledger.log.facts() == {}
        assert ledger.log.recalled == {FORCE: "{}", PHASE: "{}", OFF: "{}"}
        told = ledger.inbox.wait(AuditTroubled)
        assert told.kind == "recalled"
        assert "an older copy" in told.text
        assert in_force(tmp_path / "site.toml", tmp_path / FILE) == {
            "bess-1": "something that cannot be read"
        }
        assert ledger.record(entry(2), facts={FORCE: None, PHASE: None}).ok
    with Ledger(tmp_path) as ledger:
        assert ledger.log.recalled == {OFF: "{}"}
    assert in_force(tmp_path / "site.toml", tmp_path / FILE) == {}


def test_it_is_named_before_it_is_in_the_database_and_taken_out_behind_it(tmp_path: Path) -> None:
    found: list[tuple[set[str], set[str]]] = []
    with Ledger(tmp_path) as ledger:
        database = ledger.log._writer._db
        assert database is not None
        write = database.write

        def noting(*arguments: object) -> None:
            before = set(read_witness(tmp_path / WITNESS))
            write(*arguments)  # type: ignore[arg-type]  # handed on
            found.append((before, set(database.facts) - before))

        database.write = noting  # type: ignore[method-assign, assignment]
        assert ledger.record(entry(), facts={FORCE: "{}"}).ok
        assert ledger.record(entry(1), facts={FORCE: None}).ok
        assert found == [({FORCE}, set()), ({FORCE}, set())]
    assert read_witness(tmp_path / WITNESS) == {}


def test_a_log_that_is_set_aside_still_has_what_was_in_force(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        assert ledger.record(entry(), facts={FORCE: "{}"}).ok
    (tmp_path / FILE).write_bytes(b"no database" * 500)
    with Ledger(tmp_path) as ledger:
        assert ledger.log.trouble
        assert ledger.log.recalled == {FORCE: "{}"}


def test_a_file_of_before_has_none_and_its_facts_are_named_at_the_start(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        assert ledger.record(entry(), facts={FORCE: "{}"}).ok
    (tmp_path / WITNESS).unlink()
    with Ledger(tmp_path) as ledger:
        assert ledger.log.recalled == {}
    assert read_witness(tmp_path / WITNESS) == {FORCE: "{}"}


@pytest.mark.parametrize("text", ["", "[]", "{", '{"facts": []}', '{"facts": {"a/phase": 1}}'])
def test_one_that_cannot_be_read_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / WITNESS).write_text(text)
    assert read_witness(tmp_path / WITNESS) == {}


def test_one_that_cannot_be_read_is_told_and_stays_for_people(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        assert ledger.record(entry(), facts={FORCE: "{}"}).ok
    torn = (tmp_path / WITNESS).read_bytes()[:-1]
    (tmp_path / WITNESS).write_bytes(torn)
    with Ledger(tmp_path) as ledger:
        told = ledger.inbox.wait(AuditTroubled)
        assert told.kind == "unread"
        assert "older copy" in told.text
    (aside,) = tmp_path.glob(f"{WITNESS}.corrupt-*")
    assert aside.read_bytes() == torn
    assert set(read_witness(tmp_path / WITNESS)) == {FORCE}


def test_where_it_cannot_be_written_nothing_is_answered_for(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        (tmp_path / (WITNESS + ".new")).mkdir()
        answer = ledger.record(entry(), facts={FORCE: "{}"})
        assert not answer.ok
        assert WITNESS in answer.cause
        assert ledger.record(entry(1), facts={"x": "y"}).ok is False  # it goes in order
        (tmp_path / (WITNESS + ".new")).rmdir()
        assert ledger.record(entry(2)).ok
        assert ledger.log.facts() == {FORCE: "{}", "x": "y"}


def test_a_full_disk_takes_no_fact_and_gives_one_up_all_the_same(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", mib=4) as disk:
        with Ledger(disk) as ledger:
            assert ledger.record(entry(), facts={FORCE: "{}"}).ok
            ballast = fill(disk, leave=0)
            ledger.record(entry(1), facts={FORCE: None})
            ballast.unlink()
            assert ledger.record(entry(2)).ok
        with Ledger(disk) as ledger:
            assert FORCE not in ledger.log.facts()


def test_a_database_that_is_gone_is_no_answer_though_the_file_is_there(tmp_path: Path) -> None:
    with Ledger(tmp_path):
        pass
    (tmp_path / FILE).unlink()
    (tmp_path / "site.toml").write_text(f'[gateway]\nstate_dir = "{tmp_path}"\n')
    with pytest.raises(StoreError, match="is gone"):
        in_force(tmp_path / "site.toml", None)
