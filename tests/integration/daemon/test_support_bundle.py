"""``support-bundle``: what it holds, and that no planted secret is in it, however it is written."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import zstandard

from gateway.cli.bundle.command import MOST_BYTES, packed
from gateway.cli.bundle.contents import Gathered
from tests.fixtures.daemon import Asset, Daemon, bess_gateway
from tests.fixtures.safetyfiles import write_safety

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.demo.pki import Pki

CANARY = "canary-7Kq2xWv9Zt4mRb1c"
IN_URL = "canary-in-url-5Hs8Lp3N"


def forms(secret: str) -> list[bytes]:
    raw = secret.encode()
    found = [raw, raw.hex().encode(), raw.hex().upper().encode()]
    return found + [
        base64.b64encode(b"\0" * shift + raw)[4 * bool(shift) : -4] for shift in range(3)
    ]


def unpacked(path: Path) -> dict[str, bytes]:
    content = zstandard.ZstdDecompressor().decompress(path.read_bytes(), MOST_BYTES * 4)
    found = {}
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        for entry in tar:
            file = tar.extractfile(entry)
            assert file is not None
            found[entry.name.partition("/")[2]] = file.read()
    return found


@pytest.fixture
def planted(tmp_path: Path, pki: Pki) -> Iterator[Daemon]:
    """A site with the canary in every place where a secret may be."""
    daemon = Daemon(tmp_path / "site", pki=pki, broker_port=1, assets=[Asset(port=1)])
    folder = daemon.site.parent
    write_safety(folder)
    (folder / "tls").mkdir(exist_ok=True)
    (folder / "tls" / "password").write_text(CANARY + "\n")
    text = daemon.site.read_text().replace('name = "', f'name = "mqtt://ops:{IN_URL}@x ')
    daemon.site.write_text(f"# {CANARY}\n{text}")
    maps = folder / "pointmaps"
    maps.mkdir(exist_ok=True)
    (maps / "x.toml").write_text(f"# {CANARY}\n")
    tools = tmp_path / "tools"
    tools.mkdir()
    lines = "\n".join(one.decode() for one in forms(CANARY))
    script = f"#!/bin/sh\ncat <<'END'\nlogin password={IN_URL} now\nmqtt://ops:{IN_URL}@h\n{lines}\nEND\n"
    for name in ("journalctl", "systemctl"):
        (tools / name).write_text(script)
        (tools / name).chmod(0o755)
    with daemon:
        yield daemon


def made(daemon: Daemon, *options: str) -> dict[str, bytes]:
    tools = daemon.site.parents[1] / "tools"
    env = {"PATH": f"{tools}:{os.environ['PATH']}", "BROKER_PASSWORD": CANARY}
    ended = bess_gateway("support-bundle", "--config", daemon.site, "-o", tools, *options, env=env)
    assert (ended.returncode, ended.stderr) == (0, "")
    (line,) = ended.stdout.splitlines()  # the path, and nothing else
    assert Path(line).stat().st_mode & 0o077 == 0
    return unpacked(Path(line))


@pytest.mark.parametrize("running", [False, True])
def test_no_secret_is_in_the_bundle(planted: Daemon, running: bool) -> None:
    if running:
        planted.start()
    files = made(planted)
    whole = b"\n".join([*files.values(), *map(str.encode, files)])
    for secret in (*forms(CANARY), IN_URL.encode()):
        assert not [name for name, content in files.items() if secret in content], secret
    assert b"PRIVATE KEY" not in whole
    names = re.findall(r'(?:key|public_key)_file = "(.*)"', _toml(planted))
    paths = [planted.site.parent / name for name in names]
    assert len(paths) >= 2
    for path in paths:
        for line in path.read_bytes().splitlines():
            if not line.startswith(b"-----"):
                assert line not in whole, path


def _toml(daemon: Daemon) -> str:
    safety = daemon.site.with_name("safety.toml")
    return daemon.site.read_text() + safety.read_text()


def test_it_holds_what_support_needs_and_says_what_is_missing(planted: Daemon) -> None:
    files = made(planted)
    assert {"manifest.json", "site.json", "safety.json", "doctor.json", "check.txt"} <= set(files)
    manifest = json.loads(files["manifest.json"])
    assert manifest["schema"] == "bess.support/1"
    assert set(manifest["files"]) == set(files) - {"manifest.json"}
    assert "no daemon answers" in manifest["omitted"]["status.json"]
    site = json.loads(files["site.json"])["body"]
    assert site["asset"][0]["dnp3"]["port"] == 1
    checks = json.loads(files["doctor.json"])["body"]["checks"]
    assert len(checks) == 24


def test_with_a_daemon_its_own_words_are_in_it(planted: Daemon) -> None:
    planted.start()
    files = made(planted)
    for verb in ("hello", "status", "queue", "health", "counters", "pending"):
        assert "error" not in json.loads(files[f"{verb}.json"])["body"]


def test_hosts_go_on_request(planted: Daemon) -> None:
    assert b"localhost" in made(planted)["site.json"]
    whole = b"".join(made(planted, "--redact-hosts").values())
    assert b'"localhost"' not in whole


def test_what_does_not_fit_is_left_out_and_named() -> None:
    big = os.urandom(MOST_BYTES)
    content = packed("x", Gathered({"a.txt": b"a", "big.bin": big, "b.txt": b"b"}))
    assert len(content) <= MOST_BYTES
    with tarfile.open(
        fileobj=io.BytesIO(zstandard.ZstdDecompressor().decompress(content, MOST_BYTES * 2))
    ) as tar:
        assert {one.name for one in tar} == {"x/manifest.json", "x/a.txt", "x/b.txt"}
        file = tar.extractfile("x/manifest.json")
        assert file is not None
        assert "do not fit" in json.loads(file.read())["omitted"]["big.bin"]
