"""``make release`` in a repository of its own: one command, or every reason against it."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING

import pytest

from gateway import __version__
from tests.system.conftest import WHEELS
from tests.system.machines import TREE, MachineError, output

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """This tree as a repository with one commit."""
    folder = tmp_path / "clone"
    output(str(TREE / "packaging/export-tree"), str(folder))
    _git(folder, "init", "--quiet", "--initial-branch=main")
    _git(folder, "config", "user.name", "a maintainer")
    _git(folder, "config", "user.email", "maintainers@bess-gateway.example")
    _git(folder, "add", "--all")
    _git(folder, "commit", "--quiet", "-m", "everything")
    return folder


def test_one_command_makes_all_that_is_published(clone: Path, key: tuple[Path, str]) -> None:
    home, _ = key
    _head(clone, f"{__version__} (unreleased)")
    said = _release(clone, key)
    assert f"released {__version__}" in said
    today = dt.datetime.now(tz=dt.UTC).date()
    dates = {(today - dt.timedelta(days=days)).isoformat() for days in (0, 1)}  # midnight
    dated = re.search(r"^## (\S+) \((.+)\)$", (clone / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert dated
    assert dated[1] == __version__
    assert dated[2] in dates
    assert _git(clone, "log", "-1", "--format=%s").strip() == f"release {__version__}"
    assert _git(clone, "status", "--porcelain") == ""
    out = clone / "dist" / __version__
    names = {path.name for path in out.iterdir()}
    package = f"bess-gateway_{__version__}"
    bundles = {f"{package}_{release}_offline.tar" for release in ("bookworm", "trixie")}
    assert {f"{package}_amd64.deb", f"{package}.cdx.json", *bundles} <= names
    output("sha256sum", "--check", "--quiet", "SHA256SUMS", cwd=out)
    gpg = ("gpg", "--homedir", str(home), "--batch", "--quiet")
    output(*gpg, "--verify", str(out / "SHA256SUMS.asc"), str(out / "SHA256SUMS"))
    _git(clone, "verify-tag", f"v{__version__}", home=home)
    assert (clone / "dist/apt/dists/stable/InRelease").exists()
    with pytest.raises(MachineError, match=f"the tag v{__version__} exists"):
        _release(clone, key)


def test_changelogs_that_disagree_are_named(clone: Path, key: tuple[Path, str]) -> None:
    _head(clone, f"{__version__} (2001-02-03)")
    with pytest.raises(MachineError, match="must have debian/changelog's date"):
        _release(clone, key)
    _head(clone, "7.0.0 (unreleased)")
    with pytest.raises(MachineError, match="its newest version is '7") as refused:
        _release(clone, key)
    assert "nothing was released" in str(refused.value)
    assert not (clone / "dist").exists()


def test_a_changed_tree_and_a_missing_key_are_named(clone: Path, tmp_path: Path) -> None:
    (clone / "README.md").write_text("changed\n")
    with pytest.raises(MachineError) as refused:
        _release(clone, (tmp_path, ""))
    assert "the tree has changes" in str(refused.value)
    assert "REPO_KEY is not given" in str(refused.value)


def _head(clone: Path, heading: str) -> None:
    """Commit a changelog whose newest version is ``heading``."""
    changelog = clone / "CHANGELOG.md"
    body = changelog.read_text()
    changelog.write_text(re.sub(r"^## .*", f"## {heading}", body, count=1, flags=re.MULTILINE))
    if _git(clone, "status", "--porcelain"):
        _git(clone, "commit", "--quiet", "-a", "-m", heading)


def _release(clone: Path, key: tuple[Path, str]) -> str:
    home, fingerprint = key
    environment = {"REPO_KEY": fingerprint, "GNUPGHOME": str(home)}
    script = str(clone / "packaging/release")
    return output(script, __version__, str(WHEELS), env=environment, cwd=clone)


def _git(clone: Path, *arguments: str, home: Path | None = None) -> str:
    environment = {"GNUPGHOME": str(home)} if home else {}
    return output("git", "-C", str(clone), *arguments, env=environment)
