"""A disk that fills, and empties again, under a running gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config.site import QueueSettings
from gateway.errors import DiskFullError
from gateway.events import QueueTroubled, RowsStored
from gateway.queue.rules.retention import Space
from gateway.streams import Row, Stream
from tests.fixtures.disks import fill, free_bytes, small_disk
from tests.fixtures.queues import LARGE, Shelf, batch, gaps

if TYPE_CHECKING:
    from pathlib import Path

GIB = 1 << 30


class FakeDisk:
    """A disk of 100 GiB whose free bytes are set by hand."""

    def __init__(self) -> None:
        self.free = 50 * GIB

    def __call__(self, _folder: Path) -> Space:
        return Space(self.free, 100 * GIB)


def telemetry(rows: list[Row]) -> list[int]:
    return [row.seq0 for row in rows if row.batch.stream is Stream.TELEMETRY]


def kinds(shelf: Shelf) -> list[str]:
    return [event.kind for event in shelf.inbox.of(QueueTroubled)]


def test_a_low_disk_refuses_telemetry_keeps_the_rest_and_announces_the_loss(
    tmp_path: Path,
) -> None:
    disk = FakeDisk()
    with Shelf(tmp_path, space=disk) as shelf:
        shelf.append(batch(5))
        disk.free = 4 * GIB
        with pytest.raises(DiskFullError, match="the disk is full; nothing was kept"):
            shelf.append(batch(7))
        shelf.store.lost(Stream.TELEMETRY, "bess-1", 7, "disk_full")
        shelf.append(batch(stream=Stream.AUDIT), batch(stream=Stream.STATE))
        shelf.store.append_later(batch(2))
        shelf.settle()
        assert shelf.inbox.wait(QueueTroubled).kind == "disk_full"
        disk.free = 50 * GIB
        shelf.inbox.wait(QueueTroubled, lambda e: e.kind == "disk_ok")
        shelf.append(batch(1))
        shelf.settle()
        shelf.inbox.wait(
            RowsStored, lambda e: sum(g.last - g.first + 1 for g in gaps(list(e.rows))) == 2
        )
        rows = shelf.fetch()
    lost = {seq for gap in gaps(rows) for seq in range(gap.first, gap.last + 1)}
    assert {gap.reason for gap in gaps(rows)} == {"disk_full"}
    assert len(lost) == 9
    kept = {seq for row in rows if row.batch.stream is Stream.TELEMETRY
            for seq in range(row.seq0, row.seq0 + row.batch.n)}  # fmt: skip
    assert kept | lost == set(range(1, 16))
    assert kinds(shelf) == ["disk_full", "disk_ok"]


def test_our_own_growth_stops_before_the_reserve_and_the_oldest_goes(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", mib=16) as folder, Shelf(folder, LARGE) as shelf:
        for _ in range(4500):
            shelf.append(batch(500, size=3400))
            assert free_bytes(folder) >= (16 << 20) * 0.05
        rows = shelf.fetch()
    numbers = telemetry(rows)
    assert numbers[-1] == 4499 * 500 + 1
    lost = sum(gap.last - gap.first + 1 for gap in gaps(rows))
    assert lost == numbers[0] - 1
    assert not kinds(shelf)


def test_a_disk_filled_by_others_to_the_last_byte_recovers_without_a_restart(
    tmp_path: Path,
) -> None:
    with small_disk(tmp_path / "disk", mib=32) as folder, Shelf(folder, LARGE) as shelf:
        for _ in range(100):
            shelf.append(batch(500, size=3400))
        ballast = fill(folder, leave=0)
        refused = 0
        for _ in range(3):
            with pytest.raises(DiskFullError):
                shelf.append(batch(500, size=3400))
            refused += 500
        full = 0
        for _ in range(2000):  # the log has a little room left
            try:
                shelf.append(batch(stream=Stream.AUDIT, size=3400))
            except DiskFullError:
                full += 1
                break
        assert full == 1
        shelf.store.lost(Stream.TELEMETRY, "bess-1", refused, "disk_full")
        shelf.store.append_later(batch(stream=Stream.EVENT, text="alarm"))
        shelf.store.forget([1, 2])
        assert len(shelf.fetch()) >= 98  # reading goes on
        ballast.unlink()
        shelf.inbox.wait(QueueTroubled, lambda e: e.kind == "disk_ok")
        shelf.append(batch(1))
        shelf.inbox.wait(RowsStored, lambda e: any(r.batch.body == b"alarm" for r in e.rows))
        rows = shelf.fetch()
    assert [(gap.reason, gap.last - gap.first + 1) for gap in gaps(rows)] == [("disk_full", 1500)]
    assert telemetry(rows)[:98] == list(range(1001, 50_000, 500))
    numbers = telemetry(rows)
    assert set(numbers[98:]) <= {50_001, 51_501}
    assert kinds(shelf) == ["disk_full", "disk_ok"]


def test_a_queue_on_a_full_disk_starts_and_ships(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", mib=32) as folder:
        with Shelf(folder) as shelf:
            shelf.append(*(batch(500, size=3400) for _ in range(50)))
        ballast = fill(folder, leave=300 << 10)  # the log's index and a page or two
        with Shelf(folder) as shelf:
            assert len(shelf.fetch()) == 51  # with the event that ends the epoch before
            with pytest.raises(DiskFullError):
                shelf.append(batch(1))
            shelf.store.forget([1])
            ballast.unlink()
            shelf.inbox.wait(QueueTroubled, lambda e: e.kind == "disk_ok")
            shelf.append(batch(1))
            assert len(shelf.fetch()) == 51


def test_no_room_to_create_a_queue_is_a_clear_error(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", mib=1) as folder:
        fill(folder, leave=0)
        with pytest.raises(DiskFullError, match=r"queue\.db: the disk is full"):
            Shelf(folder, QueueSettings(1 << 24, 1e6)).store.start()
        assert not (folder / "queue.db").exists()
