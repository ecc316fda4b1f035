"""What a platform meets of a fleet: by the law of the waits, and by a real shipper. No sockets.

A restarted broker, an outage of an hour, a live site of 500 points: who would need a hundred
thousand boxes to measure it simulates the waits as they are drawn (``tests.fixtures.fleet``).
"""

from __future__ import annotations

from dataclasses import replace

from gateway.events import RowsStored
from gateway.mqtt.endings import Law
from gateway.streams import Stream
from gateway.uplink.shipper import ShipperBounds
from tests.bench.table import Line, at_most, beside
from tests.fixtures.fleet import come_back
from tests.fixtures.readings import row
from tests.fixtures.shipping import Bench

FLEET = 100_000
POINTS = 500  # of a live site, each read once a second
OUTAGE_S = 3600


def measure(*, quick: bool) -> list[Line]:
    """The lines of goal 10 that are a fleet's."""
    gateways = FLEET // 10 if quick else FLEET
    scale = FLEET // gateways
    law, lines = Law(), []
    for away_s in (0.0, 5.0):
        found = come_back(law, gateways=gateways, away_s=away_s)
        what = f"attempts/s that a broker meets from 100 k gateways, back after {away_s:g} s"
        lines.append(at_most(10, what, [found.most_per_s * scale], most=8300, unit="/s"))
        lines.append(at_most(10, "... and all are back within", [found.back_s], most=60, unit="s"))
    for away_s in (0.0, 3.0, 6.0, 10.0, 15.0):
        armed = come_back(law, gateways=gateways, away_s=away_s, armed=True)
        what = f"armed boxes that lose a lease of 30 s, broker away {away_s:g} s"
        lines.append(beside(10, what, [100 * armed.leases_lost], unit="%"))
    lines.append(
        at_most(10, "telemetry messages of a live site of 500 points", [_live()], most=1, unit="/s")
    )
    rate = _backfill()
    what = "backfill after an outage of an hour, times what is live"
    return [*lines, at_most(10, what, [rate], most=4, unit="x")]


def _fragment(bench: Bench, points: int) -> None:
    """One fragment of telemetry, durable."""
    bench.last_id += 1
    made = row(bench.last_id, stream=Stream.TELEMETRY)
    one = replace(made, batch=replace(made.batch, n=points))
    bench.store[one.id] = one
    bench.post(RowsStored((one,)))


def _live() -> float:
    """Messages a second, in bundles of 1 s: ten fragments a second."""
    bench = Bench(window=100, bounds=ShipperBounds(bundle_s=1.0))
    bench.connect()
    _serve(bench)
    for _ in range(600):
        _fragment(bench, POINTS // 10)
        bench.tick(0.1)
        _serve(bench)
    return len(bench.published) / bench.mono_s


def _backfill() -> float:
    """Readings of history a second, over those that are live, in the first minute of it."""
    bench = Bench(window=100, bounds=ShipperBounds(bundle_s=1.0))
    bench.connect()
    _serve(bench)
    for _ in range(100):
        _fragment(bench, POINTS)
        bench.tick(1.0)
        _serve(bench)
    bench.disconnect()
    for _ in range(OUTAGE_S):
        _fragment(bench, POINTS)
        bench.tick(1.0)
    bench.connect()
    _serve(bench)
    before = len(bench.acknowledged)  # with the first message, which waits for nothing
    for _ in range(60 * 20):
        bench.tick(0.05)
        _serve(bench)
    return (len(bench.acknowledged) - before) / 60  # each row has a second's readings


def _serve(bench: Bench) -> None:
    while bench.serve() or bench.acknowledge():
        pass
