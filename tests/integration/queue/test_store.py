"""The store on a real file: order, numbers, restarts, limits."""

from __future__ import annotations

import sqlite3
import threading
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from gateway.clock import Now
from gateway.config.site import QueueSettings
from gateway.effects import FetchRows
from gateway.errors import StoreError
from gateway.events import (
    GapsRecorded,
    QueueReported,
    QueueTroubled,
    RowsFetched,
    RowsStored,
    ThreadFault,
)
from gateway.queue.rules.retention import Space
from gateway.streams import Batch, Gap, Notice, Stream
from tests.fixtures.queues import DEADLINE_S, LARGE, Shelf, batch, counted, ends, gaps, notice_batch

if TYPE_CHECKING:
    from pathlib import Path

SMALL = QueueSettings(max_size=1 << 20, max_age_s=604_800)  # 512 KiB of pages
WEEK_S = 604_800


class Clock:
    """Both clocks, moved by hand."""

    def __init__(self) -> None:
        self.now = Now(1000.0, 1_795_324_200_000)

    def __call__(self) -> Now:
        return self.now

    def move(self, seconds: float, *, wall_s: float | None = None) -> None:
        mono_s, unix_ms = self.now
        wall_s = seconds if wall_s is None else wall_s
        self.now = Now(mono_s + seconds, unix_ms + int(wall_s * 1000))


def roomy(_: Path) -> Space:
    return Space(50 << 30, 100 << 30)


def test_rows_come_in_shipping_order_behind_the_cursor(tmp_path: Path) -> None:
    with Shelf(tmp_path) as shelf:
        shelf.append(batch(3), batch(stream=Stream.STATE), batch(2), batch(stream=Stream.AUDIT))
        order = [(row.batch.stream, row.id, row.seq0) for row in shelf.fetch()]
        assert order == [
            (Stream.AUDIT, 4, 1),
            (Stream.STATE, 2, 1),
            (Stream.TELEMETRY, 1, 1),
            (Stream.TELEMETRY, 3, 4),
        ]
        assert [row.id for row in shelf.fetch(2)] == [4, 2]
        assert [row.id for row in shelf.fetch(2, after=(Stream.STATE.prio, 2))] == [1, 3]
        assert [row.id for row in shelf.fetch(after=(Stream.TELEMETRY.prio, 1))] == [3]
        assert [row.id for row in shelf.fetch(before_id=3)] == [2, 1]


def test_each_commit_shows_its_rows_with_bodies(tmp_path: Path) -> None:
    with Shelf(tmp_path) as shelf:
        shelf.append(batch(text="one"), batch(text="two", stream=Stream.STATE))
        event = shelf.inbox.wait(RowsStored)
        assert [(row.id, row.batch.body) for row in event.rows] == [(1, b"one"), (2, b"two")]
        assert {row.epoch for row in event.rows} == {shelf.store.epoch}


def test_acknowledged_rows_are_gone_and_unknown_ids_are_ignored(tmp_path: Path) -> None:
    with Shelf(tmp_path) as shelf:
        shelf.append(*(batch(10) for _ in range(5)), batch(stream=Stream.STATE))
        shelf.store.forget([2, 3, 6, 3, 77])
        shelf.settle()
        assert [row.id for row in shelf.fetch()] == [1, 4, 5]
    found = counted(tmp_path)
    waiting = found.streams[Stream.TELEMETRY]
    assert (waiting.rows, waiting.readings, waiting.bytes, waiting.ids) == (3, 30, 300, 10)
    assert (found.streams[Stream.STATE].rows, found.next_id) == (0, 7)


def test_ids_go_on_after_everything_was_deleted_and_a_restart_and_numbers_begin_anew(
    tmp_path: Path,
) -> None:
    with Shelf(tmp_path) as shelf:
        shelf.append(batch(500), batch(500))
        shelf.store.forget([1, 2])
        epoch = shelf.store.epoch
    with Shelf(tmp_path) as shelf:
        assert shelf.store.epoch != epoch
        [told] = ends(shelf.fetch())
        assert (told.epoch, told.start, told.last["telemetry"]) == (epoch, 1, 1000)
        assert (told.closed, told.told_in, shelf.store.start_number) == (True, 2, 2)
        assert shelf.store.epoch_before == epoch
        shelf.append(batch(1))
        row = shelf.fetch()[-1]
        assert (row.id, row.seq0, row.epoch) == (4, 1, shelf.store.epoch)


def test_threads_share_commits_and_keep_their_own_order(tmp_path: Path) -> None:
    def work(asset: str) -> None:
        for number in range(50):
            shelf.append(batch(3, asset=asset, text=f"{asset} {number}"))

    with Shelf(tmp_path) as shelf:
        threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE_S)
        rows = shelf.fetch()
    assert [row.seq0 for row in rows] == list(range(1, 601, 3))
    for name in "abcd":
        own = [row.batch.body.decode() for row in rows if row.batch.asset == name]
        assert own == [f"{name} {number}" for number in range(50)]


def test_batches_for_which_nobody_waits_are_kept_in_order(tmp_path: Path) -> None:
    with Shelf(tmp_path) as shelf:
        for number in range(20):
            shelf.store.append_later(batch(text=str(number)))
    with Shelf(tmp_path) as shelf:
        assert [row.batch.body for row in shelf.fetch()[1:]] == [b"%d" % n for n in range(20)]


def test_lost_readings_get_numbers_and_a_gap_record(tmp_path: Path) -> None:
    with Shelf(tmp_path) as shelf:
        shelf.append(batch(5))
        shelf.store.lost(Stream.TELEMETRY, "bess-1", 7, "store_timeout")
        event = shelf.inbox.wait(GapsRecorded)
        shelf.append(batch(1))
        rows = shelf.fetch()
    assert event.gaps == (Gap(Stream.TELEMETRY, "bess-1", 6, 12, "store_timeout"),)
    assert [(gap.first, gap.last) for gap in gaps(rows)] == [(6, 12)]
    assert [row.seq0 for row in rows if row.batch.stream is Stream.TELEMETRY] == [1, 13]


class Stall:
    """Gap records that take until they are let go, so that the commit around them stalls."""

    def __init__(self) -> None:
        self.inside = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)

    def __call__(self, gap: Notice, at_ms: int) -> Batch:
        self.inside.release()
        assert self.go_on.acquire(timeout=DEADLINE_S)
        return notice_batch(gap, at_ms)


def test_an_append_that_takes_too_long_keeps_nothing(tmp_path: Path) -> None:
    """Its commit succeeds after the caller gave up: it is taken back, and counted once."""
    stall, clock = Stall(), Clock()
    with Shelf(tmp_path, notice_batch=stall, now=clock, space=roomy) as shelf:
        shelf.store.lost(Stream.STATE, "bess-1", 1, "store_timeout")
        assert stall.inside.acquire(timeout=DEADLINE_S)  # the writer is inside a commit
        clock.move(2)
        shelf.store.lost(Stream.STATE, "bess-1", 1, "store_timeout")
        failed: list[StoreError] = []

        def append() -> None:
            try:
                shelf.store.append([batch(5)], within_s=0.5)
            except StoreError as error:
                failed.append(error)

        thread = threading.Thread(target=append)
        thread.start()
        shelf_has_it = threading.Event()
        while not shelf.store._pending.waiting:
            shelf_has_it.wait(0.01)
        stall.go_on.release()
        assert stall.inside.acquire(timeout=DEADLINE_S)  # now with the append in it
        thread.join(DEADLINE_S)
        assert "not durable within 0.5 s; nothing was kept" in str(failed[0])
        shelf.store.lost(Stream.TELEMETRY, "bess-1", 5, "store_timeout")
        for _ in range(10):
            stall.go_on.release()
        shelf.append(batch(1))
        rows = shelf.fetch()
    telemetry = [row for row in rows if row.batch.stream is Stream.TELEMETRY]
    assert [(row.seq0, row.batch.n) for row in telemetry] == [(6, 1)]
    assert [(gap.first, gap.last) for gap in gaps(rows)] == [(1, 5)]
    assert all(row.batch.n == 1 for row in shelf.stored())


def test_a_wait_that_is_ended_keeps_nothing_though_the_commit_succeeds(tmp_path: Path) -> None:
    stall = Stall()
    with Shelf(tmp_path, notice_batch=stall, space=roomy) as shelf:
        shelf.store.lost(Stream.STATE, "bess-1", 1, "store_timeout")
        assert stall.inside.acquire(timeout=DEADLINE_S)  # the writer is inside a commit
        commit = shelf.store.begin([batch(5)])
        failed: list[StoreError] = []

        def wait() -> None:
            try:
                commit.wait(DEADLINE_S)
            except StoreError as error:
                failed.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        commit.end()
        thread.join(DEADLINE_S)
        assert "the wait was ended; nothing was kept" in str(failed[0])
        assert not shelf.store._pending.waiting
        for _ in range(10):
            stall.go_on.release()
        shelf.append(batch(1))
        kept = shelf.store.begin([batch(2)])
        kept.wait(DEADLINE_S)
        kept.end()  # it is durable: nothing to end
        rows = shelf.fetch()
    assert [row.batch.n for row in rows if row.batch.stream is Stream.TELEMETRY] == [1, 2]


def test_a_caller_does_not_wait_longer_than_it_can_while_another_program_locks_the_file(
    tmp_path: Path,
) -> None:
    with Shelf(tmp_path) as shelf:
        shelf.append(batch(1))
        other = sqlite3.connect(tmp_path / "queue.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"not durable within 0\.1 s"):
            shelf.store.append([batch(9)], within_s=0.1)
        other.execute("ROLLBACK")
        other.close()
        shelf.append(batch(2))
        rows = [row for row in shelf.fetch() if row.batch.stream is Stream.TELEMETRY]
    assert [row.batch.n for row in rows] == [1, 2]


def test_the_oldest_telemetry_makes_room_and_is_announced(tmp_path: Path) -> None:
    with Shelf(tmp_path, SMALL, space=roomy) as shelf:
        shelf.append(batch(stream=Stream.STATE), batch(stream=Stream.RESULT))
        for _ in range(400):
            shelf.append(batch(500, size=3400))
        rows = shelf.fetch()
        size = (tmp_path / "queue.db").stat().st_size
    seqs = [row.seq0 for row in rows if row.batch.stream is Stream.TELEMETRY]
    announced = gaps(rows)
    assert {gap.reason for gap in announced} == {"quota"}
    assert len(announced) < 40
    kept = {(seq - 1) // 500 for seq in seqs}
    dropped = {n // 500 for gap in announced for n in range(gap.first - 1, gap.last)}
    assert kept | dropped == set(range(400))
    assert not kept & dropped
    assert max(kept) == 399
    assert {row.batch.stream for row in rows} >= {Stream.STATE, Stream.RESULT}
    assert size <= SMALL.max_size
    assert (
        sum(gap.last - gap.first + 1 for e in shelf.inbox.of(GapsRecorded) for gap in e.gaps)
        == len(dropped) * 500
    )


def test_state_is_thinned_before_it_is_dropped_and_audit_and_results_stay(tmp_path: Path) -> None:
    with Shelf(tmp_path, SMALL, space=roomy) as shelf:
        for number in range(300):
            shelf.append(
                batch(size=1500, stream=Stream.STATE, asset=f"bess-{number % 3}"),
                batch(size=100, stream=Stream.RESULT),
            )
            if number % 3 == 0:
                shelf.append(batch(size=700, stream=Stream.AUDIT))
        rows = shelf.fetch()
    state = [row for row in rows if row.batch.stream is Stream.STATE]
    thinned = gaps(rows, Stream.STATE)
    assert {gap.reason for gap in thinned} == {"thinned"}
    missing = set(range(1, 301)) - {row.seq0 for row in state}
    assert missing <= {n for gap in thinned for n in range(gap.first, gap.last + 1)}
    assert {row.batch.asset for row in state[-3:]} == {"bess-0", "bess-1", "bess-2"}
    assert sum(row.batch.stream is Stream.RESULT for row in rows) == 300
    assert sum(row.batch.stream is Stream.AUDIT for row in rows) == 100


def test_gap_records_do_not_grow_without_bound_where_nothing_else_may_go(tmp_path: Path) -> None:
    with Shelf(tmp_path, SMALL, space=roomy) as shelf:
        for _ in range(200):
            shelf.append(batch(size=4000, stream=Stream.AUDIT), batch(500, size=1000))
        rows = shelf.fetch()
    assert 30 < sum(row.batch.stream is Stream.AUDIT for row in rows) < 60  # its bound
    assert sum(row.batch.stream is Stream.EVENT for row in rows) < 60  # a tenth goes at once


def test_what_waited_too_long_goes_whatever_the_wall_clock_did(tmp_path: Path) -> None:
    clock = Clock()
    with Shelf(tmp_path, now=clock, space=roomy) as shelf:
        shelf.append(batch(1, text="old"), batch(stream=Stream.AUDIT))
        clock.move(3600, wall_s=-3600)
        shelf.append(batch(1, text="newer"))
        clock.move(1, wall_s=30 * 86_400)
        shelf.append(batch(1, text="newest"))
        assert len(shelf.fetch()) == 4
        clock.move(WEEK_S - 1800)
        shelf.append(batch(1, text="now"))
        rows = shelf.fetch()
    assert [gap.reason for gap in gaps(rows)] == ["age"]
    bodies = [row.batch.body for row in rows if row.batch.stream is Stream.TELEMETRY]
    assert bodies == [b"newer", b"newest", b"now"]
    assert any(row.batch.stream is Stream.AUDIT for row in rows)


def test_a_queue_that_ages_row_by_row_makes_few_gap_records(tmp_path: Path) -> None:
    clock = Clock()
    hour = QueueSettings(max_size=1 << 30, max_age_s=3600)
    with Shelf(tmp_path, hour, now=clock, space=roomy) as shelf:
        for _ in range(20):
            shelf.append(batch(1))
            clock.move(1)
        clock.move(3590)
        for _ in range(60):
            shelf.append(batch(1))
            clock.move(1)
        found = gaps(shelf.fetch())
    assert len(found) == 1
    assert found[0].first == 1


def test_history_that_cannot_be_read_now_is_answered_when_it_can(tmp_path: Path) -> None:
    with Shelf(tmp_path) as shelf:
        shelf.append(*(batch(1) for _ in range(5)))
        other = sqlite3.connect(tmp_path / "queue.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")  # somebody's sqlite3 shell
        shelf.store.fetch(FetchRows(999, (-1, 0), 1 << 40, 100))
        shelf.inbox.wait(QueueTroubled, lambda event: event.kind == "failed")
        other.execute("ROLLBACK")
        other.close()
        answer = shelf.inbox.wait(RowsFetched, lambda event: event.token == 999)
        shelf.append(batch(1))
        shelf.inbox.wait(QueueTroubled, lambda event: event.kind == "works")
    assert len(answer.rows) == 5


def test_smaller_limits_act_with_the_next_commit(tmp_path: Path) -> None:
    clock = Clock()
    with Shelf(tmp_path, now=clock, space=roomy) as shelf:
        for _ in range(300):
            shelf.append(batch(500, size=3400))
        shelf.store.resize(SMALL)
        clock.move(1)
        shelf.append(batch(1))
        assert len(shelf.fetch()) < 160


def test_the_depth_is_reported_at_the_start_and_after_changes(tmp_path: Path) -> None:
    with Shelf(tmp_path) as shelf:
        first = shelf.inbox.wait(QueueReported)
        assert (first.depth.rows, first.depth.epoch) == (0, shelf.store.epoch)
        assert first.depth.disk_bytes > first.depth.free_bytes > 0
        shelf.append(batch(500, at_ms=1_795_000_000_000))
        later = shelf.inbox.wait(QueueReported, lambda e: e.depth.rows == 1)
        telemetry = later.depth.streams[Stream.TELEMETRY]
        assert (telemetry.readings, telemetry.oldest_ms) == (500, 1_795_000_000_000)


def test_reports_are_at_most_two_a_second(tmp_path: Path) -> None:
    with Shelf(tmp_path) as shelf:
        for _ in range(300):
            shelf.append(batch(1))
        shelf.inbox.wait(QueueReported, lambda e: e.depth.rows == 300)
    times = [event.at.mono_s for event in shelf.inbox.of(QueueReported)]
    assert all(b - a >= 0.5 for a, b in pairwise(times[:-1]))  # closing reports once more


def test_the_writer_shows_that_it_lives(tmp_path: Path) -> None:
    with Shelf(tmp_path) as shelf:
        beat = shelf.store.beat
        moved = threading.Event()
        for _ in range(int(DEADLINE_S / 0.1)):
            if shelf.store.beat > beat or moved.wait(0.1):
                break
        assert shelf.store.beat > beat


def test_a_bug_in_the_writer_is_told_and_nobody_waits_for_ever(tmp_path: Path) -> None:
    def broken(_gap: Notice, _at_ms: int) -> Batch:
        text = "no such record"
        raise KeyError(text)

    with Shelf(tmp_path, notice_batch=broken) as shelf:
        shelf.store.lost(Stream.TELEMETRY, "bess-1", 1, "store_timeout")
        fault = shelf.inbox.wait(ThreadFault)
        assert (fault.thread, fault.text) == ("store", "KeyError: 'no such record'")
        with pytest.raises(StoreError):
            shelf.store.append([batch(1)], within_s=DEADLINE_S)


def test_only_one_gateway_uses_a_queue(tmp_path: Path) -> None:
    with Shelf(tmp_path) as shelf:
        with pytest.raises(StoreError, match=r"held by process [0-9]+: one gateway at a time"):
            Shelf(tmp_path).store.start()
        shelf.append(batch(1))


def test_a_closed_queue_refuses_and_says_so(tmp_path: Path) -> None:
    with Shelf(tmp_path) as shelf:
        shelf.append(batch(1))
    with pytest.raises(StoreError, match="the queue is not open"):
        shelf.store.append([batch(1)], within_s=1)


def test_the_log_is_cut_off_at_the_end(tmp_path: Path) -> None:
    with Shelf(tmp_path) as shelf:
        shelf.append(batch(500, size=3400))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "queue.db",
        "queue.lock",
        "queue.tally",
    ]


def test_pragmas_are_what_the_specification_says(tmp_path: Path) -> None:
    with Shelf(tmp_path, LARGE) as shelf:
        database = shelf.store._writer._db
        assert database is not None

        def pragma(name: str) -> object:
            return database._raw.execute(f"PRAGMA {name}").fetchone()[0]

        assert pragma("journal_mode") == "wal"
        assert pragma("synchronous") == 2
        assert pragma("secure_delete") == 0
        assert pragma("cell_size_check") == 1
        assert pragma("journal_size_limit") == 4 << 20
    assert not shelf.inbox.of(QueueTroubled)
