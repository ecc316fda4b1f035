"""Reads safety.toml and its key files, and trusts them only if nobody else can write them.

Nothing here stops the daemon: whatever is wrong comes back as faults, control stays off, and
telemetry goes on. A key that has expired or was revoked is no fault of the file: what it signs is
refused at run time.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from gateway.checked import Safety
from gateway.config.safety_reader import safety_settings
from gateway.config.toml import parse
from gateway.config.truststore import KeyFileError, trust_store
from gateway.errors import ConfigError, Fault, Where

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from gateway.config.safety import ZeroPath
    from gateway.config.toml import Document, Section
    from gateway.points.pointmap import PointsMap

NAME = "safety.toml"
MAX_FILE = 65_536  # bytes; a site with a hundred keys has a third of it
MAX_KEY = 8_192
_LINKS = 40  # as many as Linux follows; source: path_resolution(7)
_BEGIN = b"-----BEGIN "
_WANTED = "a public key in PEM, Ed25519 or P-256"


def load_safety(
    path: Path,
    *,
    response_timeouts_s: Mapping[str, float],
    nameplates_w: Mapping[str, float],
    paths: Mapping[str, ZeroPath] | None = None,
    maps: Collection[PointsMap] = (),
    daemon_uid: int | None = None,
) -> tuple[Safety | None, tuple[Fault, ...]]:
    """Read and check safety.toml.

    Args:
        path: safety.toml, beside site.toml.
        response_timeouts_s: of every asset's session, s, by asset id.
        nameplates_w: of every asset, W, by asset id.
        paths: how zero gets to each asset whose map allows control, by asset id.
        maps: of every asset; empty where one is not known: modes and reserves are not checked.
        daemon_uid: who may own the files beside root; None: whoever asks.

    Returns:
        The complete file with its keys; or None with every fault; or None without a fault where
        there is no such file.
    """
    try:
        path.lstat()
    except FileNotFoundError:
        return None, ()
    except (OSError, ValueError):
        pass  # the reader says what is wrong
    reader = _Reader(os.geteuid() if daemon_uid is None else daemon_uid)
    content, wrong = reader.read(str(path.absolute()), limit=MAX_FILE)
    faults = [Fault(Where(str(path), "", "", 1), text) for text in wrong]
    if content is None:
        return None, tuple(faults)
    try:
        safety = _checked(content, path, reader, response_timeouts_s, nameplates_w, paths, maps)
    except ConfigError as error:
        return None, tuple(dict.fromkeys([*faults, *error.faults]))
    return (None, tuple(faults)) if faults else (safety, ())


def _checked(
    content: bytes,
    path: Path,
    reader: _Reader,
    response_timeouts_s: Mapping[str, float],
    nameplates_w: Mapping[str, float],
    paths: Mapping[str, ZeroPath] | None,
    maps: Collection[PointsMap],
) -> Safety:
    document = parse(content, file=str(path))
    folder = str(path.absolute().parent)
    _check_limits(document, max(nameplates_w.values(), default=0.0))
    if maps:
        _check_modes(document, maps)
    public_keys = _read_keys(document, folder, reader)  # its faults come with all others
    settings = safety_settings(
        document, folder=folder, response_timeouts_s=response_timeouts_s, paths=paths
    )
    pems = {key.kid: public_keys[key.public_key_file] for key in settings.keys}
    try:
        trust = trust_store(settings.keys, pems)
    except KeyFileError as error:
        raise ConfigError([Fault(Where(str(path), "", "", 1), str(error))]) from None
    return Safety(settings, trust, settings.digest(pems))


def _check_limits(document: Document, most_w: float) -> None:
    """A limit above every nameplate limits nothing: W were meant to be kW, or the reverse."""
    limits = document.tree.get("limits")
    if not isinstance(limits, dict):
        return
    for key in ("max_charge_w", "max_discharge_w"):
        found = limits.get(key)
        if isinstance(found, int | float) and found > most_w:
            text = f"= {found!r}: must be at most {most_w:.15g} W, the largest nameplate_w of "
            document.fault("limits", key, text + "site.toml")


def _check_modes(document: Document, maps: Collection[PointsMap]) -> None:
    """A mode or a reserve that no map has allows nothing: it is misspelt, or for another site."""
    limits = document.tree.get("limits")
    if not isinstance(limits, dict):
        return
    known = sorted({name for one in maps for name in one.modes})
    named = limits.get("modes")
    for name in named if isinstance(named, list) else []:
        if isinstance(name, str) and name not in known:
            allowed = ", ".join(known) or "left out: no map of this site has cmd_mode_enable"
            document.fault("limits", "modes", f"names {name!r}: must be {allowed}")
    if not any(one.row("cmd_reserve") for one in maps):
        for key in ("reserve_min_pct", "reserve_max_pct"):
            if key in limits:
                text = f"= {limits[key]!r}: must be left out: no map of this site has cmd_reserve"
                document.fault("limits", key, text)


def _read_keys(document: Document, folder: str, reader: _Reader) -> dict[str, bytes]:
    """Content of every key file that is good, by path; faults are noted in ``document``."""
    found: dict[str, bytes] = {}
    owners: dict[bytes, str] = {}
    for section in document.sections("trusted_key"):
        name = section.values.get("public_key_file")
        if not isinstance(name, str) or not name:
            continue  # a fault of the settings
        path = os.path.normpath(os.path.join(folder, name))  # noqa: PTH118 - as safety.py does
        if path in found:
            continue  # a fault of the settings, too
        content, wrong = reader.read(path, limit=MAX_KEY)
        spki = None if content is None else _public_key(content, section, wrong)
        if spki is not None and (other := owners.setdefault(spki, path)) != path:
            wrong.append(f"is the same key as {other!r}: one key must have one kid")
        for text in wrong:
            document.fault(section.path, "public_key_file", f"= {path!r}: {text}")
        if content is not None:
            found[path] = content
    return found


def _public_key(content: bytes, section: Section, wrong: list[str]) -> bytes | None:
    """The key itself, in DER; None with the reason in ``wrong``."""
    lines = (line.strip() for line in content.splitlines() if line.startswith(_BEGIN))
    blocks = [line[len(_BEGIN) :].rstrip(b"-").decode("ascii", "replace") for line in lines]
    if any("PRIVATE" in block for block in blocks):
        wrong.append("is a private key: only its public part may be here")
        return None
    if blocks != ["PUBLIC KEY"]:
        wrong.append(f"holds {', '.join(blocks) or 'no PEM block'}: must be {_WANTED}")
        return None
    try:
        key = load_pem_public_key(content)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        wrong.append(f"cannot be decoded: must be {_WANTED}")
        return None
    if isinstance(key, ed25519.Ed25519PublicKey):
        algorithm = "EdDSA"
    elif isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        algorithm = "ES256"
    else:
        kind = type(key).__name__.strip("_").removesuffix("PublicKey")
        if isinstance(key, ec.EllipticCurvePublicKey):
            kind = f"EC {key.curve.name}"
        wrong.append(f"is of type {kind}: must be {_WANTED}")
        return None
    if section.values.get("alg", algorithm) != algorithm:
        section.fault("alg", f"{algorithm}, as the key is")
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@dataclass(slots=True)
class _Reader:
    """Reads files, and says who else could have written them."""

    uid: int  # may own them, as root may
    _judged: set[str] = field(default_factory=set)  # folders: each is reported once

    def read(self, path: str, *, limit: int) -> tuple[bytes | None, list[str]]:
        """Content of ``path``, at most ``limit`` bytes; and everything that is wrong with it."""
        try:
            # Not to wait for the writer of a FIFO.
            opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
            with os.fdopen(opened, "rb") as file:
                found = os.fstat(opened)
                if not stat.S_ISREG(found.st_mode):
                    return None, ["is not a regular file: must be one"]
                content = file.read(limit + 1)
            wrong = self._foreign(found) + self._folders(path)
        except (OSError, ValueError) as error:
            return None, [_unreadable(path, error)]
        if len(content) > limit:
            return None, [*wrong, f"is larger than {limit >> 10} KiB: must be at most that"]
        return content, wrong

    def _folders(self, path: str) -> list[str]:
        """What is wrong with the folder of ``path`` and of every link on the way to the file."""
        wrong: list[str] = []
        for _ in range(_LINKS):
            folder = os.path.dirname(path)  # noqa: PTH120 - pathlib would drop ".." of a link
            if folder not in self._judged:
                self._judged.add(folder)
                foreign = self._foreign(os.stat(folder))  # noqa: PTH116 - as above
                wrong += [f"lies in {folder}, which {text}" for text in foreign]
            if not os.path.islink(path):  # noqa: PTH114 - as above
                break
            path = os.path.join(folder, os.readlink(path))  # noqa: PTH115, PTH118 - as above
        return wrong

    def _foreign(self, found: os.stat_result) -> list[str]:
        """Who beside root and the daemon's user can write it."""
        wrong = []
        if found.st_uid not in (0, self.uid):
            owner = f"root or user {self.uid}" if self.uid else "root"
            wrong.append(f"belongs to user {found.st_uid}: must belong to {owner}")
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            mode = stat.S_IMODE(found.st_mode)
            wrong.append(f"has mode {mode:04o}: must not be writable by group or others")
        return wrong


def _unreadable(path: str, error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        if os.path.islink(path):  # noqa: PTH114 - the rest of this module has no Path either
            return "is a link to a file that does not exist"
        return "no such file"
    if isinstance(error, PermissionError):
        return f"not readable by user {os.geteuid()}: must be readable by the daemon's user"
    if isinstance(error, ValueError):  # Python's own words differ from version to version
        return "cannot be read: a NUL is in its name"
    return f"cannot be read: {error.strerror or error}"
