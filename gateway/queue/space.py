"""Asking the disk how much room there is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from gateway.queue import fate

if TYPE_CHECKING:
    from pathlib import Path


def disk_space(folder: Path) -> fate.Space:
    """Room on the disk of ``folder`` for a process that is not root."""
    disk = os.statvfs(folder)
    return fate.Space(disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize)
