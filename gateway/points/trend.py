"""L5: whether the state of charge moves as the measured power says, in windows of ten minutes.

Pure. Power is integrated (trapezoid over the times of receipt) while power and SOC are good and
fresh, and while the RTAC's heartbeat, if the map has one, goes on; what breaks that begins a new
window. The energy over the capacity (the map's point, else the site's) is how far SOC should have
moved; ``flow`` says whether that fits. One window that does not is only noted, as a BMS sets its
SOC right now and then: the next one that counts must not fit either. No window counts

- whose power is not five times its resolution: the scale, or a smaller change that was seen;
- whose SOC moves less than ``flow`` asks for, given its resolution: the smallest change seen, as a
  scale of 0.01 % proves nothing about a BMS that counts whole percents. Before SOC moved once, its
  resolution is taken to be 0.5 % at least;
- in which one direction does not outweigh the other four to one: losses grow with what went both
  ways, their difference does not;
- whose SOC stands at the end that it is driven to, where it is clipped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gateway.points import flow as flows

if TYPE_CHECKING:
    from collections.abc import Container

    from gateway.points.flow import Flow
    from gateway.points.layers import Evidence, Finding
    from gateway.points.mappoint import MapPoint

WINDOW_S = 600.0
FRESH_S = 15.0  # as for control-critical points and the heartbeat
UNSEEN_PCT = 0.5  # resolution of a SOC that has not moved yet, at least
ONE_WAY = 0.25  # the smaller direction's energy over the larger one's, at most
EMPTY_PCT, FULL_PCT = 1.0, 99.0


@dataclass(frozen=True, slots=True)
class LatestValue:
    """The latest good value of a point."""

    at: float  # monotonic s of receipt; -inf while the point is bad
    value: float
    step: float | None = None  # smallest change that was ever seen, > 0
    changed_at: float = -math.inf  # monotonic s

    def then(self, value: float | None, now_s: float) -> LatestValue:
        """After a reading; None: it is bad."""
        if value is None:
            return replace(self, at=-math.inf)
        if value == self.value:
            return replace(self, at=now_s)
        moved = abs(value - self.value)
        return LatestValue(
            now_s, value, moved if self.step is None else min(moved, self.step), now_s
        )


@dataclass(frozen=True, slots=True)
class Window:
    """A window that is open."""

    since: float  # monotonic s
    soc_pct: float  # when it was opened
    charged_wh: float = 0.0  # both >= 0
    discharged_wh: float = 0.0

    def plus(self, energy_wh: float) -> Window:
        """With more energy that went by, + discharging."""
        if energy_wh < 0:
            return replace(self, charged_wh=self.charged_wh - energy_wh)
        return replace(self, discharged_wh=self.discharged_wh + energy_wh)

    @property
    def one_way(self) -> bool:
        """Whether one direction outweighs the other."""
        less, more = sorted((self.charged_wh, self.discharged_wh))
        return less <= ONE_WAY * more


@dataclass(frozen=True, slots=True)
class Trend:
    """State of the check, for one session of an asset whose map has power and SOC."""

    power_row: MapPoint
    soc_row: MapPoint
    beat_row: MapPoint | None
    power: LatestValue | None = None  # W
    soc: LatestValue | None = None  # %
    beat: LatestValue | None = None
    window: Window | None = None
    odd: Flow | None = None  # the last window that counted, if it did not fit

    @property
    def anew(self) -> Trend:
        """Nothing seen yet."""
        return Trend(self.power_row, self.soc_row, self.beat_row)

    def handle(
        self, evidence: Evidence, news: Container[str], now_s: float
    ) -> tuple[Trend, Finding | None]:
        """Take what a fragment brought.

        Args:
            evidence: the newest readings.
            news: points that this fragment brought.
            now_s: monotonic seconds.

        Returns:
            The next state, and the finding when two windows in a row do not fit.
        """
        state, before = self, self.power
        if self.beat_row is not None and self.beat_row.point in news:
            state = replace(state, beat=_heard(self.beat, evidence.number(self.beat_row), now_s))
        if self.soc_row.point in news:
            state = replace(state, soc=_heard(self.soc, evidence.number(self.soc_row), now_s))
        if self.power_row.point not in news:
            return state, None
        power = _heard(before, evidence.number(self.power_row), now_s)
        state = replace(state, power=power, window=None)
        soc = state.soc
        if power is None or soc is None or not _is_current(state, power, soc, now_s):
            return state, None
        if self.window is None or before is None or now_s - before.at > FRESH_S:
            return replace(state, window=Window(now_s, soc.value)), None
        mean_w, hours = (before.value + power.value) / 2.0, (now_s - before.at) / 3600.0
        window = self.window.plus(mean_w * hours)
        if now_s - window.since < WINDOW_S:
            return replace(state, window=window), None
        state = replace(state, window=Window(now_s, soc.value))
        return _close(state, window, evidence, power, soc)


def watch(power: MapPoint | None, soc: MapPoint | None, beat: MapPoint | None) -> Trend | None:
    """Begin; None where the map lacks power or SOC."""
    return None if power is None or soc is None else Trend(power, soc, beat)


def _heard(before: LatestValue | None, value: float | None, now_s: float) -> LatestValue | None:
    if before is not None:
        return before.then(value, now_s)
    return None if value is None else LatestValue(now_s, value)


def _is_at_end(before_pct: float, after_pct: float, *, rising: bool) -> bool:
    if rising:
        return max(before_pct, after_pct) >= FULL_PCT
    return min(before_pct, after_pct) <= EMPTY_PCT


def _is_current(state: Trend, power: LatestValue, soc: LatestValue, now_s: float) -> bool:
    beat = state.beat
    lives = beat is not None and now_s - beat.changed_at <= FRESH_S
    return (lives or state.beat_row is None) and now_s - min(power.at, soc.at) <= FRESH_S


def _close(
    state: Trend, window: Window, evidence: Evidence, power: LatestValue, soc: LatestValue
) -> tuple[Trend, Finding | None]:
    """Judge a window that is over."""
    net_wh = window.charged_wh - window.discharged_wh
    net_w = abs(net_wh) * 3600.0 / (power.at - window.since)
    if not window.one_way or _is_at_end(window.soc_pct, soc.value, rising=net_wh > 0):
        return state, None
    power_step_w = min(power.step or math.inf, state.power_row.step)
    if net_w < flows.RESOLUTIONS * power_step_w:
        return state, None
    capacity_wh = evidence.capacity_wh
    flow = flows.Flow(
        expected_pct=100.0 * net_wh / capacity_wh,
        found_pct=soc.value - window.soc_pct,
        power_share=net_w / evidence.asset.nameplate_w,
        step_pct=soc.step or max(state.soc_row.step, UNSEEN_PCT),
    )
    fits = flows.fits(flow)
    if fits is None:
        return state, None
    if fits or state.odd is None:
        return replace(state, odd=None if fits else flow), None
    found = flows.finding(
        state.odd, flow, power=state.power_row, soc=state.soc_row, capacity_wh=capacity_wh
    )
    return replace(state, odd=flow), found
