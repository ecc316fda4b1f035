"""What ``bess-gateway watch`` draws: the daemon's own view, live in the terminal."""

from __future__ import annotations

import time
from typing import IO, TYPE_CHECKING, Any

from rich.columns import Columns
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from gateway.cli import views
from gateway.local import client

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import RenderableType

PERIOD_S = 1.0
ROWS = 30  # raw points shown; the rest is counted


def run(socket: Path, *, asset: str) -> int:
    """Draw until Ctrl-C; without a terminal, draw once."""
    terminal = console()
    first = render(client.ask(socket, "watch"), asset)
    if not terminal.is_terminal:
        terminal.print(first)
        return 0
    with Live(first, console=terminal, screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(PERIOD_S)
            try:
                live.update(render(client.ask(socket, "watch"), asset), refresh=True)
            except client.NotRunningError as error:
                live.update(str(error), refresh=True)


def console(*, file: IO[str] | None = None, width: int | None = None) -> Console:
    """Where frames are drawn. Names and octet strings of an outstation are never markup."""
    return Console(markup=False, file=file, width=width)


def render(answer: dict[str, Any], asset: str) -> RenderableType:
    """One frame."""
    if "error" in answer:
        return str(answer["error"])
    parts: list[RenderableType] = [views.status(answer), "", views.queue(answer["queue"])]
    for name, detail in answer["detail"].items():
        if asset in ("", name):
            parts.append(Columns([_state(name, detail["state"]), _points(detail["points"])]))
    return Group(*parts)


def _state(name: str, state: dict[str, Any]) -> Table:
    table = Table("field", "value", "quality", "from", title=name)
    for field, note in state["fields"].items():
        value = state.get(field, state["enrichment"].get(field))
        shown = "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
        table.add_row(field, shown, note["quality"], note["source"] or "-")
    for alarm in (*state["enrichment"]["faults"], *state["enrichment"]["alarms"]):
        table.add_row(alarm["code"], "ACTIVE", alarm["priority"], alarm["since"])
    return table


def _points(points: list[dict[str, Any]]) -> Table:
    table = Table("point", "name", "raw", "value", "quality", title="points")
    for point in points[:ROWS]:
        value = "-" if point["value"] is None else f"{point['value']} {point['unit']}"
        row = (point["point"], point["name"] or "", str(point["raw"]), value)
        table.add_row(*row, point["quality"] or "-")
    if len(points) > ROWS:
        table.caption = f"and {len(points) - ROWS} more"
    return table
