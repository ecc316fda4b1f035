"""SQLAlchemy Core over one SQLite file that has one writer: a connection, and statements for it."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite as dialect
from sqlalchemy.pool import StaticPool

from gateway.sqlite.files import readable, uri

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from sqlalchemy.sql import ClauseElement

# sqlite3 cannot decode its own message where a damaged schema is quoted in it.
UNREADABLE = (sqlite3.Error, sa.exc.DBAPIError, UnicodeDecodeError)
_PRAGMAS = (
    "auto_vacuum = INCREMENTAL",  # room given back to the disk without a rewrite
    "journal_mode = WAL",
    "synchronous = FULL",
    "secure_delete = OFF",  # Debian turns it on: every delete would write its pages
    "cell_size_check = ON",
    "temp_store = MEMORY",
    "trusted_schema = OFF",
)


@dataclass(frozen=True, slots=True)
class Statement:
    """Core's statement as SQLite gets it, and the order of its parameters."""

    sql: str

    @classmethod
    def of(cls, clause: ClauseElement, *, tail: str = "") -> Statement:
        """Compile once; parameters are given in the order in which the SQL names them."""
        return cls(str(clause.compile(dialect=dialect.dialect(paramstyle="qmark"))) + tail)


def connect(
    path: Path, *, busy_s: float, pragmas: Iterable[str] = ()
) -> tuple[sqlite3.Connection, sa.engine.Connection]:
    """Open for reading and writing; the caller ends both.

    Args:
        path: of the file; it is made where there is none.
        busy_s: somebody's sqlite3 shell may hold the lock this long before a commit fails.
        pragmas: of this database alone; they come first.

    Returns:
        The sqlite3 connection, for PRAGMAs, and SQLAlchemy's around it, for transactions.
    """
    raw = sqlite3.connect(
        uri(path, "rwc"),
        uri=True,
        timeout=busy_s,
        isolation_level=None,  # we say BEGIN; sqlite3 must not
        check_same_thread=False,  # opened by start(), used by one thread alone
        cached_statements=64,
    )
    raw.text_factory = readable
    try:
        for pragma in (*pragmas, *_PRAGMAS):
            raw.execute(f"PRAGMA {pragma}").fetchall()
    except sqlite3.Error:
        raw.close()
        raise
    engine = sa.create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)
    # Not in a "begin" listener: after one that raised (a locked file), SQLAlchemy 1.4 (Debian 12)
    # never begins again. May go with Debian 12.
    engine.dialect.do_begin = _begin  # type: ignore[assignment, method-assign]
    return raw, engine.connect()


def _begin(connection: object) -> None:
    """One writer: a transaction takes the write lock when it begins, or fails then."""
    cursor = connection.cursor()  # type: ignore[attr-defined]  # the pool's proxy of sqlite3's
    cursor.execute("BEGIN IMMEDIATE")
    cursor.close()
