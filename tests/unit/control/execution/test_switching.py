"""Which control says on or off; what has no off is no control, and is never guessed."""

from __future__ import annotations

import pytest

from gateway.control.execution.plan import PlanError, switch_write
from gateway.control.execution.switching import switched
from gateway.ports import Control, CrobOp, Variation
from tests.fixtures.batteries import row
from tests.fixtures.control import ENABLE, POWER, STOP, control_map


def test_a_pulse_and_a_code_without_off_have_no_off() -> None:
    assert switched(STOP, on=True) == Control("BO2", CrobOp.PULSE_ON)
    assert switched(STOP, on=False) is None
    coded = row("AO5", "cmd_stop", unit="bool", variation="int16", on=(2,), feedback="lockout")
    assert switched(coded, on=True) == Control("AO5", 2, Variation.INT16)
    assert switched(coded, on=False) is None
    with pytest.raises(PlanError, match="has no off"):
        switch_write(control_map(POWER, coded), "cmd_stop", on=False)


def test_a_mode_by_a_pair_of_pulses_is_watched_and_its_pulse_goes_once() -> None:
    pair = row(
        "BO0", "cmd_mode_enable", unit="bool", feedback="mode_enabled", op="pulse", off_point="BO1"
    )
    on = switch_write(control_map(POWER, pair), "cmd_mode_enable", on=True)
    off = switch_write(control_map(POWER, pair), "cmd_mode_enable", on=False)
    assert (on.control, off.control) == (
        Control("BO0", CrobOp.PULSE_ON),
        Control("BO1", CrobOp.PULSE_ON),
    )
    assert (on.once, on.pulse) == (off.once, off.pulse) == (True, False)
    latched = switch_write(control_map(POWER, ENABLE), "cmd_mode_enable", on=True)
    assert (latched.once, latched.pulse) == (False, False)
