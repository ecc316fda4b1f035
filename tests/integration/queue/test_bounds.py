"""What the queue's limits hold though somebody else is in the way, or nobody takes anything."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest

from gateway.config.site import QueueSettings
from gateway.errors import DiskFullError
from gateway.events import QueueTroubled
from gateway.queue.rules.retention import most_kept
from gateway.streams import Stream
from tests.fixtures.queues import Shelf, batch, counted, gaps

if TYPE_CHECKING:
    from pathlib import Path

SMALL = QueueSettings(16 << 20, 1e6)


def kinds(shelf: Shelf) -> list[str]:
    return [event.kind for event in shelf.inbox.of(QueueTroubled)]


def test_a_reader_that_holds_the_log_is_told_and_its_log_counts_in_max_size(tmp_path: Path) -> None:
    db, log = tmp_path / "queue.db", tmp_path / "queue.db-wal"
    with Shelf(tmp_path, SMALL) as shelf:
        shelf.append(batch(5))
        with closing(sqlite3.connect(db, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM batch").fetchall()
            lost, refusals = 0, set()
            for number in range(3000):  # 60 MiB
                try:
                    shelf.append(batch(1, size=20_000))
                except DiskFullError as error:
                    refusals.add(str(error))
                    lost += 1
                    shelf.store.lost(Stream.TELEMETRY, "bess-1", 1, "disk_full")
                if number % 10 == 0:
                    shelf.append(batch(stream=Stream.RESULT))
            assert lost > 1000
            assert refusals == {f"{db}: max_size is full of its log; nothing was kept"}
            assert log.stat().st_size + db.stat().st_size < 32 << 20
            assert "log_held" in kinds(shelf)
            shelf.append(batch(stream=Stream.AUDIT))
            reader.execute("ROLLBACK")
        until = time.monotonic() + 15.0  # it is no matter of losses, which wait for 30 s
        while "log_free" not in kinds(shelf):  # and the queue is never idle
            assert time.monotonic() < until
            try:
                shelf.append(batch(1))
            except DiskFullError:
                shelf.store.lost(Stream.TELEMETRY, "bess-1", 1, "disk_full")
        assert log.stat().st_size < 8 << 20
        shelf.append(batch(7))
        last = counted(tmp_path).streams[Stream.TELEMETRY].next - 1
    with Shelf(tmp_path, SMALL) as shelf:
        rows = shelf.fetch()
        assert not [kind for kind in kinds(shelf) if kind.startswith("log")]
    first = shelf.store.epoch_before
    known = {seq for gap in gaps(rows) for seq in range(gap.first, gap.last + 1)}
    for row in rows:
        if row.batch.stream is Stream.TELEMETRY and row.epoch == first:
            known |= set(range(row.seq0, row.seq0 + row.batch.n))
    assert known >= set(range(1, last + 1))


@pytest.mark.parametrize("stream", [Stream.AUDIT, Stream.RESULT])
def test_a_stream_that_is_never_dropped_has_a_bound(tmp_path: Path, stream: Stream) -> None:
    most = most_kept(SMALL.max_size)
    with Shelf(tmp_path, SMALL) as shelf:
        for _ in range(400):  # 4 MiB, and 2 MiB are its share
            shelf.append(batch(stream=stream, size=10_000))
        trouble = shelf.inbox.wait(QueueTroubled)
        assert trouble.kind == "bound"
        assert f"{stream} has more than its {most >> 10} KiB" in trouble.text
        assert counted(tmp_path).streams[stream].bytes <= most + (1 << 20)  # looked at now and then
        rows = [row for row in shelf.fetch() if row.batch.stream is stream]
        said = {n for gap in gaps(shelf.fetch(), stream) for n in range(gap.first, gap.last + 1)}
        assert {row.seq0 for row in rows} | said == set(range(1, 401))
        assert not {row.seq0 for row in rows} & said
        shelf.store.forget([row.id for row in rows])
        with suppress(DiskFullError):
            shelf.append(batch(1))
        shelf.inbox.wait(QueueTroubled, lambda event: event.kind == "bound_ok")
        assert kinds(shelf) == ["bound", "bound_ok"]


def test_below_its_bound_nothing_of_it_goes_for_the_quota(tmp_path: Path) -> None:
    with Shelf(tmp_path, SMALL) as shelf:
        for _ in range(150):
            shelf.append(batch(stream=Stream.RESULT, size=10_000))
        for _ in range(400):
            shelf.append(batch(500, size=40_000))
        rows = shelf.fetch()
        assert sum(row.batch.stream is Stream.RESULT for row in rows) == 150
        assert gaps(rows)
        assert not kinds(shelf)
