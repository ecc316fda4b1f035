"""What is known of each epoch of one gateway: which numbers came, which were given up, the end.

Epochs are ordered by the start counter that birth and the event ``epoch`` name, never by their
names: a clock may have said 1970. A store that was put back counts its starts again from where it
was; birth tells, and what was known before then goes first. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.consumer.intervals import Intervals

MOST_EPOCHS = 64  # of a gateway; of older ones a record that comes again counts as new


class WentBack(NamedTuple):
    """Numbers that came and that the gateway does not know of: its store is an older one.

    ``last`` is 0 where it does not know of the epoch.
    """

    gateway: str
    epoch: str
    stream: str
    last: int  # that the gateway knows of
    highest: int  # that came


@dataclass(slots=True)
class Epoch:
    """One epoch.

    Attributes:
        order: life of the store, start, and when it was first heard of: the smallest is the oldest.
        last: the last number of each stream, once the gateway said so.
        whole: all numbers up to ``last`` came: ``have`` is then empty but for what came since.
        ended_by: the epoch that said so.
        is_forgotten: another epoch says that it followed the one before this, too, and nobody
            ended this one since: the gateway does not know of it any more.
    """

    order: tuple[int, int, int]
    have: dict[str, Intervals] = field(default_factory=dict)
    given_up: dict[str, Intervals] = field(default_factory=dict)
    last: dict[str, int] | None = None
    whole: bool = False
    ended_by: str = ""
    is_forgotten: bool = False

    def streams(self) -> set[str]:
        """Every stream that something is known of."""
        ended = {stream for stream, last in (self.last or {}).items() if last}
        return {*self.have, *self.given_up, *ended}

    def having(self, stream: str) -> Intervals:
        """The numbers that came."""
        found = self.have.get(stream)
        if found is None:
            last = (self.last or {}).get(stream, 0)
            found = Intervals([1], [last]) if self.whole and last else Intervals()
        return found

    def add(self, stream: str, first: int, last: int) -> list[tuple[int, int]]:
        """These came; returns what is new of it."""
        have = self.having(stream)
        fresh = have.add(first, last)
        if fresh:
            self.have[stream] = have
        return fresh

    def end(self, last: dict[str, int], *, by: str) -> None:
        """The gateway says how far it came; the larger where it says so twice."""
        self.ended_by, self.is_forgotten = by, False
        known = self.last or {}
        self.last = {stream: max(n, known.get(stream, 0)) for stream, n in last.items()}

    def known_to_the_gateway(self) -> dict[str, int]:
        """Up to which number the gateway knows of it, by stream; nothing while it goes on."""
        return dict.fromkeys(self.streams(), 0) if self.is_forgotten else dict(self.last or {})

    def highest(self, stream: str) -> int:
        """The highest number that came, 0 if none did."""
        have = self.having(stream)
        return have.lasts[-1] if have.lasts else 0

    def gaps(self, stream: str, *, from_start: bool) -> list[tuple[int, int]]:
        """What is missing and was not announced."""
        known = Intervals()
        for part in (self.having(stream), self.given_up.get(stream)):
            if part is not None:
                for first, last in zip(part.firsts, part.lasts, strict=True):
                    known.add(first, last)
        if not known.firsts and not from_start:
            return []
        first = 1 if from_start else known.firsts[0]
        behind = [known.lasts[-1]] if known.lasts else []
        return known.missing(first, max([(self.last or {}).get(stream, 0), *behind]))

    def lost(self, *, from_start: bool) -> int:
        """How many numbers are missing and were not announced."""
        return sum(
            last - first + 1
            for stream in self.streams()
            for first, last in self.gaps(stream, from_start=from_start)
        )

    def announced(self) -> int:
        """How many numbers were given up and did not come all the same."""
        return sum(
            end - begin + 1
            for stream, given_up in self.given_up.items()
            for first, last in zip(given_up.firsts, given_up.lasts, strict=True)
            for begin, end in self.having(stream).missing(first, last)
        )

    def collapse(self) -> None:
        """Forget the numbers of an epoch that ended and of which every one came."""
        if self.last is None or self.whole or self.announced():
            return
        for stream in self.streams():
            have, last = self.having(stream), self.last.get(stream, 0)
            if not last or (have.firsts, have.lasts) != ([1], [last]):
                return
        self.whole, self.have, self.given_up = True, {}, {}


@dataclass(slots=True)
class GatewayEpochs:
    """The epochs of one gateway; of those that were let go, the sums."""

    known: dict[str, Epoch] = field(default_factory=dict)
    present: str = ""  # as birth says
    life: int = 0  # how often birth showed that the store went back
    past_lost: int = 0
    past_announced: int = 0
    _heard: int = 0
    _gone: tuple[int, int] = (-1, 0)  # life and start of the newest that was let go

    def of(self, name: str) -> Epoch:
        """The epoch of this name."""
        found = self.known.get(name)
        if found is None:
            self._heard += 1
            start = max((one.order[1] for one in self.known.values()), default=0)
            found = self.known[name] = Epoch((self.life, start, self._heard))
        return found

    def begin(self, name: str, start: int) -> Epoch:
        """An epoch was begun by this start."""
        found = self.of(name)
        found.order = (found.order[0], start, found.order[2])
        return found

    def end(self, name: str, start: int, last: dict[str, int], *, by: str) -> None:
        """An epoch was ended by another; of one that was let go nothing is asked again."""
        if name not in self.known and (self.life, start) <= self._gone:
            return
        over = self.begin(name, start)
        if over.ended_by not in ("", by) and over.ended_by in self.known:
            self.known[over.ended_by].is_forgotten = True
        over.end(last, by=by)
        over.collapse()

    def be_at(self, name: str, start: int) -> None:
        """Birth: this is the present epoch."""
        if name == self.present:
            return
        others = [
            one.order for of, one in self.known.items() if of != name and one.order[0] == self.life
        ]
        self.life += bool(others) and start <= max(order[1] for order in others)
        found = self.begin(name, start)
        found.order = (self.life, *found.order[1:])
        self.present = name

    def let_go(self, name: str, *, from_start: bool) -> None:
        """Keep the newest; ``name`` is in use, and the present one."""
        for other in sorted(self.known, key=lambda of: self.known[of].order):
            if len(self.known) <= MOST_EPOCHS:
                return
            if other not in (name, self.present):
                gone = self.known.pop(other)
                self._gone = max(self._gone, gone.order[:2])
                self.past_lost += gone.lost(from_start=from_start)
                self.past_announced += gone.announced()
