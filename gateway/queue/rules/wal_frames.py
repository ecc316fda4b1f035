"""The write-ahead log as bytes: whether commits lie behind the place where SQLite ends it. Pure.

SQLite ends the log, silently, at the first frame whose checksum fails. After a power cut that is
right: what is behind was never synced. After a flipped bit it forgets commits. The two differ:
a frame whose checksum continues that of a commit frame was written after that commit was synced
(``synchronous=FULL``), so a pair of such frames behind the end proves that commits are cut off.
A power cut tears the last transaction only, which has one commit frame and nothing behind it; of
a commit that failed or was torn, and was written over, nothing can continue the commit frame
either. What cannot be told apart is a bit that flips in the very last transaction; but the
numbers that it gave out are known if its counters can be read (``torn``).

This relies on ``psow=1``, SQLite's default here: else a commit frame may be written several times.

Source: SQLite, Database File Format (sqlite.org/fileformat2.html), 4.1 and 4.2; src/wal.c.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from struct import iter_unpack, pack, pack_into, unpack_from

HEADER, FRAME = 32, 24  # bytes before the first frame, and before the page of each
_SECTOR = 512  # bytes that a disk writes as a whole
_BIG, _LITTLE = 0x377F0683, 0x377F0682  # magic numbers: byte order of the checksums
_WORD = 0xFFFFFFFF
Sums = tuple[int, int]


def checksum(octets: bytes | bytearray | memoryview, before: Sums, *, order: str) -> Sums:
    """Continue a checksum.

    Args:
        octets: a multiple of eight.
        before: the checksum of what goes before; zeros for the log's header.
        order: ``>`` or ``<``, of the words in ``octets``.
    """
    one, two = before
    for first, second in iter_unpack(order + "II", octets):
        one = (one + first + two) & _WORD
        two = (two + second + one) & _WORD
    return one, two


@dataclass(frozen=True, slots=True)
class WalFrames:
    """What a log holds, frame by frame.

    Attributes:
        whole: whether the header's checksum holds.
        order: of the words that are summed, ``>`` or ``<``.
        salts: of the frames that count.
        fits: for each frame, whether its checksum continues that of the frame before.
        marks: for each frame, the size of the database in pages if it ends a commit, else 0;
            0 too where the mark may be older than the frame.
    """

    whole: bool
    order: str
    salts: bytes
    fits: tuple[bool, ...]
    marks: tuple[int, ...]

    @property
    def end(self) -> int:
        """How many frames SQLite reads."""
        return next((at for at, fit in enumerate(self.fits) if not fit), len(self.fits))

    @property
    def committed(self) -> int:
        """How many frames SQLite reads, up to the last commit among them."""
        return max((at + 1 for at in range(self.end) if self.marks[at]), default=0)

    @property
    def torn(self) -> range:
        """Frames of the first commit that SQLite leaves out: torn by a power cut, or damaged."""
        begin = self.committed
        for at in range(self.end, len(self.marks)):
            if self.marks[at]:
                return range(begin, at + 1)
        return range(0)

    @property
    def cut_off(self) -> bool:
        """Whether a commit that was synced lies where SQLite does not read."""
        begin = self.end if self.whole else 0
        return any(self.marks[at] and self.fits[at + 1] for at in range(begin, len(self.fits) - 1))


NONE = WalFrames(whole=True, order="<", salts=b"", fits=(), marks=())


def page_of(log: bytes, number: int, *, page: int) -> bytes:
    """The page in frame ``number``, counted from 0."""
    at = HEADER + number * (FRAME + page) + FRAME
    return log[at : at + page]


def page_number(log: bytes, number: int, *, page: int) -> int:
    """Which page of the database it is, from 1."""
    return int(unpack_from(">I", log, HEADER + number * (FRAME + page))[0])


def parse(log: bytes, *, page: int) -> WalFrames:
    """Look at every frame; some 0.1 s for a MiB.

    Args:
        log: the file's bytes.
        page: bytes of a page.
    """
    if len(log) < HEADER + FRAME + page:
        return NONE
    order = ">" if unpack_from(">I", log)[0] == _BIG else "<"
    sums = checksum(log[:24], (0, 0), order=order)
    if sums == unpack_from(">II", log, 24) and unpack_from(">I", log)[0] in (_BIG, _LITTLE):
        return _frames(log, log[16:24], order, page=page, whole=True)
    (number,) = unpack_from(">I", log, 12)
    before = log[:12] + pack(">I", (number - 1) & _WORD) + log[16:24]
    if checksum(before, (0, 0), order=order) == unpack_from(">II", log, 24):
        return NONE  # a crash came while the next log began: all of this one was checkpointed
    starts = range(HEADER, len(log) - FRAME - page + 1, FRAME + page)
    salts = Counter(log[at + 8 : at + 16] for at in starts[:3]).most_common(1)[0][0]
    both = (_frames(log, salts, each, page=page, whole=False) for each in "<>")
    return max(both, key=lambda each: sum(each.fits))


def _frames(log: bytes, salts: bytes, order: str, *, page: int, whole: bool) -> WalFrames:
    view = memoryview(log)
    fits, marks = [], []
    before: Sums = unpack_from(">II", log, 24)
    for at in range(HEADER, len(log) - FRAME - page + 1, FRAME + page):
        stored: Sums = unpack_from(">II", log, at + 16)
        ours = log[at + 8 : at + 16] == salts
        fit = ours and any(log[at : at + 4])
        if fit:
            sums = checksum(view[at : at + 8], before, order=order)
            fit = checksum(view[at + FRAME : at + FRAME + page], sums, order=order) == stored
        # Of a torn header the mark may be that of a frame which lay here before.
        torn = at // _SECTOR != (at + FRAME - 1) // _SECTOR
        marks.append(unpack_from(">I", log, at + 4)[0] if fit or (ours and not torn) else 0)
        fits.append(fit)
        before = stored
    return WalFrames(whole=whole, order=order, salts=salts, fits=tuple(fits), marks=tuple(marks))


def mended(log: bytes, found: WalFrames, *, page: int, last: int = -1) -> bytes:
    """The log up to its last commit, with checksums that SQLite accepts.

    Damaged pages stay as they are: what is in them has checksums of its own.

    Args:
        log: the file's bytes; some commit is cut off or torn.
        found: what it said.
        page: bytes of a page.
        last: the frame that ends the last commit, where more is known than the log shows.
    """
    known = [
        at
        for at, mark in enumerate(found.marks)
        if mark and (found.fits[at] or (at + 1 < len(found.fits) and found.fits[at + 1]))
    ]
    last = max(last, *known[-1:], -1)
    last = found.torn[-1] if last < 0 else last
    frames, pages = last + 1, found.marks[last]
    fresh = bytearray(log[: HEADER + frames * (FRAME + page)])
    pack_into(">III", fresh, 0, _BIG if found.order == ">" else _LITTLE, 3_007_000, page)
    fresh[16:24] = found.salts
    sums = checksum(fresh[:24], (0, 0), order=found.order)
    pack_into(">II", fresh, 24, *sums)
    for number in range(frames):
        at = HEADER + number * (FRAME + page)
        if not found.fits[number] and not 0 < unpack_from(">I", fresh, at)[0] <= pages:
            pack_into(">I", fresh, at, pages + 1)  # outside of the database: nobody reads it
        fresh[at + 8 : at + 16] = found.salts
        sums = checksum(fresh[at : at + 8], sums, order=found.order)
        sums = checksum(fresh[at + FRAME : at + FRAME + page], sums, order=found.order)
        pack_into(">II", fresh, at + 16, *sums)
    return bytes(fresh)
