"""The seal over the facts: one number that a changed, added or missing fact does not fit. Pure.

A sum modulo 2**256 of each fact's SHA-256, so that a commit pays for the facts that it changes
and not for all of them. It finds damage; who can write the file can also write the seal.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_MODULUS = 1 << 256


def resealed(seal: int, facts: Mapping[str, str], changes: Mapping[str, str | None]) -> int:
    """The seal of ``facts`` after ``changes``, of which None removes a fact.

    Args:
        seal: of ``facts`` as they are.
        facts: before the changes.
        changes: new values by key.
    """
    for key, value in changes.items():
        before = facts.get(key)
        if before is not None:
            seal -= _weight(key, before)
        if value is not None:
            seal += _weight(key, value)
    return seal % _MODULUS


def seal_of(facts: Mapping[str, str]) -> int:
    """The seal of all these facts."""
    return resealed(0, {}, facts)


def _weight(key: str, value: str) -> int:
    octets = f"{len(key)}:{key}{value}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha256(octets).digest())
