"""Bytes of a map file -> a checked ``PointsMap``, or every fault in it. Pure.

Codes:

- M01 unknown key, role or unit, or a malformed value; M02 name or point used twice
- M03 scale 0 or not finite; M04 two points for a single-valued role
- M05 ``extends``, ``remove`` or an override without its base; M06 no usable match form
- M07 regular expression; M08 role on the wrong point type; M09 enum without ``*``
- M10 command without feedback; M11 feedback that is no readable point
- M12 what is written does not fit the variation or does not come back
- M13 no sign; M14 percent of nothing; M15 unit and role disagree
- M16 stored energy on a counter; M17 control lacks something; M18 min above max
- M19 two maps for one firmware (``choose``); M20 a key without effect
- M21 a regular expression whose matching might take for ever; M22 an inverted pulse
- M23 a setpoint that is selected before it is operated; M24 a bit of what has none
- M25 codes for on and off that cannot be told apart, or beside other ways to read a number
- M26 codes of alarms that are none; M27 a row that is combined of what cannot be
- M28 a value in two points that cannot be; M29 a relay that cannot be operated as its row says
- M30 a heartbeat's shape that is none; M31 a write before a dispatch that cannot be

M10 and M17 cost the map its control, M20 and M23 cost nothing; all others fail the load.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from gateway.errors import ConfigError, Fault
from gateway.points import firmware
from gateway.points.checks import control_warnings, map_faults, row_faults, row_warnings
from gateway.points.combined_rows import combined_faults, combined_row
from gateway.points.draft import read_draft
from gateway.points.expression import NotLinearError, expression
from gateway.points.pointmap import (
    CHARGE,
    AttributeCheck,
    EqualCheck,
    MapControl,
    MapFingerprint,
    MapPoint,
    NameplateCheck,
    PointsMap,
    RangeCheck,
    place,
    refusals,
)
from gateway.points.raw import parse_point, parse_reference
from gateway.points.roles import BINARY, UNITS

if TYPE_CHECKING:
    from gateway.points.checks import Rows
    from gateway.points.draft import Base, Draft
    from gateway.points.keys import Table

    Value = float | bool | str

_ORDER = ("reversion", "setpoint", "mode_enable")


def parse_map(raw: bytes, *, file: str, base: Base) -> PointsMap:
    """Read, resolve and check one map.

    Args:
        raw: the file's bytes.
        file: its name in messages.
        base: (file, bytes) of the installed map with an "id@revision", None if there is none.

    Raises:
        ConfigError: with every fault; an operator corrects the file.
    """
    faults: list[Fault] = []
    draft = read_draft(raw, file=file, base=base, faults=faults)
    if draft is None or not draft.complete:
        raise ConfigError(_in_order(faults))
    rows: Rows = [(_map_point(table), table) for table in draft.rows.values()]
    rows.sort(key=lambda pair: place(pair[0].point))
    match = _match(draft, faults)
    for row, table in rows:
        faults.extend(row_faults(row, table))
    points = {row.name: row for row, _ in rows}
    for table in draft.combined.values():
        row = combined_row(table, points)
        faults.extend(combined_faults(row, table, points))
        rows.append((row, table))
    rows.sort(key=lambda pair: place(pair[0].point))
    faults.extend(map_faults(draft, rows))
    fingerprint = _fingerprint(draft, {row.name: row for row, _ in rows}, faults)
    if faults:
        raise ConfigError(_in_order(faults))
    points_map = PointsMap(
        id=draft.head.get("id"),
        vendor=draft.head.get("vendor"),
        model=draft.head.get("model"),
        revision=draft.head.get("revision"),
        source=draft.head.get("source"),
        match=match,
        control=_control(draft.control, {row.name: row for row, _ in rows}),
        fingerprint=fingerprint,
        points=tuple(row for row, _ in rows),
        file=file,
        match_line=draft.match.at("firmware").line,
    )
    object.__setattr__(points_map, "warnings", tuple(_warnings(points_map, draft, rows)))
    return points_map


def _in_order(faults: list[Fault]) -> list[Fault]:
    """Each fault once, as the file reads."""
    return sorted(
        dict.fromkeys(faults), key=lambda fault: (fault.where.file, fault.where.line, fault.code)
    )


def _map_point(table: Table) -> MapPoint:
    cells = {key: cell.value for key, cell in table.cells.items()}
    reference = parse_reference(cells["point"])
    is_flag = "on" in cells or (reference is not None and reference.kind in BINARY)
    unit = cells.setdefault("unit", "bool" if is_flag else "count")
    factor, bias = float(UNITS[unit].factor), float(UNITS[unit].bias)
    for key in ("deadband", "tolerance"):
        if key in cells:
            cells[key] *= factor
    for key in ("min", "max"):
        if key in cells:
            cells[key] = cells[key] * factor + bias
    if cells.get("sign") == CHARGE:
        lo, hi = cells.get("min"), cells.get("max")
        cells["min"] = None if hi is None else -hi
        cells["max"] = None if lo is None else -lo
    return MapPoint(**cells, line=table.where.line)


def _match(draft: Draft, faults: list[Fault]) -> tuple[str, ...]:
    forms: list[str] = draft.match.get("firmware", [])
    where = draft.match.at("firmware")
    if not forms and not any(fault.code == "M06" for fault in faults):
        faults.append(Fault(where, f"is missing or empty: must hold {firmware.FORMS}", "M06"))
    for form in forms:
        try:
            firmware.read_form(form)
        except re.error as error:
            faults.append(Fault(where, f'"{form}" does not compile: {error}', "M07"))
        except NotLinearError as error:
            faults.append(Fault(where, f'"{form}" {error}', "M21"))
        except ValueError:
            faults.append(Fault(where, f'"{form}": must be {firmware.FORMS}', "M06"))
    return tuple(forms)


def _control(table: Table | None, by_name: dict[str, MapPoint]) -> MapControl | None:
    if table is None:
        return None
    return MapControl(
        power_method=table.get("power_method", "watts"),
        power_base=table.get("power_base"),
        idle_method=table.get("idle_method", "zero"),
        op_setpoint=table.get("op_setpoint", "direct"),
        op_mode=table.get("op_mode", "sbo"),
        order=table.get("order", _ORDER),
        prepare=tuple(
            (item.get("row"), _canonical(item.get("value"), by_name[item.get("row")]))
            for item in table.get("prepare", ())
        ),
    )


def _fingerprint(draft: Draft, by_name: dict[str, MapPoint], faults: list[Fault]) -> MapFingerprint:
    table = draft.fingerprint
    points = {row.point for row in by_name.values()}
    for key in ("equals", "ranges", "nameplate"):
        for item in table.get(key, ()):
            name = item.get("point")
            if name is not None and name not in by_name:
                text = f'= "{name}": must be the name of a point of this map'
                faults.append(Fault(item.at("point"), text, "M01"))
    faults += [fault for item in table.get("attributes", ()) for fault in _regex_faults(item)]
    for item in table.get("ranges", ()):
        lo, hi = item.get("min"), item.get("max")
        if lo is not None and hi is not None and lo > hi:
            text = f"= {lo:g}: must not be above max = {hi:g}"
            faults.append(Fault(item.at("min"), text, "M18"))
    for point in table.get("absent", ()):
        if parse_point(point) is None or point in points:
            text = f'names "{point}": must be points such as AI4000 that this map does not have'
            faults.append(Fault(table.at("absent"), text, "M01"))
    return MapFingerprint(
        attributes=tuple(
            AttributeCheck(item.get("variation"), item.get("regex"))
            for item in table.get("attributes", ())
        ),
        equals=tuple(
            EqualCheck(
                item.get("point"),
                _canonical(item.get("value"), by_name.get(item.get("point"))),
                item.get("severity", "mismatch"),
                item.get("text"),
            )
            for item in table.get("equals", ())
        ),
        ranges=tuple(
            _range_check(item, by_name.get(item.get("point"))) for item in table.get("ranges", ())
        ),
        absent=tuple(table.get("absent", ())),
        nameplate=tuple(
            NameplateCheck(item.get("point"), item.get("key"))
            for item in table.get("nameplate", ())
        ),
    )


def _regex_faults(item: Table) -> list[Fault]:
    regex = item.get("regex", "")
    try:
        expression(regex)
    except re.error as error:
        return [Fault(item.at("regex"), f'"{regex}" does not compile: {error}', "M07")]
    except NotLinearError as error:
        return [Fault(item.at("regex"), f'"{regex}" {error}', "M21")]
    return []


def _range_check(item: Table, row: MapPoint | None) -> RangeCheck:
    ends = [_canonical(item.get(key), row) for key in ("min", "max")]
    lo, hi = sorted(end if isinstance(end, float) else 0.0 for end in ends)
    return RangeCheck(item.get("point"), lo, hi)


def _canonical(value: Any, row: MapPoint | None) -> Any:  # noqa: ANN401 - of what it is given
    """A value that stands in the row's own unit and sign, as it is decoded."""
    if row is None or not isinstance(value, float):
        return value
    return row.canonical(value)


def _warnings(points_map: PointsMap, draft: Draft, rows: Rows) -> list[Fault]:
    tables: dict[str, Any] = {row.point: table for row, table in rows}
    found = [warning for row, table in rows for warning in row_warnings(row, table)]
    found += control_warnings(draft)
    for row, code, text in refusals(points_map):
        if row is not None:
            found.append(Fault(tables[row.point].at("feedback"), f"{text}: no control", code))
        elif draft.control is not None:
            found.append(Fault(draft.control.where, f"{text}: no control", code))
    return _in_order(found)
