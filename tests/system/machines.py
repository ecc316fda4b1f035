"""Booted Debian machines for the tests, and what is installed on them.

A machine is a namespace with a real systemd in it. Its file system is made once for each release
(in ``$XDG_CACHE_HOME/bess-gateway-boxes``; ``make boxes`` does it beforehand) and never changed by
a test: each boot lies in memory, so that any number of machines stand on one file system.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from email.parser import Parser
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

RELEASES = os.environ.get("RELEASES", "bookworm trixie").split()
TREE = Path(__file__).resolve().parents[2]
WHEELS = TREE / os.environ.get("WHEELS", "build/wheels")
UNIT = "bess-gateway.service"
ETC = "/etc/bess-gateway"
STATE = "/var/lib/bess-gateway"
DEADLINE_S = 240.0  # a deadline, not a duration: the machine may be slow, and others run beside it
# In the machines besides the package's dependencies: what runs our own tests there.
TEST_PACKAGES = (
    "gcc",
    "libc6-dev",
    "mosquitto",
    "openssl",
    "python3-hypothesis",
    "python3-jsonschema",
    "python3-openpyxl",
    "python3-psutil",
    "python3-pytest",
    "python3-pytest-xdist",
    "zstd",
)


class MachineError(Exception):
    """A command in a machine failed, or what was waited for did not come."""


def tool() -> str:
    """The program that boots machines; ``packaging/can-boot`` says where it may be."""
    given = os.environ.get("SYSTEMD_BOX") or shutil.which("systemd-box")
    return given or str(TREE.parent / "shared/tools/systemd-box")


def cache() -> Path:
    """Where the file systems of the machines are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "bess-gateway-boxes"


def depends(deb: Path) -> list[str]:
    """Names of the Debian packages that ``deb`` needs."""
    return _names(output("dpkg-deb", "-f", str(deb), "Depends"))


def _names(field: str) -> list[str]:
    """Packages of a Depends field, of alternatives the first; what is not known yet is left out."""
    clauses = (clause.split()[0].partition(":")[0] for clause in field.split(","))
    return sorted({name for name in clauses if not name.startswith("$")})


def output(*command: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """Standard output of a command on this machine.

    Raises:
        MachineError: it failed; carries all that it said.
    """
    ended = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **(env or {})},
        cwd=cwd,
    )
    if ended.returncode:
        text = f"{' '.join(command)}: exit {ended.returncode}\n{ended.stdout}{ended.stderr}"
        raise MachineError(text)
    return ended.stdout


def prepare(release: str, packages: list[str], *, name: str = "") -> Path:
    """A file system of ``release`` with ``packages``; without any, as debootstrap leaves it.

    Made at the first call; two runs of the tests wait for each other. ``name``: another one than
    all tests share, for packages that the others must not have.
    """
    cache().mkdir(parents=True, exist_ok=True)
    base, box = cache() / f"{release}-base", cache() / (name or release)
    with locked(cache() / f"{release}.lock"):
        output(tool(), "create", release, str(base))
        if not packages:
            return base
        listed = box.with_suffix(".packages")
        found = set(listed.read_text().split()) if box.exists() and listed.exists() else set()
        if not found >= {*packages}:
            with locked(_standing(box)):  # until no machine stands on it
                _install(base, box, sorted(found | {*packages}), listed)
        return box


def _install(base: Path, box: Path, packages: list[str], listed: Path) -> None:
    """Make ``box`` a copy of ``base`` with ``packages``, and list them."""
    if not box.exists():
        half = box.with_suffix(".half")
        output("rm", "-rf", "--one-file-system", str(half))  # left by a run that was killed
        output("cp", "-a", str(base), str(half))
        half.rename(box)
    script = (
        "apt-get update -qq && apt-get install -qq -y --no-install-recommends "
        # What is lost with the power is made again.
        f"-o Dpkg::Options::=--force-unsafe-io {' '.join(packages)} >/dev/null && apt-get clean"
    )
    output(tool(), "chroot", str(box), "--", "sh", "-c", script)
    listed.write_text(" ".join(packages))


def prepare_all() -> None:
    """The machines of every release, made at the same time."""
    control = Parser().parsestr((TREE / "debian/control").read_text().partition("\n\n")[2])
    packages = [*_names(control["Depends"]), *TEST_PACKAGES]
    with ThreadPoolExecutor() as pool:
        for box in pool.map(lambda release: prepare(release, packages), RELEASES):
            print(f"{box} is ready")


@contextlib.contextmanager
def locked(path: Path, how: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Hold the lock of this name; ``LOCK_SH`` shares it with others that do."""
    with path.open("w") as lock:
        fcntl.flock(lock, how)
        yield


def _standing(box: Path) -> Path:
    """The lock that each machine on ``box`` shares, and that alone lets it be changed."""
    return box.with_suffix(".boot")


@contextlib.contextmanager
def seat(box: Path) -> Iterator[Path]:
    """A folder that a machine on ``box`` is booted from, with its own console and control group.

    The first that no other machine has; what a killed run left there is stopped before a boot.
    """
    with locked(_standing(box), fcntl.LOCK_SH):
        for number in itertools.count():
            folder = cache() / f"{box.name}.{number}"
            folder.mkdir(exist_ok=True)
            with (folder / "taken").open("w") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                if not (folder / "root").is_symlink():
                    (folder / "root").symlink_to(box / "root")
                yield folder
                return


@contextlib.contextmanager
def copied(box: Path, folder: Path) -> Iterator[Path]:
    """A machine's own file system in ``folder``, removed at the end: for one that reboots."""
    copy = folder / box.name
    copy.mkdir()
    with locked(_standing(box), fcntl.LOCK_SH):
        output("cp", "-a", "--reflink=auto", str(box / "root"), str(copy / "root"))
    try:
        yield copy
    finally:
        output(tool(), "destroy", str(copy))


class Machine:
    """One booted machine.

    Args:
        box: its folder, from ``prepare``, or ``copied``.
        binds: folders of ours that it sees, read-only, by the path there.
        host_net: it shares our loopback, and so our broker and outstation.
        forgetful: what happens lies in memory, and is forgotten when it goes off.
    """

    def __init__(
        self,
        box: Path,
        binds: Mapping[str, Path],
        *,
        host_net: bool = False,
        forgetful: bool = True,
    ) -> None:
        self.release = box.name.removesuffix("-base")
        self._base, self._box = box, str(box)
        self._forgetful = forgetful
        self._options = [f"--hostname={self.release}", f"--timeout={DEADLINE_S:.0f}"]
        self._options += ["--ephemeral"] if forgetful else []
        self._options += ["--host-net"] if host_net else []
        for there, here in binds.items():
            self._options += ["--bind-ro", f"{here}:{there}"]

    @contextlib.contextmanager
    def booted(self) -> Iterator[Machine]:
        """Boot it, and switch it off at the end."""
        with contextlib.ExitStack() as stack:
            if self._forgetful:
                self._box = str(stack.enter_context(seat(self._base)))
                output(tool(), "stop", self._box)  # left by a run that was killed
            stack.callback(output, tool(), "stop", self._box)
            self._boot()
            yield self

    def reboot(self) -> None:
        """As a person at the box does it; every service is stopped in order."""
        supervisor = self._supervisor()
        self.try_("systemctl", "reboot")
        self._boot_after(supervisor)

    def lose_power(self) -> None:
        """Everything in it ends at once; it boots when the power is back."""
        supervisor = self._supervisor()
        os.kill(supervisor, signal.SIGKILL)  # takes the machine's first process with it
        self._boot_after(supervisor)

    def _boot(self) -> None:
        output(tool(), "boot", self._box, *self._options)
        # As a real machine's init does, and a container's engine: LoadCredential= needs it.
        self.run("mount", "--make-rshared", "/")

    def _supervisor(self) -> int:
        return int((Path(self._box) / "supervisor.pid").read_text().split()[0])

    def _boot_after(self, supervisor: int) -> None:
        status = Path(f"/proc/{supervisor}/stat")
        end = time.monotonic() + DEADLINE_S
        with contextlib.suppress(OSError):  # it is gone
            while status.read_text().rpartition(")")[2].split()[0] not in "ZX":
                if time.monotonic() > end:
                    text = f"{self.release}: does not go down within {DEADLINE_S:.0f} s"
                    raise MachineError(text)
                time.sleep(0.1)
        output(tool(), "stop", self._box)  # clears what it left
        self._boot()

    def try_(self, *command: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command there, whatever comes of it."""
        return subprocess.run(
            [tool(), "exec", self._box, "--", *command],
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            input=stdin,
        )

    def run(self, *command: str, stdin: str | None = None) -> str:
        """Standard output of a command there.

        Raises:
            MachineError: it failed; carries all that it said.
        """
        ended = self.try_(*command, stdin=stdin)
        if ended.returncode:
            text = f"{self.release}: {' '.join(command)}: exit {ended.returncode}\n"
            raise MachineError(text + ended.stdout + ended.stderr)
        return ended.stdout

    def sh(self, script: str) -> str:
        """Standard output of a shell script there; stops at its first failure."""
        return self.run("bash", "-euo", "pipefail", "-c", script)

    def write(self, path: str, text: str | bytes, *, mode: str = "0644", owner: str = "") -> None:
        """Put a file there."""
        body = text.encode() if isinstance(text, str) else text
        script = f'install -D -m {mode} /dev/stdin "{path}"'
        if owner:
            script += f' && chown {owner} "{path}"'
        subprocess.run(
            [tool(), "exec", self._box, "--", "sh", "-c", script],
            check=True,
            input=body,
            capture_output=True,
        )

    def has(self, path: str) -> bool:
        """Whether there is such a file."""
        return self.try_("test", "-e", path).returncode == 0

    def show(self, name: str) -> str:
        """A property of the gateway's unit."""
        return self.run("systemctl", "show", "--value", f"--property={name}", UNIT).strip()

    def until(self, holds: Callable[[], Any], what: str, *, within_s: float = DEADLINE_S) -> Any:  # noqa: ANN401 - what ``holds`` returned
        """Wait until ``holds()`` is true; returns it.

        Raises:
            MachineError: it never was; carries the end of the journal.
        """
        end = time.monotonic() + within_s
        while not (found := holds()):
            if time.monotonic() > end:
                lines = self.try_("journalctl", "-u", UNIT, "-n", "60", "--no-pager").stdout
                text = f"{self.release}: not within {within_s:.0f} s: {what}\n{lines}"
                raise MachineError(text)
            time.sleep(0.2)
        return found

    def journal(self, *matches: str) -> list[dict[str, Any]]:
        """What the unit logged, oldest first, with every field."""
        arguments = ("journalctl", "-u", UNIT, "-o", "json", "--no-pager", *matches)
        return [json.loads(line) for line in self.run(*arguments).splitlines()]

    def said(self, text: str, *matches: str) -> list[dict[str, Any]]:
        """Journal entries of the unit with ``text`` in them."""
        return [one for one in self.journal(*matches) if text in str(one.get("MESSAGE", ""))]

    # --- the package -------------------------------------------------------------------------

    def add_repository(self) -> None:
        """The two lines of the README, and no other package source."""
        self.sh(
            ": >/etc/apt/sources.list; mkdir -p /etc/apt/keyrings; "
            "cp /srv/apt/bess-gateway.asc /etc/apt/keyrings/; "
            "sed 's|^URIs: .*|URIs: file:/srv/apt|' /srv/apt/bess-gateway.sources "
            ">/etc/apt/sources.list.d/bess-gateway.sources; apt-get -qq update"
        )

    def apt(self, *arguments: str) -> str:
        """apt-get as an unattended machine runs it."""
        options = ("-qq", "-y", "--no-install-recommends", "-o", "Dpkg::Options::=--force-confold")
        return self.run("apt-get", *options, *arguments)


if __name__ == "__main__":
    prepare_all()
