"""The daemon's answers as text for people. Pure."""

from __future__ import annotations

from typing import Any


def status(answer: dict[str, Any]) -> str:
    """``bess-gateway status``: one line for each thing that can be wrong, the worst first."""
    health = "healthy" if answer["healthy"] else "DEGRADED"
    lines = [
        f"{answer['gateway']}: {health}, version {answer['version']}, up {span(answer['upS'])}"
    ]
    lines += [f"  ! {reason}" for reason in answer["reasons"]]
    broker = answer["broker"]
    word = "up" if broker["up"] else "down"
    lines.append(f"  broker   {word} for {span(broker['sinceS'])}{_because(broker['cause'])}")
    last = answer["lastAcknowledgedS"]
    acknowledged = "nothing yet" if last is None else f"{span(last)} ago"
    lines.append(f"  queue    {_count(answer['waiting'])} waiting; acknowledged {acknowledged}")
    runway = answer["diskRunwayS"]
    full = "" if runway is None else f", full in {span(runway)} at this rate"
    lines.append(
        f"  box      disk {answer['diskFreePct']} % free{full}; "
        f"certificate {answer['certificateDays']} days"
    )
    for name, asset in answer["assets"].items():
        session, control = asset["session"], asset["control"]
        word = "up" if session["up"] else "down"
        lines.append(
            f"  {name}   session {word} for {span(session['sinceS'])}{_because(session['cause'])}"
        )
        points_map = asset["map"]
        lines.append(f"    map     {points_map['ref']}, {points_map['verdict']}")
        reasons = ", ".join(control["reasons"])
        lines.append(f"    control {control['state']}{_because(reasons)}")
    return "\n".join(lines)


def queue(answer: dict[str, Any]) -> str:
    """``bess-gateway queue``: a line a stream, then what is being shipped."""
    if not answer["streams"]:
        return "the queue has not reported yet"
    lines = [f"{'stream':<12}{'rows':>10}{'readings':>12}{'KiB':>10}  oldest"]
    for name, depth in answer["streams"].items():
        oldest = "-" if depth["oldestAgeS"] is None else f"{span(depth['oldestAgeS'])} ago"
        kib = depth["bytes"] / 1024
        lines.append(f"{name:<12}{depth['rows']:>10}{depth['readings']:>12}{kib:>10.1f}  {oldest}")
    lines.append(
        f"epoch {answer['epoch']}, {answer['gaps']} gaps announced, "
        f"{answer['quarantined']} quarantined, {answer['inFlight']} in flight"
    )
    if answer["backfilling"]:
        left = answer["backfillLeftS"]
        rate = f"backfill: {answer['backfillPerS']:.0f} readings/s"
        lines.append(rate if left is None else f"{rate}, {span(left)} to go")
    lines += [f"refused by the broker: {topic}" for topic in answer["blockedTopics"]]
    return "\n".join(lines)


def span(seconds: float) -> str:
    """A duration for people: 12 s, 3 min, 2.5 h, 4 d."""
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86_400:.0f} d"


def _because(cause: str) -> str:
    return f" ({cause})" if cause else ""


def _count(readings: int | None) -> str:
    return "unknown" if readings is None else f"{readings:,} readings"
