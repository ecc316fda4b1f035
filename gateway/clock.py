"""The two clocks, never mixed.

``mono_s`` is CLOCK_BOOTTIME: it counts through suspend and no wall-clock jump moves it, so
every duration and deadline uses it. ``unix_ms`` is UTC and is only ever written into messages.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import NamedTuple


class Now(NamedTuple):
    """One instant on both clocks."""

    mono_s: float
    unix_ms: int


def now() -> Now:
    """Read both clocks."""
    return Now(time.clock_gettime(time.CLOCK_BOOTTIME), time.time_ns() // 1_000_000)


def rfc3339(unix_ms: int) -> str:
    """``unix_ms`` (Unix ms, UTC) as RFC 3339 with milliseconds, e.g. 2026-11-22T05:10:00.250Z."""
    seconds, ms = divmod(unix_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03d}Z"
