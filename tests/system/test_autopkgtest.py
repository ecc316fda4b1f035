"""debian/tests as Debian's own machinery runs them: on a booted machine, as root, in a folder."""

from __future__ import annotations

from email.parser import Parser
from typing import TYPE_CHECKING

import pytest

from tests.system.machines import TEST_PACKAGES, TREE, Machine

if TYPE_CHECKING:
    from email.message import Message

CONTROL: Message = Parser().parsestr((TREE / "debian/tests/control").read_text())


@pytest.mark.parametrize("name", CONTROL["Tests"].split())
def test_the_packages_own_test_passes(machine: Machine, version: str, name: str) -> None:
    needed = {one.strip() for one in CONTROL["Depends"].split(",")} - {"@"}
    assert needed <= set(TEST_PACKAGES)
    machine.apt("install", f"bess-gateway={version}")
    machine.sh(
        "mkdir -p /tmp/autopkgtest; cd /tmp/autopkgtest; "
        f"cp /srv/tree/debian/tests/{name} .; chmod +x {name}"
    )
    script = f"cd /tmp/autopkgtest && AUTOPKGTEST_TMP=/tmp/autopkgtest ./{name} 2>&1"
    ended = machine.try_("sh", "-c", script)
    assert ended.returncode == 0, ended.stdout[-8000:]
