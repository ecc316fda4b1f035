"""Who may connect to the control socket: its owner's group, those admitted, and nobody else."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.local import acl

if TYPE_CHECKING:
    from collections.abc import Iterator

OWNERS, OPERATORS, VIEWERS, STRANGERS = 54321, 54322, 54324, 54323
CONNECT = """\
import os, socket, sys
os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(65534)
caller = socket.socket(socket.AF_UNIX)
try:
    caller.connect(sys.argv[1])
    print("connected")
except PermissionError:
    print("refused")
"""


@pytest.fixture
def path() -> Iterator[Path]:
    """A listening socket of the group OWNERS, with OPERATORS and VIEWERS admitted."""
    if os.geteuid() != 0:
        pytest.skip("needs root to become other users")
    # pytest's own folders are closed to other users.
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        Path(folder).chmod(0o755)
        where = Path(folder) / "control.sock"
        listener.bind(str(where))
        listener.listen()
        os.chown(where, -1, OWNERS)
        where.chmod(0o660)
        acl.admit(where, (OPERATORS, VIEWERS))
        yield where


@pytest.mark.parametrize(
    ("group", "outcome"),
    [
        (OWNERS, "connected"),
        (OPERATORS, "connected"),
        (VIEWERS, "connected"),
        (STRANGERS, "refused"),
    ],
)
def test_the_admitted_groups_may_connect(path: Path, group: int, outcome: str) -> None:
    command = [sys.executable, "-c", CONNECT, str(path), str(group)]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    assert ended.stdout.strip() == outcome


def test_the_mode_stays_what_it_was(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
