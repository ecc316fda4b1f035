"""Every check of a command, in the order of the contract, before any state changes.

``admit`` asks whether the message is what it claims to be and for us, now, once: from its size to
its digests. ``permit`` (in ``permit.py``) asks whether what it wants may be done. Only an admitted
command may reach ``permit``; a rejected one changes nothing but its id's place in the register.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gateway.config.truststore import KeyRole
from gateway.control.commands.command import Command, Verb, parse_command
from gateway.control.commands.envelope import COMMAND_TYP, MAX_BYTES, EnvelopeError, open_envelope
from gateway.control.commands.reasons import Reason, Rejected
from gateway.control.commands.signers import verify_signers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.clock import Now
    from gateway.config.truststore import TrustedKey, TrustStore
    from gateway.control.commands.register import Register

MAX_LIFETIME_MS = 120_000
EARLY_MS = 5_000  # the sender's clock may be this far ahead of ours


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandContext:
    """What a command is checked against."""

    gateway: str
    asset: str  # of the topic it came on
    session: str  # boot nonce
    map_digest: str
    safety_digest: str | None  # None: no complete safety file
    trust: TrustStore
    challenges: Mapping[int, float]  # issued by this boot -> monotonic s of issue
    lease_s: float


@dataclass(frozen=True, slots=True)
class Admitted:
    """A command that is what it claims to be."""

    command: Command
    issuer: TrustedKey  # the first by kid of those who may issue it
    signers: tuple[TrustedKey, ...]
    expires_at: float  # monotonic s: no output of it before this is checked
    at: Now  # when it was admitted


def admit(  # noqa: PLR0911 - one return for each check, in order
    raw: bytes, context: CommandContext, register: Register, now: Now, *, retained: bool
) -> Admitted | Rejected:
    """Check ``raw`` from its size to its digests; spend its id if its signatures hold.

    Args:
        raw: as it came from the broker.
        context: what it is checked against.
        register: ids and sequence numbers seen.
        now: the instant of receipt.
        retained: whether the broker kept it; a command is never kept.
    """
    if len(raw) > MAX_BYTES:
        return Rejected(Reason.TOO_LARGE, f"{len(raw)} bytes: must be at most {MAX_BYTES}")
    if retained:
        return Rejected(Reason.RETAINED, "is a retained message: a command must not be")
    try:
        envelope = open_envelope(raw)
    except EnvelopeError as error:
        return Rejected(Reason.MALFORMED, str(error))
    command = parse_command(envelope.payload)
    if isinstance(command, Rejected):
        return command
    signers = verify_signers(envelope, context.trust, typ=COMMAND_TYP, now_ms=now.unix_ms)
    if isinstance(signers, Rejected):
        return _named(signers, command)
    issuer = _issuer(command, signers)
    if isinstance(issuer, Rejected):
        return _named(issuer, command)
    rejected = _wrong_place(command, context)
    if rejected is None:
        rejected = _wrong_time(command, context, now) or _seen(command, issuer, register)
        register.spend(command.id, command.asset, issuer.kid, command.seq, now_s=now.mono_s)
    rejected = rejected or _wrong_digest(command, context)
    if rejected is not None:
        return _named(rejected, command)
    left_s = (command.expires_ms - now.unix_ms) / 1000.0
    return Admitted(command, issuer, signers, now.mono_s + left_s, now)


def _named(rejected: Rejected, command: Command) -> Rejected:
    return replace(rejected, id=command.id, asset=command.asset)


def _issuer(command: Command, signers: tuple[TrustedKey, ...]) -> TrustedKey | Rejected:
    """Who answers for the command. Every signer must have a part in it: issue it, or approve it.

    The order of signatures is not signed, so the issuer is chosen by kid.
    """
    role = KeyRole.EMERGENCY if command.verb is Verb.ESTOP else KeyRole.DISPATCHER
    issuers = [key for key in signers if role in key.roles]
    if not issuers:
        names = ", ".join(key.kid for key in signers)
        return Rejected(Reason.ROLE, f"signed by {names}: {command.verb} needs a {role}")
    for key in signers:
        if not key.roles & {role, KeyRole.APPROVER}:
            return Rejected(Reason.ROLE, f"kid {key.kid!r} is neither {role} nor approver")
    return issuers[0]


def _wrong_place(command: Command, context: CommandContext) -> Rejected | None:
    if command.gateway != context.gateway:
        text = f"is for gateway {command.gateway!r}: this is {context.gateway!r}"
        return Rejected(Reason.WRONG_GATEWAY, text)
    if command.asset != context.asset:
        text = f"is for asset {command.asset!r}: this is {context.asset!r}"
        return Rejected(Reason.WRONG_ASSET, text)
    if command.session != context.session:
        return Rejected(Reason.SESSION, "is for another session: must quote this boot's nonce")
    return None


def _wrong_time(command: Command, context: CommandContext, now: Now) -> Rejected | None:
    lifetime_ms = command.expires_ms - command.issued_ms
    if not 0 < lifetime_ms <= MAX_LIFETIME_MS:
        text = f"lives {lifetime_ms} ms: must be 1..{MAX_LIFETIME_MS}"
        return Rejected(Reason.LIFETIME, text)
    issued_s = context.challenges.get(command.challenge)
    if issued_s is None:
        text = f"challenge {command.challenge} was not issued by this boot"
        return Rejected(Reason.CHALLENGE, text)
    age_s = now.mono_s - issued_s
    if not 0 <= age_s <= context.lease_s:
        text = f"challenge {command.challenge} is {age_s:.1f} s old: must be 0..{context.lease_s:g}"
        return Rejected(Reason.CHALLENGE, text)
    if now.unix_ms < command.issued_ms - EARLY_MS:
        early_ms = command.issued_ms - now.unix_ms
        text = f"was issued {early_ms} ms ahead of our clock: at most {EARLY_MS}"
        return Rejected(Reason.NOT_YET_VALID, text)
    if now.unix_ms > command.expires_ms:
        return Rejected(Reason.EXPIRED, f"expired {now.unix_ms - command.expires_ms} ms ago")
    return None


def _seen(command: Command, issuer: TrustedKey, register: Register) -> Rejected | None:
    if register.is_seen(command.id):
        return Rejected(Reason.DUPLICATE, "this id was seen before")
    last = register.last_seq(command.asset, issuer.kid)
    if last is not None and command.seq <= last:
        text = f"seq {command.seq} of {issuer.kid}: must be above {last}"
        return Rejected(Reason.SEQUENCE, text)
    return None


def _wrong_digest(command: Command, context: CommandContext) -> Rejected | None:
    if command.map_digest != context.map_digest:
        return Rejected(
            Reason.MAP_DIGEST, f"is for another points map: ours is {context.map_digest}"
        )
    if command.safety_digest != context.safety_digest:
        ours = context.safety_digest or "missing"
        return Rejected(Reason.SAFETY_DIGEST, f"is for another safety file: ours is {ours}")
    return None
