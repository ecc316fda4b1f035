"""``bess-gateway``: one command for the daemon, its checks, and the people on the box.

Heavy parts (opendnp3, SQLAlchemy, rich) are imported by the command that needs them, so that
``check`` and ``status`` answer at once on a small box.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from gateway import __version__, clock, logs, sitefile
from gateway.errors import ConfigError, GatewayError
from gateway.local import client

EX_USAGE, EX_SOFTWARE = 64, 70


class _Parser(argparse.ArgumentParser):
    """argparse with the exit code of sysexits.h for usage errors."""

    def error(self, message: str) -> Any:  # noqa: ANN401 - NoReturn in the base class
        self.print_usage(sys.stderr)
        self.exit(EX_USAGE, f"{self.prog}: {message}\n")


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
    parser = _Parser(prog="bess-gateway", description="Edge gateway for utility-scale batteries.")
    parser.add_argument("--version", action="version", version=f"bess-gateway {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    _add(commands, "run", _run, "the daemon, in the foreground, as systemd starts it")
    _add(commands, "check", _check, "read everything the daemon would; change nothing")
    status = _add(
        commands, "status", _status, "sessions, queue, uplink; exit 0 healthy, 1 degraded"
    )
    watch = _add(commands, "watch", _watch, "the same, live, with the state and the raw points")
    watch.add_argument("--asset", default="", help="show only this asset")
    waiting = _add(commands, "queue", _queue, "what waits to be shipped")
    for one in (status, waiting):
        one.add_argument("--json", action="store_true", help="for programs")
    _add_operator(commands)
    _add_audit(commands)
    _add_maps(commands)
    _add_sim(commands)
    _add_dispatch(commands)
    return parser


def _add(commands: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:  # noqa: ANN401 - argparse's own type is private
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    parser.add_argument(
        "--config", type=Path, default=Path(sitefile.DEFAULT_FILE), metavar="FILE", help="site.toml"
    )
    parser.set_defaults(run=run)
    return parser


def _add_operator(commands: Any) -> None:  # noqa: ANN401 - argparse's own type is private
    from gateway import operatorcli

    operatorcli.add_parser(commands)


def _add_audit(commands: Any) -> None:  # noqa: ANN401 - argparse's own type is private
    from gateway import auditcli

    auditcli.add_parser(commands)


def _add_maps(commands: Any) -> None:  # noqa: ANN401 - argparse's own type is private
    from gateway import mapscli

    mapscli.add_parser(commands)


def _add_sim(commands: Any) -> None:  # noqa: ANN401 - argparse's own type is private
    from gateway.sim import command

    command.add_parser(commands)


def _add_dispatch(commands: Any) -> None:  # noqa: ANN401 - argparse's own type is private
    from gateway.dispatcher import command

    command.add_parser(commands)


def _run(asked: argparse.Namespace) -> int:
    from gateway import app

    logs.set_up()
    return app.run(asked.config)


def _check(asked: argparse.Namespace) -> int:
    from gateway import safetyreport

    now_ms = clock.now().unix_ms
    site = sitefile.load_site(asked.config, unix_ms=now_ms, sealed=True)
    print(f"{asked.config}: good")
    if site.settings.uplink.credential and not os.environ.get("CREDENTIALS_DIRECTORY"):
        name = site.settings.uplink.credential
        print(f"  uplink: NOTE: credential {name!r} was not read: only systemd passes it")
    for asset in site.settings.assets:
        points_map = site.maps[asset.id]
        print(f"  {asset.id}: map {points_map.ref}, {len(points_map.points)} points")
        if asset.id in site.unmatched:
            print(
                f"  {asset.id}: WARNING: no map matches {asset.vendor}/{asset.model} firmware "
                f"{asset.firmware!r}: only raw points will be shipped"
            )
        if asset.transformer is not None and asset.transformer.enforce and site.safety is None:
            print(f"  {asset.id}: NOTE: transformer.enforce has no effect: control is off")
    for line in safetyreport.lines(site, now_ms):
        print(f"  {line}")
    if site.safety_faults:
        raise ConfigError(site.safety_faults)
    return 0


def _ask(asked: argparse.Namespace, verb: str, **arguments: object) -> dict[str, Any]:
    answer = client.ask(sitefile.find_socket(asked.config), verb, arguments)
    if "error" in answer:
        raise client.NotRunningError(str(answer["error"]))
    return answer


def _status(asked: argparse.Namespace) -> int:
    answer = _ask(asked, "status")
    if asked.json:
        print(json.dumps(answer))
    else:
        from gateway.local import views

        print(views.status(answer))
    return 0 if answer["healthy"] else 1


def _queue(asked: argparse.Namespace) -> int:
    answer = _ask(asked, "queue")
    if asked.json:
        print(json.dumps(answer))
    else:
        from gateway.local import views

        print(views.queue(answer))
    return 0


def _watch(asked: argparse.Namespace) -> int:
    from gateway.local import watch

    return watch.run(sitefile.find_socket(asked.config), asset=asked.asset)
