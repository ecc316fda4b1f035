"""The seal over the facts: whatever happens to one of them, it does not fit any more."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.audit.seal import resealed, seal_of

TEXT = st.text(max_size=8)
FACTS = st.dictionaries(TEXT, TEXT, max_size=6)


@given(before=FACTS, changes=st.dictionaries(TEXT, st.none() | TEXT, max_size=6))
def test_a_seal_that_follows_the_changes_is_that_of_the_facts(
    before: dict[str, str], changes: dict[str, str | None]
) -> None:
    after = {key: value for key, value in (before | changes).items() if value is not None}
    assert resealed(seal_of(before), before, changes) == seal_of(after)


@given(facts=FACTS, other=FACTS)
def test_other_facts_have_another_seal(facts: dict[str, str], other: dict[str, str]) -> None:
    assert (seal_of(facts) == seal_of(other)) == (facts == other)


def test_key_and_value_do_not_run_into_each_other() -> None:
    assert seal_of({"ab": "c"}) != seal_of({"a": "bc"})
