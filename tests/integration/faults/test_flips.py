"""Flipped bits: no batch is delivered with other content, and the writer never stops."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from gateway.events import GapsRecorded, QueueTroubled
from gateway.queue.rules.counters import found_in
from gateway.queue.rules.wal_frames import FRAME, HEADER, page_of, parse
from gateway.queue.schema import PAGE
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


def crashed(folder: Path) -> tuple[Path, int]:
    """A queue of forty commits, all in its log, as a kill leaves it; and the log's frames."""
    place = folder / "killed"
    place.mkdir()
    with Shelf(folder / "queue") as shelf:
        for number in range(40):
            shelf.append(batch(3, text=f"{number}"))
        for name in ("queue.db", "queue.db-wal"):
            (place / name).write_bytes((folder / "queue" / name).read_bytes())
    return place, len(parse((place / "queue.db-wal").read_bytes(), page=PAGE).fits)


def flip(log: Path, at: int) -> None:
    octets = bytearray(log.read_bytes())
    octets[at] ^= 1
    log.write_bytes(octets)


def numbers(shelf: Shelf) -> set[int]:
    """Sequence numbers of telemetry that wait or are announced as gaps."""
    shelf.fetch()
    found: set[int] = set()
    for row in shelf.fetch():
        if row.batch.stream is Stream.TELEMETRY:
            found |= set(range(row.seq0, row.seq0 + row.batch.n))
    for recorded in shelf.inbox.of(GapsRecorded):
        for gap in recorded.gaps:
            if gap.stream is Stream.TELEMETRY:
                found |= set(range(gap.first, gap.last + 1))
    return found


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_a_bit_that_flips_in_the_log_costs_no_commit_behind_it(
    tmp_path: Path, share: float
) -> None:
    (tmp_path / "queue").mkdir()
    place, frames = crashed(tmp_path)
    flip(place / "queue.db-wal", HEADER + int(frames * share) * (FRAME + PAGE) + FRAME + 2000)
    with Shelf(place) as shelf:
        assert numbers(shelf) >= set(range(1, 121))
        assert [one.kind for one in shelf.inbox.of(QueueTroubled)] == ["corrupt"]


def last_commit(log: Path, *, counters: bool) -> int:
    """Where in the log a page of the last commit lies: that of the counters, or another."""
    octets = log.read_bytes()
    marks = [at for at, mark in enumerate(parse(octets, page=PAGE).marks) if mark]
    for at in range(marks[-2] + 1, marks[-1] + 1):
        if (found_in(page_of(octets, at, page=PAGE)) is not None) is counters:
            return HEADER + at * (FRAME + PAGE) + FRAME
    pytest.fail("no such page")


def test_numbers_of_a_last_commit_that_is_damaged_are_announced_and_not_used_again(
    tmp_path: Path,
) -> None:
    (tmp_path / "queue").mkdir()
    place, _ = crashed(tmp_path)
    log = place / "queue.db-wal"
    flip(log, last_commit(log, counters=False) + 2000)
    with Shelf(place) as shelf:
        shelf.append(batch(3, text="new"))
        assert numbers(shelf) == set(range(1, 124))
        assert [row.seq0 for row in shelf.fetch() if row.batch.body == b"new"] == [121]
        assert [(gap.first, gap.last) for gap in gaps(shelf.fetch())] == [(118, 120)]
        assert not shelf.inbox.of(QueueTroubled)


def test_where_the_counters_of_a_last_commit_are_damaged_too_a_new_epoch_begins(
    tmp_path: Path,
) -> None:
    (tmp_path / "queue").mkdir()
    place, _ = crashed(tmp_path)
    log = place / "queue.db-wal"
    at = last_commit(log, counters=True)
    octets = log.read_bytes()
    flip(log, octets.index(b'book{"epoch":', at) + 20)
    with Shelf(place) as shelf:
        shelf.append(batch(3, text="new"))
        rows = [row for row in shelf.fetch() if row.batch.stream is Stream.TELEMETRY]
        new = [row for row in rows if row.batch.body == b"new"]
        assert [row.seq0 for row in new] == [1]
        assert new[0].epoch not in {row.epoch for row in rows if row not in new}
        assert len({row.id for row in rows}) == len(rows)


def test_a_bit_that_flips_in_the_name_of_a_column_leads_to_a_salvage(tmp_path: Path) -> None:
    (tmp_path / "queue").mkdir()
    with Shelf(tmp_path / "queue") as shelf:
        shelf.append(batch(3, text="kept"))
    path = tmp_path / "queue" / "queue.db"
    flip(path, path.read_bytes().index(b"codec TEXT NOT NULL"))
    with Shelf(tmp_path / "queue") as shelf:
        shelf.fetch()
        rows = shelf.fetch()
        assert [row.batch.body for row in rows if row.seq0 == 1] == [b"kept"]
        assert [one.kind for one in shelf.inbox.of(QueueTroubled)] == ["corrupt"]
