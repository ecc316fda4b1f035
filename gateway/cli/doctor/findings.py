"""What a check finds, and what it looks at."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Level(Enum):
    """How bad it is, and the word that is printed."""

    OK = "ok"
    SKIPPED = "-"
    WARNING = "warn"
    FAULT = "FAULT"


class Diagnosis(NamedTuple):
    """The outcome of one check."""

    level: Level
    text: str
    do: str = ""  # what mends it; "" where there is nothing to mend


class Ran(NamedTuple):
    """One command that was carried out."""

    exit: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class SiteFacts:
    """Everything that was gathered; None where it could not be."""

    release: Mapping[str, str]  # of os-release(5)
    unit: Mapping[str, str] | None  # of systemctl(1) show
    view_unit: Mapping[str, str] | None
    synchronized: bool | None  # the clock, by timedatectl(1)
    check: Ran
    audit: Ran
    silent: str  # why the daemon does not answer; "" if it does
    denied: bool  # it is there, and not for this user
    status: Mapping[str, Any] = field(default_factory=dict)
    queue: Mapping[str, Any] = field(default_factory=dict)
    health: Mapping[str, Any] = field(default_factory=dict)
    may_act: bool = True
    free_pct: float | None = None  # of the disk with the state
    names: Mapping[str, str] = field(default_factory=dict)  # host -> why it has no address; ""
    routes: Mapping[str, str] = field(default_factory=dict)  # "host:port" -> why there is no route
    ports: Mapping[str, str] = field(default_factory=dict)  # RTACs that were tried -> why not; ""
    tls: str | None = None  # why the broker's TLS fails; "" if it does not, None: not tried

    @property
    def reasons(self) -> list[str]:
        """What ``status`` says."""
        return [str(one) for one in self.status.get("reasons", ())]

    @property
    def assets(self) -> Mapping[str, Any]:
        """By id, as ``status`` has them."""
        found: Mapping[str, Any] = self.status.get("assets", {})
        return found

    def worries(self, *starts: str) -> list[str]:
        """Reasons of assets that begin with one of ``starts`` behind the asset's id."""
        return [one for one in self.reasons if one.partition(": ")[2].startswith(starts)]

    def down(self, *words: str) -> dict[str, str]:
        """Assets whose session is down for a cause with one of ``words`` in it."""
        found = {}
        for name, one in self.assets.items():
            cause = str(one["session"]["cause"])
            if not one["session"]["up"] and any(word in cause for word in words):
                found[name] = cause
        return found


def ok(text: str) -> Diagnosis:
    """Nothing to mend."""
    return Diagnosis(Level.OK, text)


def skipped(text: str) -> Diagnosis:
    """Nothing to look at."""
    return Diagnosis(Level.SKIPPED, text)


def warning(text: str, do: str) -> Diagnosis:
    """Works, and should be mended."""
    return Diagnosis(Level.WARNING, text, do)


def fault(text: str, do: str) -> Diagnosis:
    """Does not work."""
    return Diagnosis(Level.FAULT, text, do)
