"""The short version of tests/faults/test_disk.py; what it means is said there."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.faults import trials
from tests.faults.tape import Disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.faults.trials import Total, Worker

pytestmark = pytest.mark.skipif(
    shutil.which("gcc") is None, reason="needs gcc for the failing disk: apt install gcc"
)


@pytest.fixture
def disk() -> Iterator[Path]:
    with trials.scratch() as folder:
        yield folder


@pytest.fixture
def worker(disk: Path) -> Iterator[Worker]:
    with trials.Worker(disk) as one:
        yield one


def clean(total: Total) -> None:
    assert total.trials
    assert not total.failed, f"{total.failed} of {total.trials} trials: {total.first}"


def test_the_tape_tells_what_the_disk_holds(worker: Worker, disk: Path) -> None:
    place = disk / "queue"
    place.mkdir()
    model = Disk()
    for step in worker.run(place, script="full").tape:
        model.do(step)
    held = {str(path): path.read_bytes() for path in place.iterdir()}
    assert model.killed() == held


def test_a_kill_at_a_step_of_the_disk_loses_nothing(worker: Worker, disk: Path) -> None:
    clean(trials.kills(worker, disk, every=9))


def test_a_kill_while_the_database_is_made_leaves_no_journal_for_the_next_one(
    worker: Worker, disk: Path
) -> None:
    total = trials.Total()
    for at in range(3, 28):
        place = disk / f"made-{at}"
        place.mkdir()
        run = worker.run(place, arm=(at, trials.KILL_AFTER, 1, ""))
        verdict = trials.judge(place, run.marks())
        assert not verdict.corrupt, f"step {at}: nothing was stored, so nothing is damaged"
        total.add(verdict, f"step {at}")
    clean(total)


def test_a_kill_during_a_salvage_loses_nothing(worker: Worker, disk: Path) -> None:
    clean(trials.kills_while_salvaging(worker, disk, every=20))


def test_a_power_cut_loses_nothing(worker: Worker, disk: Path) -> None:
    total = trials.powercuts(worker, disk, trials=100)
    clean(total)
    assert not total.corrupt


def test_a_power_cut_with_synchronous_normal_is_seen_to_lose(worker: Worker, disk: Path) -> None:
    total = trials.powercuts(worker, disk, trials=50, synchronous="NORMAL")
    assert total.lost
    assert total.duplicated


def test_a_failing_disk_loses_nothing_that_was_kept(worker: Worker, disk: Path) -> None:
    clean(trials.errors(worker, disk, every=12))
