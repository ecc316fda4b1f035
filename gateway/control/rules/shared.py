"""What several batteries share, and how much of it each may take. Pure.

A transformer, or ``[limits.site]``, has one limit each way. A battery may grow into what all the
others leave of it, each counted with the most that it may be putting there. Where the limit is
too small for what was ordered already, the youngest command gives way first: the older ones keep
what they have as long as it fits. That needs no memory, and whoever is asked first or last is
told the same, so the sum cannot exceed the limit by the order of asking.

What a reader would get wrong: charging and discharging are two sums that never net. A battery that
charges makes no room for one that discharges, because it can stop at any moment.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.control.rules.limits import Ceiling

if TYPE_CHECKING:
    from collections.abc import Sequence

OTHERS_S = 10.0  # so long the worst reading of a meter counts: two critical polls


@dataclass(frozen=True, slots=True)
class Burden:
    """What lies on something shared, W >= 0; the two ways are apart."""

    charge_w: float = 0.0
    discharge_w: float = 0.0

    @classmethod
    def of(cls, power_w: float | None) -> Burden:
        """Of one figure, W, + discharging; None: of nothing."""
        if power_w is None or math.isnan(power_w):
            return NOTHING
        return cls(max(0.0, -power_w), max(0.0, power_w))

    def beside(self, other: Burden) -> Burden:
        """The larger of both, side by side."""
        return Burden(max(self.charge_w, other.charge_w), max(self.discharge_w, other.discharge_w))

    def plus(self, other: Burden) -> Burden:
        """The sum of both, side by side."""
        return Burden(self.charge_w + other.charge_w, self.discharge_w + other.discharge_w)


NOTHING = Burden()


@dataclass(frozen=True, slots=True, kw_only=True)
class Commitment:
    """What one battery takes of what it shares, at one instant."""

    most: Burden  # may be in force, was granted, or is measured: nobody may grow into it
    sure: Burden  # what it goes on taking when it has obeyed its newest order
    ordered: Burden = NOTHING  # of ``sure``: what a smaller setpoint would make smaller
    held: Burden = NOTHING  # of ``ordered``: the setpoint of now; the rest is a ramp's, or waits
    number: float = -math.inf  # age of its command, the least is the oldest; none: before all


def share(
    at: int, members: Sequence[Commitment], limit: Ceiling, *, others: tuple[Burden, Burden]
) -> Ceiling:
    """What the member at this index may take of ``limit``.

    Args:
        at: index into ``members``.
        members: all that share it.
        limit: of all of them together.
        others: what somebody else takes of it at most, and at least, by the readings of late:
            nobody grows into the one, and nobody has to shrink for more than the other.
    """
    mine, most, least = members[at], others[0], others[1]
    ours = sure = least
    for index, one in enumerate(members):
        if index == at:
            continue
        most, ours = most.plus(one.most), ours.plus(one.most)
        older = (one.number, index) < (mine.number, at)
        sure = sure.plus(one.sure if older else _beyond(one))
    sides = [
        [getattr(one, side) for one in (limit, most, ours, sure, mine.ordered, mine.held)]
        for side in ("charge_w", "discharge_w")
    ]
    return Ceiling(*(_side_w(*one) for one in sides))


def _beyond(one: Commitment) -> Burden:
    """What a younger one takes whatever it is ordered."""
    sure, ordered = one.sure, one.ordered
    return Burden(
        max(0.0, sure.charge_w - ordered.charge_w),
        max(0.0, sure.discharge_w - ordered.discharge_w),
    )


def _side_w(
    limit_w: float, most_w: float, ours_w: float, sure_w: float, ordered_w: float, held_w: float
) -> float:
    """More than what all others may take leaves only to what was ordered, the meter at its best.

    And what is held already has only to give way to what the others go on taking.
    """
    if math.isinf(limit_w):
        return limit_w
    kept_w = max(min(ordered_w, limit_w - ours_w), min(held_w, limit_w - sure_w))
    return max(0.0, limit_w - most_w, kept_w)


@dataclass(frozen=True, slots=True)
class OthersSeen:
    """What others took of a transformer, by its meter, over the last seconds.

    The meter and the batteries are read one after the other. While a battery moves, the difference
    of their readings is too large or too small for a moment, so the worst of some seconds counts
    for who wants to grow, and the best of them for who would have to shrink.
    """

    samples: tuple[tuple[float, Burden], ...] = ()  # (monotonic s, from then on), oldest first

    def note(self, at: float, found: Burden) -> OthersSeen:
        """Take a reading at ``at`` (monotonic s)."""
        if self.samples and self.samples[-1][1] == found:
            return OthersSeen(self._since(at))
        return OthersSeen((*self._since(at), (at, found)))

    def _since(self, at: float) -> tuple[tuple[float, Burden], ...]:
        """What counts at ``at``: the one that stood when the time began, too."""
        old = sum(1 for since, _ in self.samples[1:] if since <= at - OTHERS_S)
        return self.samples[old:]

    @property
    def last(self) -> Burden:
        """The newest."""
        return self.samples[-1][1] if self.samples else NOTHING

    def span(self) -> tuple[Burden, Burden]:
        """The most and the least of them, side by side."""
        found = [burden for _, burden in self.samples] or [NOTHING]
        return (
            Burden(max(one.charge_w for one in found), max(one.discharge_w for one in found)),
            Burden(min(one.charge_w for one in found), min(one.discharge_w for one in found)),
        )


def others(meter_w: float, measured_w: Sequence[float | None], unseen: Sequence[Burden]) -> Burden:
    """What others take, at least, where a meter shows ``meter_w`` (W, + toward the grid).

    A battery whose power is not known may be anywhere inside ``unseen``, of that battery.
    """
    low_w = high_w = meter_w
    for power_w, one in zip(measured_w, unseen, strict=True):
        if power_w is None:
            low_w -= one.discharge_w
            high_w += one.charge_w
        else:
            low_w -= power_w
            high_w -= power_w
    return Burden(max(0.0, -high_w), max(0.0, low_w))
