"""Whether the rows of a resolved map make sense, alone and together (M02, M04, and M08 on)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import Fault
from gateway.points.code_checks import code_faults, echo_code_faults
from gateway.points.encode import VARIATIONS, beats, encode, round_trip
from gateway.points.keys import kind_words, point_keys
from gateway.points.pointmap import CHARGE, DISCHARGE
from gateway.points.raw import PointType
from gateway.points.roles import (
    OUTPUT,
    POWER_COMMANDS,
    ROLES,
    SIGNED_ROLES,
    UNITS,
)
from gateway.points.switch_checks import prepare_faults, shared_outputs, switch_faults

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.points.draft import Draft
    from gateway.points.keys import Table
    from gateway.points.pointmap import MapPoint

FULL_PCT = 100.0
# Roles whose writes do not ask for a key: heartbeat and stop are not verified by their echo, and
# but for the steps of a ramp (and heartbeats, which safety.toml paces) nothing is written often.
_UNVERIFIED = frozenset({"cmd_heartbeat", "cmd_stop", "cmd_estop", "cmd_disconnect", "cmd_lockout"})
_UNUSED = {
    "verify_s": _UNVERIFIED,
    "tolerance": _UNVERIFIED,
    "min_interval_s": frozenset(ROLES) - POWER_COMMANDS - {"cmd_heartbeat"},
}
Rows = list[tuple["MapPoint", "Table"]]


def row_faults(row: MapPoint, table: Table) -> Iterator[Fault]:
    """Faults of one row on its own."""
    kind = row.kind
    yield from _key_faults(row, table)
    yield from code_faults(row, table)
    yield from switch_faults(row, table)
    if row.role is not None:
        yield from _role_faults(row, table)
    if row.min is not None and row.max is not None and row.min > row.max:
        lo, hi = table.get("min"), table.get("max")
        yield Fault(table.at("min"), f"= {lo:g}: must not be above max = {hi:g}", "M18")
    if "unit" in table.blamed:
        return
    binary_unit = row.unit == "bool"
    if binary_unit is not row.is_flag and row.unit != "enum" and kind is not PointType.OS:
        allowed = "bool or enum" if row.is_flag else "any unit but bool"
        words = "codes" if row.on is not None else kind_words(row.reference)
        yield Fault(table.at("unit"), f'= "{row.unit}": must be {allowed} for {words}', "M15")
    if row.unit == "enum" and table.lacks("enum") and kind is not PointType.OS:
        yield Fault(table.at("enum"), 'is missing: unit "enum" needs one with "*"', "M09")
    if row.enum is not None and "*" not in row.enum:
        yield Fault(table.at("enum"), 'has no "*": must name what all other values mean', "M09")
    if row.enum is not None and row.unit != "enum":
        yield Fault(table.at("unit"), f'= "{row.unit}": must be enum where there is one', "M15")


def _key_faults(row: MapPoint, table: Table) -> Iterator[Fault]:
    """Keys of the base's row that a point of another kind does not take."""
    known = point_keys(row.reference)
    for key, cell in table.cells.items():
        if key not in known and cell.where.file != table.where.file:  # its own were told already
            text = f'= "{row.point}": takes no {key}, which the base has here'
            text += ": must be a row of its own"
            yield Fault(table.at("point"), text, "M01")


def row_warnings(row: MapPoint, table: Table) -> Iterator[Fault]:
    """What is odd in a row but does no harm."""
    if row.deadband is not None and row.is_flag:
        text = f"= {table.get('deadband'):g}: a binary has no dead band; it is ignored"
        yield Fault(table.at("deadband"), text, "M20")
    if row.command:
        unused = [key for key, roles in _UNUSED.items() if row.role in roles]
        for key in unused:
            if not table.lacks(key):
                text = f"= {table.get(key):g}: nothing is done with it at role {row.role}; ignored"
                yield Fault(table.at(key), text, "M20")


def control_warnings(draft: Draft) -> Iterator[Fault]:
    """What is odd in [map.control] but does no harm."""
    table = draft.control
    if table is not None and table.get("op_setpoint") == "sbo":
        text = '= "sbo": a zero takes twice as long: "direct", unless the outstation refuses that'
        yield Fault(table.at("op_setpoint"), text, "M23")


def _role_faults(row: MapPoint, table: Table) -> Iterator[Fault]:
    assert row.role is not None
    role = ROLES[row.role]
    if row.plays not in role.types:
        if row.role == "energy_stored" and row.kind is PointType.CTR:
            text = f'= "energy_stored": {row.point} is a counter: stored energy must be an AI point'
            yield Fault(table.at("role"), text, "M16")
        else:
            types = ", ".join(sorted(role.types))
            text = f'= "{row.role}": {row.point} cannot have it: must be on {types}'
            yield Fault(table.at("role"), text, "M08")
        return
    told = not (table.lacks("bits") and table.lacks("codes"))
    if row.role in ("alarm", "fault") and not row.is_flag and not told:
        text = f'= "{row.role}": {row.point} is no binary: must have bits or codes = {{ … }}'
        yield Fault(table.at("role"), text, "M08")
    if row.unit not in role.units and row.kind is not PointType.OS and "unit" not in table.blamed:
        text = f'= "{row.unit}": role {row.role} must be in {", ".join(role.units)}'
        yield Fault(table.at("unit"), text, "M15")
    if row.role in SIGNED_ROLES and table.lacks("sign"):
        text = f"is missing: role {row.role} must say {DISCHARGE} or {CHARGE}"
        yield Fault(table.at("sign"), text, "M13")
    if row.role in ("cmd_charge", "cmd_discharge") and row.sign is not None:
        text = f'= "{row.sign}": role {row.role} is a magnitude, must have no sign'
        yield Fault(table.at("sign"), text, "M13")


def map_faults(draft: Draft, rows: Rows) -> Iterator[Fault]:
    """Faults of rows against each other and against [map.control]."""
    yield from _twins(rows)
    yield from shared_outputs(rows)
    yield from prepare_faults(draft.control, rows)
    by_name = {row.name: row for row, _ in rows}
    blamed = {row.name for row, table in rows if table.blamed}  # nothing follows from them
    for row, table in rows:
        if row.name in blamed or row.feedback in blamed:
            continue
        if row.feedback is not None:
            yield from _feedback_faults(row, table, by_name)
        if row.kind is PointType.AO:
            yield from _output_faults(row, table)
    yield from _control_faults(draft, rows)


def _twins(rows: Rows) -> Iterator[Fault]:
    points: dict[str, MapPoint] = {}
    roles: dict[str, MapPoint] = {}
    for row, table in rows:
        twin = points.setdefault(row.point, row)
        if twin is not row:
            text = f'= "{row.point}": is already {twin.name} in line {twin.line}'
            yield Fault(table.at("point"), text, "M02")
        half = points.setdefault(row.low or row.point, row)
        if row.low is not None and half is not row:
            text = f'= "{row.low}": is already {half.name} in line {half.line}'
            yield Fault(table.at("low"), text, "M02")
        if row.role is not None and ROLES[row.role].single:
            twin = roles.setdefault(row.role, row)
            if twin is not row:
                text = (
                    f'= "{row.role}": {twin.name} in line {twin.line} has it: must be on one point'
                )
                yield Fault(table.at("role"), text, "M04")


def _feedback_faults(row: MapPoint, table: Table, by_name: dict[str, MapPoint]) -> Iterator[Fault]:
    echo = by_name.get(row.feedback or "")
    if echo is None or echo.how or (echo.kind in OUTPUT and echo is not row):
        text = f'= "{row.feedback}": must name an input of this map, or this output itself'
        yield Fault(table.at("feedback"), text, "M11")
        return
    yield from echo_code_faults(table, echo)
    if UNITS[echo.unit].canonical != UNITS[row.unit].canonical:
        text = f'= "{echo.name}" in {echo.unit}: must be readable as {row.canonical_unit}'
        yield Fault(table.at("feedback"), text, "M15")
    if row.heartbeat is not None and echo.role == "der_heartbeat":
        text = "stands beside an echo that the RTAC counts: that is what is written: must be absent"
        yield Fault(table.at("heartbeat"), text, "M30")
    elif row.role == "cmd_heartbeat" and echo.role == "der_heartbeat":
        yield from _echo_faults(row, table, echo)
    if row.role in SIGNED_ROLES and echo.sign is None and echo is not row:
        text = f'= "{echo.name}" has no sign: must say {DISCHARGE} or {CHARGE}'
        yield Fault(table.at("feedback"), text, "M13")


def _echo_faults(row: MapPoint, table: Table, echo: MapPoint) -> Iterator[Fault]:
    """A heartbeat that is written back must hold whatever the RTAC counts: else it would end."""
    low, high = ("nobody knows what" if end is None else f"{end:g}" for end in (echo.min, echo.max))
    if row.min is not None and (echo.min is None or echo.min < row.min):
        text = f"= {table.get('min'):g}: {echo.name} is written back and counts from {low}: "
        yield Fault(table.at("min"), f"{text}must hold all that it counts", "M12")
    if row.max is not None and (echo.max is None or echo.max > row.max):
        text = f"= {table.get('max'):g}: {echo.name} is written back and counts to {high}: "
        yield Fault(table.at("max"), f"{text}must hold all that it counts", "M12")


def _output_faults(row: MapPoint, table: Table) -> Iterator[Fault]:
    if row.role is None:
        return
    if row.variation is None:
        if table.lacks("variation"):
            text = f"is missing: must be one of {', '.join(VARIATIONS)}"
            yield Fault(table.at("variation"), text, "M12")
        return
    if row.is_flag or row.heartbeat is not None:
        return
    if row.role == "cmd_heartbeat":
        yield from _beat_faults(row, table)
        return
    for key, beyond in (("min", (row.min or 0.0) > 0), ("max", (row.max or 0.0) < 0)):
        if row.role in POWER_COMMANDS and beyond:
            at = key if row.sign != CHARGE else {"min": "max", "max": "min"}[key]
            text = f"= {table.get(at):g}: min to max must hold 0: it is idle"
            yield Fault(table.at(at), text, "M12")
            return
    ends = _envelope(row)
    if ends is not None:
        yield from _range_faults(row, table, row.variation, ends)
    elif row.role in POWER_COMMANDS and row.variation.startswith("int"):
        text = f"needs min and max: what is commanded must fit {row.variation}"
        yield Fault(table.at("variation"), text, "M12")


def _range_faults(
    row: MapPoint, table: Table, variation: str, ends: tuple[float, float]
) -> Iterator[Fault]:
    """Whether what may be written can be, and comes back; ``ends`` in the canonical unit."""
    unfit = [end for end in ends if encode(end, row) is None]
    if unfit:
        lo, hi = VARIATIONS[variation]
        text = (
            f'= "{variation}": {unfit[0]:g} {row.canonical_unit} would be'
            f" {(unfit[0] - row.bias) * row.div / row.mul:.10g}: must be {lo:g}..{hi:g}"
        )
        yield Fault(table.at("variation"), text, "M12")
        return
    # Zero is idle: it must arrive as zero, not as half a step of power.
    if ends[0] <= 0 <= ends[1] and abs(round_trip(0.0, row) or 0.0) > row.step * 1e-9:
        text = f"= {row.offset:g}: must let 0 {row.canonical_unit} be written exactly: it is idle"
        yield Fault(table.at("offset"), text, "M12")
        return
    for value in ends:
        back = round_trip(value, row)
        if back is None or abs(back - value) > row.step:
            text = (
                f'= "{variation}": {value:.12g} {row.canonical_unit} arrives as {back:.12g}:'
                f" must arrive within one step, {row.step:g} {row.canonical_unit}"
            )
            yield Fault(table.at("variation"), text, "M12")
            return


def _beat_faults(row: MapPoint, table: Table) -> Iterator[Fault]:
    """A heartbeat must be able to change."""
    first, last = beats(row)
    if first >= last:
        lo, hi = ("nothing" if end is None else f"{end:g}" for end in (row.min, row.max))
        text = f"= {lo} with max = {hi}: must leave a heartbeat two raw values or more"
        key = "min" if "min" in table.cells else "max"
        yield Fault(table.at(key), text, "M12")


def _envelope(row: MapPoint) -> tuple[float, float] | None:
    """Smallest and largest canonical value that may be written; None if nothing says it."""
    if row.min is not None and row.max is not None:
        return row.min, row.max
    if row.canonical_unit == "%":
        return (-FULL_PCT if row.role == "cmd_power" else 0.0), FULL_PCT
    return None


def _control_faults(draft: Draft, rows: Rows) -> Iterator[Fault]:
    control = draft.control
    base = control.get("power_base") if control is not None else None
    method = control.get("power_method", "watts") if control is not None else "watts"
    commands = [(row, table) for row, table in rows if row.role in POWER_COMMANDS]
    for row, table in commands:
        if row.canonical_unit == "%" and base is None:
            text = f'= "{row.unit}": percent of what? [map.control] power_base must say it'
            yield Fault(table.at("unit"), text, "M14")
        elif method == "percent" and row.canonical_unit != "%":
            text = f'= "{row.unit}": must be % or permil where power_method is percent'
            yield Fault(table.at("unit"), text, "M15")
    if control is not None and method == "percent" and base is None and not commands:
        text = "is missing: power_method is percent: must be max_power, nameplate or a number of W"
        yield Fault(control.at("power_base"), text, "M14")
