"""How zero gets to an asset's RTAC: what its points map means for the bounds. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.config.safety import ZeroPath
from gateway.control.rules.readiness import (
    dead_man_testable,
    has_reversion,
    is_beat_selected,
    is_selected,
    read_requests,
)

if TYPE_CHECKING:
    from gateway.points.pointmap import PointsMap


def zero_path(
    points_map: PointsMap,
    response_s: float,
    *,
    answer_s: float | None = None,
    connect_s: float | None = None,
) -> ZeroPath:
    """What the bounds of an asset take from its map.

    Args:
        points_map: the asset's.
        response_s: r, the session's response timeout.
        answer_s: a, the longest answer that commissioning timed; None: not known.
        connect_s: c, what a new connection took there; None: not known.
    """
    control = points_map.control
    split = control is not None and control.power_method == "split"
    return ZeroPath(
        response_s=response_s,
        controls=2 if split else 1,  # which of the two carries power may not be known
        sbo=is_selected(points_map),
        beat_sbo=is_beat_selected(points_map),
        reads=read_requests(points_map),
        dead_man=dead_man_testable(points_map),
        reversion=has_reversion(points_map),
        answer_s=answer_s,
        connect_s=connect_s,
    )
