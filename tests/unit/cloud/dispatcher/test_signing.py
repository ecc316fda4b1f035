"""What the dispatcher signs is what the gateway verifies."""

from __future__ import annotations

import json
import re

import pytest
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st
from jwcrypto.jwk import JWK  # type: ignore[import-untyped]  # it ships no types

from gateway.cloud.dispatcher import claims, signing
from gateway.cloud.dispatcher.signing import (
    COMMAND_TYP,
    HEARTBEAT_TYP,
    Signer,
    SigningKeyError,
    sign,
)
from gateway.config.truststore import KeyRole, TrustStore
from gateway.control.commands.heartbeat import HeartbeatAnswer, verify_heartbeat
from gateway.control.commands.reasons import Reason, Rejected
from gateway.control.commands.register import Register
from gateway.control.commands.verify import Admitted, admit
from gateway.errors import UsageError
from tests.fixtures import commands
from tests.fixtures.schemas import faults

QUOTES = claims.Quotes(
    session=commands.SESSION,
    challenge=1812,
    map_digest=commands.MAP_DIGEST,
    safety_digest=commands.SAFETY_DIGEST,
)
OPS = Signer("ops-1", commands.OPS.private)  # EdDSA
SECOND = Signer("ops-2", commands.SECOND.private)  # ES256; dispatcher and approver
CHIEF = Signer("chief-1", commands.CHIEF.private)  # EdDSA; approver
GUARD = Signer("guard-1", commands.GUARD.private)  # EdDSA; emergency
PULSE = Signer("pulse-1", commands.PULSE.private)  # ES256; heartbeat

PARAMS: dict[str, dict[str, int | str | None]] = {
    "setpoint": {
        "power_w": -750_000,
        "duration_s": 900,
        "ramp_w_per_s": 5,
        "min_soc": 10,
        "max_soc": 90,
    },
    "charge": {"power_w": 500_000, "duration_s": 60},
    "discharge": {"power_w": 500_000, "duration_s": 60, "ramp_w_per_s": None},
    "mode": {"name": "peak-shaving"},
    "reserve": {"percent": 20},
}


def made(verb: str = "setpoint", **changes: int | str | None) -> dict[str, object]:
    return claims.command_claims(
        verb,
        PARAMS.get(verb, {}) | changes,
        id_=signing.ulid(commands.NOW.unix_ms, bytes(10)),
        gateway="gw-17",
        asset="bess-1",
        quotes=QUOTES,
        seq=commands.NOW.unix_ms,
        issued_ms=commands.NOW.unix_ms,
        lifetime_s=60,
    )


def admitted(raw: bytes) -> Admitted | Rejected:
    return admit(raw, commands.context(), Register(), commands.NOW, retained=False)


@pytest.mark.parametrize("verb", claims.VERBS)
@pytest.mark.parametrize("signer", [OPS, SECOND], ids=["EdDSA", "ES256"])
def test_every_verb_signed_with_either_algorithm_is_admitted(verb: str, signer: Signer) -> None:
    signers = [GUARD] if verb == "estop" else [signer]
    found = admitted(sign(made(verb), signers, COMMAND_TYP))
    assert isinstance(found, Admitted), found
    assert found.command.verb == verb
    assert found.issuer.kid == signers[0].kid


@pytest.mark.parametrize("verb", claims.VERBS)
def test_the_claims_are_what_the_shipped_schema_says(verb: str) -> None:
    assert faults("command", made(verb)) == []


def test_parameters_arrive_as_they_were_given() -> None:
    found = admitted(sign(made("setpoint"), [OPS], COMMAND_TYP))
    assert isinstance(found, Admitted)
    command = found.command
    assert (command.power_w, command.duration_s, command.ramp_w_per_s) == (-750_000, 900, 5)
    assert (command.min_soc_pct, command.max_soc_pct) == (10, 90)
    assert (command.issued_ms, command.expires_ms - command.issued_ms) == (
        commands.NOW.unix_ms,
        60_000,
    )


def test_an_unknown_parameter_is_named() -> None:
    with pytest.raises(UsageError, match=r"power_kw: must be one of power_w, duration_s"):
        made("charge", power_kw=500)


@pytest.mark.parametrize("other", [CHIEF, SECOND], ids=["EdDSA", "ES256"])
def test_two_signers_sign_the_same_bytes(other: Signer) -> None:
    raw = sign(made(), [OPS, other], COMMAND_TYP)
    found = admitted(raw)
    assert isinstance(found, Admitted), found
    assert {key.kid for key in found.signers} == {OPS.kid, other.kid}
    assert len(json.loads(raw)["signatures"]) == 2


def test_one_signer_twice_is_refused_by_the_gateway() -> None:
    found = admitted(sign(made(), [OPS, OPS], COMMAND_TYP))
    assert isinstance(found, Rejected)
    assert found.reason is Reason.SIGNATURE


def test_a_heartbeat_is_no_command_and_a_command_no_heartbeat() -> None:
    found = admitted(sign(made(), [OPS], HEARTBEAT_TYP))
    assert isinstance(found, Rejected)
    assert found.reason is Reason.SIGNATURE
    answer = claims.heartbeat_claims(gateway="gw-17", session=commands.SESSION, challenge=1812)
    assert isinstance(verified(sign(answer, [PULSE], COMMAND_TYP)), Rejected)


def verified(raw: bytes, *, trust: TrustStore | None = None) -> HeartbeatAnswer | Rejected:
    return verify_heartbeat(
        raw,
        trust or commands.trust(),
        commands.NOW,
        gateway="gw-17",
        session=commands.SESSION,
        retained=False,
    )


@pytest.mark.parametrize("alg", signing.ALGS)
def test_a_heartbeat_of_either_algorithm_is_verified(alg: str) -> None:
    key = commands.signer(f"beat-{alg}", alg)
    answer = claims.heartbeat_claims(gateway="gw-17", session=commands.SESSION, challenge=1812)
    assert faults("heartbeat", answer) == []
    raw = sign(answer, [Signer(key.kid, key.private)], HEARTBEAT_TYP)
    trust = TrustStore([key.trusted(KeyRole.HEARTBEAT)])
    assert verified(raw, trust=trust) == HeartbeatAnswer(1812, key.kid)


def test_bytes_are_signed_as_they_are() -> None:
    found = admitted(sign(b"no JSON", [OPS], COMMAND_TYP))
    assert isinstance(found, Rejected)
    assert found.reason is Reason.MALFORMED


def test_nobody_cannot_sign() -> None:
    with pytest.raises(ValueError, match="no signer"):
        sign(made(), [], COMMAND_TYP)


@given(
    ms=st.integers(0, 2**48 - 1),
    later=st.integers(0, 2**48 - 1),
    noise=st.binary(min_size=10, max_size=10),
)
def test_ids_are_ulids_that_sort_by_their_time(ms: int, later: int, noise: bytes) -> None:
    found = signing.ulid(ms, noise)
    assert re.fullmatch(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", found)
    if ms < later:
        assert found < signing.ulid(later, noise)


@pytest.mark.parametrize(("ms", "noise"), [(-1, bytes(10)), (2**48, bytes(10)), (0, bytes(9))])
def test_a_ulid_out_of_range_is_refused(ms: int, noise: bytes) -> None:
    with pytest.raises(ValueError, match="must be"):
        signing.ulid(ms, noise)


def pem(key: object, *, password: bytes | None = None) -> bytes:
    hidden = ser.BestAvailableEncryption(password) if password else ser.NoEncryption()
    found: bytes = key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, hidden)  # type: ignore[attr-defined]  # any of cryptography's keys
    return found


@pytest.mark.parametrize(
    ("key", "alg"),
    [
        (ed25519.Ed25519PrivateKey.generate(), "EdDSA"),
        (ec.generate_private_key(ec.SECP256R1()), "ES256"),
    ],
    ids=["EdDSA", "ES256"],
)
def test_the_algorithm_follows_from_the_key(key: object, alg: str) -> None:
    assert signing.signer_from_pem("ops-1", pem(key)).alg == alg


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "must be a private key in PEM, Ed25519 or P-256"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "must be a private"),
        (pem(ed25519.Ed25519PrivateKey.generate(), password=b"x"), "is encrypted: must be"),
        (pem(ed448.Ed448PrivateKey.generate()), "is OKP Ed448: must be Ed25519 or P-256"),
        (pem(ec.generate_private_key(ec.SECP384R1())), "is EC P-384: must be Ed25519 or P-256"),
        (pem(rsa.generate_private_key(65537, 2048)), "is RSA: must be Ed25519 or P-256"),
        (commands.OPS.public_pem, "is a public key: must be the private one"),
    ],
    ids=["empty", "broken", "encrypted", "ed448", "p384", "rsa", "public"],
)
def test_another_key_is_refused_with_its_name_and_reason(content: bytes, why: str) -> None:
    with pytest.raises(SigningKeyError, match="key ops-1: ") as raised:
        signing.signer_from_pem("ops-1", content)
    assert why in str(raised.value)


def test_a_signer_shows_no_key_material() -> None:
    shown = repr(OPS) + str(OPS) + repr(str([OPS]))
    private: dict[str, str] = json.loads(OPS.key.export_private())
    assert private["d"] not in shown
    assert private["x"] not in shown


def test_a_symmetric_key_is_refused() -> None:
    with pytest.raises(SigningKeyError, match="must be"):
        Signer("ops-1", JWK.generate(kty="oct", size=256))
