"""One process per database: an advisory lock beside it, freed by the kernel at exit.

The lock's file also remembers that there has been a database: one that is gone is trouble, and
not a first start.
"""

from __future__ import annotations

import errno
import fcntl
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

_KEPT = b"kept"  # second word of the file: there has been a database
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class FileLock:
    """The lock while it is ours."""

    descriptor: int
    kept: bool  # a gateway has kept a database here before

    def keep(self) -> None:
        """Remember that there is a database from now on; on a full disk, the next time."""
        try:
            _say(self.descriptor, _KEPT)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise

    def release(self) -> None:
        """Let the next process have it."""
        os.close(self.descriptor)


def hold(path: Path, *, name: str) -> FileLock:
    """Take the lock at ``path`` or say who has it.

    Args:
        path: of the lock's file.
        name: of what is locked, for people: "queue".

    Raises:
        StoreError: another process has it, or the folder cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        text = f"{path}: {error.strerror}: the {name}'s folder must exist and be writable"
        raise StoreError(text) from error
    words: list[bytes] = []
    try:
        words = os.pread(descriptor, 64, 0).split()
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = words[0].decode("ascii", "replace") if words else "unknown"
        os.close(descriptor)
        text = f"{path}: held by process {owner}: one gateway at a time may use the {name}"
        raise StoreError(text) from error
    kept = _KEPT in words
    try:
        _say(descriptor, _KEPT if kept else b"new")
    except OSError as error:
        if error.errno not in _NO_ROOM:  # the number is only for people
            os.close(descriptor)
            text = f"{path}: {error.strerror}: the {name}'s folder must be writable"
            raise StoreError(text) from error
    return FileLock(descriptor, kept)


def has_kept(path: Path) -> bool:
    """Whether the lock at ``path`` remembers a database; whoever holds it."""
    try:
        return _KEPT in path.read_bytes().split()
    except FileNotFoundError:
        return False


def _say(descriptor: int, word: bytes) -> None:
    """Overwrite in place: a file of this size needs no room that it does not have already."""
    os.pwrite(descriptor, b"%-10d %-4s\n" % (os.getpid(), word), 0)
    os.fsync(descriptor)
