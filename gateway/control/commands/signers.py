"""Who signed an envelope: every signature must hold, each by another trusted key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.control.commands.envelope import is_signed
from gateway.control.commands.reasons import Reason, Rejected

if TYPE_CHECKING:
    from gateway.config.truststore import TrustedKey, TrustStore
    from gateway.control.commands.envelope import Envelope


def outdated(signers: tuple[TrustedKey, ...], trust: TrustStore, *, now_ms: int) -> Rejected | None:
    """Why a signature that held when its command came does not count any more; None: all do."""
    for signer in signers:
        key = trust.find(signer.kid)
        if key is None or key.thumbprint != signer.thumbprint:
            text = f"kid {signer.kid!r} is not in the trust store any more"
            return Rejected(Reason.UNKNOWN_KEY, text)
        if fault := key.invalid(now_ms):
            return Rejected(Reason.KEY_EXPIRED, f"kid {key.kid!r} {fault}")
    return None


def verify_signers(
    envelope: Envelope, trust: TrustStore, *, typ: str, now_ms: int
) -> tuple[TrustedKey, ...] | Rejected:
    """The keys that signed, sorted by kid; or why the envelope counts for nothing.

    One bad signature spoils the envelope: a signature that adds nothing has no place in it.

    Args:
        envelope: opened, not trusted.
        trust: whose signatures count.
        typ: what it must have been signed as; a heartbeat is no command.
        now_ms: Unix ms, for the keys' validity.
    """
    found: dict[str, TrustedKey] = {}
    for signature in envelope.signatures:
        if signature.typ != typ:
            return Rejected(Reason.SIGNATURE, f"typ {signature.typ[:40]!r}: must be {typ!r}")
        key = trust.find(signature.kid)
        if key is None:
            return Rejected(Reason.UNKNOWN_KEY, f"kid {signature.kid!r} is not in the trust store")
        if key.kid in found:
            return Rejected(Reason.SIGNATURE, f"kid {key.kid!r} signed twice: must sign once")
        if not is_signed(envelope, signature, key):
            return Rejected(Reason.SIGNATURE, f"the signature of kid {key.kid!r} does not hold")
        if fault := key.invalid(now_ms):
            return Rejected(Reason.KEY_EXPIRED, f"kid {key.kid!r} {fault}")
        found[key.kid] = key
    return tuple(found[kid] for kid in sorted(found))
