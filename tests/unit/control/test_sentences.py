"""tests/SENTENCES.md: every test that it names exists, and no invariant is forgotten."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parents[2]
ROWS = [
    line.rpartition(" | ")[::2]
    for line in (TESTS / "SENTENCES.md").read_text().splitlines()
    if line.startswith("| ") and not line.startswith("| sentence")
]


@cache
def names(path: Path) -> frozenset[str]:
    """Tests of a file, also those that are made by an assignment."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return frozenset(found)


def test_every_test_that_is_named_for_a_sentence_exists() -> None:
    missing = []
    for sentence, tests in ROWS:
        for path, name in re.findall(r"`([^`:]+\.py)::(test_\w+)`", tests):
            file = TESTS / path
            if not file.exists() or name not in names(file):
                missing.append(f"{sentence}: {path}::{name}")
    assert missing == []


def test_every_sentence_has_a_test() -> None:
    assert len(ROWS) > 120
    assert [sentence for sentence, tests in ROWS if "`" not in tests] == []


def test_every_invariant_that_is_in_force_has_its_row() -> None:
    specification = (TESTS.parent / "SPECIFICATION.md").read_text()
    said = re.findall(r"^- (I\d+) (.*)", specification, re.MULTILINE)
    in_force = {code for code, text in said if "†" not in text}
    assert {"I2", "I14"} < in_force
    found = {match[1] for sentence, _ in ROWS if (match := re.match(r"\| (I\d+) ", sentence))}
    assert found >= in_force
