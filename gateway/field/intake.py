"""One asset's way from a DNP3 fragment to the queue, on its DNP3 thread.

``store`` returns only after the commit, because opendnp3 confirms when it returns and the
outstation then forgets the events. What cannot be stored is announced as a gap, not hidden, and
``store`` returns all the same: opendnp3 would confirm anyway, and a full disk must not hide from
the core what the battery does now. The asset's zero must pass the same thread: a demand for it
ends the wait that has begun, and while it stands no other is long (SPECIFICATION.md, section 7,
"Nothing waits without an end"). What is given up so and committed all the same is taken out of
the queue again: what was announced as lost is lost.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Protocol

from gateway.errors import DiskFullError, StoreError
from gateway.events import FragmentLost
from gateway.streams import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.clock import Now
    from gateway.events import Post
    from gateway.points.raw import RawPoint
    from gateway.streams import Batch
    from gateway.uplink.telemetry import Telemetry

COMMIT_S = 1.0  # how long the DNP3 thread may wait for a commit: section 0, P6; decision 0020
HURRIED_S = 0.2  # while the battery waits for zero, which must pass the same thread
HURRIED_AGAIN_S = 0.02  # the same, behind a commit that was given up; a sound disk takes 2 ms


class Awaited(Protocol):
    """A commit that was begun."""

    def wait(self, within_s: float) -> None:
        """Return when it is durable; raises ``StoreError`` if nothing was kept."""
        ...

    def end(self) -> None:
        """Whoever waits for it is told now that nothing was kept."""
        ...


class Appends(Protocol):
    """What an intake needs of the queue."""

    def begin(self, batches: Sequence[Batch]) -> Awaited:
        """Begin to make ``batches`` durable; raises ``StoreError`` if nothing was begun."""
        ...

    def lost(self, stream: Stream, asset: str, count: int, reason: str) -> None:
        """Announce ``count`` readings that could not be stored as a gap."""
        ...


class Intake:
    """Encodes what is to be shipped of each fragment and makes it durable."""

    def __init__(
        self,
        asset: str,
        telemetry: Telemetry,
        store: Appends,
        now: Callable[[], Now],
        *,
        post: Post,
    ) -> None:
        self._asset = asset
        self._telemetry = telemetry
        self._store = store
        self._now = now
        self._post = post
        self._lock = threading.Lock()  # held for an instant, never while anybody waits
        self._hurried = False
        self._gave_up = False  # the last commit: the disk is slow
        self._begun: Awaited | None = None

    def store(self, asset: str, points: tuple[RawPoint, ...]) -> None:
        """Commit what is new in one fragment, or announce that it is lost."""
        assert asset == self._asset
        self._commit(self._telemetry.take(points, mono_s=self._now().mono_s))

    def flush(self, _asset: str, _kind: str) -> None:
        """A poll ended: commit the static readings gathered over its fragments."""
        self._commit(self._telemetry.flush())

    def forget(self) -> None:
        """Ship every static value once more, changed or not. Any thread may call."""
        self._telemetry.forget()

    def hurry(self, *, on: bool) -> None:
        """The battery waits for zero: nothing may hold its thread up; or it no longer does.

        Any thread may call; it never waits.
        """
        with self._lock:
            self._hurried = on
            if on and self._begun is not None:
                self._begun.end()

    def close(self) -> None:
        """The session is about to end: what is being committed has ``HURRIED_S`` left."""
        with self._lock:
            self._hurried, begun = True, self._begun
        if begun is not None:
            with contextlib.suppress(StoreError):  # whoever began it announces the loss
                begun.wait(HURRIED_S)

    def _commit(self, batches: list[Batch]) -> None:
        if not batches:
            return
        try:
            self._await(self._store.begin(batches))
        except StoreError as error:
            reason = "disk_full" if isinstance(error, DiskFullError) else "store_timeout"
            count = sum(batch.n for batch in batches)
            self._store.lost(Stream.TELEMETRY, self._asset, count, reason)
            self.forget()  # static values come again with the next poll
            self._post(FragmentLost(self._asset, count, str(error), self._now()))

    def _await(self, commit: Awaited) -> None:
        with self._lock:
            self._begun = commit
            within_s = COMMIT_S
            if self._hurried:
                within_s = HURRIED_AGAIN_S if self._gave_up else HURRIED_S
        self._gave_up = True
        try:
            commit.wait(within_s)
            self._gave_up = False
        finally:
            with self._lock:
                self._begun = None
