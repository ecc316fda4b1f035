"""What to answer to a command while control is off. Pure.

Nothing is verified here and nothing is done; id and type are read, unverified, only so that the
sender can match the answer, and is told what stops the battery.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass

from gateway.control.phases import NO_STOP

MAX_COMMAND = 16 * 1024  # bytes: SPECIFICATION.md, section 6
_ID = re.compile(r"[0-9A-Za-z_-]{1,64}\Z")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a command was refused, and its id as far as it could be read."""

    id: str | None
    reason: str  # RETAINED | TOO_LARGE | MALFORMED | CONTROL_DISABLED
    text: str = ""  # for people


def refuse(payload: bytes, *, retained: bool) -> Refusal:
    """The refusal of a command: the first check that fails, in the order of section 6."""
    if len(payload) > MAX_COMMAND:
        return Refusal(None, "TOO_LARGE")
    found, stop = _command(payload)
    if retained:
        return Refusal(found, "RETAINED")
    if found is None:
        return Refusal(None, "MALFORMED")
    return Refusal(found, "CONTROL_DISABLED", NO_STOP if stop else "")


def _command(payload: bytes) -> tuple[str | None, bool]:
    """Its id as far as it can be read, and whether it asks for a stop."""
    try:
        text = json.loads(payload)["payload"]
        claims = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        found, stop = claims["id"], claims.get("type") == "estop"
    except (ValueError, TypeError, KeyError, AttributeError, binascii.Error, RecursionError):
        return None, False
    return (found, stop) if isinstance(found, str) and _ID.match(found) else (None, False)
