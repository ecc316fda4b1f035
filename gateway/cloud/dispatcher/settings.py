"""``dispatcher.toml``, and the options that stand in for it. Pure: no path is opened."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from gateway.config.site import ID
from gateway.config.toml import parse
from gateway.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from gateway.config.toml import Document, Section

SCHEMA = "bess.dispatcher/1"
PROTOCOLS = ("5", "3.1.1")
_KEYS = ("signing", "approver", "heartbeat")  # tables of one key each


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is known so far; None is not said. Names are those of the options."""

    host: str | None = None
    port: int | None = None  # 8883 where nobody says
    prefix: str | None = None  # bess/v1
    protocol: str | None = None  # 5
    client_id: str | None = None  # a new one for each run
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    gateway: str | None = None
    asset: str | None = None
    signing_key: str | None = None
    kid: str | None = None
    approver_key: str | None = None
    approver_kid: str | None = None
    heartbeat_key: str | None = None
    heartbeat_kid: str | None = None

    def under(self, options: Settings) -> Settings:
        """These, with everything that ``options`` says instead."""
        said = {one.name: getattr(options, one.name) for one in fields(options)}
        return replace(self, **{name: value for name, value in said.items() if value is not None})

    def require(self, *names: str) -> None:
        """Refuse to go on without these.

        Raises:
            UsageError: names every one that is missing.
        """
        missing = [_option(name) for name in names if getattr(self, name) is None]
        if missing:
            message = f"missing: {', '.join(missing)}: give them, or a --config file that has them"
            raise UsageError(message)

    def pair(self, key: str, kid: str) -> tuple[str, str] | None:
        """A key file and the name to sign under; None where neither is said.

        Raises:
            UsageError: one is said without the other.
        """
        path, name = getattr(self, key), getattr(self, kid)
        if path is not None and name is not None:
            return path, name
        if path is None and name is None:
            return None
        given, lacking = (kid, key) if path is None else (key, kid)
        message = f"{_option(given)} without {_option(lacking)}: both belong together"
        raise UsageError(message)


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def read(raw: bytes, *, file: str) -> Settings:
    """Read the file's content.

    Raises:
        ConfigError: every fault in it, with its line.
    """
    document = parse(raw, file=file)
    root = document.section()
    assert root is not None  # a document's root is a table
    root.reject_unknown(("schema", "gateway", "asset", "broker", *_KEYS))
    root.one_of("schema", (SCHEMA,))
    found = Settings(gateway=_id(root, "gateway"), asset=_id(root, "asset"))
    if (broker := root.below("broker")) is not None:
        found = found.under(_broker(broker))
    for name in _KEYS:
        if (table := root.below(name)) is not None:
            found = found.under(_key(document, table, name))
    if document.faults:
        raise ConfigError(document.faults)
    return found


def _broker(table: Section) -> Settings:
    table.reject_unknown(
        ("host", "port", "prefix", "protocol", "client_id", "ca_file", "cert_file", "key_file")
    )
    return Settings(
        host=_text(table, "host"),
        port=table.integer("port", lo=1, hi=65535) if "port" in table.values else None,
        prefix=_text(table, "prefix"),
        protocol=table.one_of("protocol", PROTOCOLS) if "protocol" in table.values else None,
        client_id=_text(table, "client_id"),
        ca=_path(table, "ca_file"),
        cert=_path(table, "cert_file"),
        key=_path(table, "key_file"),
    )


def _key(document: Document, table: Section, name: str) -> Settings:
    table.reject_unknown(("kid", "key_file"))
    for key in ("kid", "key_file"):
        if key not in table.values:
            document.fault(name, key, "is missing: kid and key_file belong together")
    path, kid = _path(table, "key_file"), _id(table, "kid")
    if name == "signing":
        return Settings(signing_key=path, kid=kid)
    if name == "approver":
        return Settings(approver_key=path, approver_kid=kid)
    return Settings(heartbeat_key=path, heartbeat_kid=kid)


def _id(table: Section, key: str) -> str | None:
    if key not in table.values:
        return None
    return table.text(key, pattern=ID, allowed="1..64 of A-Z a-z 0-9 . _ -")


def _text(table: Section, key: str) -> str | None:
    return table.text(key) if key in table.values else None


def _path(table: Section, key: str) -> str | None:
    found = _text(table, key)
    return found and posixpath.join(posixpath.dirname(table.document.file), found)
