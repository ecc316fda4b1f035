"""Reads safety.toml into ``SafetySettings``, or names every fault in it. Pure."""

from __future__ import annotations

import datetime as dt
import posixpath
from typing import TYPE_CHECKING, TypeVar

from gateway.config.safety import (
    ALGORITHMS,
    APPROVALS,
    ROLES,
    SCHEMA,
    LimitSettings,
    RiskAcceptance,
    SafetySettings,
    SharedLimitSettings,
    TrustedKeySettings,
    WatchdogSettings,
)
from gateway.config.safety_rules import check_keys, check_times
from gateway.errors import ConfigError, Fault, Where

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.config.safety import ZeroPath
    from gateway.config.toml import Document, Section

_KID = r"[A-Za-z0-9._-]{1,64}"
_DAY_MS = 86_400_000
_Table = TypeVar("_Table")


def safety_settings(
    document: Document,
    *,
    folder: str,
    response_timeouts_s: Mapping[str, float],
    paths: Mapping[str, ZeroPath] | None = None,
) -> SafetySettings:
    """Read and check the whole document.

    Args:
        document: the parsed safety.toml.
        folder: the folder of the file; relative paths in it start there.
        response_timeouts_s: of every asset's session, s, by asset id.
        paths: how zero gets to each asset whose map allows control, by asset id.

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
        zeroed = {} if approval == "monitor" else paths or {}
        check_times(document, watchdog, limits, response_timeouts_s, zeroed)
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
        command_interval_s=section.number(
            "command_interval_s", lo=1, hi=60, unit="seconds", default=2
        ),
        commands_per_5_min=section.integer(
            "commands_per_5_min", lo=1, hi=150, unit="commands", default=30
        ),
        modes=_modes(section),
        **_reserve(section),
        site=_shared(section),
    )


def _modes(section: Section) -> tuple[str, ...]:
    """In one order: that of the file says nothing, and must not change the digest."""
    found = section.texts("modes", default=())
    if "" in found or len(set(found)) != len(found):
        section.fault("modes", "an array of names, each once")
    return tuple(sorted(found))


def _reserve(section: Section) -> dict[str, float | None]:
    low, high = "reserve_min_pct", "reserve_max_pct"
    for key, other in ((low, high), (high, low)):
        if key in section.values and other not in section.values:
            section.fault(other, f"there where {key} is: 0..100 %")
    least = section.optional(low, lambda key: section.number(key, lo=0, hi=100, unit="%"))
    most = section.optional(
        high, lambda key: section.number(key, lo=least or 0.0, hi=100, unit="%")
    )
    return {low: least, high: most}


def _shared(limits: Section) -> SharedLimitSettings | None:
    section = limits.below("site")
    if section is None:
        return None
    keys = SharedLimitSettings.__slots__
    section.reject_unknown(keys)
    if not section.values:
        section.fault("", "max_charge_w, max_discharge_w, or both")

    def watts(key: str) -> float:
        return section.number(key, lo=0, hi=1e10, unit="W")

    charge_w, discharge_w = (section.optional(key, watts) for key in keys)
    return SharedLimitSettings(charge_w, discharge_w)


def _key(section: Section, folder: str) -> TrustedKeySettings:
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
    return TrustedKeySettings(
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
