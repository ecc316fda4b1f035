"""What the disk can do at best: append and fdatasync, 500 records of 120 bytes each time."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

RECORDS, RECORD_BYTES = 500, 120


def records_per_s(folder: Path, *, for_s: float) -> float:
    """Records a second that are durable, in ``folder``, over ``for_s`` seconds."""
    block = os.urandom(RECORDS * RECORD_BYTES)
    path = folder / "floor"
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC, 0o600)
    try:
        began = time.perf_counter()
        end, written = began + for_s, 0
        while (now := time.perf_counter()) < end:
            os.write(file, block)
            os.fdatasync(file)
            written += RECORDS
        return written / (now - began)
    finally:
        os.close(file)
        path.unlink()
