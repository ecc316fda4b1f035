"""What to answer to a command while control is off. Pure.

Nothing is verified here and nothing is done; the id is read, unverified, only so that the sender
can match the answer.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass

MAX_COMMAND = 16 * 1024  # bytes: SPECIFICATION.md, section 6
_ID = re.compile(r"[0-9A-Za-z_-]{1,64}\Z")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a command was refused, and its id as far as it could be read."""

    id: str | None
    reason: str  # RETAINED | TOO_LARGE | MALFORMED | CONTROL_DISABLED


def refuse(payload: bytes, *, retained: bool) -> Refusal:
    """The refusal of a command: the first check that fails, in the order of section 6."""
    if len(payload) > MAX_COMMAND:
        return Refusal(None, "TOO_LARGE")
    found = _command_id(payload)
    if retained:
        return Refusal(found, "RETAINED")
    return Refusal(found, "MALFORMED" if found is None else "CONTROL_DISABLED")


def _command_id(payload: bytes) -> str | None:
    try:
        text = json.loads(payload)["payload"]
        claims = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        found = claims["id"]
    except (ValueError, TypeError, KeyError, binascii.Error, RecursionError):
        return None
    return found if isinstance(found, str) and _ID.match(found) else None
