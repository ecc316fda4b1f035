"""What is said about a command: reject reasons, result states, and the platform's view of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why a command was rejected; the contract's enum, and no other word goes out."""

    MALFORMED = "MALFORMED"  # no JSON, no JWS in general serialization, or a header too many
    TOO_LARGE = "TOO_LARGE"
    RETAINED = "RETAINED"
    SCHEMA = "SCHEMA"  # JSON, but its claims are not those of bess.command/1
    SIGNATURE = "SIGNATURE"
    UNKNOWN_KEY = "UNKNOWN_KEY"
    KEY_EXPIRED = "KEY_EXPIRED"  # not yet valid, no longer valid, or revoked
    ROLE = "ROLE"
    WRONG_GATEWAY = "WRONG_GATEWAY"
    WRONG_ASSET = "WRONG_ASSET"
    SESSION = "SESSION"
    CHALLENGE = "CHALLENGE"
    LIFETIME = "LIFETIME"
    NOT_YET_VALID = "NOT_YET_VALID"
    EXPIRED = "EXPIRED"
    DUPLICATE = "DUPLICATE"
    SEQUENCE = "SEQUENCE"
    MAP_DIGEST = "MAP_DIGEST"
    SAFETY_DIGEST = "SAFETY_DIGEST"
    CONTROL_DISABLED = "CONTROL_DISABLED"
    APPROVAL = "APPROVAL"
    STATE = "STATE"
    INTERLOCK = "INTERLOCK"
    LIMIT = "LIMIT"
    PARAMS = "PARAMS"
    RATE = "RATE"
    UNSUPPORTED = "UNSUPPORTED"


@dataclass(frozen=True, slots=True)
class Rejected:
    """A command that changes nothing, and why.

    ``id`` and ``asset`` are what could be read of it, None where nothing could: they are claims of
    an unverified message and good for an ack only.
    """

    reason: Reason
    text: str  # for people: what was found, what is allowed
    id: str | None = None
    asset: str | None = None


class ResultState(StrEnum):
    """Where a command stands, as the cloud is told."""

    RECEIVED = "received"
    REJECTED = "rejected"
    PENDING_APPROVAL = "pending_approval"
    ACCEPTED = "accepted"
    EXECUTING = "executing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ABORTED = "aborted"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"

    @property
    def platform(self) -> str:
        """The platform's view: pending, success or failed."""
        return _PLATFORM[self]

    @property
    def final(self) -> bool:
        """Whether the command is over."""
        return _PLATFORM[self] != _PENDING


_PENDING, _SUCCESS, _FAILED = "pending", "success", "failed"
_PLATFORM = {
    ResultState.RECEIVED: _PENDING,
    ResultState.REJECTED: _FAILED,
    ResultState.PENDING_APPROVAL: _PENDING,
    ResultState.ACCEPTED: _PENDING,
    ResultState.EXECUTING: _PENDING,
    ResultState.SUCCEEDED: _SUCCESS,
    ResultState.FAILED: _FAILED,
    ResultState.ABORTED: _FAILED,
    ResultState.EXPIRED: _FAILED,
    ResultState.SUPERSEDED: _FAILED,
}
