"""What the watchdog of one asset is held to, from safety.toml and the asset's map."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.control.watchdog.words import HeartbeatForm, Terms

if TYPE_CHECKING:
    from gateway.config.safety import WatchdogSettings

UNKNOWN_SHARE = 0.10  # of nameplate around 0, until commissioning has measured the idle power
ZERO_SHARE = 0.05  # and around that
SETTLE_S = 30.0  # beyond the ramp, until power must be gone


def terms(  # noqa: PLR0913 - all that holds at one asset goes in
    settings: WatchdogSettings,
    *,
    response_s: float,
    heartbeat: HeartbeatForm,
    reversion: bool,
    tolerance_w: float,
    nameplate_w: float,
    dead_band_w: float,
    ramp_s: float,
    idle_w: float | None = None,
    zero_needs_beat: bool | None = None,
    beats: tuple[int, int] = (1, 30_000),
) -> Terms:
    """Put together what holds at one asset.

    Args:
        settings: ``[watchdog]`` of safety.toml.
        response_s: response timeout of the asset's session, s.
        heartbeat: how the map feeds the RTAC's dead-man.
        reversion: the map has a reversion timer.
        tolerance_w: of the setpoint's echo, W >= 0.
        nameplate_w: of the battery.
        dead_band_w: of the measured power.
        idle_w: measured power of the idle battery, W; None: not measured.
        zero_needs_beat: whether the RTAC refuses zero without a heartbeat; None: nobody knows.
        ramp_s: of the RTAC, from the site's limit to zero.
        beats: first and last value of our own counter.
    """
    share = UNKNOWN_SHARE if idle_w is None else ZERO_SHARE
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
        idle_w=idle_w or 0.0,
        zero_needs_beat=zero_needs_beat,
        zero_band_w=min(max(share * nameplate_w, 2 * dead_band_w), UNKNOWN_SHARE * nameplate_w),
        settle_s=ramp_s + SETTLE_S,
        deadman_s=settings.rtac_deadman_s,
        reassert_idle=settings.preempted == "reassert_idle",
    )
