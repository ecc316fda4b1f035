"""Goals 3 and 10, the queue's own part: does a large backlog cost more than a small one?

The figures are ``queue_bench``'s: medians of interleaved rounds on two stores in one process.
"""

from __future__ import annotations

from tests.bench import queue_bench
from tests.bench.table import Line, at_most, beside, unjudged

SMALL = 10_000
WHOLE = 5_000_000  # readings: below, nothing is judged


def measure(*, readings: int) -> list[Line]:
    """Compare a backlog of ``readings`` with one of 10 000."""
    found = queue_bench.measure(large=readings, small=SMALL)
    millions = f"{readings / 1e6:g} M"
    lines = [
        at_most(
            3,
            f"commit p50 at {millions} waiting, of that at 10 k",
            [found["commit p50 at the large backlog / at the small"]],
            most=1.15,
            unit="x",
        ),
        at_most(
            3,
            f"commit CPU a reading at {millions} waiting, of that at 10 k",
            [found["commit CPU at the large backlog / at the small"]],
            most=1.15,
            unit="x",
        ),
        at_most(
            3,
            f"fetch, acknowledge, delete at {millions} waiting, of that at 10 k",
            [found["fetch, acknowledge and delete: large / small"]],
            most=1.25,
            unit="x",
        ),
        at_most(
            10,
            "disk per million readings, values of pure noise",
            [found["disk bytes per million readings"] / 1e6],
            most=15,
            unit="MB",
        ),
        beside(
            1,
            "append + fdatasync floor, of which a commit of one batch reaches",
            [found["append+fdatasync floor / commit of one batch"]],
            unit="x",
        ),
        beside(
            1,
            "readings/s appended, one batch a commit, nothing else running",
            [found["readings/s, one batch a commit"]],
            unit="readings/s",
        ),
    ]
    # A small backlog is no growth, and the log of fixed size beside it spoils the disk's figure.
    return lines if readings >= WHOLE else [unjudged(line) for line in lines]
