"""L5's arithmetic: what one window of ten minutes says about power and SOC, and what two say.

A false alarm costs control until an operator looks, so a window counts only where it can tell
something. A SOC that should have moved by 0.5 % and by five times its resolution is judged by the
ratio of both changes, from 10 % of the nameplate on: below, auxiliary loads may eat what is
charged. A power between 1 % and 10 % of the nameplate is judged only if SOC moved by twice that
much *and* five times as far as expected: so a power that reads ten times too small is found.
Below 1 % the battery is idle, and its SOC may drift or be recalibrated: a power that reads a
hundred times too small is not found here. Losses of 20 % each way make a ratio of 0.8 or 1.25.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.points.layers import Finding, Layer, Verdict

if TYPE_CHECKING:
    from gateway.points.mappoint import MapPoint

RATIO_MIN, RATIO_MAX = 0.5, 2.0
LEAST_PCT = 0.5
RESOLUTIONS = 5.0  # that a change must have at least, to be one
JUDGED_SHARE, IDLE_SHARE = 0.1, 0.01  # of nameplate
FAR = 5.0  # times the expected change


@dataclass(frozen=True, slots=True)
class Flow:
    """What SOC should have done in a window, and what it did; in % of capacity."""

    expected_pct: float  # by the measured power, + charging
    found_pct: float
    power_share: float  # mean net power, of nameplate, >= 0
    step_pct: float  # resolution of SOC, > 0


def fits(flow: Flow) -> bool | None:
    """Whether power and SOC agree; None if the window does not count."""
    least_pct = max(LEAST_PCT, RESOLUTIONS * flow.step_pct)
    expected, found = flow.expected_pct, flow.found_pct
    if flow.power_share < IDLE_SHARE or expected == 0.0:
        return None
    if abs(expected) >= least_pct and flow.power_share >= JUDGED_SHARE:
        return RATIO_MIN <= found / expected <= RATIO_MAX
    far = abs(found) >= max(2.0 * least_pct, FAR * abs(expected))
    return False if far else None


def finding(
    first: Flow, second: Flow, *, power: MapPoint, soc: MapPoint, capacity_wh: float
) -> Finding:
    """Two windows did not fit: say what is wrong, as far as they tell."""
    flows = (first, second)
    expected = " and ".join(f"{flow.expected_pct:+.3g}" for flow in flows)
    found = " and ".join(f"{flow.found_pct:+.3g}" for flow in flows)
    text = (
        f"in two windows of 10 minutes {soc.name} moved by {found} %, by {power.name} and "
        f"{capacity_wh:g} Wh it should have moved by {expected} %: "
        f"{_cause(flows, power.name, soc.name)}"
    )
    return Finding(Layer.FLOW, Verdict.SUSPECT, power.point, text)


def _cause(flows: tuple[Flow, Flow], power: str, soc: str) -> str:
    if all(abs(flow.found_pct) < 2.0 * flow.step_pct for flow in flows):
        return f"{soc} stands still, or {power} reads many times too large"
    # The ratio that fits both windows best, by least squares.
    ratio = sum(flow.found_pct * flow.expected_pct for flow in flows)
    ratio /= sum(flow.expected_pct**2 for flow in flows)
    exponent = round(math.log10(abs(ratio))) if ratio else 0
    remainder = ratio / 10.0**exponent
    if not RATIO_MIN <= abs(remainder) <= RATIO_MAX:
        return f"no power of ten fits, the ratio is {ratio:.2g}: check {power}, {soc}, capacity"
    causes = []
    if ratio < 0:
        causes.append(f"the sign of {power} or of {soc} is wrong")
    if exponent:
        wrong, other = ("large", "small") if exponent < 0 else ("small", "large")
        causes.append(
            f"{power} reads 10^{abs(exponent)} times too {wrong}, or {soc} as much too {other}"
        )
    return ", and ".join(causes) or f"the two windows contradict each other: check {power}, {soc}"
