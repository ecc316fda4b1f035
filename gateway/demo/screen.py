"""What the demo shows: the battery, its raw points and the queue, from the cloud's side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.columns import Columns
from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from gateway.clock import rfc3339

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from gateway.demo.cloud import Cloud

FIELDS = (
    ("chargePercentage", "%"),
    ("charge", "Wh"),
    ("chargeRate", "W"),
    ("chargingState", ""),
    ("backupReserve", "%"),
    ("maxChargeRate", "W"),
    ("maxDischargeRate", "W"),
    ("availableChargeRate", "W"),
    ("availableDischargeRate", "W"),
    ("capacity", "Wh"),
    ("controlState", ""),
)
SHOWN_POINTS = 14


def render(
    cloud: Cloud, queue: dict[str, Any], phase: str, said: Sequence[str] = ()
) -> RenderableType:
    """One frame. ``queue`` is the daemon's own answer on its control socket, or empty."""
    with cloud.lock:
        left = Group(_state(cloud), _shipping(cloud, queue))
        right = _points(cloud)
        header = f"{phase}   gateway {'online' if cloud.status.get('online') else 'offline'}"
    body = Group(Columns([left, right]), *(Text(f"- {line}") for line in said))
    return Panel(body, title="bess-gateway demo", subtitle=header)


def _state(cloud: Cloud) -> Table:
    table = Table(title="normalized battery (bess.state/1)", min_width=52)
    table.add_column("field")
    table.add_column("value", justify="right")
    table.add_column("quality")
    table.add_column("from")
    notes = cloud.state.get("fields", {})
    for name, unit in FIELDS:
        value, note = cloud.state.get(name), notes.get(name, {})
        table.add_row(name, _number(value, unit), note.get("quality", "-"), note.get("source", "-"))
    return table


def _points(cloud: Cloud) -> Table:
    table = Table(title="raw points (bess.telemetry/1)", min_width=44)
    table.add_column("point")
    table.add_column("name")
    table.add_column("raw", justify="right")
    table.add_column("flags", justify="right")
    table.add_column("at")
    ordered = sorted(
        cloud.points, key=lambda point: (point.rstrip("0123456789"), len(point), point)
    )
    for point in ordered[:SHOWN_POINTS]:
        reading = cloud.points[point]
        name = cloud.table.get(point, {}).get("name", "")
        flags = "-" if reading["flags"] is None else f"0x{reading['flags']:02x}"
        value = _number(reading["value"], "")
        table.add_row(point, name, value, flags, rfc3339(reading["at_ms"])[11:23])
    if len(ordered) > SHOWN_POINTS:
        table.caption = f"and {len(ordered) - SHOWN_POINTS} more"
    return table


def _shipping(cloud: Cloud, queue: dict[str, Any]) -> Table:
    table = Table(title="store and forward", min_width=52)
    table.add_column("what")
    table.add_column("figure", justify="right")
    table.add_row("broker", "up" if queue.get("brokerUp") else "down")
    table.add_row("waiting in the queue", f"{queue.get('readings', 0):,} readings")
    table.add_row("messages received", f"{cloud.messages:,}, {cloud.backfilled:,} of them backfill")
    table.add_row("readings received", f"{cloud.consumer.received:,}")
    table.add_row("gap check", verdict(cloud))
    return table


def verdict(cloud: Cloud) -> str:
    """The sentence that says whether anything was lost."""
    consumer = cloud.consumer
    again = consumer.duplicates
    text = f"{consumer.lost()} lost, 0 duplicated after dedupe"
    return f"{text} ({again} arrived again)" if again else text


def _number(value: object, unit: str) -> str:
    if value is None:
        return "-"
    if isinstance(value, float) and unit in ("W", "Wh"):
        return f"{value:,.0f} {unit}"
    if isinstance(value, float | int) and not isinstance(value, bool):
        return f"{value:,.10g} {unit}".strip()
    return str(value)
