"""Why control is off: every reason alone, their order, and what commissioning leaves on record."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.checked import Safety
from gateway.config.safety_reader import safety_settings
from gateway.config.toml import parse
from gateway.config.truststore import trust_store
from gateway.control.rules import readiness
from gateway.control.rules.readiness import Commissioned, Proof, Standing, reasons, warnings
from gateway.control.watchdog.words import HeartbeatForm
from gateway.points.pointmap import PointsMap, control_refusals, raw_map
from tests.fixtures.commands import signer
from tests.fixtures.safetyfiles import ALGORITHMS, GOOD
from tests.fixtures.shippedmaps import shipped

NOW_MS = 1_795_324_200_000  # 2026-11-22
DAY_MS = 86_400_000
RISK = '[risk_acceptance]\nname = "J. Doe"\ndate = {}\nreason = "a person stands by"\n'


def safety(text: str = GOOD) -> Safety:
    """What ``load_safety`` makes of ``text``, without files."""
    document = parse(text.encode(), file="safety.toml")
    found = safety_settings(document, folder="/x", response_timeouts_s={})
    pems = {key.kid: signer(key.kid, ALGORITHMS[key.kid]).public_pem for key in found.keys}
    return Safety(found, trust_store(found.keys, pems), found.digest(pems))


MAP = shipped("generic-rtac@1.0.0")
SAFETY = safety()


def without(points_map: PointsMap, *roles: str) -> PointsMap:
    """The map without the rows of ``roles``."""
    return replace(
        points_map, points=tuple(row for row in points_map.points if row.role not in roles)
    )


def standing(**changes: Any) -> Standing:  # noqa: ANN401 - any field
    """An asset whose control may be on, with ``changes``; fully commissioned for its map."""
    points_map = changes.get("points_map", MAP)
    digest = (changes.get("safety", SAFETY) or SAFETY).digest
    proof = Proof(points_map.digest, NOW_MS - DAY_MS)
    ready: dict[str, Any] = {
        "safety": SAFETY,
        "safety_faulty": False,
        "points_map": points_map,
        "matched": True,
        "commissioned": Commissioned(digest, proof, proof),
        "now_ms": NOW_MS,
        "latest_ms": NOW_MS - 1000,
        "log_lost": False,
    }
    return Standing(**(ready | changes))


def test_a_commissioned_asset_has_no_reason_and_no_warning() -> None:
    assert reasons(standing()) == ()
    assert warnings(standing()) == ()


def commissioned(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - any field
    return {"commissioned": replace(standing().commissioned, **changes)}


ELSEWHERE = Proof("sha256:" + "0" * 64, NOW_MS - DAY_MS)
NO_LAYER = without(MAP, "cmd_heartbeat", "cmd_reversion_s")
TIMED = replace(  # its output for the heartbeat is a reversion timer
    MAP,
    points=tuple(
        replace(row, role="cmd_reversion_s", unit="s") if row.role == "cmd_heartbeat" else row
        for row in MAP.points
    ),
)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"safety": None}, ("SAFETY_CONFIG_MISSING",)),
        ({"safety": None, "safety_faulty": True}, ("SAFETY_CONFIG_INVALID",)),
        ({"safety": safety(GOOD.replace('"dual"', '"monitor"'))}, ("APPROVAL_MONITOR",)),
        ({"matched": False}, ("MAP_UNMATCHED",)),
        ({"points_map": without(MAP, "soc")}, ("MAP_REFUSES_CONTROL",)),
        ({"points_map": NO_LAYER}, ("NO_DEADMAN",)),
        ({"now_ms": readiness.FIRST_MS - 1, "latest_ms": None}, ("CLOCK_NOT_SANE",)),
        ({"latest_ms": NOW_MS + 5001}, ("CLOCK_NOT_SANE",)),
        (commissioned(acknowledged=None), ("SAFETY_NOT_ACKNOWLEDGED",)),
        (commissioned(acknowledged="sha256:" + "1" * 64), ("SAFETY_NOT_ACKNOWLEDGED",)),
        (commissioned(sign_test=None), ("SIGN_TEST_MISSING",)),
        (commissioned(sign_test=ELSEWHERE), ("SIGN_TEST_MISSING",)),
        (commissioned(deadman_test=None), ("DEADMAN_TEST_MISSING",)),
        (commissioned(deadman_test=ELSEWHERE), ("DEADMAN_TEST_MISSING",)),
        (
            commissioned(deadman_test=Proof(MAP.digest, NOW_MS - 400 * DAY_MS)),
            ("DEADMAN_TEST_EXPIRED",),
        ),
        (commissioned(deadman_test=Proof(MAP.digest, NOW_MS + 5001)), ("DEADMAN_TEST_MISSING",)),
        (commissioned(disabled_by="ann"), ("DISABLED_BY_OPERATOR",)),
        ({"log_lost": True}, ("CONTROL_LOG_LOST",)),
    ],
)
def test_each_reason_alone_keeps_control_off(
    changes: dict[str, Any], found: tuple[str, ...]
) -> None:
    start = {"now_ms": NOW_MS} | changes
    if start["now_ms"] < NOW_MS:  # tests of that time
        proof = Proof(MAP.digest, start["now_ms"])
        start["commissioned"] = Commissioned(SAFETY.digest, proof, proof)
    assert reasons(standing(**start)) == found


def test_keys_that_expired_or_are_revoked_or_not_valid_yet_leave_nobody_in_the_role() -> None:
    end_ms = SAFETY.settings.keys[0].not_after_ms
    assert reasons(standing(now_ms=end_ms - 1, **renewed(end_ms))) == ()
    assert reasons(standing(now_ms=end_ms, **renewed(end_ms))) == (
        "NO_DISPATCHER_KEY",
        "NO_APPROVER_KEY",
        "NO_HEARTBEAT_KEY",
    )
    later = safety(GOOD + "not_before = 2027-01-01\n")
    assert reasons(standing(safety=later)) == ("NO_HEARTBEAT_KEY",)
    assert warnings(standing(safety=later)) == (
        "key pulse-1 is not valid yet: what it signs is refused",
    )
    other = '[[trusted_key]]\nkid = "guard-1"\nrole = ["heartbeat"]\n'
    other += 'public_key_file = "keys/guard-1.pem"\nnot_after = 2027-12-31\n'
    revoked = safety(GOOD + "revoked = true\n" + other)
    assert reasons(standing(safety=revoked)) == ()
    assert warnings(standing(safety=revoked)) == (
        "key pulse-1 is revoked: what it signs is refused",
    )


def renewed(now_ms: int) -> dict[str, Any]:
    """Commissioned just before ``now_ms``."""
    proof = Proof(MAP.digest, now_ms - DAY_MS)
    return {"commissioned": Commissioned(SAFETY.digest, proof, proof)}


def test_an_approver_is_asked_for_where_two_must_sign() -> None:
    text = GOOD.replace('"dual"', '"envelope"')
    expired = text.replace("2027-12-31", "2026-11-21", 2)
    assert reasons(standing(safety=safety(expired))) == ("NO_DISPATCHER_KEY",)
    expired = GOOD.replace("2027-12-31", "2026-11-21", 2)
    assert reasons(standing(safety=safety(expired))) == ("NO_DISPATCHER_KEY", "NO_APPROVER_KEY")


def test_without_a_good_safety_file_only_that_an_operator_and_a_lost_log_are_named() -> None:
    nothing = Commissioned(disabled_by="ann")
    bare = standing(safety=None, points_map=raw_map(), matched=False, commissioned=nothing)
    assert reasons(bare) == ("SAFETY_CONFIG_MISSING", "DISABLED_BY_OPERATOR")
    assert reasons(replace(bare, log_lost=True, safety_faulty=True)) == (
        "SAFETY_CONFIG_INVALID",
        "DISABLED_BY_OPERATOR",
        "CONTROL_LOG_LOST",
    )


def test_all_reasons_come_in_one_order() -> None:
    text = GOOD.replace('"dual"', '"monitor"').replace("2027-12-31", "2026-11-21")
    worst = standing(
        safety=safety(text),
        points_map=raw_map(),
        matched=False,
        commissioned=Commissioned(disabled_by="ann"),
        latest_ms=NOW_MS + DAY_MS,
        log_lost=True,
    )
    assert reasons(worst) == (
        "APPROVAL_MONITOR",
        "NO_DISPATCHER_KEY",
        "NO_HEARTBEAT_KEY",
        "MAP_UNMATCHED",
        "MAP_REFUSES_CONTROL",
        "NO_DEADMAN",
        "CLOCK_NOT_SANE",
        "SAFETY_NOT_ACKNOWLEDGED",
        "SIGN_TEST_MISSING",
        "DISABLED_BY_OPERATOR",
        "CONTROL_LOG_LOST",
    )


def test_a_named_risk_acceptance_lifts_the_missing_dead_man_from_its_day_on() -> None:
    accepted = standing(safety=safety(GOOD + RISK.format("2026-11-22")), points_map=NO_LAYER)
    assert reasons(accepted) == ()
    assert "NO_DEADMAN" in reasons(replace(accepted, now_ms=NOW_MS - DAY_MS))


def test_the_missing_dead_man_is_the_only_refusal_of_a_map_that_can_be_accepted() -> None:
    assert len(control_refusals(NO_LAYER)) == 1
    assert readiness.map_refusals(NO_LAYER) == ()
    bare = without(NO_LAYER, "soc")
    assert len(control_refusals(bare)) == 2
    assert readiness.map_refusals(bare) == ("M17 control needs a point with the role soc",)
    accepted = safety(GOOD + RISK.format("2026-01-01"))
    assert reasons(standing(safety=accepted, points_map=bare)) == ("MAP_REFUSES_CONTROL",)


def test_a_map_with_a_reversion_timer_and_no_heartbeat_needs_no_dead_man_test() -> None:
    assert readiness.has_reversion(TIMED)
    assert not readiness.dead_man_testable(TIMED)
    proof = Proof(TIMED.digest, NOW_MS)
    done = Commissioned(SAFETY.digest, sign_test=proof)
    assert reasons(standing(points_map=TIMED, commissioned=done)) == ()
    assert reasons(standing(points_map=MAP, commissioned=done)) == (
        "SIGN_TEST_MISSING",
        "DEADMAN_TEST_MISSING",
    )


def test_a_map_that_changed_asks_for_both_tests_again() -> None:
    changed = replace(MAP, revision="1.0.1")
    assert reasons(replace(standing(), points_map=changed)) == (
        "SIGN_TEST_MISSING",
        "DEADMAN_TEST_MISSING",
    )


@pytest.mark.parametrize(
    ("days", "off", "warned"), [(329, (), 0), (330, (), 1), (399, (), 1), (400, ("X",), 0)]
)
def test_a_dead_man_test_warns_at_330_days_and_ends_control_at_400(
    days: int, off: tuple[str, ...], warned: int
) -> None:
    old = standing(**commissioned(deadman_test=Proof(MAP.digest, NOW_MS - days * DAY_MS)))
    assert reasons(old) == (("DEADMAN_TEST_EXPIRED",) if off else ())
    text = f"the dead-man test is {days} days old: control goes off at 400"
    assert warnings(old) == (text,) * warned


def test_a_clock_may_be_five_seconds_behind_the_newest_row() -> None:
    assert reasons(standing(latest_ms=NOW_MS + 5000)) == ()
    assert reasons(standing(latest_ms=None)) == ()


def test_the_heartbeat_is_a_counter_unless_the_rtacs_own_counter_is_its_feedback() -> None:
    assert readiness.heartbeat_kind(MAP) is HeartbeatForm.COUNTER
    assert readiness.heartbeat_kind(TIMED) is HeartbeatForm.NONE
    rows = tuple(
        replace(row, feedback="der_heartbeat") if row.role == "cmd_heartbeat" else row
        for row in MAP.points
    )
    assert readiness.heartbeat_kind(replace(MAP, points=rows)) is HeartbeatForm.ECHO


def test_what_was_proved_is_read_again_from_the_facts() -> None:
    proof, other = Proof(MAP.digest, NOW_MS), Proof("sha256:ab", 3)
    facts = {
        **readiness.fact_of_acknowledgement("bess-1", SAFETY.digest),
        **readiness.fact_of_sign_test("bess-1", proof),
        **readiness.fact_of_deadman_test("bess-1", other),
        **readiness.fact_of_disabled("bess-1", "ann"),
    }
    kept = {key: value for key, value in facts.items() if value is not None}
    assert set(kept) == {
        "bess-1/acknowledged",
        "bess-1/sign-test",
        "bess-1/deadman-test",
        "bess-1/disabled",
    }
    read = readiness.commissioned(kept, "bess-1")
    assert read == Commissioned(SAFETY.digest, proof, other, "ann")
    assert readiness.commissioned(kept, "bess") == Commissioned()
    assert readiness.fact_of_enabled("bess-1") == {"bess-1/disabled": None}


@pytest.mark.parametrize(
    "fact",
    [
        "",
        "x",
        "[]",
        "{}",
        "null",
        '{"map":"a"}',
        '{"map":1,"at":2}',
        '{"map":"a","at":true}',
        '{"map":"a","at":2.0}',
        '{"map":"a","at":-1}',
        '{"map":"a","at":1,"at":2}',
        '{"safety":7}',
        "\ud800",
    ],
)
def test_a_malformed_fact_counts_as_absent_and_a_malformed_disable_as_disabled(fact: str) -> None:
    names = ("acknowledged", "sign-test", "deadman-test")
    facts = {f"bess-1/{name}": fact for name in names}
    assert readiness.commissioned(facts, "bess-1") == Commissioned()
    found = readiness.commissioned({"bess-1/disabled": fact}, "bess-1")
    assert found == Commissioned(disabled_by="unknown")


@given(st.dictionaries(st.sampled_from(["sign-test", "deadman-test", "acknowledged"]), st.text()))
def test_no_fact_raises(facts: dict[str, str]) -> None:
    readiness.commissioned({f"bess-1/{name}": text for name, text in facts.items()}, "bess-1")
