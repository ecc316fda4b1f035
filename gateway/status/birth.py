"""What the gateway says of itself to the broker: online, birth, and no to every command. Pure."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from gateway.effects import Effect, Log, Publish
from gateway.status.refusal import refuse
from gateway.uplink import messages
from gateway.uplink.allowance import Allowance
from gateway.uplink.topics import Topics

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gateway import events
    from gateway.checked import Identity, Site
    from gateway.clock import Now
    from gateway.streams import QueueDepth

COMMANDS_PER_S = 20  # answered; the broker is not trusted to be moderate
REFUSED = "command-refused"
LINES, LINES_SPAN_S = 60, 300.0  # of the journal about refused commands: it is everybody's


class Announcer:
    """Speaks for the gateway; ``epoch`` follows the queue's."""

    def __init__(self, site: Site, identity: Identity) -> None:
        self.epoch, self.start = identity.epoch, identity.start
        self.epoch_before = identity.epoch_before
        self._identity = identity
        self._commands_allowed = Allowance(COMMANDS_PER_S, 1.0)
        self._lines_allowed, self._unsaid = Allowance(LINES, LINES_SPAN_S), 0
        self.become(site)

    def become(self, site: Site) -> None:
        """Speak for another site: the one of a reload."""
        settings = site.settings
        self._site, self._gateway = site, settings.gateway_id
        self.topics = Topics(settings.uplink.prefix, settings.gateway_id)
        self._commands = {self.topics.own(f"{one.id}/cmd"): one.id for one in settings.assets}

    def follow(self, depth: QueueDepth) -> None:
        """The queue counts in another epoch."""
        self.epoch, self.start, self.epoch_before = depth.epoch, depth.start, depth.epoch_before

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
        before = self.epoch_before
        body = messages.birth(
            gateway=self._gateway,
            epoch=self.epoch,
            order={"start": self.start, **({"epochBefore": before} if before else {})},
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
        beyond = self._commands_allowed.beyond(now.mono_s)
        if not beyond:
            return None
        text = f"more than {COMMANDS_PER_S} commands in a second: the rest is not answered"
        return [Log(logging.WARNING, text, REFUSED)] if beyond == 1 else []

    def quiet(self, found: Iterable[Effect], now: Now) -> list[Effect]:
        """``found`` without the lines about refused commands that are too many."""
        kept: list[Effect] = []
        for one in found:
            if isinstance(one, Log) and one.message_id == REFUSED:
                if self._lines_allowed.beyond(now.mono_s):
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
            text=refusal.text,
            unix_ms=event.at.unix_ms,
        )
        fields = {"ASSET": asset, "COMMAND_ID": refusal.id or ""}
        text = f"command refused: {refusal.reason}"
        return [
            Publish(0, self.topics.ack(asset), body, qos=1, retain=False),
            Log(logging.WARNING, text, REFUSED, fields),
        ]
