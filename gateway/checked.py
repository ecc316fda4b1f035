"""What a run begins with: the checked site, who this run is, what the audit remembers. Words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.clock import Now
    from gateway.config.safety import SafetySettings
    from gateway.config.site import SiteSettings
    from gateway.config.truststore import TrustStore
    from gateway.errors import Fault
    from gateway.points.pointmap import PointsMap


@dataclass(frozen=True, slots=True)
class Safety:
    """A complete safety.toml with its keys."""

    settings: SafetySettings
    trust: TrustStore
    digest: str  # "sha256:<hex>" over settings and keys


@dataclass(frozen=True, slots=True)
class Site:
    """What ``site.load.load_site`` read and accepted."""

    settings: SiteSettings
    maps: dict[str, PointsMap]  # by asset id
    unmatched: frozenset[str]  # assets whose firmware no map matches: they run on ``raw``
    certificate_not_after_ms: int  # Unix ms: end of life of our uplink certificate
    safety: Safety | None = None  # None: no control
    safety_faults: tuple[Fault, ...] = ()  # why it is None although the file is there


@dataclass(frozen=True, slots=True)
class Past:
    """What the audit log remembers at the start."""

    facts: Mapping[str, str]
    trouble: str = ""  # why an older log was set aside: it may have held LATCHED or ESTOP
    latest_ms: int | None = None  # Unix ms of its newest row
    recalled: Mapping[str, str] = field(default_factory=dict)  # what lasts and it does not know


@dataclass(frozen=True, slots=True)
class Identity:
    """What this run of the gateway is, for the birth message."""

    version: str
    boot_id: str  # of the machine
    session: str  # boot nonce of this process: 16 random bytes, base64url
    epoch: str  # in which the queue counts at the start
    started: Now
    secret: bytes = field(default=b"", repr=False)  # of this process; see ``watchdog.lease``
    start: int = 0  # of the daemon, as the queue counts them
    epoch_before: str = ""  # ULID; "": there was none
