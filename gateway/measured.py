"""A value, and how far to trust it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Quality(IntEnum):
    """Our verdict on a value; larger is worse, so ``max`` is the worst of the inputs."""

    GOOD = 0
    DERIVED = 1  # calculated from other points, or from the site's configuration
    QUESTIONABLE = 2  # forced, chattering, contradicted, or read through a doubtful map
    STALE = 3  # not covered by a successful poll lately
    BAD = 4  # the outstation says so: kept for people, never used
    MISSING = 5  # never reported

    @property
    def label(self) -> str:
        """Name on the wire."""
        return self.name.lower()


USABLE = Quality.STALE  # a normalized field falls back to its next rule at BAD and MISSING


class TimeQuality(StrEnum):
    """Where a reading's time comes from."""

    SYNCED = "synced"  # the outstation's clock, synchronised
    UNSYNCED = "unsynced"  # the outstation's clock, by its own word not synchronised
    SKEWED = "skewed"  # live data more than 5 s away from our clock
    GATEWAY = "gateway"  # our time of receipt


@dataclass(frozen=True, slots=True)
class Measured:
    """One engineering value in canonical units (W, Wh, %, V, A, Hz, s, degC, bool or enum name)."""

    value: float | bool | str
    quality: Quality
    at_ms: int  # Unix ms, UTC: the outstation's time if it gave one, else time of receipt
    source: str  # the point ("AI47"), or "configured", or "derived:AI0,AI4"
    flagless: bool = False  # the variation carries no flags: good is what nobody denied
