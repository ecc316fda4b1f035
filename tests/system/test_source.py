"""What must agree in this tree before a package is built of it. Needs no machine."""

from __future__ import annotations

import ast
import configparser
import re
import subprocess
from datetime import UTC
from email.utils import parsedate_to_datetime

import pytest

from gateway import __version__
from gateway.cli.main import main
from gateway.host.journal import MESSAGE_IDS
from tests.system.machines import TREE, output

UNIT = TREE / "systemd/bess-gateway.service"
MAN = sorted((TREE / "packaging/man").iterdir())


def test_changelogs_and_code_have_one_version_and_one_date() -> None:
    parse = ("dpkg-parsechangelog", "-l", str(TREE / "debian/changelog"), "-S")
    debian, written = output(*parse, "Version").strip(), output(*parse, "Date").strip()
    found = re.search(r"^## (\S+) \((.+)\)$", (TREE / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert found
    assert debian == __version__ == found[1]
    date = parsedate_to_datetime(written).astimezone(UTC).date().isoformat()
    assert found[2] in ("unreleased", date)  # packaging/release puts both


def test_every_message_id_is_explained_in_the_catalog_and_no_other() -> None:
    catalog = (TREE / "systemd/bess-gateway.catalog").read_text()
    explained = re.findall(r"^-- ([0-9a-f]{32})$", catalog, re.MULTILINE)
    assert sorted(explained) == sorted(MESSAGE_IDS.values())
    assert len(set(explained)) == len(explained)


def test_every_message_id_that_the_code_uses_is_known() -> None:
    used = {
        call.args[2].value
        for path in (TREE / "gateway").rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call)
        and getattr(call.func, "id", getattr(call.func, "attr", "")) in ("Log", "_log", "log")
        and len(call.args) > 2
        and isinstance(call.args[2], ast.Constant)
    }
    assert {"broker-down", "command-refused", "reload"} <= used
    assert used - {""} <= set(MESSAGE_IDS)


def test_the_catalog_compiles(tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("root")
    folder = root / "usr/lib/systemd/catalog"
    folder.mkdir(parents=True)
    (root / "var/lib/systemd/catalog").mkdir(parents=True)
    (folder / "bess.catalog").write_bytes((TREE / "systemd/bess-gateway.catalog").read_bytes())
    output("journalctl", f"--root={root}", "--update-catalog")
    listed = output("journalctl", f"--root={root}", "--list-catalog")
    assert len(listed.splitlines()) == len(MESSAGE_IDS)


@pytest.mark.parametrize("page", MAN, ids=lambda page: page.name)
def test_a_man_page_renders_without_warnings(page: object) -> None:
    command = ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", str(page)]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_examples_of_the_man_pages_are_good(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("examples")
    points_map = folder / "map.toml"
    points_map.write_text(_example("bess-gateway-pointmap.5"))
    assert main(["maps", "check", str(points_map)]) == 0
    site = folder / "site.toml"
    site.write_text(_example("bess-gateway-site.toml.5"))
    ended = subprocess.run(
        [TREE / ".venv/bin/python", "-m", "gateway", "check", "--config", site],
        check=False,
        capture_output=True,
        text=True,
        cwd=TREE,
    )
    # Only that the keys are not there: the file itself is good.
    assert all("tls/" in line for line in ended.stderr.splitlines()), ended.stderr


def test_every_key_of_the_example_is_in_its_man_page() -> None:
    example = (TREE / "etc/site.toml.example").read_text()
    page = (TREE / "packaging/man/bess-gateway-site.toml.5").read_text()
    keys = set(re.findall(r"^(?:# )?([a-z_0-9]+) = ", example, re.MULTILINE))
    assert len(keys) > 30
    assert sorted(key for key in keys if key not in page) == []


def test_every_command_is_in_its_man_page(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    commands = re.findall(r"^    ([a-z-]+)(?:  |$)", capsys.readouterr().out, re.MULTILINE)
    assert {"run", "check", "status", "disable-control", "maps", "sim"} <= set(commands)
    page = (TREE / "packaging/man/bess-gateway.8").read_text().replace("\\-", "-")
    section = page[page.index(".SH COMMANDS") :]
    heads = [line for line in section.splitlines() if re.match(r"\.B[RI]? ", line)]
    # An entry begins with its command; two that belong together are ", " apart.
    entries = [re.split(r'[ ",]+', line.partition(" ")[2].strip('"')) for line in heads]
    named = {words[0] for words in entries} | {words[1] for words in entries if len(words) > 1}
    assert [one for one in commands if one not in named] == []


def test_the_unit_keeps_what_the_daemon_counts_on() -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.read(UNIT)
    service = unit["Service"]  # keys are read without regard to case
    assert unit["Unit"]["ConditionPathExists"] == "/etc/bess-gateway/site.toml"
    assert service["Type"] == "notify"
    assert service["WatchdogSec"] == "10"
    assert service["RestartPreventExitStatus"] == "78"
    assert service["StateDirectory"] == service["RuntimeDirectory"] == "bess-gateway"


def test_no_host_of_a_registry_is_named() -> None:
    ended = subprocess.run(
        [
            "git",
            "grep",
            "-nE",
            r"pypi\.org|pythonhosted|deb\.debian\.org",
            "--",
            "packaging",
            "debian",
            "systemd",
            "tests/system",
            ":!tests/system/test_source.py",
        ],
        check=False,
        capture_output=True,
        text=True,
        cwd=TREE,
    )
    assert ended.stdout == ""


def _example(page: str) -> str:
    text = (TREE / "packaging/man" / page).read_text()
    return text[text.index(".EX\n") + 4 : text.index(".EE")].replace("\\-", "-")
