"""``bess-gateway audit show | verify`` as an operator types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.audit.reader import reading
from gateway.cli import main
from gateway.effects import AuditEntry
from gateway.errors import StoreError
from tests.fixtures.audits import GATEWAY, Clock, Ledger, entry, signed_log

if TYPE_CHECKING:
    from gateway.events import HeadSigned

SITE = f"""
[gateway]
id = "{GATEWAY}"
state_dir = "state"
[uplink]
cert_file = "state/gw-17.pem"
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, HeadSigned]:
    """site.toml of a log of 20 commands, and its signed head."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "state").mkdir()
    _, head = signed_log(folder / "state")
    (folder / "site.toml").write_text(SITE)
    return folder / "site.toml", head


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main.main(["audit", *arguments])
    said = capsys.readouterr()
    return code, said.out + said.err


def test_verify_says_clean_in_three_lines(
    site: tuple[Path, HeadSigned], capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = run(capsys, "verify", "--config", str(site[0]))
    assert code == 0
    lines = said.splitlines()
    assert lines[0].startswith("chain    rows 1..21, 20")
    assert lines[1].startswith("signed   row 21, 20")
    assert lines[2] == "result   clean"
    assert max(map(len, lines)) <= 80


def test_show_prints_the_newest_rows_with_their_texts_in_80_columns(
    site: tuple[Path, HeadSigned], capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = run(capsys, "show", "--config", str(site[0]), "--last", "2")
    assert code == 0
    lines = said.splitlines()
    assert lines[0].startswith("20  20")
    assert lines[0].endswith("Z  command  bess-1  ops-1")
    assert lines[1] == '    {"type": "setpoint", "number": 18}'
    assert lines[3] == '    {"type": "setpoint", "number": 19}'
    _, whole = run(capsys, "show", "--config", str(site[0]))
    assert len(whole.splitlines()) == 40


def test_show_as_json_holds_the_payload_and_the_hashes(
    site: tuple[Path, HeadSigned], capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = run(capsys, "show", "--config", str(site[0]), "--last", "1", "--json")
    assert code == 0
    [row] = json.loads(said)["rows"]
    assert row["payload"] == {"type": "setpoint", "number": 19}
    assert (row["n"], row["hash"], row["asset"]) == (21, site[1].hash, "bess-1")


def test_show_by_date_and_asset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()  # 2026-11-22T05:10 UTC
    with Ledger(tmp_path, now=clock) as ledger:
        assert ledger.record(entry(1)).ok
        clock.turn(86_400)
        assert ledger.record(entry(2), entry(3, asset="bess-2")).ok
    where = ["--database", str(tmp_path / "control.db"), "--json"]

    def numbers(*more: str) -> list[int | None]:
        _, said = run(capsys, "show", *where, *more)
        return [row["payload"].get("number") for row in json.loads(said)["rows"]]

    assert numbers() == [None, 1, 2, 3]
    assert numbers("--since", "2026-11-23") == [2, 3]
    assert numbers("--since", "2026-11-22T05:10:00Z") == [None, 1, 2, 3]
    assert numbers("--since", "2026-11-23T05:10:01") == []
    assert numbers("--asset", "bess-2") == [3]
    assert numbers("--since", "2026-11-23", "--last", "1") == [3]


def test_nothing_unprintable_reaches_the_terminal_and_long_texts_are_cut(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Ledger(tmp_path) as ledger:
        hostile = AuditEntry("\x1b[2J" + "k" * 300, "command", "bess-1", b"\x1b]0;x\x07" * 500)
        assert ledger.record(hostile).ok
    code, said = run(capsys, "show", "--database", str(tmp_path / "control.db"))
    assert code == 0
    assert "\x1b" not in said
    assert len(said.splitlines()) <= 6
    assert max(map(len, said.splitlines())) <= 80


def test_a_running_daemon_does_not_disturb_and_is_not_disturbed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "state").mkdir()
    with Ledger(tmp_path / "state") as ledger:
        assert ledger.record(entry(1)).ok
        code, said = run(capsys, "show", "--database", str(tmp_path / "state/control.db"))
        assert code == 0
        assert '"number": 1' in said  # from the write-ahead log
        assert ledger.record(entry(2)).ok


@pytest.mark.parametrize("tail", ["-wal", "-shm"])
def test_a_log_that_a_killed_daemon_left_is_read_and_left_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tail: str
) -> None:
    child = (
        "import os, sys\nfrom pathlib import Path\nfrom tests.fixtures.audits import *\n"
        "ledger = Ledger(Path(sys.argv[1]))\nledger.log.start()\n"
        "assert ledger.record(entry(1)).ok\nos._exit(0)\n"
    )
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", child, str(tmp_path)], cwd=root, check=True)
    assert (tmp_path / f"control.db{tail}").exists()
    before = (tmp_path / "control.db").read_bytes()
    code, said = run(capsys, "show", "--database", str(tmp_path / "control.db"))
    assert code == 0
    assert '"number": 1' in said
    assert (tmp_path / "control.db").read_bytes() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_who_may_not_look_into_the_folder_is_told_so(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    os.seteuid(65534)
    try:
        with (
            pytest.raises(StoreError, match="cannot be read by user 65534: Permission denied"),
            reading(tmp_path / "control.db"),
        ):
            pass
    finally:
        os.seteuid(0)


def test_what_is_missing_or_wrong_has_its_exit_code(
    site: tuple[Path, HeadSigned], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = ["--config", str(site[0])]
    copy = ["--database", str(site[0].parent / "state/control.db")]
    (tmp_path / "text").write_text("no certificate and no database")
    (tmp_path / "site.toml").write_text("[gateway]\n")
    cases = [
        (66, ["show", "--database", "/nowhere/control.db"], "there is no audit log"),
        (78, ["show", "--config", "/nowhere/site.toml"], "no such file"),
        (78, ["verify", *copy, "--config", str(tmp_path / "site.toml")], "cert_file is missing"),
        (78, ["verify", *config, "--cert", str(tmp_path / "text")], "certificate in PEM"),
        (78, ["verify", *config, "--cert", "/nowhere.pem"], "no such file"),
        (74, ["show", "--database", str(tmp_path / "text")], "cannot be read"),
        (66, ["verify", *config, "--head", "/nowhere.json"], "--head /nowhere.json: cannot be"),
        (64, ["verify", *config, "--head", str(tmp_path / "text")], "must be a bess.audit/1"),
        (64, ["show", *config, "--since", "yesterday"], "must be a date"),
        (64, ["show", *config, "--last", "0"], "must be 1 or more"),
    ]
    for code, arguments, text in cases:
        assert run(capsys, *arguments)[0] == code, arguments
        main.main(["audit", *arguments])
        assert text in capsys.readouterr().err, arguments
    with pytest.raises(SystemExit) as ended:
        main.main(["audit"])
    assert ended.value.code == 64
