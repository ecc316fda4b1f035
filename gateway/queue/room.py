"""What the disk, the log and the limits allow the writer, and telling of it when that changes."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from gateway.queue.rules import retention
from gateway.queue.rules.disk import Disk, Room
from gateway.queue.rules.held_log import HeldLog, allowance
from gateway.sqlite import connection
from gateway.streams import Stream

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.clock import Now
    from gateway.config.site import QueueSettings
    from gateway.queue.database import QueueDatabase
    from gateway.queue.rules.retention import Space

_LOG_S = 0.5  # the log is looked at this often


class QueueRoom:
    """Seen by the writer, on its thread.

    Args:
        path: of the database.
        tell: is given the kind and the text of a trouble, or of its end.
        hurry: called where there is room again: what was lost is announced at once.
    """

    def __init__(
        self, path: Path, *, tell: Callable[[str, str], None], hurry: Callable[[], None]
    ) -> None:
        self._path, self._tell, self._hurry = path, tell, hurry
        self._disk = Disk()
        self._log = HeldLog()
        self._log_at = 0.0  # when the log is looked at, on the monotonic clock
        self._beyond: set[Stream] = set()  # never dropped, and beyond their bound

    @property
    def is_short(self) -> bool:
        """Whether there is too little, of the disk or of ``max_size`` beside a held log."""
        return self._disk.room is not Room.ROOM or self._log.is_full

    @property
    def is_disk_short(self) -> bool:
        """Whether the disk is full, or nearly."""
        return self._disk.room is not Room.ROOM

    @property
    def refused(self) -> tuple[Stream, ...]:
        """Streams that are not written now."""
        if self._log.is_full:
            return Stream.TELEMETRY, Stream.STATE
        return (Stream.TELEMETRY,) if self._disk.refuses_telemetry else ()

    @property
    def why(self) -> str:
        """Why they are refused."""
        return "max_size is full of its log" if self._log.is_full else "the disk is full"

    def look(
        self, space: Space, database: QueueDatabase | None, settings: QueueSettings, now: Now
    ) -> None:
        """Look at the disk, and now and then at the log."""
        self._move(self._disk.looked(space))
        if database is None or now.mono_s < self._log_at:
            return
        self._log_at = now.mono_s + _LOG_S
        with suppress(*connection.UNREADABLE):
            log_bytes, is_held = database.limits.held_log(beyond=allowance(settings.max_size))
            used, _ = database.limits.pages()
            before, self._log = self._log, self._log.looked(
                log_bytes=log_bytes, used_bytes=used, max_size=settings.max_size, is_held=is_held
            )  # fmt: skip
            if self._log != before:
                self._tell_of_log(log_bytes)

    def wrote(
        self, database: QueueDatabase, beyond: frozenset[Stream], settings: QueueSettings
    ) -> None:
        """A commit succeeded; ``beyond``: streams that went though they are never dropped."""
        self._move(self._disk.wrote())
        most = retention.most_kept(settings.max_size)
        for stream in sorted(beyond - self._beyond):
            text = f"{stream} has more than its {most >> 10} KiB: its oldest are dropped"
            self._tell("bound", f"{self._path}: {text}")
        self._beyond |= beyond
        streams = database.counters.streams
        if self._beyond and all(streams[stream].bytes < most // 2 for stream in self._beyond):
            self._beyond.clear()
            self._tell("bound_ok", f"{self._path}: what is never dropped has room again")

    def full(self) -> bool:
        """A write failed for want of room; whether it may be tried again at once."""
        again = self._disk.room is not Room.HARD
        self._move(self._disk.refused())
        return again

    def _move(self, disk: Disk) -> None:
        before, self._disk = self._disk.room, disk
        space = disk.space
        free = (
            ""
            if space is None
            else f", {space.free_bytes >> 20} of {space.disk_bytes >> 20} MiB free"
        )
        if disk.room is Room.ROOM and before is not Room.ROOM:
            self._hurry()
            self._tell("disk_ok", f"{self._path}: there is room again{free}")
        elif disk.room is not Room.ROOM and before is Room.ROOM:
            self._tell("disk_full", f"{self._path}: telemetry is refused{free}")

    def _tell_of_log(self, log_bytes: int) -> None:
        held = f"{self._path}-wal has {log_bytes >> 20} MiB: another program holds a transaction"
        if self._log.is_full:
            self._tell("log_held", f"{held}; max_size is full, telemetry and state are refused")
        elif self._log.is_held:
            self._tell("log_held", held)
        else:
            self._hurry()
            self._tell("log_free", f"{self._path}-wal is cut off again")
