"""An outstation that answers every request with something that it should not say. One thread.

Frames, transport segments and fragments are built by hand, so that every part of each may be
wrong. Source: IEEE 1815-2012, clauses 9 (link), 8 (transport), 4 and 11 (application).
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
from typing import Self

MASTER, OUTSTATION = 1, 10
GROUPS = (
    *(0, 1, 2, 3, 4, 10, 11, 12, 13, 20, 21, 22, 23, 30, 31, 32, 33, 34, 40, 41, 42, 43, 50, 51),
    *(52, 60, 70, 80, 81, 82, 83, 85, 86, 87, 88, 90, 91, 101, 102, 110, 111, 112, 113, 120, 121),
)
QUALIFIERS = (0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x17, 0x28, 0x39, 0x5B)
EVENTS = (2, 4, 11, 13, 22, 23, 32, 42, 43, 111, 122)
SIZES = {  # octets of an object, where a master reads it
    (1, 2): 1, (2, 1): 1, (2, 2): 7, (2, 3): 3, (3, 2): 1, (4, 1): 1, (4, 2): 7, (4, 3): 3,
    (10, 2): 1, (11, 1): 1, (11, 2): 7, (13, 1): 1, (20, 1): 5, (20, 2): 3, (20, 5): 4, (20, 6): 2,
    (21, 1): 5, (21, 2): 3, (21, 5): 11, (22, 1): 5, (22, 2): 3, (22, 5): 11, (22, 6): 9,
    (23, 1): 5, (23, 5): 11, (30, 1): 5, (30, 2): 3, (30, 3): 4, (30, 4): 2, (30, 5): 5, (30, 6): 9,
    (32, 1): 5, (32, 2): 3, (32, 3): 11, (32, 4): 9, (32, 5): 5, (32, 6): 9, (32, 7): 11,
    (32, 8): 15, (40, 1): 5, (40, 2): 3, (40, 3): 5, (40, 4): 9, (42, 1): 5, (42, 3): 11,
    (42, 7): 11, (42, 8): 15, (43, 1): 5, (50, 1): 6, (50, 4): 11, (51, 1): 6, (51, 2): 6,
    (52, 1): 2, (52, 2): 2, (110, 8): 8, (111, 8): 8, (121, 1): 7, (122, 1): 9,
}  # fmt: skip


def _table() -> tuple[int, ...]:
    found = []
    for value in range(256):
        crc = value
        for _ in range(8):
            crc = crc >> 1 ^ 0xA6BC if crc & 1 else crc >> 1
        found.append(crc)
    return tuple(found)


_CRC = _table()


def crc(octets: bytes) -> bytes:
    """CRC-16/DNP, as it is sent."""
    value = 0
    for octet in octets:
        value = value >> 8 ^ _CRC[(value ^ octet) & 0xFF]
    return struct.pack("<H", ~value & 0xFFFF)


def frame(control: int, user: bytes = b"") -> bytes:
    """One link frame to the master; ``user`` of up to 250 octets."""
    head = struct.pack("<BBBBHH", 0x05, 0x64, 5 + len(user), control, MASTER, OUTSTATION)
    parts = [head, crc(head)]
    for at in range(0, len(user), 16):
        block = user[at : at + 16]
        parts += [block, crc(block)]
    return b"".join(parts)


def segments(fragment: bytes, first: int = 0) -> list[bytes]:
    """A fragment as frames with transport headers."""
    pieces = [fragment[at : at + 249] for at in range(0, len(fragment), 249)] or [b""]
    found = []
    for at, piece in enumerate(pieces):
        header = (first + at) & 0x3F | 0x40 * (at == 0) | 0x80 * (at == len(pieces) - 1)
        found.append(frame(0x44, bytes([header]) + piece))
    return found


class Hostile:
    """Listens on ``port``; a context manager.

    Args:
        seed: of everything it says.

    Attributes:
        polite: from now on every request is answered as it should be: nothing to report.
    """

    def __init__(self, seed: int) -> None:
        self.polite = False
        self.said = 0
        self.connections = 0
        self._rng = random.Random(seed)
        self._over = False
        self._malice = 1.0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.2)
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._thread.join(10)
        self._listener.close()

    def _run(self) -> None:
        while not self._over:
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            self.connections += 1
            self._malice = self._rng.choice((0.05, 0.2, 0.5))
            with connection, contextlib.suppress(OSError):
                connection.settimeout(0.2)
                self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        waiting = b""
        while not self._over:
            try:
                octets = connection.recv(4096)
            except TimeoutError:
                if not self.polite and self._rng.random() < self._malice:
                    connection.sendall(self._spoilt(self._unsolicited()))
                continue
            if not octets:
                return
            waiting += octets
            while len(waiting) >= 10:
                size = waiting[2] - 5
                whole = 10 + size + 2 * ((size + 15) // 16)
                if len(waiting) < whole:
                    break
                one, waiting = waiting[:whole], waiting[whole:]
                if not self._answer(connection, one):
                    return

    def _answer(self, connection: socket.socket, one: bytes) -> bool:
        """Whether the connection stays."""
        function = one[3] & 0x0F
        if function == 9:  # request link status
            connection.sendall(frame(0x0B))
            return True
        if len(one) < 15:
            return True
        control, code = one[11], one[12]
        if code != 0:  # a CONFIRM wants no answer
            return self._reply(connection, control)
        return True

    def _reply(self, connection: socket.socket, control: int) -> bool:
        self.said += 1
        head = bytes([0xC0 | control & 0x0F, 0x81, 0, 0])
        if self.polite:
            connection.sendall(segments(head)[0])
            return True
        rng = self._rng
        if rng.random() > self._malice:
            connection.sendall(b"".join(segments(head + self._valid())))
            return True
        stays = rng.random() > 0.05
        if stays:
            connection.sendall(self._spoilt(self._response(head)))
        return stays

    # --- what it says ----------------------------------------------------------------------

    def _response(self, head: bytes) -> bytes:
        rng = self._rng
        way = rng.random()
        if way < 0.25:
            return head  # so that the session comes up and asks more
        if way < 0.3:
            head = bytes([rng.randrange(256), rng.choice((0x81, 0x82, 0x83, rng.randrange(256)))])
            head += rng.randbytes(2)
        elif way < 0.5:
            head = bytes([head[0] | rng.choice((0, 0x20))]) + head[1:2] + rng.randbytes(2)
        body = b"".join(self._header() for _ in range(rng.choice((1, 1, 2, 5, 40))))
        if way > 0.95:
            body += rng.randbytes(rng.choice((1, 5, 300, 5000)))
        if way > 0.98:
            body *= rng.choice((10, 100))  # far beyond any fragment that a master allows
        return head + body[:200_000]

    def _valid(self) -> bytes:
        """Objects as a good outstation sends them, with any values."""
        rng, parts = self._rng, []
        for _ in range(rng.choice((0, 1, 2, 4))):
            (group, variation), size = rng.choice(list(SIZES.items()))
            count, start = rng.randint(1, 20), rng.choice((0, 7, 65000))
            if group in EVENTS:
                parts.append(struct.pack("<BBBH", group, variation, 0x28, count))
                parts += [struct.pack("<H", start + at) + self._object(size) for at in range(count)]
            elif (group, variation) not in ((50, 1), (50, 4), (51, 1), (51, 2), (52, 1), (52, 2)):
                span = struct.pack("<HH", start, start + count - 1)
                parts += [bytes([group, variation, 1]), span]
                parts += [self._object(size) for _ in range(count)]
        return b"".join(parts)

    def _unsolicited(self) -> bytes:
        rng = self._rng
        head = bytes([rng.choice((0xF0, 0xD0)) | rng.randrange(16), 0x82]) + rng.randbytes(2)
        return head + b"".join(self._header() for _ in range(rng.choice((0, 1, 3))))

    def _header(self) -> bytes:
        """An object header with objects: valid ones, or of any kind and count."""
        rng = self._rng
        if rng.random() < 0.6:
            (group, variation), size = rng.choice(list(SIZES.items()))
        else:
            group, variation = (
                rng.choice((*GROUPS, rng.randrange(256))),
                rng.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 254, 255, rng.randrange(256))),
            )
            size = rng.choice((0, 1, 2, 3, 4, 5, 7, 9, 11, 15, 255))
        qualifier = rng.choice(QUALIFIERS) if rng.random() < 0.9 else rng.randrange(256)
        count = rng.choice((0, 1, 1, 2, 3, 10, 255))
        start = rng.choice((0, 1, 100, 255, 65535, 2**32 - 1))
        told = count if rng.random() < 0.85 else rng.choice((0, 255, 65535, 2**32 - 1))
        stop = start + told - 1 if rng.random() < 0.9 else rng.randrange(2**32)
        prefix = 0
        if qualifier in (0, 3):
            span = bytes([start & 0xFF, stop & 0xFF])
        elif qualifier in (1, 4):
            span = struct.pack("<HH", start & 0xFFFF, stop & 0xFFFF)
        elif qualifier in (2, 5):
            span = struct.pack("<II", start & 0xFFFFFFFF, stop & 0xFFFFFFFF)
        elif qualifier == 6:
            span = b""
        else:
            prefix = {0x17: 1, 0x28: 2, 0x39: 4, 0x5B: 2}.get(qualifier, 0)
            width = {0x07: 1, 0x17: 1, 0x5B: 1, 0x09: 4, 0x39: 4}.get(qualifier, 2)
            span = (told & (1 << 8 * width) - 1).to_bytes(width, "little")
        objects = b"".join(rng.randbytes(prefix) + self._object(size) for _ in range(count))
        return bytes([group, variation, qualifier]) + span + objects

    def _object(self, size: int) -> bytes:
        rng = self._rng
        special = (b"\xff" * size, bytes(size), b"\x01" + b"\x00\x00\xc0\x7f" * 4, b"\x7f\x80" * 8)
        return (
            rng.choice(special)[:size].ljust(size, b"\0")
            if rng.random() < 0.2
            else (rng.randbytes(size))
        )

    def _spoilt(self, fragment: bytes) -> bytes:
        """Its frames, some of them damaged, missing, twice or out of order."""
        rng = self._rng
        frames = segments(fragment, rng.randrange(64))
        way = rng.random()
        if way < 0.7:
            return b"".join(frames)
        at = rng.randrange(len(frames))
        if way < 0.78:
            wrong = bytearray(frames[at])
            wrong[rng.randrange(len(wrong))] ^= 1 << rng.randrange(8)
            frames[at] = bytes(wrong)
        elif way < 0.82:
            frames[at] = frames[at][: rng.randrange(len(frames[at]))]
        elif way < 0.86:
            frames.insert(at, frames[rng.randrange(len(frames))])
        elif way < 0.9:
            del frames[at]
        elif way < 0.94:
            rng.shuffle(frames)
        elif way < 0.97:
            frames.insert(at, rng.randbytes(rng.choice((1, 10, 300, 3000))))
        else:
            frames.insert(at, frame(rng.randrange(256), rng.randbytes(rng.randrange(250))))
        return b"".join(frames)
