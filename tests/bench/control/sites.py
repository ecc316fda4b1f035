"""The batteries of the bench: each kind of points map with each answer time. Data."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.control.rules.zero_path import zero_path
from gateway.points.choose import pinned
from gateway.site.maps import load_maps
from tests.bench.control.times import Times
from tests.fixtures.shippedmaps import FOLDER

if TYPE_CHECKING:
    from gateway.points.pointmap import PointsMap

FOLDERS = (FOLDER, Path(__file__).parents[2] / "fixtures" / "sitemaps")
POINTMAPS = os.pathsep.join(map(str, FOLDERS))  # for $BESS_POINTMAPS
MAPS = {
    "direct": "generic-rtac",
    "SBO": "rtac-sbo",
    "split": "split-int16",
    "percent": "an2018-storage",
}
AT_ONCE, MOST = "at once", "0.9 r"
ANSWERS = {AT_ONCE: 0.0, "0.1 s": 0.1, "1 s": 1.0, MOST: None}
RESPONSE_S, SHARE = 3.0, 0.9
# r and W are the defaults. At 0.9 r a dispatch (7 a) goes before the timer is refreshed first, and
# a zero by select, its mode, a beat and two reads (10 a) before it is verified, or is repeated.
TIMES = Times(response_s=RESPONSE_S, deadman_s=15.0, verify_s=45.0, reversion_s=30.0)


@dataclass(frozen=True, slots=True)
class Site:
    """One battery, what its RTAC's map is, and how long that one takes for an answer."""

    kind: str = "direct"  # of MAPS
    answers: str = AT_ONCE  # of ANSWERS
    response_s: float = 2.0
    answer_s: float = 0.0

    @property
    def map(self) -> PointsMap:
        """Its points map."""
        return _maps()[MAPS[self.kind]]

    def times(self, site: Times) -> Times:
        """The site's parameters at this battery."""
        return site.of(self.map, response_s=self.response_s, answer_s=self.answer_s)


def plain(count: int) -> list[Site]:
    """So many of a direct map, which answer at once."""
    return [Site()] * count


def mixed(count: int) -> list[Site]:
    """So many, of each kind with each answer time in turn."""
    each = [_site(kind, answers) for answers in ANSWERS for kind in MAPS]
    return list(islice(cycle(each), count))


def _site(kind: str, answers: str) -> Site:
    answer_s = ANSWERS[answers]
    if answer_s is not None:
        return Site(kind, answers, RESPONSE_S, answer_s)
    reads = zero_path(_maps()[MAPS[kind]], RESPONSE_S).reads
    response_s = min(RESPONSE_S, int(2 * allowed_s(reads) / SHARE) / 2)  # in halves of a second
    return Site(kind, answers, response_s, SHARE * response_s)


def allowed_s(reads: int) -> float:
    """The longest a: (1 + q) a <= W/3 and (5 + q) a <= 15 s. Source: section 7, "Order of outputs".

    Args:
        reads: q, requests of one critical read.
    """
    return min(TIMES.deadman_s / 3 / (1 + reads), 15.0 / (5 + reads))


@cache
def _maps() -> dict[str, PointsMap]:
    installed = load_maps(FOLDERS)
    found = {name: pinned(installed, f"{name}@1.0.0") for name in MAPS.values()}
    return {name: one for name, one in found.items() if one is not None}
