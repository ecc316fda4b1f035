"""SQLAlchemy Core over one SQLite file that has one writer: a connection, and statements for it."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite as dialect
from sqlalchemy.pool import StaticPool

from gateway.sqlite.files import readable, uri

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
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


def disconnect(raw: sqlite3.Connection, core: sa.engine.Connection) -> None:
    """End both; SQLite checkpoints with the last one."""
    with suppress(*UNREADABLE):
        core.close()
        core.engine.dispose()
    raw.close()


def checkpoint(raw: sqlite3.Connection) -> None:
    """Bring the log into the database and cut it off; a reader elsewhere may prevent it."""
    raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def migrate(
    core: sa.engine.Connection,
    version: int,
    *,
    steps: Sequence[str],
    save: Callable[[sa.engine.Connection, str, str], None],
) -> None:
    """Bring an older database forward, each step in one transaction with its version row.

    Args:
        core: outside a transaction.
        version: of the database as it is.
        steps: entry n has the statements that bring version n to n + 1.
        save: writes a key and its value, sealed.
    """
    for number in range(version, len(steps)):
        with core.begin():
            for sql in steps[number].split(";"):
                core.exec_driver_sql(sql)
            save(core, "schema", str(number + 1))


def _begin(connection: object) -> None:
    """One writer: a transaction takes the write lock when it begins, or fails then."""
    cursor = connection.cursor()  # type: ignore[attr-defined]  # the pool's proxy of sqlite3's
    cursor.execute("BEGIN IMMEDIATE")
    cursor.close()
