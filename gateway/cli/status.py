"""``bess-gateway status``: the daemon's own words, for people or as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from gateway.cli import views
from gateway.cli.command import add, ask

if TYPE_CHECKING:
    import argparse

    from gateway.cli.command import Commands


def add_parser(commands: Commands) -> None:
    """Add ``status``."""
    text = "sessions, queue, uplink; exit 0 healthy, 1 degraded"
    parser = add(commands, "status", _status, text)
    parser.add_argument("--json", action="store_true", help="for programs")


def _status(asked: argparse.Namespace) -> int:
    answer = ask(asked, "status")
    print(json.dumps(answer) if asked.json else views.status(answer))
    return 0 if answer["healthy"] else 1
