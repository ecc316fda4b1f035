"""Canonical value -> what is written to an analog output, by one row of a points map."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from gateway.points.pointmap import MapPoint

# Group 41: variation 2 is a 16-bit and variation 1 a 32-bit integer, 3 and 4 are IEEE floats.
# The ranges are symmetrical, so that a controller may negate what it reads.
VARIATIONS: dict[str, tuple[float, float]] = {
    "int16": (-32767, 32767),
    "int32": (-2147483647, 2147483647),
    "float": (-3.4028234663852886e38, 3.4028234663852886e38),
    "double": (-1.7976931348623157e308, 1.7976931348623157e308),
}

BEATS = 30_000
SLACK = 1e-6  # of a raw value: decimals are not exact


def encode(value: float, row: MapPoint) -> float | int | None:
    """Raw value that says ``value``; None if the row's variation cannot hold it.

    Args:
        value: in the row's canonical unit, positive discharging.
        row: an analog output's row; without a variation the value is not rounded or bounded.

    Returns:
        An int for int16 and int32 (nearest, so at most half a step off), else a float.
    """
    raw = (value - row.bias) * row.div / row.mul
    if not math.isfinite(raw):
        return None
    if row.variation is None:
        return raw
    lo, hi = VARIATIONS[row.variation]
    if row.variation.startswith("int"):
        raw = round(raw)
    if not lo <= raw <= hi:
        return None
    if row.variation == "float":
        return float(struct.unpack("<f", struct.pack("<f", raw))[0])
    return raw


def beats(row: MapPoint) -> tuple[int, int]:
    """First and last raw value of a counter that is written to ``row``, as a heartbeat.

    Where the row does not say otherwise it begins with 1 and has 30 000 values, for every
    variation has them. The first is not below the last only where the row holds two values or more.
    A row with other values than a counter's has their numbers, from 1.
    """
    if row.heartbeat is not None:
        values = _listed(row.heartbeat)
        return (1, len(values)) if values else (row.heartbeat["first"], row.heartbeat["last"])
    lo, hi = VARIATIONS["int16"] if row.variation is None else VARIATIONS[row.variation]
    ends = sorted(
        (end - row.bias) * row.div / row.mul
        for end in (
            -math.inf if row.min is None else row.min,
            math.inf if row.max is None else row.max,
        )
    )
    least = math.ceil(max(lo, ends[0] - SLACK))
    most = math.floor(min(hi, ends[1] + SLACK))
    first = max(least, min(1, most - 1))
    return first, min(most, first + BEATS - 1)


def beat(count: int, row: MapPoint) -> int:
    """Raw value of beat number ``count``."""
    values = () if row.heartbeat is None else _listed(row.heartbeat)
    return values[(count - 1) % len(values)] if values else count


def _listed(shape: Mapping[str, Any]) -> tuple[int, ...]:
    """Values that come in turns; () for a counter."""
    if shape["kind"] == "toggle":
        return shape["first"], shape["last"]
    return tuple(shape.get("values", ()))


def round_trip(value: float, row: MapPoint) -> float | None:
    """What the controller understands when ``value`` is written; None if it cannot be."""
    raw = encode(value, row)
    return None if raw is None else raw * row.mul / row.div + row.bias
