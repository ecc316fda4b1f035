"""What the log's thread does with control.db, and about every fault of it.

- full, or any other fault of the disk: who waits is told at once, the orders stay in memory, and
  are tried again with the next order or after half a second.
- damaged while open: the file is set aside, a new chain begins with every fact that is known.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

from gateway.audit import opening
from gateway.audit.chain import START, Head, head_payload
from gateway.audit.rows import SignedHead
from gateway.audit.witness import FILE, Witness
from gateway.effects import AuditEntry, Record
from gateway.errors import GatewayError
from gateway.events import AuditTroubled, HeadSigned
from gateway.sqlite import connection, files

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from gateway.audit.backlog import WaitingOrder
    from gateway.audit.database import AuditDatabase
    from gateway.clock import Now
    from gateway.events import Post

RETRY_S = 1.0  # between two signatures
UNSIGNED_S = 60.0  # between two tries with a key that fails
SIGN_S = 3600.0  # a head is signed at least this often
DAY_S = 86_400.0
KEEP_S = 400 * DAY_S
THIN_S = 2 * DAY_S  # older signed heads are kept one a day
_FIRST_CARE_S = 600.0  # after the start
_IDLE_S = 1.0  # without an order: then the write-ahead log is cut off


class AuditWriter:
    """Owns the database; every method is called on one thread.

    Args:
        path: the database's file.
        gateway: id of this gateway, as signed.
        sign: makes a JWS of a payload; None: heads are not signed.
        post: the core's inbox.
        now: both clocks.
    """

    def __init__(
        self,
        path: Path,
        *,
        gateway: str,
        sign: Callable[[bytes], str] | None,
        post: Post,
        now: Callable[[], Now],
    ) -> None:
        self.path = path
        self._gateway = gateway
        self._sign = sign
        self._post = post
        self._now = now
        self._db: AuditDatabase | None = None
        self._witness = Witness(path.with_name(FILE))
        self.recalled: dict[str, str] = {}  # what the witness names and the file did not have
        self._damage = ""  # why the file must be set aside, while that has not been done
        self._known: dict[str, str] = {}  # facts, for then
        self._trouble = self._unsigned = False
        self._is_sign_asked = self._is_asked_anew = self._dirty = False
        self._sign_due_s = self._signed_s = self._care_s = self._worked_s = 0.0

    @property
    def head(self) -> Head:
        """The last durable row."""
        return START if self._db is None else self._db.head

    @property
    def latest_ms(self) -> int | None:
        """Unix ms of the newest row at the start; None: there was none."""
        return None if self._db is None else self._db.latest_ms

    @property
    def facts(self) -> dict[str, str]:
        """The facts as they are in the file."""
        return dict(self._known if self._db is None else self._db.facts)

    def open(self, *, kept: bool) -> None:
        """Open the database, or set a damaged one aside.

        Raises:
            StoreError: it cannot be used.
        """
        now = self._now()
        self._db = opening.open_control(self.path, now, kept=kept)
        self.recalled = self._witness.missing(self._db.facts)
        lasting = self.path.with_name(FILE)
        aside = files.aside_name(lasting, now)
        self._witness.agree(self._db.facts, aside=aside)
        if self._witness.fault:
            text = f"{lasting}: {self._witness.fault}: set aside as {aside.name}"
            self._tell("unread", f"{text}; whether control.db is an older copy nobody knows", now)
        if self.recalled:
            names = ", ".join(sorted(self.recalled))
            text = f"{self.path}: an older copy? {FILE} beside it names what it does not: {names}"
            self._tell("recalled", text, now)
        self._care_s = now.mono_s + _FIRST_CARE_S
        signed = self._db.signed
        since_s = SIGN_S if signed is None else (now.unix_ms - signed.ts) / 1000
        wait_s = SIGN_S - since_s if 0 <= since_s <= SIGN_S else 0.0
        self._sign_due_s = now.mono_s + wait_s
        self._signed_s = now.mono_s - RETRY_S

    def close(self) -> None:
        """Cut the log off and close."""
        if self._db is not None:
            with suppress(*connection.UNREADABLE):
                self._db.checkpoint()
            with suppress(*connection.UNREADABLE):
                self._db.close()

    # --- writing ---------------------------------------------------------------------------

    def write(self, orders: Sequence[WaitingOrder]) -> str:
        """Make these orders durable in one transaction; "" or why they are not."""
        entries = [one for order in orders for one in order.rows()]
        facts = {key: value for order in orders for key, value in order.facts.items()}
        now = self._now()
        self._worked_s, self._dirty = now.mono_s, True
        for _ in range(2):  # a file that turns out to be damaged is set aside, and tried again
            database = self._db or self._begin_anew(now)
            if database is None:
                break
            try:
                self._witness.begin(facts)
                database.write(entries, facts, now)
            except (*connection.UNREADABLE, OSError) as error:
                cause = self._failed(error, now)
                if self._damage:
                    continue
                return cause
            self._witness.end(facts)
            self._works(now)
            return ""
        return f"{self.path}: {self._damage}; and it cannot be set aside"

    def _failed(self, error: Exception, now: Now) -> str:
        """Say what is wrong; a damaged file is closed."""
        text = files.reason(error)
        if files.is_corrupt(error):
            if self._db is not None:
                self._known = self._db.facts
                with suppress(*connection.UNREADABLE):
                    self._db.close()
                self._db = None
            self._damage = text
        full = files.is_full(error)
        text = f"{self.path}: {'the disk is full' if full else text}"
        if not self._trouble and not self._damage:
            self._trouble = True
            self._tell("disk_full" if full else "failed", text, now)
            if full and self._db is not None:
                with suppress(*connection.UNREADABLE):
                    self._db.checkpoint()  # what the write-ahead log took is room
        return text

    def _works(self, now: Now) -> None:
        if self._trouble:
            self._trouble = False
            self._tell("works", f"{self.path}: commits succeed again", now)

    def _begin_anew(self, now: Now) -> AuditDatabase | None:
        try:
            self._db = opening.begin_anew(
                self.path, now, why=f"{self.path}: {self._damage}", facts=self._known
            )
        except (*connection.UNREADABLE, OSError) as error:
            if not self._trouble:
                self._trouble = True
                text = f"{self.path}: {self._damage}; cannot be set aside: {files.reason(error)}"
                self._tell("failed", text, now)
            return None
        self._tell("corrupt", f"{self.path}: {self._damage}; set aside, a new chain begins", now)
        self._damage = ""
        return self._db

    def _tell(self, kind: str, text: str, now: Now) -> None:
        self._post(AuditTroubled(kind, text, now))

    # --- what is due by itself -------------------------------------------------------------

    def wake_in_s(self, now: Now) -> float:
        """Seconds until something is due, 0 or more."""
        if self._db is None:
            return RETRY_S
        due = [self._care_s]
        if self._dirty:
            due.append(self._worked_s + _IDLE_S)
        if self._sign is not None:
            due.append(self._sign_due_s)
            if self._is_wanted:
                due.append(self._signed_s + RETRY_S)
        return max(0.0, min(due) - now.mono_s)

    @property
    def _is_wanted(self) -> bool:
        """A signature was asked for; since the last try, where the key failed: it may be mended."""
        return self._is_sign_asked and (not self._unsigned or self._is_asked_anew)

    def tend(self, *, is_sign_asked: bool, closing: bool) -> Record | None:
        """Sign, let old rows go, or cut the log off: one thing that is due, for each takes syncs.

        Returns:
            What is to be recorded of it.
        """
        now = self._now()
        self._is_sign_asked = self._is_sign_asked or is_sign_asked
        self._is_asked_anew = self._is_asked_anew or is_sign_asked
        if self._db is None:  # found damaged by one of these: nobody's order opens it again
            self._begin_anew(now)
        try:
            if self._sign_head(now, closing=closing):
                return None
            if self._db is not None and now.mono_s >= self._care_s:
                return self._let_go(self._db, now)
            if self._db is not None and self._dirty and now.mono_s >= self._worked_s + _IDLE_S:
                self._dirty = False
                # A reader is in the way, or the disk is full.
                with suppress(*connection.UNREADABLE):
                    self._db.checkpoint()
        except connection.UNREADABLE as error:
            self._failed(error, now)
        return None

    def _sign_head(self, now: Now, *, closing: bool) -> bool:
        """Sign where it is due; whether it was."""
        if self._db is None or self._sign is None:
            return False
        due = now.mono_s >= self._sign_due_s
        if self._is_wanted:
            due = due or closing or now.mono_s >= self._signed_s + RETRY_S
        if not due:
            return False
        self._signed_s, self._is_asked_anew = now.mono_s, False
        self._sign_due_s = now.mono_s + RETRY_S  # if it fails
        head = self._db.head
        try:
            jws = self._sign(head_payload(head, self._gateway, ts=now.unix_ms))
        except (GatewayError, OSError) as error:
            self._sign_due_s = now.mono_s + UNSIGNED_S
            if not self._unsigned:
                self._unsigned = True
                self._tell("unsigned", f"the audit's head cannot be signed: {error}", now)
            return True
        self._db.sign(SignedHead(head, now.unix_ms, jws), now)
        self._works(now)
        self._sign_due_s = now.mono_s + SIGN_S
        self._is_sign_asked, self._dirty = False, True
        self._post(HeadSigned(head.n, jws, now, head.hash))
        if self._unsigned:
            self._unsigned = False
            self._tell("signs", "the audit's head is signed again", now)
        return True

    def _let_go(self, database: AuditDatabase, now: Now) -> Record | None:
        self._care_s = now.mono_s + DAY_S
        self._worked_s, self._dirty = now.mono_s, True
        anchor = database.may_let_go(now, keep_s=KEEP_S)
        if anchor is None:
            database.thin(now, thin_s=THIN_S)
            return None
        database.let_go(anchor, now, thin_s=THIN_S)
        body = {"letGo": {"to": anchor.head.n, "hash": anchor.head.hash}, "keptDays": 400}
        return Record(0, (AuditEntry("gateway", "audit", "", json.dumps(body).encode()),))
