"""Losses: announced once, together, and soon."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.queue.rules.losses import Losses
from gateway.streams import Batch, Codec, Row, Stream

if TYPE_CHECKING:
    from gateway.queue.rules.work import Loss

TELEMETRY = Stream.TELEMETRY
TIMEOUT = (TELEMETRY, "a", "store_timeout")


def row(n: int) -> Row:
    return Row(1, 1, Batch(TELEMETRY, "a", n, 0, 0, Codec.JSON, b""), "E")


def due(losses: Losses, at_s: float, *, full: bool = False) -> dict[Loss, int]:
    return losses.due(at_s, full=full, closing=False)


def test_the_first_loss_is_announced_at_once() -> None:
    losses = Losses()
    losses.add({TIMEOUT: 5}, 100.0)
    assert due(losses, 100.0) == {TIMEOUT: 5}


def test_what_was_not_committed_is_announced_again() -> None:
    losses = Losses()
    losses.add({TIMEOUT: 5}, 100.0)
    due(losses, 100.0)
    losses.add({TIMEOUT: 2}, 100.5)
    assert due(losses, 101.0) == {TIMEOUT: 7}
    losses.announced(101.0)
    assert not losses.waiting


def test_losses_that_follow_share_a_record() -> None:
    losses = Losses()
    for at_s, expected in ((100.0, {TIMEOUT: 1}), (100.2, {}), (100.9, {}), (101.1, {TIMEOUT: 3})):
        losses.add({TIMEOUT: 1}, at_s)
        assert due(losses, at_s) == expected
        losses.announced(at_s)


def test_on_a_full_disk_records_are_rare_until_there_is_room() -> None:
    losses = Losses()
    losses.add({TIMEOUT: 1}, 100.0)
    due(losses, 100.0, full=True)
    losses.announced(100.0)
    losses.add({TIMEOUT: 1}, 120.0)
    assert due(losses, 120.0, full=True) == {}
    losses.hurry()
    assert due(losses, 120.1) == {TIMEOUT: 1}


def test_closing_announces_everything() -> None:
    losses = Losses()
    losses.add({TIMEOUT: 1}, 100.0)
    due(losses, 100.0)
    losses.announced(100.0)
    losses.add({TIMEOUT: 1}, 100.1)
    assert losses.due(100.1, full=False, closing=True) == {TIMEOUT: 1}


def test_a_withdrawal_and_its_callers_report_count_once() -> None:
    losses = Losses()
    losses.credit([row(10)], 100.0)
    losses.add({TIMEOUT: 4}, 101.0)
    losses.add({TIMEOUT: 6}, 101.0)
    assert not losses.waiting
    losses.add({TIMEOUT: 3}, 101.0)
    assert due(losses, 101.0) == {TIMEOUT: 3}


def test_a_withdrawal_that_nobody_reports_hides_no_later_loss() -> None:
    losses = Losses()
    losses.credit([row(10)], 100.0)
    losses.add({TIMEOUT: 10}, 200.0)
    assert due(losses, 200.0) == {TIMEOUT: 10}
