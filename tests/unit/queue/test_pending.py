"""What waits for the writer."""

from __future__ import annotations

import pytest

from gateway.errors import StoreError
from gateway.queue.pending import LATER_BYTES, PendingWork, WaitingCaller
from gateway.streams import Batch, Codec, Stream


def batch(stream: Stream, size: int, n: int = 1) -> Batch:
    return Batch(stream, "a", n, 0, 0, Codec.JSON, bytes(size))


def test_memory_is_bounded_and_the_overflow_is_counted() -> None:
    pending = PendingWork()
    half = LATER_BYTES // 2
    pending.put_later(batch(Stream.TELEMETRY, half), reason="disk_full")
    pending.put_later(batch(Stream.TELEMETRY, 1, n=7), reason="disk_full")
    assert len(pending.later) == 1
    assert pending.losses == {(Stream.TELEMETRY, "a", "disk_full"): 7}


def test_audit_has_room_where_telemetry_has_none() -> None:
    pending = PendingWork()
    pending.put_later(batch(Stream.TELEMETRY, LATER_BYTES // 2), reason="disk_full")
    pending.put_later(batch(Stream.AUDIT, 100), reason="disk_full")
    assert [b.stream for b in pending.later] == [Stream.TELEMETRY, Stream.AUDIT]


def test_what_is_put_back_goes_first_again() -> None:
    pending, left = PendingWork(), PendingWork(forget=[1], later=[batch(Stream.EVENT, 1)])
    pending.put_later(batch(Stream.STATE, 1), reason="store_timeout")
    pending.forget = [2]
    pending.put_back(left, reason="store_timeout")
    assert [b.stream for b in pending.later] == [Stream.EVENT, Stream.STATE]
    assert pending.forget == [1, 2]
    assert pending.later_bytes == 2


def test_a_caller_that_gave_up_is_not_told_of_success() -> None:
    request = WaitingCaller()
    assert not request.wait(0.0)
    assert not request.settle()


def test_a_wait_that_is_given_up_ends_at_once_and_nobody_is_told_of_success() -> None:
    request = WaitingCaller()
    request.give_up()
    assert not request.wait(60.0)
    assert not request.settle()


def test_a_caller_that_has_its_outcome_cannot_give_up() -> None:
    request = WaitingCaller()
    assert request.settle()
    request.give_up()
    assert request.wait(0.0)


def test_a_caller_in_time_gets_the_outcome() -> None:
    kept, refused = WaitingCaller(), WaitingCaller()
    assert kept.settle()
    assert kept.wait(0.0)
    assert refused.settle(StoreError("why"))
    with pytest.raises(StoreError, match="why"):
        refused.wait(0.0)
