"""What a points map says and nobody may guess."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_DERIVED = "tests/unit/points/test_derive.py::test_"
_SWITCHES = "tests/unit/control/execution/test_switching.py::test_"

MUTANTS = (
    Mutant(
        "map: a bit of a bad word is bad",
        "gateway/points/derive.py",
        "return (raw.flags or 0) & ~ONLINE",
        "return raw.flags",
        _DERIVED + "a_bit_is_worth_what_its_word_is_worth",
    ),
    Mutant(
        "map: a code that means neither is bad",
        "gateway/points/decode.py",
        "return on, on or found in (row.off or ())",
        "return on, True",
        _DERIVED + "a_code_that_is_neither_on_nor_off_is_bad",
    ),
    Mutant(
        "map: what has no off is not guessed",
        "gateway/control/execution/switching.py",
        'if row.operation == "pulse" and not state:',
        "if False:",
        _SWITCHES + "a_pulse_and_a_code_without_off_have_no_off",
    ),
    Mutant(
        "map: a pulse goes once, whatever its role",
        "gateway/control/execution/plan.py",
        "once=pulse or (isinstance(output.value, CrobOp) and output.value not in LATCHES),",
        "once=pulse,",
        _SWITCHES + "a_mode_by_a_pair_of_pulses_is_watched_and_its_pulse_goes_once",
    ),
)
