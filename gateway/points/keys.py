"""The keys of a map file: how each is read, and what its value may be.

Only the shape is judged: types, words, ranges that hold for every map. A value that is wrong is
noted as a fault and left out of its table, so that what depends on it is not blamed as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from gateway.points.encode import VARIATIONS
from gateway.points.mappoint import CHARGE, DISCHARGE
from gateway.points.raw import MAX_BIT, PointType, parse_point, parse_reference
from gateway.points.roles import BINARY, OUTPUT, ROLES, UNITS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.config.toml import Section
    from gateway.errors import Where
    from gateway.points.raw import Reference

    Reader = Callable[[Section, str], Any]

NAME = r"[a-z][a-z0-9_]{0,63}"
CODE = r"(alarm|fault):[a-z0-9][a-z0-9_.-]{0,63}"
TOLD = r"((alarm|fault):([a-z0-9]|\{code\})([a-z0-9_.-]|\{code\}){0,63})?"
REF = r"[a-z0-9-]+@\S+"
ORDER = ("reversion", "ramp", "setpoint", "mode_enable")
NAMEPLATE_KEYS = ("nameplate_w", "capacity_wh", "max_charge_w", "max_discharge_w")
MAX_W = 1e12
MAX_PULSE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Cell:
    """A value and where it stands."""

    value: Any
    where: Where


@dataclass(slots=True)
class Table:
    """One table: the values that have the right shape, by key."""

    where: Where  # its header
    cells: dict[str, Cell] = field(default_factory=dict)
    blamed: frozenset[str] = frozenset()  # keys that are there, but wrong: nothing follows

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ANN401 - cells hold what the key's reader returns
        """The value of ``key``, or ``default``."""
        cell = self.cells.get(key)
        return default if cell is None else cell.value

    def at(self, key: str) -> Where:
        """Place of ``key``; of the table, where the key is absent."""
        cell = self.cells.get(key)
        return replace(self.where, key=key) if cell is None else cell.where

    def over(self, base: Table) -> Table:
        """This table's values in front of those of ``base``."""
        cells = {key: cell for key, cell in base.cells.items() if key not in self.blamed}
        return Table(self.where, cells | self.cells, self.blamed | base.blamed)

    def lacks(self, key: str) -> bool:
        """Whether ``key`` is simply not there."""
        return key not in self.cells and key not in self.blamed


def read_table(section: Section, readers: Mapping[str, Reader]) -> Table:
    """Read the keys of ``section`` that ``readers`` know and that hold what they may."""
    document = section.document
    table = Table(document.where(section.path, ""))
    for key, read in readers.items():
        if key in section.values:
            before = len(document.faults)
            value = read(section, key)
            if len(document.faults) == before:
                table.cells[key] = Cell(value, document.where(section.path, key))
            else:
                table.blamed |= {key}
    return table


def point_keys(reference: Reference) -> tuple[str, ...]:
    """Keys that a row about it may have."""
    kind = reference.kind
    keys = ["point", "name", "role", "unit", "required", "enum"]
    if reference.bit is None:
        keys.append("deadband")
    if kind in BINARY:
        keys.append("invert")
    elif kind is not PointType.OS:
        keys += ["scale", "offset", "sign", "min", "max", "bits"]
    if kind in (PointType.AI, PointType.CTR):
        keys += ["on", "off", "codes"]
    if kind is PointType.AI:
        keys += ["low", "type"]
    if kind is PointType.CTR:
        keys.append("rollover")
    if kind is PointType.AO:
        keys += ["variation", "tolerance", "on", "off", "heartbeat"]
    if kind is PointType.BO:
        keys += ["op", "on_ms", "off_ms", "count", "off_point"]
    if kind in OUTPUT:
        keys += ["feedback", "verify_s", "min_interval_s"]
    return tuple(keys)


def kind_words(reference: Reference) -> str:
    """What ``reference`` is one of, for people."""
    return "bits" if reference.bit is not None else f"{reference.kind} points"


POINT = "a point such as AI47: AI BI DBI CTR FC AO BO or OS and an index 0..65535"
BIT = f"a bit 0..{MAX_BIT} of an analog input or a counter, such as AI12.3"
NAME_RULE = f"a name, {NAME}"


def _word(*words: str, code: str = "M01") -> Reader:
    return lambda section, key: section.one_of(key, words, code=code)


def _text(pattern: str, allowed: str, code: str = "M01") -> Reader:
    return lambda section, key: section.text(key, pattern=pattern, allowed=allowed, code=code)


def _number(
    code: str = "M01", *, lo: float = -math.inf, hi: float = math.inf, unit: str = ""
) -> Reader:
    return lambda section, key: section.number(key, lo=lo, hi=hi, unit=unit, code=code)


def _flag(section: Section, key: str) -> bool:
    return section.flag(key, code="M01")


def _texts(code: str) -> Reader:
    return lambda section, key: list(section.texts(key, code=code))


def _point(section: Section, key: str) -> str:
    found = section.values[key]
    if isinstance(found, str) and parse_reference(found) is not None:
        return found
    if isinstance(found, str) and parse_point(found.partition(".")[0]) is not None:
        section.fault(key, BIT, code="M24")
    else:
        section.fault(key, POINT, code="M01")
    return ""


def _scale(section: Section, key: str) -> float:
    value = section.number(key, code="M03")
    if value == 0 and section.values[key] == 0:
        section.fault(key, "a finite number other than 0", code="M03")
    return value


def _enum(section: Section, key: str) -> dict[str, str]:
    found = section.values[key]
    if isinstance(found, dict) and all(
        isinstance(name, str) and name and (raw == "*" or _is_whole(raw))
        for raw, name in found.items()
    ):
        return {raw if raw == "*" else str(int(raw)): name for raw, name in found.items()}
    section.fault(
        key, 'a table of raw values, such as { "0" = "idle", "*" = "unknown" }', code="M09"
    )
    return {}


def _is_whole(text: str) -> bool:
    return text.removeprefix("-").isascii() and text.removeprefix("-").isdigit()


def _bits(section: Section, key: str) -> dict[int, str]:
    found = section.values[key]
    bits = section.below(key) if isinstance(found, dict) and found else None
    if bits is not None and all(bit.isdigit() and int(bit) <= MAX_BIT for bit in bits.values):
        before = len(section.document.faults)
        codes = {int(bit): bits.text(bit, pattern=CODE, allowed=CODE, code="M01") for bit in found}
        return codes if len(section.document.faults) == before else {}
    section.fault(
        key, f'a table of bits 0..{MAX_BIT}, such as {{ "0" = "alarm:over_temp" }}', code="M01"
    )
    return {}


def _alarm_codes(section: Section, key: str) -> dict[str, str]:
    found = section.values[key]
    codes = section.below(key) if isinstance(found, dict) and found else None
    if codes is None or not all(raw == "*" or _is_whole(raw) for raw in codes.values):
        such = '{ "0" = "", "17" = "alarm:over_temp", "*" = "fault:{code}" }'
        section.fault(key, f"a table of raw values, such as {such}", code="M26")
        return {}
    allowed = f'"" or {CODE}; {{code}} stands for the value'
    return {
        raw if raw == "*" else str(int(raw)): codes.text(
            raw, pattern=TOLD, allowed=allowed, code="M26"
        )
        for raw in found
    }


def _codes(section: Section, key: str) -> tuple[int, ...]:
    """One raw code, or a list of them."""
    found = section.values[key]
    codes = found if isinstance(found, list) else [found]
    if codes and len(set(codes)) == len(codes) and all(type(one) is int for one in codes):
        return tuple(codes)
    section.fault(key, "a whole number, or a list of different ones", code="M25")
    return ()


BEATS = '{ kind = "count" or "toggle", first, last } or { kind = "sequence", values = [...] }'


def _heartbeat(section: Section, key: str) -> dict[str, object]:
    """Its shape: whole raw values, two or more, each another than the one before."""
    found = section.values[key]
    shape = found if isinstance(found, dict) else {}
    kind, values = shape.get("kind"), shape.get("values", [])
    ends = [shape.get("first"), shape.get("last")]
    if kind == "sequence" and shape.keys() == {"kind", "values"} and isinstance(values, list):
        turns = values
    elif kind in ("count", "toggle") and shape.keys() == {"kind", "first", "last"}:
        turns = ends
    else:
        section.fault(key, BEATS, code="M30")
        return {}
    whole = all(type(one) is int for one in turns)
    if not whole or len(turns) < len(ends) or any(a == b for a, b in pairs(turns)):
        section.fault(key, "two whole numbers or more, each another than the last", code="M30")
    elif kind == "count" and turns[0] > turns[1]:
        section.fault(key, "first below last", code="M30")
    return dict(shape)


def pairs(values: list[Any]) -> list[tuple[Any, Any]]:
    """Each with the one that comes after it; after the last the first comes again."""
    return list(zip(values, values[1:] + values[:1], strict=True))


def _pulse(*, lo: int) -> Reader:
    return lambda section, key: section.integer(key, lo=lo, hi=MAX_PULSE_MS, unit="ms", code="M29")


def _output(section: Section, key: str) -> str:
    return section.text(key, pattern=r"BO[0-9]{1,5}", allowed="a point such as BO1", code="M29")


def _order(section: Section, key: str) -> tuple[str, ...]:
    found = section.texts(key, code="M01")
    if len(set(found)) == len(found) and set(found) <= set(ORDER):
        return found
    section.fault(key, f"each at most once of {', '.join(ORDER)}", code="M01")
    return ()


def _power_base(section: Section, key: str) -> str | float:
    found = section.values[key]
    if found in ("max_power", "nameplate"):
        return str(found)
    if isinstance(found, int | float) and not isinstance(found, bool) and 0 < found < MAX_W:
        return float(found)
    section.fault(key, "max_power, nameplate or a number of W", code="M14")
    return ""


def _items(readers: Mapping[str, Reader], optional: tuple[str, ...] = ()) -> Reader:
    """Read an array of tables whose keys are ``readers``."""

    def read(section: Section, key: str) -> list[Table]:
        tables = []
        for item in section.tables(key, code="M01"):
            item.reject_unknown(readers, code="M01")
            for needed in readers:
                if needed not in item.values and needed not in optional:
                    item.fault(needed, "given", code="M01")
            tables.append(read_table(item, readers))
        return tables

    return read


def _parts(section: Section, key: str) -> tuple[str, ...]:
    found = section.texts(key, code="M27")
    if len(found) < 2 or len(set(found)) < len(found):  # noqa: PLR2004 - of one, it is that one
        section.fault(key, "names of two rows or more, each once", code="M27")
    return found


def _weights(section: Section, key: str) -> tuple[str | float, ...]:
    found = section.values[key]
    if isinstance(found, list) and all(
        isinstance(one, str) or (type(one) in (int, float) and 0 < one < MAX_W) for one in found
    ):
        return tuple(one if isinstance(one, str) else float(one) for one in found)
    section.fault(key, "a list of names of rows, or numbers above 0", code="M27")
    return ()


def _prepared(section: Section, key: str) -> float | bool:
    found = section.values[key]
    return found if isinstance(found, bool) else section.number(key, code="M31")


def _equal_value(section: Section, key: str) -> float | bool | str:
    found = section.values[key]
    if isinstance(found, bool | str):
        return found
    return section.number(key, code="M01")


_ANY_TEXT = _text(r"(?s).+", "a non-empty string")
HEAD: dict[str, Reader] = {
    "id": _text(r"[a-z0-9-]+", "an id, [a-z0-9-]+"),
    "vendor": _ANY_TEXT,
    "model": _ANY_TEXT,
    "revision": _text(r"[A-Za-z0-9._+-]{1,32}", "a revision, [A-Za-z0-9._+-]{1,32}"),
    "extends": _text(rf"({REF})?", '"id@revision" of the base map, or ""', code="M05"),
    "remove": _texts("M05"),
    "source": _ANY_TEXT,
}
MATCH: dict[str, Reader] = {"firmware": _texts("M06")}
CONTROL: dict[str, Reader] = {
    "power_method": _word("watts", "percent", "split"),
    "power_base": _power_base,
    "idle_method": _word("zero", "zero_then_disable"),
    "op_setpoint": _word("direct", "sbo"),
    "op_mode": _word("direct", "sbo"),
    "order": _order,
    "prepare": _items({"row": _text(NAME, NAME_RULE), "value": _prepared}),
}
FINGERPRINT: dict[str, Reader] = {
    "attributes": _items(
        {
            "variation": lambda section, key: section.integer(key, lo=1, hi=255, code="M01"),
            "regex": _text(r"(?s).+", "a regular expression", code="M07"),
        }
    ),
    "equals": _items(
        {
            "point": _ANY_TEXT,
            "value": _equal_value,
            "severity": _word("mismatch", "warn"),
            "text": _ANY_TEXT,
        },
        optional=("severity", "text"),
    ),
    "ranges": _items({"point": _ANY_TEXT, "min": _number("M18"), "max": _number("M18")}),
    "absent": _texts("M01"),
    "nameplate": _items({"point": _ANY_TEXT, "key": _word(*NAMEPLATE_KEYS)}),
}
COMBINED: dict[str, Reader] = {
    "name": _text(NAME, NAME_RULE),
    "role": _word(*ROLES),
    "how": _word("sum", "mean", "weighted", "min", "max", "any", "all", code="M27"),
    "of": _parts,
    "weights": _weights,
    "at_least": lambda section, key: section.integer(key, lo=1, hi=1000, code="M27"),
    "deadband": _number(lo=0),
}
ROW: dict[str, Reader] = {
    "point": _point,
    "name": _text(NAME, NAME_RULE),
    "role": _word(*ROLES),
    "scale": _scale,
    "offset": _number("M03"),
    "unit": _word(*UNITS),
    "sign": _word(DISCHARGE, CHARGE, code="M13"),
    "deadband": _number(lo=0),
    "required": _flag,
    "min": _number("M18"),
    "max": _number("M18"),
    "enum": _enum,
    "bits": _bits,
    "invert": _flag,
    "low": lambda section, key: section.text(
        key, pattern=r"AI[0-9]{1,5}", allowed="an analog input such as AI11", code="M28"
    ),
    "type": _word("uint32", "int32", "float32", code="M28"),
    "codes": _alarm_codes,
    "on": _codes,
    "off": _codes,
    "heartbeat": _heartbeat,
    "op": _word("latch", "pulse", "close_trip", code="M29"),
    "on_ms": _pulse(lo=1),
    "off_ms": _pulse(lo=0),
    "count": lambda section, key: section.integer(key, lo=1, hi=255, code="M29"),
    "off_point": _output,
    "rollover": lambda section, key: section.integer(key, lo=2, hi=1 << 32, code="M01"),
    "variation": _word(*VARIATIONS, code="M12"),
    "feedback": _text(NAME, "the name of a readable point", code="M11"),
    "tolerance": _number(lo=0),
    "verify_s": _number(lo=0.1, hi=600, unit="seconds"),
    "min_interval_s": _number(lo=0, hi=3600, unit="seconds"),
}
