"""The queue against kills, power cuts, failing disks and flipped bits, at every step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults import trials

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.trials import Total, Worker


def clean(total: Total) -> None:
    """Nothing lost, nothing duplicated, in any trial."""
    assert not total.failed, f"{total.failed} of {total.trials} trials: {total.first}"


@pytest.mark.parametrize("script", ["short", "full", "tiny"])
def test_a_kill_at_every_step_loses_nothing(
    worker: Worker, disk: Path, line: Callable[[str], None], script: str
) -> None:
    total = trials.kills(worker, disk, every=1 if script == "short" else 7, script=script)
    line(total.row(f"kill -9 at steps of the disk, script `{script}`"))
    clean(total)


def test_a_kill_at_every_step_of_a_salvage_loses_nothing(
    worker: Worker, disk: Path, line: Callable[[str], None]
) -> None:
    total = trials.kills_while_salvaging(worker, disk)
    line(total.row("kill -9 at every step of a salvage"))
    clean(total)


def test_a_thousand_power_cuts_lose_nothing(
    worker: Worker, disk: Path, line: Callable[[str], None]
) -> None:
    total = trials.powercuts(worker, disk, trials=5000)
    line(total.row("power cut, `synchronous=FULL` as shipped"))
    clean(total)
    assert not total.corrupt


def test_power_cuts_with_synchronous_normal_do_lose(
    worker: Worker, disk: Path, line: Callable[[str], None]
) -> None:
    total = trials.powercuts(worker, disk, trials=1000, synchronous="NORMAL")
    line(total.row("power cut, `synchronous=NORMAL`, to show that the test can see a loss"))
    assert total.lost > 100
    assert total.duplicated > 100


@pytest.mark.parametrize("script", ["short", "full"])
def test_errors_at_every_step_lose_nothing(
    worker: Worker, disk: Path, line: Callable[[str], None], script: str
) -> None:
    total = trials.errors(worker, disk, every=1 if script == "short" else 11, script=script)
    line(total.row(f"EIO and ENOSPC at steps of the disk, script `{script}`"))
    clean(total)


@pytest.mark.parametrize("tail", ["queue.db", "-wal", "queue.tally"])
def test_a_flipped_bit_is_never_delivered_and_its_loss_is_announced(
    worker: Worker, disk: Path, line: Callable[[str], None], tail: str
) -> None:
    total = trials.flips(worker, disk, trials=4000, tail=tail)
    line(total.row(f"1 to 8 bits flipped in `*{tail}`; delivered wrong: {total.wrong}"))
    clean(total)
