"""A platform's side: a subscriber with a session that survives the broker, which counts."""

from __future__ import annotations

import ssl
import threading
from typing import TYPE_CHECKING, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.consumer import Consumer
from gateway.consumer.intervals import Intervals
from tests.bench.rig import READER, BenchError
from tests.bench.synthetic import FIRST

if TYPE_CHECKING:
    from tests.bench.rig import Rig
    from tests.soak.plant import Boot

CONNECT_S = 20.0
KEPT_S = 3600  # for which the broker keeps what it has for us


class Recorder:
    """Counts readings, and which numbered events came."""

    def __init__(self, rig: Rig) -> None:
        self.consumer = Consumer(from_start=True)
        self.events = 0
        self.again = 0  # events that came although the consumer had dropped what came twice
        self.failed: Exception | None = None
        self._have: dict[str, Intervals] = {}
        self._lock = threading.Lock()
        self._ready = threading.Event()
        cert, key = rig.pki.client(READER)
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id="soak-recorder", protocol=mqtt.MQTTv5
        )
        client.tls_set(str(rig.pki.ca), str(cert), str(key), tls_version=ssl.PROTOCOL_TLS_CLIENT)
        client.reconnect_delay_set(1, 2)
        client.on_connect = self._connected
        client.on_subscribe = self._subscribed
        client.on_message = self._arrived
        kept = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho leaves it so
        kept.SessionExpiryInterval = KEPT_S
        client.connect("localhost", rig.broker.port, clean_start=False, properties=kept)
        client.loop_start()
        self._client = client
        if not self._ready.wait(CONNECT_S):
            raise BenchError("the recorder did not connect")  # noqa: EM101, TRY003

    @property
    def readings(self) -> int:
        """Readings and other records so far, each once."""
        with self._lock:
            return self.consumer.received

    def missing(self, boot: Boot) -> tuple[int, int]:
        """Events of one start that did not come.

        Returns:
            Those with a later event of the same outstation that did come, which are lost; and
            the last ones, which an outstation without power took along.
        """
        holes = tail = 0
        with self._lock:
            for asset in boot.assets:
                parts = self._have.get(asset, Intervals()).missing(
                    boot.first, boot.first + boot.sent - 1
                )
                end = boot.first + boot.sent - 1
                for first, last in parts:
                    if last == end and boot.ended:
                        tail += last - first + 1
                    else:
                        holes += last - first + 1
        return holes, tail

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _connected(self, client: mqtt.Client, *_: object) -> None:
        client.subscribe("bess/v1/#", qos=1)

    def _subscribed(self, *_: object) -> None:
        self._ready.set()

    def _arrived(self, _client: object, _userdata: object, message: mqtt.MQTTMessage) -> None:
        try:
            with self._lock:
                self._count(message)
        except Exception as error:  # noqa: BLE001 - the soak ends with it, not paho's thread
            self.failed = error

    def _count(self, arrived: mqtt.MQTTMessage) -> None:
        for message in self.consumer.take(arrived.topic, bytes(arrived.payload)):
            if message["schema"] != "bess.telemetry/1":
                continue
            rows = zip(message["point"], message["value"], strict=True)
            numbers = sorted(
                int(value)
                for point, value in rows
                if point[:2] == "AI" and int(point[2:]) >= FIRST and value > 0
            )
            have = self._have.setdefault(message["asset"], Intervals())
            self.events += len(numbers)
            for first, last in _runs(numbers):
                fresh = have.add(first, last)
                new = sum(end - begin + 1 for begin, end in fresh)
                self.again += last - first + 1 - new
            self.again += len(numbers) - len(set(numbers))


def _runs(numbers: list[int]) -> list[tuple[int, int]]:
    """Sorted numbers as intervals."""
    runs: list[tuple[int, int]] = []
    begin = before = None
    for number in numbers:
        if before is not None and number > before + 1:
            assert begin is not None
            runs.append((begin, before))
            begin = None
        begin = number if begin is None else begin
        before = number
    if begin is not None and before is not None:
        runs.append((begin, before))
    return runs
