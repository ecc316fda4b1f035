"""The broker's other side: a subscriber that notes when what arrived, and decodes it afterwards."""

from __future__ import annotations

import ssl
import threading
import time
from typing import TYPE_CHECKING, NamedTuple, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tests.bench.rig import READER, BenchError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.rig import Rig

CONNECT_S = 10.0


class Arrival(NamedTuple):
    """One message."""

    at_ns: int  # CLOCK_MONOTONIC, which all processes of the machine share
    topic: str
    payload: bytes


class Receiver:
    """Subscribes to everything with a certificate of its own; QoS 1."""

    def __init__(self, rig: Rig, *, heard: Callable[[Arrival], None] | None = None) -> None:
        self.arrivals: list[Arrival] = []
        self._heard = heard or self.arrivals.append
        self._ready = threading.Event()
        cert, key = rig.pki.client(READER)
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id="bench-reader", protocol=mqtt.MQTTv5
        )
        client.tls_set(str(rig.pki.ca), str(cert), str(key), tls_version=ssl.PROTOCOL_TLS_CLIENT)
        client.on_connect = self._connected
        client.on_subscribe = self._subscribed
        client.on_message = self._arrived
        client.connect("localhost", rig.broker.port)
        client.loop_start()
        self._client = client
        if not self._ready.wait(CONNECT_S):
            raise BenchError("the bench's own subscriber did not connect")  # noqa: EM101, TRY003

    def _connected(self, client: mqtt.Client, *_: object) -> None:
        client.subscribe("bess/v1/#", qos=1)

    def _subscribed(self, *_: object) -> None:
        self._ready.set()

    def _arrived(self, _client: object, _userdata: object, message: mqtt.MQTTMessage) -> None:
        self._heard(Arrival(time.monotonic_ns(), message.topic, bytes(message.payload)))

    def take(self) -> list[Arrival]:
        """What arrived since the last call."""
        taken, self.arrivals = self.arrivals, []
        self._heard = self.arrivals.append
        return taken

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()
