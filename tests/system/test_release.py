"""``make release`` in a repository of its own: one command, or every reason against it."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING

import pytest

from gateway import __version__
from tests.system import releasing
from tests.system.machines import MachineError, output
from tests.system.releasing import git, head, release

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """This tree as a repository with one commit."""
    return releasing.clone(tmp_path / "clone")


def test_one_command_makes_all_that_is_published(released: Path, key: tuple[Path, str]) -> None:
    home, _ = key
    today = dt.datetime.now(tz=dt.UTC).date()
    dates = {(today - dt.timedelta(days=days)).isoformat() for days in (0, 1)}  # midnight
    dated = re.search(r"^## (\S+) \((.+)\)$", (released / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert dated
    assert dated[1] == __version__
    assert dated[2] in dates
    assert git(released, "log", "-1", "--format=%s").strip() == f"release {__version__}"
    assert git(released, "status", "--porcelain") == ""
    out = released / "dist" / __version__
    names = {path.name for path in out.iterdir()}
    package = f"bess-gateway_{__version__}"
    bundles = {f"{package}_{release}_offline.tar" for release in ("bookworm", "trixie")}
    assert {f"{package}_amd64.deb", f"{package}.cdx.json", *bundles} <= names
    output("sha256sum", "--check", "--quiet", "SHA256SUMS", cwd=out)
    gpg = ("gpg", "--homedir", str(home), "--batch", "--quiet")
    output(*gpg, "--verify", str(out / "SHA256SUMS.asc"), str(out / "SHA256SUMS"))
    git(released, "verify-tag", f"v{__version__}", home=home)
    assert (released / "dist/apt/dists/stable/InRelease").exists()
    with pytest.raises(MachineError, match=f"the tag v{__version__} exists"):
        release(released, key)


def test_changelogs_that_disagree_are_named(clone: Path, key: tuple[Path, str]) -> None:
    head(clone, f"{__version__} (2001-02-03)")
    with pytest.raises(MachineError, match="must have debian/changelog's date"):
        release(clone, key)
    head(clone, "7.0.0 (unreleased)")
    with pytest.raises(MachineError, match="its newest version is '7") as refused:
        release(clone, key)
    assert "nothing was released" in str(refused.value)
    assert not (clone / "dist").exists()


def test_a_changed_tree_and_a_missing_key_are_named(clone: Path, tmp_path: Path) -> None:
    (clone / "README.md").write_text("changed\n")
    with pytest.raises(MachineError) as refused:
        release(clone, (tmp_path, ""))
    assert "the tree has changes" in str(refused.value)
    assert "REPO_KEY is not given" in str(refused.value)
