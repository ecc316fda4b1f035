"""Which control says on or off, by an output's row: a relay's kind, a pair, or codes. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.ports import Control, CrobOp, Variation

if TYPE_CHECKING:
    from gateway.points.mappoint import MapPoint

# What means 0 and 1.
_OPERATIONS = {
    "latch": (CrobOp.LATCH_OFF, CrobOp.LATCH_ON),
    "pulse": (CrobOp.PULSE_OFF, CrobOp.PULSE_ON),
    "close_trip": (CrobOp.TRIP, CrobOp.CLOSE),
}
LATCHES = frozenset(_OPERATIONS["latch"])


def switched(row: MapPoint, *, on: bool) -> Control | None:
    """The control that sets ``row`` on or off; None: the map has none for that.

    Of a pair each output is operated with its own on. A pulse has no opposite.
    """
    if row.on is not None:
        codes = row.on if on else row.off
        if not codes:
            return None
        return Control(row.point, codes[0], Variation(row.variation or Variation.INT32))
    if row.off_point is not None:
        point, state = (row.point if on else row.off_point), True
    else:
        point, state = row.point, on is not row.invert
    if row.operation == "pulse" and not state:
        return None
    return Control(
        point,
        _OPERATIONS[row.operation][state],
        on_ms=100 if row.on_ms is None else row.on_ms,
        off_ms=100 if row.off_ms is None else row.off_ms,
        count=row.count or 1,
    )
