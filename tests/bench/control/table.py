"""The table: for each cause, seconds to zero beside the bound. Pure."""

from __future__ import annotations

import csv
import statistics
from dataclasses import asdict, fields
from typing import TYPE_CHECKING

from tests.bench.control.measure import Run
from tests.bench.table import quantile

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from tests.bench.control.scenarios import Scenario

HEAD = (
    "| bound | cause | runs | bound, s | least | median | p99 | most | ended by | violations |",
    "|---|---|---|---|---|---|---|---|---|---|",
)
LATE = (
    "| # | end of lease to idle in the RTAC | runs | goal, ms | median | p99 | most | met |",
    "|---|---|---|---|---|---|---|---|",
)


def row(scenario: type[Scenario], runs: Sequence[Run]) -> str:
    """One cause."""
    took = sorted(run.took_s for run in runs if run.took_s is not None)
    bounds = {run.bound_s for run in runs if run.bound_s is not None}
    bound = f"{max(bounds):g}" if bounds else ""
    figures = (
        [f"{one:.2f}" for one in (took[0], statistics.median(took), quantile(took, 0.99), took[-1])]
        if took
        else ["", "", "", ""]
    )
    ended = ", ".join(sorted({run.ended_by for run in runs if run.ended_by}))
    wrong = sum(bool(run.violation) for run in runs)
    cells = [scenario.group, scenario.what, str(len(runs)), bound, *figures, ended]
    return "| " + " | ".join([*cells, f"**{wrong}**" if wrong else "0"]) + " |"


def late_row(what: str, late_s: Sequence[float], *, most_s: float | None) -> str:
    """One condition of goal 8; without ``most_s`` it only explains the others."""
    ordered = sorted(one * 1000 for one in late_s)
    p99 = quantile(ordered, 0.99)
    goal = "" if most_s is None else f"p99 <= {most_s * 1000:.0f}"
    met = "" if most_s is None else ("yes" if p99 <= most_s * 1000 else "**no**")
    figures = f"{statistics.median(ordered):.1f} | {p99:.1f} | {ordered[-1]:.1f}"
    return f"| 8 | {what} | {len(ordered)} | {goal} | {figures} | {met} |"


def violations(runs: Iterable[Run]) -> list[str]:
    """Each of them, for people."""
    return [f"- {run.key}, {run.asset}: {run.violation}" for run in runs if run.violation]


def keep(file: Path, runs: Iterable[Run]) -> None:
    """Append the runs to a CSV file."""
    is_new = not file.exists()
    with file.open("a", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, [one.name for one in fields(Run)], lineterminator="\n")
        if is_new:
            writer.writeheader()
        for run in runs:
            writer.writerow({name: _cell(value) for name, value in asdict(run).items()})


def read(file: Path) -> list[Run]:
    """Take back what was kept."""
    with file.open(encoding="utf-8") as lines:
        return [
            Run(
                key=one["key"],
                asset=one["asset"],
                took_s=_number(one["took_s"]),
                bound_s=_number(one["bound_s"]),
                ended_by=one["ended_by"],
                violation=one["violation"],
                idle_late_s=_number(one["idle_late_s"]),
            )
            for one in csv.DictReader(lines)
        ]


def _cell(value: object) -> object:
    return f"{value:.4f}" if isinstance(value, float) else value


def _number(text: str) -> float | None:
    return float(text) if text else None
