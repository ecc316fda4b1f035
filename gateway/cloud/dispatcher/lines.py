"""What the command prints: one line for each thing that happened, for people or as JSON. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.clock import rfc3339
from gateway.uplink.sentences import sentence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.cloud.dispatcher.heard import HeardMessage

_POWERS = {
    "requestedPowerW": "requested",
    "appliedPowerW": "applied",
    "measuredPowerW": "measured",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened."""

    at_ms: int  # Unix ms
    kind: str  # sent, ack, result, event, control, status, link, heartbeat, end
    text: str  # for people
    facts: Mapping[str, Any]  # for programs

    def human(self) -> str:
        """Time of day (UTC), kind, text; what a broker says must not drive a terminal."""
        text = "".join(each if each.isprintable() else repr(each)[1:-1] for each in self.text)
        return f"{rfc3339(self.at_ms)[11:23]}  {self.kind:9}  {text}"

    def json(self) -> str:
        """One JSON object."""
        return json.dumps({"at": rfc3339(self.at_ms), "kind": self.kind, **self.facts})


def of_message(heard: HeardMessage) -> Line | None:
    """The line of an ack, a result or an event; None for everything else."""
    body = heard.body
    facts = {name: value for name, value in body.items() if name not in _HEADER}
    at_ms = heard.at.unix_ms
    match heard.schema:
        case "bess.ack/1":
            text = f"{body.get('id')} {body.get('state')}{because(body)}"
            return Line(at_ms, "ack", text, facts)
        case "bess.result/1":
            text = f"{body.get('id')} {body.get('state')}{because(body)}{_powers(body)}"
            warnings = body.get("warnings")
            if isinstance(warnings, list) and warnings:
                text += f"; warning: {', '.join(map(str, warnings))}"
            return Line(at_ms, "result", text, facts)
        case "bess.event/1":
            where = f"{body['asset']}: " if "asset" in body else ""
            text = f"{where}{body.get('type')} {body.get('severity')}: {body.get('text')}"
            return Line(at_ms, "event", text, facts)
    return None


_HEADER = ("schema", "gateway", "epoch", "seq", "observedAt", "publishedAt", "quality", "backfill")


def because(body: Mapping[str, Any]) -> str:
    """The reason of an ack or a result, with the gateway's own text, or else its sentence."""
    reason = body.get("reason")
    text = body.get("text") or sentence(str(reason))
    return "" if reason is None else f" ({reason}{f': {text}' if text else ''})"


def _powers(body: Mapping[str, Any]) -> str:
    said = [f"{word} {body[key]} W" for key, word in _POWERS.items() if body.get(key) is not None]
    return f": {', '.join(said)}" if said else ""
