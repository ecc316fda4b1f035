"""``maps`` as an operator types it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from gateway.cli.maps import add_parser
from gateway.cli.maps_live import findings
from gateway.errors import UsageError
from gateway.points.roles import ROLES
from tests.fixtures.batteries import points_map, row

FIXTURES = Path(__file__).parents[2] / "fixtures" / "maps"


def maps(*words: str) -> int:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    asked = parser.parse_args(["maps", *words])
    code: int = asked.run(asked)
    return code


def test_list_names_every_map_with_its_control(capsys: pytest.CaptureFixture[str]) -> None:
    assert maps("list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("generic-rtac@1.0.0" in line and "allowed" in line for line in lines)
    assert any("example-bess-a@A" in line and "refused" in line for line in lines)


def test_list_as_json_is_complete(capsys: pytest.CaptureFixture[str]) -> None:
    assert maps("list", "--json") == 0
    found = {each["ref"]: each for each in json.loads(capsys.readouterr().out)}
    assert found["raw@1.0.0"]["control"]["allowed"] is False
    assert found["generic-rtac@1.0.0"]["digest"].startswith("sha256:")


def test_check_prints_every_fault_and_exits_78(capsys: pytest.CaptureFixture[str]) -> None:
    broken = FIXTURES / "m06-not-a-form.toml"
    good = FIXTURES / "good.toml"
    assert maps("check", str(broken), str(good)) == 78
    out = capsys.readouterr().out
    assert out.count(f"{broken}:11: [map.match] firmware: M06 ") == 2
    assert f"{good}: broken@1 is good" in out


def test_check_without_files_checks_all_installed_maps(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert maps("check", "--json") == 0
    body = json.loads(capsys.readouterr().out)
    assert body["ok"] is True
    assert len(body["maps"]) >= 5
    assert {fault["code"] for fault in body["faults"]} == {"M17"}


def test_show_resolves_the_base(capsys: pytest.CaptureFixture[str]) -> None:
    assert maps("show", "example-bess-b") == 0
    out = capsys.readouterr().out
    assert "control  allowed" in out
    assert any(line.split()[:3] == ["AI2", "soc", "*"] for line in out.splitlines())
    assert maps("show", "example-bess-b@B", "--json") == 0
    body = json.loads(capsys.readouterr().out)
    soc = next(row for row in body["resolved"]["points"] if row["name"] == "soc")
    assert (soc["point"], soc["scale"], soc["required"]) == ("AI2", 0.1, True)


def test_show_of_the_raw_map_says_that_it_names_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert maps("show", "raw") == 0
    assert "no points are named" in capsys.readouterr().out


def test_show_of_an_unknown_map_says_which_there_are() -> None:
    with pytest.raises(UsageError, match=r"nope: is not installed: must be one of .*raw@1\.0\.0"):
        maps("show", "nope")


def test_diff_tells_added_and_changed_points_field_by_field(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert maps("diff", "example-bess-a@A", "example-bess-b@B", "--json") == 0
    body = json.loads(capsys.readouterr().out)
    assert sorted(body["added"]) == ["der_heartbeat", "heartbeat", "heartbeat_echo"]
    assert body["removed"] == {}
    assert body["changed"]["soc"] == {"point": ["AI0", "AI2"], "scale": [0.01, 0.1]}
    assert body["changed"]["power"]["sign"] == ["charge_positive", "discharge_positive"]
    assert body["tables"]["fingerprint"] == {"absent": [["AI10", "AI11"], []]}
    assert maps("diff", "example-bess-b", "example-bess-a") == 0
    out = capsys.readouterr().out
    assert "- der_heartbeat (AI0, der_heartbeat)" in out
    assert "    scale: 0.1 -> 0.01" in out
    assert maps("diff", "raw", "raw") == 0
    assert "no difference in meaning" in capsys.readouterr().out


def test_try_shows_what_raw_values_mean(capsys: pytest.CaptureFixture[str]) -> None:
    pairs = ("AI47=634", "AI48=500", "AI18=7200000", "AI537=-750000", "BI27=0", "BI0=1", "AI7=1")
    assert maps("try", "an2018-storage", *pairs, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    rows = {row["point"]: (row["role"], row["value"], row["quality"]) for row in found["points"]}
    assert rows["AI48"] == ("soc", 50, "good")
    assert rows["AI7"] == (None, None, None)
    assert found["state"]["charge"] == {
        "value": 3_600_000,
        "quality": "derived",
        "source": "derived:AI48,AI18",
    }
    assert found["state"]["chargingState"]["value"] == "charging"
    assert "backupReserve" not in found["state"]  # of the site's files
    assert found["alarms"] == ["comm_error"]
    assert "energy is in Ah" in found["findings"][0]
    assert maps("try", "an2018-storage", *pairs) == 0
    out = capsys.readouterr().out
    assert "chargePercentage = 50 (good, AI48)" in out
    assert "not in the map" in out
    with pytest.raises(UsageError, match="AI0: must be POINT=RAW"):
        maps("try", "an2018-storage", "AI0")


def test_try_reads_bits_and_codes_of_a_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        'schema = "bess.map/1"\n[map]\nid = "mine"\nvendor = "v"\nmodel = "m"\nrevision = "1"\n'
        'source = "s"\n[map.match]\nfirmware = ["=1"]\n[[points]]\npoint = "AI12.3"\n'
        'name = "local"\nrole = "local"\n[[points]]\npoint = "AI5"\nname = "trouble"\n'
        'role = "fault"\ncodes = { "0" = "", "*" = "fault:e{code}" }\n',
        "utf-8",
    )
    assert maps("try", str(file), "AI12=8", "AI5=17", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [(row["point"], row["value"]) for row in found["points"]] == [
        ("AI12", None),
        ("AI5", 17),
        ("AI12.3", True),
    ]
    assert found["state"]["controlAuthority"]["value"] == "local"
    assert found["faults"] == ["e17"]


def test_roles_names_each_with_its_points_and_units(capsys: pytest.CaptureFixture[str]) -> None:
    assert maps("roles", "--json") == 0
    found = {one["role"]: one for one in json.loads(capsys.readouterr().out)}
    assert found.keys() == ROLES.keys()
    assert found["soc"] == {
        "role": "soc",
        "points": ["AI"],
        "units": ["%", "permil", "pu"],
        "single": True,
        "signed": False,
        "command": False,
        "critical": True,
    }
    assert maps("roles") == 0
    assert "inverter_power" in capsys.readouterr().out


def test_verify_finds_nothing_against_a_bit_that_is_read() -> None:
    mapped = points_map(row("AI12.3", "local", unit="bool"))
    columns: dict[str, list[object]] = {"point": ["AI12", "AI12.3"], "raw": [8, 1], "flags": [1, 1]}
    assert not list(findings(mapped, columns, {"map": {"findings": []}}))
    gone: dict[str, list[object]] = {"point": ["AI13"], "raw": [8], "flags": [1]}
    assert [one["point"] for one in findings(mapped, gone, {"map": {"findings": []}})] == [
        "AI12.3",
        "AI13",
    ]
