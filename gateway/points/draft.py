"""A map as its file says it, with the place of every value, laid over the map it extends.

Only the shape is judged here: keys, types, words. A value that is wrong is noted as a fault and
left out, so that what depends on it is not blamed as well; ``parse`` and ``checks`` do the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gateway.config.toml import Document, parse
from gateway.errors import ConfigError, Fault
from gateway.points.keys import (
    COMBINED,
    CONTROL,
    FINGERPRINT,
    HEAD,
    MATCH,
    NAME_RULE,
    POINT,
    ROW,
    Table,
    kind_words,
    point_keys,
    read_table,
)
from gateway.points.pointmap import SCHEMA
from gateway.points.raw import parse_reference

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.config.toml import Section
    from gateway.errors import Where
    from gateway.points.keys import Reader

    Base = Callable[[str], tuple[str, bytes] | None]

MAX_DEPTH = 4  # maps that one extends, directly or through others


@dataclass(slots=True)
class Draft:
    """A whole map. ``rows`` are by name and already overridden."""

    head: Table
    match: Table
    control: Table | None
    fingerprint: Table
    rows: dict[str, Table]
    combined: dict[str, Table]
    complete: bool = True  # False: the base could not be read, so rows are not known


@dataclass(frozen=True, slots=True)
class Above:
    """The maps that lead to this one by ``extends``."""

    refs: tuple[str, ...]  # the outermost first
    where: Where  # its ``extends``


def read_draft(
    raw: bytes, *, file: str, base: Base, faults: list[Fault], above: Above | None = None
) -> Draft | None:
    """Read ``raw`` and, below it, the maps it extends.

    Args:
        raw: the file's bytes.
        file: its name, for people.
        base: finds the file of an "id@revision".
        faults: what is wrong is added here.
        above: the maps on the way here.

    Returns:
        None if there is nothing to go on with.
    """
    try:
        document = _with_inline_lines(parse(raw, file=file))
    except ConfigError as error:
        faults.extend(error.faults)
        return None
    draft, rows, remove = _read(document)
    faults.extend(replace(fault, code=fault.code or "M01") for fault in document.faults)
    ref = f"{draft.head.get('id')}@{draft.head.get('revision')}"
    where = draft.head.at("extends")
    above = Above((ref,), where) if above is None else Above((*above.refs, ref), above.where)
    under = _base(draft, base, faults, above)
    _lay(draft, rows, remove, under, faults)
    return draft


def _base(draft: Draft, base: Base, faults: list[Fault], above: Above) -> Draft | None:
    extends = draft.head.get("extends", "")
    if not extends:
        return None
    way = " -> ".join((*above.refs, extends))
    found = base(extends)
    if extends in above.refs:
        text = f'= "{extends}": extends itself: {way}'
        faults.append(Fault(draft.head.at("extends"), text, "M05"))
    elif len(above.refs) > MAX_DEPTH:
        text = f"is {len(above.refs)} maps deep: must be {MAX_DEPTH} at most: {way}"
        faults.append(Fault(above.where, text, "M05"))
    elif found is None:
        text = f'= "{extends}": must be the "id@revision" of an installed map'
        faults.append(Fault(draft.head.at("extends"), text, "M05"))
    else:
        return read_draft(found[1], file=found[0], base=base, faults=faults, above=above)
    return None


def _lay(
    draft: Draft,
    rows: list[Table],
    remove: list[str],
    under: Draft | None,
    faults: list[Fault],
) -> None:
    """Put ``draft`` over ``under``."""
    below: dict[str, Table] = {}
    if under is not None:
        kept = ("vendor", "model", "source")
        inherited = {key: cell for key, cell in under.head.cells.items() if key in kept}
        draft.head.cells = inherited | draft.head.cells
        draft.fingerprint = draft.fingerprint.over(under.fingerprint)
        if under.control is not None:
            draft.control = (
                under.control if draft.control is None else draft.control.over(under.control)
            )
        below = dict(under.rows)
        draft.combined = under.combined | draft.combined
        for name in remove:
            if below.pop(name, None) is None and draft.combined.pop(name, None) is None:
                text = f'names "{name}": must be names of points of the base map'
                faults.append(Fault(draft.head.at("remove"), text, "M05"))
    draft.complete = under is not None or not draft.head.get("extends")
    if draft.complete:
        draft.rows = _lay_rows(rows, below, faults, overrides=under is not None)


def _lay_rows(
    rows: list[Table], below: dict[str, Table], faults: list[Fault], *, overrides: bool
) -> dict[str, Table]:
    """Rows of one file over those of its base. A row without ``point`` must override one."""
    laid = dict(below)
    seen: dict[str, Table] = {}
    for row in rows:
        name = row.get("name")
        twin = seen.setdefault(name, row)
        if twin is not row:
            text = f'= "{name}": is already used in line {twin.where.line}'
            faults.append(Fault(row.at("name"), text, "M02"))
        elif name in below:
            laid[name] = row.over(below[name])
        elif "point" in row.cells:
            laid[name] = row
        elif overrides:
            text = f'= "{name}": overrides nothing: the base has no such point'
            faults.append(Fault(row.at("name"), text, "M05"))
        else:
            faults.append(Fault(row.at("point"), f"is missing: must be {POINT}", "M01"))
    return laid


# --- one file ------------------------------------------------------------------------------


def _with_inline_lines(document: Document) -> Document:
    """Give inline tables the line of the key that holds them."""
    lines = dict(document.lines)
    holders = [(at, document.section(at)) for at in ("map.fingerprint", "map.control")]
    holders += [(one.path, one) for one in document.sections("points")]
    for table, section in holders:
        for key, found in section.values.items() if section is not None else ():
            line = lines.get((table, key), lines.get((table, ""), 1))
            if isinstance(found, dict):
                lines.setdefault((f"{table}.{key}", ""), line)
            for at in range(len(found) if isinstance(found, list) else 0):
                lines.setdefault((f"{table}.{key}[{at}]", ""), line)
    return Document(document.file, document.tree, lines, document.faults)


def _read(document: Document) -> tuple[Draft, list[Table], list[str]]:
    top = document.section()
    assert top is not None  # a TOML document is always a table
    top.reject_unknown(("schema", "map", "points", "combined"), code="M01")
    top.one_of("schema", (SCHEMA,), code="M01")
    section = top.below("map")
    if section is None:
        if "map" not in top.values:
            document.fault("", "map", "[map] is missing", code="M01")
        section = document.table("map", {})
        assert section is not None
    section.reject_unknown((*HEAD, "match", "control", "fingerprint"), code="M01")
    head = read_table(section, HEAD)
    for key in ("id", "revision", *(() if head.get("extends") else ("vendor", "model", "source"))):
        if key not in section.values:
            section.fault(key, "given", code="M01")
    remove = head.get("remove", [])
    if remove and not head.get("extends"):
        section.fault("remove", "absent where the map extends no other", code="M05")
        remove = []
    control = _part(section, "control", CONTROL)
    draft = Draft(
        head,
        _part(section, "match", MATCH) or Table(document.where("map", "match")),
        control,
        _part(section, "fingerprint", FINGERPRINT) or Table(document.where("map", "fingerprint")),
        {},
        _combined(document),
    )
    rows = [row for point in document.sections("points") if (row := _row(point)) is not None]
    return draft, rows, remove


def _combined(document: Document) -> dict[str, Table]:
    found: dict[str, Table] = {}
    for section in document.sections("combined"):
        section.reject_unknown(COMBINED, code="M01")
        for key in ("name", "how", "of"):
            if key not in section.values:
                section.fault(key, "given", code="M27")
        table = read_table(section, COMBINED)
        if table.blamed or not {"name", "how", "of"} <= table.cells.keys():
            continue
        twin = found.setdefault(table.get("name"), table)
        if twin is not table:
            text = f'= "{table.get("name")}": is already used in line {twin.where.line}'
            document.faults.append(Fault(table.at("name"), text, "M02"))
    return found


def _part(section: Section, key: str, readers: Mapping[str, Reader]) -> Table | None:
    below = section.below(key)
    if below is None:
        return None
    below.reject_unknown(readers, code="M01")
    return read_table(below, readers)


def _row(section: Section) -> Table | None:
    row = read_table(section, ROW)
    point = parse_reference(row.get("point", ""))
    known = point_keys(point) if point is not None else tuple(ROW)
    for key in section.values:
        if key not in known:
            of = f" for {kind_words(point)}" if point is not None and key in ROW else ""
            text = f"is unknown{of}: allowed are {', '.join(sorted(known))}"
            section.document.fault(section.path, key, text, code="M01")
    if "name" not in section.values:
        section.fault("name", NAME_RULE, code="M01")
    if "name" not in row.cells or ("point" in section.values and point is None):
        return None  # already blamed; without them the row cannot be told from the others
    return row
