"""Readings as a site has them, made beforehand so that making them costs the run nothing.

A fragment holds 500 events: those of 800 points that changed, in the order of an RTAC's scan, one
in ten a binary, the others integers of up to five digits that wander by some counts. Times are
the outstation's and spread over its 100 ms. Seeded: every run has the same.
"""

from __future__ import annotations

import random

from gateway.measured import TimeQuality
from gateway.points.raw import RawPoint

FIRST = 100  # indices below belong to mapped points
POINTS = 500  # events in a fragment
SITE_POINTS = 800


def fragments(count: int, *, at_ms: int, seed: int = 1) -> list[tuple[RawPoint, ...]]:
    """``count`` fragments of 500 events each, 100 ms apart, the first at ``at_ms`` (Unix ms)."""
    chance = random.Random(seed)
    values = [chance.randint(-30_000, 30_000) for _ in range(SITE_POINTS)]
    synced, made = TimeQuality.SYNCED, []
    for number in range(count):
        t0 = at_ms + 100 * number
        changed = sorted(chance.sample(range(SITE_POINTS), POINTS))
        times = sorted(chance.randrange(100) for _ in changed)
        points = []
        for at, dt in zip(changed, times, strict=True):
            if at % 10:
                values[at] += round(chance.gauss(0, 20))
                point, value = f"AI{FIRST + at}", values[at]
            else:
                point, value = f"BI{FIRST + at}", chance.randrange(2)
            points.append(RawPoint(point, value, 1, t0 + dt, t0 + 105, synced, event=True))
        made.append(tuple(points))
    return made
