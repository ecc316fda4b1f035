"""``bess-gateway maps list | check | show | diff``: for people; ``--json`` for programs.

Only the options are here: what draws tables is imported when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from gateway.cli.command import Commands


def add_parser(subparsers: Commands) -> None:
    """Add ``maps`` with its own commands; ``maps_commands`` carries them out."""
    maps = subparsers.add_parser("maps", help="points maps: list, check, show, diff")
    maps.set_defaults(run=_run)
    below = maps.add_subparsers(dest="maps_command", required=True, metavar="COMMAND")
    lister = below.add_parser("list", help="the installed maps")
    check = below.add_parser("check", help="every fault of map files; exit 78 if there is one")
    check.add_argument("files", nargs="*", metavar="FILE", help="default: all installed maps")
    show = below.add_parser("show", help="one map, fully resolved")
    show.add_argument("ref", metavar="ID[@REV]", help="or a file")
    diff = below.add_parser("diff", help="what differs between two maps, field by field")
    diff.add_argument("a", metavar="A", help="ID[@REV] or a file")
    diff.add_argument("b", metavar="B", help="ID[@REV] or a file")
    for parser in (lister, check, show, diff):
        parser.add_argument("--json", action="store_true", help="for programs")


def _run(asked: argparse.Namespace) -> int:
    from gateway.cli import maps_commands

    return maps_commands.run(asked)
