"""Signed envelopes as the gateway verifies them: JWS in general JSON serialization. Pure.

The counterpart of ``gateway.control.commands.envelope``: protected headers of exactly alg, kid and
typ, base64url without padding, one signature per signer over the same bytes.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jwcrypto.common import JWException  # type: ignore[import-untyped]  # it ships no types
from jwcrypto.jwk import JWK  # type: ignore[import-untyped]  # it ships no types
from jwcrypto.jws import JWS  # type: ignore[import-untyped]  # it ships no types

from gateway.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COMMAND_TYP = "bess-command+jws"
HEARTBEAT_TYP = "bess-heartbeat+jws"
ALGS = ("EdDSA", "ES256")
_ALG_OF = {("OKP", "Ed25519"): "EdDSA", ("EC", "P-256"): "ES256"}
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ULID_LENGTH = 26
_RANDOM_BYTES = 10


class SigningKeyError(GatewayError):
    """A key cannot sign for us; says which and why, never what is in it."""

    exit_code = 78  # EX_CONFIG


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key and the name under which the gateway trusts its public half.

    Raises:
        SigningKeyError: it is a public key, or neither Ed25519 nor P-256.
    """

    kid: str  # 1..64 of A-Z a-z 0-9 . _ -
    key: JWK = field(repr=False)
    alg: str = field(init=False)  # EdDSA | ES256

    def __post_init__(self) -> None:
        public = json.loads(self.key.export_public()) if self.key.has_public else {"kty": "oct"}
        kind = (str(public.get("kty")), str(public.get("crv", "")))
        if not self.key.has_private:
            message = f"key {self.kid}: is a public key: must be the private one"
            raise SigningKeyError(message)
        if kind not in _ALG_OF:
            message = f"key {self.kid}: is {' '.join(kind).strip()}: must be Ed25519 or P-256"
            raise SigningKeyError(message)
        object.__setattr__(self, "alg", _ALG_OF[kind])


def signer_from_pem(kid: str, pem: bytes) -> Signer:
    """Read a private key in PEM (PKCS #8 or SEC 1), not encrypted.

    Raises:
        SigningKeyError: it is anything else.
    """
    try:
        key = JWK.from_pem(pem)
    except TypeError:  # cryptography's word for a missing password
        message = f"key {kid}: is encrypted: must be a private key without a password"
        raise SigningKeyError(message) from None
    except (JWException, ValueError):
        message = f"key {kid}: must be a private key in PEM, Ed25519 or P-256"
        raise SigningKeyError(message) from None
    return Signer(kid, key)


def sign(claims: Mapping[str, object] | bytes, signers: Sequence[Signer], typ: str) -> bytes:
    """The envelope of ``claims`` with one signature of each of ``signers``, in this order.

    Args:
        claims: what is signed; bytes are signed as they are.
        signers: at least one; two for dual approval, over the same bytes.
        typ: ``COMMAND_TYP`` or ``HEARTBEAT_TYP``.

    Raises:
        ValueError: there is no signer.
    """
    if not signers:
        message = "no signer: must have at least one"
        raise ValueError(message)
    payload = claims if isinstance(claims, bytes) else _json(claims)
    signatures = [_signature(payload, signer, typ) for signer in signers]
    return _json({"payload": _base64url(payload), "signatures": signatures})


def _signature(payload: bytes, signer: Signer, typ: str) -> dict[str, Any]:
    token = JWS(payload)
    token.allowed_algs = [signer.alg]
    header = _json({"alg": signer.alg, "kid": signer.kid, "typ": typ}).decode()
    token.add_signature(signer.key, None, header, None)
    flat = json.loads(token.serialize())
    return {name: flat[name] for name in ("protected", "signature")}


def ulid(unix_ms: int, randomness: bytes) -> str:
    """An id that sorts by the time at which it was made: 26 characters.

    Args:
        unix_ms: Unix ms, 0..2^48-1.
        randomness: 10 random bytes.

    Raises:
        ValueError: ``unix_ms`` or ``randomness`` is out of range.

    Source: the ULID specification, github.com/ulid/spec.
    """
    if not 0 <= unix_ms < 1 << 48 or len(randomness) != _RANDOM_BYTES:
        message = f"{unix_ms} ms, {len(randomness)} bytes: must be 0..2^48-1 and {_RANDOM_BYTES}"
        raise ValueError(message)
    number = unix_ms << 80 | int.from_bytes(randomness, "big")
    return "".join(_CROCKFORD[number >> 5 * at & 31] for at in reversed(range(_ULID_LENGTH)))


def _json(found: Mapping[str, object]) -> bytes:
    return json.dumps(found, separators=(",", ":"), allow_nan=False).encode()


def _base64url(found: bytes) -> str:
    return base64.urlsafe_b64encode(found).rstrip(b"=").decode()
