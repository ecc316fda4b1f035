"""Our own suites, on the machines, with Debian's Python and Debian's library versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.system.machines import TREE

if TYPE_CHECKING:
    from tests.system.machines import Machine

# For every Python there: the suites start processes of their own, some with their own path.
PTH = "/usr/lib/bess-gateway/vendor\n/usr/lib/x86_64-linux-gnu/bess-gateway\n"
# Minutes of leases and dead-men; test_control has the installed package do the same.
LEFT_OUT = (
    "tests/integration/control",
    "tests/integration/daemon/test_control_bounds.py",
    # About the source tree, which lies elsewhere, and not about Debian's libraries.
    "tests/unit/test_citations.py",
    "tests/unit/test_house.py",
    "tests/unit/test_imports.py",
)
# Debian 12's psutil (5.9) has an older name for it.
PSUTIL = "import psutil; psutil.Process.net_connections = psutil.Process.connections"


@pytest.mark.parametrize("suite", ["unit", "integration"])
def test_the_suite_passes_with_debians_versions(machine: Machine, version: str, suite: str) -> None:
    machine.apt("install", f"bess-gateway={version}")
    machine.sh(
        "mkdir -p /root/tree; cd /srv/tree; "
        "cp -r gateway pointmaps etc tests setup.cfg pyproject.toml /root/tree/; "
        "cp README.md SPECIFICATION.md /root/tree/; "
        "cp -r --parents packaging/man packaging/completion packaging/brokers "
        "packaging/make-completion /root/tree/"
    )
    folder = machine.run("python3", "-c", "import site; print(site.getsitepackages()[0])").strip()
    machine.write(f"{folder}/bess-gateway.pth", PTH)
    if machine.try_("python3", "-c", "import psutil; psutil.Process.net_connections").returncode:
        machine.sh(f"echo '{PSUTIL}' >>/etc/python3*/sitecustomize.py")
    if machine.try_("python3", "-c", "import referencing").returncode:
        machine.sh("cd /root/tree/tests; cp system/older_schemas.py fixtures/schemas.py")
    # A run in the background ignores SIGINT, and so would every program that the tests interrupt.
    pytest_ = "env --default-signal=INT python3 -m pytest"
    options = "-n 4 --dist loadfile -q --tb=short -p no:cacheprovider"
    for path in LEFT_OUT:
        assert (TREE / path).exists()
        options += f" --ignore={path}"
    ended = machine.try_("sh", "-c", f"cd /root/tree && {pytest_} {options} tests/{suite} 2>&1")
    assert ended.returncode == 0, ended.stdout[-8000:]
