"""Keys are made once for all tests of control; a site once for each module."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from gateway.demo.pki import Pki

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fixtures.commanded_site import ControlSite


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Throwaway CA and certificates."""
    folder: Path = tmp_path_factory.mktemp("pki")
    return Pki(folder)


@pytest.fixture(scope="module")
def turns(shared: ControlSite) -> Iterator[str]:
    """Whose turn it is, of the module's site."""
    return itertools.cycle(shared.names)


@pytest.fixture
def bess(shared: ControlSite, turns: Iterator[str]) -> Iterator[str]:
    """The battery that has rested longest, armed and without faults.

    Nobody may arm before the power of the last dispatch is read to be gone, which takes some 5 s:
    with several batteries that goes on while others are used.
    """
    name = next(turns)
    shared.arm(name)
    yield name
    shared.calm(name)
