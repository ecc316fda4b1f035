"""What is done to a queue file by power cuts, bad disks, other programs and other versions."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.config.site import QueueSettings
from gateway.errors import StoreError
from gateway.events import GapsRecorded, QueueTroubled
from gateway.queue.rules.counters import sealed
from gateway.queue.schema import PAGE, VERSION
from gateway.streams import Row, Stream
from tests.fixtures.disks import small_disk
from tests.fixtures.queues import Shelf, batch, counted, gaps

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = 60
N = 500


def body(number: int) -> str:
    return f"{number:04d}" + "y" * 3300


def filled(folder: Path, *, rows: int = ROWS) -> str:
    """A closed queue of telemetry rows 0..rows-1 and a few others; returns its epoch."""
    with Shelf(folder) as shelf:
        for number in range(rows):
            shelf.append(batch(N, text=body(number)))
        shelf.append(batch(stream=Stream.AUDIT, text="audit"))
        return shelf.store.epoch


def numbers(rows: list[Row]) -> list[int]:
    """Which of ``filled``'s rows these are, each checked against its sequence number."""
    found = []
    for row in rows:
        if row.batch.stream is Stream.TELEMETRY and row.batch.n == N:
            number = int(row.batch.body[:4])
            assert row.batch.body.decode() == body(number)
            assert row.seq0 == number * N + 1
            found.append(number)
    return found


def announced(rows: list[Row]) -> set[int]:
    """Which of ``filled``'s rows are in a gap."""
    return {
        (seq - 1) // N
        for gap in gaps(rows)
        for seq in range(gap.first, gap.last + 1)
        if gap.reason == "corrupt"
    }


def cut_in_half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def cut_to_nothing(path: Path) -> None:
    os.truncate(path, 0)


def cut_inside_a_page(path: Path) -> None:
    os.truncate(path, path.stat().st_size - PAGE - 100)


def scribble(path: Path, at: int, size: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(random.Random(at).randbytes(size))


def overwrite_all(path: Path) -> None:
    scribble(path, 0, path.stat().st_size)


def overwrite_the_first_page(path: Path) -> None:
    scribble(path, 0, PAGE)


def overwrite_the_first_pages(path: Path) -> None:
    scribble(path, 0, PAGE * 8)


def overwrite_the_middle(path: Path) -> None:
    scribble(path, path.stat().st_size // 2, 6 * PAGE)


def overwrite_the_counters(path: Path) -> None:
    whole = path.read_bytes()
    at = whole.index(b'"next_id":')
    path.write_bytes(whole[: at + 10] + b"9" + whole[at + 11 :])


DAMAGES = (
    (cut_in_half, 20),
    (cut_inside_a_page, 55),
    (overwrite_the_first_page, 0),
    (overwrite_the_first_pages, 0),
    (overwrite_the_middle, 40),
    (overwrite_the_counters, ROWS),
    (cut_to_nothing, 0),
    (overwrite_all, 0),
)


@pytest.mark.parametrize(("damage", "least"), DAMAGES, ids=lambda v: getattr(v, "__name__", ""))
def test_a_damaged_file_is_set_aside_and_what_holds_is_shipped_under_its_old_numbers(
    tmp_path: Path, damage: Callable[[Path], None], least: int
) -> None:
    old = filled(tmp_path)
    damage(tmp_path / "queue.db")
    with Shelf(tmp_path) as shelf:
        shelf.fetch()  # damage found while reading has been dealt with
        shelf.append(batch(3, text="new"))
        rows = shelf.fetch()
        new = next(row for row in rows if row.batch.body == b"new")
        trouble = shelf.inbox.wait(QueueTroubled)
        epoch = shelf.store.epoch
    assert trouble.kind == "corrupt"
    whole = numbers(rows)
    assert len(whole) >= least
    assert len(set(whole)) == len(whole)
    assert {row.epoch for row in rows if row.batch.n == N} <= {old}
    assert new.epoch == epoch
    assert new.id > max((row.id for row in rows if row.batch.n == N), default=0)
    if epoch != old:
        assert new.seq0 == 1
        assert any(path.name.startswith("queue.db.corrupt-") for path in tmp_path.iterdir())
    assert set(range(ROWS)) <= set(whole) | announced(rows)  # the tally knows them all
    assert not (tmp_path / "queue.db.salvaged").exists()


def test_counters_that_are_still_readable_name_every_missing_reading(tmp_path: Path) -> None:
    filled(tmp_path)
    overwrite_the_middle(tmp_path / "queue.db")
    with Shelf(tmp_path) as shelf:
        shelf.fetch()
        rows = shelf.fetch()
        assert set(numbers(rows)) | announced(rows) == set(range(ROWS))
        assert not set(numbers(rows)) & announced(rows)
        depth = [event.gaps for event in shelf.inbox.of(GapsRecorded)]
        assert depth


def test_damage_while_the_gateway_runs_costs_only_what_is_damaged(tmp_path: Path) -> None:
    with Shelf(tmp_path) as shelf:
        for number in range(ROWS):
            shelf.append(batch(N, text=body(number)))
        old = shelf.store.epoch
        database = shelf.store._writer._db
        assert database is not None
        database.checkpoint()
        database._raw.execute("PRAGMA cache_size = 1").fetchall()
        overwrite_the_middle(tmp_path / "queue.db")
        shelf.fetch()
        trouble = shelf.inbox.wait(QueueTroubled)
        assert trouble.kind == "corrupt"
        for number in range(3):
            shelf.append(batch(1, text=f"new {number}"))
        rows = shelf.fetch()
        new = [row for row in rows if row.batch.body.startswith(b"new")]
        assert [row.batch.body for row in new] == [b"new 0", b"new 1", b"new 2"]
        assert set(numbers(rows)) | announced(rows) == set(range(ROWS))
        assert len(numbers(rows)) >= 40
        assert shelf.store.epoch == new[0].epoch
        assert min(row.id for row in new) > ROWS
        if shelf.store.epoch != old:
            assert [row.seq0 for row in new] == [1, 2, 3]


@pytest.mark.parametrize("seed", range(30))
def test_flipped_bytes_are_never_shipped_and_always_announced(tmp_path: Path, seed: int) -> None:
    filled(tmp_path)
    rng = random.Random(seed)
    path = tmp_path / "queue.db"
    whole = bytearray(path.read_bytes())
    for _ in range(3):
        at = rng.randrange(100, len(whole) - 8)
        whole[at : at + 8] = rng.randbytes(8)
    path.write_bytes(whole)
    with Shelf(tmp_path) as shelf:
        shelf.fetch()
        rows = shelf.fetch()
        shelf.append(batch(1, text="new"))
        assert any(row.batch.body == b"new" for row in shelf.fetch())
    kept = set(numbers(rows))
    missing = set(range(ROWS)) - kept
    assert missing <= announced(rows)
    assert len(missing) <= 8 or seed == 9  # where the tree's root is hit, and nothing leads on


def test_a_row_whose_crc_does_not_hold_goes_to_quarantine(tmp_path: Path) -> None:
    filled(tmp_path)
    raw = sqlite3.connect(tmp_path / "queue.db")
    with raw:
        raw.execute(
            "UPDATE batch SET body = CAST(replace(body, 'y', 'z') AS BLOB)"
            " WHERE stream = 'telemetry' AND seq0 IN (1, 5001, 5501)"
        )
        raw.execute("UPDATE batch SET seq0 = 77, n = 3 WHERE seq0 = 10001")
    raw.close()
    with Shelf(tmp_path) as shelf:
        assert len(shelf.fetch(30)) == 30  # the damaged ones are not counted
        rows = shelf.fetch()
        assert set(range(ROWS)) - set(numbers(rows)) == {0, 10, 11, 20} == announced(rows)
        assert shelf.inbox.wait(QueueTroubled).kind == "corrupt"
    assert counted(tmp_path).quarantined == 4
    raw = sqlite3.connect(tmp_path / "queue.db")
    kept = raw.execute("SELECT why, seq0 FROM quarantine ORDER BY key").fetchall()
    raw.close()
    assert [seq0 for _, seq0 in kept] == [1, 5001, 5501, 77]
    assert all("CRC" in why for why, _ in kept)


@pytest.mark.parametrize("column", ["n", "aged_s", "seq0"])
def test_a_damaged_column_does_not_stop_the_writer(tmp_path: Path, column: str) -> None:
    filled(tmp_path)
    raw = sqlite3.connect(tmp_path / "queue.db")
    with raw:
        raw.execute(f"UPDATE batch SET {column} = 'x' WHERE stream = 'telemetry' AND seq0 = 5001")
    raw.close()
    with Shelf(tmp_path, QueueSettings(100 << 10, 1.0)) as shelf:  # everything must go
        shelf.append(batch(1, stream=Stream.AUDIT, text="new"))
        shelf.store.forget(range(1, ROWS))
        shelf.settle()
        rows = shelf.fetch()
        assert shelf.inbox.wait(QueueTroubled).kind == "corrupt"
    assert any(row.batch.body == b"new" for row in rows)
    assert not {10} & set(numbers(rows))


def test_a_log_without_its_database_is_not_replayed_into_a_new_one(tmp_path: Path) -> None:
    with Shelf(tmp_path) as shelf:
        shelf.append(batch(N, text=body(0)))
        log = (tmp_path / "queue.db-wal").read_bytes()
    (tmp_path / "queue.db").unlink()
    (tmp_path / "queue.db-wal").write_bytes(log)
    with Shelf(tmp_path) as shelf:
        assert gaps(shelf.fetch())  # the tally knows what there was
        assert not numbers(shelf.fetch())
    assert [p for p in tmp_path.iterdir() if p.name.startswith("queue.db.corrupt-")]


def test_a_crash_between_the_last_steps_of_a_salvage_loses_nothing(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / "queue.db").rename(tmp_path / "queue.db.salvaged")
    with Shelf(tmp_path) as shelf:
        assert numbers(shelf.fetch()) == list(range(ROWS))


def test_a_newer_schema_is_refused_and_untouched(tmp_path: Path) -> None:
    filled(tmp_path, rows=1)
    path = tmp_path / "queue.db"
    raw = sqlite3.connect(path)
    with raw:
        newer = str(VERSION + 1)
        raw.execute(
            "UPDATE meta SET value = ?, crc = ? WHERE key = 'schema'",
            (newer, sealed("schema", newer)),
        )
    raw.close()
    before = path.read_bytes()
    with pytest.raises(
        StoreError, match=rf"queue\.db: schema version {VERSION + 1} .* reads 1\.\.{VERSION}"
    ):
        Shelf(tmp_path).store.start()
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["queue.db", "queue.lock", "queue.tally"]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"none/queue\.lock: No such file or directory"):
        Shelf(tmp_path / "none").store.start()


def test_a_read_only_disk_is_a_clear_error(tmp_path: Path) -> None:
    with (
        small_disk(tmp_path / "disk", mib=8, read_only=True) as folder,
        pytest.raises(StoreError, match="Read-only file system"),
    ):
        Shelf(folder).store.start()


START = """
import os, sys
from pathlib import Path
from gateway.errors import StoreError
from gateway.queue.store import Store
from gateway.config.site import QueueSettings
os.setuid(65534)
store = Store(Path(sys.argv[1]), QueueSettings(1 << 30, 1e6), post=print, notice_batch=None)
try:
    store.start()
except StoreError as error:
    print(error)
    sys.exit(error.exit_code)
"""


@pytest.mark.parametrize(("name", "mode"), [("queue.db", 0o444), ("", 0o555)])
def test_a_read_only_file_or_folder_is_a_clear_error(name: str, mode: int) -> None:
    if os.geteuid():
        pytest.skip("needs root to become another user")
    # Not below ``tmp_path``: any other pytest of root that begins closes its parent to others.
    with tempfile.TemporaryDirectory() as above:
        Path(above).chmod(0o755)
        folder = Path(above) / "q"
        folder.mkdir()
        filled(folder, rows=1)
        folder.chmod(0o777)
        for path in folder.iterdir():
            path.chmod(0o666)
        (folder / name).chmod(mode)
        done = subprocess.run(
            [sys.executable, "-c", START, str(folder)],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 74, done
        assert "is read-only for user 65534" in done.stdout
        assert str(folder / name) in done.stdout
