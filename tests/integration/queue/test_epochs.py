"""A store that goes back in time: nothing is taken for something else, nothing is lost in silence.

Judged by content: each record has a text of its own, and the platform's consumer says what is new.
"""

from __future__ import annotations

import functools
import json
import random
import shutil
from typing import TYPE_CHECKING, Any, Self

import pytest

from gateway import clock
from gateway.clock import Now
from gateway.consumer import Consumer
from gateway.queue.opening import open_queue
from gateway.streams import Stream
from gateway.uplink import messages
from tests.faults.trials import scratch
from tests.fixtures.queues import Shelf, counted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.streams import Row

GATEWAY = "gw-1"
notice = functools.partial(messages.notice_batch, gateway=GATEWAY)


class Platform:
    """Takes what is shipped; remembers every text under its number."""

    def __init__(self) -> None:
        self.consumer = Consumer(from_start=True)
        self.texts: set[str] = set()
        self.by_number: dict[tuple[str, str, int], str] = {}

    def take(self, row: Row) -> None:
        payload = messages.wire(row, published_ms=1_795_324_200_000, backfill=False)
        for message in self.consumer.take("bess/v1/gw-1/event", payload):
            self.texts.add(message["text"])
        message = json.loads(payload)
        number = message["epoch"], message["schema"], message["seq"]
        assert self.by_number.setdefault(number, message["text"]) == message["text"]

    def born(self, shelf: Shelf) -> None:
        """Birth is heard."""
        birth = {
            "schema": "bess.birth/1",
            "gateway": GATEWAY,
            "epoch": shelf.store.epoch,
            "seq": None,
            "start": shelf.store.start_number,
        }
        self.consumer.take("bess/v1/gw-1/birth", json.dumps(birth).encode())


class Box:
    """One life of a gateway on a folder: a context manager.

    Args:
        folder: of the state.
        platform: hears what it ships.
        chance: what it does.
        now: both clocks.
    """

    number = 0  # of the next record of any box

    def __init__(
        self,
        folder: Path,
        platform: Platform,
        chance: random.Random,
        *,
        now: Callable[[], Now] = clock.now,
    ) -> None:
        self.shelf = Shelf(folder, notice_batch=notice, now=now)
        self.platform, self.chance = platform, chance
        self.kept: set[str] = set()

    def __enter__(self) -> Self:
        self.shelf.__enter__()
        self.platform.born(self.shelf)
        return self

    def __exit__(self, *exc: object) -> None:
        self.shelf.__exit__(*exc)

    def work(self, turns: int) -> None:
        """Store, ship a part of what waits, forget a part of that."""
        for _ in range(turns):
            for _ in range(self.chance.randint(1, 3)):
                Box.number += 1
                text = f"record {Box.number}"
                self.shelf.append(
                    messages.event(
                        gateway=GATEWAY, asset="bess-1", type_="alarm", severity="info",
                        text=text, at_ms=Box.number,
                    )
                )  # fmt: skip
                self.kept.add(text)
            self.ship(self.chance.randint(0, 4))

    def ship(self, most: int) -> None:
        rows = self.shelf.fetch(most) if most else []
        for row in rows:
            self.platform.take(row)
        self.shelf.store.forget([row.id for row in rows if self.chance.random() < 0.8])

    def drain(self) -> None:
        """Ship all, twice: an acknowledgement was lost."""
        for _ in range(2):
            rows = self.shelf.fetch()
            for row in rows:
                self.platform.take(row)
        self.shelf.store.forget([row.id for row in rows])


def put_back(image: Path, folder: Path) -> None:
    shutil.rmtree(folder)
    shutil.copytree(image, folder)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kept_tally", [False, True])
# Starts since the image was made, and for how many seconds it lay there.
@pytest.mark.parametrize(("restarts", "away_s"), [(0, 3), (1, 20), (3, 86_400)])
@pytest.mark.parametrize("running", [False, True])  # when it was made
def test_a_folder_that_is_put_back_loses_nothing_in_silence(
    *, running: bool, restarts: int, away_s: int, kept_tally: bool, seed: int
) -> None:
    with scratch() as place:
        folder, image = place / "state", place / "image"
        folder.mkdir()
        platform, chance = Platform(), random.Random(seed)
        with Box(folder, platform, chance) as box:
            box.work(10)
            if running:
                shutil.copytree(folder, image)
                box.work(7)
            known = set(box.kept)
        if not running:
            shutil.copytree(folder, image)
        for _ in range(restarts):
            with Box(folder, platform, chance) as box:
                box.work(12)
                known |= box.kept
        if kept_tally:
            shutil.copyfile(folder / "queue.tally", image / "queue.tally")
        sent = set(platform.texts)
        put_back(image, folder)
        later = at(clock.now().unix_ms + 1000 * away_s)
        with Box(folder, platform, chance, now=later) as box:
            box.work(12)
            box.drain()
        assert box.kept <= platform.texts  # nothing is taken for something that came before
        assert sent <= platform.texts
        gone = known - platform.texts  # what was only in the part that is lost
        lost = platform.consumer.lost() + platform.consumer.announced()
        if gone and restarts:
            assert platform.consumer.went_back() or lost
        if kept_tally and restarts <= 1:
            assert platform.consumer.lost() == 0
            assert platform.consumer.announced() >= len(gone)


def test_went_back_names_what_the_gateway_does_not_know_any_more(tmp_path: Path) -> None:
    folder, image = tmp_path / "state", tmp_path / "image"
    folder.mkdir()
    platform, chance = Platform(), random.Random(1)
    with Box(folder, platform, chance) as box:
        box.work(3)
        box.drain()
        box.shelf.settle()
        shutil.copytree(folder, image)
        last = counted(folder).streams[Stream.EVENT].next - 1
        epoch = box.shelf.store.epoch
        box.work(5)
        box.drain()
        box.shelf.settle()
        highest = counted(folder).streams[Stream.EVENT].next - 1
    assert platform.consumer.went_back() == []
    put_back(image, folder)
    with Box(folder, platform, chance) as box:
        box.drain()
    assert platform.consumer.went_back() == [(GATEWAY, epoch, "event", last, highest)]
    assert platform.consumer.lost() == 0


def test_cloned_boxes_give_no_number_out_twice() -> None:
    with scratch() as place:
        platform, chance = Platform(), random.Random(5)
        (place / "a").mkdir()
        with Box(place / "a", platform, chance) as box:
            box.work(10)
        shutil.copytree(place / "a", place / "b")
        kept = set(box.kept)
        for _ in range(3):
            for name in "ab":
                with Box(place / name, platform, chance) as box:
                    box.work(8)
                    box.drain()
                    kept |= box.kept
        assert kept <= platform.texts
        assert platform.consumer.lost() == 0


def at(unix_ms: int) -> Callable[[], Now]:
    return lambda: Now(clock.now().mono_s, unix_ms)


def test_a_clock_that_said_1970_puts_no_epoch_behind_an_older_one(tmp_path: Path) -> None:
    platform, chance = Platform(), random.Random(3)
    clocks = (clock.now, at(5_000), clock.now, at(3_000), at(4_000), clock.now)
    kept: set[str] = set()
    for number, now in enumerate(clocks, 1):
        with Box(tmp_path, platform, chance, now=now) as box:
            assert box.shelf.store.start_number == number
            box.work(6)
            kept |= box.kept
    with Box(tmp_path, platform, chance) as box:
        box.drain()
    assert kept <= platform.texts
    assert platform.consumer.lost() == platform.consumer.announced() == 0
    assert platform.consumer.went_back() == []


@pytest.mark.parametrize("starts", [100, pytest.param(1000, marks=pytest.mark.long)])
def test_a_crash_loop_fills_neither_the_queue_nor_the_consumer(starts: int) -> None:
    with scratch() as folder:
        platform, chance = Platform(), random.Random(4)
        with Box(folder, platform, chance) as box:
            box.work(5)
        for _ in range(starts):  # each dies before it stores anything
            opened = open_queue(folder / "queue.db", clock.now(), notice_batch=notice)
            opened.database.close()
        with Box(folder, platform, chance) as last:
            assert last.shelf.store.start_number == starts + 2
            last.work(5)
            last.drain()
        notes = counted(folder)
        assert sum(counts.rows for counts in notes.streams.values()) == 0
        assert box.kept | last.kept <= platform.texts
        assert platform.consumer.lost() == platform.consumer.announced() == 0
        kept = platform.consumer._gateways[GATEWAY].known
        assert len(kept) <= 64
        # The present one, and one that came again after it was let go.
        assert sum(not epoch.whole for epoch in kept.values()) <= 2


def test_what_a_crash_loop_leaves_without_a_broker_is_bounded(tmp_path: Path) -> None:
    for _ in range(100):
        opened = open_queue(tmp_path / "queue.db", clock.now(), notice_batch=notice)
        notes: dict[str, Any] = json.loads(opened.database.notes.get("queue:epochs", "{}"))
        assert len(notes) <= 64
        opened.database.close()
    assert (tmp_path / "queue.db").stat().st_size < 1 << 20
