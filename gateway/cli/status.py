"""``bess-gateway status`` and ``queue``: the daemon's own words, for people or as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from gateway.cli import views
from gateway.cli.command import add, ask

if TYPE_CHECKING:
    import argparse

    from gateway.cli.command import Commands


def add_parser(commands: Commands) -> None:
    """Add ``status`` and ``queue``."""
    text = "sessions, queue, uplink; exit 0 healthy, 1 degraded"
    for name, run, says in (
        ("status", _status, text),
        ("queue", _queue, "what waits to be shipped"),
    ):
        add(commands, name, run, says).add_argument(
            "--json", action="store_true", help="for programs"
        )


def _status(asked: argparse.Namespace) -> int:
    answer = ask(asked, "status")
    print(json.dumps(answer) if asked.json else views.status(answer))
    return 0 if answer["healthy"] else 1


def _queue(asked: argparse.Namespace) -> int:
    answer = ask(asked, "queue")
    print(json.dumps(answer) if asked.json else views.queue(answer))
    return 0
