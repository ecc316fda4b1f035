"""Which numbers are gone after damage. Pure.

What is not found and may have waited is announced, from the first number on where the counters
do not prove that all is there: of numbers that were shipped long ago a consumer has the readings
and keeps them, so announcing those costs nothing, and missing one would be a silent loss. Where a
gap record itself is damaged, nobody knows what it said: then everything is announced again.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from gateway.queue.rules.rows import MOST_RANGES
from gateway.streams import Gap, Stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gateway.queue.rules.counters import Counters
    from gateway.streams import EpochEnded

OLDER = (
    "queue:epochs"  # a note: epoch -> stream -> next number, of epochs of which something may wait
)
MOST_EPOCHS = 64
Range = tuple[int, int]
Ranges = dict[tuple[Stream, str], list[Range]]  # numbers that wait, by stream and epoch


def note(numbers: Ranges, stream: Stream, epoch: str, *, first: int, last: int) -> None:
    """Add numbers that wait; neighbours join."""
    ranges = numbers.setdefault((stream, epoch), [])
    if ranges and first == ranges[-1][1] + 1:
        ranges[-1] = ranges[-1][0], last
    else:
        ranges.append((first, last))


def holes(ranges: Sequence[Range], *, first: int, last: int) -> list[Range]:
    """What ``ranges`` leave out of ``first..last``: few, so the last one may be too wide."""
    found: list[Range] = []
    for begin, end in [*sorted(ranges), (last + 1, last)]:
        if begin > first:
            found.append((first, begin - 1))
        first = max(first, end + 1)
    if len(found) > MOST_RANGES:
        found = [*found[: MOST_RANGES - 1], (found[MOST_RANGES - 1][0], found[-1][1])]
    return found


def gaps(
    numbers: Ranges,
    *,
    counters: Counters | None,
    older: Mapping[str, Mapping[str, int]],
    whole: set[Stream],
) -> list[Gap]:
    """Everything that is not there.

    Args:
        numbers: what is there.
        counters: of the newest epoch, if they are known.
        older: of epochs before, as in the note ``OLDER``.
        whole: streams of which the counters prove that every row is there.
    """
    after = {epoch: dict(streams) for epoch, streams in older.items()}
    if counters is not None:
        after[counters.epoch] = {
            str(stream): counts.next for stream, counts in counters.streams.items()
        }
    taken = dict(numbers)
    for epoch, streams in after.items():
        for name, behind in streams.items():
            if behind > 1:
                taken.setdefault((Stream(name), epoch), [])
    found = []
    for (stream, epoch), ranges in taken.items():
        behind = after.get(epoch, {}).get(str(stream), 0)
        if Stream.EVENT not in whole or stream not in whole:
            first, last = 1, behind - 1
        elif ranges:
            first, last = min(ranges)[0], 0
        else:
            continue
        last = max([last, *(end for _, end in ranges)])
        found += [
            Gap(stream, "", begin, end, "corrupt", epoch)
            for begin, end in holes(ranges, first=first, last=last)
        ]
    return found


def older(text: str | None) -> dict[str, dict[str, int]]:
    """The note ``OLDER`` as kept."""
    kept: dict[str, dict[str, int]] = json.loads(text) if text else {}
    return kept


def with_ended(kept: str | None, ended: Iterable[EpochEnded]) -> str:
    """The note ``OLDER`` after these epochs ended, too: oldest first, the newest 64."""
    epochs = older(kept)
    for one in ended:
        epochs[one.epoch] = {stream: last + 1 for stream, last in one.last.items()}
    newest = list(epochs)[-MOST_EPOCHS:]
    return json.dumps({epoch: epochs[epoch] for epoch in newest}, separators=(",", ":"))
