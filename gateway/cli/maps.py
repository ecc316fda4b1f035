"""``bess-gateway maps …``, for people; ``--json`` for programs.

Only the options are here: what draws tables is imported when it is asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gateway.site import load

if TYPE_CHECKING:
    import argparse

    from gateway.cli.command import Commands


def add_parser(subparsers: Commands) -> None:
    """Add ``maps`` with its own commands; ``maps_commands`` carries them out."""
    maps = subparsers.add_parser("maps", help="points maps: list, check, show, diff, roles, try")
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
    roles = below.add_parser("roles", help="every role, with its points and units")
    trial = below.add_parser("try", help="what raw values mean by a map")
    trial.add_argument("ref", metavar="ID[@REV]", help="or a file")
    trial.add_argument("pairs", nargs="+", metavar="POINT=RAW", help="such as AI0=6340")
    _add_drafts(below)
    for parser in (lister, check, show, diff, roles, trial):
        parser.add_argument("--json", action="store_true", help="for programs")


def _add_drafts(below: Commands) -> None:
    """What asks the daemon, and what drafts a map."""
    verify = below.add_parser("verify", help="a battery's map against what is read of it")
    verify.add_argument("--live", action="store_true", required=True, help="ask the daemon")
    verify.add_argument("--json", action="store_true", help="for programs")
    new = below.add_parser("new", help="draft a map from what the daemon reads of a battery")
    lists = below.add_parser("import", help="draft a map from a vendor's points list")
    lists.add_argument("file", metavar="FILE", help="CSV (UTF-8) or XLSX")
    lists.add_argument("--sheet", metavar="NAME", help="of an XLSX; default: the first")
    for column, text in (
        ("point", "AI12, or an index where --type says of what"),
        ("name", "what the point is called"),
        ("type", "such as AI, Binary Input, Counter"),
        ("unit", "left out: none"),
        ("scale", "engineering value = raw * scale + offset; left out: 1"),
        ("offset", "left out: 0"),
    ):
        must = column in ("point", "name")
        lists.add_argument(f"--{column}", required=must, metavar="COLUMN", help=text)
    lists.add_argument(
        "--first-index", type=int, default=0, choices=(0, 1), help="what the list counts from"
    )
    for parser in (verify, new):
        parser.add_argument("asset", nargs="?", metavar="ASSET")
        parser.add_argument("--config", type=Path, default=Path(load.DEFAULT_FILE), metavar="FILE")
    for parser in (new, lists):
        for name in ("id", "vendor", "model", "firmware"):
            parser.add_argument(f"--{name}", required=True, metavar="TEXT", help="of [map]")
        parser.add_argument("--revision", default="draft", metavar="TEXT", help="of [map]")
        parser.add_argument("-o", "--output", metavar="FILE", help="a new file; default: print")


def _run(asked: argparse.Namespace) -> int:
    from gateway.cli import maps_commands

    return maps_commands.run(asked)
