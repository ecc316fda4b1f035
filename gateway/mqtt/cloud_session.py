"""The dispatcher's MQTT session: mutual TLS, MQTT 5 or 3.1.1, connected again when it ends.

What a reader would get wrong: ``publish`` may be called from any thread, and with QoS 0 from
``heard``. With QoS 1 it waits for the PUBACK, which that thread brings.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from gateway import clock
from gateway.config.site import UplinkSettings
from gateway.errors import GatewayError
from gateway.mqtt import causes
from gateway.mqtt.client import HiddenError, attach, detach, parts, subscribe
from gateway.tls import credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from paho.mqtt.reasoncodes import ReasonCode

    from gateway.clock import Now

RECONNECT_S = 1  # between two attempts; an operator or a test waits for it


class BrokerUnreachableError(GatewayError):
    """The broker cannot be reached, or refuses; says why."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class BrokerAccess:
    """Where the broker is and who we are there."""

    host: str
    port: int
    ca: Path | str
    cert: Path | str
    key: Path | str
    client_id: str = "dispatcher"  # unique for each connection: a second one ends the first
    prefix: str = "bess/v1"
    protocol: str = "5"  # "5" | "3.1.1"
    keepalive_s: int = 15


class CloudSession:
    """One paho client; ``heard`` and ``turned`` are called on its thread."""

    def __init__(
        self,
        connection: BrokerAccess,
        *,
        topics: Mapping[str, int],
        heard: Callable[[str, bytes, bool, Now], None],
        turned: Callable[[], None],
    ) -> None:
        self.up = False
        self.cause = ""  # why it is not up
        self._connection = connection
        self._topics = dict(topics)
        self._heard, self._turned = heard, turned
        self._v5 = connection.protocol == "5"
        self._steps: list[dict[str, int]] = []  # what is not subscribed to yet
        self._changed = threading.Condition()
        self._refused: dict[int, str] = {}  # paho's message id -> the broker's reason
        self._hidden = HiddenError()
        self._client: paho.Client | None = None

    def _make(self) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._connection.client_id,
            clean_session=None if self._v5 else True,
            protocol=paho.MQTTv5 if self._v5 else paho.MQTTv311,
        )
        client.reconnect_delay_set(RECONNECT_S, RECONNECT_S)
        attach(client, self, self._hidden)
        return client

    def open(self, *, within_s: float) -> None:
        """Connect and subscribe.

        Raises:
            ConfigError: a file of ours is wrong.
            BrokerUnreachableError: the broker is not there, or refuses us.
        """
        one = self._connection
        context = credentials.client_context(_as_uplink(one))
        self.cause = ""
        client = self._client = self._make()
        client.tls_set_context(context)
        try:
            client.connect(
                one.host,
                one.port,
                one.keepalive_s,
                clean_start=True if self._v5 else paho.MQTT_CLEAN_START_FIRST_ONLY,
            )
        except (OSError, ValueError) as error:  # ValueError: a name that no IDNA or TLS takes
            self.close()
            raise BrokerUnreachableError(
                causes.of_error(error, host=one.host, port=one.port)
            ) from None
        client.loop_start()
        with self._changed:
            self._changed.wait_for(lambda: self.up or bool(self.cause), within_s)
            up, cause = self.up, self.cause
        if not up:
            self.close()
            raise BrokerUnreachableError(
                cause or f"{one.host}:{one.port} gave no answer in {within_s:g} s"
            )

    def close(self) -> None:
        """Disconnect and end the thread."""
        client, self._client = self._client, None
        if client is None:
            return
        client.disconnect()
        client.loop_stop()
        self.up = False
        detach(client)

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool, wait_s: float) -> None:
        """Publish; with QoS 1, wait up to ``wait_s`` for the PUBACK (0: do not wait).

        Raises:
            BrokerUnreachableError: not connected, refused, or no PUBACK yet: it may still arrive.
        """
        client = self._client
        if not self.up or client is None:
            raise BrokerUnreachableError(self.cause or "not connected")
        sent = client.publish(topic, payload, qos, retain)
        if sent.rc != paho.MQTT_ERR_SUCCESS:
            raise BrokerUnreachableError(f"{topic}: {paho.error_string(sent.rc)}")  # noqa: EM102, TRY003
        if not qos or not wait_s:
            return
        sent.wait_for_publish(wait_s)
        if not sent.is_published():
            raise BrokerUnreachableError(f"{topic}: no PUBACK in {wait_s:g} s")  # noqa: EM102, TRY003
        refused = self._refused.pop(sent.mid, "")
        if refused:
            raise BrokerUnreachableError(f"{topic}: the broker refused it: {refused}")  # noqa: EM102, TRY003

    # --- below: paho's thread ---------------------------------------------------------------

    def on_connect(
        self, client: paho.Client, _u: object, _f: object, code: ReasonCode, _p: object
    ) -> None:
        """Subscribe, or say why the broker refuses us."""
        if code.is_failure:
            self._turn(f"the broker refused us: {causes.reason(code.value, code.getName())}")
        else:
            self._steps = parts(self._topics)
            subscribe(client, self._steps[0], v5=self._v5, retained=False)

    def on_subscribe(
        self, client: paho.Client, _u: object, _mid: int, codes: list[ReasonCode], _p: object
    ) -> None:
        """Take the next step; after the last we are up. Or the broker refuses a subscription."""
        step = self._steps.pop(0) if self._steps else {}
        refused = [topic for topic, code in zip(step, codes, strict=False) if code.is_failure]
        if refused:
            self._turn(f"the broker refuses our subscription to {', '.join(refused)}")
        elif self._steps:
            subscribe(client, self._steps[0], v5=self._v5, retained=False)
        else:
            self._turn("")

    def on_disconnect(
        self, _c: object, _u: object, flags: paho.DisconnectFlags, code: ReasonCode, _p: object
    ) -> None:
        """Say why the connection ended."""
        one, error = self._connection, self._hidden.error
        where = f"{one.host}:{one.port}"
        if flags.is_disconnect_packet_from_server:
            self._turn(f"the broker ended it: {causes.reason(code.value, code.getName())}")
        elif error is not None:
            self._turn(causes.of_error(error, host=one.host, port=one.port))
        elif not self.cause:
            self._turn(f"{where} closed the connection")

    def _turn(self, cause: str) -> None:
        """The connection came up (cause "") or went away."""
        with self._changed:
            self.up, self.cause = not cause, cause
            self._changed.notify_all()
        self._hidden.error = None
        self._turned()

    def on_publish(self, _c: object, _u: object, mid: int, code: ReasonCode, _p: object) -> None:
        """Note a refused message."""
        if code.is_failure:
            self._refused[mid] = causes.reason(code.value, code.getName())

    def on_message(self, _c: object, _u: object, message: paho.MQTTMessage) -> None:
        """Hand a message on."""
        self._heard(message.topic, bytes(message.payload), message.retain, clock.now())


def _as_uplink(one: BrokerAccess) -> UplinkSettings:
    return UplinkSettings(
        hosts=(one.host,),
        port=one.port,
        prefix=one.prefix,
        ca_file=str(one.ca),
        cert_file=str(one.cert),
        key_file=str(one.key),
        credential="",
        protocol=one.protocol,
        keepalive_s=one.keepalive_s,
        window=1,
    )
