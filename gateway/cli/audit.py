"""``bess-gateway audit show | verify | in-force``: for people, 80 columns; ``--json`` for programs.

All read control.db as it lies on the disk: the daemon may run or not. Whoever may not read it asks
the daemon to.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.audit.device import read_certificate
from gateway.audit.examine import examine
from gateway.audit.file import FILE
from gateway.audit.reader import reading
from gateway.cli import audit_views as views
from gateway.cli.command import reported
from gateway.cli.in_force import in_force
from gateway.cli.views import plain
from gateway.config.toml import parse
from gateway.errors import ConfigError, Fault, NoInputError, UsageError, Where
from gateway.site import load

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

_LAST = 20  # rows that are shown unless asked otherwise


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``audit`` with its own commands; ``run`` carries them out."""
    audit = subparsers.add_parser("audit", help="the record of what was decided about control")
    audit.set_defaults(run=run)
    below = audit.add_subparsers(dest="audit_command", required=True, metavar="COMMAND")
    show = below.add_parser("show", help="the newest rows, oldest first")
    show.add_argument("--last", type=int, metavar="N", help=f"so many rows; default {_LAST}")
    show.add_argument("--since", metavar="DATE", help="2026-11-22 or 2026-11-22T05:10, in UTC")
    show.add_argument("--asset", metavar="ID", help="only about this asset")
    verify = below.add_parser("verify", help="find tampering; exit 0 clean, 1 findings")
    verify.add_argument(
        "--head", action="append", default=[], metavar="FILE|JWS", help="a head published earlier"
    )
    verify.add_argument("--cert", metavar="FILE", help="default: the uplink's certificate")
    force = below.add_parser(
        "in-force", help="what may be in force in the field; exit 0 nothing, 1 something"
    )
    for parser in (show, verify, force):
        parser.add_argument(
            "--config",
            type=Path,
            default=Path(load.DEFAULT_FILE),
            metavar="FILE",
            help="site.toml",
        )
        parser.add_argument("--database", type=Path, metavar="FILE", help="a copy of control.db")
        parser.add_argument("--json", action="store_true", help="for programs")


def run(asked: argparse.Namespace) -> int:
    """Carry out an ``audit`` command and return the exit code.

    Raises:
        ConfigError: site.toml or the certificate cannot be read.
        NoInputError: there is no audit log, or no such file.
        StoreError: the audit log cannot be read.
        UsageError: an argument is not what it must be.
    """
    if asked.database is None and not os.access(_folder(asked), os.R_OK | os.X_OK):
        return reported(asked, _words(asked))
    acts = {"show": _show, "verify": _verify, "in-force": _in_force}
    return acts[asked.audit_command](asked)


# --- show --------------------------------------------------------------------------------------


def _show(asked: argparse.Namespace) -> int:
    last = asked.last
    if last is not None and last < 1:
        text = f"--last {last}: must be 1 or more"
        raise UsageError(text)
    since_ms = None if asked.since is None else _date(asked.since)
    if last is None and since_ms is None:
        last = _LAST
    with reading(_database(asked)) as log:
        rows = log.rows(last=last, since_ms=since_ms, asset=asked.asset)
    if asked.json:
        return _say_json({"rows": [views.row_json(row, body) for row, body in rows]})
    sys.stdout.writelines(f"{line}\n" for line in views.rows(rows))
    return 0


def _date(text: str) -> int:
    """Unix ms of a date; UTC unless it says otherwise."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        wrong = f"--since {text}: must be a date such as 2026-11-22 or 2026-11-22T05:10"
        raise UsageError(wrong) from None
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


# --- verify ------------------------------------------------------------------------------------


def _verify(asked: argparse.Namespace) -> int:
    published = tuple(_head(one) for one in asked.head)
    database = _database(asked)
    site: Mapping[str, Any] = {} if asked.database and asked.cert else _site(asked.config)
    path = Path(asked.cert) if asked.cert else _cert_file(asked.config, site)
    try:
        certificate = read_certificate(load.read_document(path))
    except ValueError:
        text = "must be a certificate in PEM"
        raise ConfigError([Fault(Where(str(path), "", "", 1), text)]) from None
    gateway = _word(site, "gateway", "id")
    with reading(database) as log:
        report = examine(log, certificate=certificate, gateway=gateway, published=published)
    if asked.json:
        _say_json(views.report_json(report))
    else:
        sys.stdout.writelines(f"{line}\n" for line in views.report(report))
    return 1 if report.flaws else 0


def _head(argument: str) -> str:
    """The JWS that ``--head`` names: itself, or a file with it or with its message."""
    found = argument if _is_jws(argument) else None
    if found is None:
        try:
            found = _jws(Path(argument).read_text().strip())
        except OSError as error:
            text = f"--head {argument:.200}: cannot be read: {error.strerror}"
            raise NoInputError(text) from error
        except UnicodeDecodeError:
            found = None
    if found is None:
        text = f"--head {argument:.200}: must be a bess.audit/1 message, or a JWS"
        raise UsageError(text)
    return found


def _is_jws(text: str) -> bool:
    # Its header is a JSON object: the first characters of any in base64 are these.
    return text.startswith("eyJ") and text.count(".") == 2  # noqa: PLR2004 - RFC 7515, 7.1


def _jws(text: str) -> str | None:
    if text.startswith("{"):
        try:
            found = json.loads(text).get("jws")
        except (ValueError, RecursionError):
            return None
        return found if isinstance(found, str) else None
    return text if _is_jws(text) else None


# --- in force ----------------------------------------------------------------------------------


def _in_force(asked: argparse.Namespace) -> int:
    found = in_force(asked.config, asked.database)
    if asked.json:
        _say_json({"inForce": found})
    else:
        lines = [f"{asset}: {what}" for asset, what in found.items()]
        sys.stdout.writelines(f"{plain(line)}\n" for line in lines)
    return 1 if found else 0


# --- where things are --------------------------------------------------------------------------


def _database(asked: argparse.Namespace) -> Path:
    return Path(asked.database) if asked.database else _folder(asked) / FILE


def _folder(asked: argparse.Namespace) -> Path:
    """The daemon's state; where site.toml of an installed daemon is not for us, its package's."""
    if asked.config == Path(load.DEFAULT_FILE) and not os.access(asked.config, os.R_OK):
        return Path(load.PACKAGED_STATE)
    return load.state_folder(asked.config)


def _words(asked: argparse.Namespace) -> list[str]:
    """The command again, for the daemon, which reads its own files."""
    if getattr(asked, "head", None) or getattr(asked, "cert", None):
        text = "--head and --cert name files: must be root, or name a copy with --database"
        raise UsageError(text)
    words = ["audit", asked.audit_command]
    for name in ("last", "since", "asset"):
        if (value := getattr(asked, name, None)) is not None:
            words += [f"--{name}", str(value)]
    return [*words, "--json"] if asked.json else words


def _site(path: Path) -> Mapping[str, Any]:
    """site.toml as it is: a daemon goes on, and is audited, while the file has faults."""
    return parse(load.read_document(path), file=str(path)).tree


def _cert_file(path: Path, site: Mapping[str, Any]) -> Path:
    found = _word(site, "uplink", "cert_file")
    if not found:
        where = Where(str(path), "uplink", "cert_file", 1)
        raise ConfigError([Fault(where, "is missing: must name the uplink's certificate")])
    return path.absolute().parent / found


def _word(site: Mapping[str, Any], table: str, key: str) -> str:
    within = site.get(table)
    found = within.get(key) if isinstance(within, dict) else None
    return found if isinstance(found, str) else ""


def _say_json(body: object) -> int:
    json.dump(body, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
    return 0
