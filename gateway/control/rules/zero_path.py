"""How zero gets to an asset's RTAC: what its points map means for the bounds. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.config.safety import ZeroPath
from gateway.control.rules.readiness import dead_man_testable, has_reversion
from gateway.points.runs import request_count

if TYPE_CHECKING:
    from gateway.points.pointmap import PointsMap


def zero_path(points_map: PointsMap, response_s: float) -> ZeroPath:
    """What the bounds of an asset take from its map.

    Args:
        points_map: the asset's.
        response_s: what an answer may take: the session's timeout, or what was measured.
    """
    control = points_map.control
    split = control is not None and control.power_method == "split"
    return ZeroPath(
        response_s=response_s,
        controls=2 if split else 1,  # which of the two carries power may not be known
        sbo=control is not None and control.op_setpoint == "sbo",
        reads=max(1, request_count(points_map.polled_points)),
        dead_man=dead_man_testable(points_map),
        reversion=has_reversion(points_map),
    )
