"""``audit verify`` against what somebody with a sqlite3 shell can do to a copy of the log."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway.audit.chain import START, Head, appended
from gateway.audit.device import Device
from gateway.audit.file import sealed
from gateway.audit.rows import columns_of, head_text
from gateway.cli import main
from gateway.events import HeadSigned
from gateway.uplink import messages
from tests.fixtures.audits import (
    GATEWAY,
    Ledger,
    certificate,
    entry,
    identity,
    row_texts,
    signed_log,
    tampered,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Findings = list[tuple[int, str]]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, HeadSigned]:
    return signed_log(tmp_path_factory.mktemp("original"))


@pytest.fixture
def kept(original: tuple[Path, HeadSigned], tmp_path: Path) -> tuple[Path, HeadSigned]:
    """A copy of a closed log of rows 1..21, row 21 signed, and that head."""
    database, head = original
    shutil.copytree(database.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path / database.name, head


class Verify:
    """Runs ``audit verify`` on a log and reads what it says."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.code = 0
        self.texts: list[str] = []
        self.notes: list[str] = []

    def __call__(self, database: Path, *more: str, cert: Path | None = None) -> Findings:
        cert = cert or certificate(database.parent)
        where = ["--database", str(database), "--cert", str(cert)]
        self.code = main.main(["audit", "verify", *where, *more, "--json"])
        found = json.loads(self._capsys.readouterr().out)
        assert found["clean"] == (not found["findings"]) == (self.code == 0)
        self.texts = [each["text"] for each in found["findings"]]
        self.notes = found["notes"]
        return [(each["row"], each["kind"]) for each in found["findings"]]


@pytest.fixture
def verify(capsys: pytest.CaptureFixture[str]) -> Verify:
    return Verify(capsys)


def rewrite(database: Path, *, first: int = 1, bodies: Sequence[bytes] = ()) -> Head:
    """Forge all rows from ``first`` on, with good hashes and the log's own head set to match."""
    with closing(sqlite3.connect(database)) as raw, raw:
        before = raw.execute("SELECT n, hash FROM audit WHERE n = ?", (first - 1,)).fetchone()
        head = Head(*before) if before else START
        texts = [text.encode() for _, text in row_texts(database)][first - 1 :]
        raw.execute("DELETE FROM audit WHERE n >= ?", (first,))
        for body in bodies or texts:
            head, row = appended(
                head, ts=1, mono=1, actor="nobody", event="command", payload=body, asset="bess-1"
            )
            marks = ",".join("?" * 10)
            raw.execute(f"INSERT INTO audit VALUES ({marks})", columns_of(row, body))
        mark(raw, head)
    return head


def mark(raw: sqlite3.Connection, head: Head) -> None:
    text = head_text(head)
    raw.execute(
        "UPDATE mark SET value = ?, crc = ? WHERE key = 'head'", (text, sealed("head", text))
    )


def test_an_untouched_log_is_clean(kept: tuple[Path, HeadSigned], verify: Verify) -> None:
    database, head = kept
    assert verify(database) == []
    assert verify(database, "--head", head.jws) == []


@pytest.mark.parametrize(
    "column", ["ts", "mono", "actor", "event", "payload", "prev", "hash", "asset"]
)
def test_an_edit_of_any_column_is_found_at_its_row(
    kept: tuple[Path, HeadSigned], verify: Verify, column: str
) -> None:
    database, _ = kept
    value = "7" if column in ("ts", "mono") else "'x'"
    tampered(database, f"UPDATE audit SET {column} = {value} WHERE n = 9")
    assert (9, "edited") in verify(database)


@pytest.mark.parametrize("value", ["NULL", "x'00ff'", "1.5", "CAST(x'ff' AS TEXT)", "''"])
def test_an_edit_to_another_kind_of_value_is_found(
    kept: tuple[Path, HeadSigned], verify: Verify, value: str
) -> None:
    database, _ = kept
    tampered(
        database,
        "CREATE TABLE loose AS SELECT * FROM audit",
        "DROP TABLE audit",
        "ALTER TABLE loose RENAME TO audit",
        f"UPDATE audit SET actor = {value}, ts = {value} WHERE n = 9",
        f"UPDATE audit SET body = {value} WHERE n = 11",
    )
    assert verify(database) == [(9, "edited"), (11, "edited")]


def test_an_edit_of_a_text_is_found(kept: tuple[Path, HeadSigned], verify: Verify) -> None:
    database, _ = kept
    tampered(database, "UPDATE audit SET body = replace(body, 'setpoint', 'idle') WHERE n = 5")
    assert verify(database) == [(5, "edited")]
    assert verify.texts == ["the text of row 5 is not what was recorded"]


def test_a_row_that_was_deleted_is_missing(kept: tuple[Path, HeadSigned], verify: Verify) -> None:
    database, _ = kept
    tampered(database, "DELETE FROM audit WHERE n = 7")
    assert verify(database) == [(8, "removed")]
    assert verify.texts == ["row 7 is missing"]


def test_a_row_that_was_deleted_and_the_rest_renumbered_is_found(
    kept: tuple[Path, HeadSigned], verify: Verify
) -> None:
    database, _ = kept
    moves = [f"UPDATE audit SET n = {n - 1} WHERE n = {n}" for n in range(8, 22)]
    tampered(database, "DELETE FROM audit WHERE n = 7", *moves)
    found = verify(database)
    assert (7, "relinked") in found
    assert (20, "truncated") in found


def test_a_tail_that_was_cut_off_is_found_by_the_signed_head(
    kept: tuple[Path, HeadSigned], verify: Verify
) -> None:
    database, _ = kept
    tampered(database, "DELETE FROM audit WHERE n > 15")
    assert verify(database) == [(15, "truncated")]
    assert verify.texts == ["ends at row 15: the signed head is row 21"]


def test_a_tail_behind_the_signed_head_is_missed_by_the_logs_own_head(
    tmp_path: Path, verify: Verify
) -> None:
    device = Device(identity(tmp_path))
    with Ledger(tmp_path, sign=device.sign) as ledger:
        ledger.inbox.wait(HeadSigned)
        for number in range(5):
            assert ledger.record(entry(number)).ok
    database = tmp_path / "control.db"
    assert verify(database) == []
    tampered(database, "DELETE FROM audit WHERE n > 4")
    assert verify(database) == [(4, "truncated")]
    assert verify.texts == ["ends at row 4: the log's own head is row 6"]


def test_two_rows_that_changed_places_are_called_so(
    kept: tuple[Path, HeadSigned], verify: Verify
) -> None:
    database, _ = kept
    tampered(
        database,
        "UPDATE audit SET n = 99 WHERE n = 5",
        "UPDATE audit SET n = 5 WHERE n = 12",
        "UPDATE audit SET n = 12 WHERE n = 99",
    )
    found = verify(database)
    assert {(5, "reordered"), (12, "reordered")} <= set(found)
    assert "row 5 was written as row 12: rows changed places" in verify.texts


def test_an_edit_with_every_hash_behind_it_made_anew_is_found_by_the_signed_head(
    kept: tuple[Path, HeadSigned], verify: Verify
) -> None:
    database, _ = kept
    rewrite(database, first=10)
    assert (21, "forged") in verify(database)
    assert "row 21 is not the one that was signed" in verify.texts


def test_a_whole_chain_that_was_rewritten_is_found(
    kept: tuple[Path, HeadSigned], verify: Verify
) -> None:
    database, head = kept
    rewrite(database)
    assert (21, "forged") in verify(database)
    tampered(database, "DELETE FROM signed")  # and its witness removed
    assert verify(database) == [(21, "unsigned")]
    assert (21, "forged") in verify(database, "--head", head.jws)


def test_a_chain_rewritten_and_signed_with_a_key_of_somebody_elses_is_found(
    kept: tuple[Path, HeadSigned], verify: Verify, tmp_path: Path
) -> None:
    database, _ = kept
    (tmp_path / "other").mkdir()
    other, head = signed_log(tmp_path / "other")
    assert verify(other) == []
    assert verify(other, cert=certificate(tmp_path)) == [(21, "signature")]
    assert "it is signed with another certificate" in verify.texts[0]
    forged = rewrite(database)
    jws = head.jws.replace(head.jws.split(".")[2], "AAAA")
    tampered(database, f"UPDATE signed SET jws = '{jws}', hash = '{forged.hash}' WHERE n = 21")
    assert (21, "signature") in verify(database)


def test_a_signature_that_was_edited_does_not_hold(
    kept: tuple[Path, HeadSigned], verify: Verify
) -> None:
    database, head = kept
    start, payload, signature = head.jws.split(".")
    turned = signature[::-1]
    tampered(database, f"UPDATE signed SET jws = '{start}.{payload}.{turned}' WHERE n = 21")
    assert verify(database) == [(21, "signature")]
    assert verify.texts == ["signed head 21: its signature does not hold"]


@pytest.mark.parametrize("jws", ["", "x", "a.b.c", "....", "e30.e30.e30", "eyJ.eyJ.", "[1].2.3"])
def test_a_signature_that_is_none_is_a_finding_and_no_crash(
    kept: tuple[Path, HeadSigned], verify: Verify, jws: str
) -> None:
    database, _ = kept
    tampered(database, f"UPDATE signed SET jws = '{jws}' WHERE n = 21")
    assert verify(database) == [(21, "signature")]


@pytest.mark.usefixtures("kept")
def test_a_log_of_another_gateway_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = tmp_path / "site.toml"
    site.write_text('[gateway]\nid = "gw-18"\nstate_dir = "."\n[uplink]\ncert_file = "gw-17.pem"\n')
    assert main.main(["audit", "verify", "--config", str(site)]) == 1
    assert "is of gateway 'gw-17'" in capsys.readouterr().out
    site.write_text(site.read_text().replace("gw-18", GATEWAY))
    assert main.main(["audit", "verify", "--config", str(site)]) == 0


def test_a_file_replaced_by_an_older_copy_is_found_by_a_published_head_alone(
    tmp_path: Path, verify: Verify
) -> None:
    device = Device(identity(tmp_path))
    database = tmp_path / "control.db"
    with Ledger(tmp_path, sign=device.sign) as ledger:
        assert ledger.record(entry(1), sign=True).ok
    shutil.copy(database, tmp_path / "old.db")
    with Ledger(tmp_path, sign=device.sign) as ledger:
        assert ledger.record(entry(2), sign=True).ok
    head = ledger.heads()[-1]
    shutil.copy(tmp_path / "old.db", database)
    assert verify(database) == []
    batch = messages.audit_batch(
        gateway=GATEWAY, n=head.n, hash_=head.hash, jws=head.jws, at_ms=head.at.unix_ms
    )
    published = tmp_path / "head.json"
    published.write_bytes(batch.body)
    assert verify(database, "--head", str(published)) == [(2, "truncated")]
    assert verify.texts[0].startswith("ends at row 2: row 3 was published on 20")


def test_a_log_that_its_own_key_signed_anew_is_found_by_a_published_head_alone(
    kept: tuple[Path, HeadSigned], verify: Verify, tmp_path: Path
) -> None:
    """Who acts as the daemon has its key, too: only what was kept elsewhere is out of reach."""
    database, head = kept
    cert, key = tmp_path / f"{GATEWAY}.pem", tmp_path / f"{GATEWAY}.key"
    for file in tmp_path.glob("control*"):
        file.unlink()
    device = Device(replace(identity(tmp_path, name="new"), cert_file=str(cert), key_file=str(key)))
    with Ledger(tmp_path, sign=device.sign) as ledger:
        for number in range(head.n):
            assert ledger.record(entry(number, actor="somebody else"), sign=True).ok
    assert verify(database) == []
    assert verify(database, "--head", head.jws) == [(head.n, "forged")]


def test_several_published_heads_are_all_checked(
    kept: tuple[Path, HeadSigned], verify: Verify, tmp_path: Path
) -> None:
    database, head = kept
    (tmp_path / "other").mkdir()
    _, foreign = signed_log(tmp_path / "other", rows=3)
    assert verify(database, "--head", head.jws, "--head", foreign.jws) == [(0, "signature")]


def test_rows_that_were_let_go_too_early_are_found(tmp_path: Path, verify: Verify) -> None:
    device = Device(identity(tmp_path))
    with Ledger(tmp_path, sign=device.sign) as ledger:
        assert ledger.record(entry(1), sign=True).ok
        head = ledger.inbox.wait(HeadSigned, lambda e: e.n == 2)
        assert ledger.record(entry(2)).ok
        assert ledger.record(entry(3), sign=True).ok
    database = tmp_path / "control.db"
    text = head_text(Head(head.n, head.hash))
    anchor = f"value = '{text}', crc = {sealed('anchor', text)}"
    tampered(
        database,
        "DELETE FROM audit WHERE n <= 2",
        f"UPDATE mark SET {anchor} WHERE key = 'anchor'",
    )
    assert verify(database) == [(2, "removed")]
    assert verify.texts == ["rows up to 2 are gone after 0 days: 400 are kept"]
    tampered(database, "DELETE FROM signed WHERE n = 2")
    assert verify(database) == [(2, "removed")]
    assert verify.texts == ["rows up to 2 are gone, and no signed head stands for them"]


def test_marks_that_were_edited_or_removed_are_findings(
    kept: tuple[Path, HeadSigned], verify: Verify
) -> None:
    database, _ = kept
    tampered(database, "UPDATE mark SET value = '{}' WHERE key = 'head'")
    assert (0, "edited") in verify(database)
    tampered(database, "DELETE FROM mark WHERE key = 'anchor'")
    assert verify(database).count((0, "edited")) == 2


@pytest.mark.parametrize("kind", ["ES256", "ES384", "EdDSA", "PS256"])
def test_every_kind_of_key_signs_and_is_verified(tmp_path: Path, verify: Verify, kind: str) -> None:
    database, head = signed_log(tmp_path, rows=2, kind=kind)
    assert verify(database, "--head", head.jws) == []
    (tmp_path / "other").mkdir()
    identity(tmp_path / "other", kind)
    assert verify(database, cert=certificate(tmp_path / "other")) == [(3, "signature")]
