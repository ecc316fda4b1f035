"""``make bench``: the goals in figures, each beside what was measured. See README.md here."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import (
    drain_bench,
    field_bench,
    fleet_bench,
    growth_bench,
    path_bench,
    start_bench,
    table,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.table import Line

GOALS = frozenset((1, 3, 4, 5, 6, 7, 9, 10, 13))
BACKLOG, QUICK_BACKLOG = 10_000_000, 500_000


def main() -> int:
    """Measure what is asked for; exit 1 if a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", type=_goals, default=GOALS, metavar="1,7", help="these goals")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, a smaller backlog")
    parser.add_argument(
        "--backlog", type=int, metavar="N", help="readings in the backlog (10000000)"
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there, too")
    asked = parser.parse_args()
    quick, goals = asked.quick, asked.only
    backlog = asked.backlog or (QUICK_BACKLOG if quick else BACKLOG)
    environment = table.environment(Path(tempfile.gettempdir()))
    lines: list[Line] = []
    for name, serves, measure in _measures(goals, backlog=backlog, quick=quick):
        if serves & goals:
            began = time.monotonic()
            print(f"{name} ...", end="", flush=True, file=sys.stderr)
            lines += [line for line in measure() if line.goal in goals]
            print(f" {time.monotonic() - began:.0f} s", file=sys.stderr)
    table.show(lines, environment_line=environment)
    if asked.markdown is not None:
        asked.markdown.parent.mkdir(parents=True, exist_ok=True)
        asked.markdown.write_text(table.markdown(lines, environment_line=environment))
    return 1 if any(line.met is False for line in lines) else 0


def _measures(
    goals: frozenset[int], *, backlog: int, quick: bool
) -> list[tuple[str, set[int], Callable[[], list[Line]]]]:
    return [
        ("start", {13}, lambda: start_bench.measure(quick=quick)),
        ("fleet", {10}, lambda: fleet_bench.measure(quick=quick)),
        ("path", {1, 5, 10}, lambda: path_bench.measure(quick=quick)),
        ("field", {5, 6, 7, 9}, lambda: field_bench.measure(quick=quick, goals=goals)),
        ("growth", {1, 3, 10}, lambda: growth_bench.measure(readings=backlog)),
        (
            "backlog",
            {3, 4, 9, 10},
            lambda: drain_bench.measure(quick=quick, readings=backlog, goals=goals),
        ),
    ]


def _goals(text: str) -> frozenset[int]:
    asked = frozenset(int(part) for part in text.split(","))
    if unknown := asked - GOALS:
        wrong = f"{sorted(unknown)}: must be of {sorted(GOALS)}"
        raise argparse.ArgumentTypeError(wrong)
    return asked


if __name__ == "__main__":
    sys.exit(main())
