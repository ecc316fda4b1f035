"""What SQLite does not notice: rows that a page hides, commits that are gone, a gap record lost."""

from __future__ import annotations

import json
import sqlite3
from struct import pack_into, unpack_from
from typing import TYPE_CHECKING

import pytest

from gateway import clock
from gateway.events import QueueTroubled
from gateway.queue import tally
from gateway.queue.database import GAPS
from gateway.queue.opening import open_queue
from gateway.queue.rules.counters import sealed
from gateway.queue.schema import PAGE
from gateway.streams import Batch, Stream
from tests.fixtures.queues import Shelf, batch, counted, ends, gaps

if TYPE_CHECKING:
    from pathlib import Path

LEAF = 0x0D


def waiting(shelf: Shelf) -> set[int]:
    """Numbers of telemetry of the first epoch that wait or are announced as gaps."""
    shelf.fetch()
    found: set[int] = set()
    rows = shelf.fetch()
    oldest = min(row.epoch for row in rows)
    for row in rows:
        if row.batch.stream is Stream.TELEMETRY and row.epoch == oldest:
            found |= set(range(row.seq0, row.seq0 + row.batch.n))
    for gap in gaps(rows):
        if gap.epoch == oldest:
            found |= set(range(gap.first, gap.last + 1))
    return found


def hide_rows(path: Path) -> None:
    """Let a page of rows say that it holds one row less."""
    octets = bytearray(path.read_bytes())
    for at in range(PAGE, len(octets), PAGE):
        (cells,) = unpack_from(">H", octets, at + 3)
        if octets[at] == LEAF and 3 < cells < 60:
            pack_into(">H", octets, at + 3, cells - 1)
            path.write_bytes(octets)
            return
    pytest.fail("no such page")


def killed(folder: Path, source: Path) -> Path:
    """A copy of a queue while it runs, as a kill leaves it."""
    place = folder / "killed"
    place.mkdir()
    for name in ("queue.db", "queue.db-wal", "queue.tally"):
        (place / name).write_bytes((source / name).read_bytes())
    return place


@pytest.mark.parametrize("running", [False, True])
def test_rows_that_a_damaged_page_hides_are_announced(tmp_path: Path, *, running: bool) -> None:
    with Shelf(tmp_path) as shelf:
        for number in range(60):
            shelf.append(batch(3, text=f"{number:04d}" + "y" * 300))
        if running:
            database = shelf.store._writer._db
            assert database is not None
            database.checkpoint()
            database._raw.execute("PRAGMA cache_size = 1").fetchall()
            hide_rows(tmp_path / "queue.db")
            shelf.fetch()
            assert shelf.inbox.wait(QueueTroubled).kind == "corrupt"
            assert waiting(shelf) == set(range(1, 181))
    if not running:
        hide_rows(tmp_path / "queue.db")
        with Shelf(tmp_path) as shelf:
            assert shelf.inbox.wait(QueueTroubled).kind == "corrupt"
            assert waiting(shelf) == set(range(1, 181))


def test_a_log_that_is_gone_is_announced_and_its_numbers_are_not_used_again(
    tmp_path: Path,
) -> None:
    (tmp_path / "queue").mkdir()
    with Shelf(tmp_path / "queue") as shelf:
        shelf.append(batch(3, text="in the file"))
        database = shelf.store._writer._db
        assert database is not None
        database.checkpoint()
        shelf.append(batch(5, text="in the log alone"))
        place = killed(tmp_path, tmp_path / "queue")
    (place / "queue.db-wal").unlink()
    with Shelf(place) as shelf:
        shelf.append(batch(2, text="new"))
        rows = shelf.fetch()
        [new] = [row for row in rows if row.batch.body == b"new"]
        assert (new.seq0, new.epoch) == (1, shelf.store.epoch)
        assert [(gap.first, gap.last, gap.reason) for gap in gaps(rows)] == [(4, 8, "corrupt")]
        assert len({row.id for row in rows}) == len(rows)


def test_a_row_in_the_place_of_another_is_found_though_there_are_as_many(tmp_path: Path) -> None:
    with Shelf(tmp_path) as shelf:
        shelf.append(batch(3, text="one"))
        shelf.append(batch(3, text="two"))
        shelf.store.forget([1])
        old = shelf.store.epoch
    raw = sqlite3.connect(tmp_path / "queue.db")
    with raw:  # as a page of an earlier commit would hold it
        raw.execute("UPDATE batch SET key = key - 1, seq0 = 1, body = CAST('one' AS BLOB)")
    raw.close()
    with Shelf(tmp_path) as shelf:
        trouble = shelf.inbox.wait(QueueTroubled)
        assert "are not those that are counted" in trouble.text
        said = [(gap.first, gap.last) for gap in gaps(shelf.fetch()) if gap.epoch == old]
        assert said == [(1, 6)]


def test_a_queue_of_the_version_before_is_taken_over(tmp_path: Path) -> None:
    with Shelf(tmp_path) as shelf:
        shelf.append(batch(3, text="kept"))
        old = shelf.store.epoch
    raw = sqlite3.connect(tmp_path / "queue.db")
    with raw:  # as it was: without sums, its notes as facts with copies
        (text,) = raw.execute("SELECT value FROM meta WHERE key = 'book'").fetchone()
        book = json.loads(text)
        for counts in book["streams"].values():
            del counts["ids"]
        for name in ("start", "closed", "before"):
            del book[name]
        raw.execute(
            "CREATE TABLE fact (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL,"
            " crc INTEGER NOT NULL) WITHOUT ROWID"
        )
        gap = '[["telemetry","",7,9,"corrupt","OLD"]]'
        for table, key, value in (
            ("meta", "book", json.dumps(book)),
            ("meta", "schema", "1"),
            ("fact", "queue:gaps", gap),
            ("meta", "fact:queue:gaps", gap),
        ):
            raw.execute(
                f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?)", (key, value, sealed(key, value))
            )
    raw.close()
    (tmp_path / "queue.tally").unlink()
    with Shelf(tmp_path) as shelf:
        shelf.append(batch(2, text="new"))
        rows = shelf.fetch()
        assert not shelf.inbox.of(QueueTroubled)
    assert [row.batch.body for row in rows if row.epoch == old] == [b"kept"]
    assert [(one.epoch, one.start, one.told_in) for one in ends(rows)] == [(old, 0, 1)]
    assert {(gap.first, gap.last, gap.epoch) for gap in gaps(rows)} == {(7, 9, "OLD")}
    raw = sqlite3.connect(tmp_path / "queue.db")
    keys = {key for (key,) in raw.execute("SELECT key FROM meta")}
    raw.close()
    assert keys == {"book", "schema", "queue:epochs"}
    assert counted(tmp_path).streams[Stream.TELEMETRY].ids is not None


def test_an_older_copy_of_the_queue_gives_no_number_out_twice(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    with Shelf(tmp_path) as shelf:
        shelf.append(batch(3, text="old"))
        old = shelf.store.epoch
    copy = path.read_bytes()
    with Shelf(tmp_path) as shelf:
        shelf.append(batch(4, text="newer"))
        newer = shelf.store.epoch
    path.write_bytes(copy)
    with Shelf(tmp_path) as shelf:
        shelf.append(batch(1, text="new"))
        rows = shelf.fetch()
        [new] = [row for row in rows if row.batch.body == b"new"]
        assert (new.seq0, new.epoch) == (1, shelf.store.epoch)
        said = {(gap.epoch, gap.first, gap.last) for gap in gaps(rows)}
        assert said == {(newer, 1, 4)}
        assert [(one.epoch, one.last["telemetry"]) for one in ends(rows)] == [(old, 3), (newer, 4)]
        assert not shelf.inbox.of(QueueTroubled)


@pytest.mark.parametrize("octets", [b"", b"\0" * 1024, b"garbage", b"0123abcd {}"])
def test_a_tally_that_cannot_be_read_is_no_trouble(tmp_path: Path, octets: bytes) -> None:
    with Shelf(tmp_path) as shelf:
        shelf.append(batch(3, text="kept"))
    assert tally.read(tmp_path / "queue.db") is not None
    (tmp_path / "queue.tally").write_bytes(octets)
    assert tally.read(tmp_path / "queue.db") is None
    with Shelf(tmp_path) as shelf:
        assert [row.batch.body for row in shelf.fetch()[1:]] == [b"kept"]
        assert not shelf.inbox.of(QueueTroubled)


def test_a_tally_that_the_disk_refuses_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "queue.tally").mkdir()
    with Shelf(tmp_path) as shelf:
        shelf.append(batch(3, text="kept"))
        assert len(shelf.fetch()) == 1


def test_what_a_damaged_gap_record_said_is_said_again(tmp_path: Path) -> None:
    with Shelf(tmp_path) as shelf:
        shelf.append(batch(3, text="first"))
        shelf.store.lost(Stream.TELEMETRY, "bess-1", 5, "store_timeout")
        shelf.append(batch(3, text="second"))
        shelf.settle()
    raw = sqlite3.connect(tmp_path / "queue.db")
    with raw:
        raw.execute("UPDATE batch SET body = CAST('{}' AS BLOB) WHERE stream = 'event'")
    raw.close()
    with Shelf(tmp_path) as shelf:
        shelf.fetch()
        rows = shelf.fetch()
        assert shelf.inbox.wait(QueueTroubled).kind == "corrupt"
        assert waiting(shelf) == set(range(1, 12))
        assert {row.batch.body for row in rows if row.batch.stream is Stream.TELEMETRY} == {
            b"first",
            b"second",
        }


def test_gaps_of_a_salvage_survive_a_kill_before_the_first_commit(tmp_path: Path) -> None:
    with Shelf(tmp_path) as shelf:
        for number in range(60):
            shelf.append(batch(3, text=f"{number:04d}" + "y" * 300))
    hide_rows(tmp_path / "queue.db")

    def killed_here(_notice: object, _at_ms: int) -> Batch:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):  # before the commit that begins the next epoch
        open_queue(tmp_path / "queue.db", clock.now(), notice_batch=killed_here)
    with Shelf(tmp_path) as shelf:
        assert waiting(shelf) == set(range(1, 181))
        database = shelf.store._writer._db
        assert database is not None
        assert GAPS not in database.notes
