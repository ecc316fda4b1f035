"""One gateway per queue: an advisory lock beside the database, freed by the kernel at exit."""

from __future__ import annotations

import errno
import fcntl
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class QueueLock:
    """The lock while it is ours."""

    descriptor: int

    def release(self) -> None:
        """Let the next process have it."""
        os.close(self.descriptor)


def hold(path: Path) -> QueueLock:
    """Take the lock at ``path`` or say who has it.

    Raises:
        StoreError: another process runs on this queue, or the folder cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        text = f"{path}: {error.strerror}: the queue's folder must exist and be writable"
        raise StoreError(text) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        text = f"{path}: held by process {owner}: one gateway at a time may use a queue"
        raise StoreError(text) from error
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except OSError as error:
        if error.errno not in _NO_ROOM:  # its number is only for people
            os.close(descriptor)
            text = f"{path}: {error.strerror}: the queue's folder must be writable"
            raise StoreError(text) from error
    return QueueLock(descriptor)
