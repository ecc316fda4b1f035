"""Answers to challenges: genuine and about this boot, or worth nothing."""

from __future__ import annotations

import json

import pytest

from gateway.config.truststore import KeyRole
from gateway.control.commands.heartbeat import HeartbeatAnswer, verify_heartbeat
from gateway.control.commands.reasons import Reason, Rejected
from tests.fixtures.commands import (
    NOW,
    OPS,
    PULSE,
    SESSION,
    STRANGER,
    b64,
    claims,
    heartbeat,
    signed,
    trust,
)


def check(raw: bytes, *, retained: bool = False) -> HeartbeatAnswer | Rejected:
    return verify_heartbeat(raw, trust(), NOW, gateway="gw-17", session=SESSION, retained=retained)


def reason(raw: bytes, *, retained: bool = False) -> Reason:
    found = check(raw, retained=retained)
    assert isinstance(found, Rejected), "it was taken"
    return found.reason


def test_a_signed_answer_says_which_challenge_it_answers() -> None:
    assert check(heartbeat()) == HeartbeatAnswer(1812, "pulse-1")


def test_a_forged_answer_is_rejected() -> None:
    outer = json.loads(heartbeat())
    payload = {"schema": "bess.heartbeat/1", "gateway": "gw-17", "session": SESSION}
    outer["payload"] = b64(json.dumps(payload | {"challenge": 1813}).encode())
    assert reason(json.dumps(outer).encode()) is Reason.SIGNATURE
    assert reason(heartbeat(STRANGER)) is Reason.UNKNOWN_KEY


def test_a_signer_without_the_role_heartbeat_is_rejected() -> None:
    assert reason(heartbeat(OPS)) is Reason.ROLE
    assert reason(heartbeat(PULSE, OPS)) is Reason.ROLE


def test_a_command_is_no_heartbeat_and_the_reverse() -> None:
    assert reason(heartbeat(typ="bess-command+jws")) is Reason.SIGNATURE
    assert reason(signed(claims(), PULSE, typ="bess-heartbeat+jws")) is Reason.SCHEMA


def test_an_answer_from_another_session_or_gateway_is_rejected() -> None:
    assert reason(heartbeat(session="B" * 22)) is Reason.SESSION
    assert reason(heartbeat(gateway="gw-18")) is Reason.WRONG_GATEWAY


def test_a_retained_or_oversized_answer_is_rejected() -> None:
    assert reason(heartbeat(), retained=True) is Reason.RETAINED
    assert reason(heartbeat() + b" " * 16_384) is Reason.TOO_LARGE


@pytest.mark.parametrize("challenge", [1.0, True, None, "1812", -1])
def test_a_challenge_that_is_no_whole_number_is_rejected(challenge: object) -> None:
    assert reason(heartbeat(challenge=challenge)) is Reason.SCHEMA


def test_an_answer_with_another_claim_or_schema_is_rejected() -> None:
    assert reason(heartbeat(note=1)) is Reason.SCHEMA
    assert reason(heartbeat(schema="bess.heartbeat/2")) is Reason.SCHEMA


@pytest.mark.parametrize("raw", [b"", b"{}", b"\xff", b"NaN", b"[" * 9000])
def test_what_is_no_envelope_is_malformed(raw: bytes) -> None:
    assert reason(raw) is Reason.MALFORMED


def test_an_expired_heartbeat_key_is_rejected() -> None:
    store = trust(PULSE=PULSE.trusted(KeyRole.HEARTBEAT, not_after_ms=0))
    found = verify_heartbeat(
        heartbeat(), store, NOW, gateway="gw-17", session=SESSION, retained=False
    )
    assert isinstance(found, Rejected)
    assert found.reason is Reason.KEY_EXPIRED
