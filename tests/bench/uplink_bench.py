"""The way up in figures: bytes and microseconds a reading, messages a second over mutual TLS."""

from __future__ import annotations

import math
import random
import tempfile
import time
from pathlib import Path
from statistics import median

from gateway.demo.broker import Broker
from gateway.demo.pki import Pki
from gateway.effects import Publish
from gateway.events import BrokerUp
from gateway.measured import TimeQuality
from gateway.points.raw import RawPoint
from gateway.streams import Batch, Row
from gateway.uplink import messages
from gateway.uplink.telemetry import Telemetry
from tests.fixtures.brokers import Inbox, session, site
from tests.fixtures.readings import ASSET, DIGEST, EPOCH, GATEWAY, T0
from tests.fixtures.shipping import Bench

BATCHES, READINGS, POINTS = 100, 500, 250
ROUNDS = 5
MESSAGES, WINDOW = 5000, 100


def measure() -> dict[str, float]:
    """All figures; run it alone on the machine."""
    fragments = _fragments()
    encode_us, batches = _encode(fragments)
    wire_us, payloads = _wire(batches)
    readings = BATCHES * READINGS
    return {
        "bytes_per_reading_wire": sum(map(len, payloads)) / readings,
        "encode_us_per_reading": encode_us,
        "wire_us_per_message": wire_us,
        "ship_us_per_message": _ship_us(),
        "messages_per_s_mtls": _messages_per_s(payloads),
    }


def _fragments() -> list[list[RawPoint]]:
    """Slow analogs with noise of one decimal and binaries, as an RTAC sends them."""
    noise = random.Random(1)
    fragments = []
    for batch in range(BATCHES):
        points = []
        for at in range(READINGS):
            n = at % POINTS
            at_ms = T0 + batch * 1000 + at // 50
            wave = 1000 * math.sin(n + batch / 20) + noise.gauss(0, 0.3)
            binary = n % 10 == 9
            value: float = noise.randrange(2) if binary else round(wave, 1)
            name = f"BI{n}" if binary else f"AI{n}"
            points.append(RawPoint(name, value, 1, at_ms, at_ms + 5, TimeQuality.SYNCED, True))  # noqa: FBT003 - hot
        fragments.append(points)
    return fragments


def _encode(fragments: list[list[RawPoint]]) -> tuple[float, list[Batch]]:
    figures, batches = [], list[Batch]()
    for _ in range(ROUNDS):
        telemetry = Telemetry(ASSET, GATEWAY, DIGEST)
        began = time.process_time()
        batches = [each for points in fragments for each in telemetry.take(points, mono_s=0)]
        figures.append((time.process_time() - began) / (BATCHES * READINGS) * 1e6)
    return median(figures), batches


def _wire(batches: list[Batch]) -> tuple[float, list[bytes]]:
    rows = [Row(at, 1 + READINGS * at, batch, EPOCH) for at, batch in enumerate(batches)]
    figures, payloads = [], list[bytes]()
    for _ in range(ROUNDS):
        began = time.process_time()
        payloads = [messages.wire(row, published_ms=T0, backfill=False) for row in rows]
        figures.append((time.process_time() - began) / len(rows) * 1e6)
    return median(figures), payloads


def _ship_us() -> float:
    """The shipper's own work for one live record: stored, published, acknowledged, deleted."""
    bench = Bench(window=WINDOW)
    bench.connect()
    bench.serve()
    began = time.process_time()
    for _ in range(MESSAGES):
        bench.append(1)
        bench.acknowledge()
    return (time.process_time() - began) / MESSAGES * 1e6


def _messages_per_s(payloads: list[bytes]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        pki = Pki(Path(folder) / "pki")
        broker = Broker(Path(folder) / "broker", pki=pki)
        broker.start()
        inbox = Inbox()
        try:
            with session(site(pki, broker.port), inbox) as mqtt:
                inbox.wait(BrokerUp)
                topic = f"bess/v1/{GATEWAY}/{ASSET}/telemetry"
                began = time.monotonic()
                for token in range(1, MESSAGES + WINDOW + 1):
                    if token > WINDOW:
                        inbox.taken()
                    if token <= MESSAGES:
                        payload = payloads[token % len(payloads)]
                        mqtt.publish(Publish(token, topic, payload, 1, retain=False))
                return MESSAGES / (time.monotonic() - began)
        finally:
            broker.stop()


if __name__ == "__main__":
    for name, figure in measure().items():
        print(f"{name:28} {figure:12.2f}")
