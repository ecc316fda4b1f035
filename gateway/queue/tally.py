"""The counters of the last commit once more, in a small file beside the database.

It is written after a commit is durable, and never synced: that costs a microsecond. So it may
be behind the database (a crash came between, the power went, a bit flipped in it: then its CRC
fails), and is of no use then. It is never ahead, unless commits have vanished: a bit flipped in
the last of the log, a disk had not kept what it said it had, an older copy was put in place. Then
it names every number that was given out.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from gateway.errors import PayloadError
from gateway.queue.rules.counters import Counters, sealed

if TYPE_CHECKING:
    from pathlib import Path


def beside(path: Path) -> Path:
    """The file that belongs to the database ``path``."""
    return path.with_name("queue.tally")


def read(path: Path) -> Counters | None:
    """What was last written beside the database ``path``, if its CRC holds."""
    with suppress(OSError, ValueError, PayloadError):
        line, _ = beside(path).read_text("ascii").split("\n", 1)  # an older one may be longer
        crc, text = line.split(" ", 1)
        if int(crc, 16) == sealed("book", text):
            return Counters.parse(text)
    return None


class Tally:
    """The file, open for writing; what the disk refuses is left out.

    Args:
        path: the database.
    """

    def __init__(self, path: Path) -> None:
        self._path = beside(path)
        self._file: int | None = None

    def write(self, text: str) -> None:
        """Note the counters of a commit that is durable now."""
        try:
            if self._file is None:
                self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640)
            os.pwrite(self._file, f"{sealed('book', text):08x} {text}\n".encode(), 0)
        except OSError:
            return

    def close(self) -> None:
        """Close the file; it stays for the next start."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
