"""``bess-gateway watch``: its options; what it draws is imported when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.cli.command import add
from gateway.site import load

if TYPE_CHECKING:
    import argparse

    from gateway.cli.command import Commands


def add_parser(commands: Commands) -> None:
    """Add ``watch``."""
    text = "the same, live, with the state and the raw points"
    parser = add(commands, "watch", _watch, text)
    parser.add_argument("--asset", default="", help="show only this asset")
    parser.add_argument("--once", action="store_true", help="print one frame, all of it")
    parser.add_argument("--json", action="store_true", help="the same, for programs")


def _watch(asked: argparse.Namespace) -> int:
    from gateway.cli import watch_screen

    return watch_screen.run(
        load.find_socket(asked.config),
        asset=asked.asset,
        once=asked.once,
        as_json=asked.json,
    )
