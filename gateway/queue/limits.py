"""Keeping age, quota and bounds, inside the caller's transaction: how much has to go, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.queue import schema
from gateway.queue.drops import Drops
from gateway.queue.rules import retention
from gateway.sqlite import connection
from gateway.streams import NEVER_DROPPED

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import sqlalchemy as sa

    from gateway.clock import Now
    from gateway.config.site import QueueSettings
    from gateway.queue.drops import Dropped
    from gateway.queue.rules.counters import Counters

_CHECK_S = 0.5  # the disk is looked at this often, and whenever much was appended


class QueueLimits:
    """Of one database.

    Args:
        path: its file.
        raw: sqlite3's connection.
        core: SQLAlchemy's around it.
    """

    def __init__(self, path: Path, raw: sqlite3.Connection, core: sa.engine.Connection) -> None:
        self._path, self._raw = path, raw
        self._log = path.with_name(path.name + "-wal")
        self.drops = Drops(core)
        self._checked_s = 0.0  # when the limits were looked at, on the monotonic clock
        self._unchecked = 0  # bytes appended since
        self._budget = 0

    def came(self, size: int) -> None:
        """Bodies of ``size`` bytes were appended."""
        self._unchecked += size

    def drop(
        self,
        counters: Counters,
        now: Now,
        settings: QueueSettings,
        space: Callable[[Path], retention.Space],
    ) -> Iterator[Dropped]:
        """Let go what is too old or too much; not at each call is there a look."""
        due = now.mono_s >= self._checked_s + _CHECK_S or now.mono_s < self._checked_s
        if not due and self._unchecked < retention.slack(self._budget) // 4:
            return
        self._checked_s, self._unchecked = now.mono_s, 0
        before_s = int(counters.aged_s - settings.max_age_s)
        yield from self.drops.older(before_s, slack_s=retention.age_slack_s(settings.max_age_s))
        most = retention.most_kept(settings.max_size)
        for stream in NEVER_DROPPED:
            waiting = counters.streams[stream].bytes
            if waiting > most:
                yield from self.drops.beyond(stream, waiting - most + most // 10)
        used, _ = self.pages()
        self._budget = retention.budget(
            max_size=settings.max_size,
            file_bytes=_size(self._path),  # pages that are only in the log are not there yet
            log_bytes=_size(self._log),
            used_bytes=used,
            space=space(self._path.parent),
        )
        if used > self._budget:
            # Bodies fill pages unevenly: what a page costs per body byte, as it is here.
            stored = sum(counts.bytes for counts in counters.streams.values())
            ratio = min(4.0, max(1.0, used / max(stored, 1)))
            excess = used - self._budget + retention.slack(self._budget)
            yield from self.drops.shrink(int(excess / ratio) + 1)

    def held_log(self, *, beyond: int) -> tuple[int, bool]:
        """Bytes of the log, and whether another program's transaction keeps them there.

        Cuts the log off where nothing does: a queue that is never idle would not.

        Args:
            beyond: bytes up to which nobody asks.
        """
        size = _size(self._log)
        if size <= beyond:
            return size, False
        _, frames, done = self._raw.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if done < frames:
            return size, True
        connection.checkpoint(self._raw)
        return _size(self._log), False

    def pages(self) -> tuple[int, int]:
        """Bytes of pages in use, and of the whole file, as the open transaction sees them."""
        count = self._raw.execute("PRAGMA page_count").fetchone()[0]
        free = self._raw.execute("PRAGMA freelist_count").fetchone()[0]
        return (count - free) * schema.PAGE, count * schema.PAGE


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
