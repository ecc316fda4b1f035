"""Flipped bits: no batch is delivered with other content, and the writer never stops."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from gateway.events import QueueTroubled
from gateway.streams import Stream
from tests.faults import trials
from tests.fixtures.queues import Shelf, batch, gaps

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.skipif(
    shutil.which("gcc") is None, reason="needs gcc for the failing disk: apt install gcc"
)
@pytest.mark.parametrize("tail", ["queue.db", "-wal", "queue.tally"])
@pytest.mark.parametrize("flips", [20, pytest.param(400, marks=pytest.mark.long)])
def test_a_flipped_bit_is_never_delivered_and_its_loss_is_announced(flips: int, tail: str) -> None:
    with trials.scratch() as disk, trials.Worker(disk) as worker:
        total = trials.flips(worker, disk, trials=flips, tail=tail)
    assert total.trials > flips / 2
    assert not total.failed, total.first


def flip(file: Path, at: int) -> None:
    octets = bytearray(file.read_bytes())
    octets[at] ^= 1
    file.write_bytes(octets)


def numbers(shelf: Shelf) -> set[int]:
    """Sequence numbers of telemetry of the first epoch that wait or are announced as gaps."""
    shelf.fetch()
    found: set[int] = set()
    rows = shelf.fetch()
    first = shelf.store.epoch_before or rows[0].epoch
    for row in rows:
        if row.batch.stream is Stream.TELEMETRY and row.epoch == first:
            found |= set(range(row.seq0, row.seq0 + row.batch.n))
    for gap in gaps(rows):
        if gap.epoch == first:
            found |= set(range(gap.first, gap.last + 1))
    return found


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.995])
@pytest.mark.parametrize("checkpoint", [False, True])
def test_what_a_bit_that_flips_in_the_log_takes_away_is_announced(
    tmp_path: Path, share: float, *, checkpoint: bool
) -> None:
    """Forty commits in the log, as a kill leaves it: after a checkpoint its pages are mixed."""
    place = tmp_path / "killed"
    place.mkdir()
    (tmp_path / "queue").mkdir()
    with Shelf(tmp_path / "queue") as shelf:
        for number in range(40):
            shelf.append(batch(3, text=f"{number}"))
        shelf.store.forget(range(1, 6))
        shelf.settle()
        database = shelf.store._writer._db
        assert database is not None
        if checkpoint:
            database._raw.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        for name in ("queue.db", "queue.db-wal", "queue.tally"):
            (place / name).write_bytes((tmp_path / "queue" / name).read_bytes())
    log = place / "queue.db-wal"
    flip(log, int(log.stat().st_size * share) + 30)
    with Shelf(place) as shelf:
        shelf.append(batch(3, text="new"))
        shelf.fetch()
        rows = [row for row in shelf.fetch() if row.batch.stream is Stream.TELEMETRY]
        assert b"new" in {row.batch.body for row in rows}
        assert len({(row.epoch, row.seq0) for row in rows}) == len(rows)
        assert numbers(shelf) >= set(range(16, 121))


def test_a_bit_that_flips_in_the_name_of_a_column_leads_to_a_salvage(tmp_path: Path) -> None:
    (tmp_path / "queue").mkdir()
    with Shelf(tmp_path / "queue") as shelf:
        shelf.append(batch(3, text="kept"))
    path = tmp_path / "queue" / "queue.db"
    flip(path, path.read_bytes().index(b"codec TEXT NOT NULL"))
    with Shelf(tmp_path / "queue") as shelf:
        shelf.fetch()
        rows = shelf.fetch()
        assert [row.batch.body for row in rows if row.batch.n == 3] == [b"kept"]
        assert [one.kind for one in shelf.inbox.of(QueueTroubled)] == ["corrupt"]
