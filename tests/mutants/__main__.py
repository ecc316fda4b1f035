"""Applies each mutant to a copy of the tree and shows that its test fails: ``make mutants``.

    python -m tests.mutants [WORD...]      only those whose rule or file holds one of the words

Every test is run once on the untouched copy first: a test that fails anyway proves nothing. Exit 1
when a mutant survives, or when its text is not found exactly once.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.mutants import control, field, kept, kinds, maps, safety, silence, uplink, watchdog

if TYPE_CHECKING:
    from tests.mutants.mutant import Mutant

ROOT = Path(__file__).resolve().parents[2]
ALL: tuple[Mutant, ...] = (
    *watchdog.MUTANTS,
    *control.MUTANTS,
    *field.MUTANTS,
    *safety.MUTANTS,
    *kept.MUTANTS,
    *kinds.MUTANTS,
    *maps.MUTANTS,
    *silence.MUTANTS,
    *uplink.MUTANTS,
)
_LIMIT_S = 300  # of one run: a mutant that never ends is caught, too


def main() -> int:
    words = sys.argv[1:]
    chosen = [one for one in ALL if not words or any(w in one.rule + one.file for w in words)]
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = Path(folder)
        for name in ("gateway", "tests", "pointmaps", "etc"):
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "setup.cfg", tree / "setup.cfg")
        sound = _run(tree, sorted({one.test for one in chosen}))
        if sound:
            print(f"the tests fail without any mutant:\n{sound}")
            return 1
        width = max((len(one.rule) for one in chosen), default=0)
        survivors = 0
        for mutant in chosen:
            began = time.monotonic()
            verdict = _try(tree, mutant)
            survivors += verdict != "caught"
            took = time.monotonic() - began
            name = mutant.test.rpartition("::")[2] or mutant.test
            print(f"{verdict:9} {mutant.rule:{width}}  {name} ({took:.1f} s)", flush=True)
    print(f"{len(chosen)} mutants, {len(chosen) - survivors} caught, {survivors} not")
    return 1 if survivors else 0


def _try(tree: Path, mutant: Mutant) -> str:
    before = {file: (tree / file).read_text() for file, _, _ in mutant.edits}
    after = dict(before)
    for file, old, new in mutant.edits:
        if before[file].count(old) != 1:
            return "NOT FOUND"
        after[file] = after[file].replace(old, new)
    try:
        for file, text in after.items():
            (tree / file).write_text(text)
        return "caught" if _run(tree, [mutant.test]) else "SURVIVED"
    finally:
        for file, text in before.items():
            (tree / file).write_text(text)


def _run(tree: Path, tests: list[str]) -> str:
    """Output of the tests if one failed, else ""."""
    command = [sys.executable, "-B", "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    command += ["-m", "", *tests]  # the long ones, too
    try:
        done = subprocess.run(
            command, cwd=tree, capture_output=True, text=True, timeout=_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return "never ended"
    # 1: tests failed. Anything else (2 interrupted, 4 usage, 5 none collected) proves nothing.
    if done.returncode not in (0, 1):
        message = f"pytest exit {done.returncode}: {done.stdout}{done.stderr}"
        raise SystemExit(message)
    return done.stdout if done.returncode else ""


if __name__ == "__main__":
    sys.exit(main())
