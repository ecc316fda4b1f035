"""The dispatch application as a class: answers heartbeats, sends signed commands, hears the rest.

What a reader would get wrong:

* It keeps everything that it heard, with the time of arrival, and drops nothing: ``received``.
* A command quotes the newest challenge, so it can be signed only while the gateway asks: ``ready``
  waits for that, and says what is missing.
* ``on_challenge`` decides what is answered, and when; a test delays, drops, doubles or replays
  with it. Like ``on_heard``, ``on_link`` and what ``wait_until`` is given, it must not wait, and
  not call ``send`` or ``raw``: they wait for what the network thread brings.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from typing import TYPE_CHECKING, Any, Self

from gateway import clock
from gateway.cloud.dispatcher import signing
from gateway.cloud.dispatcher.claims import command_claims, heartbeat_claims
from gateway.cloud.dispatcher.delayed import DelayedSender
from gateway.cloud.dispatcher.gateway_view import GatewayView
from gateway.cloud.dispatcher.heard import BAD_ENDS, DelayedHeartbeat, HeardMessage
from gateway.consumer import decode
from gateway.errors import GatewayError, PayloadError
from gateway.mqtt.cloud_session import BrokerAccess, BrokerUnreachableError, CloudSession
from gateway.mqtt.moderation import Moderation
from gateway.uplink.topics import Topics

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from gateway.clock import Now
    from gateway.cloud.dispatcher.claims import Quotes
    from gateway.cloud.dispatcher.heard import Challenge, CommandStory
    from gateway.cloud.dispatcher.signing import Signer

__all__ = ["BrokerAccess", "BrokerUnreachableError", "DispatchError", "Dispatcher", "NotReadyError"]

PUBACK_S = 5.0
_ANSWERS = "hb/down"
_GATEWAYS_OWN = {"birth": 1, "status": 1, "hb/up": 0}
_OF_AN_ASSET = {"cmd/ack": 1, "cmd/result": 1, "state": 1, "event": 1}


class DispatchError(GatewayError):
    """What was waited for did not come; says what did."""

    exit_code = 1


class NotReadyError(DispatchError):
    """No command can be signed: the gateway is offline, its control is off, or it does not ask."""


class Dispatcher:
    """Speaks for the cloud to one gateway. Every method may be called from any thread.

    Args:
        connection: the broker, and who we are there.
        gateway: its id.
        signers: who signs commands; two for dual approval. May be empty: then nothing is sent.
        heartbeat: who answers challenges; None: nobody.
        lifetime_s: of commands, s, at most 120.
        keep: how many messages ``received`` remembers; None: all.
        puback_s: how long the broker may take to acknowledge what is published, s.
    """

    def __init__(
        self,
        connection: BrokerAccess,
        *,
        gateway: str,
        signers: Sequence[Signer] = (),
        heartbeat: Signer | None = None,
        lifetime_s: float = 60.0,
        keep: int | None = None,
        puback_s: float = PUBACK_S,
    ) -> None:
        self.gateway = gateway
        self.puback_s = puback_s
        self.signers = tuple(signers)
        self.heartbeat = heartbeat
        self.lifetime_s = lifetime_s
        self.topics = Topics(connection.prefix, gateway)
        self.answering = True  # False: the application is alive and does not answer
        self.answer_delay_s = 0.0
        self.on_challenge: Callable[[Challenge, bytes], Iterable[DelayedHeartbeat]] | None = None
        self.on_heard: Callable[[HeardMessage], None] = _nothing  # after each message
        self.on_link: Callable[[], None] = _nothing  # after each change of the connection
        self._changed = threading.Condition()
        self._picture = GatewayView(gateway, keep=keep)
        self._sending = threading.Lock()
        self._seq = 0
        self._later: DelayedSender | None = None
        # A broker that asks without end collects answers: there must be few for all numbers.
        self._asked = Moderation([_ANSWERS], clock.now().mono_s)
        subscriptions = {self.topics.own(tail): qos for tail, qos in _GATEWAYS_OWN.items()}
        for tail, qos in _OF_AN_ASSET.items():
            subscriptions[self.topics.own(f"+/{tail}")] = qos
        subscriptions[self.topics.own("event")] = 1
        self._link = CloudSession(
            connection, topics=subscriptions, heard=self._heard, turned=self._turned
        )

    # --- life -------------------------------------------------------------------------------

    def start(self, *, within_s: float = 10.0) -> None:
        """Connect; from now on connect again, each second, whenever the connection ends.

        Raises:
            ConfigError: a file of ours is wrong.
            BrokerUnreachableError: the broker is not there, or refuses us.
        """
        self._later = DelayedSender(self._answer)
        self._link.open(within_s=within_s)

    def stop(self) -> None:
        """Fall silent: disconnect, and drop answers that were to be late. ``start`` begins anew."""
        if self._later is not None:
            self._later.close()
        self._link.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # --- what was heard ---------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether the broker has us."""
        return self._link.up

    @property
    def cause(self) -> str:
        """Why it has us not; "" while it has."""
        return self._link.cause

    @property
    def received(self) -> tuple[HeardMessage, ...]:
        """Every message, in the order of arrival."""
        with self._changed:
            return tuple(self._picture.received)

    @property
    def birth(self) -> Mapping[str, Any]:
        """The newest ``bess.birth/1``; {} before the first."""
        return self._picture.birth

    @property
    def status(self) -> Mapping[str, Any]:
        """The newest ``bess.status/1``; {} before the first."""
        return self._picture.status

    @property
    def online(self) -> bool:
        """Whether the gateway says that it is."""
        return self.status.get("online") is True

    @property
    def challenge(self) -> Challenge | None:
        """The newest question, None before the first."""
        return self._picture.challenge

    def state(self, asset: str) -> Mapping[str, Any]:
        """The newest ``bess.state/1`` of ``asset``; {} before the first."""
        return self._picture.states.get(asset, {})

    def events(self, type_: str = "") -> tuple[HeardMessage, ...]:
        """The events so far, of one type or of all."""
        events = (one for one in self.received if one.schema.startswith("bess.event/"))
        return tuple(one for one in events if not type_ or one.body.get("type") == type_)

    def asset(self, asset: str) -> Mapping[str, Any]:
        """What birth says of ``asset``: name, map, control; {} where it does not name it."""
        return self._picture.asset(asset)

    def control(self, asset: str) -> Mapping[str, Any]:
        """What birth says of control: state, enabled, reasons, approval, safetyDigest, verbs."""
        return self._picture.control(asset)

    def control_state(self, asset: str) -> str:
        """The watchdog's state, such as ARMED, as birth or state said last; "" if neither did."""
        return self._picture.phases.get(asset, "")

    # --- waiting ----------------------------------------------------------------------------

    def wait_until(self, done: Callable[[], object], *, within_s: float, what: str) -> None:
        """Wait until ``done()``; it is asked after every message and change of the connection.

        Raises:
            DispatchError: it did not come true; says ``what``.
        """
        with self._changed:
            if not self._changed.wait_for(done, within_s):
                message = f"{what}: not within {within_s:g} s"
                raise DispatchError(message)

    def ready(self, asset: str, *, within_s: float = 10.0) -> Quotes:
        """Wait until a command for ``asset`` can be signed; returns what it will quote.

        Raises:
            NotReadyError: says what is missing, with the gateway's own reasons.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._picture.quotes(asset) is not None, within_s)
            return self._quotes(asset)

    def wait_control(self, asset: str, states: Collection[str], *, within_s: float) -> str:
        """Wait until the watchdog is in one of ``states``; returns which.

        Raises:
            DispatchError: it is not; says where it is.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self.control_state(asset) in states, within_s):
                found = self.control_state(asset) or "unknown"
                message = f"{asset} is {found}: not {' or '.join(states)} within {within_s:g} s"
                raise DispatchError(message)
            return self.control_state(asset)

    def follow(self, id_: str) -> CommandStory:
        """What was said about a command so far."""
        with self._changed:
            return self._picture.story(id_)

    def wait_for(self, id_: str, states: Collection[str], *, within_s: float) -> CommandStory:
        """Wait until a command was in one of ``states``; returns what was said about it.

        Raises:
            DispatchError: it ended badly in another state, or the time was up; says the story.
        """
        wanted = set(states)

        def decided() -> bool:
            return bool({*self.follow(id_).states} & (wanted | {*BAD_ENDS}))

        with self._changed:
            self._changed.wait_for(decided, within_s)
            story = self.follow(id_)
        if not wanted & {*story.states}:
            late = "" if decided() else f" within {within_s:g} s"
            message = f"{story}: not {' or '.join(sorted(wanted))}{late}"
            raise DispatchError(message)
        return story

    # --- saying -----------------------------------------------------------------------------

    def send(self, asset: str, verb: str, **params: int | str | None) -> str:
        """Sign and send a command; returns its id.

        Args:
            asset: id of the battery.
            verb: such as "setpoint".
            params: power_w (W; a setpoint that discharges is positive), duration_s, ramp_w_per_s,
                min_soc, max_soc (percent), name (of a mode), percent (of the reserve).

        Raises:
            NotReadyError: nothing can be signed: wait with ``ready``.
            BrokerUnreachableError: the broker is away, or does not let us.
            UsageError: an unknown parameter.
        """
        with self._sending:  # two threads must not overtake each other between seq and broker
            made = self.claims(asset, verb, **params)
            self.raw(self.topics.own(f"{asset}/cmd"), self.sign(made))
        return str(made["id"])

    def claims(self, asset: str, verb: str, **params: int | str | None) -> dict[str, Any]:
        """The claims that ``send`` would sign now, for tests that change them."""
        with self._changed:
            quotes = self._quotes(asset)
            now = clock.now()
            self._seq = max(self._seq + 1, now.unix_ms)  # rises over restarts, too
            seq = self._seq
        return command_claims(
            verb,
            params,
            id_=signing.ulid(now.unix_ms, secrets.token_bytes(10)),
            gateway=self.gateway,
            asset=asset,
            quotes=quotes,
            seq=seq,
            issued_ms=now.unix_ms,
            lifetime_s=self.lifetime_s,
        )

    def sign(
        self, made: Mapping[str, object] | bytes, signers: Sequence[Signer] | None = None
    ) -> bytes:
        """The envelope of a command's claims; by ``self.signers`` unless told otherwise."""
        return signing.sign(made, self.signers if signers is None else signers, signing.COMMAND_TYP)

    def sign_answer(self, session: str, challenge: int) -> bytes:
        """A heartbeat, as a challenge would be answered.

        Raises:
            ValueError: there is nobody to sign heartbeats.
        """
        made = heartbeat_claims(gateway=self.gateway, session=session, challenge=challenge)
        signers = () if self.heartbeat is None else (self.heartbeat,)
        return signing.sign(made, signers, signing.HEARTBEAT_TYP)

    def raw(
        self,
        topic: str,
        payload: bytes,
        retain: bool = False,  # noqa: FBT001, FBT002 - as paho has it
        *,
        qos: int = 1,
        wait_s: float | None = None,
    ) -> None:
        """Publish any bytes on any topic, and wait for the PUBACK (QoS 1, ``wait_s`` > 0).

        Args:
            topic: where to.
            payload: the bytes.
            retain: whether the broker keeps it.
            qos: 0 or 1.
            wait_s: how long for the PUBACK; None: ``puback_s``, 0: not at all.

        Raises:
            BrokerUnreachableError: not connected, refused by the broker, or no PUBACK in time.
        """
        limit_s = self.puback_s if wait_s is None else wait_s
        self._link.publish(topic, payload, qos=qos, retain=retain, wait_s=limit_s)

    # --- below: the network thread, and what needs the lock -----------------------------------

    def _heard(self, topic: str, payload: bytes, retained: bool, at: Now) -> None:  # noqa: FBT001 - the network's callback
        try:
            body = decode(payload)
        except PayloadError:
            body = {}  # kept all the same: a test looks for it
        heard = HeardMessage(topic, payload, retained, at, body)
        with self._changed:
            asked = self._picture.take(heard)
            self._changed.notify_all()
        if asked is not None:
            self._reply(asked)
        self.on_heard(heard)

    def _turned(self) -> None:
        with self._changed:
            self._picture.challenge = None  # of another connection: too old to quote
            self._changed.notify_all()
        self.on_link()

    def _reply(self, asked: Challenge) -> None:
        if not self.answering or self.heartbeat is None:
            return
        if not self._asked.hears(_ANSWERS, asked.at.mono_s):
            return
        signed = self.sign_answer(asked.session, asked.number)
        answers: Iterable[DelayedHeartbeat] = (DelayedHeartbeat(self.answer_delay_s, signed),)
        if self.on_challenge is not None:
            answers = self.on_challenge(asked, signed)
        for answer in answers:
            if answer.delay_s > 0 and self._later is not None:
                self._later.add(answer.payload, delay_s=answer.delay_s)
            else:
                self._answer(answer.payload)

    def _answer(self, payload: bytes) -> None:
        with contextlib.suppress(BrokerUnreachableError):  # it is away: the lease knows
            self._link.publish(self.topics.own(_ANSWERS), payload, qos=0, retain=False, wait_s=0.0)

    def _quotes(self, asset: str) -> Quotes:
        """What to quote; under the lock."""
        quotes = self._picture.quotes(asset)
        if quotes is None or not self._link.up:
            away = f"the broker is away: {self._link.cause or 'not connected'}"
            raise NotReadyError(self._picture.missing(asset) if self._link.up else away)
        return quotes


def _nothing(*_: object) -> None:
    """Nobody wants to know."""
