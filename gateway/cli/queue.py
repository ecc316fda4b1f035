"""``bess-gateway queue``: what waits to be shipped, for people or as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from gateway.cli import views
from gateway.cli.command import add, ask

if TYPE_CHECKING:
    import argparse

    from gateway.cli.command import Commands


def add_parser(commands: Commands) -> None:
    """Add ``queue``."""
    parser = add(commands, "queue", _queue, "what waits to be shipped")
    parser.add_argument("--json", action="store_true", help="for programs")


def _queue(asked: argparse.Namespace) -> int:
    answer = ask(asked, "queue")
    print(json.dumps(answer) if asked.json else views.queue(answer))
    return 0
