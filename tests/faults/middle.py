"""Between the daemon and its broker: a party that holds both TLS connections and spoils packets.

The daemon believes it to be the broker; the broker believes it to be the gateway. It runs on the
thread of ``FakeBroker``, one connection at a time.
"""

from __future__ import annotations

import contextlib
import random
import select
import socket
import ssl
import struct
from typing import TYPE_CHECKING

from tests.fixtures.brokers import FakeBroker
from tests.fixtures.daemon import GATEWAY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.demo.pki import Pki

PUBLISH, PUBACK = 3, 4
CHUNK = 65_536


class Middle(FakeBroker):
    """Forwards packets to the broker at ``target``; a context manager with a ``port``.

    Attributes:
        lose: share of PUBACKs that the daemon never gets, 0..1.
        repeat: share of PUBLISHes that the broker gets twice, 0..1.
        reset: chance that a PUBLISH is cut in its middle and both connections are reset, 0..1.
        delay_s: before every pass, for a slow broker.
    """

    def __init__(self, pki: Pki, target: int, *, seed: int = 1) -> None:
        self.lose = self.repeat = self.reset = self.delay_s = 0.0
        self.lost = self.repeated = self.resets = self.connections = 0
        self._rng = random.Random(seed)
        self._target = target
        context = ssl.create_default_context(cafile=str(pki.ca))
        context.load_cert_chain(*pki.client(GATEWAY))
        self._upward = context
        super().__init__(pki, self._forward)

    def _forward(self, near: ssl.SSLSocket) -> None:
        self.connections += 1
        plain = socket.create_connection(("localhost", self._target), timeout=10)
        with plain, self._upward.wrap_socket(plain, server_hostname="localhost") as far:
            waiting = {near: b"", far: b""}
            while True:
                ready = [end for end in waiting if end.pending()]
                for end in ready or select.select(list(waiting), [], [], 30)[0]:
                    octets = end.recv(CHUNK)
                    if not octets:
                        return
                    waiting[end] += octets
                    found = list(whole(waiting[end]))
                    waiting[end] = waiting[end][sum(map(len, found)) :]
                    if end is far:
                        near.sendall(b"".join(each for each in found if self._down(each)))
                    elif not self._up(near, far, found):
                        return
                if self.delay_s:
                    select.select([], [], [], self.delay_s)

    def _down(self, packet: bytes) -> bool:
        """Whether the daemon gets it."""
        lost = packet[0] >> 4 == PUBACK and self._rng.random() < self.lose
        self.lost += lost
        return not lost

    def _up(self, near: ssl.SSLSocket, far: ssl.SSLSocket, found: list[bytes]) -> bool:
        """Whether the connection stays."""
        for packet in found:
            if packet[0] >> 4 == PUBLISH:
                if self._rng.random() < self.reset:
                    self.resets += 1
                    far.sendall(packet[: len(packet) // 2])
                    for end in (near, far):
                        with contextlib.suppress(OSError):  # RST instead of a farewell
                            linger = struct.pack("ii", 1, 0)
                            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    return False
                if self._rng.random() < self.repeat:
                    self.repeated += 1
                    far.sendall(packet)
            far.sendall(packet)
        return True


def whole(octets: bytes) -> Iterator[bytes]:
    """The whole MQTT packets at the beginning of ``octets``."""
    at = 0
    while at + 2 <= len(octets):
        size, behind = 0, at + 1
        while behind < len(octets):
            size |= (octets[behind] & 0x7F) << 7 * (behind - at - 1)
            behind += 1
            if not octets[behind - 1] & 0x80:
                break
        else:
            return
        if behind + size > len(octets):
            return
        yield octets[at : behind + size]
        at = behind + size
