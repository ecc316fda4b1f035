"""Keys are made once for all tests of control; a site once for each module."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.demo.pki import Pki

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Throwaway CA and certificates."""
    folder: Path = tmp_path_factory.mktemp("pki")
    return Pki(folder)
