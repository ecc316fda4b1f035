"""What the audit log remembers of commands, as facts: ids spent, commands open. Pure.

A command is open from the moment at which its id is durable until it is over. One that is open in
what a start finds was ended by that restart: it is told so, and never taken up again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.control.commands.register import KEPT_S, Register

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.clock import Now

_BEGUN, _OVER = "EXECUTING", "OVER"
_COMMAND = "/command/"


@dataclass(frozen=True, slots=True)
class Open:
    """A command that was being carried out, or in force, when the gateway ended."""

    id: str
    kid: str  # of its issuer
    power_w: int | None  # asked for


def fact_of_begun(
    asset: str, id_: str, kid: str, *, seq: int, power_w: int | None, now: Now
) -> dict[str, str | None]:
    """It must be durable before the first output frame of ``id_``."""
    body = {"kid": kid, "seq": seq, "at": now.unix_ms, "state": _BEGUN, "powerW": power_w}
    return {_key(asset, id_): json.dumps(body)}


def fact_of_over(asset: str, id_: str, now: Now) -> dict[str, str | None]:
    """Nothing is in force of it any more; its id stays spent."""
    return {_key(asset, id_): json.dumps({"at": now.unix_ms, "state": _OVER})}


def open_commands(facts: Mapping[str, str], asset: str) -> tuple[Open, ...]:
    """Those that ``facts`` of an earlier run leave open; one that cannot be read is not told of."""
    found = []
    prefix = _key(asset, "")
    for key, value in facts.items():
        if not key.startswith(prefix):
            continue
        try:
            body = json.loads(value)
            if body["state"] == _BEGUN:
                id_ = key.removeprefix(prefix)
                found.append(Open(id_, str(body["kid"]), body.get("powerW")))
        except (ValueError, TypeError, KeyError):
            continue
    return tuple(found)


def seen_commands(
    facts: Mapping[str, str], asset: str, now: Now
) -> tuple[dict[str, float], dict[str, str | None]]:
    """Ids that were carried out, with the monotonic s of it, and facts too old to be kept.

    A fact that cannot be read counts as one of this instant: its id stays spent.
    """
    seen: dict[str, float] = {}
    old: dict[str, str | None] = {}
    prefix = _key(asset, "")
    for key, value in facts.items():
        if not key.startswith(prefix):
            continue
        try:
            at_ms = int(json.loads(value)["at"])
        except (ValueError, TypeError, KeyError):
            at_ms = now.unix_ms
        age_s = max(0.0, (now.unix_ms - at_ms) / 1000)
        if age_s > KEPT_S:
            old[key] = None
        else:
            seen[key.removeprefix(prefix)] = now.mono_s - age_s
    return seen, old


def register_of(facts: Mapping[str, str], now: Now) -> Register:
    """The gateway's register at a start: an id is for one command, at whatever asset."""
    assets = {key.partition(_COMMAND)[0] for key in facts if _COMMAND in key}
    return Register(
        {
            id_: (seen_s, asset)
            for asset in sorted(assets)
            for id_, seen_s in seen_commands(facts, asset, now)[0].items()
        }
    )


def _key(asset: str, id_: str) -> str:
    return f"{asset}{_COMMAND}{id_}"
