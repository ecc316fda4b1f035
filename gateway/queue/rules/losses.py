"""Readings that reached us and not the disk, until their gap record is written. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.queue.rules.work import Loss
    from gateway.streams import Row, Stream

_TOGETHER_S = 1.0  # losses of this long share a gap record
_TOGETHER_FULL_S = 30.0  # and while the disk is full, where each record costs room
_CREDIT_S = 60.0


class Losses:
    """Counts losses per stream, asset and reason, and says when they are to be announced.

    The caller of an append that took too long reports its readings as lost. If the commit
    succeeded after all, taking it back has numbered and announced them already: ``credit`` makes
    the report that follows (or came before) count once.
    """

    def __init__(self) -> None:
        self._counts: dict[Loss, int] = {}
        self._credits: dict[tuple[Stream, str], tuple[int, float]] = {}
        self._next_at = 0.0  # monotonic second of the next announcement
        self._written: set[Loss] = set()

    def add(self, counts: dict[Loss, int], mono_s: float) -> None:
        """Count more, less what is credited."""
        for loss, count in counts.items():
            owed, until = self._credits.pop(loss[:2], (0, 0.0))
            used = min(owed, count) if mono_s < until else 0
            if used and owed > used:
                self._credits[loss[:2]] = owed - used, until
            if count > used:
                self._counts[loss] = self._counts.get(loss, 0) + count - used

    def credit(self, rows: Sequence[Row], mono_s: float) -> None:
        """These rows are announced by being withdrawn."""
        for row in rows:
            key = (row.batch.stream, row.batch.asset)
            owed, _ = self._credits.get(key, (0, 0.0))
            self._credits[key] = owed + row.batch.n, mono_s + _CREDIT_S

    def hurry(self) -> None:
        """Announce with the next commit: there is room again."""
        self._next_at = 0.0

    def due(self, mono_s: float, *, full: bool, closing: bool) -> dict[Loss, int]:
        """What goes into the commit that is about to be made."""
        if not self._counts or (mono_s < self._next_at and not closing):
            self._written = set()
            return {}
        self._together_s = _TOGETHER_FULL_S if full else _TOGETHER_S
        self._written = set(self._counts)
        return dict(self._counts)

    def announced(self, mono_s: float) -> None:
        """The commit succeeded."""
        if self._written:
            for loss in self._written:
                del self._counts[loss]
            self._written = set()
            self._next_at = mono_s + self._together_s

    @property
    def waiting(self) -> bool:
        """Whether there is something to announce."""
        return bool(self._counts)
