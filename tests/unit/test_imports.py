"""What the scripts without an ending import is there: they ship, and nothing else looks at them."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("packaging", "debian", "systemd", ".ci")


def scripts() -> list[Path]:
    """Python programs that no linter finds by their ending."""
    found = []
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and not path.suffix:
                with path.open("rb") as file:
                    if b"python" in file.readline() and path.name != "rules":
                        found.append(path)
    return found


def test_the_scripts_are_found() -> None:
    assert {"bess-gateway", "ip-allow", "make-sbom"} <= {path.name for path in scripts()}


@pytest.mark.parametrize("path", scripts(), ids=lambda path: path.name)
def test_every_name_that_a_script_imports_from_us_is_there(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gateway"):
            module = importlib.import_module(str(node.module))
            for name in node.names:
                assert hasattr(module, name.name), f"{path.name}: {node.module}.{name.name}"
