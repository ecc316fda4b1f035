"""One asset's way from a DNP3 fragment to the queue, on the DNP3 thread.

``store`` returns only after the commit, because opendnp3 confirms when it returns and the
outstation then forgets the events. What cannot be stored is announced as a gap, not hidden, and
``store`` returns all the same: opendnp3 would confirm anyway, and a full disk must not hide from
the core what the battery does now. One DNP3 thread serves every session, outputs too: while a
battery is to be idled, no disk that stalls may hold that thread up for the readings of others.
"""

from __future__ import annotations

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

COMMIT_S = 1.0  # how long the DNP3 thread may wait for a commit: section 0, P6
HURRIED_S = 0.2  # while a battery waits for zero, which must pass the same thread


class Appends(Protocol):
    """What an intake needs of the queue."""

    def append(self, batches: Sequence[Batch], *, within_s: float) -> None:
        """Make ``batches`` durable; raises ``StoreError`` if nothing was kept."""
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
        hurried: Callable[[], bool] = lambda: False,
    ) -> None:
        self._asset = asset
        self._telemetry = telemetry
        self._store = store
        self._now = now
        self._post = post
        self._hurried = hurried

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

    def _commit(self, batches: list[Batch]) -> None:
        if not batches:
            return
        try:
            self._store.append(batches, within_s=HURRIED_S if self._hurried() else COMMIT_S)
        except StoreError as error:
            reason = "disk_full" if isinstance(error, DiskFullError) else "store_timeout"
            count = sum(batch.n for batch in batches)
            self._store.lost(Stream.TELEMETRY, self._asset, count, reason)
            self.forget()  # static values come again with the next poll
            self._post(FragmentLost(self._asset, count, str(error), self._now()))
