"""What is done with control.db, each piece of work in one transaction. No threads here.

Head, facts and age are changed in memory only once a transaction is durable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.audit import schema
from gateway.audit.chain import START, Head, appended, verify_chain
from gateway.audit.file import VERSION, sealed
from gateway.audit.rows import SignedHead, body_of, columns_of, digest, head_text, read_head, row_of
from gateway.audit.seal import resealed, seal_of
from gateway.sqlite import connection
from gateway.sqlite.files import corruption, read_sealed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from gateway.audit.backlog import Stamped
    from gateway.clock import Now

_TAIL = 1000  # rows that are checked at every start


class AuditDatabase:
    """An open control.db.

    Args:
        path: the file.
        now: both clocks, at this moment.

    Raises:
        connection.UNREADABLE: it is damaged (``files.is_corrupt``) or cannot be used.
    """

    def __init__(self, path: Path, now: Now) -> None:
        self.path = path
        self._raw, self._core = schema.connect(path)
        try:
            self._load(now)
        except BaseException:
            self._raw.close()
            raise

    def _load(self, now: Now) -> None:
        found = self._core.exec_driver_sql(schema.MARKS.sql).fetchall()
        self._end_reading()
        version = int(read_sealed(found, sealed).get("schema", "0"))
        connection.migrate(self._core, version, steps=schema.MIGRATIONS, save=schema.save)
        with self._core.begin():  # BEGIN IMMEDIATE: fails now where it may not be written
            marks = read_sealed(self._core.exec_driver_sql(schema.MARKS.sql).fetchall(), sealed)
            kept = self._core.exec_driver_sql(schema.KEPT.sql).fetchall()
            tail = self._core.exec_driver_sql(schema.TAIL.sql, (_TAIL,)).fetchall()
            newest = self._core.exec_driver_sql(schema.NEWEST.sql).fetchone()
            schema.save(self._core, "schema", str(VERSION))
        try:
            self.head = read_head(marks["head"])
            self.anchor = read_head(marks["anchor"])
            self._seal = int(marks["facts"], 16)
            self._age_s, self._opened_s = float(marks["age"]), now.mono_s
        except (KeyError, ValueError, TypeError) as error:
            text = f"a mark is missing or unreadable: {error}"
            raise corruption(text) from error
        self.facts: dict[str, str] = dict(map(tuple, kept))
        if seal_of(self.facts) != self._seal:
            text = "a fact was changed or is missing"
            raise corruption(text)
        self.signed = None if newest is None else _signed(newest)
        self._check([tuple(row) for row in reversed(tail)])

    def _end_reading(self) -> None:
        transaction = self._core.get_transaction()  # SQLAlchemy 2 begins one by itself
        if transaction is not None:
            transaction.rollback()

    def _check(self, tail: Sequence[tuple[Any, ...]]) -> None:
        """The newest rows: their chain, their texts, the head, and the signed one if it is there.

        Everything older is ``audit verify``'s, so that a start costs the same every year.
        """
        rows = [row_of(columns) for columns in tail]
        self.latest_ms = rows[-1].ts if rows else None  # Unix ms of the newest row at the start
        if rows and rows[0].n <= self.anchor.n + 1:
            before = self.anchor
        else:
            before = Head(rows[0].n - 1, rows[0].prev) if rows else self.anchor
        findings = [finding.text for finding in verify_chain(rows, self.head, anchor=before)]
        findings += [
            f"the text of row {row.n} is not what was recorded"
            for row, columns in zip(rows, tail, strict=True)
            if digest(body_of(columns)) != row.payload
        ]
        if rows and rows[-1].n > self.head.n:
            findings.append(f"row {rows[-1].n} is behind the head, {self.head.n}")
        if self.signed is not None:
            known = {row.n: row.hash for row in rows}
            head = self.signed.head
            if head.n > self.head.n or known.get(head.n, head.hash) != head.hash:
                findings.append(f"row {head.n} is not the one that was signed")
        if findings:
            raise corruption("; ".join(findings[:3]))

    # --- writing ---------------------------------------------------------------------------

    def write(self, entries: Sequence[Stamped], facts: Mapping[str, str | None], now: Now) -> None:
        """Append rows and keep facts, all or nothing; durable when it returns.

        Raises:
            sqlalchemy.exc.DBAPIError: nothing was kept.
        """
        head, rows = self.head, []
        for one in entries:
            head, row = appended(
                head,
                ts=one.at.unix_ms,
                mono=int(one.at.mono_s * 1000),
                actor=one.entry.actor,
                event=one.entry.event,
                payload=one.entry.payload,
                asset=one.entry.asset,
            )
            rows.append(columns_of(row, one.entry.payload))
        seal = resealed(self._seal, self.facts, facts)
        with self._core.begin():
            if rows:
                self._core.exec_driver_sql(schema.INSERT.sql, rows)
            for key, value in facts.items():
                if value is None:
                    self._core.exec_driver_sql(schema.UNKEEP.sql, (key,))
                else:
                    self._core.exec_driver_sql(schema.KEEP.sql, (key, value))
            schema.save(self._core, "head", head_text(head))
            schema.save(self._core, "facts", f"{seal:x}")
            schema.save(self._core, "age", str(int(self.age_s(now))))
        self.head, self._seal = head, seal
        for key, value in facts.items():
            if value is None:
                self.facts.pop(key, None)
            else:
                self.facts[key] = value

    def sign(self, signed: SignedHead, now: Now) -> None:
        """Keep a signed head, and let those go that are too old to be told apart by the hour.

        Raises:
            sqlalchemy.exc.DBAPIError: it was not kept.
        """
        age_s = int(self.age_s(now))
        head = signed.head
        with self._core.begin():
            columns = (head.n, head.hash, signed.ts, age_s, signed.jws)
            self._core.exec_driver_sql(schema.SIGN.sql, columns)
            schema.save(self._core, "age", str(age_s))
        self.signed = signed

    def age_s(self, now: Now) -> float:
        """For how long the log has been open in its life, in seconds: no clock can turn it."""
        return self._age_s + max(0.0, now.mono_s - self._opened_s)

    def may_let_go(self, now: Now, *, keep_s: float) -> SignedHead | None:
        """The newest signed head whose rows are older than ``keep_s``, if one is."""
        with self._core.begin():
            up_to = (int(self.age_s(now) - keep_s),)
            found = self._core.exec_driver_sql(schema.OLD_ENOUGH.sql, up_to).fetchone()
        if found is None or found[0] <= self.anchor.n:
            return None
        return _signed(found)

    def let_go(self, anchor: SignedHead, now: Now, *, thin_s: float) -> None:
        """Let the rows up to ``anchor`` go; it stays as what the rest follows.

        Raises:
            sqlalchemy.exc.DBAPIError: nothing was let go.
        """
        with self._core.begin():
            self._core.exec_driver_sql(schema.LET_GO.sql, (anchor.head.n,))
            self._core.exec_driver_sql(schema.UNSIGN.sql, (anchor.head.n,))
            schema.save(self._core, "anchor", head_text(anchor.head))
            self._thin(now, thin_s, anchor.head)
        self.anchor = anchor.head

    def thin(self, now: Now, *, thin_s: float) -> None:
        """Keep one signed head a day of those older than ``thin_s``."""
        with self._core.begin():
            self._thin(now, thin_s, self.anchor)

    def _thin(self, now: Now, thin_s: float, anchor: Head) -> None:
        older = int(self.age_s(now) - thin_s)
        self._core.exec_driver_sql(schema.THIN.sql, (older, anchor.n))

    def checkpoint(self) -> None:
        """Bring the log into the database and cut it off; a reader elsewhere may prevent it."""
        self._raw.execute("PRAGMA incremental_vacuum(256)").fetchall()
        connection.checkpoint(self._raw)

    def close(self) -> None:
        """Close both connections; SQLite checkpoints with the last one."""
        connection.disconnect(self._raw, self._core)


def _signed(columns: Sequence[Any]) -> SignedHead:
    n, hash_, ts, _, jws = columns
    return SignedHead(Head(n, hash_), ts, jws)


def create(path: Path, entries: Sequence[Stamped], facts: Mapping[str, str], now: Now) -> None:
    """Make a database with these first rows, whole and synced, in a file that is not there."""
    raw, core = schema.connect(path)
    try:
        connection.migrate(core, 0, steps=schema.MIGRATIONS, save=schema.save)
        with core.begin():
            start = {"head": head_text(START), "anchor": head_text(START), "facts": "0"}
            for key, value in {**start, "age": "0"}.items():
                schema.save(core, key, value)
    finally:
        connection.disconnect(raw, core)
    made = AuditDatabase(path, now)
    try:
        made.write(entries, facts, now)
        made.checkpoint()
    finally:
        made.close()
