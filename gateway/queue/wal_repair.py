"""The log that the last run left: what SQLite would silently leave out of it, and mending it.

``rules.wal_frames`` says what is there; here are the files.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from gateway.queue import schema
from gateway.queue.rules import wal_frames
from gateway.queue.rules.counters import Counters, found_in

if TYPE_CHECKING:
    from pathlib import Path

_LARGEST = 64 << 20  # bytes; it is cut at 4 MiB, but a reader elsewhere may hold it open


def read(path: Path) -> bytes:
    """The log beside the database ``path``; nothing where there is none, or too much of it."""
    file = path.with_name(path.name + "-wal")
    if not file.exists() or file.stat().st_size > _LARGEST:
        return b""
    return file.read_bytes()


def torn_books(octets: bytes, log: wal_frames.WalFrames) -> list[Counters] | None:
    """Counters of a last transaction that is not there; None if there is no such."""
    if not log.torn:
        return None
    whole = (at for at in log.torn if log.fits[at])  # others may be what lay there before
    pages = (wal_frames.page_of(octets, at, page=schema.PAGE) for at in whole)
    return [counters for each in pages if (counters := found_in(each)) is not None]


def is_in_the_file(path: Path, octets: bytes, log: wal_frames.WalFrames, shown: Counters) -> bool:
    """Whether counters newer than those that SQLite shows were copied to the database.

    They were in the torn transaction, then: it was synced before.
    """
    with path.open("rb") as file:
        for at in log.torn:
            number = wal_frames.page_number(octets, at, page=schema.PAGE)
            file.seek((number - 1) * schema.PAGE if number else 0)
            if shown.behind(found_in(file.read(schema.PAGE))):
                return True
    return False


def end_of(octets: bytes, log: wal_frames.WalFrames, noted: Counters | None) -> int:
    """The frame that ends the commit of these counters, or the last that may be one; -1 if none."""
    marks = [at for at, mark in enumerate(log.marks) if mark]
    for at in reversed(range(len(log.fits))):
        counters = found_in(wal_frames.page_of(octets, at, page=schema.PAGE))
        if counters is not None and noted is not None and counters.text() == noted.text():
            return next((mark for mark in marks if mark >= at), -1)
    return marks[-1] if marks else -1


def mend(path: Path, octets: bytes, log: wal_frames.WalFrames, *, aside: Path, last: int) -> None:
    """Let SQLite read all of a damaged log; a copy as it was stays beside ``aside``.

    After a crash from here on, the damaged page is met like one of the database. ``last``
    is the frame that ends the last commit, where more is known than the log shows, or -1.
    """
    file = path.with_name(path.name + "-wal")
    with suppress(OSError):  # for people, if there is room
        aside.with_name(aside.name + "-wal.damaged").write_bytes(octets)
    fresh = file.with_name(file.name + ".mended")
    with fresh.open("wb") as opened:
        opened.write(wal_frames.mended(octets, log, page=schema.PAGE, last=last))
        opened.flush()
        os.fsync(opened.fileno())
    path.with_name(path.name + "-shm").unlink(missing_ok=True)  # the index of the shorter log
    fresh.rename(file)
    sync_folder(path)


def sync_folder(path: Path) -> None:
    """Make names durable: a file whose name is lost with the power is lost itself."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
