"""``maps import | new | verify --live``: a draft that is never guessed, and a map held to life."""

from __future__ import annotations

import csv
import json
import tomllib
from typing import TYPE_CHECKING

import openpyxl  # type: ignore[import-untyped]  # it ships no types
import pytest

from gateway.points.parse import parse_map
from tests.fixtures.daemon import bess_gateway
from tests.fixtures.rig import Rig

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.demo.pki import Pki

HEAD = ("--id", "acme-1", "--vendor", "acme", "--model", "pcs", "--firmware", "=1.0")
COLUMNS = ("DNP Type", "Index", "Signal Name", "Eng. Units", "Mult", "Off")
ROWS = [
    ("Analog Input", "0", "State of charge (%)", "%", "0.1", ""),
    ("Analog Input", "1", "Active Power", "kW", "1", "0"),
    ("AI", "2", "Pack temp", "°C", "1/10", "-40"),
    ("Binary Input", "3", "Breaker Closed", "", "", ""),
    ("Counter", "4", "Energy out", "kWh", "", ""),
    ("Analog Input", "5", "Fuel", "furlong", "1", ""),  # a unit that nobody knows
    ("Analog Input", "6", "Reading", "mw", "1", ""),  # mW or MW
    ("Analog Input", "7", "Comma", "V", "0,1", ""),  # 0.1 or 0 and 1
    ("Analog Input", "1", "Power again", "kW", "", ""),  # twice
    ("Frob", "8", "What", "V", "", ""),
    ("Analog Output", "9", "Setpoint", "kW", "", ""),
    ("Analog Input", "70000", "Far", "V", "", ""),
    ("Binary Input", "10", "Breaker Closed", "", "", ""),  # a name that is there twice
    ("Analog Input", "11", "Zero", "V", "0", ""),
]
DOUBTFUL = {"Fuel", "Reading", "Comma", "Power again", "What", "Setpoint", "Far", "Zero"}


def write_csv(path: Path, *, delimiter: str = ",") -> Path:
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerows([("ACME points list", "", "", "", "", ""), COLUMNS, *ROWS])
    return path


def drafted(path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    columns = ("--type", "DNP Type", "--point", "Index", "--name", "signal name")
    more = ("--unit", "Eng. Units", "--scale", "Mult", "--offset", "Off")
    return bess_gateway("maps", "import", path, *columns, *more, *HEAD, *options)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_list_becomes_a_map_that_check_takes(tmp_path: Path, delimiter: str) -> None:
    out = tmp_path / "acme.toml"
    ended = drafted(write_csv(tmp_path / "list.csv", delimiter=delimiter), "-o", str(out))
    assert (ended.returncode, ended.stderr) == (1, "14 rows, 8 of them DOUBTFUL\n")
    assert bess_gateway("maps", "check", out).returncode == 0
    rows = {one["point"]: one for one in tomllib.loads(out.read_text())["points"]}
    assert set(rows) == {"AI0", "AI1", "AI2", "BI3", "CTR4", "BI10"}
    assert rows["AI0"] == {"point": "AI0", "name": "state_of_charge", "scale": 0.1, "unit": "%"}
    assert rows["AI2"] == {
        "point": "AI2",
        "name": "pack_temp",
        "scale": 0.1,
        "offset": -40,
        "unit": "degC",
    }
    assert rows["BI10"]["name"] == "breaker_closed_bi10"
    assert not [one for one in rows.values() if {"role", "sign", "required"} & one.keys()]


def test_what_can_be_read_in_two_ways_is_marked_with_its_line(tmp_path: Path) -> None:
    text = drafted(write_csv(tmp_path / "list.csv")).stdout
    marked = [one for one in text.splitlines() if one.startswith("# DOUBTFUL")]
    assert len(marked) == len(DOUBTFUL)
    for at, row in enumerate(ROWS, 3):
        assert any(f"line {at}: " in one for one in marked) == (row[2] in DOUBTFUL)
    for words in ("'furlong' is not known", "'mw' is not known", "'0,1' is not a number"):
        assert any(words in one for one in marked)
    assert any("AI1 is already in line 4" in one for one in marked)


def test_a_workbook_is_read_like_the_list(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.title = "Notes"
    sheet = book.create_sheet("Points")
    for row in (COLUMNS, *ROWS):
        sheet.append(row)
    book.save(tmp_path / "list.xlsx")
    text = drafted(tmp_path / "list.xlsx", "--sheet", "Points").stdout
    plain = drafted(write_csv(tmp_path / "list.csv")).stdout
    assert tomllib.loads(text)["points"] == tomllib.loads(plain)["points"]
    other = drafted(tmp_path / "list.xlsx", "--sheet", "Nowhere")
    assert (other.returncode, other.stderr.strip()) == (
        64,
        "--sheet Nowhere: must be one of Notes, Points",
    )


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (b"", 64, "no header"),
        (b"a,b\n1,2\n", 64, "the columns there: 'a', 'b'"),
        (b"\xff\xfe\x00", 66, "must be CSV in UTF-8"),
        (b"DNP Type,Index,Signal Name,Eng. Units,Mult,Off\n", 64, "no row below its header"),
        (b"DNP Type,Index,Index,Signal Name,Eng. Units,Mult,Off\nAI,1,2,a,,,\n", 64, "there twice"),
    ],
)
def test_a_list_that_is_none_is_refused_with_what_is_there(
    tmp_path: Path, content: bytes, code: int, said: str
) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(content)
    ended = drafted(path)
    assert ended.returncode == code
    assert said in ended.stderr
    (tmp_path / "list.xlsx").write_bytes(content)
    assert drafted(tmp_path / "list.xlsx").returncode == 66


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    out = tmp_path / "mine.toml"
    out.write_text("mine")
    assert drafted(write_csv(tmp_path / "list.csv"), "-o", str(out)).returncode == 66
    assert out.read_text() == "mine"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> Iterator[Rig]:
    with Rig(tmp_path_factory.mktemp("drafts"), pki, events_per_s=1.0) as made:
        made.daemon.start()
        made.daemon.status_when(lambda now: now["healthy"], "not healthy")
        yield made


def test_what_an_rtac_sends_becomes_a_map(rig: Rig) -> None:
    ended = bess_gateway("maps", "new", "bess-1", "--config", rig.daemon.site, *HEAD)
    made = parse_map(ended.stdout.encode(), file="new", base=lambda _: None)
    sent = rig.daemon.ask("points", asset="bess-1")["columns"]["point"]
    assert {one.point for one in made.points} == {
        one for one in sent if not one.startswith(("AO", "BO"))
    }
    assert {one.name for one in made.points} >= {"ai0", "ai1"}


def test_the_right_map_has_no_finding_but_what_is_not_in_it(rig: Rig) -> None:
    shown = bess_gateway("maps", "verify", "--live", "--json", "--config", rig.daemon.site)
    told = json.loads(shown.stdout)
    assert told["asset"] == "bess-1"
    wrong = [one for one in told["findings"] if "not in the map" not in one["text"]]
    assert wrong == []
    assert shown.returncode == int(bool(told["findings"]))
