"""Letting rows go, inside the caller's transaction, as ``retention`` says: done with statements."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from gateway.queue import schema
from gateway.queue.rules import retention
from gateway.queue.rules.rows import RowPlace, gaps_of, keys_of, thinned_gaps
from gateway.sqlite import files
from gateway.streams import Gap, Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import sqlalchemy as sa

_PAGE_OF_ROWS = 2000  # looked at in one go
Dropped = tuple[Stream, list[RowPlace], list[Gap]]


class Drops:
    """Deletes rows and says which; the caller counts them and writes the gap records."""

    def __init__(self, core: sa.engine.Connection) -> None:
        self._core = core
        self._thinned_key = 0  # state before it was thinned in this round

    def older(self, before_s: int, *, slack_s: int) -> Iterator[Dropped]:
        """Drop what was stored before a second of the queue's own clock.

        A stream is looked at again only once its oldest row is ``slack_s`` seconds past it, so
        that a queue that ages row by row makes one gap record of many rows.
        """
        for stream in (Stream.TELEMETRY, Stream.STATE, Stream.EVENT):
            oldest = self._places(*keys_of(stream), most=1)
            if not oldest or oldest[0].aged_s >= before_s - slack_s:
                continue
            places = self._oldest(stream, lambda place: place.aged_s < before_s)
            if places:
                yield stream, places, gaps_of(stream, places, "age")

    def beyond(self, stream: Stream, size: int) -> Iterator[Dropped]:
        """Drop at least ``size`` bytes of a stream that is never dropped otherwise."""
        places = self._oldest(stream, _until(size))
        if places:
            yield stream, places, gaps_of(stream, places, "quota")

    def shrink(self, size: int) -> Iterator[Dropped]:
        """Drop at least ``size`` bytes of bodies, in the order of the streams' fate."""
        for stream in (Stream.TELEMETRY, Stream.STATE, Stream.EVENT):
            if stream is Stream.STATE:
                places = self._thin(size)
                if places:
                    size -= sum(place.size for place in places)
                    yield stream, sorted(places), thinned_gaps(stream, sorted(places))
            if size <= 0:
                return
            places = self._oldest(stream, _until(size))
            size -= sum(place.size for place in places)
            if places:
                yield stream, places, gaps_of(stream, places, "quota")

    def _places(self, lo: int, hi: int, *, most: int = _PAGE_OF_ROWS) -> list[RowPlace]:
        bounds = lo, hi, most
        found = self._core.exec_driver_sql(schema.PLACES.sql, bounds).fetchall()
        places = [RowPlace(*columns) for columns in found]
        for key, _, *numbers, _, aged_s in places:
            if not all(isinstance(number, int) for number in (*numbers, aged_s)):
                text = f"key {key}: a column has a type that was never written"
                raise files.corruption(text)
        return places

    def places(self, stream: Stream) -> Iterator[RowPlace]:
        """Every row of a stream."""
        lo, hi = keys_of(stream)
        while page := self._places(lo, hi):
            yield from page
            lo = page[-1].key + 1

    def _oldest(self, stream: Stream, wanted: Callable[[RowPlace], bool]) -> list[RowPlace]:
        lo, hi = keys_of(stream)
        gone: list[RowPlace] = []
        while True:
            page = self._places(lo, hi)
            going = list(takewhile(wanted, page))
            gone += going
            if len(going) < len(page) or not page:
                break
            lo = page[-1].key + 1
        if gone:
            first, _ = keys_of(stream)
            self._core.exec_driver_sql(schema.DELETE.sql, (first, gone[-1].key))
        return gone

    def _thin(self, size: int) -> list[RowPlace]:
        """Thin state round after round; what a single round leaves over is thinned in the next."""
        lo, hi = keys_of(Stream.STATE)
        gone: list[RowPlace] = []
        idle_pages = 0
        while size > 0:
            start = max(lo, self._thinned_key)
            page = self._places(start, hi)
            going = []
            for place in retention.thin(page):
                if size <= 0:
                    break
                size -= place.size
                going.append(place)
            if going:
                keys = [(place.key, place.key) for place in going]
                self._core.exec_driver_sql(schema.DELETE.sql, keys)
                gone += going
            idle_pages = 0 if going else idle_pages + 1
            ended = len(page) < _PAGE_OF_ROWS
            if size <= 0 and going:
                self._thinned_key = going[-1].key + 1
            else:
                self._thinned_key = lo if ended or not page else page[-1].key + 1
            if idle_pages and start == lo and ended:
                break  # one row of each asset is left: there is nothing to thin
        return gone


def _until(size: int) -> Callable[[RowPlace], bool]:
    """Whether more has to go: until bodies of ``size`` bytes are gone."""
    left = size

    def wanted(place: RowPlace) -> bool:
        nonlocal left
        more = left > 0
        left -= place.size
        return more

    return wanted
