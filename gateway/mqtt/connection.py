"""One MQTT connection of the daemon, from CONNECT to its end.

What a reader would get wrong:

* Every connection has a new paho client, so that nothing of an old one (message ids, messages
  that paho would send again) reaches the next. Our queue is the only queue.
* ``publish`` runs on the core's thread and only hands over; ``client`` says why it may.
* Callbacks run inside paho's locks, so they only note; the rest happens between two passes of
  the loop. Nothing is published from a callback.
* ``BrokerUp`` is posted once we are subscribed. What is unacknowledged when a connection ends
  stays unacknowledged: an acknowledgement is a PUBACK and nothing else.
* The broker is not trusted. What it sends beyond ``moderation`` is dropped here and read slowly, so
  that TCP holds it back; what only fills our memory ends the connection.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway import clock
from gateway.events import (
    BrokerUp,
    MessageArrived,
    PublishAcknowledged,
    PublishRefused,
    PublishUnheard,
)
from gateway.mqtt import causes
from gateway.mqtt.client import CONNECT_S, HiddenError, attach, detach, parts, subscribe
from gateway.mqtt.dial import Resolver, dial
from gateway.mqtt.moderation import Moderation
from gateway.tls.credentials import password

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Mapping

    from paho.mqtt.reasoncodes import ReasonCode

    from gateway.config.site import UplinkSettings
    from gateway.effects import Publish
    from gateway.events import Post

log = logging.getLogger(__name__)

MAX_INBOUND = 16 * 1024  # bytes of a payload that is taken; of a larger one the rest is dropped
MAX_OFFERED = 128 * 1024  # bytes of a payload that the broker may send: SPECIFICATION.md, section 5
STALLED_S = 60.0  # messages are in flight and no PUBACK came: the broker is not well
SKIPPED_S = 10.0  # PUBACKs come in order (MQTT 5, 4.6): one that was passed over will not come
MAX_WAITING = 10_000  # messages handed over beyond the broker's Receive Maximum
LOOP_S = 0.25
LARGEST = 1 << 20  # bytes of an incoming packet; a broker has no reason for a tenth of it
MAX_UNREAD = 16 << 20  # bytes handed to paho that the broker does not read
SLOWLY_S = 0.001  # after a turn that brought too much: the core's thread goes first
_WORST_TOPIC = 512  # bytes of topic and properties, for the packet size
_NO_LIMIT = 268_435_455  # the largest MQTT packet
_PUBACKS = 100  # packets of ours without a token that may wait: PUBACKs, challenges, receipts
_UNHEARD = 0x10  # No matching subscribers (MQTT 5, 3.4.2.1)
_RECEIVE_MAX = 65_535  # if the broker says nothing (MQTT 5, 3.2.2.3.3)


class ConnectionEnded(Exception):  # noqa: N818 - no error: every connection ends, with a cause
    """The connection is over, or could not be made; its text is the cause.

    Args:
        cause: in words.
        code: the broker's reason (MQTT 5, 2.4), where it gave one; 0: it gave none.
        silent: the broker passed PUBACKs over.
    """

    def __init__(self, cause: str, *, code: int = 0, silent: bool = False) -> None:
        super().__init__(cause)
        self.code, self.silent = code, silent


class _Client(paho.Client):
    """paho gives each address of the broker ``CONNECT_S``; here they share it."""

    resolver: Resolver

    def _create_socket_connection(self) -> socket.socket:
        return dial(self._host, self._port, within_s=CONNECT_S, resolve=self.resolver)


class Connection:
    """One paho client from CONNECT to its end. All but ``offer`` is the network thread's."""

    def __init__(  # noqa: PLR0913 - each is named where it is made
        self,
        settings: UplinkSettings,
        context: ssl.SSLContext,
        *,
        gateway: str,
        host: str,
        inbound: Mapping[str, int],
        will: tuple[str, bytes],
        post: Post,
        resolver: Resolver,
        retain: bool = True,
        stalled_s: float = STALLED_S,
    ) -> None:
        self.up = False
        self.retains = retain  # the broker keeps retained messages, as far as anybody knows
        self.acknowledged = False  # at least one message
        self._greeted = False  # CONNACK was positive: whatever it says later is no greeting
        self._settings = settings
        self._where = f"{host}:{settings.port}"
        self._host, self._gateway, self._resolver = host, gateway, resolver
        self._inbound = inbound
        self._post = post
        self._v5 = settings.protocol == "5"
        self._lock = threading.Lock()
        self._tokens: dict[int, int] = {}  # paho's message id -> our token
        self._waiting: deque[Publish] = deque()
        self._stalled_s = stalled_s
        self._moved_at = 0.0
        self._passed_over = False  # a PUBACK came for a later message than the oldest in flight
        self._receive_max = _RECEIVE_MAX
        self._max_packet = _NO_LIMIT
        self._pubacks: deque[tuple[int, ReasonCode]] = deque()
        self._connack: tuple[ReasonCode, Properties | None] | None = None
        self._subacks: list[ReasonCode] = []
        self._bye, self._bye_code = "", 0
        self._properties: dict[tuple[str, str], Properties | None] = {}
        self._hidden = HiddenError()
        self._moderation = Moderation(inbound, clock.now().mono_s)
        self._dropped = False  # something, in this turn
        self._client = self._make(context, gateway, will)

    def _make(self, context: ssl.SSLContext, gateway: str, will: tuple[str, bytes]) -> paho.Client:
        client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._settings.client_id or gateway,
            clean_session=None if self._v5 else True,
            protocol=paho.MQTTv5 if self._v5 else paho.MQTTv311,
            reconnect_on_failure=False,
        )
        client.resolver = self._resolver
        client.max_inflight_messages = 0  # ``_receive_max`` counts; paho would scan at each PUBACK
        client.max_queued_messages = _RECEIVE_MAX
        client.tls_set_context(context)
        if self._settings.username:
            client.username_pw_set(self._settings.username, password(self._settings))
        properties = _gateway_property(PacketTypes.WILLMESSAGE, gateway) if self._v5 else None
        client.will_set(will[0], will[1], qos=1, retain=self.retains, properties=properties)
        attach(client, self, self._hidden)
        return client

    def open(self) -> None:
        """Connect and subscribe.

        Raises:
            ConnectionEnded: why not.
        """
        host, port = self._host, self._settings.port
        properties = None
        if self._v5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho 2.2
            properties.SessionExpiryInterval = 0
            properties.MaximumPacketSize = MAX_OFFERED + _WORST_TOPIC
        try:
            self._client.connect(
                host,
                port,
                self._settings.keepalive_s,
                clean_start=True if self._v5 else paho.MQTT_CLEAN_START_FIRST_ONLY,
                properties=properties,
            )
        except (OSError, ValueError) as error:  # ValueError: a name that no IDNA or TLS takes
            raise ConnectionEnded(causes.of_error(error, host=host, port=port)) from error
        end_at = time.monotonic() + CONNECT_S
        self._await(lambda: self._connack is not None, "CONNACK", end_at)
        self._greet()
        refused = self._subscribe()
        with self._lock:
            self.up = True
        self._moved_at = time.monotonic()
        self._post(
            BrokerUp(
                self._receive_max,
                clock.now(),
                where=self._where,
                refused=refused,
                max_packet=self._max_packet,
                chance=random.random(),  # noqa: S311 - jitter, no secret
            )
        )

    def _greet(self) -> None:
        """Obey what CONNACK says that the broker bears."""
        assert self._connack is not None
        code, granted = self._connack
        if code.is_failure:
            why = f"the broker refused us: {causes.reason(code.value, code.getName())}"
            raise ConnectionEnded(why, code=code.value)
        self._greeted = True
        if getattr(granted, "MaximumQoS", 1) == 0:
            raise ConnectionEnded(causes.NO_QOS)
        self.retains = self._settings.retain and getattr(granted, "RetainAvailable", 1) != 0
        self._receive_max = getattr(granted, "ReceiveMaximum", _RECEIVE_MAX)
        self._max_packet = getattr(granted, "MaximumPacketSize", _NO_LIMIT)

    def _subscribe(self) -> tuple[str, ...]:
        """Subscribe in steps that every broker takes; the topics that this one refuses."""
        refused, end_at = [], time.monotonic() + CONNECT_S
        for some in parts(self._inbound):
            self._subacks = []
            subscribe(self._client, some, v5=self._v5, retained=True)
            self._await(lambda: bool(self._subacks), "SUBACK", end_at)
            for topic, granted in zip(some, self._subacks, strict=False):
                if granted.is_failure:
                    refused.append(topic)
                    log.warning("the broker refuses our subscription to %s: %s", topic, granted)
        return tuple(refused)

    def offer(self, order: Publish) -> str:
        """Publish ``order``, or keep it until the broker's Receive Maximum allows; any thread.

        Returns:
            Why it was not taken; "" if it was.
        """
        size = len(order.payload) + len(order.topic) + _WORST_TOPIC
        if size > self._max_packet:
            return f"{size} bytes: the broker takes packets up to {self._max_packet}"
        with self._lock:
            if not self.up:
                return "not connected"
            if order.qos and (self._waiting or len(self._tokens) >= self._receive_max):
                if len(self._waiting) >= MAX_WAITING:
                    return f"{MAX_WAITING} messages wait for the broker's Receive Maximum"
                self._waiting.append(order)
                return ""
            return self._send(order)

    def turn(self) -> None:
        """One pass of the network loop, and what it brought.

        Raises:
            ConnectionEnded: the connection is over, and why.
        """
        self._loop()
        self._settle()
        self._bound()
        waits_s = time.monotonic() - self._moved_at
        if not self._tokens:
            self._moved_at, self._passed_over = time.monotonic(), False
        elif self._passed_over and waits_s > SKIPPED_S:
            why = "the broker acknowledged later messages and not the oldest: do we send too much?"
            raise ConnectionEnded(why, silent=True)
        elif waits_s > self._stalled_s:
            why = f"{len(self._tokens)} messages in flight and no PUBACK for {self._stalled_s:g} s"
            raise ConnectionEnded(why, silent=True)

    def empty(self) -> bool:
        """Nothing is in flight and nothing waits."""
        with self._lock:
            return not self._tokens and not self._waiting

    def bid_farewell(self, end_at: float) -> None:
        """Send DISCONNECT, so that the will stays unpublished; until the monotonic second."""
        if self._client.socket() is not None:
            self._client.disconnect()
        while self._client.socket() is not None and time.monotonic() < end_at:
            if self._client.loop(0.05) != paho.MQTT_ERR_SUCCESS:
                break

    def drop(self) -> None:
        """Close the socket; nothing handed over from now on is taken."""
        with self._lock:
            self.up = False
            self._waiting.clear()
            self._tokens.clear()
        detach(self._client)
        found = self._client.socket()
        if found is not None:
            found.close()

    # --- below: network thread, between two passes of the loop -----------------------------

    def _await(self, done: Callable[[], bool], what: str, end_at: float) -> None:
        while not done():
            if time.monotonic() > end_at:
                why = f"the broker accepted the connection but sent no {what}"
                raise ConnectionEnded(why)
            self._loop()

    def _loop(self) -> None:
        try:
            code = self._client.loop(LOOP_S)
        except Exception as error:  # paho raises anything at all on a packet that is garbage
            why = f"the broker sent what is not MQTT ({type(error).__name__})"
            raise ConnectionEnded(why) from error
        if code != paho.MQTT_ERR_SUCCESS or self._client.socket() is None:
            if not self._greeted and self._connack is not None and self._connack[0].is_failure:
                return  # ``open`` says why
            self._settle()  # acknowledgements that came before the end
            raise self._end()

    def _bound(self) -> None:
        """Hold a broker back that sends too much, and leave one that fills our memory."""
        client = self._client
        coming = client._in_packet["remaining_length"]  # noqa: SLF001 - paho 2.2 shows it nowhere
        if coming > LARGEST:
            why = f"the broker sends a packet of {coming} bytes: at most {LARGEST} are read"
            raise ConnectionEnded(why)
        if client._in_messages:  # noqa: SLF001 - as above; it keeps them until the broker's PUBREL
            why = "the broker sends at QoS 2: we subscribe at QoS 0 and 1"
            raise ConnectionEnded(why)
        leaving = client._out_packet  # noqa: SLF001 - as above
        if len(leaving) > len(self._tokens) + _PUBACKS:  # a broker may acknowledge unread
            unread = sum(len(packet["packet"]) for packet in tuple(leaving))
            if unread > MAX_UNREAD or len(leaving) > MAX_WAITING:
                why = f"the broker reads nothing: {len(leaving)} packets wait for it"
                raise ConnectionEnded(why)
        if self._dropped:
            self._dropped = False
            if text := self._moderation.complaint(clock.now().mono_s):
                log.warning("%s", text)
            time.sleep(SLOWLY_S)

    def _end(self) -> ConnectionEnded:
        error = self._hidden.error
        if self._bye:
            return ConnectionEnded(self._bye, code=self._bye_code)
        closed = f"{self._where} {causes.CLOSED}"
        if error is not None:
            why = causes.of_error(error, host=self._host, port=self._settings.port)
            if why != closed:
                return ConnectionEnded(why)
        if self.up:
            return ConnectionEnded(closed)
        if self._greeted:
            return ConnectionEnded(f"{closed} before it answered our SUBSCRIBE")
        hint = causes.PERHAPS_3_1_1 if self._v5 else ""
        return ConnectionEnded(f"{closed} before it answered our CONNECT{hint}")

    def _settle(self) -> None:
        """Post what the loop noted, then send what may go now."""
        events: list[object] = []
        while self._pubacks:
            mid, code = self._pubacks.popleft()
            with self._lock:
                oldest = next(iter(self._tokens), None)
                token = self._tokens.pop(mid, None)
            if token is None:
                continue
            if mid == oldest:  # else a PUBACK may be lost, and its message in flight for ever
                self._moved_at, self._passed_over = time.monotonic(), False
            else:
                self._passed_over = True
            self.acknowledged = True
            if token:
                events.append(self._verdict(token, code))
            elif code.is_failure:
                log.warning("the broker refused a message: %s", code)
        with self._lock:
            while self._waiting and len(self._tokens) < self._receive_max and self.up:
                order = self._waiting.popleft()
                refusal = self._send(order)
                if refusal and order.token:
                    events.append(PublishRefused(order.token, refusal))
        for event in events:
            self._post(event)

    def _verdict(self, token: int, code: ReasonCode) -> object:
        if code.is_failure:
            why = causes.reason(code.value, code.getName())
            return PublishRefused(token, why, quota=code.value in causes.TOO_MUCH)
        if code.value == _UNHEARD:
            return PublishUnheard(token)
        return PublishAcknowledged(token, taken=self._v5)

    def _send(self, order: Publish) -> str:
        """Hand to paho, inside our lock; "" or why paho did not take it."""
        properties = None
        if self._v5:
            key = (order.content_type, order.encoding)
            properties = self._properties.get(key)
            if properties is None:
                properties = self._properties[key] = _properties(*key, self._gateway)
        try:
            sent = self._client.publish(
                order.topic, order.payload, order.qos, order.retain and self.retains, properties
            )
        except ValueError as error:
            return f"cannot be published on {order.topic!r}: {error}"
        if sent.rc != paho.MQTT_ERR_SUCCESS:
            return paho.error_string(sent.rc)
        if order.qos:
            self._tokens[sent.mid] = order.token
        return ""

    # --- below: callbacks, inside paho's locks; they only note -----------------------------

    def on_connect(
        self, _c: object, _u: object, _f: object, code: ReasonCode, granted: Properties | None
    ) -> None:
        """Note CONNACK."""
        self._connack = (code, granted)

    def on_subscribe(
        self, _c: object, _u: object, _mid: int, codes: list[ReasonCode], _p: object
    ) -> None:
        """Note SUBACK."""
        self._subacks = codes

    def on_publish(self, _c: object, _u: object, mid: int, code: ReasonCode, _p: object) -> None:
        """Note PUBACK."""
        self._pubacks.append((mid, code))

    def on_message(self, _c: object, _u: object, message: paho.MQTTMessage) -> None:
        """Post what is heard of a message."""
        at = clock.now()
        if not self._moderation.hears(message.topic, at.mono_s):
            self._dropped = True
            return
        if len(message.payload) > MAX_INBOUND:
            log.warning(
                "cut a message of %d bytes on %s: %d are allowed",
                len(message.payload),
                message.topic,
                MAX_INBOUND,
            )
        # One byte too many is left: whoever sent it is told that it was too large.
        payload = bytes(message.payload[: MAX_INBOUND + 1])
        self._post(MessageArrived(message.topic, payload, message.retain, at))

    def on_disconnect(
        self, _c: object, _u: object, flags: paho.DisconnectFlags, code: ReasonCode, _p: object
    ) -> None:
        """Note why the broker ended it."""
        if flags.is_disconnect_packet_from_server:
            self._bye = f"the broker ended it: {causes.reason(code.value, code.getName())}"
            self._bye_code = code.value
        elif code.getName() == "Keep alive timeout":
            seconds = self._settings.keepalive_s
            self._bye = f"the broker did not answer our PING within {seconds} s"


def _properties(content_type: str, encoding: str, gateway: str) -> Properties:
    properties = _gateway_property(PacketTypes.PUBLISH, gateway)
    properties.ContentType = content_type
    if encoding:
        properties.UserProperty = ("encoding", encoding)
    return properties


def _gateway_property(packet: int, gateway: str) -> Properties:
    """The user property by which a platform spreads gateways over its queues."""
    properties = Properties(packet)  # type: ignore[no-untyped-call]  # paho 2.2
    properties.UserProperty = ("gateway", gateway)
    return properties
