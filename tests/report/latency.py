"""The ages of events at a subscriber behind the broker, as a histogram: goal 7's streams."""

from __future__ import annotations

import csv
import math
from typing import TYPE_CHECKING

from tests.bench.field_bench import FAST, SINGLE, Field
from tests.bench.table import quantile
from tests.report.pyplot import load

if TYPE_CHECKING:
    from pathlib import Path

ROUNDS, FOR_S = 5, 5.0
STEP = 0.05  # of log10(ms)
KINDS = {"grouped": "1000 events/s, 50 a fragment", "single": "1000 events/s, one by one"}


def measure(path: Path) -> None:
    """Write how many events were how old, in interleaved windows; a minute and a half."""
    ages: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with Field() as field:
        field.window(size=50, every_s=FAST, for_s=2.0)
        for _ in range(ROUNDS):
            ages["grouped"] += field.window(size=50, every_s=FAST, for_s=FOR_S).ages_ms
            ages["single"] += field.window(size=1, every_s=SINGLE, for_s=FOR_S).ages_ms
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("what", "from_ms", "to_ms", "events", "p50_ms", "p99_ms"))
        for kind, found in ages.items():
            middle, late = (f"{quantile(found, part):.2f}" for part in (0.5, 0.99))
            counts: dict[int, int] = {}
            for age in found:
                at = math.floor(math.log10(max(age, 0.01)) / STEP)
                counts[at] = counts.get(at, 0) + 1
            for at in sorted(counts):
                edges = (f"{10 ** (STEP * at):.3f}", f"{10 ** (STEP * (at + 1)):.3f}")
                writer.writerow((kind, *edges, counts[at], middle, late))


def plot(path: Path, picture: Path) -> None:
    """Draw it over the logarithm of the age."""
    pyplot = load()
    figure, axes = pyplot.subplots(2, 1, figsize=(8, 6), sharex=True, layout="constrained")
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for axis, (kind, name) in zip(axes, KINDS.items(), strict=True):
        mine = [row for row in rows if row["what"] == kind]
        left = [float(row["from_ms"]) for row in mine]
        width = [float(row["to_ms"]) - float(row["from_ms"]) for row in mine]
        axis.bar(left, [int(row["events"]) for row in mine], width=width, align="edge")
        for part, goal in (("p50_ms", 5.0), ("p99_ms", 15.0)):
            found = float(mine[0][part])
            axis.axvline(found, color="black", lw=1, label=f"{part[:3]} {found:g} ms")
            if kind == "grouped":
                axis.axvline(goal, color="red", lw=1, ls="--", label=f"goal {goal:g} ms")
        axis.set_title(name)
        axis.set_ylabel("events")
        axis.legend()
    axes[1].set_xscale("log")
    axes[1].set_xlabel("ms from the event to a subscriber behind the broker")
    figure.savefig(picture, dpi=80)
    pyplot.close(figure)
