"""The claims of a command: integers and strings only, and exactly those of the schema."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.control.commands.command import Command, Verb, parse_command
from gateway.control.commands.reasons import Reason, Rejected
from tests.fixtures.commands import NOW, claims


def parse(**changes: Any) -> Command | Rejected:  # noqa: ANN401 - any claim
    return parse_command(json.dumps(claims(**changes)).encode())


def params(verb: str, **fields: Any) -> Command | Rejected:  # noqa: ANN401 - any parameter
    return parse(type=verb, params=fields)


def reason(found: Command | Rejected) -> Reason:
    assert isinstance(found, Rejected), found
    return found.reason


def test_every_claim_is_read() -> None:
    found = parse()
    assert isinstance(found, Command)
    assert (found.gateway, found.asset, found.seq, found.challenge) == ("gw-17", "bess-1", 42, 1812)
    assert (found.issued_ms, found.expires_ms) == (NOW.unix_ms - 1000, NOW.unix_ms + 59_000)


def test_charge_is_a_magnitude_and_becomes_negative_power() -> None:
    found = params("charge", powerW=500_000, durationS=60)
    assert isinstance(found, Command)
    assert found.power_w == -500_000
    found = params("discharge", powerW=500_000, durationS=60)
    assert isinstance(found, Command)
    assert found.power_w == 500_000


@pytest.mark.parametrize("verb", ["charge", "discharge"])
def test_a_negative_magnitude_is_rejected(verb: str) -> None:
    assert reason(params(verb, powerW=-1, durationS=60)) is Reason.PARAMS


def test_a_zero_duration_is_rejected() -> None:
    assert reason(params("setpoint", powerW=1, durationS=0)) is Reason.PARAMS
    assert reason(params("setpoint", powerW=1, durationS=86_401)) is Reason.PARAMS
    assert reason(params("setpoint", powerW=1)) is Reason.PARAMS


def test_a_nan_literal_is_rejected() -> None:
    for word in (b"NaN", b"Infinity", b"-Infinity"):
        raw = json.dumps(claims()).encode().replace(b"-750000", word)
        assert reason(parse_command(raw)) is Reason.MALFORMED


@pytest.mark.parametrize("value", [1.0, 1.5, 1e3, 1e400, True, None, "1", [1], {}])
@pytest.mark.parametrize("name", ["powerW", "durationS", "rampWPerS", "minSoc", "maxSoc"])
def test_a_parameter_that_is_no_integer_is_rejected(name: str, value: object) -> None:
    fields = {"powerW": 1, "durationS": 1} | {name: value}
    raw = json.dumps(claims(params=fields)).replace("Infinity", "1e400").encode()
    assert reason(parse_command(raw)) is Reason.PARAMS


@pytest.mark.parametrize("value", [1.0, True, None, "1", -1])
@pytest.mark.parametrize("name", ["challenge", "seq"])
def test_a_claim_that_is_no_integer_is_rejected(name: str, value: object) -> None:
    assert reason(parse(**{name: value})) is Reason.SCHEMA


@pytest.mark.parametrize("name", sorted(claims()))
def test_a_missing_claim_is_rejected(name: str) -> None:
    assert reason(parse(**{name: ...})) is Reason.SCHEMA


def test_an_unknown_claim_or_parameter_is_rejected() -> None:
    assert reason(parse(note="hello")) is Reason.SCHEMA
    assert reason(params("setpoint", powerW=1, durationS=1, force=1)) is Reason.PARAMS
    assert reason(params("idle", powerW=0)) is Reason.PARAMS
    assert reason(parse(params=[])) is Reason.PARAMS


def test_a_claim_that_is_there_twice_is_rejected() -> None:
    raw = json.dumps(claims()).encode().replace(b'"seq": 42', b'"seq": 42, "seq": 43')
    assert reason(parse_command(raw)) is Reason.MALFORMED


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22T05:10:00Z",
        "2026-11-22T05:10:00.25Z",
        "2026-11-22T05:10:00.250+00:00",
        "2026-13-22T05:10:00.250Z",
        "2026-11-22T05:10:60.250Z",
        "2026-11-22 05:10:00.250Z",
        "2026-11-22T05:10:00.250Z\n",
        1_795_324_200_000,
    ],
)
def test_a_time_that_is_not_rfc_3339_utc_with_milliseconds_is_rejected(text: object) -> None:
    assert reason(parse(issuedAt=text)) is Reason.SCHEMA


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", "01JD"),
        ("id", "81JD0000000000000000000000"),
        ("gateway", "gw 17"),
        ("session", "AA"),
        ("mapDigest", "sha256:AA"),
        ("mapDigest", "sha256:" + "A" * 64),
        ("gateway", "gw-17\n"),
        ("gateway", "\ud800"),
    ],
)
def test_text_of_another_shape_is_rejected(name: str, value: str) -> None:
    assert reason(parse(**{name: value})) is Reason.SCHEMA


def test_an_unknown_verb_is_unsupported() -> None:
    assert reason(parse(type="explode", params={})) is Reason.UNSUPPORTED


@pytest.mark.parametrize("verb", ["idle", "release", "arm", "disarm", "estop", "alarm_reset"])
def test_a_verb_without_parameters_takes_none(verb: str) -> None:
    found = params(verb)
    assert isinstance(found, Command)
    assert found.power_w is None


def test_only_withdrawing_verbs_need_neither_approval_nor_arming() -> None:
    withdraws = {verb for verb in Verb if verb.withdraws}
    assert withdraws == {Verb.IDLE, Verb.DISARM, Verb.RELEASE, Verb.ESTOP}


def test_a_reserve_is_0_to_100_percent_and_a_mode_has_a_name() -> None:
    found = params("reserve", percent=20)
    assert isinstance(found, Command)
    assert found.percent == 20
    assert reason(params("reserve", percent=101)) is Reason.PARAMS
    found = params("mode", name="enable")
    assert isinstance(found, Command)
    assert found.mode == "enable"
    assert reason(params("mode", name="a b")) is Reason.PARAMS


def test_a_window_of_charge_that_is_empty_is_rejected() -> None:
    found = params("setpoint", powerW=1, durationS=1, minSoc=50, maxSoc=50)
    assert reason(found) is Reason.PARAMS
    found = params("setpoint", powerW=1, durationS=1, minSoc=20, maxSoc=80, rampWPerS=1)
    assert isinstance(found, Command)
    assert (found.min_soc_pct, found.max_soc_pct, found.ramp_w_per_s) == (20, 80, 1)


def test_a_number_of_too_many_digits_is_malformed() -> None:
    raw = json.dumps(claims()).encode().replace(b"-750000", b"9" * 5000)
    assert reason(parse_command(raw)) is Reason.MALFORMED
