"""control.db as a file: its name, its version, the seal of its marks.

Apart from ``schema`` because it needs no SQLAlchemy: ``audit verify`` answers at once.
"""

from __future__ import annotations

import zlib

VERSION = 1
FILE = "control.db"
BUSY_S = 0.5  # somebody's sqlite3 shell may hold the lock this long before a commit fails


def sealed(key: str, value: str) -> int:
    """CRC-32 of a mark."""
    return zlib.crc32(f"{key}\0{value}".encode())
