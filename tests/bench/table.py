"""The lines of the report, and the machine they were measured on."""

from __future__ import annotations

import os
import platform
import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import psutil
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_MET = {True: "yes", False: "NO", None: "-"}


@dataclass(frozen=True, slots=True)
class Line:
    """One figure beside its goal."""

    goal: int  # number in the list of goals
    what: str
    wanted: str  # "" where the figure only explains another one
    measured: str
    met: bool | None = None  # None: there is nothing to meet


def at_least(goal: int, what: str, values: Sequence[float], *, least: float, unit: str) -> Line:
    """A line for the median of ``values``, which shall not be below ``least``."""
    middle = statistics.median(values)
    return Line(goal, what, f">= {_figure(least)} {unit}", spread(values, unit), middle >= least)


def at_most(goal: int, what: str, values: Sequence[float], *, most: float, unit: str) -> Line:
    """A line for the median of ``values``, which shall not be above ``most``."""
    middle = statistics.median(values)
    return Line(goal, what, f"<= {_figure(most)} {unit}", spread(values, unit), middle <= most)


def beside(goal: int, what: str, values: Sequence[float], *, unit: str) -> Line:
    """A line that explains another one."""
    return Line(goal, what, "", spread(values, unit))


def unjudged(line: Line) -> Line:
    """The line without its verdict, where the run was too small for one."""
    return replace(line, wanted=f"({line.wanted})", met=None)


def spread(values: Sequence[float], unit: str) -> str:
    """The median, and the range where there are several values."""
    middle = _figure(statistics.median(values))
    if len(values) == 1:
        return f"{middle} {unit}"
    return f"{middle} {unit} ({_figure(min(values))}..{_figure(max(values))}, n={len(values)})"


def quantile(values: Sequence[float], part: float) -> float:
    """The value below which ``part`` (0..1) of ``values`` lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def environment(folder: Path) -> str:
    """Cores, kernel, Python and the disk that ``folder`` is on."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in _read("/proc/cpuinfo").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    mounts = [
        one
        for one in psutil.disk_partitions(all=True)
        if folder.resolve().is_relative_to(one.mountpoint)
    ]
    disk = max(mounts, key=lambda one: len(one.mountpoint), default=None)
    where = "unknown disk" if disk is None else f"{disk.fstype} on {disk.device}"
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} x {model}, Linux {platform.release()}, "
        f"Python {platform.python_version()}, {where}, load before {load:.1f}"
    )


def show(lines: Sequence[Line], *, environment_line: str) -> None:
    """Print the table, and what it comes to."""
    console = Console(width=None if os.isatty(1) else 150, highlight=False)
    table = Table(title="Goals", title_justify="left")
    for name, side in (("#", "right"), ("what", "left"), ("goal", "left"), ("measured", "left")):
        table.add_column(name, justify="right" if side == "right" else "left", overflow="fold")
    table.add_column("met")
    before = 0
    for line in sorted(lines, key=lambda one: one.goal):
        if before and line.goal != before:
            table.add_section()
        before = line.goal
        style = "bold red" if line.met is False else None
        cells = (str(line.goal), line.what, line.wanted, line.measured, _MET[line.met])
        table.add_row(*cells, style=style)
    console.print(table)
    console.print(environment_line)
    judged = [line for line in lines if line.met is not None]
    missed = [line for line in judged if not line.met]
    console.print(f"{len(judged) - len(missed)} of {len(judged)} met")
    for line in missed:
        console.print(f"missed: {line.goal}: {line.what}: {line.measured}, goal {line.wanted}")


def markdown(lines: Sequence[Line], *, environment_line: str) -> str:
    """The same as a Markdown table, for the report."""
    rows = ["| # | what | goal | measured | met |", "|---|---|---|---|---|"]
    for line in sorted(lines, key=lambda one: one.goal):
        met = {True: "yes", False: "**no**", None: ""}[line.met]
        rows.append(f"| {line.goal} | {line.what} | {line.wanted} | {line.measured} | {met} |")
    judged = [line for line in lines if line.met is not None]
    rows += ["", f"{sum(bool(line.met) for line in judged)} of {len(judged)} met."]
    return "\n".join([*rows, "", f"Machine: {environment_line}.", ""])


def _figure(value: float) -> str:
    if abs(value) >= 10_000:
        return f"{value / 1000:,.0f} k"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:  # noqa: PTH123 - a file of the kernel
        return file.read()
