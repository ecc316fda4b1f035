"""A battery's zero and its own readings share one thread: a demand for zero goes first."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

import pytest

from gateway import clock
from gateway.errors import StoreError
from gateway.events import FragmentLost, FragmentStored, PollDone
from gateway.field.intake import Intake
from gateway.ports import Control, Outcome, OutcomeKind
from gateway.uplink.telemetry import Telemetry
from tests.fixtures.field import DEADLINE_S
from tests.fixtures.yadnp3_outstation import yadnp3_outstation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.field.dnp3.session import Dnp3Session
    from gateway.streams import Batch, Stream
    from tests.fixtures.field import Recorder


class StalledStore:
    """Commits at once, or, while it is stalled, never: a wait ends only where it is ended."""

    def __init__(self) -> None:
        self.stalled = threading.Event()
        self.waiting = threading.Semaphore(0)
        self.losses: list[int] = []

    def begin(self, _batches: Sequence[Batch]) -> StalledCommit:
        return StalledCommit(self)

    def lost(self, _stream: Stream, _asset: str, count: int, _reason: str) -> None:
        self.losses.append(count)


class StalledCommit:
    """One that the store does not carry out."""

    def __init__(self, store: StalledStore) -> None:
        self._store, self._ended = store, threading.Event()

    def wait(self, _within_s: float) -> None:
        if self._store.stalled.is_set():
            self._store.waiting.release()
            assert self._ended.wait(DEADLINE_S)
            text = "the wait was ended"
            raise StoreError(text)

    def end(self) -> None:
        self._ended.set()


def test_a_demand_for_zero_lets_it_pass_a_fragment_that_is_being_committed(
    session_to: Callable[..., Dnp3Session], core: Recorder
) -> None:
    store = StalledStore()
    telemetry = Telemetry("bess-1", "gw-17", "sha256:00", linger_s=0)
    intake = Intake("bess-1", telemetry, store, clock.now, post=core)
    answers: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
    with yadnp3_outstation() as station:
        session = session_to(station.port, store=intake.store, poll_done=intake.flush)
        core.wait(PollDone, lambda done: done.kind == "event" and done.ok)
        store.stalled.set()
        station.ask("update", kind="AI", index=1, value=7)
        assert store.waiting.acquire(timeout=DEADLINE_S)
        session.operate([Control("AO0", 0)], sbo=False, done=answers.put)
        with pytest.raises(queue.Empty):
            answers.get(timeout=0.1)
        store.stalled.clear()
        intake.hurry(on=True)
        assert answers.get(timeout=DEADLINE_S).kind is OutcomeKind.SUCCESS
        lost = core.wait(FragmentLost)
        assert (lost.count, lost.reason) == (1, "the wait was ended")
        assert store.losses == [1]
        # The core learns what it says all the same: only its way to the broker is lost.
        core.wait(FragmentStored, lambda told: any(p.value == 7 and p.event for p in told.points))
        session.close(within_s=10)
