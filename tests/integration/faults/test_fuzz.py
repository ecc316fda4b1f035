"""A second of every fuzzer of tests/faults/fuzz.py, from a seed that stays."""

from __future__ import annotations

import pytest

from tests.faults import fuzz


@pytest.mark.parametrize("name", ["decode", "maps", "toml"])
def test_garbage_is_refused_by_name(name: str) -> None:
    assert fuzz.ALL[name](0.7, 1)


@pytest.mark.parametrize("name", ["dnp3", "mqtt"])
def test_garbage_on_the_wire_is_survived(name: str) -> None:
    assert fuzz.ALL[name](1.0, 1)
