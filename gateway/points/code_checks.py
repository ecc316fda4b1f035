"""Whether a number's codes say one thing: of alarms (M26), and for on and off (M25)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import Fault
from gateway.points.raw import PointType
from gateway.points.roles import PULSED_COMMANDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.points.keys import Table
    from gateway.points.mappoint import MapPoint

# Other ways to read a number.
_READINGS = (
    *("scale", "offset", "sign", "min", "max", "enum", "bits", "codes", "rollover", "deadband"),
    "tolerance",
)


def code_faults(row: MapPoint, table: Table) -> Iterator[Fault]:
    """Faults of ``codes``, ``on`` and ``off`` of one row."""
    if row.codes is not None and "*" not in row.codes:
        text = 'has no "*": must say what all other codes are, such as "fault:{code}"'
        yield Fault(table.at("codes"), text, "M26")
    if row.codes is not None and row.bits is not None:
        yield Fault(table.at("codes"), "stand beside bits: the value is one or the other", "M26")
    yield from _half_faults(row, table)
    if row.on is None and row.off is None:
        return
    only_on = row.kind is PointType.AO and row.role in PULSED_COMMANDS
    for key, other in (("on", "off"), ("off", "on")):
        if table.lacks(key) and not (only_on and key == "off"):
            text = f"is missing: {other} needs it too; any other code is bad, and never used"
            yield Fault(table.at(key), text, "M25")
    both = sorted(set(row.on or ()) & set(row.off or ()))
    if both:
        text = f"= {both[0]}: is a code for on, too: must be different ones"
        yield Fault(table.at("off"), text, "M25")
    for key in _READINGS:
        if key in table.cells:
            text = "stands beside on and off, which are raw codes: must be absent"
            yield Fault(table.at(key), text, "M25")


def _half_faults(row: MapPoint, table: Table) -> Iterator[Fault]:
    """A value in two points (M28)."""
    if row.low is None and row.type is None:
        return
    for key, other in (("low", "type"), ("type", "low")):
        if table.lacks(key):
            yield Fault(table.at(key), f"is missing: {other} needs it too", "M28")
    if row.low == row.point:
        yield Fault(table.at("low"), f'= "{row.low}": must be another point', "M28")
    for key in ("enum", "bits", "codes", "on"):
        if key in table.cells:
            text = "stands beside low, which makes it a number: must be absent"
            yield Fault(table.at(key), text, "M28")


def echo_code_faults(table: Table, echo: MapPoint) -> Iterator[Fault]:
    """What is verified comes in one point; by its codes, which are one each, zero is kept."""
    if echo.low is not None:
        text = f'= "{echo.name}" is cut into two points: must come in one where it echoes'
        yield Fault(table.at("feedback"), text, "M28")
    for key, codes in (("on", echo.on), ("off", echo.off)):
        if codes is not None and len(codes) > 1:
            text = (
                f'= "{echo.name}" has {len(codes)} codes for {key}: must have one where it echoes'
            )
            yield Fault(table.at("feedback"), text, "M25")
