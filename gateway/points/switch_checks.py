"""Whether an output that is on or off can be operated as its row says (M22, M25, M29)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import Fault
from gateway.points.encode import VARIATIONS, round_trip
from gateway.points.raw import PointType, parse_point
from gateway.points.roles import OUTPUT, PULSED_COMMANDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gateway.points.keys import Table
    from gateway.points.mappoint import MapPoint

_RELAY = ("op", "on_ms", "off_ms", "count", "off_point")
_TIMES = ("on_ms", "off_ms", "count")


def switch_faults(row: MapPoint, table: Table) -> Iterator[Fault]:
    """Faults of one output's row on its own."""
    if row.heartbeat is not None:
        yield from _shape_faults(row, table)
    if row.kind is PointType.AO and row.on is not None:
        yield from _code_faults(row, table)
    if row.kind is PointType.BO:
        yield from _relay_faults(row, table)


def _relay_faults(row: MapPoint, table: Table) -> Iterator[Fault]:
    if not row.command:
        for key in _RELAY:
            if not table.lacks(key):
                text = "says how it is operated, and nothing operates it: needs a command's role"
                yield Fault(table.at(key), text, "M29")
        return
    if row.operation == "pulse" and row.invert:
        text = (
            f"= true: role {row.role} is one pulse, and there is none that means the opposite: "
            "must be false (an echo that reads inverted is inverted in the row of its feedback)"
        )
        yield Fault(table.at("invert"), text, "M22")
    elif row.off_point is not None and row.invert:
        text = "= true: stands beside off_point, which says what is on and what off: must be false"
        yield Fault(table.at("invert"), text, "M29")
    for key in _TIMES:
        if not table.lacks(key) and row.operation == "latch":
            text = f"= {table.get(key)}: a latch has no pulse: op must be pulse or close_trip"
            yield Fault(table.at(key), text, "M29")
    yield from _pair_faults(row, table)


def _pair_faults(row: MapPoint, table: Table) -> Iterator[Fault]:
    both_ways = row.role not in PULSED_COMMANDS
    if row.operation == "pulse" and both_ways and row.off_point is None:
        text = f'= "pulse": role {row.role} is switched off, too: needs off_point, or another op'
        yield Fault(table.at("op"), text, "M29")
    if row.off_point is None:
        return
    if not both_ways:
        text = f'= "{row.off_point}": role {row.role} is only ever switched on: must be absent'
        yield Fault(table.at("off_point"), text, "M29")
    elif parse_point(row.off_point) is None or row.off_point == row.point:
        text = f'= "{row.off_point}": must be another binary output, such as BO1'
        yield Fault(table.at("off_point"), text, "M29")
    elif row.feedback == row.name:
        text = f'= "{row.feedback}": must name an input: neither output of a pair shows both'
        yield Fault(table.at("feedback"), text, "M29")


def _code_faults(row: MapPoint, table: Table) -> Iterator[Fault]:
    for key, codes in (("on", row.on), ("off", row.off)):
        if codes is not None and len(codes) > 1:
            text = f"= {list(codes)}: one of them is written: must be one number"
            yield Fault(table.at(key), text, "M25")
    if row.variation is not None:
        lo, hi = VARIATIONS[row.variation]
        for code in (*(row.on or ()), *(row.off or ())):
            if not lo <= code <= hi:
                text = f'= "{row.variation}": code {code}: must be {lo:g}..{hi:g}'
                yield Fault(table.at("variation"), text, "M12")


def _shape_faults(row: MapPoint, table: Table) -> Iterator[Fault]:
    """A heartbeat of a shape of its own (M30, M12)."""
    assert row.heartbeat is not None
    if row.role != "cmd_heartbeat":
        text = "says how a heartbeat goes: must stand where the role is cmd_heartbeat"
        yield Fault(table.at("heartbeat"), text, "M30")
    for key in ("min", "max", "on", "off"):
        if key in table.cells:
            text = "stands beside heartbeat, which says all that is written: must be absent"
            yield Fault(table.at(key), text, "M30")
    shape = row.heartbeat
    lo, hi = VARIATIONS[row.variation or "int16"]
    for value in shape.get("values") or (shape["first"], shape["last"]):
        if not lo <= value <= hi:
            text = f'= "{row.variation}": {value} of the heartbeat: must be {lo:g}..{hi:g}'
            yield Fault(table.at("variation"), text, "M12")


def prepare_faults(
    control: Table | None, rows: Iterable[tuple[MapPoint, Table]]
) -> Iterator[Fault]:
    """What is written before each dispatch: outputs that nothing else writes, and their echoes."""
    by_name = {row.name: (row, table) for row, table in rows}
    for item in () if control is None else control.get("prepare", ()):
        name, value = item.get("row"), item.get("value")
        row, table = by_name.get(name, (None, None))
        if row is None or table is None or row.kind not in OUTPUT or row.command:
            text = f'= "{name}": must be the name of an output of this map without a role'
            yield Fault(item.at("row"), text, "M31")
            continue
        if row.feedback is None and table.lacks("feedback"):
            text = f"is missing: [map.control] prepare writes {row.name}, which must be seen"
            yield Fault(table.at("feedback"), text, "M31")
        if isinstance(value, bool) is not row.is_flag:
            allowed = "true or false" if row.is_flag else f"a number of {row.unit}"
            yield Fault(item.at("value"), f"= {value}: must be {allowed}", "M31")
        elif not row.is_flag and row.variation is None:
            text = f"is missing: [map.control] prepare writes {row.name}"
            yield Fault(table.at("variation"), text, "M12")
        elif not row.is_flag and value is not None:
            wanted = row.canonical(float(value))
            back = round_trip(wanted, row)
            low, high = row.min, row.max
            outside = (low is not None and wanted < low) or (high is not None and wanted > high)
            if back is None or abs(back - wanted) > row.step / 2 or outside:
                text = f"= {value:g}: cannot be written to {row.name} as {row.variation}"
                yield Fault(item.at("value"), text, "M31")


def shared_outputs(rows: Iterable[tuple[MapPoint, Table]]) -> Iterator[Fault]:
    """An output that two rows operate."""
    rows = list(rows)
    operated = {row.point: row for row, _ in rows if row.command}
    for row, table in rows:
        if row.off_point is None:
            continue
        twin = operated.setdefault(row.off_point, row)
        if twin is not row:
            text = f'= "{row.off_point}": {twin.name} operates it, too: must be one row'
            yield Fault(table.at("off_point"), text, "M29")
