"""Every mutant still names a text and a test that exist: ``make mutants`` needs hours to say so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.mutants.__main__ import ALL, ROOT

if TYPE_CHECKING:
    from tests.mutants.mutant import Mutant


@pytest.mark.parametrize("mutant", ALL, ids=lambda one: one.rule)
def test_a_mutant_stands_once_in_its_file_and_its_test_exists(mutant: Mutant) -> None:
    for file, old, _ in mutant.edits:
        assert (ROOT / file).read_text().count(old) == 1, file
    path, _, name = mutant.test.partition("::")
    assert not name or f"def {name.partition('[')[0]}(" in (ROOT / path).read_text()
