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
    from collections.abc import Sequence

    from gateway.streams import Batch


class RecordingStore:
    """Takes batches, or fails with what it was given."""

    def __init__(self) -> None:
        self.appended: list[Batch] = []
        self.losses: list[tuple[Stream, str, int, str]] = []
        self.error: StoreError | None = None

    def append(self, batches: Sequence[Batch], *, within_s: float) -> None:
        assert within_s <= 1.0
        if self.error is not None:
            raise self.error
        self.appended += batches

    def lost(self, stream: Stream, asset: str, count: int, reason: str) -> None:
        self.losses.append((stream, asset, count, reason))


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


def test_while_a_battery_waits_for_zero_no_commit_holds_the_field_up() -> None:
    """One DNP3 thread serves every session: the zero of one stood behind the others' readings."""
    waited: list[float] = []
    posted: list[object] = []

    class Patient(RecordingStore):
        def append(self, batches: Sequence[Batch], *, within_s: float) -> None:
            waited.append(within_s)
            super().append(batches, within_s=within_s)

    telemetry = Telemetry("bess-1", "gw-17", "sha256:00", linger_s=10.0)
    hurried = iter((False, True))
    intake = Intake(
        "bess-1",
        telemetry,
        Patient(),
        lambda: Now(5.0, 5000),
        post=posted.append,
        hurried=lambda: next(hurried),
    )
    intake.store("bess-1", (point("AI1", 7, event=True),))
    intake.store("bess-1", (point("AI1", 8, event=True),))
    assert waited == [1.0, 0.2]
