"""SPECIFICATION.md, section 7, walked as a model: no site is a trap, and no rule keeps power on.

The readings that are refuted here are those that the text once allowed.
"""

from __future__ import annotations

import pytest

from tests.fixtures.obligation import Deadman, Kind, Others, Refuses, Text
from tests.fixtures.obligation_walk import CHANGED, KINDS, wrong

FEW = (
    Kind(v=3),
    Kind(Refuses.WITHOUT_BEAT, Deadman.MASKS, offset=2, v=3),
    Kind(Refuses.WITHOUT_BEAT, Deadman.CLEARS, v=3, unfed=True),
    Kind(deadman=Deadman.HIDES, v=3),
    Kind(deadman=Deadman.FAILS, others=Others.TELLS, v=3),
)
REFUTED = {
    "obligation follows from permission": (Text(fact=False), Kind(deadman=Deadman.FAILS, v=3)),
    "zero, beat, zero waits until silence was tried": (
        Text(group_waits=True),
        Kind(Refuses.WITHOUT_BEAT, Deadman.FAILS, w=3, v=2),
    ),
    "that zero, beat, zero was used is forgotten at a restart": (
        Text(group_is_kept=False),
        Kind(Refuses.ALWAYS, Deadman.CLEARS, v=3),
    ),
    "zero, beat, zero goes in IDLING alone": (
        Text(group_in_estop=False),
        Kind(Refuses.WITHOUT_BEAT, Deadman.FAILS, v=3),
    ),
    "nothing feeds a zero that commissioning saw accepted unfed": (
        Text(word_feeds=False),
        Kind(Refuses.WITHOUT_BEAT, Deadman.CLEARS, v=3, unfed=True),
    ),
    "a declaration of zero is final": (
        Text(declared_is_final=True),
        Kind(deadman=Deadman.FAILS, v=3),
    ),
    "a start beats before its zero is accepted": (
        Text(silent_start=False),
        Kind(Refuses.ALWAYS, Deadman.CLEARS, v=3),
    ),
    "LATCHED feeds the dead-man": (
        Text(latched_withholds=False),
        Kind(Refuses.ALWAYS, Deadman.CLEARS, v=3),
    ),
    "saying by which rows does not lead out of LATCHED": (
        Text(choice_waits_for_reset=True),
        Kind(Refuses.WITHOUT_BEAT, Deadman.FAILS, v=3),
    ),
    "a step on the way to our setpoint is another's": (
        Text(foreign_if_not_last=True),
        Kind(Refuses.WITHOUT_BEAT, Deadman.FAILS, v=3),
    ),
    "a step that beats bring back is another's": (
        Text(steps_are_not_ours=True),
        Kind(deadman=Deadman.HIDES, v=3),
    ),
    "power that leaves zero is ours whenever it does": (
        Text(any_power_latches=True),
        Kind(loads=True, v=3),
    ),
}


@pytest.mark.parametrize("kind", FEW)
def test_no_site_is_a_trap_and_no_rule_keeps_power_on(kind: Kind) -> None:
    assert wrong(kind) == {}


@pytest.mark.long
@pytest.mark.parametrize("kind", [*KINDS, *CHANGED])
def test_no_kind_of_site_is_a_trap_and_no_rule_keeps_power_on(kind: Kind) -> None:
    assert wrong(kind) == {}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        pytest.param(*one, id=name, marks=() if "permission" in name else pytest.mark.long)
        for name, one in REFUTED.items()
    ],
)
def test_another_reading_of_the_text_is_wrong(text: Text, kind: Kind) -> None:
    assert wrong(kind, text)
