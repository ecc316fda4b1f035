"""A vendor's points list -> a points map to be looked at. Pure.

Nothing is guessed: a row whose point, unit or scale can be read in two ways, or that the map would
refuse, stands in the draft as a comment with its reason and its line in the list. Roles, signs and
what is required are for a person who knows the battery.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from gateway.errors import ConfigError
from gateway.points.parse import parse_map
from gateway.points.raw import PointType, parse_point
from gateway.points.roles import BINARY, OUTPUT, UNITS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_TYPES = {  # words of a type column, without case, blanks and hyphens
    PointType.AI: ("ai", "analoginput", "analoginputs", "analogueinput", "analogin"),
    PointType.BI: ("bi", "binaryinput", "binaryinputs", "digitalinput", "di", "binaryin"),
    PointType.AO: ("ao", "analogoutput", "analogoutputs", "analogueoutput", "analogout"),
    PointType.BO: ("bo", "binaryoutput", "binaryoutputs", "digitaloutput", "do", "binaryout"),
    PointType.CTR: ("ctr", "counter", "counters", "binarycounter"),
    PointType.FC: ("fc", "frozencounter", "frozencounters"),
    PointType.DBI: ("dbi", "doublebitinput", "doublebitbinaryinput", "doublebit"),
    PointType.OS: ("os", "octetstring", "octetstrings", "string"),
}
_WORDS = {word: kind for kind, words in _TYPES.items() for word in words}
_SAME_UNIT = {
    "percent": "%",
    "pct": "%",
    "hertz": "Hz",
    "volt": "V",
    "volts": "V",
    "amp": "A",
    "amps": "A",
    "ampere": "A",
    "amperes": "A",
    "deg c": "degC",
    "°c": "degC",
    "celsius": "degC",
    "deg f": "degF",
    "°f": "degF",
    "watt": "W",
    "watts": "W",
    "sec": "s",
    "seconds": "s",
    "second": "s",
    "boolean": "bool",
    "on/off": "bool",
    "counts": "count",
}
_NO_UNIT = ("", "-", "n/a", "na", "none")
_FLAGS = ("bool", "boolean", "on/off", "0/1", "state", "status")
_SHORT = 64


@dataclass(frozen=True, slots=True)
class ListRow:
    """One row of the list as it is written there."""

    line: int
    point: str  # "AI12", or an index where ``type`` says of what
    name: str
    type: str = ""
    unit: str = ""
    scale: str = ""
    offset: str = ""


@dataclass(frozen=True, slots=True)
class DraftRow:
    """The same as the map has it; ``doubt`` says why it is a comment."""

    line: int
    point: str
    name: str
    unit: str = ""
    scale: str = "1"
    offset: str = "0"
    note: str = ""  # the name in the list
    doubt: str = ""

    def toml(self) -> str:
        """The row, or a comment of it."""
        kept = [f'point = "{self.point}"', f'name = "{self.name}"']
        kept += [f"scale = {self.scale}"] if self.scale != "1" else []
        kept += [f"offset = {self.offset}"] if self.offset != "0" else []
        kept += [f'unit = "{self.unit}"'] if self.unit else []
        lines = [f"# line {self.line}: {_plain(self.note)}", "[[points]]", *kept]
        if self.doubt:
            lines = [f"# DOUBTFUL, line {self.line}: {self.doubt}", *(f"# {one}" for one in lines)]
        return "\n".join(lines) + "\n"


def draft_rows(rows: Iterable[ListRow], *, first_index: int = 0) -> list[DraftRow]:
    """Each row of the list, in its order; ``first_index`` is what the list counts from."""
    found: list[DraftRow] = []
    points: dict[str, int] = {}
    names: set[str] = set()
    for row in rows:
        one = _row(row, first_index)
        if not one.doubt and one.point in points:
            one = replace(one, doubt=f"{one.point} is already in line {points[one.point]}")
        if not one.doubt:
            points[one.point] = row.line
            if one.name in names:
                one = replace(one, name=f"{one.name[:56]}_{one.point.lower()}")
            names.add(one.name)
        found.append(one)
    return found


def draft_map(head: str, rows: Sequence[DraftRow]) -> tuple[str, list[DraftRow]]:
    """The text of the map, which ``maps check`` takes; what it would not becomes a comment.

    Args:
        head: everything before the points.
        rows: as ``draft_rows`` has them.

    Raises:
        ConfigError: the head itself has a fault.
    """
    while True:
        text = head + "".join(f"\n{one.toml()}" for one in rows)
        try:
            parse_map(text.encode(), file="draft", base=lambda _: None)
        except ConfigError as error:
            faulty = {fault.where.line: fault.text for fault in error.faults}
            marked = _marked(text, rows, faulty)
            if marked == list(rows):
                raise
            rows = marked
        else:
            return text, list(rows)


def _marked(text: str, rows: Sequence[DraftRow], faulty: dict[int, str]) -> list[DraftRow]:
    """``rows`` with a doubt where the map's own check found a fault."""
    lines = text.splitlines()
    found = list(rows)
    for line, why in faulty.items():
        for at, one in enumerate(found):
            own = f'point = "{one.point}"'
            near = lines[max(0, line - 3) : line + 4]
            if not one.doubt and own in near and f'name = "{one.name}"' in near:
                found[at] = replace(one, doubt=why)
                break
    return found


def _row(row: ListRow, first_index: int) -> DraftRow:
    point, doubt = _point(row, first_index)
    name = _name(row.name) or point.lower()
    made = DraftRow(row.line, point, name, note=row.name, doubt=doubt)
    if doubt:
        return replace(made, point=row.point or "?")
    kind = parse_point(point)[0]  # type: ignore[index]  # it is one, else there is a doubt
    unit, wrong = _unit(row.unit, kind)
    scale, scale_wrong = _number(row.scale, "1", "scale")
    offset, offset_wrong = _number(row.offset, "0", "offset")
    if kind in BINARY and (scale, offset) != ("1", "0"):
        scale_wrong = scale_wrong or "a binary point has no scale"
    if kind in OUTPUT and not (wrong or scale_wrong):
        wrong = "an output needs its role, its feedback and what may be written: add them by hand"
    doubts = [one for one in (wrong, scale_wrong, offset_wrong) if one]
    return replace(made, unit=unit, scale=scale, offset=offset, doubt="; ".join(doubts))


def _point(row: ListRow, first_index: int) -> tuple[str, str]:
    text = re.sub(r"[\s_-]", "", row.point).upper()
    whole = re.fullmatch(r"(AI|BI|DBI|CTR|AO|BO|OS|FC)0*(\d+)", text)
    if whole is not None:
        kind, index = PointType(whole[1]), int(whole[2])
    elif re.fullmatch(r"\d+(\.0+)?", text) and row.type.strip():
        word = re.sub(r"[\s_()-]", "", row.type).casefold()
        if word not in _WORDS:
            return "", f"type {row.type!r} is not known: must be like AI, Binary Input, Counter"
        kind, index = _WORDS[word], int(float(text))
    elif re.fullmatch(r"\d+(\.0+)?", text):
        return "", f"{row.point!r} is an index, and no column says of which type"
    else:
        return "", f"{row.point!r} is no point: must be like AI12, or an index with a type"
    printed = f"{kind.value}{index - first_index}"
    if parse_point(printed) is None:
        return "", f"{printed} is no point: an index is {first_index}..{65535 + first_index}"
    return printed, ""


def _unit(text: str, kind: PointType) -> tuple[str, str]:
    word = " ".join(text.split())
    plain = word.casefold()
    if kind in BINARY:
        known = plain in _NO_UNIT or plain in _FLAGS
        return "bool", "" if known else f"unit {text!r} of a binary point"
    if kind is PointType.OS or plain in _NO_UNIT:
        return ("" if kind is PointType.OS else "count"), ""
    alike = [one for one in UNITS if one.casefold() == plain]
    found = word if word in UNITS else _SAME_UNIT.get(plain)
    if found is None and len(alike) == 1 and word[:1] not in ("m", "M"):  # mW and MW are two
        found = alike[0]
    if found is None:
        return "", f"unit {text!r} is not known: must be one of {', '.join(UNITS)}"
    return found, ""


def _number(text: str, otherwise: str, what: str) -> tuple[str, str]:
    word = text.strip().removeprefix("x").removeprefix("X").strip()
    if word.casefold() in _NO_UNIT:
        return otherwise, ""
    if re.fullmatch(r"\d+\s*/\s*\d+", word):
        over, under = (int(one) for one in word.split("/"))
        if under and over:
            value = Fraction(over, under)
            return repr(float(value)), ""
    if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", word):
        value_f = float(word)
        if what == "scale" and value_f == 0:
            return otherwise, "scale 0"
        return (repr(int(value_f)) if value_f.is_integer() else repr(value_f)), ""
    return otherwise, f"{what} {text!r} is not a number"


def _name(text: str) -> str:
    word = re.sub(r"[^a-z0-9]+", "_", text.casefold()).strip("_")[:_SHORT].strip("_")
    return word if not word or word[0].isalpha() else f"p_{word}"[:_SHORT]


def _plain(text: str) -> str:
    return "".join(one if one.isprintable() else " " for one in text)[:120]
