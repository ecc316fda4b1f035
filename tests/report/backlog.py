"""Throughput against backlog: the same queue with 10 k to 10 M readings waiting, in turns."""

from __future__ import annotations

import csv
import os
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.bench import floor, queue_bench
from tests.report.pyplot import load

SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
ROUNDS = 7
COMMITS = 200  # a round and size
DRAINS = 4
KINDS = ("put", "taken")


def measure(path: Path) -> None:
    """Write readings/s of every round and size; a minute."""
    made = queue_bench.bodies(50)
    rows: list[tuple[int, str, float]] = []
    with (
        tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name,
        ExitStack() as stack,
    ):
        folder = Path(name)
        shelves = []
        for size in SIZES:
            (folder / f"{size}").mkdir()
            bench = queue_bench.Bench(folder / f"{size}", made)
            stack.enter_context(bench.shelf)
            bench.fill(size)
            shelves.append((size, bench))
        for _ in range(ROUNDS):
            rows.append((0, "floor", floor.records_per_s(folder, for_s=0.5)))
            for size, bench in shelves:
                # What a round puts in it takes out again, so that the backlog stays.
                wall_s, _ = queue_bench.timed(bench.append, COMMITS)
                rows.append((size, "put", queue_bench.READINGS / wall_s))
                wall_s, _ = queue_bench.timed(bench.drain, DRAINS)
                taken = queue_bench.DRAIN * queue_bench.READINGS / wall_s
                rows.append((size, "taken", taken))
                for _ in range(COMMITS // queue_bench.DRAIN - DRAINS):
                    bench.drain()
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("waiting", "what", "per_s"))
        writer.writerows((size, what, round(per_s)) for size, what, per_s in rows)


def table(path: Path) -> str:
    """Medians and ranges as Markdown."""
    found = _read(path)
    lines = ["| readings waiting | put, readings/s | fetched and deleted, readings/s |"]
    lines.append("|---|---|---|")
    for size in SIZES:
        cells = " | ".join(_cell(found[size, kind]) for kind in KINDS)
        lines.append(f"| {size:,} | {cells} |")
    lines.append(f"| the floor: append + fdatasync | {_cell(found[0, 'floor'])} | |")
    return "\n".join([*lines, ""])


def plot(path: Path, picture: Path) -> None:
    """Draw it, on logarithmic axes."""
    pyplot = load()
    found = _read(path)
    figure, axis = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    names = {"put": "put: one batch of 500 a commit", "taken": "fetched, acknowledged, deleted"}
    for kind in KINDS:
        middles = [statistics.median(found[size, kind]) for size in SIZES]
        spans = [
            [middle - min(found[size, kind]) for size, middle in zip(SIZES, middles, strict=True)],
            [max(found[size, kind]) - middle for size, middle in zip(SIZES, middles, strict=True)],
        ]
        axis.errorbar(SIZES, middles, yerr=spans, marker="o", capsize=4, label=names[kind])
    axis.axhline(
        statistics.median(found[0, "floor"]), color="grey", ls="--", label="append + fdatasync"
    )
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("readings waiting")
    axis.set_ylabel("readings/s")
    axis.set_title(f"Throughput against backlog (median and range of {ROUNDS} rounds)")
    axis.grid(visible=True, which="both", alpha=0.2)
    axis.legend()
    figure.savefig(picture, dpi=90)
    pyplot.close(figure)


def _read(path: Path) -> dict[tuple[int, str], list[float]]:
    found: dict[tuple[int, str], list[float]] = {}
    with path.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            found.setdefault((int(row["waiting"]), row["what"]), []).append(float(row["per_s"]))
    return found


def _cell(values: list[float]) -> str:
    middle, least, most = statistics.median(values), min(values), max(values)
    return f"{middle / 1000:,.0f} k ({least / 1000:,.0f}..{most / 1000:,.0f} k)"
