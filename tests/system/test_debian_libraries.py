"""Our own suites, on the machines, with Debian's Python and Debian's library versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.system.machines import Machine

VENDORED = "/usr/lib/bess-gateway/vendor:/usr/lib/x86_64-linux-gnu/bess-gateway"


@pytest.mark.parametrize("suite", ["unit", "integration"])
def test_the_suite_passes_with_debians_versions(machine: Machine, version: str, suite: str) -> None:
    machine.apt("install", f"bess-gateway={version}")
    machine.sh(
        "mkdir -p /root/tree; cd /srv/tree; "
        "cp -r gateway pointmaps etc tests setup.cfg pyproject.toml README.md /root/tree/"
    )
    if machine.try_("python3", "-c", "import referencing").returncode:
        machine.sh("cd /root/tree/tests; cp system/older_schemas.py fixtures/schemas.py")
    ended = machine.try_(
        "sh",
        "-c",
        f"cd /root/tree && PYTHONPATH={VENDORED} python3 -m pytest -q -p no:cacheprovider "
        f"tests/{suite} 2>&1",
    )
    assert ended.returncode == 0, ended.stdout[-8000:]
