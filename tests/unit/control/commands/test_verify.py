"""Section 6, checks: each in order, each rejection with its reason, and no output possible."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.clock import Now, rfc3339
from gateway.config.truststore import KeyRole
from gateway.control.commands.command import Verb
from gateway.control.commands.reasons import Reason, Rejected
from gateway.control.commands.register import MOST, Register
from gateway.control.commands.verify import Admitted, admit
from tests.fixtures.commands import (
    CHIEF,
    GUARD,
    ID,
    NOW,
    OPS,
    PULSE,
    SECOND,
    SESSION,
    STRANGER,
    Signer,
    b64,
    claims,
    context,
    signed,
    trust,
)

OTHER_ID = "01JD0000000000000000000001"


def check(
    raw: bytes,
    *,
    register: Register | None = None,
    now: Now = NOW,
    retained: bool = False,
    **fields: Any,  # noqa: ANN401 - any field of the desk
) -> Admitted | Rejected:
    return admit(
        raw, context(**fields), Register() if register is None else register, now, retained=retained
    )


def reason(found: Admitted | Rejected) -> Reason:
    assert isinstance(found, Rejected), "it was admitted"
    assert found.text
    return found.reason


def later(seconds: float) -> Now:
    return Now(NOW.mono_s + seconds, NOW.unix_ms + round(seconds * 1000))


@pytest.mark.parametrize("key", [OPS, SECOND], ids=["EdDSA", "ES256"])
def test_a_good_command_is_admitted_whichever_algorithm_signed_it(key: Signer) -> None:
    found = check(signed(claims(), key))
    assert isinstance(found, Admitted)
    assert found.command.verb is Verb.SETPOINT
    assert found.command.power_w == -750_000
    assert found.command.duration_s == 900
    assert found.issuer.kid == key.kid
    assert found.expires_at == NOW.mono_s + 59


def test_a_forged_command_is_rejected() -> None:
    outer = json.loads(signed(claims()))
    outer["payload"] = b64(json.dumps(claims(params={"powerW": 1, "durationS": 1})).encode())
    assert reason(check(json.dumps(outer).encode())) is Reason.SIGNATURE


def test_a_signature_under_a_name_that_is_not_the_signers_is_rejected() -> None:
    raw = signed(claims(), STRANGER, kid="ops-1")
    assert reason(check(raw)) is Reason.SIGNATURE


def test_every_changed_bit_of_a_signature_is_found() -> None:
    outer = json.loads(signed(claims()))
    good = outer["signatures"][0]["signature"]
    for at in range(0, len(good) - 1, 5):
        swapped = "A" if good[at] != "A" else "B"
        outer["signatures"][0]["signature"] = good[:at] + swapped + good[at + 1 :]
        assert reason(check(json.dumps(outer).encode())) is Reason.SIGNATURE


def test_a_replayed_command_is_rejected() -> None:
    register, raw = Register(), signed(claims())
    assert isinstance(check(raw, register=register), Admitted)
    assert reason(check(raw, register=register, now=later(3))) is Reason.DUPLICATE


def test_a_rejected_command_cannot_be_replayed_at_a_better_moment() -> None:
    register, raw = Register(), signed(claims())
    assert (
        reason(check(raw, register=register, map_digest="sha256:" + "0" * 64)) is Reason.MAP_DIGEST
    )
    assert reason(check(raw, register=register)) is Reason.DUPLICATE


def test_a_command_replayed_after_a_restart_is_rejected() -> None:
    assert reason(check(signed(claims()), session="B" * 22)) is Reason.SESSION


def test_an_id_is_remembered_over_a_restart() -> None:
    register = Register({ID: (NOW.mono_s - 29 * 86_400, "bess-2")})
    assert reason(check(signed(claims()), register=register)) is Reason.DUPLICATE


def test_a_retained_command_is_rejected() -> None:
    assert reason(check(signed(claims()), retained=True)) is Reason.RETAINED


def test_a_reordered_command_is_rejected() -> None:
    register = Register()
    assert isinstance(check(signed(claims(seq=43)), register=register), Admitted)
    late = signed(claims(id=OTHER_ID, seq=42))
    assert reason(check(late, register=register)) is Reason.SEQUENCE
    again = signed(claims(id=OTHER_ID[:-1] + "2", seq=43))
    assert reason(check(again, register=register)) is Reason.SEQUENCE


def test_two_issuers_count_apart() -> None:
    register = Register()
    assert isinstance(check(signed(claims(seq=43)), register=register), Admitted)
    other = signed(claims(id=OTHER_ID, seq=1), SECOND)
    assert isinstance(check(other, register=register), Admitted)


def test_an_expired_command_is_rejected() -> None:
    raw = signed(claims(challenge=1813))
    issued = {1813: NOW.mono_s + 50}
    assert isinstance(check(raw, now=later(59), challenges=issued), Admitted)
    assert reason(check(raw, now=later(59.001), challenges=issued)) is Reason.EXPIRED


def test_a_future_dated_command_is_rejected() -> None:
    at = NOW.unix_ms + 5_000
    good = signed(claims(issuedAt=rfc3339(at), expiresAt=rfc3339(at + 60_000)))
    assert isinstance(check(good), Admitted)
    bad = signed(claims(issuedAt=rfc3339(at + 1), expiresAt=rfc3339(at + 60_000)))
    assert reason(check(bad)) is Reason.NOT_YET_VALID


@pytest.mark.parametrize("lifetime_ms", [120_001, 0, -1, 86_400_000])
def test_a_lifetime_above_120_s_or_not_above_zero_is_rejected(lifetime_ms: int) -> None:
    at = NOW.unix_ms
    raw = signed(claims(issuedAt=rfc3339(at), expiresAt=rfc3339(at + lifetime_ms)))
    assert reason(check(raw)) is Reason.LIFETIME


def test_a_lifetime_of_120_s_is_admitted() -> None:
    at = NOW.unix_ms
    raw = signed(claims(issuedAt=rfc3339(at), expiresAt=rfc3339(at + 120_000)))
    assert isinstance(check(raw), Admitted)


def test_an_oversized_command_is_rejected_before_it_is_read() -> None:
    raw = signed(claims())
    padded = raw + b" " * (16 * 1024 - len(raw))
    assert isinstance(check(padded), Admitted)
    assert reason(check(padded + b" ")) is Reason.TOO_LARGE


def test_a_command_for_another_gateway_is_rejected() -> None:
    assert reason(check(signed(claims(gateway="gw-18")))) is Reason.WRONG_GATEWAY


def test_a_command_for_another_asset_is_rejected() -> None:
    assert reason(check(signed(claims(asset="bess-2")))) is Reason.WRONG_ASSET


def test_a_command_with_a_wrong_nonce_is_rejected() -> None:
    assert reason(check(signed(claims(session="B" + SESSION[1:])))) is Reason.SESSION


def test_a_challenge_that_this_boot_did_not_issue_is_rejected() -> None:
    assert reason(check(signed(claims(challenge=1813)))) is Reason.CHALLENGE


def test_a_challenge_older_than_one_lease_is_rejected() -> None:
    old = {1812: NOW.mono_s - 30}
    assert isinstance(check(signed(claims()), challenges=old), Admitted)
    older = {1812: NOW.mono_s - 30.001}
    assert reason(check(signed(claims()), challenges=older)) is Reason.CHALLENGE


def test_a_wrong_map_digest_is_rejected() -> None:
    raw = signed(claims(mapDigest="sha256:" + "c" * 64))
    assert reason(check(raw)) is Reason.MAP_DIGEST


@pytest.mark.parametrize("ours", ["sha256:" + "c" * 64, None])
def test_a_wrong_safety_digest_is_rejected(ours: str | None) -> None:
    assert reason(check(signed(claims()), safety_digest=ours)) is Reason.SAFETY_DIGEST


def test_an_unknown_key_is_rejected() -> None:
    assert reason(check(signed(claims(), STRANGER))) is Reason.UNKNOWN_KEY


def test_without_a_trusted_key_nothing_is_admitted() -> None:
    empty = type(trust())()
    assert reason(check(signed(claims()), trust=empty)) is Reason.UNKNOWN_KEY


@pytest.mark.parametrize("key", [PULSE, GUARD, CHIEF], ids=["heartbeat", "emergency", "approver"])
def test_a_wrong_role_is_rejected(key: Signer) -> None:
    assert reason(check(signed(claims(), key))) is Reason.ROLE


def test_a_signer_without_a_part_in_it_is_rejected() -> None:
    assert reason(check(signed(claims(), OPS, PULSE))) is Reason.ROLE


def test_estop_needs_the_role_emergency_only() -> None:
    estop = claims(type="estop", params={})
    assert isinstance(check(signed(estop, GUARD)), Admitted)
    assert reason(check(signed(estop, OPS))) is Reason.ROLE


@pytest.mark.parametrize(
    "fields",
    [
        {"revoked": True},
        {"not_after_ms": NOW.unix_ms},
        {"not_before_ms": NOW.unix_ms + 1},
    ],
)
def test_a_key_that_is_revoked_or_outside_its_validity_is_rejected(fields: dict[str, Any]) -> None:
    store = trust(OPS=OPS.trusted(KeyRole.DISPATCHER, **fields))
    assert reason(check(signed(claims()), trust=store)) is Reason.KEY_EXPIRED


def test_a_key_is_valid_in_its_first_and_last_instant() -> None:
    fields = {"not_before_ms": NOW.unix_ms, "not_after_ms": NOW.unix_ms + 1}
    store = trust(OPS=OPS.trusted(KeyRole.DISPATCHER, **fields))
    assert isinstance(check(signed(claims()), trust=store), Admitted)


def test_the_same_signer_twice_is_rejected() -> None:
    assert reason(check(signed(claims(), OPS, OPS))) is Reason.SIGNATURE


def test_one_bad_signature_of_two_spoils_both() -> None:
    outer = json.loads(signed(claims(), OPS, CHIEF))
    outer["signatures"][1]["signature"] = outer["signatures"][0]["signature"]
    assert reason(check(json.dumps(outer).encode())) is Reason.SIGNATURE


def test_the_order_of_signatures_does_not_choose_the_issuer() -> None:
    first, second = check(signed(claims(), OPS, SECOND)), check(signed(claims(), SECOND, OPS))
    assert isinstance(first, Admitted)
    assert isinstance(second, Admitted)
    assert first.issuer.kid == second.issuer.kid == "ops-1"


def test_a_heartbeats_signature_is_no_commands() -> None:
    assert reason(check(signed(claims(), typ="bess-heartbeat+jws"))) is Reason.SIGNATURE


def test_an_algorithm_that_is_not_the_keys_is_rejected() -> None:
    outer = json.loads(signed(claims()))
    header = {"alg": "ES256", "kid": "ops-1", "typ": "bess-command+jws"}
    outer["signatures"][0]["protected"] = b64(json.dumps(header).encode())
    assert reason(check(json.dumps(outer).encode())) is Reason.SIGNATURE
    header["alg"] = "none"
    outer["signatures"][0]["protected"] = b64(json.dumps(header).encode())
    assert reason(check(json.dumps(outer).encode())) is Reason.SIGNATURE


def test_unprotected_headers_and_crit_are_refused() -> None:
    outer = json.loads(signed(claims()))
    outer["signatures"][0]["header"] = {"kid": "ops-1"}
    assert reason(check(json.dumps(outer).encode())) is Reason.MALFORMED
    assert reason(check(signed(claims(), crit=["b64"], b64=True))) is Reason.MALFORMED
    assert reason(check(signed(claims(), jku="https://example.com"))) is Reason.MALFORMED


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff",
        b"[]",
        b"null",
        b"{}",
        b'{"payload":"e30","signatures":[]}',
        b'{"payload":"e30","payload":"e30","signatures":[]}',
        b'{"payload":"e30=","signatures":[{}]}',
        b"[" * 16_000,
        b'{"a":' * 3_000,
        b'{"payload":NaN,"signatures":[]}',
        b"\xef\xbb\xbf{}",
    ],
)
def test_what_is_no_envelope_is_malformed(raw: bytes) -> None:
    assert reason(check(raw)) is Reason.MALFORMED


def test_a_compact_or_flattened_token_is_malformed() -> None:
    outer = json.loads(signed(claims()))
    flat = {"payload": outer["payload"], **outer["signatures"][0]}
    assert reason(check(json.dumps(flat).encode())) is Reason.MALFORMED
    compact = ".".join((flat["protected"], flat["payload"], flat["signature"]))
    assert reason(check(compact.encode())) is Reason.MALFORMED


def test_padded_base64_is_malformed() -> None:
    outer = json.loads(signed(claims()))
    outer["signatures"][0]["signature"] += "=="
    assert reason(check(json.dumps(outer).encode())) is Reason.MALFORMED


def test_more_signatures_than_four_are_malformed() -> None:
    assert reason(check(signed(claims(), *(OPS,) * 5))) is Reason.MALFORMED


# --- order: each check comes before the next -------------------------------------------------

_STEPS: list[tuple[Reason, dict[str, Any], dict[str, Any]]] = [
    (Reason.SCHEMA, {"schema": "bess.command/2"}, {}),
    (Reason.UNKNOWN_KEY, {}, {"trust": type(trust())()}),
    (Reason.WRONG_GATEWAY, {"gateway": "gw-18"}, {}),
    (Reason.WRONG_ASSET, {"asset": "bess-2"}, {}),
    (Reason.SESSION, {"session": "B" * 22}, {}),
    (Reason.LIFETIME, {"expiresAt": rfc3339(NOW.unix_ms + 600_000)}, {}),
    (Reason.CHALLENGE, {"challenge": 1}, {}),
    (Reason.NOT_YET_VALID, {"issuedAt": rfc3339(NOW.unix_ms + 9_000)}, {}),
    (Reason.DUPLICATE, {}, {"register": Register({ID: (0.0, "bess-1")})}),
    (Reason.SEQUENCE, {}, {"register": Register({}, {("bess-1", "ops-1"): 42})}),
    (Reason.MAP_DIGEST, {"mapDigest": "sha256:" + "0" * 64}, {}),
    (Reason.SAFETY_DIGEST, {}, {"safety_digest": None}),
]


@pytest.mark.parametrize("at", range(len(_STEPS)))
def test_the_first_check_that_fails_gives_the_reason(at: int) -> None:
    """Everything from ``at`` on is wrong at once."""
    wrong: dict[str, Any] = {}
    fields: dict[str, Any] = {}
    for _, changes, terms in reversed(_STEPS[at:]):
        wrong |= changes
        fields |= terms
    assert reason(check(signed(claims(**wrong)), **fields)) is _STEPS[at][0]


def test_a_rejection_carries_the_id_and_asset_that_could_be_read() -> None:
    found = check(signed(claims(seq=1.5)))
    assert isinstance(found, Rejected)
    assert (found.reason, found.id, found.asset) == (Reason.SCHEMA, ID, "bess-1")
    found = check(signed(claims(id="nonsense", seq=1.5)))
    assert isinstance(found, Rejected)
    assert (found.id, found.asset) == (None, "bess-1")
    assert check(b"{}") == Rejected(
        Reason.MALFORMED, "message must have payload and signatures, and nothing else"
    )


def test_a_register_forgets_after_30_days_of_monotonic_time_only() -> None:
    register = Register({"old": (-30 * 86_400.0, "bess-2"), "young": (0.0, "bess-1")})
    register.spend("new", "bess-1", "ops-1", 1, now_s=1.0)
    assert not register.is_seen("old")
    assert register.is_seen("young")
    assert register.count == 2


def test_what_a_register_forgets_after_30_days_the_store_may_forget_too() -> None:
    register = Register({"old": (-30 * 86_400.0, "bess-2"), "young": (0.0, "bess-1")})
    register.spend("new", "bess-1", "ops-1", 1, now_s=1.0)
    assert register.forgotten() == (("bess-2", "old"),)
    assert register.forgotten() == ()


def test_ids_made_up_without_end_do_not_fill_the_memory_and_free_nothing_in_the_store() -> None:
    register = Register({str(number): (float(number), "") for number in range(MOST)})
    register.spend("one more", "bess-1", "ops-1", 1, now_s=float(MOST))
    assert register.count == MOST
    assert register.is_seen("one more")
    assert not register.is_seen("0")
    assert register.forgotten() == ()
