"""JWS in general JSON serialization (RFC 7515, 7.2.1): opened strictly, verified by jwcrypto.

The envelope is parsed here and not by jwcrypto, because jwcrypto is liberal where we must not be:
it takes compact tokens, unprotected headers, padded and non-canonical base64url, and calls a
token valid if one of its signatures is. jwcrypto sees one signature at a time, and only checks it.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jwcrypto.common import JWException  # type: ignore[import-untyped]  # it ships no types
from jwcrypto.jws import JWS  # type: ignore[import-untyped]  # it ships no types

from gateway.control.strictjson import StrictJsonError, parse_object

if TYPE_CHECKING:
    from gateway.config.truststore import TrustedKey

MAX_BYTES = 16 * 1024
MAX_SIGNATURES = 4  # a dispatcher and an approver, and as many again while keys change
COMMAND_TYP = "bess-command+jws"
HEARTBEAT_TYP = "bess-heartbeat+jws"
ALGS = ("EdDSA", "ES256")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+\Z")
_KID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_MESSAGE, _HEADER, _SIGNATURE, _KEY_ID = "message", "protected header", "signature", "kid"
_SIGNATURE_BYTES = 64  # Ed25519 (RFC 8032, 5.1.6) and P-256 (RFC 7518, 3.4) alike


class EnvelopeError(ValueError):
    """The bytes are no envelope as we take it: ``part`` of it is at fault."""

    def __init__(self, part: str, fault: object) -> None:
        super().__init__(f"{part} {fault}")


@dataclass(frozen=True, slots=True)
class Signature:
    """One signer's: its protected header as read, and what jwcrypto needs to check it."""

    alg: str
    kid: str
    typ: str
    protected: str  # base64url, as received: these bytes are signed
    signature: str  # base64url


@dataclass(frozen=True, slots=True)
class Envelope:
    """An opened envelope; nothing in it is trusted yet."""

    payload: bytes
    encoded: str  # the payload in base64url, as received: these bytes are signed
    signatures: tuple[Signature, ...]


def open_envelope(raw: bytes) -> Envelope:
    """Open ``raw``, at most ``MAX_BYTES`` long.

    Raises:
        EnvelopeError: it is no JWS in general serialization with protected headers of exactly
            alg, kid and typ.
    """
    try:
        outer = parse_object(raw)
    except StrictJsonError as error:
        raise EnvelopeError(_MESSAGE, error) from None
    if outer.keys() != {"payload", "signatures"}:
        raise EnvelopeError(_MESSAGE, "must have payload and signatures, and nothing else")
    encoded, listed = outer["payload"], outer["signatures"]
    payload = _bytes("payload", encoded)
    if not isinstance(listed, list) or not 1 <= len(listed) <= MAX_SIGNATURES:
        raise EnvelopeError(_SIGNATURE, f"list must have 1..{MAX_SIGNATURES}")
    return Envelope(payload, str(encoded), tuple(_signature(one) for one in listed))


def _signature(one: object) -> Signature:
    if not isinstance(one, dict) or one.keys() != {"protected", "signature"}:
        raise EnvelopeError(_SIGNATURE, "must have protected and signature, and nothing else")
    if len(_bytes("signature", one["signature"])) != _SIGNATURE_BYTES:
        raise EnvelopeError(_SIGNATURE, f"must be {_SIGNATURE_BYTES} bytes")
    try:
        header = parse_object(_bytes("protected", one["protected"]))
    except StrictJsonError as error:
        raise EnvelopeError(_HEADER, error) from None
    alg, kid, typ = (header.get(name) for name in ("alg", "kid", "typ"))
    if header.keys() != {"alg", "kid", "typ"}:
        raise EnvelopeError(_HEADER, "must have alg, kid and typ, and nothing else")
    if not (isinstance(alg, str) and isinstance(kid, str) and isinstance(typ, str)):
        raise EnvelopeError(_HEADER, "must have text for alg, kid and typ")
    if _KID.match(kid) is None:
        raise EnvelopeError(_KEY_ID, "must be 1..64 of A-Z a-z 0-9 . _ -")
    return Signature(alg, kid, typ, str(one["protected"]), str(one["signature"]))


def is_signed(envelope: Envelope, signature: Signature, key: TrustedKey) -> bool:
    """Whether ``signature`` over the envelope's payload was made with ``key``.

    The algorithm is the key's own; what the header says must be equal and is not believed.
    """
    if signature.alg != key.alg or key.alg not in ALGS:
        return False
    token = JWS()
    token.allowed_algs = [key.alg]
    flat = {
        "payload": envelope.encoded,
        "protected": signature.protected,
        "signature": signature.signature,
    }
    try:
        token.deserialize(json.dumps(flat))
        token.verify(key.public, alg=key.alg)
    except (JWException, ValueError):
        return False
    return bool(token.is_valid) and token.payload == envelope.payload


def _bytes(name: str, text: object) -> bytes:
    """Base64url without padding, and only its one canonical spelling."""
    if not isinstance(text, str) or _BASE64URL.match(text) is None:
        raise EnvelopeError(name, "must be base64url without padding")
    try:
        found = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise EnvelopeError(name, "must be base64url without padding") from None
    if base64.urlsafe_b64encode(found).rstrip(b"=").decode() != text:
        raise EnvelopeError(name, "must be canonical base64url")
    return found
