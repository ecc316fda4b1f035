"""The tables: by bound and kind of battery, and by cause, seconds to zero. Pure."""

from __future__ import annotations

import csv
import statistics
from dataclasses import asdict, fields
from typing import TYPE_CHECKING

from tests.bench.control.measure import Run
from tests.bench.control.sites import ANSWERS, MAPS
from tests.bench.table import quantile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from tests.bench.control.scenarios import Scenario

HEAD = (
    "| bound | cause | runs | least | median | p99 | most | nearest | ended by | violations |",
    "|---|---|---|---|---|---|---|---|---|---|",
)
BOUNDS = (
    f"| bound | map | {' | '.join(ANSWERS)} |",
    f"|---|---|{'---|' * len(ANSWERS)}",
)
LATE = (
    "| # | end of lease to idle in the RTAC | runs | goal, ms | median | p99 | most | met |",
    "|---|---|---|---|---|---|---|---|",
)


def row(scenario: type[Scenario], runs: Sequence[Run]) -> str:
    """One cause, all batteries."""
    took = sorted(run.took_s for run in runs if run.took_s is not None)
    figures = (
        [
            f"{one:.2f}"
            for one in (
                took[0],
                statistics.median(took),
                quantile(took, 0.99),
                took[-1],
            )
        ]
        if took
        else ["", "", "", ""]
    )
    room = [run.bound_s - run.took_s for run in runs if run.took_s and run.bound_s]
    nearest = f"{min(room):.2f}" if room else ""
    ended = ", ".join(sorted({run.ended_by for run in runs if run.ended_by}))
    wrong = sum(bool(run.violation) for run in runs)
    cells = [scenario.group, scenario.what, str(len(runs)), *figures, nearest, ended]
    return "| " + " | ".join([*cells, f"**{wrong}**" if wrong else "0"]) + " |"


def bound_rows(runs: Sequence[Run]) -> Iterator[str]:
    """For each bound and kind of map, whatever the cause: one cell for each answer time."""
    letters = sorted({run.bound for run in runs if run.bound and run.bound_s and run.bound != "-"})
    for letter in letters:
        for kind in MAPS:
            these = [run for run in runs if (run.bound, run.kind) == (letter, kind)]
            if these:
                cells = (_cell_of([run for run in these if run.answers == one]) for one in ANSWERS)
                yield f"| {letter} | {kind} | {' | '.join(cells)} |"


def _cell_of(runs: Sequence[Run]) -> str:
    """The most; the bound at r; a, and the bound at a, of the run that was nearest to it."""
    if not runs:
        return ""
    took = [run.took_s for run in runs if run.took_s is not None]
    most = f"{max(took):.2f}" if took else "never"
    wrong, past = (
        sum(bool(run.violation) for run in runs),
        sum(run.past_a for run in runs),
    )
    text = f"{most} of {max(run.bound_s or 0.0 for run in runs):.2f}"
    seen = [run for run in runs if run.took_s and run.bound_at_a_s and run.seen_s is not None]
    if seen:
        nearest = min(seen, key=lambda run: (run.bound_at_a_s or 0.0) - (run.took_s or 0.0))
        text += f"; {nearest.took_s:.2f} of {nearest.bound_at_a_s:.2f} at {nearest.seen_s:.2f}"
    text += f"; {len(runs)} runs"
    text += f", **{wrong} past r**" if wrong else ""
    return text + (f", **{past} past a**" if past else "")


def late_row(what: str, late_s: Sequence[float], *, most_s: float | None) -> str:
    """One condition of goal 8; without ``most_s`` it only explains the others."""
    ordered = sorted(one * 1000 for one in late_s)
    p99 = quantile(ordered, 0.99)
    goal = "" if most_s is None else f"p99 <= {most_s * 1000:.0f}"
    met = "" if most_s is None else ("yes" if p99 <= most_s * 1000 else "**no**")
    figures = f"{statistics.median(ordered):.1f} | {p99:.1f} | {ordered[-1]:.1f}"
    return f"| 8 | {what} | {len(ordered)} | {goal} | {figures} | {met} |"


def violations(runs: Iterable[Run]) -> list[str]:
    """Each of them, for people: of the bound at r, and of that at the measured answer time."""
    found = []
    for run in runs:
        who = f"- {run.key}, {run.asset} ({run.kind}, {run.answers})"
        if run.violation:
            found.append(f"{who}: {run.violation}")
        elif run.past_a:
            found.append(f"{who}: {run.took_s:.3f} s, and {run.bound_at_a_s:.3f} s at a")
    return found


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
    numbers = {one.name for one in fields(Run) if "float" in str(one.type)}
    with file.open(encoding="utf-8") as lines:
        return [
            Run(**{  # type: ignore[arg-type]  # a row has the fields of a Run, by name
                name: _number(text) if name in numbers else text for name, text in one.items()
            })
            for one in csv.DictReader(lines)
        ]  # fmt: skip


def _cell(value: object) -> object:
    return f"{value:.4f}" if isinstance(value, float) else value


def _number(text: str) -> float | None:
    return float(text) if text else None
