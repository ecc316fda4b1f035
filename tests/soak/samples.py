"""One line of the soak's table every ten seconds, as a CSV file."""

from __future__ import annotations

import csv
import os
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

from gateway.local.client import NotRunningError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.bench.rig import Daemon, Rig


@dataclass(frozen=True, slots=True)
class Sample:
    """The daemon at one instant. Cells are empty where the daemon did not answer."""

    at_s: float  # since the soak began
    rss_mb: float
    fds: int
    threads: int
    waiting: int | None  # readings in the queue
    acknowledged_s: float | None  # since the broker took the last record
    disk_mb: float  # the queue's files
    readings: int  # that the recorder has
    cpu_s: float  # of the daemon since it started
    broker_up: int  # as we made it
    sessions_up: int | None  # as the daemon has it
    load: float  # of the machine, over a minute


def take(*, at_s: float, daemon: Daemon, rig: Rig, readings: int, broker_up: bool) -> Sample:
    """Look at the daemon from outside, then ask it."""
    seen = daemon.seen
    rss_mb, fds, threads = daemon.rss_mb(), seen.num_fds(), seen.num_threads()
    try:
        status = daemon.ask("status")
        sessions = sum(one["session"]["up"] for one in status["assets"].values())
        waiting, acknowledged_s = status["waiting"], status["lastAcknowledgedS"]
    except NotRunningError:
        sessions = waiting = acknowledged_s = None
    return Sample(
        at_s=round(at_s, 1),
        rss_mb=round(rss_mb, 2),
        fds=fds,
        threads=threads,
        waiting=waiting,
        acknowledged_s=acknowledged_s,
        disk_mb=round(sum(one.stat().st_size for one in rig.state.glob("queue.db*")) / 1e6, 2),
        readings=readings,
        cpu_s=round(daemon.cpu_s(), 2),
        broker_up=int(broker_up),
        sessions_up=sessions,
        load=round(os.getloadavg()[0], 2),
    )


def append(path: Path, sample: Sample) -> None:
    """Add one line, and the head before the first."""
    fresh = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        if fresh:
            writer.writerow(one.name for one in fields(Sample))
        writer.writerow("" if one is None else one for one in asdict(sample).values())


def read(path: Path) -> list[Sample]:
    """The lines of a file."""
    with path.open(encoding="utf-8") as file:
        return [_sample(row) for row in csv.DictReader(file)]


def _sample(row: dict[str, str]) -> Sample:
    def whole(name: str) -> int | None:
        return int(row[name]) if row[name] else None

    return Sample(
        at_s=float(row["at_s"]),
        rss_mb=float(row["rss_mb"]),
        fds=int(row["fds"]),
        threads=int(row["threads"]),
        waiting=whole("waiting"),
        acknowledged_s=float(row["acknowledged_s"]) if row["acknowledged_s"] else None,
        disk_mb=float(row["disk_mb"]),
        readings=int(row["readings"]),
        cpu_s=float(row["cpu_s"]),
        broker_up=int(row["broker_up"]),
        sessions_up=whole("sessions_up"),
        load=float(row["load"]),
    )
