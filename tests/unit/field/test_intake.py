"""From a fragment to the queue: what is durable, what is announced as lost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from gateway.clock import Now
from gateway.errors import DiskFullError, StoreError
from gateway.events import FragmentLost
from gateway.field.intake import Intake
from gateway.measured import TimeQuality
from gateway.points.raw import RawPoint
from gateway.streams import Stream
from gateway.uplink.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.streams import Batch


class RecordingStore:
    """Takes batches, or fails with what it was given."""

    def __init__(self) -> None:
        self.appended: list[Batch] = []
        self.losses: list[tuple[Stream, str, int, str]] = []
        self.error: StoreError | None = None
        self.meanwhile: Callable[[], None] = lambda: None  # what happens while somebody waits
        self.waited: list[float] = []  # how long each wait might have taken, s
        self.ended = 0

    def begin(self, batches: Sequence[Batch]) -> BegunCommit:
        return BegunCommit(self, tuple(batches))

    def lost(self, stream: Stream, asset: str, count: int, reason: str) -> None:
        self.losses.append((stream, asset, count, reason))


class BegunCommit:
    """Settled as soon as it is waited for, unless it is ended meanwhile."""

    def __init__(self, store: RecordingStore, batches: tuple[Batch, ...]) -> None:
        self._store, self._batches, self._ended = store, batches, False

    def wait(self, within_s: float) -> None:
        self._store.waited.append(within_s)
        meanwhile, self._store.meanwhile = self._store.meanwhile, lambda: None
        meanwhile()
        if self._ended:
            text = "the wait was ended"
            raise StoreError(text)
        if self._store.error is not None:
            raise self._store.error
        self._store.appended += self._batches
        self._batches = ()

    def end(self) -> None:
        self._ended = True
        self._store.ended += 1


def made(store: RecordingStore, posted: list[object] | None = None) -> Intake:
    telemetry = Telemetry("bess-1", "gw-17", "sha256:00", linger_s=10.0)
    post = ([] if posted is None else posted).append
    return Intake("bess-1", telemetry, store, lambda: Now(5.0, 5000), post=post)


def point(name: str, value: float, *, event: bool) -> RawPoint:
    return RawPoint(name, value, 1, 1000, 1000, TimeQuality.SYNCED, event)


def test_an_event_is_appended_before_store_returns() -> None:
    store = RecordingStore()
    made(store).store("bess-1", (point("AI1", 7, event=True),))
    (batch,) = store.appended
    assert json.loads(batch.body)["value"] == [7]


def test_static_readings_wait_for_the_end_of_their_poll() -> None:
    store = RecordingStore()
    intake = made(store)
    intake.store("bess-1", (point("AI1", 7, event=False),))
    assert not store.appended
    intake.flush("bess-1", "integrity")
    assert [batch.n for batch in store.appended] == [1]
    intake.store("bess-1", (point("AI1", 7, event=False),))
    intake.flush("bess-1", "integrity")
    assert len(store.appended) == 1
    intake.forget()
    intake.store("bess-1", (point("AI1", 7, event=False),))
    intake.flush("bess-1", "integrity")
    assert len(store.appended) == 2


@pytest.mark.parametrize(
    ("error", "reason"),
    [(DiskFullError("full"), "disk_full"), (StoreError("slow"), "store_timeout")],
)
def test_what_cannot_be_stored_is_announced_and_not_hidden_from_the_core(
    error: StoreError, reason: str
) -> None:
    store = RecordingStore()
    posted: list[object] = []
    intake = made(store, posted)
    store.error = error
    # Returns: the session then tells the core what the battery does, as it must on a full disk.
    intake.store("bess-1", (point("AI1", 7, event=True), point("AI2", 8, event=True)))
    assert store.losses == [(Stream.TELEMETRY, "bess-1", 2, reason)]
    assert posted == [FragmentLost("bess-1", 2, str(error), Now(5.0, 5000))]


def test_a_static_reading_that_was_lost_is_shipped_with_the_next_poll() -> None:
    store = RecordingStore()
    intake = made(store)
    store.error = DiskFullError("full")
    intake.store("bess-1", (point("AI1", 7, event=False),))
    intake.flush("bess-1", "integrity")
    store.error = None
    intake.store("bess-1", (point("AI1", 7, event=False),))
    intake.flush("bess-1", "integrity")
    assert [batch.n for batch in store.appended] == [1]


def test_a_wait_that_begins_while_zero_is_owed_is_short() -> None:
    store = RecordingStore()
    intake = made(store)
    for on in (False, True, False):
        intake.hurry(on=on)
        intake.store("bess-1", (point("AI1", 7 + on, event=True),))
    assert store.waited == [1.0, 0.2, 1.0]
    assert store.ended == 0


def test_behind_a_commit_that_was_given_up_a_wait_is_very_short_while_zero_is_owed() -> None:
    store = RecordingStore()
    intake = made(store)
    store.error = StoreError("slow")
    intake.store("bess-1", (point("AI1", 1, event=True),))
    intake.store("bess-1", (point("AI1", 2, event=True),))
    intake.hurry(on=True)
    intake.store("bess-1", (point("AI1", 3, event=True),))
    store.error = None
    intake.store("bess-1", (point("AI1", 4, event=True),))
    intake.store("bess-1", (point("AI1", 5, event=True),))
    assert store.waited == [1.0, 1.0, 0.02, 0.02, 0.2]


def test_a_demand_for_zero_ends_a_wait_that_has_begun_and_the_loss_is_announced_then() -> None:
    store = RecordingStore()
    posted: list[object] = []
    intake = made(store, posted)
    store.meanwhile = lambda: intake.hurry(on=True)
    intake.store("bess-1", (point("AI1", 7, event=True), point("AI2", 8, event=True)))
    assert store.appended == []
    assert store.losses == [(Stream.TELEMETRY, "bess-1", 2, "store_timeout")]
    assert posted == [FragmentLost("bess-1", 2, "the wait was ended", Now(5.0, 5000))]
    store.meanwhile = lambda: intake.hurry(on=False)  # a demand that ends, ends no wait
    intake.store("bess-1", (point("AI1", 9, event=True),))
    intake.hurry(on=True)  # and where nobody waits there is nothing to end
    assert store.waited == [1.0, 0.02]
    assert store.ended == 1
    assert [batch.n for batch in store.appended] == [1]


def test_a_session_that_ends_leaves_a_commit_a_short_time_and_no_more() -> None:
    store = RecordingStore()
    intake = made(store)
    intake.close()  # nothing is being committed: nobody waits
    assert store.waited == []
    intake = made(store)
    store.meanwhile = intake.close
    intake.store("bess-1", (point("AI1", 7, event=True),))
    assert store.waited == [1.0, 0.2]  # the end waits for it, too
    assert store.losses == []
    assert [batch.n for batch in store.appended] == [1]
