"""A repository of this tree's own, and ``make release`` in it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gateway import __version__
from tests.system.machines import TREE, WHEELS, output

if TYPE_CHECKING:
    from pathlib import Path


def clone(folder: Path) -> Path:
    """This tree as a repository with one commit, in ``folder``."""
    output(str(TREE / "packaging/export-tree"), str(folder))
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "config", "user.name", "a maintainer")
    git(folder, "config", "user.email", "maintainers@bess-gateway.example")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", "everything")
    return folder


def head(clone: Path, heading: str) -> None:
    """Commit a changelog whose newest version is ``heading``."""
    changelog = clone / "CHANGELOG.md"
    body = changelog.read_text()
    changelog.write_text(re.sub(r"^## .*", f"## {heading}", body, count=1, flags=re.MULTILINE))
    if git(clone, "status", "--porcelain"):
        git(clone, "commit", "--quiet", "-a", "-m", heading)


def release(clone: Path, key: tuple[Path, str]) -> str:
    """What the command says.

    Raises:
        MachineError: it refuses; carries the reasons.
    """
    home, fingerprint = key
    environment = {"REPO_KEY": fingerprint, "GNUPGHOME": str(home)}
    script = str(clone / "packaging/release")
    return output(script, __version__, str(WHEELS), env=environment, cwd=clone)


def git(clone: Path, *arguments: str, home: Path | None = None) -> str:
    """Output of git in ``clone``; ``home`` is GnuPG's."""
    environment = {"GNUPGHOME": str(home)} if home else {}
    return output("git", "-C", str(clone), *arguments, env=environment)
