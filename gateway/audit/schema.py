"""control.db: tables, statements, how it is opened, and how an older one is brought forward.

As in the queue, statements are written in SQLAlchemy Core and compiled once, and the sqlite3
connection is made here and given to SQLAlchemy: PRAGMAs and checkpoints must run outside a
transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from gateway.audit.file import BUSY_S, sealed
from gateway.sqlite import connection
from gateway.sqlite.connection import Statement

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

LOG_LIMIT = 1 << 20  # bytes kept of the write-ahead log after a checkpoint

metadata = sa.MetaData()
audit = sa.Table(
    "audit",
    metadata,
    sa.Column("n", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("ts", sa.Integer, nullable=False),  # Unix ms
    sa.Column("mono", sa.Integer, nullable=False),  # ms of CLOCK_BOOTTIME
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("payload", sa.Text, nullable=False),  # SHA-256 of body, hex
    sa.Column("prev", sa.Text, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
    sa.Column("asset", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
)
fact = sa.Table(
    "fact",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
    sqlite_with_rowid=False,
)
mark = sa.Table(  # schema, head, facts, age, anchor
    "mark",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
    sa.Column("crc", sa.Integer, nullable=False),
    sqlite_with_rowid=False,
)
signed = sa.Table(
    "signed",
    metadata,
    sa.Column("n", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("hash", sa.Text, nullable=False),
    sa.Column("ts", sa.Integer, nullable=False),  # Unix ms
    sa.Column("age_s", sa.Integer, nullable=False),  # of the log, in seconds that it was open
    sa.Column("jws", sa.Text, nullable=False),
)


_UP_TO: sa.sql.elements.BindParameter[int] = sa.bindparam("up_to")
INSERT = Statement.of(audit.insert())
TAIL = Statement.of(sa.select(*audit.c).order_by(audit.c.n.desc()), tail=" LIMIT ?")
LET_GO = Statement.of(audit.delete().where(audit.c.n <= _UP_TO))
KEEP = Statement("INSERT OR REPLACE INTO fact (key, value) VALUES (?, ?)")
UNKEEP = Statement.of(fact.delete().where(fact.c.key == sa.bindparam("name")))
KEPT = Statement.of(sa.select(fact.c.key, fact.c.value))
SAVE = Statement("INSERT OR REPLACE INTO mark (key, value, crc) VALUES (?, ?, ?)")
MARKS = Statement.of(sa.select(mark.c.key, mark.c.value, mark.c.crc))
SIGN = Statement("INSERT OR REPLACE INTO signed (n, hash, ts, age_s, jws) VALUES (?, ?, ?, ?, ?)")
NEWEST = Statement.of(sa.select(*signed.c).order_by(signed.c.n.desc()), tail=" LIMIT 1")
OLD_ENOUGH = Statement.of(
    sa.select(*signed.c).where(signed.c.age_s <= _UP_TO).order_by(signed.c.n.desc()),
    tail=" LIMIT 1",
)
UNSIGN = Statement.of(signed.delete().where(signed.c.n < _UP_TO))
# One a day is enough to anchor the log at, once they are two days old; ?2 is the anchor itself.
THIN = Statement(
    "DELETE FROM signed WHERE n > ?2 AND age_s < ?1 AND n NOT IN"
    " (SELECT max(n) FROM signed WHERE age_s < ?1 GROUP BY age_s / 86400)"
)

# Each entry brings a database of version n to n + 1. Never edit one that was released.
MIGRATIONS = (
    """
    CREATE TABLE audit (
        n INTEGER NOT NULL PRIMARY KEY, ts INTEGER NOT NULL, mono INTEGER NOT NULL,
        actor TEXT NOT NULL, event TEXT NOT NULL, payload TEXT NOT NULL, prev TEXT NOT NULL,
        hash TEXT NOT NULL, asset TEXT NOT NULL, body TEXT NOT NULL);
    CREATE TABLE fact (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE mark (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL, crc INTEGER NOT NULL)
        WITHOUT ROWID;
    CREATE TABLE signed (
        n INTEGER NOT NULL PRIMARY KEY, hash TEXT NOT NULL, ts INTEGER NOT NULL,
        age_s INTEGER NOT NULL, jws TEXT NOT NULL)
    """,
)


def connect(path: Path) -> tuple[sqlite3.Connection, sa.engine.Connection]:
    """Open for reading and writing, see ``sqlite.connection.connect``."""
    return connection.connect(path, busy_s=BUSY_S, pragmas=(f"journal_size_limit = {LOG_LIMIT}",))


def save(core: sa.engine.Connection, key: str, value: str) -> None:
    """Write a mark, inside a transaction."""
    core.exec_driver_sql(SAVE.sql, (key, value, sealed(key, value)))
