"""What callers have handed over and the writer has not done yet."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.streams import NEVER_DROPPED, Batch, Stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.effects import FetchRows
    from gateway.queue.rules.work import Loss

LATER_BYTES = 8 << 20  # of batches for which nobody waits; half of it for streams that may drop
_STOPPED = 2.0  # a wait that took so many times as long as asked for


class WaitingCaller:
    """Somebody waits until this is durable.

    Args:
        batches: what is to be appended.
    """

    def __init__(self, batches: Sequence[Batch] = ()) -> None:
        self.batches = batches
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._given_up = False
        self._error: Exception | None = None

    @property
    def telemetry(self) -> bool:
        """Whether a disk that runs full refuses it."""
        return any(batch.stream is Stream.TELEMETRY for batch in self.batches)

    def wait(self, within_s: float) -> bool:
        """Wait for the outcome; False if there is none, and then there will be none.

        Of several that wait, the first to lose patience gives up for all. A process that was
        stopped meanwhile (a paused machine, SIGSTOP) waits once more: the writer stood still as
        well, and often a commit was all but done.

        Raises:
            StoreError: it was not kept.
        """
        began = time.monotonic()
        done = self._done.wait(within_s)
        if not done and time.monotonic() - began > _STOPPED * within_s:
            done = self._done.wait(within_s)
        if not done:
            self.give_up()
        if self._given_up:
            return False
        if self._error is not None:
            raise self._error
        return True

    def give_up(self) -> None:
        """Whoever waits goes on now, without an outcome; nothing where there is one already."""
        with self._lock:
            if not self._done.is_set():
                self._given_up = True
                self._done.set()

    def settle(self, error: Exception | None = None) -> bool:
        """Tell the caller; False if the caller was already told that nothing was kept."""
        with self._lock:
            if self._given_up:
                return False
            self._error = error
            self._done.set()
            return True


@dataclass(slots=True)
class PendingWork:
    """All of it; the store swaps it for an empty one when the writer takes it."""

    waiting: list[WaitingCaller] = field(default_factory=list)
    later: list[Batch] = field(default_factory=list)
    later_bytes: int = 0
    forget: list[int] = field(default_factory=list)
    fetches: list[FetchRows] = field(default_factory=list)
    losses: dict[Loss, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.waiting or self.later or self.forget or self.fetches or self.losses)

    def lose(self, loss: Loss, count: int) -> None:
        """Count readings that were given up."""
        self.losses[loss] = self.losses.get(loss, 0) + count

    def put_later(self, batch: Batch, *, reason: str) -> None:
        """Keep a batch for the next commit, or lose it if too much waits already."""
        most = LATER_BYTES if batch.stream in NEVER_DROPPED else LATER_BYTES // 2
        if self.later_bytes + len(batch.body) > most:
            self.lose((batch.stream, batch.asset, reason), batch.n)
        else:
            self.later.append(batch)
            self.later_bytes += len(batch.body)

    def put_back(self, left: PendingWork, *, reason: str) -> None:
        """Take back what could not be done and nobody was told of; it goes first again."""
        newer, self.later, self.later_bytes = self.later, [], 0
        for batch in (*left.later, *newer):
            self.put_later(batch, reason=reason)
        self.forget = [*left.forget, *self.forget]
        self.fetches = [*left.fetches, *self.fetches]
        for loss, count in left.losses.items():
            self.lose(loss, count)
