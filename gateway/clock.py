"""The two clocks, never mixed.

``mono_s`` is CLOCK_BOOTTIME: it counts through suspend and no wall-clock jump moves it, so
every duration and deadline uses it. ``unix_ms`` is UTC and is only ever written into messages.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

_FIRST_MS = -2_208_988_800_000  # 1900-01-01T00:00:00.000Z
_LAST_MS = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z


class Now(NamedTuple):
    """One instant on both clocks."""

    mono_s: float
    unix_ms: int


def now() -> Now:
    """Read both clocks."""
    return Now(time.clock_gettime(time.CLOCK_BOOTTIME), time.time_ns() // 1_000_000)


def rfc3339(unix_ms: int) -> str:
    """``unix_ms`` (Unix ms, UTC) as RFC 3339 with milliseconds, e.g. 2026-11-22T05:10:00.250Z.

    Held to the years 1900 to 9999: RFC 3339 has four digits for them, and an outstation that
    sets all 48 bits of a DNP3 time means the year 10889.
    """
    seconds, ms = divmod(min(max(unix_ms, _FIRST_MS), _LAST_MS), 1000)
    return f"{_to_second(seconds)}.{ms:03d}Z"


def local_time(unix_ms: int) -> str:
    """``unix_ms`` in this box's time zone, to the second, e.g. 2026-11-22T06:10:00+01:00."""
    seconds = min(max(unix_ms, _FIRST_MS), _LAST_MS) // 1000
    return datetime.fromtimestamp(seconds, UTC).astimezone().isoformat()


@lru_cache(maxsize=64)  # every message names this second or the last one, twice
def _to_second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
