"""The cloud's stand-in: subscribes as a platform would and keeps what it received."""

from __future__ import annotations

import ssl
import threading
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.consumer import Consumer

if TYPE_CHECKING:
    from pathlib import Path


SESSION_S = 3600
# What the gateway says; commands and answers to challenges are not ours to read.
_TOPICS = (
    "status",
    "birth",
    "event",
    "audit",
    "hb/up",
    *(
        f"+/{tail}"
        for tail in (
            "map",
            "state",
            "state/backfill",
            "telemetry",
            "event",
            "cmd/ack",
            "cmd/result",
        )
    ),
)


class Cloud:
    """An MQTT 5 subscriber with a certificate of its own; safe to read from another thread."""

    def __init__(self, *, host: str, port: int, ca: Path, cert: Path, key: Path) -> None:
        self.lock = threading.Lock()
        self.consumer = Consumer(from_start=True)  # the demo begins with an empty queue
        self.state: dict[str, Any] = {}
        self.status: dict[str, Any] = {}
        self.birth: dict[str, Any] = {}
        self.points: dict[str, dict[str, Any]] = {}
        self.table: dict[str, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        self.messages = 0
        self.backfilled = 0
        self._host, self._port = host, port
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id="demo-cloud", protocol=mqtt.MQTTv5
        )
        self._client.tls_set(str(ca), str(cert), str(key), tls_version=ssl.PROTOCOL_TLS_CLIENT)
        self._client.on_connect = self._connected
        self._client.on_message = self._arrived
        self._client.reconnect_delay_set(1, 1)

    def start(self) -> None:
        """Connect and keep reconnecting on a thread of paho's.

        The session outlives a connection: what arrives at the broker while we are away, waits.
        """
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho 2.2
        properties.SessionExpiryInterval = SESSION_S
        self._client.connect_async(self._host, self._port, clean_start=False, properties=properties)
        self._client.loop_start()

    def stop(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def _connected(self, client: mqtt.Client, *_rest: object) -> None:
        client.subscribe([(f"bess/v1/+/{tail}", 1) for tail in _TOPICS])

    def _arrived(self, _client: object, _userdata: object, message: mqtt.MQTTMessage) -> None:
        with self.lock:
            self.messages += 1
            for fresh in self.consumer.take(message.topic, bytes(message.payload)):
                self._keep(fresh)

    def _keep(self, message: dict[str, Any]) -> None:
        self.backfilled += bool(message.get("backfill"))
        match message.get("schema"):
            case "bess.state/1" if not message.get("backfill"):
                self.state = message
            case "bess.status/1":
                self.status = message
            case "bess.birth/1":
                self.birth = message
            case "bess.map/1":
                self.table = {row["point"]: row for row in message["points"]}
            case "bess.event/1":
                self.events.append(message)
            case "bess.telemetry/1":
                columns = zip(message["point"], message["value"], message["flags"], strict=True)
                for at, (point, value, flags) in enumerate(columns):
                    at_ms = message["t0"] + message["dt"][at]
                    self.points[point] = {"value": value, "flags": flags, "at_ms": at_ms}
