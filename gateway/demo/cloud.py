"""The cloud's stand-in: subscribes as a platform would and keeps what it received."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from gateway.consumer import Consumer
from gateway.mqtt.subscriber import Subscriber

if TYPE_CHECKING:
    from pathlib import Path

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
        self._subscriber = Subscriber(
            host=host,
            port=port,
            ca=ca,
            cert=cert,
            key=key,
            client_id="demo-cloud",
            topics=[f"bess/v1/+/{tail}" for tail in _TOPICS],
            heard=self._arrived,
        )
        self.start, self.stop = self._subscriber.start, self._subscriber.stop

    def _arrived(self, topic: str, payload: bytes) -> None:
        with self.lock:
            self.messages += 1
            for fresh in self.consumer.take(topic, payload):
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
