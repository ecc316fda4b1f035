"""The figures that zero is verified by where there is no good safety.toml: those that were kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.checked import Safety
from gateway.config.safety import LimitSettings, SafetySettings, WatchdogSettings
from gateway.config.truststore import TrustStore
from gateway.control.watchdog.words import Terms

if TYPE_CHECKING:
    from gateway.control.watchdog.obligation import Obligation

_USUAL = Terms()  # the defaults of section 7, where nothing was kept


def figures(owed: Obligation | None) -> Safety:
    """A safety file that allows nothing, trusts nobody, and has the times of ``owed``."""
    lease_s = _USUAL.lease_s if owed is None else owed.lease_s
    watchdog = WatchdogSettings(
        lease_s=lease_s,
        challenge_s=min(_USUAL.challenge_s, lease_s / 3),
        heartbeat_s=_USUAL.heartbeat_s if owed is None else owed.heartbeat_s,
        rtac_deadman_s=_USUAL.deadman_s if owed is None else owed.deadman_s,
        idle_verify_s=_USUAL.idle_verify_s if owed is None else owed.verify_s,
        reversion_s=3 * _USUAL.refresh_s,
        reversion_refresh_s=_USUAL.refresh_s,
        max_dispatch_s=_USUAL.max_dispatch_s,
        preempted="yield",
    )
    limits = LimitSettings(
        max_charge_w=0.0, max_discharge_w=0.0, min_soc_pct=0.0, max_soc_pct=100.0, ramp_w_per_s=1.0
    )
    settings = SafetySettings("", "monitor", 0.0, watchdog, limits, (), None)
    return Safety(settings, TrustStore(), "")
