"""Whose signatures count, and for what. Pure: a shell reads the files, keys come in as PEM.

A key is refused here, before it is trusted, if it is private, of another type than its algorithm
needs, or already in the store under another name: one person must not pass for two.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from jwcrypto.common import JWException  # type: ignore[import-untyped]  # it ships no types
from jwcrypto.jwk import JWK  # type: ignore[import-untyped]  # it ships no types

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.config import safety

_ALGS = {("OKP", "Ed25519"): "EdDSA", ("EC", "P-256"): "ES256"}


class KeyRole(StrEnum):
    """What a key may sign."""

    DISPATCHER = "dispatcher"
    APPROVER = "approver"
    EMERGENCY = "emergency"
    HEARTBEAT = "heartbeat"
    CONFIG = "config"


class KeyFileError(ValueError):
    """A key cannot be trusted; says why."""


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """One public key. Made by ``trusted_key``."""

    kid: str
    alg: str  # EdDSA | ES256
    public: Any  # jwcrypto's JWK
    thumbprint: str  # RFC 7638: the same for the same key, whatever it is called
    roles: frozenset[KeyRole]
    not_before_ms: int | None = None  # Unix ms; None: valid since ever
    not_after_ms: int | None = (
        None  # Unix ms, first instant at which it counts no more; None: no end
    )
    revoked: bool = False

    def invalid(self, now_ms: int) -> str:
        """Why it does not count at ``now_ms`` (Unix ms); "" if it does."""
        if self.revoked:
            return "is revoked"
        if self.not_before_ms is not None and now_ms < self.not_before_ms:
            return "is not valid yet"
        if self.not_after_ms is not None and now_ms >= self.not_after_ms:
            return "has expired"
        return ""


def trusted_key(
    kid: str,
    pem: bytes,
    roles: Iterable[KeyRole],
    *,
    not_before_ms: int | None = None,
    not_after_ms: int | None = None,
    revoked: bool = False,
) -> TrustedKey:
    """Read a public key; its algorithm follows from its type.

    Raises:
        KeyFileError: it is private, unreadable, or neither Ed25519 nor P-256.
    """
    try:
        key = JWK.from_pem(pem)
    except (JWException, ValueError, TypeError):
        message = f"key {kid}: must be a public key in PEM, Ed25519 or P-256"
        raise KeyFileError(message) from None
    if key.has_private:
        message = f"key {kid}: is a private key: only its public part may be here"
        raise KeyFileError(message)
    public = json.loads(key.export_public())
    kind = (str(public.get("kty")), str(public.get("crv")))
    if kind not in _ALGS:
        message = f"key {kid}: is {kind[0]} {public.get('crv', '')}: must be Ed25519 or P-256"
        raise KeyFileError(message)
    found = frozenset(roles)
    if not found:
        message = f"key {kid}: has no role: must have one of {', '.join(KeyRole)}"
        raise KeyFileError(message)
    return TrustedKey(
        kid=kid,
        alg=_ALGS[kind],
        public=key,
        thumbprint=str(key.thumbprint()),
        roles=found,
        not_before_ms=not_before_ms,
        not_after_ms=not_after_ms,
        revoked=revoked,
    )


def trust_store(
    listed: Iterable[safety.TrustedKeySettings], public_keys: Mapping[str, bytes]
) -> TrustStore:
    """Make the store of a safety file.

    Args:
        listed: its ``[[trusted_key]]`` tables.
        public_keys: content of every key file, PEM, by kid.

    Raises:
        KeyFileError: a key cannot be trusted, or is not of the algorithm that the file says.
    """
    keys = []
    for one in listed:
        key = trusted_key(
            one.kid,
            public_keys[one.kid],
            [KeyRole(role) for role in one.roles],
            not_before_ms=one.not_before_ms,
            not_after_ms=one.not_after_ms,
            revoked=one.revoked,
        )
        if one.algorithm not in ("", key.alg):
            message = f"key {one.kid}: is for {key.alg}: safety.toml says {one.algorithm}"
            raise KeyFileError(message)
        keys.append(key)
    return TrustStore(keys)


class TrustStore:
    """The keys of one site, by kid. Never changed: a reload makes a new one."""

    __slots__ = ("_keys",)

    def __init__(self, keys: Iterable[TrustedKey] = ()) -> None:
        """Collect ``keys``.

        Raises:
            KeyFileError: two of them have one kid, or one key has two.
        """
        self._keys: dict[str, TrustedKey] = {}
        owners: dict[str, str] = {}
        for key in keys:
            if key.kid in self._keys:
                message = f"key {key.kid}: is listed twice"
                raise KeyFileError(message)
            other = owners.setdefault(key.thumbprint, key.kid)
            if other != key.kid:
                message = f"key {key.kid}: is the same key as {other}: one key must have one kid"
                raise KeyFileError(message)
            self._keys[key.kid] = key

    def find(self, kid: str) -> TrustedKey | None:
        """The key called ``kid``; None if nobody trusts it."""
        return self._keys.get(kid)

    def kids(self) -> tuple[str, ...]:
        """Every kid, sorted."""
        return tuple(sorted(self._keys))
