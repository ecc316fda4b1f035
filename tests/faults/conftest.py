"""The result table: a line for every fault, printed, and gathered in build/faults.md."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.demo.pki import Pki
from tests.faults.trials import Worker, scratch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TABLE = Path(__file__).resolve().parents[2] / "build" / "faults.md"


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def disk() -> Iterator[Path]:
    with scratch() as folder:
        yield folder


@pytest.fixture
def worker(disk: Path) -> Iterator[Worker]:
    with Worker(disk) as one:
        yield one


@pytest.fixture(scope="session")
def line() -> Callable[[str], None]:
    """Adds a line to the table."""
    TABLE.parent.mkdir(exist_ok=True)

    def add(text: str) -> None:
        print(text)
        with TABLE.open("a") as file:
            file.write(text + "\n")

    return add
