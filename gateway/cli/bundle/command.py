"""``bess-gateway support-bundle``: one file for the support engineer, with no secret in it."""

from __future__ import annotations

import io
import json
import tarfile
import time
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from gateway import __version__, clock
from gateway.cli.command import add
from gateway.errors import NoInputError

if TYPE_CHECKING:
    import argparse

    from gateway.cli.bundle.contents import Gathered
    from gateway.cli.command import Commands

MOST_BYTES = 25_000_000


def add_parser(commands: Commands) -> None:
    """Add ``support-bundle``."""
    text = "one file with what a support engineer needs, and no secret; prints its path"
    parser = add(commands, "support-bundle", _bundle, text)
    parser.add_argument("--since", default="24h", metavar="SPAN", help="of the journal: 2h, 3d")
    parser.add_argument("--redact-hosts", action="store_true", help="no names and addresses")
    parser.add_argument("-o", "--output", type=Path, default=Path(), metavar="FOLDER")


def _bundle(asked: argparse.Namespace) -> int:
    from gateway.cli.bundle import contents

    found = contents.gather(asked.config, since=asked.since, redact=asked.redact_hosts)
    name = f"bess-gateway-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    path = asked.output / f"{name}.tar.zst"
    try:
        path.write_bytes(packed(name, found))
        path.chmod(0o600)
    except OSError as error:
        text = f"{path}: cannot be written: {error.strerror}"
        raise NoInputError(text) from None
    print(path)
    return 0


def packed(name: str, found: Gathered) -> bytes:
    """The archive, below ``MOST_BYTES``: what does not fit is left out, and named."""
    import zstandard

    omitted = dict(found.omitted)
    kept: dict[str, bytes] = {}
    room = MOST_BYTES - 100_000
    for file, content in found.files.items():
        if len(content) > room:
            omitted[file] = f"{len(content)} bytes do not fit"
            continue
        room -= len(content)
        kept[file] = content
    manifest = {
        "schema": "bess.support/1",
        "version": __version__,
        "madeAt": clock.rfc3339(clock.now().unix_ms),
        "files": {
            file: {"bytes": len(content), "sha256": sha256(content).hexdigest()}
            for file, content in kept.items()
        },
        "omitted": omitted,
    }
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for file, content in {"manifest.json": _json(manifest), **kept}.items():
            entry = tarfile.TarInfo(f"{name}/{file}")
            entry.size, entry.mtime = len(content), int(time.time())
            tar.addfile(entry, io.BytesIO(content))
    return zstandard.ZstdCompressor(level=10).compress(archive.getvalue())


def _json(body: object) -> bytes:
    return json.dumps(body, indent=1, ensure_ascii=False).encode()
