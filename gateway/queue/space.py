"""Asking the disk how much room there is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from gateway.queue.rules import retention

if TYPE_CHECKING:
    from pathlib import Path


def disk_space(folder: Path) -> retention.Space:
    """Room on the disk of ``folder`` for a process that is not root."""
    disk = os.statvfs(folder)
    return retention.Space(disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize)
