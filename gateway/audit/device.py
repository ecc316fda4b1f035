"""The device key on the audit's head: signing with the uplink's key, checking with its certificate.

A head is signed by what the cloud already knows the gateway by, the uplink's client certificate,
so nobody has to hand out another key. The header names the certificate by its SHA-256: after a
renewal, whoever checks an older head sees which one he needs.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwcrypto.common import JWException  # type: ignore[import-untyped]  # it ships no types
from jwcrypto.jwk import JWK  # type: ignore[import-untyped]  # it ships no types
from jwcrypto.jws import JWS  # type: ignore[import-untyped]  # it ships no types

from gateway.audit.chain import SCHEMA, Head
from gateway.errors import ConfigError, Fault, PayloadError, Where
from gateway.tls import credentials

if TYPE_CHECKING:
    from gateway.config.site import UplinkSettings

TYP = "bess-audit+jws"
_THUMBPRINT = "x5t#S256"  # RFC 7515, section 4.1.8
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_END = b"-----END CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class _Loaded:
    key: JWK
    protected: str  # JSON


class Device:
    """Signs with the uplink's private key.

    Args:
        settings: [uplink], which names the key and its certificate.
    """

    def __init__(self, settings: UplinkSettings) -> None:
        self._settings = settings
        self._loaded: _Loaded | None = None

    def reload(self, settings: UplinkSettings) -> None:
        """Read key and certificate again before the next signature; from any thread."""
        self._settings, self._loaded = settings, None

    def sign(self, payload: bytes) -> str:
        """A compact JWS over ``payload``.

        Raises:
            ConfigError: key or certificate cannot be used.
        """
        loaded = self._loaded
        if loaded is None:
            loaded = self._loaded = _load(self._settings)
        token = JWS(payload)
        token.add_signature(loaded.key, None, loaded.protected, None)
        return str(token.serialize(compact=True))


@dataclass(frozen=True, slots=True)
class HeadSignature:
    """What a signed head says, its signature checked."""

    gateway: str
    head: Head
    ts: int  # Unix ms


def opened(token: str, certificate: x509.Certificate) -> HeadSignature:
    """Check a signed head and read it.

    Args:
        token: compact JWS.
        certificate: which it must be signed with.

    Raises:
        PayloadError: it is no signed head, or another certificate or key signed it.
    """
    header = _header(token)
    wanted = header.get(_THUMBPRINT)
    if wanted != thumbprint(certificate):
        text = f"it is signed with another certificate ({_THUMBPRINT} {wanted!s:.64})"
        raise PayloadError(text)
    algorithm = _algorithm(certificate.public_key())
    if header.get("alg") != algorithm or header.get("typ") != TYP:
        text = f"its header must say alg {algorithm} and typ {TYP}"
        raise PayloadError(text)
    check = JWS()
    check.allowed_algs = [algorithm]
    try:
        check.deserialize(token)
        check.verify(JWK.from_pyca(certificate.public_key()))
    except (JWException, ValueError, TypeError):
        text = "its signature does not hold"
        raise PayloadError(text) from None
    return claims(token)


def claims(token: str) -> HeadSignature:
    """What a signed head says, its signature **not** checked.

    Raises:
        PayloadError: it is no signed head.
    """
    body = _part(token, 1)
    gateway, n, hash_, ts = (body.get(key) for key in ("gateway", "n", "hash", "ts"))
    if (
        body.get("schema") != SCHEMA
        or not isinstance(gateway, str)
        or not isinstance(hash_, str)
        or type(n) is not int
        or type(ts) is not int
    ):
        text = f"its payload must be a head of {SCHEMA}: schema, gateway, n, hash, ts"
        raise PayloadError(text)
    return HeadSignature(gateway, Head(n, hash_), ts)


def read_certificate(pem: bytes) -> x509.Certificate:
    """The first certificate of a PEM file.

    Raises:
        ValueError: there is none.
    """
    first, mark, _ = pem.partition(_END)
    return x509.load_pem_x509_certificate(first + mark + b"\n")


def thumbprint(certificate: x509.Certificate) -> str:
    """SHA-256 of a certificate in DER, base64url (RFC 7515, section 4.1.8)."""
    octets = certificate.public_bytes(serialization.Encoding.DER)
    return base64.urlsafe_b64encode(hashlib.sha256(octets).digest()).rstrip(b"=").decode()


def _load(settings: UplinkSettings) -> _Loaded:
    path = credentials.key_path(settings)
    if not path:
        text = f'credential = "{settings.credential}": systemd passed none to this process'
        raise ConfigError([Fault(Where("site.toml", "uplink", "credential", 1), text)])
    try:
        found = read_certificate(_read(settings.cert_file))
    except ValueError:
        raise _fault(settings.cert_file, "must be a certificate in PEM") from None
    try:
        private: Any = serialization.load_pem_private_key(_read(path), password=None)
    except (ValueError, TypeError):  # TypeError: it is encrypted and there is no password
        raise _fault(path, "must be an unencrypted private key in PEM") from None
    if _spki(private.public_key()) != _spki(found.public_key()):
        raise _fault(path, f"does not belong to the certificate in {settings.cert_file}")
    algorithm = _algorithm(private.public_key())
    if not algorithm:
        allowed = "must be EC P-256, P-384 or P-521, Ed25519, or RSA, to sign the audit's head"
        raise _fault(path, allowed)
    header = {"alg": algorithm, "typ": TYP, _THUMBPRINT: thumbprint(found)}
    return _Loaded(JWK.from_pyca(private), json.dumps(header))


def _algorithm(public: Any) -> str:  # noqa: ANN401 - cryptography's union differs by release
    if isinstance(public, ec.EllipticCurvePublicKey):
        return _CURVES.get(public.curve.name, "")
    if isinstance(public, ed25519.Ed25519PublicKey):
        return "EdDSA"
    return "PS256" if isinstance(public, rsa.RSAPublicKey) else ""


def _spki(public: Any) -> bytes:  # noqa: ANN401 - cryptography's union differs by release
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(public.public_bytes(serialization.Encoding.DER, form))


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise _fault(path, f"cannot be read: {error.strerror}") from error


def _fault(path: str, text: str) -> ConfigError:
    return ConfigError([Fault(Where(path, "", "", 1), text)])


def _header(token: str) -> dict[str, Any]:
    return _part(token, 0)


def _part(token: str, at: int) -> dict[str, Any]:
    """Header or payload of a compact JWS."""
    parts = token.split(".")
    try:
        text = parts[at] if len(parts) == 3 else ""  # noqa: PLR2004 - header, payload, signature
        found = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        found = None
    if not isinstance(found, dict):
        text = "it is no compact JWS: header.payload.signature, each base64url"
        raise PayloadError(text)
    return found
