"""The raw values that a heartbeat may count."""

from __future__ import annotations

import pytest

from gateway.points.encode import BEATS, beats
from gateway.points.mappoint import MapPoint


@pytest.mark.parametrize(
    ("lo", "hi", "scale", "offset", "expected"),
    [
        (None, None, 1.0, 0.0, (1, BEATS)),
        (None, 60.0, 1.0, 0.0, (1, 60)),
        (0.0, 255.0, 1.0, 0.0, (1, 255)),
        (0.0, 1.0, 1.0, 0.0, (0, 1)),
        (10.0, 20.0, 1.0, 0.0, (10, 20)),
        (10.0, None, 1.0, 0.0, (10, 30_009)),
        (-20.0, -10.0, 1.0, 0.0, (-11, -10)),
        (0.0, 6.0, 0.1, 0.0, (1, 60)),  # raw = value / 0.1
        (0.5, 2.5, 1.0, 0.0, (1, 2)),
        (0.0, 60.0, 1.0, 50.0, (1, 10)),  # raw = value - 50
        (-60.0, 0.0, -1.0, 0.0, (1, 60)),
    ],
)
def test_a_heartbeat_counts_inside_of_min_and_max_in_raw_values(
    lo: float | None, hi: float | None, scale: float, offset: float, expected: tuple[int, int]
) -> None:
    row = MapPoint("AO1", "beat", "cmd_heartbeat", scale, offset, min=lo, max=hi, variation="int16")
    assert beats(row) == expected


def test_a_range_of_one_value_has_no_second() -> None:
    row = MapPoint("AO1", "beat", "cmd_heartbeat", min=7.0, max=7.0, variation="int32")
    first, last = beats(row)
    assert first >= last
