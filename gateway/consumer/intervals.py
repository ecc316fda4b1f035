"""Sets of sequence numbers: what has come, and what is missing. Pure."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field


@dataclass(slots=True)
class Intervals:
    """A set of integers as sorted, disjoint, closed intervals: compact if there are few gaps."""

    firsts: list[int] = field(default_factory=list)
    lasts: list[int] = field(default_factory=list)

    def add(self, first: int, last: int) -> list[tuple[int, int]]:
        """Add ``first..last``; returns the parts of it that are new."""
        if self.lasts and first == self.lasts[-1] + 1:  # the next in order: nearly always
            self.lasts[-1] = last
            return [(first, last)]
        low = bisect_right(self.lasts, first - 2)  # first interval that touches or follows
        high = bisect_right(self.firsts, last + 1)  # past the last interval that touches
        fresh, begin = [], first
        for at in range(low, high):
            if begin < self.firsts[at]:
                fresh.append((begin, min(last, self.firsts[at] - 1)))
            begin = max(begin, self.lasts[at] + 1)
        if begin <= last:
            fresh.append((begin, last))
        merged_first = min([first, *self.firsts[low:high][:1]])
        merged_last = max([last, *self.lasts[low:high][-1:]])
        self.firsts[low:high] = [merged_first]
        self.lasts[low:high] = [merged_last]
        return fresh

    def holes(self) -> list[tuple[int, int]]:
        """What is missing between the first and the last."""
        pairs = zip(self.lasts, self.firsts[1:], strict=False)
        return [(last + 1, first - 1) for last, first in pairs]

    def missing(self, first: int, last: int) -> list[tuple[int, int]]:
        """The parts of ``first..last`` that are not in the set."""
        if first > last:
            return []
        return Intervals(list(self.firsts), list(self.lasts)).add(first, last)

    @property
    def count(self) -> int:
        """How many integers are in it."""
        return sum(self.lasts) - sum(self.firsts) + len(self.firsts)
