"""Goal 8: how late the idle is after its lease has ended, as the RTAC's handler sees it.

The end of a lease is the instant of issue of the newest answered challenge, which the gateway
tells to the ms, plus the lease. Measured while the gateway has nothing else to do, while history
drains, while every sync of its disk stalls for a second, and while another RTAC floods it.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway import clock
from gateway.config.safety import TICK_S
from gateway.config.site import QueueSettings
from gateway.queue.store import Store
from gateway.uplink import messages
from gateway.uplink.telemetry import Telemetry
from tests.bench import synthetic
from tests.bench.control import shim, table
from tests.bench.control.measure import turn
from tests.bench.control.plant import Plant, PlantError
from tests.bench.control.scenarios import Scenario
from tests.bench.control.sites import plain
from tests.fixtures.daemon import GATEWAY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.bench.control.measure import Run

SIZES = (4, 16)  # batteries
TURNS, QUICK_TURNS = 6, 1
BACKLOG, QUICK_BACKLOG = 140_000_000, 110_000_000
STALL_S = 1.0
EVENTS_PER_S = 15_000.0
TOGETHER = 50  # batches in one commit of the fill
MOST_S = TICK_S + 0.020


class Silent(Scenario):
    """The dispatch application is there and answers no more."""

    key = "silent"
    what = "dispatch application silent"

    def cause(self, plant: Plant) -> None:
        plant.dispatcher.answering = False

    def mend(self, plant: Plant) -> None:
        plant.dispatcher.answering = True


class Stalled(Silent):
    """The same, with a disk that takes a second for each commit from 3 s before on."""

    def prepare(self, plant: Plant) -> None:
        assert plant.shim is not None
        plant.shim.stall(STALL_S)

    def mend(self, plant: Plant) -> None:
        assert plant.shim is not None
        plant.shim.stall(0)
        super().mend(plant)


class Draining(Silent):
    """The same, with history under way from before until after the end of the lease."""

    def __init__(self) -> None:
        self.waiting: list[int] = []  # readings, at the end of each lease

    def meanwhile(self, plant: Plant, passed_s: float) -> None:
        if passed_s >= plant.times.lease_s - 1.2 and len(self.waiting) < 1:
            self.waiting.append(plant.daemon.ask("queue")["readings"])


def measure(*, quick: bool, say: Callable[[str], None]) -> list[str]:
    """The rows of the table: every condition, with few and with many batteries."""
    rows: list[str] = []
    for assets in SIZES:
        turns = QUICK_TURNS if quick else max(2, TURNS * SIZES[0] // assets)
        for what, runs, most_s in _conditions(assets, turns, quick=quick, say=say):
            late = [run.idle_late_s for run in runs if run.idle_late_s is not None]
            wrong = [run.violation for run in runs if run.violation]
            say(f"goal 8, {what}: {[f'{one * 1000:.0f}' for one in late]} ms {wrong or ''}")
            past = f"; {len(wrong)} of {len(runs)} past bound A" if wrong else ""
            if late:
                rows.append(table.late_row(what + past, late, most_s=most_s))
    return rows


def _conditions(
    assets: int, turns: int, *, quick: bool, say: Callable[[str], None]
) -> Iterator[tuple[str, list[Run], float]]:
    """What it is, its runs, and what p99 may be, s."""
    with _plant(assets) as plant:
        yield f"quiet, {assets} batteries", _turns(Silent(), plant, turns, say), MOST_S
        if plant.shim is not None:
            found = _turns(Stalled(), plant, turns, say)
            yield f"every sync stalls for 1 s, {assets} batteries", found, MOST_S
    with _plant(assets + 1, loaded={"events_per_s": EVENTS_PER_S}) as plant:
        loaded = plant.names[0]  # its RTAC is a Python process that has enough to do
        used_s, began_s = plant.cpu_s(), clock.now().mono_s
        runs = _turns(Silent(), plant, turns, say)
        share = 100 * (plant.cpu_s() - used_s) / (clock.now().mono_s - began_s)
        what = f"an RTAC sends {EVENTS_PER_S:.0f} events/s, daemon at {share:.0f} % of a core: "
        others = [run for run in runs if run.asset != loaded]
        yield f"{what}the {assets} others", others, MOST_S
        itself_s = plant.times_of[loaded].response_s + 1
        yield f"{what}it itself", [run for run in runs if run.asset == loaded], itself_s
    readings = QUICK_BACKLOG if quick else BACKLOG
    runs, waiting = _drained(assets, 1 if quick else 2, readings, say)
    if runs:
        left = f"{min(waiting) / 1e6:.1f}..{max(waiting) / 1e6:.1f} M"
        what = f"history drains, {left} of {readings / 1e6:g} M readings left, {assets} batteries"
        yield what, runs, MOST_S


def _turns(scenario: Scenario, plant: Plant, turns: int, say: Callable[[str], None]) -> list[Run]:
    found: list[Run] = []
    for number in range(1, turns + 1):
        try:
            runs, trouble = turn(scenario, plant)
            found += runs
            if trouble:
                say(f"goal 8, turn {number}: not back to IDLE: {trouble}")
        except PlantError as error:
            say(f"goal 8, turn {number}: no verdict: {error}")
    return found


def _drained(
    assets: int, turns: int, readings: int, say: Callable[[str], None]
) -> tuple[list[Run], list[int]]:
    """A new gateway each time, that starts with so much history."""
    runs: list[Run] = []
    waiting: list[int] = []
    for _ in range(turns):
        with _plant(assets, queue={"max_size": "8GiB"}, start=False) as plant:
            fill(plant, readings)
            plant.start(first=True)
            scenario = Draining()
            found = _turns(scenario, plant, 1, say)
            if found and scenario.waiting and scenario.waiting[0]:
                runs += found
                waiting += scenario.waiting
            elif found:
                say("goal 8: the history was gone before the lease ended")
    return runs, waiting


def fill(plant: Plant, readings: int) -> None:
    """Put history into the gateway's queue before it starts."""
    telemetry = Telemetry(plant.names[0], GATEWAY, "sha256:" + "5f" * 32)
    made = synthetic.fragments(100, at_ms=clock.now().unix_ms)
    batches = [batch for points in made for batch in telemetry.take(points, mono_s=0.0)]
    plant.daemon.state.mkdir(exist_ok=True)
    store = Store(
        plant.daemon.state,
        QueueSettings(max_size=8 << 30, max_age_s=604_800),
        post=lambda _event: None,
        notice_batch=functools.partial(messages.notice_batch, gateway=GATEWAY),
    )
    store.start()
    for first in range(0, readings // synthetic.POINTS, TOGETHER):
        at = first % len(batches)
        store.append(batches[at : at + TOGETHER], within_s=60)
    store.close(within_s=60)


class _plant:  # noqa: N801 - used as a context manager
    """A few batteries, with a disk and a clock that can be told."""

    def __init__(self, assets: int, *, start: bool = True, **options: Any) -> None:  # noqa: ANN401 - options of a Plant
        self._assets, self._start, self._options = assets, start, options

    def __enter__(self) -> Plant:
        self._folder = tempfile.TemporaryDirectory(prefix="bess-control-")
        folder = Path(self._folder.name)
        self._shim = None if shim.LACKS else shim.Shim(folder)
        self._plant = Plant(folder, sites=plain(self._assets), shim=self._shim, **self._options)
        if self._start:
            self._plant.start(first=True)
        return self._plant

    def __exit__(self, *_: object) -> None:
        self._plant.__exit__()
        if self._shim is not None:
            self._shim.__exit__()
        self._folder.cleanup()
