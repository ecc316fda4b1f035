"""``make bench-control``: from each cause to zero, measured on the simulated RTACs' own record.

Every RTAC is one run of a turn. What cannot be tried here (no root, no gcc) is skipped and said.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.errors import GatewayError
from tests.bench import table as machine
from tests.bench.control import lateness, netns, shim, table
from tests.bench.control.measure import Run, turn
from tests.bench.control.plant import Plant, PlantError
from tests.bench.control.scenarios import SCENARIOS, Scenario
from tests.bench.control.sites import (
    ANSWERS,
    AT_ONCE,
    MAPS,
    MOST,
    RESPONSE_S,
    TIMES,
    mixed,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

EACH = len(MAPS) * len(ANSWERS)  # a battery of each kind
RUNS, QUICK_RUNS = 6 * EACH, EACH
ASSETS, QUICK_ASSETS = 3 * EACH, EACH
BUFFER = 100  # events of each class: one fragment, also where it overflowed
ENOUGH = 0.9  # of the runs: a busy machine keeps one or two from their dispatch
SPARE = 2  # more turns, for batteries that a busy machine kept from their dispatch
QUICK = ("dispatcher-killed", "read-dropped", "gateway-killed", "zero-refused")
GOAL_8 = "goal-8"
KEYS = (*(one.key for one in SCENARIOS), GOAL_8)


def main() -> int:
    """Try what is asked for; exit 1 if a bound was broken or a turn could not be made."""
    asked = _asked()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # no daemon and no cable outlives us
    build = asked.into
    build.parent.mkdir(parents=True, exist_ok=True)
    kept = build.with_suffix(".csv")
    rows = build.with_suffix(".goal-8")
    if not asked.keep:
        kept.unlink(missing_ok=True)
        rows.unlink(missing_ok=True)
    environment = machine.environment(Path(tempfile.gettempdir()))
    began = time.monotonic()
    handed_ms: list[float] = []
    notes = _try_all(asked, kept, handed_ms)
    if GOAL_8 in asked.only:
        rows.write_text("\n".join(lateness.measure(quick=asked.quick, say=_say)))
    late = rows.read_text().splitlines() if rows.exists() else []
    minutes = (time.monotonic() - began) / 60
    runs = table.read(kept) if kept.exists() else []
    text = _text(
        runs, late, notes, handed_ms, f"{environment}, {os.getloadavg()[2]:.1f} at the end"
    )
    build.write_text(text)
    print(text)
    print(f"{minutes:.0f} minutes")
    return 1 if notes or table.violations(runs) else 0


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.control", description=__doc__)
    add = parser.add_argument
    add("--runs", type=int, metavar="N", help=f"of each cause ({RUNS})")
    add("--assets", type=int, metavar="N", help=f"batteries under one gateway ({ASSETS})")
    add("--only", type=_keys, metavar="KEY,KEY", help=f"of {', '.join(KEYS)}")
    add("--quick", action="store_true", help="some minutes: a cause for each bound, one turn")
    add("--keep", action="store_true", help="add to what was found before")
    add("--into", type=Path, default=Path("build/control.md"), metavar="FILE")
    asked = parser.parse_args()
    asked.runs = asked.runs or (QUICK_RUNS if asked.quick else RUNS)
    asked.assets = asked.assets or (QUICK_ASSETS if asked.quick else ASSETS)
    asked.only = asked.only or (QUICK if asked.quick else KEYS)
    return asked


def _try_all(asked: argparse.Namespace, kept: Path, handed_ms: list[float]) -> list[str]:
    """Every cause that is asked for; returns what could not be tried, and why."""
    notes: list[str] = []
    chosen = [one for one in SCENARIOS if one.key in asked.only]
    lacks = {"net": netns.lacks(), "shim": shim.LACKS}
    for one in tuple(chosen):
        missing = [lacks[need] for need in sorted(one.needs) if lacks[need]]
        if missing:
            chosen.remove(one)
            notes.append(f"- {one.key} was not tried: {', '.join(missing)}")
    if chosen:
        try:
            with _plant(asked.assets, lacks) as plant:
                plant.start(first=True)
                for one in chosen:
                    notes += _try(one, plant, asked.runs, kept)
                    handed_ms.append(plant.handed_ms())
        except (PlantError, GatewayError, AssertionError) as error:
            notes.append(f"- ended early: {error}")
    return notes


def _try(kind: type[Scenario], plant: Plant, runs: int, kept: Path) -> list[str]:
    scenario, notes = kind(), []
    runs = runs * len(scenario.tried(plant)) // len(plant.names)
    turns = max(scenario.turns, -(-runs // len(plant.names)))
    made = done = 0
    for number in range(1, turns + SPARE + 1):
        if made >= ENOUGH * runs and done >= scenario.turns:
            break
        began = time.monotonic()
        try:
            found, trouble = turn(scenario, plant)
        except (PlantError, GatewayError, AssertionError) as error:
            _say(f"{kind.key} {number}: no verdict: {error}")
            notes.append(f"- {kind.key}, turn {number}: no verdict: {error}")
            continue
        table.keep(kept, found)
        made, done = made + len(found), done + 1
        _say(f"{kind.key} {number}: {_short(found)}, {time.monotonic() - began:.0f} s")
        if trouble:
            _say(f"{kind.key} {number}: not back to IDLE: {trouble}")
            notes.append(f"- {kind.key}, turn {number}: not back to IDLE: {trouble}")
    return notes


def _short(runs: Sequence[Run]) -> str:
    took = [run.took_s for run in runs if run.took_s is not None]
    most = f"{max(took):.2f} s at most" if took else "zero never came"
    wrong = [run.violation for run in runs if run.violation]
    return f"{len(runs)} runs, {most}" + (f", VIOLATIONS {wrong}" if wrong else "")


@contextlib.contextmanager
def _plant(assets: int, lacks: dict[str, str]) -> Iterator[Plant]:
    """Batteries of every kind of map, with every answer time."""
    options: dict[str, Any] = {
        "sites": mixed(assets),
        "times": TIMES,
        "sim": {"buffer": BUFFER},
    }
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bess-control-")))
        if not lacks["net"]:
            options["net"] = stack.enter_context(netns.Namespace())
        if not lacks["shim"]:
            options["shim"] = stack.enter_context(shim.Shim(folder))
        yield stack.enter_context(Plant(folder, **options))


def _text(
    runs: Sequence[Run],
    late: Sequence[str],
    notes: Sequence[str],
    handed_ms: Sequence[float],
    environment: str,
) -> str:
    lines = [*table.BOUNDS, *table.bound_rows(runs), "", *table.HEAD] if runs else []
    for kind in SCENARIOS:
        these = [run for run in runs if run.key == kind.key]
        if these:
            lines.append(table.row(kind, these))
    past = f"{sum(run.past_a for run in runs)} past the bound at a"
    wrong = sum(bool(run.violation) for run in runs)
    lines += ["", f"{len(runs)} runs, {wrong} violations, {past}."] if runs else []
    lines += [*table.violations(runs), *notes, ""]
    together = [
        run.idle_late_s
        for run in runs
        if run.idle_late_s is not None and (run.answers, run.bound) == (AT_ONCE, "A")
    ]
    if together:
        batteries = len({run.asset for run in runs})
        what = f"{batteries} batteries together, those that answer at once"
        late = [*late, table.late_row(what, together, most_s=None)]
    if late:
        lines += [*table.LATE, *late, ""]
    each = mixed(EACH)
    verify_s = max(one.times(TIMES).verify_s for one in each)
    most_s = ", ".join(f"{one.kind} {one.response_s:g} s" for one in each if one.answers == MOST)
    site = (
        f"Lease {TIMES.lease_s:g} s, tick {TIMES.tick_s:g} s, response timeout r {RESPONSE_S:g} s "
        f"(with 0.9 r: {most_s}, the most that 0.9 r may be), dead-man {TIMES.deadman_s:g} s, RTAC "
        f"scan {TIMES.scan_s:g} s, idle verification {verify_s:g} s, reversion timer "
        f"{TIMES.reversion_s:g} s."
    )
    if handed_ms:
        most = f"{max(handed_ms):.1f} ms at most, of each daemon's life that a cause ended in"
        lines += [f"From a control's licence to its frame: {most}.", ""]
    lines += [site, "", f"Machine: {environment}.", ""]
    return "\n".join(lines)


def _keys(text: str) -> tuple[str, ...]:
    asked = tuple(text.split(","))
    if unknown := set(asked) - set(KEYS):
        wrong = f"{', '.join(sorted(unknown))}: must be of {', '.join(KEYS)}"
        raise argparse.ArgumentTypeError(wrong)
    return asked


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
