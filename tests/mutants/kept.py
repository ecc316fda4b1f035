"""What the fact keeps beside the rows of zero, and who is believed about it: section 7."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_CONTROLLER = "gateway/control/controller.py"
_BASE = "tests/unit/control/test_kept_base.py::"
_DECLARED = "tests/unit/control/test_declarations.py::"
_FORCE = "gateway/control/watchdog/force.py"
_WAITING = "tests/unit/control/test_waiting.py::"
_WITNESS = "tests/integration/audit/test_witness.py::"
_METER = "tests/unit/control/test_kept_meter.py::"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "what the disk refused to forget is forgotten only if power is still gone",
        _FORCE,
        "state = forget(state, effects) if gone else echoed(state, at)",
        "state = forget(state, effects)",
        "tests/unit/control/watchdog/test_force.py::"
        "test_what_is_tried_again_on_the_disk_looks_at_the_power_once_more",
    ),
    Mutant(
        "power is measured by the row that was kept",
        "gateway/control/asset_control.py",
        "controller.measure_by(owed.meter_beside(zero))",
        "controller.measure_by(None)",
        _METER + "test_a_map_that_points_power_elsewhere_verifies_nothing_by_it",
    ),
    Mutant(
        "the zero band is the smaller of old and new",
        _CONTROLLER,
        "min(held.zero_band_w, owed.meter.band_w)",
        "held.zero_band_w",
        _METER + "test_a_wider_dead_band_verifies_nothing_that_the_kept_one_would_not",
    ),
    Mutant(
        "the kept row has its own idle power",
        _CONTROLLER,
        "replace(held, idle_w=meter.idle_w)",
        "held",
        _METER + "test_the_idle_power_that_was_measured_by_the_kept_row_counts_with_it",
    ),
    Mutant(
        "a fact that does not say by what power is measured is measured by no other map",
        "gateway/control/watchdog/obligation.py",
        "None if self.map_digest == other.map_digest else UNKNOWN_METER",
        "None",
        _METER + "test_a_fact_that_does_not_say_it_is_measured_by_the_map_that_wrote_it_or_by_none",
    ),
    Mutant(
        "after a start our echo is of the percent that were written",
        "gateway/control/asset_control.py",
        "        controller.found_written(owed)\n",
        "",
        _BASE + "test_our_echo_of_the_last_run_is_ours_whatever_the_base_is_by_then",
    ),
    Mutant(
        "the least base of all that was written is kept",
        "gateway/control/sight.py",
        "self._ours = Base(*owed.least_base_w), owed.setpoint_w, writes",
        "self._ours = Base(*owed.base_w), owed.setpoint_w, writes",
        _BASE
        + "test_a_setpoint_that_was_said_anew_in_other_percent_is_ours_and_so_is_that_of_before",
    ),
    Mutant(
        "a setpoint that is said anew in other percent is kept",
        _CONTROLLER,
        "            self._force.say(of)\n",
        "            pass\n",
        _BASE + "test_a_base_that_moves_is_on_its_way_to_the_disk_before_the_frame",
    ),
    Mutant(
        "a dead-man test does not show a lower W than it took",
        "gateway/control/rules/readiness.py",
        " or not test.shows_deadman(deadman_s)",
        "",
        "tests/unit/control/test_asset_control.py::"
        "test_a_dead_man_that_was_slower_than_a_lowered_w_allows_is_not_tested_in_check_or_daemon",
    ),
    Mutant(
        "an older power command that waits does not follow a newer one",
        "gateway/control/intake.py",
        "self._supersede(admitted, now) + controller.accept(",
        "controller.accept(",
        _WAITING + "test_an_older_command_does_not_take_the_place_of_a_newer_one_that_was_approved",
    ),
    Mutant(
        "signers are judged again where a command is approved",
        "gateway/control/intake.py",
        "        if unsigned is not None:\n",
        "        if unsigned is None and unsigned is not None:\n",
        _WAITING + "test_a_signature_that_ran_out_while_it_waited_is_not_approved",
    ),
    Mutant(
        "an id is one command's at whatever battery",
        "gateway/control/fleet.py",
        "            register=self._register,\n",
        "            register=register_of(self._facts, now),\n",
        _WAITING + "test_an_id_is_one_commands_at_whatever_battery_and_over_a_reload_and_a_restart",
    ),
    Mutant(
        "what a reload ends is told so",
        "gateway/control/asset_control.py",
        "self.intake.stop(Cause.RELOAD, now)",
        "self.intake.stop(Cause.STOPPING, now)",
        _WAITING + "test_what_waits_when_a_reload_takes_its_battery_ends_and_says_so",
    ),
    Mutant(
        "what lasts and the audit log does not know counts",
        "gateway/control/fleet.py",
        "with_recalled(past.facts, past.recalled)",
        "dict(past.facts)",
        "tests/unit/control/test_recalled.py::"
        "test_an_older_copy_is_silent_and_zeros_what_it_does_not_know",
    ),
    Mutant(
        "what lasts is named before it is in the database",
        "gateway/audit/writer.py",
        "                self._witness.begin(facts)\n",
        "",
        _WITNESS + "test_what_an_older_copy_does_not_know_is_recalled_until_it_ends",
    ),
    Mutant(
        "what lasts is taken out behind the database",
        "gateway/audit/writer.py",
        "            self._witness.end(facts)\n",
        "",
        _WITNESS + "test_it_is_named_before_it_is_in_the_database_and_taken_out_behind_it",
    ),
    Mutant(
        "a declaration that is belied leads out of neither LATCHED nor ESTOP",
        _FORCE,
        "zero is demanded anyway\n        return state\n"
        "    return moves.to_idling(state, at, Cause.RESUMED, effects)",
        "zero is demanded anyway\n        return state\n"
        "    return anew(state, at, effects, leaves=True)",
        _DECLARED + "test_latched_and_estop_stay_until_a_reset",
    ),
    Mutant(
        "a declaration that is belied in IDLE is LATCHED",
        _FORCE,
        "    if state.phase in RESTING:\n        return revived(state, at, effects)\n"
        "    if state.phase is Phase.LOCAL:",
        "    if state.phase is Phase.LOCAL:",
        _DECLARED + "test_in_idle_it_is_latched_and_no_heartbeat_feeds_it",
    ),
    Mutant(
        "a declaration that is belied is blocked by other rows again",
        _FORCE,
        "blocked = state.declared_by_others",
        "blocked = False",
        _DECLARED + "test_other_rows_write_nothing_again_also_after_a_start",
    ),
    Mutant(
        "what was declared of another endpoint and is read here is in force here",
        _CONTROLLER,
        "if not declared and owed.endpoint != here.endpoint:",
        "if False:",
        _DECLARED
        + "test_what_was_declared_of_another_endpoint_is_in_force_here_if_it_is_read_here",
    ),
    Mutant(
        "power here says nothing of what was declared of another endpoint",
        _FORCE,
        "if state.declared and ours and not state.declared_elsewhere:",
        "if state.declared and ours:",
        _DECLARED + "test_power_at_another_endpoint_takes_no_declaration_back",
    ),
)
