"""The critical read: its requests, and the search for a point that the outstation lacks. Pure.

Many an outstation answers a request that names one point it does not have with IIN2.1 or IIN2.2 and
none of the others. So a request that is refused is halved from one read to the next, one search at
a time, until a single point is left: that one is left out, and all others are read together again.
It is tried by itself on each new connection, and every ``AGAIN`` reads: what is answered is back.

A read takes at most ``SEARCHING`` requests more while one is sought. Where no single point is to
blame (a request that is too long for that outstation) the halves stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.field.dnp3 import reads
from gateway.field.dnp3.iin import Iin, names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.field.dnp3.reads import RangeHeader

    Request = tuple[RangeHeader, ...]

MOST = 8  # points that may be left out; with more it is another map's outstation
SEARCHING = 12  # requests more than without a search
AGAIN = 60  # reads: 5 min
_SOUGHT = frozenset(names(Iin.OBJECT_UNKNOWN | Iin.PARAMETER_ERROR))


class CriticalReads:
    """Of one session. Mutable."""

    def __init__(self, points: Iterable[str]) -> None:
        self._requests = reads.requests(points)
        self._points = self._named
        self.missing: frozenset[str] = frozenset()
        self._most = len(self._requests) + SEARCHING
        self._run = self._requests  # of the read that is under way
        self._at = 0
        self._refused: list[tuple[Request, str]] = []
        self._begun = 0

    def __bool__(self) -> bool:
        return bool(self._points)

    @property
    def request(self) -> Request:
        """The one that goes next, or is under way."""
        return self._run[self._at]

    def renew(self) -> None:
        """A new connection: perhaps to an outstation that has more."""
        self._at = self._begun = 0

    def begin(self) -> None:
        """A read begins."""
        tried = sorted(self.missing) if self._begun % AGAIN == 0 else []
        self._run = (*self._requests, *(reads.requests([one])[0] for one in tried))
        self._at, self._refused = 0, []
        self._begun += 1

    def ended(self, refused: str, *, ok: bool) -> bool:
        """The request that was under way ended; returns whether the read goes on.

        Args:
            refused: what the outstation says against it, as ``iin.refusal`` does; "": nothing.
            ok: it was answered.
        """
        request, at = self.request, self._at
        if at >= len(self._requests):
            if ok and not refused:  # it is there again
                self.missing -= reads.points(request)
        elif refused:
            self._refused.append((request, refused))
        # One that is refused keeps the others from nothing: the echo may be in them.
        more = ok and at + 1 < len(self._run)
        self._at = at + 1 if more else 0
        return more

    def over(self) -> str:
        """The read is over: what of it was refused, for people; the next one learns from it."""
        told = "; ".join(f"{reads.text(request)}: {why}" for request, why in self._refused)
        sought = [one for one, why in self._refused if set(why.split(", ")) <= _SOUGHT]
        if sought:
            self._seek(sought[0])
        elif not self._refused and self._named != self._points - self.missing:  # one is back
            self._requests = reads.requests(self._points - self.missing)
        return told

    def _seek(self, request: Request) -> None:
        found = sorted(reads.points(request))
        if len(found) == 1:
            left = self._points - self.missing - set(found)
            if left and len(self.missing) < MOST:
                self.missing |= set(found)
                self._requests = reads.requests(left)
            return
        if len(self._requests) < self._most:
            half = len(found) // 2
            parts = (*reads.requests(found[:half]), *reads.requests(found[half:]))
            at = self._requests.index(request)
            self._requests = (*self._requests[:at], *parts, *self._requests[at + 1 :])

    @property
    def _named(self) -> frozenset[str]:
        return frozenset().union(*map(reads.points, self._requests))
