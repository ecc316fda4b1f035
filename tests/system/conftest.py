"""Packages built once, machines booted for each module, for Debian 12 and 13 side by side."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from gateway import __version__
from tests.system import releasing
from tests.system.machines import (
    RELEASES,
    TEST_PACKAGES,
    TREE,
    WHEELS,
    Machine,
    copied,
    depends,
    locked,
    output,
    prepare,
)
from tests.system.sites import Site, start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Boots = Callable[..., contextlib.AbstractContextManager[Machine]]
    Once = Callable[[str, Callable[[Path], object]], Path]

SOURCE = Path(os.environ.get("TREE", TREE))  # as packaging/export-tree has it
NEXT = "99.0"
# What takes longest begins first, so that nobody waits for it at the end; the others by name.
LONGEST_FIRST = ("test_debian_libraries", "test_control", "test_service", "test_release")


class SideBySide(LoadScopeScheduling):  # type: ignore[misc]  # xdist 3.8 has no types
    """Gives a module's tests of one release to one process: they share a machine."""

    def _split_scope(self, nodeid: str) -> str:
        found = re.search(rf"[\[-]({'|'.join(RELEASES)})[\]-]", nodeid)
        return nodeid.partition("::")[0] + (found[1] if found else "")


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> SideBySide:
    """With any ``-n``; xdist 3.8's own --dist=loadgroup does nothing under pytest 9.2."""
    config.option.loadscopereorder = False
    return SideBySide(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest."""
    ranks = {name: rank for rank, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: ranks.get(item.path.stem, len(ranks)))


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Once:
    """Makes a folder once for all processes of this run: ``once("deb", build)``."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent

    def make_once(name: str, make: Callable[[Path], object]) -> Path:
        folder, made = shared / f"once-{name}", shared / f"once-{name}.made"
        with locked(shared / f"once-{name}.lock"):
            if not made.exists():
                shutil.rmtree(folder, ignore_errors=True)  # half made by one that failed
                folder.mkdir()
                make(folder)
                made.touch()
        return folder

    return make_once


@pytest.fixture(scope="session")
def bootable() -> None:
    """Skip, or fail in CI, where no machine can be booted."""
    ended = subprocess.run(
        [TREE / "packaging/can-boot"], check=False, capture_output=True, text=True
    )
    if ended.returncode:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(ended.stderr)


@pytest.fixture(scope="session")
def deb(bootable: None, once: Once) -> Path:
    """The package of this tree."""
    del bootable
    build = str(TREE / "packaging/build-deb")
    return next(once("deb", lambda out: output(build, str(WHEELS), str(out))).glob("*.deb"))


@pytest.fixture(scope="session")
def next_deb(bootable: None, once: Once) -> Path:
    """The same as a later version, whose shipped example has changed."""
    del bootable

    def make(folder: Path) -> None:
        tree = folder / "tree"
        output(str(TREE / "packaging/export-tree"), str(tree))
        example = tree / "etc/site.toml.example"
        example.write_text(example.read_text() + f"\n# new in {NEXT}\n")
        build = (str(TREE / "packaging/build-deb"), str(WHEELS), str(folder), NEXT)
        output(*build, env={"TREE": str(tree)})

    return next(once("next-deb", make).glob("*.deb"))


@pytest.fixture(scope="session")
def key(once: Once) -> tuple[Path, str]:
    """GnuPG's home and the fingerprint of a signing key made for this run."""

    def make(folder: Path) -> None:
        said = output(str(TREE / "packaging/throwaway-key"), str(folder / "gnupg"))
        (folder / "fingerprint").write_text(said.strip())

    folder = once("key", make)
    return folder / "gnupg", (folder / "fingerprint").read_text()


@pytest.fixture(scope="session")
def repository(deb: Path, next_deb: Path, key: tuple[Path, str], once: Once) -> Path:
    """A signed repository with this version and the next one."""
    home, fingerprint = key
    make = str(TREE / "packaging/make-repo")
    return once(
        "apt",
        lambda folder: output(make, str(folder), str(home), fingerprint, str(deb), str(next_deb)),
    )


@pytest.fixture(scope="session")
def released(bootable: None, key: tuple[Path, str], once: Once) -> Path:
    """This tree as a repository in which ``make release`` was given; all it made is in dist/."""
    del bootable

    def make(folder: Path) -> None:
        releasing.clone(folder)
        releasing.head(folder, f"{__version__} (unreleased)")
        assert f"released {__version__}" in releasing.release(folder, key)

    return once("release", make)


@pytest.fixture(scope="session")
def version(deb: Path) -> str:
    """The package's version."""
    return output("dpkg-deb", "-f", str(deb), "Version").strip()


@pytest.fixture(scope="session")
def boots(deb: Path, repository: Path) -> Boots:
    """Boots a machine: ``with boots("trixie", host_net=True) as machine``.

    With ``kept``, a folder, it keeps what happens to it there, and can be rebooted. ``sees`` is
    another folder that it sees, as /srv/sees.
    """
    wanted = [*depends(deb), *TEST_PACKAGES]

    @contextlib.contextmanager
    def boot(
        release: str,
        *,
        host_net: bool = False,
        bare: bool = False,
        kept: Path | None = None,
        sees: Path | None = None,
    ) -> Iterator[Machine]:
        box = prepare(release, [] if bare else wanted)
        binds = {"/srv/apt": repository, "/srv/tree": SOURCE, "/srv/deb": deb.parent}
        binds |= {"/srv/sees": sees} if sees else {}
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
