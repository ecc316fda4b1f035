"""``bess-gateway``: one command for the daemon, its checks, and the people on the box.

Heavy parts (opendnp3, SQLAlchemy, rich) are imported by the command that needs them, so that
``check`` and ``status`` answer at once on a small box.
"""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING

from gateway import __version__
from gateway.cli import audit, check, maps, operator, queue, status, watch
from gateway.cli.bundle import command as bundle
from gateway.cli.command import Parser, add
from gateway.cli.doctor import command as doctor
from gateway.cloud.dispatcher import command as dispatch
from gateway.errors import GatewayError
from gateway.host import journal
from gateway.sim import command as sim

if TYPE_CHECKING:
    import argparse

EX_SOFTWARE = 70


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code (0, 1 degraded, 64, 69, 70, 74, 77, 78)."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    try:
        code: int = asked.run(asked)
    except GatewayError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 0
    except Exception:  # noqa: BLE001 - the last line: a bug must end with its exit code
        traceback.print_exc()
        return EX_SOFTWARE
    return code


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="bess-gateway", description="Edge gateway for utility-scale batteries.")
    parser.add_argument("--version", action="version", version=f"bess-gateway {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    add(commands, "run", _run, "the daemon, in the foreground, as systemd starts it")
    for one in (check, doctor, bundle, status, watch, queue, operator, audit, maps, sim, dispatch):
        one.add_parser(commands)
    return parser


def _run(asked: argparse.Namespace) -> int:
    from gateway import app

    journal.set_up()
    return app.run(asked.config)
