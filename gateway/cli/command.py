"""What the commands have in common: their parser, ``--config``, and a question to the daemon."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from gateway.local import client
from gateway.site import load

if TYPE_CHECKING:
    from collections.abc import Callable

    Commands = argparse._SubParsersAction[Any]  # argparse has no public name for it

EX_USAGE = 64
_REPORT_S = 40.0  # longer than the daemon waits for its report


class Parser(argparse.ArgumentParser):
    """argparse with the exit code of sysexits.h for usage errors."""

    def error(self, message: str) -> NoReturn:
        """Print usage and what was wrong, and exit 64."""
        self.print_usage(sys.stderr)
        self.exit(EX_USAGE, f"{self.prog}: {message}\n")


def add(
    commands: Commands, name: str, run: Callable[[argparse.Namespace], int], text: str
) -> argparse.ArgumentParser:
    """One more command that reads site.toml; ``run`` carries it out and returns its exit code."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    parser.add_argument(
        "--config", type=Path, default=Path(load.DEFAULT_FILE), metavar="FILE", help="site.toml"
    )
    parser.set_defaults(run=run)
    return parser


def reported(asked: argparse.Namespace, command: list[str]) -> int:
    """Let the daemon make the report ``command``, print it, and return its exit code.

    Raises:
        NotRunningError: no daemon, or it refuses to.
    """
    path = load.find_socket(asked.config)
    answer = client.ask(path, "report", {"command": command}, wait_s=_REPORT_S)
    if "error" in answer:
        text = f"{' '.join(command)}: {answer['error']}"
        raise client.NotRunningError(text)
    sys.stdout.write(answer["out"])
    sys.stderr.write(answer["err"])
    return int(answer["exit"])


def ask(
    asked: argparse.Namespace, verb: str, arguments: dict[str, object] | None = None
) -> dict[str, Any]:
    """The running daemon's answer.

    Raises:
        NotRunningError: no daemon, or it refuses to say.
    """
    answer = client.ask(load.find_socket(asked.config), verb, arguments)
    if "error" in answer:
        raise client.NotRunningError(str(answer["error"]))
    return answer
