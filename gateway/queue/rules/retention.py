"""How much may wait, for how long, and what goes first. Pure.

Dropping order is telemetry (oldest first), state (thinned, then oldest first), event (oldest
first). Audit and result never go. These limit the file:

- ``max_size`` holds the database with its write-ahead log, so the pages in use may fill
  ``max_size`` less ``HEADROOM``.
- ``RESERVE`` of the disk stays free: before the file would grow into it, the oldest rows go.
- A stream that never goes has a bound all the same (``most_kept``); beyond it its oldest rows go,
  with a gap record, and it is told as trouble.
- If others fill the disk into the reserve, nothing waiting is thrown away for it: telemetry is
  refused until there is room, the other streams may use the reserve up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.clock import Now
    from gateway.queue.rules.rows import RowPlace

RESERVE = 0.05  # of the disk always stays free
HEADROOM = 8 << 20  # bytes: the write-ahead log before a checkpoint, and the commit after it
SANE_MS = 1_577_836_800_000  # 2020-01-01: a clock before it was never set


class Space(NamedTuple):
    """A disk."""

    free_bytes: int
    disk_bytes: int

    @property
    def reserve(self) -> int:
        """Bytes that stay free."""
        return int(self.disk_bytes * RESERVE)

    @property
    def low(self) -> bool:
        """The reserve is being used."""
        return self.free_bytes < self.reserve


def budget(*, max_size: int, file_bytes: int, log_bytes: int, used_bytes: int, space: Space) -> int:
    """Bytes of pages that may be in use.

    Args:
        max_size: the setting, in bytes.
        file_bytes: the database as it is on the disk.
        log_bytes: its write-ahead log as it is on the disk.
        used_bytes: pages in use now; the reserve never asks for less than these.
        space: the disk.
    """
    size = max_size - min(HEADROOM, max_size // 2)
    # The log will be full again; on a small disk it counts as a quarter.
    log = max(log_bytes, min(HEADROOM, space.disk_bytes // 4)) + space.disk_bytes // 100
    disk = file_bytes + log_bytes + space.free_bytes - space.reserve - log
    return min(size, max(disk, used_bytes if space.low else 0))


def most_kept(max_size: int) -> int:
    """Bytes that a stream which is never dropped may have, before its oldest rows go all the same.

    An eighth: some 500 000 results of 2 GiB. Nobody has taken any for months then.
    """
    return max_size // 8


def slack(budget_bytes: int) -> int:
    """Bytes to go below the budget once dropping starts: one gap record for many rows."""
    return max(budget_bytes // 100, 64 << 10)


def age_slack_s(max_age_s: float) -> int:
    """Seconds that a row may wait beyond its age: one gap record for many rows."""
    return int(min(600.0, max_age_s / 100.0))


def thin(places: Sequence[RowPlace]) -> list[RowPlace]:
    """Every second row of each asset, counted so that its newest stays.

    Args:
        places: rows of one stream, oldest first.
    """
    seen: dict[str, int] = {}
    going = []
    for place in reversed(places):
        seen[place.asset] = seen.get(place.asset, -1) + 1
        if seen[place.asset] % 2:
            going.append(place)
    return going[::-1]


@dataclass(slots=True)
class Ageing:
    """The queue's own clock: seconds that rows have been waiting, whatever the wall clock does.

    It runs with CLOCK_BOOTTIME. Between two runs it advances by the wall clock's difference,
    and not at all where that is negative or one of its ends was never set: a box that wakes up
    in 1970 and is corrected later must not think that its queue has waited for decades.
    """

    aged_s: float
    mono_s: float

    @classmethod
    def resume(cls, *, aged_s: float, wall_ms: int, now: Now) -> Ageing:
        """Go on where the last run stopped.

        Args:
            aged_s: reading of this clock at ``wall_ms``.
            wall_ms: Unix ms of the last commit; 0 if there was none.
            now: both clocks.
        """
        sane = wall_ms >= SANE_MS and now.unix_ms > wall_ms
        away_s = (now.unix_ms - wall_ms) / 1000 if sane else 0.0
        return cls(aged_s + away_s, now.mono_s)

    def read(self, now: Now) -> float:
        """Seconds on this clock; never goes back."""
        self.aged_s += max(0.0, now.mono_s - self.mono_s)
        self.mono_s = now.mono_s
        return self.aged_s
