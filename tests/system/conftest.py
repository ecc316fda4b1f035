"""Packages built once, machines booted for each module, for Debian 12 and 13."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.system.machines import TEST_PACKAGES, TREE, Machine, copied, depends, output, prepare
from tests.system.sites import Site, start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Boots = Callable[..., contextlib.AbstractContextManager[Machine]]

RELEASES = os.environ.get("RELEASES", "bookworm trixie").split()
WHEELS = TREE / os.environ.get("WHEELS", "build/wheels")
SOURCE = Path(os.environ.get("TREE", TREE))  # as packaging/export-tree has it
NEXT = "99.0"


@pytest.fixture(scope="session")
def bootable() -> None:
    """Skip, or fail in CI, where no machine can be booted."""
    ended = subprocess.run(
        [TREE / "packaging/can-boot"], check=False, capture_output=True, text=True
    )
    if ended.returncode:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(ended.stderr)


@pytest.fixture(scope="session")
def deb(bootable: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of this tree."""
    del bootable
    folder = tmp_path_factory.mktemp("deb")
    output(str(TREE / "packaging/build-deb"), str(WHEELS), str(folder))
    return next(folder.glob("*.deb"))


@pytest.fixture(scope="session")
def next_deb(deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a later version, whose shipped example has changed."""
    del deb
    folder = tmp_path_factory.mktemp("next")
    tree = folder / "tree"
    output(str(TREE / "packaging/export-tree"), str(tree))
    example = tree / "etc/site.toml.example"
    example.write_text(example.read_text() + f"\n# new in {NEXT}\n")
    build = (str(TREE / "packaging/build-deb"), str(WHEELS), str(folder), NEXT)
    output(*build, env={"TREE": str(tree)})
    return next(folder.glob("*.deb"))


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """GnuPG's home and the fingerprint of a signing key made for this run."""
    home = tmp_path_factory.mktemp("key") / "gnupg"
    fingerprint = output(str(TREE / "packaging/throwaway-key"), str(home)).strip()
    return home, fingerprint


@pytest.fixture(scope="session")
def repository(
    deb: Path, next_deb: Path, key: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A signed repository with this version and the next one."""
    folder = tmp_path_factory.mktemp("apt")
    home, fingerprint = key
    make = str(TREE / "packaging/make-repo")
    output(make, str(folder), str(home), fingerprint, str(deb), str(next_deb))
    return folder


@pytest.fixture(scope="session")
def version(deb: Path) -> str:
    """The package's version."""
    return output("dpkg-deb", "-f", str(deb), "Version").strip()


@pytest.fixture(scope="session")
def boots(deb: Path, repository: Path) -> Boots:
    """Boots a machine: ``with boots("trixie", host_net=True) as machine``.

    With ``kept``, a folder, it keeps what happens to it there, and can be rebooted.
    """
    wanted = [*depends(deb), *TEST_PACKAGES]

    @contextlib.contextmanager
    def boot(
        release: str, *, host_net: bool = False, bare: bool = False, kept: Path | None = None
    ) -> Iterator[Machine]:
        box = prepare(release, [] if bare else wanted)
        binds = {"/srv/apt": repository, "/srv/tree": SOURCE, "/srv/deb": deb.parent}
        with contextlib.ExitStack() as stack:
            if kept is not None:
                box = stack.enter_context(copied(box, kept))
            machine = Machine(box, binds, host_net=host_net, forgetful=kept is None)
            yield stack.enter_context(machine.booted())

    return boot


@pytest.fixture(scope="module", params=RELEASES)
def release(request: pytest.FixtureRequest) -> str:
    """Debian 12, then 13."""
    return str(request.param)


@pytest.fixture(scope="module")
def machine(release: str, boots: Boots) -> Iterator[Machine]:
    """A machine that knows the repository; it has a network of its own, and nothing installed."""
    with boots(release) as machine:
        machine.add_repository()
        yield machine


@pytest.fixture(scope="module")
def site(release: str, deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Broker, RTAC with 200 events a second, and platform; new for each machine.

    The machine is prepared first: that may take minutes, and the RTAC's buffer holds one.
    """
    prepare(release, [*depends(deb), *TEST_PACKAGES])
    with Site(tmp_path_factory.mktemp("site"), events_per_s=200.0).running() as site:
        yield site


@pytest.fixture(scope="module")
def gateway(release: str, boots: Boots, site: Site, version: str) -> Iterator[Machine]:
    """A machine with the package installed, configured, and working at ``site``."""
    with boots(release, host_net=True) as machine:
        machine.add_repository()
        machine.apt("install", f"bess-gateway={version}")
        site.configure(machine)
        start(machine)
        yield machine
