"""What the watchdog of one asset is held to, from safety.toml and the asset's map."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.control.watchdog.words import HeartbeatForm, Terms

if TYPE_CHECKING:
    from gateway.config.safety import WatchdogSettings


def terms(
    settings: WatchdogSettings,
    *,
    response_s: float,
    heartbeat: HeartbeatForm,
    reversion: bool,
    tolerance_w: float,
    beats: tuple[int, int] = (1, 30_000),
) -> Terms:
    """Put together what holds at one asset.

    Args:
        settings: ``[watchdog]`` of safety.toml.
        response_s: response timeout of the asset's session, s.
        heartbeat: how the map feeds the RTAC's dead-man.
        reversion: the map has a reversion timer.
        tolerance_w: of the setpoint's echo, W >= 0.
        beats: first and last value of our own counter.
    """
    return Terms(
        lease_s=settings.lease_s,
        challenge_s=settings.challenge_s,
        response_s=response_s,
        heartbeat_s=settings.heartbeat_s,
        idle_verify_s=settings.idle_verify_s,
        refresh_s=settings.reversion_refresh_s,
        max_dispatch_s=settings.max_dispatch_s,
        heartbeat=heartbeat,
        beats=beats,
        reversion=reversion,
        tolerance_w=tolerance_w,
        reassert_idle=settings.preempted == "reassert_idle",
    )
