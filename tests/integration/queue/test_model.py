"""The store against a list: whatever the order of appends, acknowledgements, drops and restarts."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.config.site import QueueSettings
from gateway.queue.rules.retention import Space
from gateway.streams import Row, Stream
from tests.fixtures.queues import Shelf, batch, counted, ends, gaps

SMALL = QueueSettings(max_size=400 << 10, max_age_s=1e9)  # 200 KiB of pages
LARGE = QueueSettings(max_size=1 << 30, max_age_s=1e9)


def roomy(_: Path) -> Space:
    return Space(50 << 30, 100 << 30)


class Model(RuleBasedStateMachine):
    """Every number of every stream: what was stored under it, and whether it was acknowledged."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.stored: dict[tuple[str, Stream, int], str] = {}
        self.numbered: set[tuple[str, Stream, int]] = set()
        self.acknowledged: set[tuple[str, Stream, int]] = set()
        self.limits = LARGE
        self.count = 0
        self.announced: set[tuple[str, Stream, int]] = set()

    @initialize()
    def begin(self) -> None:
        self.open()

    def open(self) -> None:
        self.shelf = Shelf(Path(self.folder.name), self.limits, space=roomy)
        self.shelf.__enter__()
        self.epoch = self.shelf.store.epoch

    def teardown(self) -> None:
        self.shelf.__exit__()
        self.folder.cleanup()

    @rule(
        parts=st.lists(
            st.tuples(st.sampled_from(list(Stream)), st.integers(1, 9), st.integers(10, 20_000)),
            min_size=1,
            max_size=6,
        )
    )
    def append(self, parts: list[tuple[Stream, int, int]]) -> None:
        batches = []
        for stream, n, size in parts:
            self.count += 1
            # Audit and result stay small: they are never dropped, and nothing else would fit.
            most = 50 if stream in (Stream.AUDIT, Stream.RESULT) else size
            text = f"{self.count}".ljust(most, "-")
            batches.append(batch(n, stream=stream, asset=f"bess-{n % 2}", text=text))
        self.shelf.append(*batches)

    @rule(stream=st.sampled_from([Stream.TELEMETRY, Stream.STATE]), count=st.integers(1, 50))
    def lose(self, stream: Stream, count: int) -> None:
        self.shelf.store.lost(stream, "bess-1", count, "store_timeout")
        self.shelf.settle()

    # A seed and no ``st.randoms()``: how many gap records there are depends on the disk's pace, and
    # what hypothesis is asked for must not.
    @rule(share=st.floats(0, 1), seed=st.integers(0, 2**32))
    def acknowledge(self, share: float, seed: int) -> None:
        chance = random.Random(seed)
        going = [row for row in self.shelf.fetch() if chance.random() < share]
        self.shelf.store.forget([row.id for row in going])
        for row in going:
            self.read(row)
            self.acknowledged.add((row.epoch, row.batch.stream, row.seq0))

    @rule(small=st.booleans())
    def resize(self, small: bool) -> None:
        self.limits = SMALL if small else LARGE
        self.shelf.store.resize(self.limits)

    @rule()
    def reopen(self) -> None:
        self.shelf.__exit__()
        self.collect()  # closing writes what it still owes
        self.check_depth()
        ended = self.epoch
        self.open()
        assert self.epoch != ended
        told = [one for one in ends(self.shelf.stored()) if one.epoch == ended]
        given_out = self.numbered | self.announced
        assert [dict(one.last) for one in told] == [
            {
                str(stream): sum((epoch, of) == (ended, stream) for epoch, of, _ in given_out)
                for stream in Stream
            }
        ]
        assert told[0].closed

    def read(self, row: Row) -> None:
        for gap_stream in Stream:
            for gap in gaps([row], gap_stream):
                numbers = range(gap.first, gap.last + 1)
                self.announced.update((gap.epoch, gap_stream, number) for number in numbers)

    def collect(self) -> None:
        """What the live path saw is what was stored, strictly numbered."""
        for row in self.shelf.stored():
            self.read(row)
            key = row.epoch, row.batch.stream, row.seq0
            text = row.batch.body.decode()
            assert self.stored.setdefault(key, text) == text
            numbers = range(row.seq0, row.seq0 + row.batch.n)
            self.numbered.update((row.epoch, row.batch.stream, number) for number in numbers)

    def check_depth(self) -> None:
        depth = counted(Path(self.folder.name))
        self.open()
        rows = [row for row in self.shelf.fetch() if row.epoch != self.epoch]
        self.shelf.__exit__()
        self.collect()  # what a resize before the end still let go, on a slow disk
        for stream, found in depth.streams.items():
            own = [row for row in rows if row.batch.stream is stream]
            assert found.rows == len(own)
            assert found.readings == sum(row.batch.n for row in own)
            assert found.bytes == sum(len(row.batch.body) for row in own)

    @invariant()
    def everything_waits_or_was_acknowledged_or_announced(self) -> None:
        if not hasattr(self, "shelf"):
            return
        self.shelf.settle()
        self.collect()
        before = set(self.stored)  # a gap record may be stored at any time, on a slow disk
        rows = self.shelf.fetch()
        self.collect()
        keys = [(row.epoch, row.batch.stream, row.seq0) for row in rows]
        places = [(row.batch.stream.prio, row.id) for row in rows]
        assert places == sorted(places)
        assert len(set(keys)) == len(keys)
        assert not set(keys) & self.acknowledged
        for row in rows:
            assert self.stored[row.epoch, row.batch.stream, row.seq0] == row.batch.body.decode()
        gone = before - set(keys) - self.acknowledged
        assert gone <= self.announced
        used = self.numbered | self.announced
        for key in {key[:2] for key in used}:
            own = {number for *of, number in used if tuple(of) == key}
            assert own == set(range(1, len(own) + 1))
        assert not {key for key in gone if key[1] in (Stream.AUDIT, Stream.RESULT)}


TestModel = Model.TestCase
TestModel.settings = settings(
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
