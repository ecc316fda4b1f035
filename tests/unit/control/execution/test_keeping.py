"""The rows that are kept for zero recognise it by any echo that a map may name."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway.control.execution.keeping import kept
from gateway.control.rules.percent_base import Base
from gateway.control.watchdog.words import Terms
from gateway.points.decode import decode
from tests.fixtures.batteries import ASSET, raw, row
from tests.fixtures.control import ENABLE, INPUTS, POWER, control_map

if TYPE_CHECKING:
    from gateway.points.mappoint import MapPoint


@pytest.mark.parametrize(
    "echo",
    [
        row("BI9", None, name="mode_echo", unit="bool"),
        row("BI9", None, name="mode_echo", unit="bool", invert=True),
        row("DBI9", None, name="mode_echo", unit="bool"),
        row("DBI9", None, name="mode_echo", unit="bool", invert=True),
        row("AI40.3", None, name="mode_echo", unit="bool", invert=True),
        row("AI40", None, name="mode_echo", unit="bool", on=(170,), off=(85,)),
    ],
    ids=lambda echo: f"{echo.point}-{echo.invert}",
)
def test_a_mode_that_is_off_is_recognised_by_the_row_that_is_kept(echo: MapPoint) -> None:
    enable = replace(ENABLE, feedback="mode_echo")
    mapped = control_map(
        POWER, enable, inputs=(*INPUTS, echo), method="watts", idle_method="zero_then_disable"
    )
    found = kept(
        ASSET,
        mapped,
        Terms(),
        number="1",
        of=Base(None, None),
        setpoint_w=1.0,
        span_w=None,
    )
    mode = found.rows[-1]
    assert (mode.point, mode.echo, mode.slack) == ("BO0", echo.point, 0.0)
    assert decode(raw(echo.point, mode.raw), echo).value is False
