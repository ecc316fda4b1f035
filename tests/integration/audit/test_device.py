"""The device key: what signs, what is refused, and what a renewal changes."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec
from jwcrypto.jwk import JWK  # type: ignore[import-untyped]  # it ships no types
from jwcrypto.jws import JWS  # type: ignore[import-untyped]  # it ships no types

from gateway.audit.chain import Head, head_payload
from gateway.audit.device import Device, HeadSignature, claims, opened, read_certificate, thumbprint
from gateway.errors import ConfigError, PayloadError
from tests.fixtures.audits import GATEWAY, KEYS, identity

HEAD = Head(7, "ab" * 32)
PAYLOAD = head_payload(HEAD, GATEWAY, ts=5)


def header(token: str) -> dict[str, Any]:
    part = token.split(".", maxsplit=1)[0]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


@pytest.mark.parametrize("kind", sorted(KEYS))
def test_the_kind_of_the_key_chooses_the_algorithm(tmp_path: Path, kind: str) -> None:
    uplink = identity(tmp_path, kind)
    token = Device(uplink).sign(PAYLOAD)
    certificate = read_certificate(Path(uplink.cert_file).read_bytes())
    der = certificate.public_bytes(serialization.Encoding.DER)
    print_ = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()
    assert header(token) == {"alg": kind, "typ": "bess-audit+jws", "x5t#S256": print_}
    assert thumbprint(certificate) == print_
    assert opened(token, certificate) == HeadSignature(GATEWAY, HEAD, 5)
    assert claims(token) == HeadSignature(GATEWAY, HEAD, 5)


def test_a_renewed_key_is_used_from_the_reload_on(tmp_path: Path) -> None:
    device = Device(identity(tmp_path))
    before = header(device.sign(PAYLOAD))
    renewed = identity(tmp_path, "EdDSA")  # the same files
    assert header(device.sign(PAYLOAD)) == before
    device.reload(renewed)
    assert header(device.sign(PAYLOAD))["alg"] == "EdDSA"


def test_the_key_may_be_a_credential_of_systemds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uplink = identity(tmp_path)
    sealed = replace(uplink, key_file="", credential="gw-17.key")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(ConfigError, match="systemd passed none"):
        Device(sealed).sign(PAYLOAD)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert header(Device(sealed).sign(PAYLOAD))["alg"] == "ES256"


def test_a_key_that_cannot_sign_says_which_can(tmp_path: Path) -> None:
    uplink = identity(tmp_path)
    key_file = Path(uplink.key_file)
    key_file.write_text("nothing")
    with pytest.raises(ConfigError, match=r"gw-17\.key:1: must be an unencrypted private key"):
        Device(uplink).sign(PAYLOAD)
    other = ec.generate_private_key(ec.SECP256R1())
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    key_file.write_bytes(other.private_bytes(*form, serialization.NoEncryption()))
    with pytest.raises(ConfigError, match="does not belong to the certificate in"):
        Device(uplink).sign(PAYLOAD)
    locked = serialization.BestAvailableEncryption(b"secret")
    key_file.write_bytes(other.private_bytes(*form, locked))
    with pytest.raises(ConfigError, match="must be an unencrypted private key"):
        Device(uplink).sign(PAYLOAD)
    key_file.unlink()
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        Device(uplink).sign(PAYLOAD)
    Path(uplink.cert_file).write_text("nothing")
    with pytest.raises(ConfigError, match=r"gw-17\.pem:1: must be a certificate in PEM"):
        Device(uplink).sign(PAYLOAD)


def test_a_kind_of_key_that_is_not_allowed_is_named(tmp_path: Path) -> None:
    uplink = identity(tmp_path, given=dsa.generate_private_key(2048))
    with pytest.raises(ConfigError, match="must be EC P-256, P-384 or P-521, Ed25519, or RSA"):
        Device(uplink).sign(PAYLOAD)


def test_a_token_whose_header_names_another_algorithm_is_refused(tmp_path: Path) -> None:
    uplink = identity(tmp_path)
    certificate = read_certificate(Path(uplink.cert_file).read_bytes())
    spki = certificate.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    # The classic: a MAC keyed with what everybody knows, the public key.
    shared = JWK(kty="oct", k=base64.urlsafe_b64encode(spki).rstrip(b"=").decode())
    forged = JWS(PAYLOAD)
    names = {"alg": "HS256", "typ": "bess-audit+jws", "x5t#S256": thumbprint(certificate)}
    forged.add_signature(shared, None, json.dumps(names), None)
    with pytest.raises(PayloadError, match="must say alg ES256"):
        opened(forged.serialize(compact=True), certificate)


def test_a_signature_over_something_else_is_no_head(tmp_path: Path) -> None:
    uplink = identity(tmp_path)
    certificate = read_certificate(Path(uplink.cert_file).read_bytes())
    for payload in (b"{}", b"[]", b"x", PAYLOAD.replace(b'"n":7', b'"n":true')):
        with pytest.raises(PayloadError):
            opened(Device(uplink).sign(payload), certificate)
