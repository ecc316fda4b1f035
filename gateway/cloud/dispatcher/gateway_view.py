"""What the dispatcher knows of a gateway, folded from what it heard. Pure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from gateway.cloud.dispatcher.claims import Quotes
from gateway.cloud.dispatcher.heard import Challenge, CommandStory, HeardMessage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class GatewayView:
    """One gateway as it shows itself.

    Args:
        gateway: its id, for messages.
        keep: how many messages ``received`` remembers; None: all.
    """

    def __init__(self, gateway: str, *, keep: int | None) -> None:
        self.received: deque[HeardMessage] = deque(maxlen=keep)
        self.birth: Mapping[str, Any] = {}
        self.status: Mapping[str, Any] = {}
        self.states: dict[str, Mapping[str, Any]] = {}  # by asset
        self.phases: dict[str, str] = {}  # the watchdog's, by asset: of birth or state
        self.challenge: Challenge | None = None
        self._gateway = gateway
        self._stories: dict[str, list[HeardMessage]] = {}

    def take(self, heard: HeardMessage) -> Challenge | None:
        """Add a message; returns the challenge that it is."""
        self.received.append(heard)
        body = heard.body
        match heard.schema:
            case "bess.birth/1":
                self._born(body)
            case "bess.status/1":
                self.status = body
            case "bess.challenge/1" if not heard.retained:  # a kept question is an old one
                return self._asked(heard)
            case "bess.state/1":
                self._state(body)
            case "bess.ack/1" | "bess.result/1":
                self._stories.setdefault(str(body.get("id")), []).append(heard)
        return None

    def story(self, id_: str) -> CommandStory:
        """What was said about a command so far."""
        said = self._stories.get(id_, [])
        acks = tuple(one for one in said if one.schema == "bess.ack/1")
        results = tuple(one for one in said if one.schema == "bess.result/1")
        return CommandStory(id_, acks, results)

    def asset(self, asset: str) -> Mapping[str, Any]:
        """What birth says of ``asset``; {} where it does not name it."""
        return next((one for one in self._assets() if one.get("id") == asset), {})

    def control(self, asset: str) -> Mapping[str, Any]:
        """What birth says of its control; {} where it says nothing."""
        found = self.asset(asset).get("control")
        return found if isinstance(found, dict) else {}

    def quotes(self, asset: str) -> Quotes | None:
        """What a command must quote now; None while something of it is missing."""
        asked, mapped = self.challenge, self.asset(asset).get("map")
        map_digest = mapped.get("digest") if isinstance(mapped, dict) else None
        safety_digest = self.control(asset).get("safetyDigest")
        if not self._asks() or asked is None or map_digest is None or safety_digest is None:
            return None
        return Quotes(
            session=asked.session,
            challenge=asked.number,
            map_digest=str(map_digest),
            safety_digest=str(safety_digest),
        )

    def missing(self, asset: str) -> str:
        """Why there is nothing to quote, for people."""
        gateway = f"gateway {self._gateway}"
        if not self.birth:
            return f"{gateway} is unknown to the broker: it has no birth message of it"
        if self.status and self.status.get("online") is not True:
            return f"{gateway} is offline: its status says so"
        if not self.asset(asset):
            names = ", ".join(repr(one.get("id")) for one in self._assets()) or "none"
            return f"{gateway} has no asset {asset!r}: its birth names {names}"
        control = self.control(asset)
        given = control.get("reasons")
        reasons = ", ".join(map(str, given)) if isinstance(given, list) and given else "none given"
        if control.get("safetyDigest") is None:
            return f"control of {asset} is off, it has no safety file; reasons: {reasons}"
        if not self._asks():
            return (
                f"{gateway} sends no challenge; reasons that control of {asset} is off: {reasons}"
            )
        return f"the birth of {gateway} has no map digest for {asset}"

    def _asks(self) -> bool:
        asked = self.challenge
        return asked is not None and asked.session == self.birth.get("session")

    def _assets(self) -> Iterator[Mapping[str, Any]]:
        listed = self.birth.get("assets")
        return (
            one for one in (listed if isinstance(listed, list) else ()) if isinstance(one, dict)
        )

    def _born(self, body: Mapping[str, Any]) -> None:
        self.birth = body
        for one in self._assets():
            control = one.get("control")
            if isinstance(control, dict) and control.get("state"):
                self.phases[str(one.get("id"))] = str(control["state"])

    def _state(self, body: Mapping[str, Any]) -> None:
        asset = str(body.get("asset"))
        self.states[asset] = body
        if found := body.get("controlState"):
            self.phases[asset] = str(found)

    def _asked(self, heard: HeardMessage) -> Challenge | None:
        session, number = heard.body.get("session"), heard.body.get("challenge")
        if not isinstance(session, str) or not isinstance(number, int):
            return None
        self.challenge = Challenge(session, number, heard.at)
        return self.challenge
