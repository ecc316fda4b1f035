"""Full disks, damaged files, files that are gone: nothing is lost that was answered for."""

from __future__ import annotations

import json
import os
import random
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from gateway.audit.chain import TROUBLE, verify_chain
from gateway.audit.file import FILE
from gateway.audit.reader import reading
from gateway.errors import DiskFullError, StoreError
from gateway.events import AuditTroubled, Recorded, ThreadFault
from tests.fixtures.audits import Ledger, entry, row_texts, tampered
from tests.fixtures.disks import fill, small_disk

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.effects import AuditEntry


def large(number: int) -> AuditEntry:
    body = json.dumps({"number": number, "text": "x" * 30_000})
    return entry().__class__("ops-1", "command", "bess-1", body.encode())


def numbers(folder: Path) -> list[int]:
    texts = [json.loads(text) for _, text in row_texts(folder / FILE)]
    return [text["number"] for text in texts if "number" in text]


# --- a full disk -------------------------------------------------------------------------------


def test_a_full_disk_is_told_at_once_and_all_is_written_in_order_once_there_is_room(
    tmp_path: Path,
) -> None:
    with small_disk(tmp_path / "disk", mib=4) as disk:
        with Ledger(disk) as ledger:
            assert ledger.record(large(0), facts={"latched": "no"}).ok
            ballast = fill(disk, leave=0)
            refused = 0
            for number in range(1, 40):
                answer = ledger.record(large(number), facts={"latched": str(number)})
                refused += not answer.ok
                assert answer.ok or "the disk is full" in answer.cause
            assert refused > 20
            trouble = ledger.inbox.wait(AuditTroubled)
            assert trouble.kind == "disk_full"
            assert ledger.log.waiting == (refused, 0)
            durable = "no" if refused == 39 else str(39 - refused)
            assert ledger.log.facts() == {"latched": durable}  # not what is only wished
            ballast.unlink()
            ledger.inbox.wait(AuditTroubled, lambda event: event.kind == "works")
            assert ledger.record(large(40)).ok
            assert ledger.log.waiting == (0, 0)
            assert ledger.log.facts() == {"latched": "39"}
            assert [each.kind for each in ledger.inbox.of(AuditTroubled)] == ["disk_full", "works"]
            assert len(ledger.inbox.of(Recorded)) == 41  # each was answered once
        assert numbers(disk) == list(range(41))
        with reading(disk / FILE) as log:
            head = log.head("head")
            assert head is not None
            assert verify_chain([row for row, _ in log.rows()], head) == ()


def test_a_full_disk_at_the_first_start_is_said_and_leaves_nothing_half_made(
    tmp_path: Path,
) -> None:
    with small_disk(tmp_path / "disk", mib=1) as disk:
        ballast = fill(disk, leave=0)
        with pytest.raises(StoreError) as found:
            Ledger(disk).log.start()
        assert isinstance(found.value, DiskFullError) or "No space left" in str(found.value)
        ballast.unlink()
        assert {each.name for each in disk.iterdir()} <= {"control.lock"}
        with Ledger(disk) as ledger:
            assert ledger.log.trouble == ""
            assert ledger.record(entry()).ok


def test_a_read_only_disk_is_named(tmp_path: Path) -> None:
    with (
        small_disk(tmp_path / "disk", mib=1, read_only=True) as disk,
        pytest.raises(StoreError, match="must exist and be writable"),
    ):
        Ledger(disk).log.start()


def test_somebodys_lock_on_the_file_fails_an_order_and_loses_nothing(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as shell:
            shell.execute("BEGIN IMMEDIATE")
            answer = ledger.record(entry(1), facts={"latched": "yes"})
            assert not answer.ok
            assert "locked" in answer.cause
            assert ledger.log.facts() == {}
            shell.execute("COMMIT")
        ledger.inbox.wait(AuditTroubled, lambda event: event.kind == "works")
        assert ledger.record(entry(2)).ok
        assert ledger.log.facts() == {"latched": "yes"}
    assert numbers(tmp_path) == [1, 2]


# --- damage at the start -----------------------------------------------------------------------


def filled(folder: Path, *, rows: int = 60) -> None:
    with Ledger(folder) as ledger:
        tokens = [ledger.hand_over(large(number)) for number in range(rows)]
        assert all(ledger.answer(token).ok for token in tokens)
        assert ledger.record(facts={"latched": "yes", "stopped": "no"}).ok


def cut_in_half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def cut_to_nothing(path: Path) -> None:
    os.truncate(path, 0)


def overwrite_the_start(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"not a database of anybody's, for as long as this sentence goes on")


def overwrite_the_schema(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(100)
        file.write(bytes(4096 - 100))


def edit_the_newest_row(path: Path) -> None:
    tampered(path, "UPDATE audit SET actor = 'nobody' WHERE n = (SELECT max(n) FROM audit)")


def remove_the_newest_row(path: Path) -> None:
    tampered(path, "DELETE FROM audit WHERE n = (SELECT max(n) FROM audit)")


def edit_the_newest_text(path: Path) -> None:
    tampered(path, "UPDATE audit SET body = '{}' WHERE n = (SELECT max(n) FROM audit)")


def unlatch(path: Path) -> None:
    tampered(path, "UPDATE fact SET value = 'no' WHERE key = 'latched'")


def remove_a_fact(path: Path) -> None:
    tampered(path, "DELETE FROM fact WHERE key = 'latched'")


def edit_a_mark(path: Path) -> None:
    tampered(path, "UPDATE mark SET value = '0' WHERE key = 'facts'")


def remove_a_mark(path: Path) -> None:
    tampered(path, "DELETE FROM mark WHERE key = 'head'")


def drop_a_table(path: Path) -> None:
    tampered(path, "DROP TABLE signed")


@pytest.mark.parametrize(
    "damage",
    [
        cut_in_half,
        cut_to_nothing,
        overwrite_the_start,
        overwrite_the_schema,
        edit_the_newest_row,
        remove_the_newest_row,
        edit_the_newest_text,
        unlatch,
        remove_a_fact,
        edit_a_mark,
        remove_a_mark,
        drop_a_table,
    ],
)
def test_a_damaged_file_is_set_aside_and_a_new_chain_says_so_until_an_operator_resets(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    filled(tmp_path)
    damage(tmp_path / FILE)
    damaged = (tmp_path / FILE).stat().st_size
    with Ledger(tmp_path) as ledger:
        trouble = ledger.log.trouble
        assert trouble.startswith(str(tmp_path / FILE))
        assert ledger.log.facts() == {TROUBLE: trouble}
        assert ledger.log.head.n == 1
        assert ledger.record(entry(1)).ok
    [aside] = [each for each in tmp_path.iterdir() if ".corrupt-" in each.name]
    assert aside.stat().st_size == damaged
    first = json.loads(row_texts(tmp_path / FILE)[0][1])
    assert first["setAside"] == aside.name
    assert first["why"] == trouble
    with Ledger(tmp_path) as ledger:  # a restart resets nothing
        assert ledger.log.trouble == trouble
        assert ledger.record(facts={TROUBLE: None}).ok
        assert ledger.log.trouble == ""
    with Ledger(tmp_path) as ledger:
        assert ledger.log.trouble == ""


def test_a_file_that_is_gone_is_trouble_and_no_first_start(tmp_path: Path) -> None:
    filled(tmp_path, rows=1)
    (tmp_path / FILE).unlink()
    with Ledger(tmp_path) as ledger:
        assert ledger.log.trouble == f"{tmp_path / FILE}: is gone"
        assert ledger.log.head.n == 1


def test_a_crash_between_the_last_two_steps_of_setting_aside_loses_no_trouble(
    tmp_path: Path,
) -> None:
    filled(tmp_path, rows=1)
    unlatch(tmp_path / FILE)
    with Ledger(tmp_path):
        pass
    (tmp_path / FILE).rename(tmp_path / "control.db.next")  # as the crash would leave it
    with Ledger(tmp_path) as ledger:
        assert "a fact was changed" in ledger.log.trouble
        assert ledger.log.head.n == 1


def test_a_crash_while_a_new_file_is_made_leaves_a_first_start(tmp_path: Path) -> None:
    (tmp_path / "control.db.new").write_bytes(b"half of a database")
    with Ledger(tmp_path) as ledger:
        assert ledger.log.trouble == ""
    assert sorted(each.name for each in tmp_path.iterdir()) == ["control.db", "control.lock"]


def test_an_edit_deep_in_the_log_costs_no_start_anything(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        tokens = [ledger.hand_over(entry(number)) for number in range(1500)]
        assert all(ledger.answer(token).ok for token in tokens)
    tampered(tmp_path / FILE, "UPDATE audit SET actor = 'nobody' WHERE n = 3")
    with Ledger(tmp_path) as ledger:
        assert ledger.log.trouble == ""  # ``audit verify`` finds it


# --- damage while it is open -------------------------------------------------------------------


def test_a_file_damaged_while_it_is_open_is_set_aside_and_no_fact_is_lost(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        tokens = [ledger.hand_over(large(number)) for number in range(60)]
        assert all(ledger.answer(token).ok for token in tokens)
        assert ledger.record(facts={"latched": "yes"}).ok
        tampered(tmp_path / FILE, "DROP TABLE mark")
        assert ledger.record(entry(61), facts={"seen": "61"}).ok
        assert ledger.inbox.wait(AuditTroubled).kind == "corrupt"
        assert ledger.log.facts() == {"latched": "yes", "seen": "61"}
        assert ledger.log.head.n == 2
        assert ledger.log.trouble == ""  # everything is known
    assert json.loads(row_texts(tmp_path / FILE)[0][1])["before"]["n"] == "61"
    with Ledger(tmp_path) as ledger:
        assert ledger.log.facts() == {"latched": "yes", "seen": "61"}


def test_bits_that_flip_anywhere_never_crash_the_start_and_never_lose_a_latch_silently(
    tmp_path: Path,
) -> None:
    chance = random.Random(3)
    filled(tmp_path, rows=6)
    good = (tmp_path / FILE).read_bytes()
    for _ in range(80):
        for each in tmp_path.iterdir():
            if each.name != "control.lock":
                each.unlink()
        octets = bytearray(good)
        at = chance.choice([chance.randrange(len(good)), chance.randrange(4096 * 6)])
        octets[at] ^= 1 << chance.randrange(8)
        (tmp_path / FILE).write_bytes(octets)
        with Ledger(tmp_path) as ledger:
            facts = ledger.log.facts()
            assert facts.get("latched") == "yes" or ledger.log.trouble, at
            answer = ledger.record(entry(1))
            assert answer.ok, (at, answer.cause)
            assert ledger.inbox.of(ThreadFault) == []
