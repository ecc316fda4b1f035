"""safety.toml: ranges, the rules between the times, who may sign, and the digest."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from gateway.config.safety import (
    Bounds,
    SafetySettings,
    SharedLimitSettings,
    ZeroPath,
    bounds,
    most_answer_s,
    slow,
)
from gateway.config.safety_reader import safety_settings
from gateway.config.toml import parse
from gateway.control.watchdog.terms import terms
from gateway.control.watchdog.words import HeartbeatForm, Terms
from gateway.errors import ConfigError

GOOD = """\
schema = "bess.safety/1"
approval = "dual"
approval_threshold_w = 250000

[watchdog]
lease_s = 30
idle_verify_s = 30
rtac_deadman_s = 15

[limits]
max_charge_w = 1500000
max_discharge_w = 1200000
min_soc_pct = 10
max_soc_pct = 95
ramp_w_per_s = 100000

[[trusted_key]]
kid = "ops-1"
role = ["dispatcher", "heartbeat"]
public_key_file = "keys/ops-1.pem"
not_after = 2027-12-31

[[trusted_key]]
kid = "boss-1"
role = ["approver", "emergency"]
public_key_file = "keys/boss-1.pem"
alg = "ES256"
not_before = 2026-01-01
not_after = 2027-12-31
revoked = false
"""
KEYS = {"ops-1": b"one", "boss-1": b"two"}


def load(
    text: str, *, response_s: float = 3.0, paths: dict[str, ZeroPath] | None = None
) -> SafetySettings:
    document = parse(text.encode(), file="safety.toml")
    timeouts_s = {"bess-1": response_s}
    folder = "/etc/bess-gateway"
    return safety_settings(document, folder=folder, response_timeouts_s=timeouts_s, paths=paths)


def faults(
    text: str, *, response_s: float = 3.0, paths: dict[str, ZeroPath] | None = None
) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(text, response_s=response_s, paths=paths)
    return str(caught.value).splitlines()


def test_a_whole_safety_file_loads_with_the_defaults_of_the_table() -> None:
    safety = load(GOOD)
    assert (safety.approval, safety.approval_threshold_w) == ("dual", 250_000)
    watchdog = safety.watchdog
    assert (watchdog.challenge_s, watchdog.heartbeat_s) == (5, 2)
    assert (watchdog.reversion_s, watchdog.reversion_refresh_s) == (60, 20)
    assert (watchdog.max_dispatch_s, watchdog.preempted) == (14_400, "yield")
    assert safety.limits.ramp_to_zero_s == 15
    ops, boss = safety.keys
    assert ops.public_key_file == "/etc/bess-gateway/keys/ops-1.pem"
    assert (ops.roles, ops.algorithm, ops.not_before_ms) == (("dispatcher", "heartbeat"), "", None)
    assert ops.not_after_ms == 1_830_297_600_000, "the last day counts to its end, UTC"
    assert (boss.algorithm, boss.not_before_ms) == ("ES256", 1_767_225_600_000)
    assert safety.risk is None


def test_a_risk_acceptance_is_named_and_dated() -> None:
    text = '\n[risk_acceptance]\nname = "J. Doe"\ndate = 2026-05-01\nreason = "no dead-man"\n'
    safety = load(GOOD + text)
    assert safety.risk is not None
    assert (safety.risk.name, safety.risk.date) == ("J. Doe", "2026-05-01")
    assert faults(GOOD + "\n[risk_acceptance]\n") == [
        (
            "safety.toml:32: [risk_acceptance] date is missing: "
            "must be a date such as 2027-12-31, without quotes"
        ),
        "safety.toml:32: [risk_acceptance] name is missing: must be a non-empty string",
        "safety.toml:32: [risk_acceptance] reason is missing: must be a non-empty string",
    ]


@pytest.mark.parametrize(
    ("path", "cloud_dead_s", "read_dropped_s"),
    [
        (ZeroPath(3.0), 36.25, 39.25),
        (ZeroPath(3.0, controls=2), 39.25, 48.25),
        (ZeroPath(3.0, sbo=True), 42.25, 42.25),
        (ZeroPath(3.0, controls=2, sbo=True), 48.25, 54.25),
        (ZeroPath(0.5, controls=2, sbo=True), 33.25, 34.25),
        (ZeroPath(3.0, controls=2, connect_s=1.5), 39.25, 51.25),
    ],
)
def test_the_bounds_follow_from_how_zero_gets_to_the_rtac(
    path: ZeroPath, cloud_dead_s: float, read_dropped_s: float
) -> None:
    found = bounds(load(GOOD).watchdog, replace(path, reversion=True))
    r = path.response_s
    assert found == Bounds(cloud_dead_s, read_dropped_s, 16 + r, 76.25 + r, 60 + r)
    selected = bounds(load(GOOD).watchdog, replace(path, reversion=True, beat_sbo=True))
    assert selected == replace(found, refused_s=76.25 + 2 * r), (
        "SELECT and OPERATE of the last beat"
    )


def test_what_the_map_has_no_means_for_has_no_bound() -> None:
    found = bounds(load(GOOD).watchdog, ZeroPath(3.0, dead_man=False))
    assert found == Bounds(36.25, 39.25, None, None, None)


@pytest.mark.parametrize(
    ("path", "least_s"),
    [
        (ZeroPath(3.0), 15),
        (ZeroPath(3.0, reads=3), 21),
        (ZeroPath(3.0, controls=2), 21),
        (ZeroPath(3.0, sbo=True), 24),
        (ZeroPath(3.0, controls=2, sbo=True), 36),
    ],
)
def test_v_must_be_enough_for_the_map_of_each_asset(path: ZeroPath, least_s: float) -> None:
    assert path.least_verify_s == least_s
    quick = GOOD.replace("ramp_w_per_s = 100000", "ramp_w_per_s = 1000000")
    enough = quick.replace("idle_verify_s = 30", f"idle_verify_s = {least_s}")
    assert load(enough, paths={"bess-1": path}).watchdog.idle_verify_s == least_s
    short = quick.replace("idle_verify_s = 30", f"idle_verify_s = {least_s - 0.1:g}")
    (found,) = faults(short, paths={"bess-1": path})
    assert found.startswith(
        f"safety.toml:7: [watchdog] idle_verify_s = {least_s - 0.1:g}: must be at least "
        f"{least_s} seconds for asset 'bess-1'"
    )
    assert path.text in found
    assert "bound C" in found
    assert load(short.replace('"dual"', '"monitor"'), paths={"bess-1": path})


def test_all_assets_together_may_have_a_limit_each_way() -> None:
    text = GOOD.replace(
        "[[trusted_key]]", "[limits.site]\nmax_discharge_w = 9e5\n\n[[trusted_key]]", 1
    )
    shared = load(text).limits.site
    assert shared is not None
    assert shared == SharedLimitSettings(max_charge_w=None, max_discharge_w=900_000)
    charge_w, discharge_w = shared.most_w
    assert math.isinf(charge_w)
    assert discharge_w == 900_000
    assert load(GOOD).limits == replace(load(text).limits, site=None)
    assert load(text).digest(KEYS) != load(GOOD).digest(KEYS)
    (found,) = faults(text.replace("max_discharge_w = 9e5\n", ""))
    assert "must be max_charge_w, max_discharge_w, or both" in found
    (found,) = faults(text.replace("= 9e5", "= -1"))
    assert "[limits.site] max_discharge_w = -1: must be 0..10000000000 W" in found


def test_the_rate_of_power_commands_has_a_range() -> None:
    limits = load(GOOD).limits
    assert (limits.command_interval_s, limits.commands_per_5_min) == (2, 30)
    line = "ramp_w_per_s = 100000\n"
    fast = line + "command_interval_s = 4\ncommands_per_5_min = 75\n"
    limits = load(GOOD.replace(line, fast)).limits
    assert (limits.command_interval_s, limits.commands_per_5_min) == (4, 75)
    for old, new, allowed in (
        ("= 4\n", "= 0.9\n", "command_interval_s = 0.9: must be 1..60 seconds"),
        ("= 4\n", "= 61\n", "command_interval_s = 61: must be 1..60 seconds"),
        ("= 75", "= 0", "commands_per_5_min = 0: must be a whole number, 1..150 commands"),
        ("= 75", "= 151", "must be a whole number, 1..150 commands"),
        ("= 75", "= 7.5", "must be a whole number, 1..150 commands"),
    ):
        (found,) = faults(GOOD.replace(line, fast.replace(old, new)))
        assert allowed in found


def test_no_mode_and_no_reserve_is_allowed_where_none_is_listed() -> None:
    limits = load(GOOD).limits
    assert (limits.modes, limits.reserve_pct) == ((), None)
    line = "ramp_w_per_s = 100000\n"
    listed = line + 'modes = ["peak", "enable"]\nreserve_min_pct = 10\nreserve_max_pct = 80\n'
    limits = load(GOOD.replace(line, listed)).limits
    assert (limits.modes, limits.reserve_pct) == (("enable", "peak"), (10, 80))
    other = listed.replace('"peak", "enable"', '"enable", "peak"')
    digest = load(GOOD.replace(line, listed)).digest(KEYS)
    assert load(GOOD.replace(line, other)).digest(KEYS) == digest, "their order says nothing"
    assert load(GOOD).digest(KEYS) != digest
    for old, new, said in (
        ('"peak"', '"enable"', "[limits] modes = ['enable', 'enable']: must be an array of names"),
        ('["peak", "enable"]', '"peak"', "modes = 'peak': must be an array of strings"),
        ("reserve_max_pct = 80\n", "", "reserve_max_pct is missing: must be there where"),
        ("reserve_min_pct = 10\n", "", "reserve_min_pct is missing: must be there where"),
        ("pct = 80", "pct = 101", "reserve_max_pct = 101: must be 10..100 %"),
        ("pct = 80", "pct = 9", "reserve_max_pct = 9: must be 10..100 %"),
    ):
        (found,) = faults(GOOD.replace(line, listed.replace(old, new)))
        assert said in found


def test_approval_and_the_watchdogs_three_times_have_no_default() -> None:
    found = faults('schema = "bess.safety/1"\n[watchdog]\n[limits]\n')
    missing = [line.split(": must")[0] for line in found if "is missing" in line]
    assert missing == [
        "safety.toml:1: approval is missing",
        "safety.toml:2: [watchdog] lease_s is missing",
        "safety.toml:2: [watchdog] rtac_deadman_s is missing",
        "safety.toml:2: [watchdog] idle_verify_s is missing",
        *(
            f"safety.toml:3: [limits] {key} is missing"
            for key in ("min_soc_pct", "max_soc_pct", "max_charge_w", "max_discharge_w")
        ),
        "safety.toml:3: [limits] ramp_w_per_s is missing",
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('approval = "dual"', 'approval = "none"', "one of dual, envelope, local, monitor"),
        ("approval_threshold_w = 250000", "approval_threshold_w = -1", "0..10000000000 W"),
        ("lease_s = 30", "lease_s = 9", "must be 10..300 seconds"),
        ("lease_s = 30", "lease_s = 301", "must be 10..300 seconds"),
        ("lease_s = 30", "lease_s = nan", "must be 10..300 seconds"),
        ("rtac_deadman_s = 15", "rtac_deadman_s = 61", "must be 5..60 seconds"),
        ("lease_s = 30", "lease_s = 30\nmax_dispatch_s = 86401", "must be 1..86400 seconds"),
        ("lease_s = 30", 'lease_s = 30\npreempted = "fight"', "one of reassert_idle, yield"),
        ("lease_s = 30", "lease_s = 30\nlease = 4", "lease is unknown: allowed are"),
        (
            "lease_s = 30",
            "lease_s = 30\nchallenge_s = 11",
            "at most 10 seconds, lease_s / 3: bound A",
        ),
        ("lease_s = 30", "lease_s = 30\nheartbeat_s = 6", "at most 5 seconds, rtac_deadman_s / 3"),
        ("lease_s = 30", "lease_s = 30\nheartbeat_s = 6", "bound B"),
        ("lease_s = 30", "lease_s = 30\nreversion_refresh_s = 21", "reversion_s / 3: bound D"),
        ("idle_verify_s = 30", "idle_verify_s = 20.9", "at least 21 seconds, twice the response"),
        ("idle_verify_s = 30", "idle_verify_s = 20.9", "bound C"),
        ("ramp_w_per_s = 100000", "ramp_w_per_s = 10000", "plus the ramp to zero (150 s)"),
        ("max_soc_pct = 95", "max_soc_pct = 11", "at least min_soc_pct + 2 = 12 %"),
        ("max_charge_w = 1500000", 'max_charge_w = "1500 kW"', "must be 0..10000000000 W"),
        ('kid = "ops-1"', 'kid = "boss-1"', "already used in line 18"),
        ("keys/boss-1.pem", "keys/ops-1.pem", "is the key of 'ops-1' already"),
        ('"approver", "emergency"', '"emergency"', "no [[trusted_key]] has role 'approver'"),
        ('"dispatcher", "heartbeat"', '"dispatcher"', "no [[trusted_key]] has role 'heartbeat'"),
        ("revoked = false", "revoked = true", "no [[trusted_key]] has role 'approver'"),
        ('"approver", "emergency"', '"boss"', "one or more of dispatcher, approver"),
        ("not_after = 2027-12-31\n\n", 'not_after = "2027-12-31"\n\n', "a date such as 2027-12-31"),
        ("not_before = 2026-01-01", "not_before = 2028-01-01", "must be not after not_after"),
        ('alg = "ES256"', 'alg = "none"', "one of ES256, EdDSA"),
    ],
)
def test_a_fault_says_what_was_found_what_is_allowed_and_which_bound_breaks(
    old: str, new: str, message: str
) -> None:
    assert GOOD.count(old) >= 1
    found = faults(GOOD.replace(old, new, 1))
    assert any(message in line for line in found), found
    assert all(line.startswith("safety.toml:") for line in found)


def test_one_key_cannot_be_dispatcher_and_approver_at_once() -> None:
    alone = GOOD[: GOOD.rindex("[[trusted_key]]")]
    text = alone.replace('"heartbeat"]', '"heartbeat", "approver"]')
    assert faults(text) == [
        "safety.toml:2: approval = 'dual': the dispatcher and the approver must be different keys"
    ]


def test_monitoring_needs_no_keys() -> None:
    text = GOOD[: GOOD.index("[[trusted_key]]")].replace('"dual"', '"monitor"')
    assert load(text).keys == ()


def test_a_response_timeout_of_the_site_outside_its_range_is_a_fault_of_control() -> None:
    found = faults(GOOD, response_s=0.5)
    assert "must be 1..10 seconds (bound A)" in found[0]
    assert "asset 'bess-1'" in found[0]


def test_every_fault_is_told_at_once() -> None:
    text = GOOD.replace("lease_s = 30", "lease_s = 3").replace("= 95", "= 195")
    assert len(faults(text.replace('"ES256"', '"RS256"'))) >= 3


def test_the_digest_covers_every_setting_and_every_key_but_not_where_the_file_lies() -> None:
    digest = load(GOOD).digest(KEYS)
    assert digest.startswith("sha256:")
    assert len(digest) == 71
    assert load(GOOD.replace("# x", "")).digest(KEYS) == digest
    assert load(GOOD.replace("lease_s = 30", "lease_s = 30.0")).digest(KEYS) == digest
    assert load(GOOD.replace("keys/ops-1", "other/ops-1")).digest(KEYS) == digest
    assert load(GOOD.replace("lease_s = 30", "lease_s = 31")).digest(KEYS) != digest
    assert load(GOOD.replace('"emergency"', '"config"')).digest(KEYS) != digest
    assert load(GOOD).digest({**KEYS, "ops-1": b"exchanged"}) != digest


def test_the_watchdogs_terms_are_put_together_from_file_and_map() -> None:
    settings = load(GOOD).watchdog
    found = terms(
        settings,
        response_s=3.0,
        heartbeat=HeartbeatForm.COUNTER,
        reversion=True,
        tolerance_w=9.0,
        nameplate_w=2e6,
        dead_band_w=0.0,
        ramp_s=6.0,
    )
    wanted = Terms(reversion=True, tolerance_w=9.0, zero_band_w=2e5, settle_s=36.0)
    assert found == wanted


def test_zero_is_narrower_once_the_idle_power_was_measured() -> None:
    found = terms(
        load(GOOD).watchdog,
        response_s=3.0,
        heartbeat=HeartbeatForm.COUNTER,
        reversion=False,
        tolerance_w=9.0,
        nameplate_w=2e6,
        dead_band_w=0.0,
        ramp_s=6.0,
        idle_w=-2e4,
    )
    assert (found.idle_w, found.zero_band_w) == (-2e4, 1e5)


def test_where_outputs_are_selected_first_answers_must_be_shorter() -> None:
    assert most_answer_s(1, 15.0, sbo=False) == 2.5
    assert most_answer_s(1, 15.0, sbo=True) == 1.5
    assert slow(1.5, 1, 15.0, sbo=True) == ""
    assert "5 a at most W / 2 = 7.5 s" in slow(1.6, 1, 15.0, sbo=True)
    assert slow(1.6, 1, 15.0, sbo=False) == ""
