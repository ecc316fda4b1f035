"""safety.toml as frozen settings. Pure: key files are named here and read by a shell.

What a reader would get wrong: approval, lease, idle verification and the RTAC's dead-man have no
default, because a site must have thought of them. The digest covers every setting and the bytes of
every key, so that an exchanged key file cannot pass as acknowledged.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import posixpath
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TypeVar

from gateway.errors import ConfigError, Fault, Where
from gateway.safetyrules import check_keys, check_times

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.tomlfile import Document, Section

SCHEMA = "bess.safety/1"
APPROVALS = ("monitor", "envelope", "dual", "local")
ROLES = ("dispatcher", "approver", "emergency", "heartbeat", "config")
ALGORITHMS = ("EdDSA", "ES256")
TICK_S = 0.25
RTAC_SCAN_S = 1.0
_KID = r"[A-Za-z0-9._-]{1,64}"
_DAY_MS = 86_400_000
_Table = TypeVar("_Table")


@dataclass(frozen=True, slots=True)
class WatchdogSettings:
    """``[watchdog]``, all in seconds. Source: the parameter table of the function description."""

    lease_s: float
    challenge_s: float
    heartbeat_s: float
    rtac_deadman_s: float
    idle_verify_s: float
    reversion_s: float
    reversion_refresh_s: float
    max_dispatch_s: float
    preempted: str  # yield | reassert_idle


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """``[limits]`` of the site."""

    max_charge_w: float
    max_discharge_w: float
    min_soc_pct: float
    max_soc_pct: float
    ramp_w_per_s: float

    @property
    def ramp_to_zero_s(self) -> float:
        """From the larger limit to zero, s."""
        return max(self.max_charge_w, self.max_discharge_w) / self.ramp_w_per_s


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """``[[trusted_key]]``: who may sign what, and when."""

    kid: str
    roles: tuple[str, ...]
    public_key_file: str
    algorithm: str  # EdDSA | ES256; "" to take it from the key
    not_before_ms: int | None  # Unix ms, UTC: first instant at which it counts
    not_after_ms: int  # first instant at which it does not count any more
    revoked: bool


@dataclass(frozen=True, slots=True)
class RiskAcceptance:
    """``[risk_acceptance]``: control although no layer below the gateway can end a setpoint."""

    name: str
    date: str  # ISO 8601
    reason: str


@dataclass(frozen=True, slots=True)
class SafetySettings:
    """The whole of safety.toml."""

    file: str
    approval: str
    approval_threshold_w: float
    watchdog: WatchdogSettings
    limits: LimitSettings
    keys: tuple[TrustedKey, ...]
    risk: RiskAcceptance | None

    def digest(self, public_keys: Mapping[str, bytes]) -> str:
        """SHA-256 over the canonical JSON of all of it, as "sha256:<hex>".

        Args:
            public_keys: content of every key file, by kid.
        """
        body = asdict(self)
        del body["file"]
        for key, entry in zip(self.keys, body["keys"], strict=True):
            entry["public_key_file"] = hashlib.sha256(public_keys[key.kid]).hexdigest()
        body["keys"] = sorted(body["keys"], key=lambda entry: entry["kid"])
        text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long a setpoint of ours can outlive its cause, s, the ramp to zero not counted."""

    cloud_dead_s: float  # A: the cloud is dead, the RTAC obeys
    gateway_dead_s: float  # B: gateway, host, power or link is dead
    refused_s: float  # C: the RTAC answers but refuses zero
    reversion_s: float  # D: no RTAC logic and the link is dead


def bounds(watchdog: WatchdogSettings, *, response_s: float) -> Bounds:
    """Bounds A to D for an asset whose session's response timeout is ``response_s`` (s)."""
    told_s = watchdog.lease_s + TICK_S
    return Bounds(
        cloud_dead_s=told_s + 2 * response_s,
        gateway_dead_s=watchdog.rtac_deadman_s + RTAC_SCAN_S,
        refused_s=told_s + watchdog.idle_verify_s + watchdog.rtac_deadman_s,
        reversion_s=watchdog.reversion_s,
    )


def safety_settings(
    document: Document, *, folder: str, response_timeouts_s: Mapping[str, float]
) -> SafetySettings:
    """Read and check the whole document.

    Args:
        document: the parsed safety.toml.
        folder: the folder of the file; relative paths in it start there.
        response_timeouts_s: of every asset's session, s, by asset id.

    Raises:
        ConfigError: with every fault of the file.
    """
    top = document.section()
    if top is None:  # pragma: no cover - a TOML document is always a table
        raise ConfigError([Fault(Where(document.file, "", "", 1), "is not a table")])
    top.reject_unknown(
        (
            "schema",
            "approval",
            "approval_threshold_w",
            "watchdog",
            "limits",
            "trusted_key",
            "risk_acceptance",
        )
    )
    top.one_of("schema", (SCHEMA,))
    approval = top.one_of("approval", APPROVALS)
    threshold_w = top.number("approval_threshold_w", lo=0, hi=1e10, unit="W", default=0)
    limits = _read(document, "limits", _limits)
    watchdog = _read(document, "watchdog", _watchdog)
    keys = tuple(_key(section, folder) for section in document.sections("trusted_key"))
    risk = _read(document, "risk_acceptance", _risk) if "risk_acceptance" in top.values else None
    if watchdog is not None:
        check_times(document, watchdog, limits, response_timeouts_s)
    check_keys(document, keys, approval)
    if document.faults or watchdog is None or limits is None:
        raise ConfigError(sorted(document.faults, key=lambda fault: fault.where.line))
    return SafetySettings(document.file, approval, threshold_w, watchdog, limits, keys, risk)


def _read(document: Document, path: str, read: Callable[[Section], _Table]) -> _Table | None:
    if path not in document.tree:
        document.fault("", path, f"[{path}] is missing")
        return None
    section = document.section(path)
    return None if section is None else read(section)


def _watchdog(section: Section) -> WatchdogSettings:
    section.reject_unknown(WatchdogSettings.__slots__)

    def seconds(key: str, lo: float, hi: float, default: float | None = None) -> float:
        return section.number(key, lo=lo, hi=hi, unit="seconds", default=default)

    return WatchdogSettings(
        lease_s=seconds("lease_s", 10, 300),
        challenge_s=seconds("challenge_s", 1, 100, 5),
        heartbeat_s=seconds("heartbeat_s", 0.5, 20, 2),
        rtac_deadman_s=seconds("rtac_deadman_s", 5, 60),
        idle_verify_s=seconds("idle_verify_s", 2, 600),
        reversion_s=seconds("reversion_s", 15, 3600, 60),
        reversion_refresh_s=seconds("reversion_refresh_s", 5, 1200, 20),
        max_dispatch_s=seconds("max_dispatch_s", 1, 86_400, 14_400),
        preempted=section.one_of("preempted", ("yield", "reassert_idle"), default="yield"),
    )


def _limits(section: Section) -> LimitSettings:
    section.reject_unknown(LimitSettings.__slots__)
    min_soc_pct = section.number("min_soc_pct", lo=0, hi=100, unit="%")
    max_soc_pct = section.number("max_soc_pct", lo=0, hi=100, unit="%")
    if not min_soc_pct + 2 <= max_soc_pct and {"min_soc_pct", "max_soc_pct"} <= set(section.values):
        # Less than twice the hysteresis of 1 % would leave no state of charge to work in.
        section.fault("max_soc_pct", f"at least min_soc_pct + 2 = {min_soc_pct + 2:g} %")
    return LimitSettings(
        max_charge_w=section.number("max_charge_w", lo=0, hi=1e10, unit="W"),
        max_discharge_w=section.number("max_discharge_w", lo=0, hi=1e10, unit="W"),
        min_soc_pct=min_soc_pct,
        max_soc_pct=max_soc_pct,
        ramp_w_per_s=section.number("ramp_w_per_s", lo=1, hi=1e10, unit="W/s"),
    )


def _key(section: Section, folder: str) -> TrustedKey:
    section.reject_unknown(
        ("kid", "role", "public_key_file", "alg", "not_before", "not_after", "revoked")
    )
    roles = section.texts("role")
    if "role" in section.values and (not roles or not set(roles) <= set(ROLES)):
        section.fault("role", "one or more of " + ", ".join(ROLES))
    before_ms = _day_ms(section, "not_before") if "not_before" in section.values else None
    after_ms = _day_ms(section, "not_after") + _DAY_MS  # the day itself still counts
    if before_ms is not None and before_ms >= after_ms:
        section.fault("not_before", "not after not_after")
    file = section.text("public_key_file")
    return TrustedKey(
        kid=section.text("kid", pattern=_KID, allowed=f"a key id, {_KID}"),
        roles=tuple(sorted(set(roles))),
        public_key_file=posixpath.normpath(posixpath.join(folder, file)) if file else "",
        algorithm=section.one_of("alg", ALGORITHMS) if "alg" in section.values else "",
        not_before_ms=before_ms,
        not_after_ms=after_ms,
        revoked=section.flag("revoked", default=False),
    )


def _day_ms(section: Section, key: str) -> int:
    """Start of a TOML local date, Unix ms in UTC."""
    found = section.values.get(key)
    if isinstance(found, dt.date) and not isinstance(found, dt.datetime):
        return (found - dt.date(1970, 1, 1)).days * _DAY_MS
    section.fault(key, "a date such as 2027-12-31, without quotes")
    return 0


def _risk(section: Section) -> RiskAcceptance:
    section.reject_unknown(RiskAcceptance.__slots__)
    _day_ms(section, "date")
    date = section.values.get("date")
    return RiskAcceptance(section.text("name"), str(date), section.text("reason"))
