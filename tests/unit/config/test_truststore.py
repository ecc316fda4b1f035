"""Keys that may be trusted, and those that may not."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa

from gateway.config import safety
from gateway.config.truststore import KeyFileError, KeyRole, TrustStore, trust_store, trusted_key
from tests.fixtures.commands import OPS, SECOND


def pem(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed448.Ed448PublicKey) -> bytes:
    return key.public_bytes(ser.Encoding.PEM, ser.PublicFormat.SubjectPublicKeyInfo)


def test_the_algorithm_follows_from_the_key() -> None:
    assert OPS.trusted(KeyRole.DISPATCHER).alg == "EdDSA"
    assert SECOND.trusted(KeyRole.DISPATCHER).alg == "ES256"


def test_a_key_of_another_type_is_refused() -> None:
    odd = [
        pem(ec.generate_private_key(ec.SECP384R1()).public_key()),
        pem(rsa.generate_private_key(65537, 2048).public_key()),
        pem(ed448.Ed448PrivateKey.generate().public_key()),
        b"nonsense",
        b"",
    ]
    for one in odd:
        with pytest.raises(KeyFileError, match="must be"):
            trusted_key("k", one, [KeyRole.DISPATCHER])


def test_a_private_key_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    text = key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption())
    with pytest.raises(KeyFileError, match="private"):
        trusted_key("k", text, [KeyRole.DISPATCHER])


def test_a_key_without_a_role_is_refused() -> None:
    with pytest.raises(KeyFileError, match="has no role"):
        trusted_key("k", OPS.public_pem, [])


def test_one_key_under_two_names_is_refused() -> None:
    twin = trusted_key("chief-2", OPS.public_pem, [KeyRole.APPROVER])
    with pytest.raises(KeyFileError, match="is the same key as ops-1"):
        TrustStore([OPS.trusted(KeyRole.DISPATCHER), twin])
    with pytest.raises(KeyFileError, match="twice"):
        TrustStore([OPS.trusted(KeyRole.DISPATCHER)] * 2)


def test_a_store_finds_by_kid() -> None:
    store = TrustStore([OPS.trusted(KeyRole.DISPATCHER)])
    assert store.kids() == ("ops-1",)
    assert store.find("ops-2") is None


def listed(kid: str, algorithm: str = "") -> safety.TrustedKeySettings:
    return safety.TrustedKeySettings(
        kid, ("dispatcher",), "keys/x.pem", algorithm, None, 1000, revoked=False
    )


def test_the_safety_files_keys_become_the_store() -> None:
    store = trust_store([listed("ops-1")], {"ops-1": OPS.public_pem})
    key = store.find("ops-1")
    assert key is not None
    assert key.roles == {KeyRole.DISPATCHER}
    assert key.invalid(999) == ""
    assert key.invalid(1000) == "has expired"


def test_a_key_that_is_not_of_the_algorithm_that_the_file_says_is_refused() -> None:
    with pytest.raises(KeyFileError, match="is for EdDSA: safety"):
        trust_store([listed("ops-1", "ES256")], {"ops-1": OPS.public_pem})
