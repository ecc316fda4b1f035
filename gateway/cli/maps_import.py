"""``maps import`` and ``maps new``: a draft from a vendor's list, or from what an RTAC sends."""

from __future__ import annotations

import csv
import datetime as dt
import json
import sys
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli import maps_draft
from gateway.cli.command import ask
from gateway.cli.maps_draft import DraftRow, ListRow
from gateway.errors import NoInputError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Sequence

COLUMNS = ("point", "name", "type", "unit", "scale", "offset")
MOST_ROWS = 20_000
_HEAD_ROWS = 40  # the header is one of these


def from_list(asked: argparse.Namespace) -> int:
    """Draft a map from a CSV or XLSX list whose columns the caller names.

    Raises:
        NoInputError: the file cannot be read.
        UsageError: a column that is named is not there, or the list has no row.
    """
    path = Path(asked.file)
    table = list(_table(path, asked.sheet))
    named = {one: getattr(asked, one) for one in COLUMNS if getattr(asked, one) is not None}
    at, places = _header(table, named, path)
    rows = [
        ListRow(line, **{one: _cell(cells, places.get(one)) for one in COLUMNS})
        for line, cells in table[at + 1 :]
        if _cell(cells, places["point"]) or _cell(cells, places.get("name"))
    ]
    if not rows:
        text = f"{path}: has no row below its header, line {table[at][0]}"
        raise UsageError(text)
    digest = sha256(path.read_bytes()).hexdigest()
    source = f"{path.name}, sha256 {digest[:16]}, imported {dt.datetime.now(dt.UTC):%Y-%m-%d}"
    return _write(asked, source, maps_draft.draft_rows(rows, first_index=asked.first_index))


def from_live(asked: argparse.Namespace) -> int:
    """Draft a map from what the running daemon has read of a battery: AI0 becomes ``ai0``.

    Raises:
        NotRunningError: no daemon.
        UsageError: it has read nothing.
    """
    arguments = {} if asked.asset is None else {"asset": asked.asset}
    told = ask(asked, "points", arguments)
    columns = told["columns"]
    rows = [
        DraftRow(
            line,
            point,
            point.lower(),
            unit="bool" if point.startswith(("BI", "BO", "DBI")) else "",
            note=f"{point} read {raw!r}",
            doubt=_output(point),
        )
        for line, (point, raw) in enumerate(zip(columns["point"], columns["raw"], strict=True), 1)
    ]
    if not rows:
        text = f"{told['asset']}: nothing was read of it yet: see `status`"
        raise UsageError(text)
    day = f"{dt.datetime.now(dt.UTC):%Y-%m-%d}"
    return _write(asked, f"read from {told['asset']} on {day}, not from a list", rows)


def _output(point: str) -> str:
    text = "an output needs its role, its feedback and what may be written: add them by hand"
    return text if point.startswith(("AO", "BO")) else ""


def _write(asked: argparse.Namespace, source: str, rows: list[DraftRow]) -> int:
    def quoted(text: str) -> str:
        return json.dumps(text, ensure_ascii=False)  # a TOML basic string is written like it

    head = (
        "# A draft: what is DOUBTFUL is for a person to settle. Then roles, signs and what is\n"
        "# required: `bess-gateway maps roles`, man bess-gateway-pointmap; `maps check FILE`.\n"
        'schema = "bess.map/1"\n\n[map]\n'
        f"id = {quoted(asked.id)}\nvendor = {quoted(asked.vendor)}\n"
        f"model = {quoted(asked.model)}\nrevision = {quoted(asked.revision)}\n"
        f"source = {quoted(source)}\n\n[map.match]\nfirmware = [{quoted(asked.firmware)}]\n"
    )
    text, found = maps_draft.draft_map(head, rows)
    doubtful = sum(bool(one.doubt) for one in found)
    if asked.output is None:
        sys.stdout.write(text)
    else:
        try:
            with Path(asked.output).open("x", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            wrong = f"{asked.output}: cannot be written: {error.strerror}"
            raise NoInputError(wrong) from None
    print(f"{len(found)} rows, {doubtful} of them DOUBTFUL", file=sys.stderr)
    return 1 if doubtful else 0


# --- the list ----------------------------------------------------------------------------------


def _table(path: Path, sheet: str | None) -> Iterator[tuple[int, list[str]]]:
    """Rows of the file with their numbers, each cell as text."""
    try:
        rows = _xlsx(path, sheet) if path.suffix.lower() == ".xlsx" else _csv(path)
        for line, cells in enumerate(islice(rows, MOST_ROWS + 1), 1):
            if line > MOST_ROWS:
                text = f"{path}: more than {MOST_ROWS} rows"
                raise UsageError(text)
            yield line, cells
    except OSError as error:
        text = f"{path}: cannot be read: {error.strerror or error}"
        raise NoInputError(text) from None
    except (UnicodeDecodeError, csv.Error) as error:
        text = f"{path}: must be CSV in UTF-8, or .xlsx: {error}"
        raise NoInputError(text) from None


def _csv(path: Path) -> Iterator[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        sample = file.read(65_536)
        file.seek(0)
        try:
            dialect: Any = csv.Sniffer().sniff(sample, ",;\t|")
        except csv.Error:
            dialect = csv.excel
        for cells in csv.reader(file, dialect):
            yield [one.strip() for one in cells]


def _xlsx(path: Path, sheet: str | None) -> Iterator[list[str]]:
    try:
        import openpyxl  # type: ignore[import-untyped]  # it ships no types
    except ImportError:
        text = f"{path}: needs python3-openpyxl (apt install it), or save the list as CSV"
        raise NoInputError(text) from None
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it met in the archive, it is no list
        text = f"{path}: is no workbook: {error}"
        raise NoInputError(text) from None
    if sheet is not None and sheet not in book.sheetnames:
        text = f"--sheet {sheet}: must be one of {', '.join(book.sheetnames)}"
        raise UsageError(text)
    for row in book[sheet or book.sheetnames[0]].iter_rows(values_only=True):
        yield ["" if one is None else str(one).strip() for one in row]


def _header(
    table: Sequence[tuple[int, list[str]]], named: dict[str, str], path: Path
) -> tuple[int, dict[str, int]]:
    """Which row is the header, and where each named column is in it."""
    wanted = {one: column.casefold() for one, column in named.items()}
    for at, (_, cells) in enumerate(table[:_HEAD_ROWS]):
        words = [one.casefold() for one in cells]
        if set(wanted.values()) <= set(words):
            twice = [named[one] for one, word in wanted.items() if words.count(word) > 1]
            if twice:
                text = f"{path}: column {twice[0]!r} is there twice"
                raise UsageError(text)
            return at, {one: words.index(word) for one, word in wanted.items()}
    best = max((cells for _, cells in table[:_HEAD_ROWS]), key=_filled, default=[])
    columns = ", ".join(repr(one) for one in best if one) or "none"
    text = f"{path}: no header with {_said(named.values())}; the columns there: {columns}"
    raise UsageError(text)


def _filled(cells: Sequence[str]) -> int:
    return sum(bool(one) for one in cells)


def _said(words: Iterable[str]) -> str:
    return ", ".join(repr(one) for one in words)


def _cell(cells: Sequence[str], place: int | None) -> str:
    return cells[place] if place is not None and place < len(cells) else ""
