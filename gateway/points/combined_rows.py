"""``[[combined]]``: rows of a map that are made of others, read and checked (M27)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import Fault
from gateway.points.mappoint import DISCHARGE, MapPoint
from gateway.points.raw import PointType
from gateway.points.roles import OUTPUT, ROLES, SIGNED_ROLES, UNITS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.points.keys import Table

FLAGS = ("any", "all")
# What is one thing by its nature, or compared with what was there before.
_SINGLE = ("der_heartbeat", "heartbeat_fb", "config_revision", "profile_version")


def combined_row(table: Table, by_name: Mapping[str, MapPoint]) -> MapPoint:
    """The row that ``table`` makes; its parts' canonical unit is its own."""
    parts = [by_name[name] for name in table.get("of", ()) if name in by_name]
    how, role = table.get("how", "sum"), table.get("role")
    unit = "bool" if how in FLAGS else parts[0].canonical_unit if parts else "count"
    band = table.get("deadband")
    return MapPoint(
        point=f"@{table.get('name')}",
        name=table.get("name"),
        role=role,
        unit=unit,
        sign=DISCHARGE if role in SIGNED_ROLES else None,
        deadband=None if band is None else band * float(UNITS[unit].factor),
        how=how,
        of=tuple(table.get("of", ())),
        weights=tuple(table.get("weights", ())),
        at_least=table.get("at_least"),
        line=table.where.line,
    )


def combined_faults(
    row: MapPoint, table: Table, by_name: Mapping[str, MapPoint]
) -> Iterator[Fault]:
    """What is wrong with one; ``by_name`` holds the rows about points."""
    if row.name in by_name:
        text = f'= "{row.name}": is already a point in line {by_name[row.name].line}'
        yield Fault(table.at("name"), text, "M02")
    allowed = "flags" if row.how in FLAGS else "numbers"
    for key, names in (("of", row.of), ("weights", row.weights)):
        for name in names:
            wanted = allowed if key == "of" else "numbers"
            if isinstance(name, str) and not _is_part(by_name.get(name), wanted):
                text = f'names "{name}": must be rows of inputs of this map that are {wanted}'
                yield Fault(table.at(key), text, "M27")
    parts = [by_name[name] for name in row.of if name in by_name]
    odd = [part for part in parts if part.canonical_unit != row.canonical_unit]
    if odd and allowed == "numbers":
        text = f"{odd[0].name} is in {odd[0].unit}: must be readable as {row.canonical_unit}"
        yield Fault(table.at("of"), text, "M27")
    if row.how == "weighted" and len(row.weights) != len(row.of):
        text = f"must be one for each of {len(row.of)} parts"
        yield Fault(table.at("weights"), text, "M27")
    elif row.how != "weighted" and row.weights:
        yield Fault(table.at("weights"), f'of "{row.how}": only "weighted" has them', "M27")
    if row.at_least is not None and row.at_least > len(row.of):
        text = f"= {row.at_least}: must be 1..{len(row.of)}"
        yield Fault(table.at("at_least"), text, "M27")
    if row.role is not None:
        yield from _role_faults(row, table)


def _role_faults(row: MapPoint, table: Table) -> Iterator[Fault]:
    role = ROLES[row.role or ""]
    if row.role in _SINGLE or row.kind not in role.types:
        text = f'= "{row.role}": cannot be combined of {row.how}'
        yield Fault(table.at("role"), text, "M27")
    elif row.unit not in role.units:
        text = f'= "{row.role}": must be in {", ".join(role.units)}, and this is in {row.unit}'
        yield Fault(table.at("role"), text, "M15")


def _is_part(row: MapPoint | None, wanted: str) -> bool:
    if row is None or row.kind in OUTPUT or row.kind is PointType.OS or row.enum is not None:
        return False
    return row.is_flag == (wanted == "flags")
