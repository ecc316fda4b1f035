"""What has changed since the last look: the connection, the gateway, control, heartbeats. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.cloud.dispatcher.lines import Line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.clock import Now
    from gateway.cloud.dispatcher.heard import Challenge

SILENT_S = 15.0  # three challenges are missing


class Changes:
    """Remembers what was said of each thing, and says only what is new."""

    def __init__(self, gateway: str) -> None:
        self._gateway = gateway
        self._said: dict[str, str] = {}
        self._asked: Challenge | None = None
        self._asked_s: float | None = None  # since when we wait for a challenge, monotonic s

    def look(
        self,
        *,
        now: Now,
        cause: str | None,
        status: Mapping[str, Any],
        birth: Mapping[str, Any],
        challenge: Challenge | None,
        answering: bool,
    ) -> Iterator[Line]:
        """The lines for what differs from the last look.

        Args:
            now: both clocks.
            cause: why the broker is away; None while it is there.
            status: the newest, {} before the first.
            birth: the newest, {} before the first.
            challenge: the newest, None before the first.
            answering: whether challenges are answered here; else nothing is said of them.
        """
        link = "connected" if cause is None else f"away: {cause}"
        yield from self._new(now, "link", f"broker {link}", {"up": cause is None, "cause": cause})
        if status:
            online = status.get("online") is True
            text = f"{self._gateway} is {'online' if online else 'offline'}"
            yield from self._new(now, "status", text, {"online": online})
        assets = birth.get("assets")
        for one in assets if isinstance(assets, list) else ():
            if isinstance(one, dict) and isinstance(one.get("control"), dict):
                yield from self._control(now, str(one.get("id")), one["control"])
        if answering:
            yield from self._heartbeat(now, challenge)

    def _control(self, now: Now, asset: str, control: Mapping[str, Any]) -> Iterator[Line]:
        reasons = control.get("reasons")
        listed = ", ".join(map(str, reasons)) if isinstance(reasons, list) and reasons else ""
        text = f"{asset} is {control.get('state')}" + (f", not ready: {listed}" if listed else "")
        yield from self._new(now, "control", text, {"asset": asset, **control})

    def _heartbeat(self, now: Now, challenge: Challenge | None) -> Iterator[Line]:
        if challenge is not None:
            self._asked, self._asked_s = challenge, challenge.at.mono_s
        if self._asked_s is None:
            self._asked_s = now.mono_s
        session = None if self._asked is None else self._asked.session
        if now.mono_s - self._asked_s >= SILENT_S:
            text = f"no challenge for {SILENT_S:g} s: the gateway does not ask, or is not heard"
            yield from self._new(now, "heartbeat", text, {"answering": False, "session": session})
        elif self._asked is not None:
            text = f"answering the challenges of session {session}"
            yield from self._new(now, "heartbeat", text, {"answering": True, "session": session})

    def _new(self, now: Now, kind: str, text: str, facts: Mapping[str, Any]) -> Iterator[Line]:
        key = f"{kind} {facts.get('asset', '')}"
        if self._said.get(key) != text:
            self._said[key] = text
            yield Line(now.unix_ms, kind, text, facts)
