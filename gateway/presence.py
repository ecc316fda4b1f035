"""What the gateway says of itself to the broker: online, birth, and no to every command. Pure."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.effects import Effect, Log, Publish
from gateway.uplink import messages
from gateway.uplink.refusal import refuse
from gateway.uplink.topics import Topics

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gateway import events
    from gateway.clock import Now
    from gateway.site import Site

COMMANDS_PER_S = 20  # answered; the broker is not trusted to be moderate
REFUSED = "command-refused"
LINES, LINES_SPAN_S = 60, 300.0  # of the journal about refused commands: it is everybody's


@dataclass(frozen=True, slots=True)
class Identity:
    """What this run of the gateway is, for the birth message."""

    version: str
    boot_id: str  # of the machine
    session: str  # boot nonce of this process: 16 random bytes, base64url
    epoch: str  # of the queue's database at the start
    started: Now
    secret: bytes = field(default=b"", repr=False)  # of this process; see ``watchdog.lease``


class Presence:
    """Speaks for the gateway; ``epoch`` follows the queue's."""

    def __init__(self, site: Site, identity: Identity) -> None:
        self.epoch = identity.epoch
        self._identity = identity
        self._counted_from, self._counted = identity.started.mono_s, 0
        self._said_from, self._said, self._unsaid = identity.started.mono_s, 0, 0
        self.become(site)

    def become(self, site: Site) -> None:
        """Speak for another site: the one of a reload."""
        settings = site.settings
        self._site, self._gateway = site, settings.gateway_id
        self.topics = Topics(settings.uplink.prefix, settings.gateway_id)
        self._commands = {self.topics.own(f"{one.id}/cmd"): one.id for one in settings.assets}

    def online(self, now: Now, *, online: bool) -> Publish:
        """``status``, retained; offline is what a clean end leaves behind."""
        body = messages.status(
            gateway=self._gateway,
            epoch=self.epoch,
            online=online,
            boot_id=self._identity.boot_id,
            since_ms=self._identity.started.unix_ms,
            unix_ms=now.unix_ms,
        )
        return Publish(0, self.topics.status, body, qos=1, retain=True)

    def birth(self, assets: Sequence[Mapping[str, object]], now: Now) -> Publish:
        """``birth``, retained; ``assets`` as their monitors describe them."""
        body = messages.birth(
            gateway=self._gateway,
            epoch=self.epoch,
            version=self._identity.version,
            session=self._identity.session,
            certificate_not_after_ms=self._site.certificate_not_after_ms,
            assets=assets,
            unix_ms=now.unix_ms,
        )
        return Publish(0, self.topics.birth, body, qos=1, retain=True)

    def flood(self, event: events.MessageArrived, now: Now) -> list[Effect] | None:
        """What is said where too many commands came this second; None where they did not."""
        if event.topic not in self._commands:
            return None
        if now.mono_s - self._counted_from >= 1.0:
            self._counted_from, self._counted = now.mono_s, 0
        self._counted += 1
        if self._counted <= COMMANDS_PER_S:
            return None
        text = f"more than {COMMANDS_PER_S} commands in a second: the rest is not answered"
        once = self._counted == COMMANDS_PER_S + 1
        return [Log(logging.WARNING, text, REFUSED)] if once else []

    def quiet(self, found: Iterable[Effect], now: Now) -> list[Effect]:
        """``found`` without the lines about refused commands that are too many."""
        if now.mono_s - self._said_from >= LINES_SPAN_S:
            self._said_from, self._said = now.mono_s, 0
        kept: list[Effect] = []
        for one in found:
            if isinstance(one, Log) and one.message_id == REFUSED:
                self._said += 1
                if self._said > LINES:
                    self._unsaid += 1
                    continue
                if self._unsaid:
                    text = f"{self._unsaid} refused commands were not written here"
                    kept.append(Log(logging.WARNING, text, REFUSED))
                    self._unsaid = 0
            kept.append(one)
        return kept

    def answer(self, event: events.MessageArrived) -> list[Effect]:
        """Refuse a command for an asset without control; nothing of it is verified."""
        asset = self._commands.get(event.topic)
        if asset is None:
            return []
        refusal = refuse(event.payload, retained=event.retained)
        body = messages.ack(
            gateway=self._gateway,
            epoch=self.epoch,
            asset=asset,
            id_=refusal.id,
            state="rejected",
            reason=refusal.reason,
            unix_ms=event.at.unix_ms,
        )
        fields = {"ASSET": asset, "COMMAND_ID": refusal.id or ""}
        text = f"command refused: {refusal.reason}"
        return [
            Publish(0, self.topics.ack(asset), body, qos=1, retain=False),
            Log(logging.WARNING, text, REFUSED, fields),
        ]
