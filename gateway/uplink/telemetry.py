"""Raw points -> telemetry batches: what is worth shipping, in columns. Pure.

Events are always shipped, and so durable before their fragment is confirmed. A static reading is
shipped only if it differs from the last one shipped of its point. Everything here runs for every
reading of every session: about a microsecond each.

Used by the session's thread alone, except ``forget``, which any thread may call.
"""

from __future__ import annotations

import json
import math
from functools import cache
from typing import TYPE_CHECKING

from gateway.clock import rfc3339
from gateway.streams import Batch, Codec, Stream
from gateway.uplink import frame

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.points.raw import RawPoint

LIMIT = 500  # readings in a batch
PLAIN_BELOW = 1024  # bytes: zstd gains little on less, and plain JSON stays readable
_LIST = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode

# Object flags (IEEE 1815, 11.6): bits 0..4 mean the same for every type; 5 to 7 differ.
_ONLINE, _RESTART, _COMM_LOST, _REMOTE_FORCED, _LOCAL_FORCED = 0x01, 0x02, 0x04, 0x08, 0x10
_BIT5, _BIT6 = 0x20, 0x40  # analogs OVER_RANGE and REFERENCE_ERR; binary inputs CHATTER (bit 5)
_PLAIN_FLAGS = frozenset({None, _ONLINE, _ONLINE | 0x80})  # 0x80 is a binary's state


class Telemetry:
    """The telemetry of one asset through one points map.

    Args:
        asset: id of the asset.
        gateway: id of this gateway.
        map_digest: "sha256:..." of the points map, by which a consumer finds the point table.
        linger_s: how long static readings may be gathered, in seconds.
    """

    def __init__(self, asset: str, gateway: str, map_digest: str, *, linger_s: float = 0.1) -> None:
        self._asset = asset
        self._linger_s = linger_s
        self._head = (
            f'"schema":"bess.telemetry/1","gateway":{_LIST(gateway)},"asset":{_LIST(asset)},'
            f'"stream":"telemetry","map":{_LIST(map_digest)},"n":'
        )
        self._compress = frame.compressor().compress
        self._shipped: dict[str, tuple[float | int | str, int | None]] = {}
        self._waiting: list[RawPoint] = []
        self._since_s = 0.0

    def take(self, points: Iterable[RawPoint], *, mono_s: float) -> list[Batch]:
        """Take one fragment.

        Returns:
            Batches of at most 500 readings, in order, to be appended before the fragment is
            confirmed. Static readings may be kept back until ``flush`` or the linger; readings
            that are kept back never come after later ones of the same point.
        """
        shipped, waiting = self._shipped, self._waiting
        before, event = len(waiting), False
        for point in points:
            seen = (point[1], point[2])
            if point[6]:
                event = True
            elif (last := shipped.get(point[0])) == seen or _both_nan(last, seen):
                continue
            shipped[point[0]] = seen
            waiting.append(point)
        if not before and waiting:
            self._since_s = mono_s
        if event or (waiting and mono_s - self._since_s >= self._linger_s):
            return self.flush()
        return self._cut() if len(waiting) >= LIMIT else []

    def flush(self) -> list[Batch]:
        """Everything kept back; call it when a poll ends."""
        batches = self._cut()
        if self._waiting:
            batches.append(self._encode(self._waiting))
            self._waiting = []
        return batches

    def forget(self) -> None:
        """Ship every static point once more, as after a reconnect or a gap."""
        self._shipped = {}

    def _cut(self) -> list[Batch]:
        """Whole batches only."""
        batches = []
        while len(self._waiting) >= LIMIT:
            batches.append(self._encode(self._waiting[:LIMIT]))
            self._waiting = self._waiting[LIMIT:]
        return batches

    def _encode(self, readings: Sequence[RawPoint]) -> Batch:
        point, value, flags, at_ms, rt_ms, tq, _event = zip(*readings, strict=True)
        # The batch's own times are those of receipt: the queue judges age by them, and an
        # outstation's clock may say 1970.
        t_min, t_max, t0 = min(rt_ms), max(rt_ms), min(at_ms)
        n = len(readings)
        try:
            values = _LIST(value)
        except ValueError:
            values = _LIST([_finite(each) for each in value])
        # Point names and time qualities are words of ours that need no escaping.
        body = (
            f'{self._head}{n},"observedAt":"{rfc3339(t_max)}","quality":"{_worst(point, flags)}",'
            f'"t0":{t0},"point":["{_QUOTE.join(point)}"],"dt":{_LIST([at - t0 for at in at_ms])},'
            f'"value":{values},"flags":{_LIST(flags)},"tq":["{_QUOTE.join(tq)}"]}}'
        ).encode()
        if len(body) >= PLAIN_BELOW:
            packed = self._compress(body)
            return Batch(Stream.TELEMETRY, self._asset, n, t_min, t_max, Codec.ZSTD, packed)
        return Batch(Stream.TELEMETRY, self._asset, n, t_min, t_max, Codec.JSON, b"{" + body)


_QUOTE = '","'


def _both_nan(last: tuple[object, object] | None, seen: tuple[object, object]) -> bool:
    """NaN differs from itself, but a point that stays NaN has not changed."""
    if last is None or seen[0] == seen[0]:
        return False
    return last[0] != last[0] and last[1] == seen[1]


def _finite(value: float | str) -> float | str:
    """JSON has no NaN and no infinity: they go as these words, as in Protocol Buffers' JSON."""
    if isinstance(value, str) or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _worst(points: Sequence[str], flags: Sequence[int | None]) -> str:
    """A hint for the header; each reading carries its own flags."""
    odd = set(flags) - _PLAIN_FLAGS
    if not odd:
        return "good"
    pairs = {
        (point.rstrip("0123456789"), flag)
        for point, flag in zip(points, flags, strict=True)
        if flag is not None and flag in odd
    }
    return ("good", "questionable", "bad")[max(_severity(kind, flag) for kind, flag in pairs)]


@cache
def _severity(kind: str, flags: int) -> int:
    analog = kind in {"AI", "AO"}
    chatters = kind in {"BI", "DBI"}
    if not flags & _ONLINE or flags & (_RESTART | _COMM_LOST) or (analog and flags & _BIT5):
        return 2
    forced = flags & (_REMOTE_FORCED | _LOCAL_FORCED)
    odd = forced or (analog and flags & _BIT6) or (chatters and flags & _BIT5)
    return 1 if odd else 0
