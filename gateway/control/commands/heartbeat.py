"""The dispatch application's signed answer to a challenge: ``bess.heartbeat/1``.

This says only that the answer is genuine and about this boot. Whether it extends the lease is the
watchdog's to decide, from the time at which it issued that challenge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.config.truststore import KeyRole
from gateway.control.commands.envelope import HEARTBEAT_TYP, MAX_BYTES, EnvelopeError, open_envelope
from gateway.control.commands.reasons import Reason, Rejected
from gateway.control.commands.signers import verify_signers
from gateway.control.strictjson import StrictJsonError, parse_object

if TYPE_CHECKING:
    from gateway.clock import Now
    from gateway.config.truststore import TrustStore

SCHEMA = "bess.heartbeat/1"
_CLAIMS = {"schema", "gateway", "session", "challenge"}


@dataclass(frozen=True, slots=True)
class HeartbeatAnswer:
    """A genuine answer."""

    challenge: int
    kid: str


def verify_heartbeat(  # noqa: PLR0911 - one return for each check, in order
    raw: bytes, trust: TrustStore, now: Now, *, gateway: str, session: str, retained: bool
) -> HeartbeatAnswer | Rejected:
    """Check an answer.

    Args:
        raw: as it came from the broker.
        trust: whose signatures count.
        now: the instant of receipt, for the keys' validity.
        gateway: our id.
        session: this boot's nonce.
        retained: whether the broker kept it; an answer is never kept.

    Returns:
        The challenge that was answered; or the first reason that it counts for nothing.
    """
    if len(raw) > MAX_BYTES:
        return Rejected(Reason.TOO_LARGE, f"{len(raw)} bytes: must be at most {MAX_BYTES}")
    if retained:
        return Rejected(Reason.RETAINED, "is a retained message: a heartbeat must not be")
    try:
        envelope = open_envelope(raw)
        claims = parse_object(envelope.payload)
    except (EnvelopeError, StrictJsonError) as error:
        return Rejected(Reason.MALFORMED, str(error))
    challenge = claims.get("challenge")
    if claims.keys() != _CLAIMS or claims["schema"] != SCHEMA or not _is_number(challenge):
        text = f"must be {SCHEMA} with gateway, session, and an integer challenge"
        return Rejected(Reason.SCHEMA, text)
    assert isinstance(challenge, int)
    signers = verify_signers(envelope, trust, typ=HEARTBEAT_TYP, now_ms=now.unix_ms)
    if isinstance(signers, Rejected):
        return signers
    for key in signers:
        if KeyRole.HEARTBEAT not in key.roles:
            return Rejected(Reason.ROLE, f"kid {key.kid!r}: must have the role heartbeat")
    if claims["gateway"] != gateway:
        return Rejected(Reason.WRONG_GATEWAY, f"is not for gateway {gateway!r}")
    if claims["session"] != session:
        return Rejected(Reason.SESSION, "is for another session: must quote this boot's nonce")
    return HeartbeatAnswer(challenge, signers[0].kid)


def _is_number(found: object) -> bool:
    return isinstance(found, int) and not isinstance(found, bool) and found >= 0
