"""The audit log with a real file: group commits, facts, signatures, 400 days, one writer."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.audit import schema
from gateway.audit.backlog import AuditBacklog
from gateway.audit.device import Device, read_certificate
from gateway.audit.examine import examine
from gateway.audit.file import VERSION, sealed
from gateway.audit.reader import reading
from gateway.audit.writer import DAY_S, AuditWriter
from gateway.effects import Record
from gateway.errors import GatewayError, StoreError
from gateway.events import AuditTroubled, HeadSigned, Recorded
from gateway.sqlite import connection
from gateway.sqlite.files import found_version
from tests.fixtures.audits import (
    GATEWAY,
    Clock,
    Ledger,
    certificate,
    entry,
    identity,
    row_texts,
    tampered,
)
from tests.fixtures.queues import Inbox

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[3]


def test_what_is_recorded_is_there_after_a_restart_with_its_text_and_its_facts(
    tmp_path: Path,
) -> None:
    with Ledger(tmp_path) as ledger:
        assert ledger.log.facts() == {}
        assert ledger.record(entry(1), facts={"latched": "bess-1", "seq": "4"}).ok
        assert ledger.record(entry(2), facts={"seq": "5"}).ok
        assert ledger.log.facts() == {"latched": "bess-1", "seq": "5"}
        head = ledger.log.head
    with Ledger(tmp_path) as ledger:
        assert ledger.log.head == head
        assert ledger.log.trouble == ""
        assert ledger.log.facts() == {"latched": "bess-1", "seq": "5"}
        assert ledger.record(facts={"latched": None}).ok
        assert ledger.log.facts() == {"seq": "5"}
    with reading(tmp_path / "control.db") as log:
        rows = log.rows()
    assert [row.n for row, _ in rows] == [1, 2, 3]
    assert [body for _, body in rows[1:]] == [entry(1).payload, entry(2).payload]
    assert [(row.actor, row.event, row.asset) for row, _ in rows[1:]] == [
        ("ops-1", "command", "bess-1")
    ] * 2


def test_the_first_row_says_that_a_chain_begins(tmp_path: Path) -> None:
    with Ledger(tmp_path):
        pass
    [(n, text)] = row_texts(tmp_path / "control.db")
    assert (n, json.loads(text)) == (1, {"begins": "a new chain"})


def test_waiting_orders_share_one_commit_and_each_is_answered_once(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        blocker = sqlite3.connect(tmp_path / "control.db", isolation_level=None)
        with closing(blocker):
            blocker.execute("BEGIN IMMEDIATE")
            first = ledger.hand_over(entry(0))
            assert not ledger.answer(first).ok  # the file is locked: told at once
            before = blocker.execute("PRAGMA data_version").fetchone()
            blocker.execute("COMMIT")
            tokens = [ledger.hand_over(entry(n), facts={"n": str(n)}) for n in range(1, 500)]
            assert all(ledger.answer(token).ok for token in tokens)
            assert blocker.execute("PRAGMA data_version").fetchone() != before
        answered = [event.token for event in ledger.inbox.of(Recorded)]
        assert sorted(answered) == [first, *tokens]
        assert ledger.log.facts() == {"n": "499"}
    texts = [json.loads(text) for _, text in row_texts(tmp_path / "control.db")][1:]
    assert [text["number"] for text in texts] == list(range(500))


def test_orders_that_wait_together_go_into_one_transaction(tmp_path: Path) -> None:
    clock, inbox = Clock(), Inbox()
    writer = AuditWriter(tmp_path / "control.db", gateway=GATEWAY, sign=None, post=inbox, now=clock)
    writer.open(kept=False)
    backlog = AuditBacklog()
    for number in range(200):
        backlog.put(Record(number, (entry(number),), {"n": str(number)}), clock())
    with closing(sqlite3.connect(tmp_path / "control.db")) as watcher:
        before = watcher.execute("PRAGMA data_version").fetchone()[0]
        assert writer.write(backlog.take()) == ""
        assert watcher.execute("PRAGMA data_version").fetchone()[0] == before + 1
    assert not backlog
    assert writer.head.n == 201
    writer.close()


def test_an_order_without_a_token_is_written_and_not_answered(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.log.record(Record(0, (entry(1),)))
        assert ledger.record(entry(2)).ok
        assert len(ledger.inbox.of(Recorded)) == 1
    assert len(row_texts(tmp_path / "control.db")) == 3


def test_a_log_that_is_not_open_refuses_at_once(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    assert "is not open" in ledger.record(entry()).cause
    with ledger:
        pass
    token = ledger.hand_over(entry())
    assert not ledger.answer(token).ok


def test_what_waits_is_written_before_the_log_closes(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        tokens = [ledger.hand_over(entry(n)) for n in range(1000)]
    assert all(ledger.answer(token).ok for token in tokens)
    assert len(row_texts(tmp_path / "control.db")) == 1001
    assert sorted(each.name for each in tmp_path.iterdir()) == ["control.db", "control.lock"]


def test_names_from_the_wire_that_are_no_text_do_not_stop_the_log(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        odd = entry(actor="half a pair \ud800 and \0 nul")
        assert ledger.record(odd, facts={"\ud800": "\udfff"}).ok
        assert ledger.log.facts() == {"?": "?"}
    with Ledger(tmp_path) as ledger:
        assert ledger.log.trouble == ""


def test_a_text_that_is_no_utf_8_is_kept_as_it_is(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        odd = entry().__class__("ops-1", "command", "bess-1", b"\xff\x00{")
        assert ledger.record(odd).ok
    with Ledger(tmp_path) as ledger:
        assert ledger.log.trouble == ""
    with reading(tmp_path / "control.db") as log:
        assert log.rows()[-1][1] == b"\xff\x00{"


# --- signatures --------------------------------------------------------------------------------


def tended(tmp_path: Path, sign: Callable[[bytes], str] | None) -> tuple[AuditWriter, Clock, Inbox]:
    clock, inbox = Clock(), Inbox()
    writer = AuditWriter(tmp_path / "control.db", gateway=GATEWAY, sign=sign, post=inbox, now=clock)
    writer.open(kept=False)
    return writer, clock, inbox


def put(writer: AuditWriter, clock: Clock, *numbers: int) -> None:
    backlog = AuditBacklog()
    for number in numbers:
        backlog.put(Record(0, (entry(number),)), clock())
    assert writer.write(backlog.take()) == ""


def test_a_head_is_signed_at_the_first_start_and_then_every_hour(tmp_path: Path) -> None:
    writer, clock, inbox = tended(tmp_path, Device(identity(tmp_path)).sign)
    writer.tend(is_sign_asked=False, closing=False)
    assert [head.n for head in inbox.of(HeadSigned)] == [1]
    assert writer.wake_in_s(clock()) <= 3600.0
    clock.turn(3599)
    writer.tend(is_sign_asked=False, closing=False)
    assert len(inbox.of(HeadSigned)) == 1
    clock.turn(1)
    writer.tend(is_sign_asked=False, closing=False)
    first, second = inbox.of(HeadSigned)
    assert first.jws != second.jws  # it says when
    assert second.hash == writer.head.hash
    writer.close()
    writer.open(kept=True)
    clock.turn(1800)
    writer.tend(is_sign_asked=False, closing=False)
    assert len(inbox.of(HeadSigned)) == 2  # a restart does not sign anew what is an hour young
    writer.close()


def test_a_wall_clock_that_jumps_delays_no_signature(tmp_path: Path) -> None:
    writer, clock, inbox = tended(tmp_path, Device(identity(tmp_path)).sign)
    writer.tend(is_sign_asked=False, closing=False)
    clock.unix_ms -= 10 * 86_400_000
    clock.turn(3600)
    writer.tend(is_sign_asked=False, closing=False)
    assert len(inbox.of(HeadSigned)) == 2
    writer.close()
    clock.unix_ms -= 10 * 86_400_000
    writer.open(kept=True)
    writer.tend(is_sign_asked=False, closing=False)
    assert len(inbox.of(HeadSigned)) == 3
    writer.close()


def test_no_more_than_one_signature_a_second_and_the_last_head_gets_one(tmp_path: Path) -> None:
    writer, clock, inbox = tended(tmp_path, Device(identity(tmp_path)).sign)
    writer.tend(is_sign_asked=False, closing=False)
    for number in range(40):
        put(writer, clock, number)
        writer.tend(is_sign_asked=True, closing=False)
        clock.turn(0.1)
    assert [head.n for head in inbox.of(HeadSigned)] == [1, 11 + 1, 21 + 1, 31 + 1]
    clock.turn(writer.wake_in_s(clock()))
    writer.tend(is_sign_asked=False, closing=False)
    assert inbox.of(HeadSigned)[-1].n == 41
    writer.close()


def test_a_command_publishes_the_head_over_it(tmp_path: Path) -> None:
    with Ledger(tmp_path, sign=Device(identity(tmp_path)).sign) as ledger:
        ledger.inbox.wait(HeadSigned)
        assert ledger.record(entry(1), sign=True).ok
        head = ledger.inbox.wait(HeadSigned, lambda event: event.n == 2)
        assert head.hash == ledger.log.head.hash
        assert certificate(tmp_path).exists()


def test_a_key_that_fails_is_told_once_and_tried_again(tmp_path: Path) -> None:
    fails = True
    device = Device(identity(tmp_path))

    def sign(payload: bytes) -> str:
        if fails:
            text = "the key cannot be read"
            raise GatewayError(text)
        return device.sign(payload)

    writer, clock, inbox = tended(tmp_path, sign)
    for _ in range(3):
        put(writer, clock, 1)
        writer.tend(is_sign_asked=True, closing=False)
        clock.turn(1)
    assert [(each.kind, each.text) for each in inbox.of(AuditTroubled)] == [
        ("unsigned", "the audit's head cannot be signed: the key cannot be read")
    ]
    fails = False
    clock.turn(60)
    writer.tend(is_sign_asked=False, closing=False)
    assert [each.kind for each in inbox.of(AuditTroubled)] == ["unsigned", "signs"]
    assert inbox.of(HeadSigned)[-1].n == writer.head.n
    writer.close()


def test_a_signature_that_is_asked_for_anew_is_tried_with_a_key_that_failed(tmp_path: Path) -> None:
    """A reload may have mended it; nobody waits a minute to see."""
    fails = [True, False]
    device = Device(identity(tmp_path))

    def sign(payload: bytes) -> str:
        if fails.pop(0):
            text = "the key cannot be read"
            raise GatewayError(text)
        return device.sign(payload)

    writer, clock, inbox = tended(tmp_path, sign)
    put(writer, clock, 1)
    writer.tend(is_sign_asked=True, closing=False)
    clock.turn(2)
    writer.tend(is_sign_asked=False, closing=False)
    assert [each.kind for each in inbox.of(AuditTroubled)] == ["unsigned"]
    writer.tend(is_sign_asked=True, closing=False)
    assert [each.kind for each in inbox.of(AuditTroubled)] == ["unsigned", "signs"]
    writer.close()


# --- 400 days ----------------------------------------------------------------------------------


def day(writer: AuditWriter, clock: Clock, number: int) -> Record | None:
    """One row, its signature, a day's care; what is to be recorded of it."""
    put(writer, clock, number)
    writer.tend(is_sign_asked=True, closing=False)
    told = writer.tend(is_sign_asked=False, closing=False)
    clock.turn(DAY_S)
    return told


def test_rows_are_let_go_after_400_days_up_to_a_signed_head(tmp_path: Path) -> None:
    writer, clock, _ = tended(tmp_path, Device(identity(tmp_path)).sign)
    assert [day(writer, clock, number) for number in range(400)] == [None] * 400
    told = day(writer, clock, 400)
    assert told is not None
    said = json.loads(told.entries[0].payload)
    gone = said["letGo"]["to"]
    assert gone == 2  # of the first day, whose head was signed on it
    writer.close()
    with reading(tmp_path / "control.db") as log:
        assert log.rows()[0][0].n == gone + 1
        anchor = log.head("anchor")
        assert anchor is not None
        assert (anchor.n, anchor.hash) == (gone, said["letGo"]["hash"])
        assert log.signed()[0].head == anchor
    pem = read_certificate(certificate(tmp_path).read_bytes())
    with reading(tmp_path / "control.db") as log:
        assert examine(log, certificate=pem, gateway=GATEWAY).flaws == []
    writer.open(kept=True)  # and a start accepts it
    assert writer.facts == {}
    assert day(writer, clock, 401) is None
    writer.close()


def test_a_wall_clock_that_jumps_lets_nothing_go(tmp_path: Path) -> None:
    writer, clock, _ = tended(tmp_path, Device(identity(tmp_path)).sign)
    put(writer, clock, 1)
    writer.tend(is_sign_asked=True, closing=False)
    clock.unix_ms += int(1000 * DAY_S * 1000)
    clock.turn(2 * DAY_S)
    assert writer.tend(is_sign_asked=True, closing=False) is None
    assert writer.tend(is_sign_asked=False, closing=False) is None
    with reading(tmp_path / "control.db") as log:
        assert log.rows()[0][0].n == 1
    writer.close()


def test_signed_heads_older_than_two_days_are_kept_one_a_day(tmp_path: Path) -> None:
    writer, clock, _ = tended(tmp_path, lambda payload: f"a.{payload.hex()}.c")
    for hour in range(24 * 6):
        put(writer, clock, hour)
        writer.tend(is_sign_asked=True, closing=False)
        writer.tend(is_sign_asked=False, closing=False)
        clock.turn(3600)
    writer.tend(is_sign_asked=False, closing=False)
    writer.close()
    with reading(tmp_path / "control.db") as log:
        assert 48 <= len(log.signed()) <= 72 + 4


# --- who may write, and which version ----------------------------------------------------------

CHILD = """
import sys
from pathlib import Path
from gateway.errors import StoreError
from tests.fixtures.audits import Ledger
try:
    Ledger(Path(sys.argv[1])).log.start()
except StoreError as error:
    print(error)
    sys.exit(error.exit_code)
"""


def test_a_second_process_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        assert ledger.record(entry()).ok
        second = subprocess.run(
            [sys.executable, "-c", CHILD, str(tmp_path)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert second.returncode == 74, second.stderr
        assert "control.lock: held by process" in second.stdout
        assert ledger.record(entry()).ok


def test_a_newer_database_is_refused_and_not_touched(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        assert ledger.record(entry()).ok
    database, newer = tmp_path / "control.db", str(VERSION + 1)
    tampered(
        database,
        f"UPDATE mark SET value = '{newer}', crc = {sealed('schema', newer)} WHERE key = 'schema'",
    )
    before = database.read_bytes()
    with pytest.raises(StoreError, match=r"written by a newer gateway: this one reads 1\.\.1"):
        Ledger(tmp_path).log.start()
    assert database.read_bytes() == before
    with pytest.raises(StoreError, match="newer gateway"), reading(database):
        pass


def test_an_older_database_is_brought_forward_in_steps_with_its_version(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        assert ledger.record(entry(), facts={"latched": "yes"}).ok
    database = tmp_path / "control.db"
    assert found_version(database, "mark", sealed) == 1
    steps = (*schema.MIGRATIONS, "CREATE TABLE more (x); INSERT INTO more VALUES (1)")
    raw, core = schema.connect(database)
    connection.migrate(core, 1, steps=steps, save=schema.save)
    connection.disconnect(raw, core)
    assert found_version(database, "mark", sealed) == 2
    with closing(sqlite3.connect(database)) as found:
        assert found.execute("SELECT x FROM more").fetchall() == [(1,)]
        assert found.execute("SELECT value FROM fact").fetchall() == [("yes",)]


def test_a_step_that_fails_leaves_the_version_as_it_was(tmp_path: Path) -> None:
    with Ledger(tmp_path):
        pass
    database = tmp_path / "control.db"
    raw, core = schema.connect(database)
    steps = (*schema.MIGRATIONS, "CREATE TABLE more (x); CREATE TABLE audit (y)")
    with pytest.raises(connection.UNREADABLE):
        connection.migrate(core, 1, steps=steps, save=schema.save)
    connection.disconnect(raw, core)
    assert found_version(database, "mark", sealed) == 1
    with Ledger(tmp_path) as ledger:
        assert ledger.log.trouble == ""


def test_a_folder_that_is_not_there_or_read_only_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="must exist and be writable"):
        Ledger(tmp_path / "gone").log.start()


def test_the_beat_moves_while_nothing_is_recorded(tmp_path: Path) -> None:
    clock = Clock()
    with Ledger(tmp_path, now=clock) as ledger:
        assert ledger.record(entry()).ok
        clock.turn(5)
        assert ledger.record(entry()).ok
        ledger.record(entry())
        assert ledger.log.beat == clock.mono_s
