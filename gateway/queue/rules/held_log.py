"""SQLite's log, where another program holds a transaction open: it cannot be cut off. Pure.

The log then grows with every commit. It counts in ``max_size``: beyond it telemetry and state are
refused, as on a full disk, and nothing that waits is thrown away for it.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.queue.rules.retention import HEADROOM


def allowance(max_size: int) -> int:
    """Bytes that the log may have without a word: it has them for a moment in good times, too."""
    return min(HEADROOM, max_size // 2)


@dataclass(frozen=True, slots=True)
class HeldLog:
    """What was last seen of the log."""

    is_held: bool = False
    is_full: bool = False

    def looked(self, *, log_bytes: int, used_bytes: int, max_size: int, is_held: bool) -> HeldLog:
        """The log was looked at.

        Args:
            log_bytes: of the log's file.
            used_bytes: of pages in use.
            max_size: the setting, in bytes.
            is_held: a checkpoint did not reach its end.
        """
        room = allowance(max_size)
        if log_bytes <= room or not (is_held or self.is_held):
            return HeldLog()
        most = max_size - (room // 8 if self.is_full else 0)  # no flapping at the edge
        return HeldLog(is_held=True, is_full=used_bytes + log_bytes > most)
