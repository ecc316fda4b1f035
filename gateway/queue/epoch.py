"""Names of epochs: ULIDs, which sort by the time at which they were made."""

from __future__ import annotations

import secrets

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32
_LENGTH = 26


def new_epoch(unix_ms: int) -> str:
    """A new ULID: 48 bits of ``unix_ms`` and 80 random bits, 26 characters.

    Source: the ULID specification, github.com/ulid/spec.
    """
    number = unix_ms << 80 | secrets.randbits(80)
    return "".join(_ALPHABET[number >> 5 * at & 31] for at in reversed(range(_LENGTH)))
