"""What a power cut leaves of a folder, worked out from the tape of what was done to it. Pure.

The model of the disk, strict where a file system may differ:
- What was synced is there. Of what was not, any part may be: each sector of each write by
  itself, in any order, so writes are dropped, torn and reordered. A file that grew may have
  grown without its bytes, which are then zeros.
- Names made, removed and changed are durable in order, and for certain only after their folder
  was synced.
- Sectors that were not being written keep what they hold.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

SECTOR = 512  # bytes
FOLDER = 0xFFFFFFFE
_HEAD = struct.Struct("<BIQI")


class Step(NamedTuple):
    """One entry of the tape."""

    kind: str  # N new file, O opened, W write, T truncate, S sync, U unlink, R rename, M mark
    file: int
    offset: int
    octets: bytes


def steps(tape: bytes) -> Iterator[Step]:
    """Every whole entry of a tape."""
    at = 0
    while at + _HEAD.size <= len(tape):
        kind, file, offset, size = _HEAD.unpack_from(tape, at)
        at += _HEAD.size
        if at + size > len(tape):
            return
        yield Step(chr(kind), file, offset, tape[at : at + size])
        at += size


@dataclass(slots=True)
class _File:
    """One inode: what is on the disk, and what was done since its last sync."""

    durable: bytearray = field(default_factory=bytearray)
    open: list[Step] = field(default_factory=list)

    def sync(self) -> None:
        for step in self.open:
            _apply(self.durable, step)
        self.open.clear()


class Disk:
    """A folder while the tape runs.

    Args:
        before: its files when the tape began, which are durable.
    """

    def __init__(self, before: dict[str, bytes] | None = None) -> None:
        self._names: dict[str, _File] = {}  # as the running process sees them
        self._durable: dict[str, _File] = {}
        self._changes: list[Step] = []  # of names, since the folder was synced
        self._made: list[_File | None] = []  # by each of them
        self._files: dict[int, _File] = {}
        for name, octets in (before or {}).items():
            self._names[name] = self._durable[name] = _File(bytearray(octets))

    def do(self, step: Step) -> None:
        """Take the next entry of the tape."""
        match step.kind:
            case "N" | "O":
                name = step.octets.decode()
                if name not in self._names:
                    self._names[name] = _File()
                    self._changed(Step("N", 0, 0, step.octets), self._names[name])
                self._files[step.file] = self._names[name]
            case "W" | "T":
                self._files[step.file].open.append(step)
            case "S" if step.file == FOLDER:
                for change, made in zip(self._changes, self._made, strict=True):
                    _rename(self._durable, change, made)
                self._changes, self._made = [], []
            case "S":
                self._files[step.file].sync()
            case "U" | "R":
                _rename(self._names, step, None)
                self._changed(step, None)
            case _:
                pass

    def _changed(self, step: Step, made: _File | None) -> None:
        self._changes.append(step)
        self._made.append(made)

    def killed(self) -> dict[str, bytes]:
        """Files after the process was killed: the kernel still writes everything."""
        return {name: _whole(file) for name, file in self._names.items()}

    def cut(self, rng: random.Random) -> dict[str, bytes]:
        """Files after one of the many power cuts that are possible now."""
        names = dict(self._durable)
        kept = rng.choice((0, len(self._changes), rng.randint(0, len(self._changes))))
        for change, made in zip(self._changes[:kept], self._made[:kept], strict=True):
            _rename(names, change, made)
        way = rng.choice(("none", "some", "torn", "prefix"))
        return {name: _left(file, way, rng) for name, file in names.items()}


def _rename(names: dict[str, _File], step: Step, made: _File | None) -> None:
    if step.kind == "N":
        assert made is not None
        names[step.octets.decode()] = made
    elif step.kind == "U":
        names.pop(step.octets.decode(), None)
    else:
        old, new = step.octets.decode().split("\0")
        file = names.pop(old, None)
        if file is not None:
            names[new] = file


def _whole(file: _File) -> bytes:
    octets = bytearray(file.durable)
    for step in file.open:
        _apply(octets, step)
    return bytes(octets)


def _apply(octets: bytearray, step: Step) -> None:
    if step.kind == "T":
        _resize(octets, step.offset)
    else:
        end = step.offset + len(step.octets)
        if end > len(octets):
            _resize(octets, end)
        octets[step.offset : end] = step.octets


def _resize(octets: bytearray, size: int) -> None:
    if size < len(octets):
        del octets[size:]
    else:
        octets.extend(bytes(size - len(octets)))


def _left(file: _File, way: str, rng: random.Random) -> bytes:
    octets = bytearray(file.durable)
    if way == "none":
        return bytes(octets)
    last = rng.randint(0, len(file.open)) if way == "prefix" else len(file.open)
    share = rng.random()
    for step in file.open[:last]:
        if way != "prefix" and rng.random() > share:
            continue
        if step.kind == "W" and (way == "torn" or step is file.open[last - 1]):
            _tear(octets, step, rng)
        else:
            _apply(octets, step)
    return bytes(octets)


def _tear(octets: bytearray, step: Step, rng: random.Random) -> None:
    """Only some of its sectors arrive; the file may have grown for all of them."""
    end = step.offset + len(step.octets)
    if end > len(octets) and rng.random() < 0.5:
        _resize(octets, end)
    at = step.offset
    while at < end:
        behind = min(end, (at // SECTOR + 1) * SECTOR)
        if rng.random() < 0.5:
            part = step.octets[at - step.offset : behind - step.offset]
            _apply(octets, Step("W", 0, at, part))
        at = behind
