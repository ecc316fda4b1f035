"""What ``bess-gateway dispatch`` does: heartbeat, watch, keygen, and one command for each verb."""

from __future__ import annotations

import queue
import secrets
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from gateway import clock
from gateway.cloud.dispatcher import keyfile, lines
from gateway.cloud.dispatcher.changes import Changes
from gateway.cloud.dispatcher.claims import POWER_VERBS
from gateway.cloud.dispatcher.client import BrokerAccess, Dispatcher, NotReadyError
from gateway.cloud.dispatcher.following import Following
from gateway.cloud.dispatcher.lines import Line
from gateway.cloud.dispatcher.settings import Settings, read
from gateway.errors import ConfigError, Fault, Where

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from gateway.cloud.dispatcher.heard import HeardMessage
    from gateway.cloud.dispatcher.signing import Signer

READY_S = 10.0  # two challenges are due in this time
KEEP = 1000  # messages; a heartbeat runs for months
_PARAMS = ("power_w", "duration_s", "ramp_w_per_s", "min_soc", "max_soc", "name", "percent")


def keygen(path: Path, *, alg: str) -> int:
    """Make a key and say where it is."""
    public = keyfile.make_key(path, alg=alg)
    print(f"{path}: private key ({alg}), mode 0600: keep it here")  # noqa: T201 - a command's output
    print(f"{public}: public key: for public_key_file in the site's safety.toml")  # noqa: T201 - as above
    return 0


def run(asked: argparse.Namespace) -> int:
    """Carry out ``heartbeat``, ``watch`` or a verb; returns the exit code: 0, or 1 if it failed.

    Raises:
        UsageError: an option is missing.
        ConfigError: a file has faults.
        GatewayError: the broker or the gateway cannot be reached, or nothing can be signed.
    """
    settings = _settings(asked)
    settings.require("host", "ca", "cert", "key", "gateway")
    verb = getattr(asked, "verb", None)
    answers = asked.dispatch == "heartbeat" or (verb and (asked.hold or asked.settle))
    if verb:
        settings.require("asset", "signing_key", "kid")
    if answers:
        settings.require("heartbeat_key", "heartbeat_kid")
    keys = [("signing_key", "kid"), ("approver_key", "approver_kid")] if verb else []
    dispatcher = Dispatcher(
        _connection(settings),
        gateway=str(settings.gateway),
        signers=[signer for pair in keys if (signer := _signer(settings, *pair)) is not None],
        heartbeat=_signer(settings, "heartbeat_key", "heartbeat_kid") if answers else None,
        lifetime_s=getattr(asked, "lifetime", 60),
        keep=KEEP,
    )
    operator = _Operator(dispatcher, json=asked.json)
    with dispatcher:
        if verb:
            return _order(operator, asked, str(settings.asset))
        return _listen(operator, asked)


def _settings(asked: argparse.Namespace) -> Settings:
    names = [one.name for one in fields(Settings)]
    options = Settings(**{name: getattr(asked, name, None) for name in names})
    if asked.config is None:
        return options
    try:
        raw = asked.config.read_bytes()
    except OSError as error:
        where = Where(str(asked.config), "", "", 1)
        raise ConfigError([Fault(where, f"cannot be read: {error.strerror}")]) from None
    return read(raw, file=str(asked.config)).under(options)


def _connection(settings: Settings) -> BrokerAccess:
    return BrokerAccess(
        str(settings.host),
        settings.port or 8883,
        ca=str(settings.ca),
        cert=str(settings.cert),
        key=str(settings.key),
        client_id=settings.client_id or f"dispatch-{secrets.token_hex(4)}",
        prefix=settings.prefix or "bess/v1",
        protocol=settings.protocol or "5",
    )


def _signer(settings: Settings, key: str, kid: str) -> Signer | None:
    found = settings.pair(key, kid)
    return None if found is None else keyfile.load_signer(Path(found[0]), found[1])


class _Operator:
    """The dispatcher, what it hears in order, and where lines go."""

    def __init__(self, dispatcher: Dispatcher, *, json: bool) -> None:
        self.dispatcher = dispatcher
        self._json = json
        self._heard: queue.SimpleQueue[HeardMessage | None] = queue.SimpleQueue()
        self._noticing = Changes(dispatcher.gateway)
        dispatcher.on_heard = self._heard.put
        dispatcher.on_link = lambda: self._heard.put(None)

    def say(self, line: Line) -> None:
        """Print a line now."""
        sys.stdout.write((line.json() if self._json else line.human()) + "\n")
        sys.stdout.flush()

    def notice(self, *, heartbeats: bool) -> None:
        """Print what has changed since the last time."""
        one = self.dispatcher
        for line in self._noticing.look(
            now=clock.now(),
            cause=None if one.connected else one.cause or "not connected",
            status=one.status,
            birth=one.birth,
            challenge=one.challenge,
            answering=heartbeats,
        ):
            self.say(line)

    def hear(self, *, for_s: float | None) -> Iterator[HeardMessage | None]:
        """Messages as they come, and None at least each second; for ``for_s`` s, None: for ever."""
        end_at = None if for_s is None else time.monotonic() + for_s
        while True:
            left_s = 1.0 if end_at is None else min(1.0, end_at - time.monotonic())
            if left_s <= 0:
                return
            try:
                yield self._heard.get(timeout=left_s)
            except queue.Empty:
                yield None


def _listen(operator: _Operator, asked: argparse.Namespace) -> int:
    """``heartbeat`` and ``watch``: until Ctrl-C, or for as long as was asked."""
    watching = asked.dispatch == "watch"
    try:
        for heard in operator.hear(for_s=asked.run_s):
            line = lines.of_message(heard) if watching and heard is not None else None
            if line is not None:
                operator.say(line)
            operator.notice(heartbeats=not watching)
    except KeyboardInterrupt:
        pass  # how it is ended
    return 0


def _order(operator: _Operator, asked: argparse.Namespace, asset: str) -> int:
    """Send a verb and follow it."""
    dispatcher = operator.dispatcher
    given = {name: getattr(asked, name, None) for name in _PARAMS}
    if asked.settle:
        for _ in operator.hear(for_s=asked.settle):
            operator.notice(heartbeats=True)
    _ready(operator, asset)
    sent = dispatcher.send(asset, asked.verb, **given)
    operator.say(_sent(operator, asset, asked.verb, sent, given))
    following = Following(
        sent,
        until=asked.until,
        within_s=asked.within,
        sent_s=clock.now().mono_s,
        hold_s=_hold_s(asked),
    )
    try:
        for heard in operator.hear(for_s=None):
            line = lines.of_message(heard) if heard is not None else None
            if heard is not None and line is not None and heard.body.get("id") == sent:
                operator.say(line)
            end = following.take(heard, phase=dispatcher.control_state(asset), now=clock.now())
            if end is not None:
                break
    except KeyboardInterrupt:
        if asked.hold:
            text = "no more answers: the gateway idles the battery when its lease ends"
            operator.say(Line(clock.now().unix_ms, "end", text, {"ok": False, "text": text}))
        raise
    assert end is not None  # else it waits
    facts = {"ok": end.ok, "id": sent, "text": end.text}
    operator.say(Line(clock.now().unix_ms, "end", end.text, facts))
    return 0 if end.ok else 1


def _hold_s(asked: argparse.Namespace) -> float | None:
    """How long to hold after it was carried out, s; None: not at all."""
    if not asked.hold:
        return None
    if asked.verb in POWER_VERBS:
        return float(asked.duration_s)
    return float("inf") if asked.verb == "arm" else None


def _ready(operator: _Operator, asset: str) -> None:
    """Wait for a challenge to quote; not where the gateway says that none will come."""
    dispatcher = operator.dispatcher
    end_at = time.monotonic() + READY_S
    for _ in operator.hear(for_s=READY_S):
        told = dispatcher.birth and dispatcher.status
        off = told and (not dispatcher.online or not dispatcher.control(asset).get("safetyDigest"))
        try:
            dispatcher.ready(asset, within_s=0.0)
        except NotReadyError:
            if off or time.monotonic() >= end_at:
                raise
        else:
            return
    dispatcher.ready(asset, within_s=0.0)


def _sent(
    operator: _Operator, asset: str, verb: str, sent: str, given: dict[str, int | str | None]
) -> Line:
    params = {name: value for name, value in given.items() if value is not None}
    asked = operator.dispatcher.challenge
    number = None if asked is None else asked.number
    said = "".join(f" {name}={value}" for name, value in params.items())
    text = f"{sent} {verb}{said} to {asset} of {operator.dispatcher.gateway}, challenge {number}"
    facts = {"id": sent, "asset": asset, "type": verb, "params": params, "challenge": number}
    return Line(clock.now().unix_ms, "sent", text, facts)
