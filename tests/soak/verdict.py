"""What a soak's samples come to: the table, the verdicts, the picture. Judges growth, not speed."""

from __future__ import annotations

import itertools
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.report.pyplot import load

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.soak.samples import Sample

JUDGED_S = 1200.0  # a shorter run has nothing to say about growth
SLOPE_MB_H = 2.0  # of resident memory over the second half
MOVED = 1  # descriptors or threads between the first and the last quarter of the second half
QUIET_S = 30.0  # with the broker up for so long a sample shows the daemon at rest


@dataclass(frozen=True, slots=True)
class Counted:
    """The whole run in numbers."""

    flaps: int
    restarts: int
    sent: int  # events applied by the outstations
    events: int  # of those that the recorder has
    holes: int  # missing, although a later one of the same outstation came
    taken: int  # not yet confirmed when an RTAC lost its power
    again: int  # there twice after the consumer's deduplication
    received: int  # readings and records of all kinds
    lost: int  # by sequence numbers
    announced: int
    twice: int  # that the gateway or the broker sent again, and the consumer dropped
    exit_code: int


def table(found: Sequence[Sample], counted: Counted, *, machine: str) -> tuple[str, bool]:
    """The Markdown table, and whether every verdict is good."""
    verdicts = [*_growth(found), *_counts(counted)]
    rows = [
        ("minutes", f"{found[-1].at_s / 60:.0f}"),
        ("broker down (5..20 s)", f"{counted.flaps} times"),
        ("RTAC of 8 outstations without power (2..15 s)", f"{counted.restarts} times"),
        ("events applied by the outstations", f"{counted.sent:,}"),
        ("readings and records at the recorder", f"{counted.received:,}"),
        ("resident memory, MB", _range([one.rss_mb for one in found])),
        ("open file descriptors", _range([one.fds for one in found])),
        ("threads", _range([one.threads for one in found])),
        ("readings waiting", _range([one.waiting for one in found if one.waiting is not None])),
        ("last acknowledgement, s ago, broker up", _range(_lags(found))),
        ("queue's files, MB", _range([one.disk_mb for one in found])),
        ("CPU a reading, us", _range([us for _, us in cpu_us(found)])),
        ("load of the machine", _range([one.load for one in found])),
    ]
    lines = ["| what | least .. median .. most |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in rows]
    lines += ["", "| verdict | allowed | found | |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {allowed} | {value} | {'good' if good else 'BAD'} |"
        for name, allowed, value, good in verdicts
    ]
    if found[-1].at_s < JUDGED_S:
        lines += ["", f"Growth is not judged below {JUDGED_S / 60:.0f} minutes."]
    lines += ["", f"Machine: {machine}.", ""]
    return "\n".join(lines), all(good for *_, good in verdicts)


def cpu_us(found: Sequence[Sample]) -> list[tuple[float, float]]:
    """Second and CPU a reading in us, over a minute each, so that flaps are inside."""
    spaced = found[::6]
    return [
        (after.at_s, 1e6 * (after.cpu_s - before.cpu_s) / (after.readings - before.readings))
        for before, after in itertools.pairwise(spaced)
        if after.readings > before.readings
    ]


def plot(found: Sequence[Sample], path: Path) -> None:
    """Draw the samples over the minutes."""
    pyplot = load()
    minutes = [one.at_s / 60 for one in found]
    figure, axes = pyplot.subplots(5, 1, figsize=(9, 10), sharex=True, layout="constrained")
    axes[0].plot(minutes, [one.rss_mb for one in found], color="tab:blue")
    axes[0].set_ylabel("resident\nmemory, MB")
    axes[0].set_ylim(0, max(96.0, 1.1 * max(one.rss_mb for one in found)))
    axes[1].plot(minutes, [one.fds for one in found], label="file descriptors")
    axes[1].plot(minutes, [one.threads for one in found], label="threads")
    axes[1].set_ylim(bottom=0)
    axes[1].legend(loc="lower right")
    axes[2].plot(minutes, [one.waiting for one in found], color="tab:green")
    axes[2].set_ylabel("readings\nwaiting")
    axes[3].plot(minutes, [one.acknowledged_s for one in found], color="tab:red")
    axes[3].set_ylabel("last acknow-\nledged, s ago")
    spent = cpu_us(found)
    axes[4].plot([at_s / 60 for at_s, _ in spent], [us for _, us in spent], color="tab:purple")
    axes[4].set_ylabel("CPU a reading,\nus (a minute)")
    axes[4].set_ylim(bottom=0)
    axes[4].set_xlabel("minutes")
    for axis in axes:
        axis.grid(visible=True, alpha=0.3)
    axes[0].set_title("32 sessions of 500 points, broker flaps, RTACs losing power")
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


def _growth(found: Sequence[Sample]) -> list[tuple[str, str, str, bool]]:
    end_s = found[-1].at_s
    if end_s < JUDGED_S:
        return []
    half = _at_rest([one for one in found if one.at_s >= end_s / 2])
    slope = (
        3600
        * statistics.linear_regression(
            [one.at_s for one in half], [one.rss_mb for one in half]
        ).slope
    )
    verdicts = [
        (
            "slope of resident memory over the second half",
            f"<= {SLOPE_MB_H:g} MB/h",
            f"{slope:+.2f} MB/h",
            slope <= SLOPE_MB_H,
        )
    ]
    part = max(1, len(half) // 4)
    for name in ("fds", "threads"):
        early = statistics.median(getattr(one, name) for one in half[:part])
        late = statistics.median(getattr(one, name) for one in half[-part:])
        words = {"fds": "open file descriptors", "threads": "threads"}[name]
        verdicts.append(
            (
                f"{words} at rest, third quarter to last",
                f"at most {MOVED} more",
                f"{early:g} to {late:g}",
                late - early <= MOVED,
            )
        )
    verdicts.append(
        ("readings waiting at the end", "0", f"{found[-1].waiting}", found[-1].waiting == 0)
    )
    return verdicts


def _counts(counted: Counted) -> list[tuple[str, str, str, bool]]:
    made = counted.events + counted.holes + counted.taken
    return [
        ("lost, by sequence numbers", "0", f"{counted.lost}", counted.lost == 0),
        ("lost, by numbered events", "0", f"{counted.holes}", counted.holes == 0),
        (
            "applied = received + unconfirmed at an RTAC's loss of power",
            f"{counted.sent:,}",
            f"{counted.events:,} + {counted.taken:,}",
            counted.sent == made - counted.again,
        ),
        ("given up and announced", "0", f"{counted.announced}", counted.announced == 0),
        (
            f"duplicates after dropping the {counted.twice} that came twice",
            "0",
            f"{counted.again}",
            counted.again == 0,
        ),
        ("exit code after SIGTERM", "0", f"{counted.exit_code}", counted.exit_code == 0),
    ]


def _at_rest(found: Sequence[Sample]) -> list[Sample]:
    """Samples with broker and all sessions up, and the broker for a while already."""
    rest, down_s = [], found[0].at_s - QUIET_S
    most = max(one.sessions_up or 0 for one in found)
    for one in found:
        if not one.broker_up or one.sessions_up != most:
            down_s = one.at_s
        elif one.at_s - down_s >= QUIET_S:
            rest.append(one)
    return rest


def _lags(found: Sequence[Sample]) -> list[float]:
    return [one.acknowledged_s for one in found if one.broker_up and one.acknowledged_s is not None]


def _range(values: Sequence[float]) -> str:
    if not values:
        return "none"
    return " .. ".join(
        f"{value:,.4g}" if value < 1000 else f"{value:,.0f}"
        for value in (min(values), statistics.median(values), max(values))
    )
