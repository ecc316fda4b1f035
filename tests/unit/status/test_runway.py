"""How long the disk lasts."""

from __future__ import annotations

import pytest

from gateway.status.runway import Runway
from gateway.streams import QueueDepth, Stream, StreamDepth


def depth(size: int, *, free: int = 1 << 40) -> QueueDepth:
    waiting = StreamDepth(rows=1, readings=1, bytes=size, oldest_ms=0)
    return QueueDepth("E", {Stream.TELEMETRY: waiting}, 1, free, 1 << 41, 0, 0)


def test_a_queue_that_grows_says_when_it_is_full() -> None:
    runway = Runway()
    runway.note(depth(0), 0.0)
    runway.note(depth(60_000), 60.0)  # 1000 B/s
    assert runway.left_s(1_060_000) == pytest.approx(1000.0)


def test_the_reserve_of_the_disk_counts_before_the_quota() -> None:
    runway = Runway()
    free = int(0.05 * (1 << 41)) + 30_000
    runway.note(depth(0, free=free), 0.0)
    runway.note(depth(60_000, free=free), 60.0)
    assert runway.left_s(1 << 40) == pytest.approx(30.0, abs=0.01)


def test_a_queue_that_drains_or_was_just_seen_has_no_end() -> None:
    runway = Runway()
    assert runway.left_s(1 << 30) is None
    runway.note(depth(60_000), 0.0)
    runway.note(depth(90_000), 5.0)
    assert runway.left_s(1 << 30) is None
    runway.note(depth(10_000), 60.0)
    assert runway.left_s(1 << 30) is None


def test_what_is_long_ago_says_nothing_about_the_rate() -> None:
    runway = Runway()
    runway.note(depth(0), 0.0)
    runway.note(depth(500_000), 1000.0)
    runway.note(depth(560_000), 1060.0)
    assert runway.left_s(560_000 + 1000) == pytest.approx(1.0)
