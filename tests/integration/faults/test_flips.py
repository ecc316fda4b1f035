"""Flipped bits: no batch is delivered with other content, and the writer never stops."""

from __future__ import annotations

import shutil

import pytest

from tests.faults import trials

pytestmark = pytest.mark.skipif(
    shutil.which("gcc") is None, reason="needs gcc for the failing disk: apt install gcc"
)


@pytest.mark.parametrize("tail", ["queue.db", "-wal"])
def test_no_flipped_batch_is_delivered_and_the_queue_goes_on(tail: str) -> None:
    with trials.scratch() as disk, trials.Worker(disk) as worker:
        total = trials.flips(worker, disk, trials=100, tail=tail)
    assert total.trials > 50
    assert not total.wrong, total.first_wrong
