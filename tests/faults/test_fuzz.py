"""Every fuzzer for FUZZ_SECONDS (60): no crash, no hang, no growth, only the errors we named."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.faults import fuzz

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = float(os.environ.get("FUZZ_SECONDS", "60"))


@pytest.mark.parametrize("name", fuzz.ALL)
def test_garbage_is_survived(line: Callable[[str], None], name: str) -> None:
    line(f"| fuzz {name} | {SECONDS:.0f} s | {fuzz.ALL[name](SECONDS, 1)} |")
