"""The database: tables, statements, how it is opened, and how an older one is brought forward.

Statements are written in SQLAlchemy Core and compiled once: at a thousand commits a second
Core's own work per statement would cost more than SQLite's. The sqlite3 connection is made
here and given to SQLAlchemy, because PRAGMAs and checkpoints must run outside a transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from gateway.queue.rules.counters import sealed
from gateway.sqlite import connection
from gateway.sqlite.connection import Statement

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

VERSION = 2
FILE = "queue.db"
PAGE = 4096  # bytes; SQLite's default since 3.12
LOG_LIMIT = 4 << 20  # bytes kept of the write-ahead log after a checkpoint
BUSY_S = 1.0  # somebody's sqlite3 shell may hold the lock this long before a commit fails
QUARANTINE = 1000  # damaged rows kept for people

metadata = sa.MetaData()
meta = sa.Table(
    "meta",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
    sa.Column("crc", sa.Integer, nullable=False),
    sqlite_with_rowid=False,
)
batch = sa.Table(
    "batch",
    metadata,
    sa.Column("key", sa.Integer, primary_key=True, autoincrement=False),  # prio << 48 | id
    sa.Column("stream", sa.Text, nullable=False),
    sa.Column("asset", sa.Text, nullable=False),
    sa.Column("seq0", sa.Integer, nullable=False),
    sa.Column("n", sa.Integer, nullable=False),
    sa.Column("t_min", sa.Integer, nullable=False),  # Unix ms
    sa.Column("t_max", sa.Integer, nullable=False),
    sa.Column("codec", sa.Text, nullable=False),
    sa.Column("epoch", sa.Text, nullable=False),  # of seq0: an older one in salvaged rows
    sa.Column("aged_s", sa.Integer, nullable=False),  # retention.Ageing when it was stored
    sa.Column("crc", sa.Integer, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)


_LIMIT = " LIMIT ?"  # Core's own adds an OFFSET, and releases differ in its parameter
_IN = batch.c.key.between(sa.bindparam("lo"), sa.bindparam("hi"))
_PLACE = (
    batch.c.key,
    batch.c.asset,
    batch.c.seq0,
    batch.c.n,
    sa.func.length(batch.c.body),
    batch.c.epoch,
    batch.c.aged_s,
)

INSERT = Statement.of(batch.insert())
FETCH = Statement.of(sa.select(*batch.c).where(_IN).order_by(batch.c.key), tail=_LIMIT)
FETCH_BACK = Statement.of(sa.select(*batch.c).where(_IN).order_by(batch.c.key.desc()), tail=_LIMIT)
PLACES = Statement.of(sa.select(*_PLACE).where(_IN).order_by(batch.c.key), tail=_LIMIT)
OLDEST = Statement.of(sa.select(batch.c.t_min).where(_IN).order_by(batch.c.key), tail=" LIMIT 1")
DELETE = Statement.of(batch.delete().where(_IN))
# SQLAlchemy 1.4 cannot write RETURNING for SQLite.
COUNT = Statement.of(
    sa.select(
        sa.func.count(), sa.func.sum(batch.c.key.op("&")(sa.literal_column("0xFFFFFFFF")))
    ).where(_IN)
)
FORGET = Statement(DELETE.sql + " RETURNING key, n, length(body)")
SAVE = Statement("INSERT OR REPLACE INTO meta (key, value, crc) VALUES (?, ?, ?)")
UNSAVE = Statement.of(meta.delete().where(meta.c.key == sa.bindparam("key")))
LOAD = Statement.of(sa.select(meta.c.key, meta.c.value, meta.c.crc))
SET_ASIDE = Statement("INSERT INTO quarantine SELECT NULL, ?, ?, * FROM batch WHERE key = ?")
TRIM = Statement("DELETE FROM quarantine WHERE number <= (SELECT max(number) FROM quarantine) - ?")

# Each entry brings a database of version n to n + 1. Never edit one that was released.
MIGRATIONS = (
    """
    CREATE TABLE meta (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL, crc INTEGER NOT NULL)
        WITHOUT ROWID;
    CREATE TABLE fact (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL, crc INTEGER NOT NULL)
        WITHOUT ROWID;
    CREATE TABLE batch (
        key INTEGER NOT NULL PRIMARY KEY, stream TEXT NOT NULL, asset TEXT NOT NULL,
        seq0 INTEGER NOT NULL, n INTEGER NOT NULL, t_min INTEGER NOT NULL, t_max INTEGER NOT NULL,
        codec TEXT NOT NULL, epoch TEXT NOT NULL, aged_s INTEGER NOT NULL, crc INTEGER NOT NULL,
        body BLOB NOT NULL);
    -- A copy of a row as it lay there, so its columns have no affinity and no constraint.
    CREATE TABLE quarantine (
        number INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, why TEXT NOT NULL,
        key, stream, asset, seq0, n, t_min, t_max, codec, epoch, aged_s, crc, body);
    -- For people with a sqlite3 shell: the columns that the key holds.
    CREATE VIEW waiting AS
        SELECT key & 281474976710655 AS id, key >> 48 AS prio, stream, asset, seq0, n, t_min,
        t_max, codec, epoch, length(body) AS bytes FROM batch
    """,
    # Of the facts, the queue's own are left: what a salvage has to say, and epochs that ended.
    """
    INSERT OR REPLACE INTO meta SELECT key, value, crc FROM fact WHERE key LIKE 'queue:%';
    DELETE FROM meta WHERE key LIKE 'fact:%';
    DROP TABLE fact
    """,
)


def connect(path: Path) -> tuple[sqlite3.Connection, sa.engine.Connection]:
    """Open for reading and writing, see ``sqlite.connection.connect``."""
    pragmas = (
        f"page_size = {PAGE}",
        f"journal_size_limit = {LOG_LIMIT}",
        "cache_size = -2048",  # KiB
    )
    return connection.connect(path, busy_s=BUSY_S, pragmas=pragmas)


def save(core: sa.engine.Connection, key: str, value: str) -> None:
    """Write a key of ``meta``, sealed, inside a transaction."""
    core.exec_driver_sql(SAVE.sql, (key, value, sealed(key, value)))
