"""What is signed: the claims of commands and heartbeats, from Python's names. Pure.

Nothing is checked against the site's limits here: the gateway refuses, and says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.clock import rfc3339
from gateway.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

VERBS = (
    "arm",
    "disarm",
    "idle",
    "release",
    "estop",
    "alarm_reset",
    "setpoint",
    "charge",
    "discharge",
    "mode",
    "reserve",
)
POWER_VERBS = ("setpoint", "charge", "discharge")
_NAMES = {  # Python's -> the contract's
    "power_w": "powerW",  # W; setpoint: positive discharges; charge, discharge: a magnitude
    "duration_s": "durationS",
    "ramp_w_per_s": "rampWPerS",
    "min_soc": "minSoc",  # percent
    "max_soc": "maxSoc",  # percent
    "name": "name",  # of a mode
    "percent": "percent",  # of the reserve
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotes:
    """What a command must quote to be taken: what the gateway said last."""

    session: str  # boot nonce
    challenge: int  # the newest
    map_digest: str
    safety_digest: str


def params(given: Mapping[str, int | str | None]) -> dict[str, int | str]:
    """Parameters under the contract's names; those that are None are left out.

    Raises:
        UsageError: a name is no parameter of any verb.
    """
    unknown = sorted(given.keys() - _NAMES.keys())
    if unknown:
        message = f"parameter {', '.join(unknown)}: must be one of {', '.join(_NAMES)}"
        raise UsageError(message)
    return {_NAMES[name]: value for name, value in given.items() if value is not None}


def command_claims(  # noqa: PLR0913 - a command has so many claims
    verb: str,
    given: Mapping[str, int | str | None],
    *,
    id_: str,
    gateway: str,
    asset: str,
    quotes: Quotes,
    seq: int,
    issued_ms: int,
    lifetime_s: float,
) -> dict[str, object]:
    """Claims of ``bess.command/1``.

    Args:
        verb: one of ``VERBS``; others are sent as they are, for the gateway to refuse.
        given: parameters by Python's names, see ``params``.
        id_: ULID.
        gateway: id of the gateway.
        asset: id of the battery.
        quotes: what the gateway said last.
        seq: above the signer's last one.
        issued_ms: Unix ms.
        lifetime_s: s, at most 120.
    """
    return {
        "schema": "bess.command/1",
        "id": id_,
        "gateway": gateway,
        "asset": asset,
        "session": quotes.session,
        "challenge": quotes.challenge,
        "seq": seq,
        "issuedAt": rfc3339(issued_ms),
        "expiresAt": rfc3339(issued_ms + round(lifetime_s * 1000)),
        "mapDigest": quotes.map_digest,
        "safetyDigest": quotes.safety_digest,
        "type": verb,
        "params": params(given),
    }


def heartbeat_claims(*, gateway: str, session: str, challenge: int) -> dict[str, object]:
    """Claims of ``bess.heartbeat/1``, the answer to ``challenge`` of ``session``."""
    return {
        "schema": "bess.heartbeat/1",
        "gateway": gateway,
        "session": session,
        "challenge": challenge,
    }
