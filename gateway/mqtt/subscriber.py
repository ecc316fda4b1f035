"""A subscriber whose session outlives its connection: what arrives while it is away, waits.

For whoever reads the gateways' messages at the broker's other end, with a certificate of its own.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

SESSION_S = 3600  # the broker keeps what we have not read for so long


class Subscriber:
    """MQTT 5 at QoS 1 on a thread of paho's; ``heard`` is called there."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        ca: Path,
        cert: Path,
        key: Path,
        client_id: str,
        topics: Iterable[str],
        heard: Callable[[str, bytes], None],
    ) -> None:
        self._host, self._port = host, port
        self._topics, self._heard = [(topic, 1) for topic in topics], heard
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv5
        )
        self._client.tls_set(str(ca), str(cert), str(key), tls_version=ssl.PROTOCOL_TLS_CLIENT)
        self._client.on_connect = self._connected
        self._client.on_message = self._arrived
        self._client.reconnect_delay_set(1, 1)

    def start(self) -> None:
        """Connect, and connect again whenever the connection ends."""
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho 2.2
        properties.SessionExpiryInterval = SESSION_S
        self._client.connect_async(self._host, self._port, clean_start=False, properties=properties)
        self._client.loop_start()

    def stop(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def _connected(self, client: paho.Client, *_rest: object) -> None:
        client.subscribe(self._topics)

    def _arrived(self, _client: object, _userdata: object, message: paho.MQTTMessage) -> None:
        self._heard(message.topic, bytes(message.payload))
