"""TOML with line numbers, so that a wrong value can be pointed at.

``Section`` reads one table. A fault never stops the reading: it is noted in the shared list and
a placeholder is returned, so that all faults of a file are reported at once. The caller raises
``ConfigError(faults)`` when it is done and the list is not empty.
"""

from __future__ import annotations

import math
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import tomli

from gateway.errors import ConfigError, Fault, Where

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

_HEADER = re.compile(r"(\[\[?)([^\[\]]+)\]\]?\s*(?:#.*)?$")  # of a line without blanks around it
_NAME = r"(?:[A-Za-z0-9_\-]+|\"[^\"]*\"|'[^']*')"
_KEY = re.compile(rf"\s*({_NAME}(?:\s*\.\s*{_NAME})*)\s*=")
_SIZE = re.compile(r"([0-9]+)\s*(KiB|MiB|GiB|TiB)\Z")
_SIZE_FACTOR = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file: its tree, and the line of every table and key."""

    file: str
    tree: Mapping[str, Any]
    lines: Mapping[tuple[str, str], int]
    faults: list[Fault]

    def section(self, path: str = "") -> Section | None:
        """The table at ``path`` ("uplink", "asset[0].dnp3"); None if it is absent."""
        values: Any = self.tree
        for part in filter(None, re.split(r"\.|(?=\[)", path)):
            try:
                values = values[int(part[1:-1])] if part.startswith("[") else values[part]
            except (KeyError, IndexError, TypeError):
                return None
        return self.table(path, values)

    def table(self, path: str, values: object) -> Section | None:
        """``values`` as the section ``path``; a fault and None where it is no table."""
        if not isinstance(values, dict):
            self.fault(path, "", f"= {values!r}: must be a table")
            return None
        return Section(self, path, values)

    def sections(self, path: str) -> list[Section]:
        """The tables of the array of tables ``path``, in order."""
        values = self.tree.get(path, [])
        if not isinstance(values, list):
            self.fault("", path, f"must be an array of tables, [[{path}]]")
            return []
        found = [self.table(f"{path}[{at}]", value) for at, value in enumerate(values)]
        return [section for section in found if section is not None]

    def where(self, table: str, key: str) -> Where:
        """Place of ``key``; the table's own line when the key is absent."""
        line = self.lines.get((table, key)) or self.lines.get((table, ""), 1)
        return Where(self.file, table, key, line)

    def fault(self, table: str, key: str, text: str, *, code: str = "") -> None:
        """Note a fault at ``key`` of ``table``."""
        self.faults.append(Fault(self.where(table, key), text, code))


def parse(raw: bytes, *, file: str) -> Document:
    """Parse ``raw``. Pure: the caller reads the file.

    Raises:
        ConfigError: not UTF-8, or not TOML; says the line.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        found = Fault(Where(file, "", "", line), f"byte 0x{raw[error.start]:02x}: must be UTF-8")
        raise ConfigError([found]) from None
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    try:
        tree = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        found_line = re.search(r"line (\d+)", str(error))
        line = int(found_line[1]) if found_line else max(1, text.count("\n"))
        raise ConfigError([Fault(Where(file, "", "", line), f"not TOML: {error}")]) from None
    except (ValueError, RecursionError) as error:  # 4300 digits; arrays 400 deep
        reason = f"cannot be read as TOML: {error}"
        raise ConfigError([Fault(Where(file, "", "", 1), reason)]) from None
    return Document(file, tree, _line_index(text), [])


@dataclass(frozen=True, slots=True)
class Section:
    """One table of a TOML file; each reader checks type and range and notes faults."""

    document: Document
    path: str
    values: Mapping[str, Any]

    def fault(self, key: str, allowed: str, *, code: str = "") -> None:
        """Note that ``key`` is missing, or holds something other than ``allowed``."""
        found = f"= {self.values[key]!r}" if key in self.values else "is missing"
        self.document.fault(self.path, key, f"{found}: must be {allowed}", code=code)

    def reject_unknown(self, known: Collection[str], *, code: str = "") -> None:
        """Refuse keys nobody reads: a misspelt limit must not be ignored."""
        for key in self.values:
            if key not in known:
                allowed = ", ".join(sorted(known))
                self.document.fault(self.path, key, f"is unknown: allowed are {allowed}", code=code)

    def text(
        self,
        key: str,
        *,
        default: str | None = None,
        pattern: str = r"(?s).+",
        allowed: str = "a non-empty string",
        code: str = "",
    ) -> str:
        """Read a string that matches ``pattern`` whole; ``default`` if absent (None: required)."""
        found = self.values.get(key, default)
        if isinstance(found, str) and (found == default or re.fullmatch(pattern, found)):
            return found
        self.fault(key, allowed, code=code)
        return default or ""

    def one_of(
        self, key: str, allowed: Collection[str], *, default: str | None = None, code: str = ""
    ) -> str:
        """Read one of the words in ``allowed``."""
        found = self.values.get(key, default)
        if isinstance(found, str) and found in allowed:
            return found
        self.fault(key, "one of " + ", ".join(sorted(allowed)), code=code)
        return default or ""

    def number(
        self,
        key: str,
        *,
        lo: float = -math.inf,
        hi: float = math.inf,
        unit: str = "",
        default: float | None = None,
        code: str = "",
    ) -> float:
        """Read a finite number in ``lo..hi``; ``unit`` only speaks in the message."""
        found = self.values.get(key, default)
        if _is_number(found) and lo <= found <= hi:
            return float(found)
        self.fault(key, _range(lo, hi, unit), code=code)
        return default if default is not None else (lo if math.isfinite(lo) else 0.0)

    def integer(
        self,
        key: str,
        *,
        lo: int,
        hi: int,
        unit: str = "",
        default: int | None = None,
        code: str = "",
    ) -> int:
        """Read a whole number in ``lo..hi``."""
        found = self.values.get(key, default)
        if isinstance(found, int) and not isinstance(found, bool) and lo <= found <= hi:
            return found
        self.fault(key, "a whole number, " + _range(lo, hi, unit), code=code)
        return default if default is not None else lo

    def optional(self, key: str, read: Callable[[str], float]) -> float | None:
        """``read(key)`` where the key is present, else None."""
        return read(key) if key in self.values else None

    def flag(self, key: str, *, default: bool | None = None, code: str = "") -> bool:
        """Read true or false."""
        found = self.values.get(key, default)
        if isinstance(found, bool):
            return found
        self.fault(key, "true or false", code=code)
        return bool(default)

    def texts(
        self, key: str, *, default: tuple[str, ...] | None = None, code: str = ""
    ) -> tuple[str, ...]:
        """Read an array of strings."""
        found = self.values.get(key, default)
        if isinstance(found, list | tuple) and all(isinstance(item, str) for item in found):
            return tuple(found)
        self.fault(key, "an array of strings", code=code)
        return default or ()

    def size(self, key: str, *, lo: int, hi: int, default: int) -> int:
        """Read a size in bytes, written as "2GiB"."""
        if key not in self.values:
            return default
        found = self.values[key]
        parts = _SIZE.match(found) if isinstance(found, str) else None
        if parts is not None:
            size = int(parts[1]) * _SIZE_FACTOR[parts[2]]
            if lo <= size <= hi:
                return size
        self.fault(key, f'a size such as "2GiB" (KiB, MiB, GiB, TiB), {_size(lo)}..{_size(hi)}')
        return default

    def tables(self, key: str, *, code: str = "") -> list[Section]:
        """Read an array of tables below this one, inline or not."""
        found = self.values.get(key, [])
        if not isinstance(found, list):
            self.fault(key, "an array of tables", code=code)
            return []
        path = f"{self.path}.{key}" if self.path else key
        sections = [self.document.table(f"{path}[{at}]", value) for at, value in enumerate(found)]
        return [section for section in sections if section is not None]

    def below(self, key: str) -> Section | None:
        """The table ``key`` below this one; None if it is absent."""
        path = f"{self.path}.{key}" if self.path else key
        return self.document.table(path, self.values[key]) if key in self.values else None


def _is_number(found: object) -> bool:
    if not isinstance(found, int | float) or isinstance(found, bool):
        return False
    return abs(found) <= sys.float_info.max  # a whole number may be too large for a float


def _range(lo: float, hi: float, unit: str) -> str:
    tail = f" {unit}" if unit else ""
    if math.isinf(lo) and math.isinf(hi):
        return f"a finite number{tail}"
    if math.isinf(hi):
        return f"{lo:.15g} or more{tail}"
    if math.isinf(lo):
        return f"{hi:.15g} or less{tail}"
    return f"{lo:.15g}..{hi:.15g}{tail}"


def _size(size: int) -> str:
    for unit in ("TiB", "GiB", "MiB"):
        if size % _SIZE_FACTOR[unit] == 0:
            return f"{size // _SIZE_FACTOR[unit]}{unit}"
    return f"{size >> 10}KiB"


def _line_index(text: str) -> dict[tuple[str, str], int]:
    """Map (table path, key) to its first line; (path, "") to the table's header.

    Multi-line strings are skipped; an array element's path carries its number, as in
    "asset[1].dnp3". Keys of inline tables have the line of the key that holds them.
    """
    index: dict[tuple[str, str], int] = {}
    counts: dict[str, int] = {}
    table, fence = "", ""
    for number, line in enumerate(text.split("\n"), start=1):
        if fence:
            if line.count(fence) % 2:
                fence = ""
            continue
        if found := _HEADER.match(line.strip()):
            table = _resolve(found[2].strip(), counts, array=found[1] == "[[")
            index.setdefault((table, ""), number)
            parent, _, key = table.rpartition(".")
            index.setdefault((parent, key.partition("[")[0]), number)
        elif found := _KEY.match(line):
            path = table
            for part in found[1].split("."):
                key = part.strip().strip("\"'")
                index.setdefault((path, key), number)
                path = f"{path}.{key}" if path else key
        for mark in ('"""', "'''"):
            if line.count(mark) % 2:
                fence = mark
    return index


def _resolve(header: str, counts: dict[str, int], *, array: bool) -> str:
    """Table path of a header, with the number of the latest element of each array on the way."""
    path = ""
    parts = [part.strip().strip("\"'") for part in header.split(".")]
    for at, part in enumerate(parts):
        path = f"{path}.{part}" if path else part
        if array and at == len(parts) - 1:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = f"{path}[{counts[path]}]"
    return path
