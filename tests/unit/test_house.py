"""The house as setup.cfg's contracts and ARCHITECTURE.md say: rooms, imports, names."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections import defaultdict
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STARTS = {"__init__", "__main__", "app", "core", "loop"}
WORDS = {"checked", "clock", "effects", "errors", "events", "measured", "ports", "streams"}
HALL = STARTS | WORDS
# One import in each room that no reader would want there: what it must not know.
FORBIDDEN = {
    "app": "gateway.cli.main",
    "asset": "gateway.core",
    "audit": "gateway.queue.store",
    "checked": "gateway.events",
    "cli": "gateway.demo.pki",
    "clock": "gateway.events",
    "cloud": "gateway.sim.battery",
    "config": "gateway.site.load",
    "consumer": "gateway.normalize.state",
    "control": "threading",
    "core": "gateway.mqtt.session",
    "demo": "paho",
    "effects": "gateway.uplink.messages",
    "errors": "gateway.clock",
    "events": "gateway.core",
    "host": "gateway.sqlite.files",
    "local": "gateway.site.load",
    "loop": "gateway.app",
    "measured": "gateway.points.pointmap",
    "mqtt": "sqlalchemy",
    "normalize": "gateway.control.controller",
    "points": "gateway.normalize.state",
    "ports": "gateway.field.dnp3.session",
    "queue": "gateway.mqtt.session",
    "sim": "gateway.demo.pki",
    "site": "gateway.local.server",
    "sqlite": "gateway.queue.store",
    "status": "socket",
    "streams": "gateway.uplink.topics",
    "tls": "gateway.mqtt.session",
    "uplink": "gateway.mqtt.session",
}
WITHIN = {  # inside a room: below the folder or module of that name
    "control/watchdog": "gateway.uplink.shipper",
    "control/rules": "gateway.control.execution.plan",
    "control/commands": "gateway.control.watchdog.machine",
    "control/execution": "gateway.control.records",
    "control/commissioning": "gateway.control.commands.verify",
    "field/dnp3": "gateway.field.intake",
    "field/intake": "gateway.mqtt.session",
    "queue/rules": "sqlite3",
}


def test_the_hall_holds_what_starts_the_program_and_the_words_that_all_know() -> None:
    assert {path.stem for path in (ROOT / "gateway").glob("*.py")} == HALL


def test_every_folder_says_in_one_sentence_what_it_is_for() -> None:
    for folder in (ROOT / "gateway").rglob("*"):
        if folder.is_dir() and any(folder.glob("*.py")):
            text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
            assert text, folder


def test_a_class_name_is_used_once_in_the_whole_program() -> None:
    places = defaultdict(list)
    for path in (ROOT / "gateway").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_every_room_is_tried_with_a_forbidden_import() -> None:
    rooms = {path.name for path in (ROOT / "gateway").iterdir() if (path / "__init__.py").exists()}
    named = {name.partition("/")[0] for name in (*FORBIDDEN, *WITHIN)}
    assert named == rooms | (HALL - {"__init__", "__main__"})


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """What the check says of the house as it is, and of one with the forbidden imports in it."""
    tree = tmp_path_factory.mktemp("house")
    shutil.copytree(ROOT / "gateway", tree / "gateway")
    shutil.copy(ROOT / "setup.cfg", tree)
    sound = _lint(tree)
    for room, wrong in {**FORBIDDEN, **WITHIN}.items():
        path = tree / "gateway" / room
        file = path / "planted.py" if path.is_dir() else path.with_suffix(".py")
        with file.open("a") as module:
            module.write(f"\nimport {wrong}\n")
    return sound, _lint(tree)


def test_the_house_keeps_every_rule_and_lists_no_module_by_hand(report: tuple[str, str]) -> None:
    assert " 0 broken." in report[0]
    contracts = ConfigParser()
    contracts.read(ROOT / "setup.cfg")
    for name in contracts.sections():
        if name.startswith("importlinter:contract:"):
            for source in contracts[name].get("source_modules", "").split():
                where = ROOT / source.replace(".", "/")
                assert where.is_dir() or source in ("gateway.core", "gateway.audit.chain"), source


@pytest.mark.parametrize(("room", "wrong"), [*FORBIDDEN.items(), *WITHIN.items()])
def test_a_forbidden_import_in_a_room_is_found(
    room: str, wrong: str, report: tuple[str, str]
) -> None:
    module = f"gateway.{room.replace('/', '.')}"
    if (ROOT / "gateway" / room).is_dir():
        module += ".planted"
    said = " ".join(report[1].split())
    assert f"{module} -> {wrong} " in said


def _lint(tree: Path) -> str:
    program = str(Path(sys.executable).with_name("lint-imports"))
    command = [program, "--config", "setup.cfg", "--no-cache"]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr
