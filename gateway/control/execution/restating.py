"""A setpoint in percent, where what percent are of has moved. Pure.

What was written means other W now. Beyond the limit it is said anew at once, smaller; else so that
the W that were ordered stay, as soon as the next write may go. The writes in between, of a ramp or
of a smaller limit, are made by the new base anyway.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.control.execution.progress import STEP_S, JobPhase
from gateway.control.rules.percent_base import FULL_PCT

if TYPE_CHECKING:
    from gateway.control.execution.plan import Write
    from gateway.control.execution.progress import Progress

CALM = frozenset({JobPhase.POWER, JobPhase.HOLDING})  # the echo has shown the last write
_SIDES = {"cmd_power": 0, "cmd_charge": -1, "cmd_discharge": 1}


def is_beyond(now: Progress) -> bool:
    """Whether what was written means more now than the ceiling allows."""
    means_w = _means_w(now)
    return means_w is not None and abs(means_w) > now.ceiling.side_w(means_w) + 1e-6


def scheduled(now: Progress) -> Progress:
    """``now``, to be said anew as soon as it may if it means other W than were ordered."""
    means_w = _means_w(now)
    if means_w is None or abs(means_w - now.ceiling.clamp(now.written_w)) <= _slack_w(now):
        return replace(now, restate_at=math.inf)
    gap_s = max(write.gap_s for write in _setpoints(now))
    return replace(now, restate_at=now.written_at + max(STEP_S, gap_s))


def _setpoints(now: Progress) -> list[Write]:
    """The writes in percent that make the setpoint in force."""
    return [write for write in now.made.values() if write.in_percent and write.role in _SIDES]


def _means_w(now: Progress) -> float | None:
    """The setpoint in force, W, by what percent are of now; None: in W, none, or not known."""
    found = None
    for write in _setpoints(now):
        share = float(write.expected) / FULL_PCT * (_SIDES[write.role] or 1)
        base_w = now.of.side_w(share)
        if share and base_w is None:
            return None
        found = (found or 0.0) + share * (base_w or 0.0)
    return found


def _slack_w(now: Progress) -> float:
    """How far the echo may be off, W."""
    slack_pct = max(write.tolerance for write in _setpoints(now))
    largest_w = max(now.of.charge_w or 0.0, now.of.discharge_w or 0.0)
    return slack_pct / FULL_PCT * largest_w
