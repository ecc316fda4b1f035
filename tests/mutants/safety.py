"""The rules of safety.toml, and those by which the package stays while power may be in force."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_RULES = "gateway/config/safety_rules.py"
_SAFETY = "gateway/config/safety.py"
_READER = "gateway/config/safety_reader.py"
_IN_FORCE = "gateway/cli/in_force.py"
_FAULT = "test_a_fault_says_what_was_found_what_is_allowed_and_which_bound_breaks"


def _rule(rule: str, old: str, new: str, test: str = _FAULT, *, file: str = _RULES) -> Mutant:
    return Mutant(rule, file, old, new, f"tests/unit/config/test_safety.py::{test}")


def _stays(rule: str, old: str, new: str, test: str, *, file: str = _IN_FORCE) -> Mutant:
    return Mutant(rule, file, old, new, f"tests/integration/cli/test_in_force.py::{test}")


def _checked(rule: str, old: str, new: str, test: str, *, file: str = _RULES) -> Mutant:
    return Mutant(rule, file, old, new, f"tests/integration/cli/test_safety_check.py::{test}")


MUTANTS = (
    _rule(
        "challenge period <= L / 3",
        '    at_most("challenge_s", watchdog.challenge_s, third_s, why)\n',
        "",
    ),
    _rule(
        "RTAC heartbeat period <= W / 3",
        '    at_most("heartbeat_s", watchdog.heartbeat_s, silent_s, why)\n',
        "",
    ),
    _rule(
        "reversion refresh <= reversion / 3",
        "        if found_s > limit_s:",
        '        if found_s > limit_s and key != "reversion_refresh_s":',
    ),
    _rule(
        "V >= 2 r + ramp to zero",
        "if watchdog.idle_verify_s < least_s:",
        "if False:",
    ),
    _rule(
        "the ramp counts in V",
        "least_s = 2 * response_s + ramp_s",
        "least_s = 2 * response_s",
    ),
    _rule(
        "V is enough for each asset's map",
        "if watchdog.idle_verify_s < path.least_verify_s:",
        "if False:",
        "test_v_must_be_enough_for_the_map_of_each_asset",
    ),
    _rule(
        "a zero is written twice within V",
        "return self.underway_s + 2 * self.zero_s +",
        "return self.underway_s + self.zero_s +",
        "test_v_must_be_enough_for_the_map_of_each_asset",
        file=_SAFETY,
    ),
    _rule(
        "the last heartbeat is selected and operated",
        "beat_s = (2 if path.beat_sbo else 1) * response_s",
        "beat_s = response_s",
        "test_the_bounds_follow_from_how_zero_gets_to_the_rtac",
        file=_SAFETY,
    ),
    _rule(
        "a zero of two points takes twice as long",
        "return self.controls * self.control_s",
        "return self.control_s",
        "test_the_bounds_follow_from_how_zero_gets_to_the_rtac",
        file=_SAFETY,
    ),
    _rule(
        "select before operate takes twice as long",
        "return (2 if self.sbo else 1) * self.response_s",
        "return self.response_s",
        "test_the_bounds_follow_from_how_zero_gets_to_the_rtac",
        file=_SAFETY,
    ),
    _rule(
        "a read that is dropped counts",
        "return self.controls * (wait_s + connect_s + self.response_s)",
        "return self.response_s",
        "test_the_bounds_follow_from_how_zero_gets_to_the_rtac",
        file=_SAFETY,
    ),
    _checked(
        "a heartbeat and a critical read fit into W / 3 as timed",
        "if deadman_s < least_s:",
        "if False:",
        "test_times_that_the_rtac_was_seen_not_to_keep_are_faults_with_their_line",
    ),
    _checked(
        "what is read stays fresh at the answers that were timed",
        "if answer_s > FRESH_S / (5 + reads):",
        "if False:",
        "test_times_that_the_rtac_was_seen_not_to_keep_are_faults_with_their_line",
    ),
    _checked(
        "nothing counts as dropped where a new connection takes longer",
        "if connect_s > wait_s:",
        "if False:",
        "test_where_a_new_connection_takes_longer_than_a_zero_waits_nothing_is_dropped",
        file=_SAFETY,
    ),
    Mutant(
        "a split map's zero is two controls",
        "gateway/control/rules/zero_path.py",
        "controls=2 if split else 1,",
        "controls=1,",
        "tests/unit/control/rules/test_zero_path.py::test_what_a_map_means_for_the_bounds",
    ),
    _rule(
        "r inside its range",
        "if not 1 <= response_s <= 10:",
        "if False:",
        "test_a_response_timeout_of_the_site_outside_its_range_is_a_fault_of_control",
    ),
    _rule("key ids are unique", "if key.kid and key.kid in lines:", "if False:"),
    _rule(
        "keys are unique",
        "if key.public_key_file and other != key.kid:",
        "if False:",
    ),
    _rule(
        "each role that approval needs has a key",
        "if not any(role in key.roles and not key.revoked for key in keys):",
        "if False:",
    ),
    _rule(
        "a revoked key fills no role",
        "if not any(role in key.roles and not key.revoked for key in keys):",
        "if not any(role in key.roles for key in keys):",
    ),
    _rule(
        "dual means two keys",
        'if approval == "dual" and not _two_signers(keys):',
        "if False:",
        "test_one_key_cannot_be_dispatcher_and_approver_at_once",
    ),
    _rule(
        "the digest covers the keys",
        "hashlib.sha256(public_keys[key.kid]).hexdigest()",
        '""',
        "test_the_digest_covers_every_setting_and_every_key_but_not_where_the_file_lies",
        file=_SAFETY,
    ),
    _rule(
        "the window of the state of charge is not empty",
        "if not min_soc_pct + 2 <= max_soc_pct and",
        "if False and",
        file=_READER,
    ),
    Mutant(
        "what an older version left open keeps the package",
        _IN_FORCE,
        "sorted(begun | assets_in_force(facts))",
        "sorted(assets_in_force(facts))",
        "tests/unit/cli/test_in_force.py",
    ),
    _stays(
        "a log that is gone keeps the package",
        'if has_kept(path.with_name("control.lock")):',
        "if False:",
        "test_a_log_that_is_gone_is_not_nothing",
    ),
    _stays(
        "a log that was begun anew keeps the package",
        "if not found and TROUBLE in facts:",
        "if False:",
        "test_a_log_that_was_begun_anew_says_so_until_an_operator_has_judged",
    ),
    _stays(
        "facts that were changed keep the package",
        'if self._mark("facts") != f"{seal_of(found):x}":',
        "if False:",
        "test_facts_that_were_changed_or_are_of_another_version_are_not_nothing",
        file="gateway/audit/reader.py",
    ),
    _rule(
        "selected outputs need shorter answers",
        "turns = 1 + 2 * (2 if sbo else 1)",
        "turns = 3",
        "test_where_outputs_are_selected_first_answers_must_be_shorter",
        file=_SAFETY,
    ),
)
