"""TCP beneath the outstation's session: one connection is the master, the newest one.

Beyond py1815's own server it can misbehave on request: forget a connection without a FIN,
cut frames, spoil CRCs, send late. Runs on an asyncio loop; every method belongs to the loop's
thread.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from py1815 import link
from py1815.application import FIR_MASK

from gateway.sim.faults import Faults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from py1815.session import Session

_LONGEST_WAIT_S = 0.5  # between two looks at the session for something to send unasked
_SHORTEST_WAIT_S = 0.01  # a session that says "now" and has nothing must not spin
_CRC_OCTET = 8  # the header's CRC is octets 8 and 9 of a frame
_APPLICATION_OCTET = 11  # of a frame with data: the application's control, behind transport's
_IN_ORDER_S = 1e-4  # between two that are late
_LENGTH_OCTET = 2
_LENGTH_OVERHEAD = 5  # the length octet counts control and addresses too
_GARBAGE = bytes((17 * n + 3) % 251 for n in range(64))


class _Connection(asyncio.Protocol):
    """One TCP connection; ``forgotten`` ones stay open and silent."""

    def __init__(self, listener: TcpListener) -> None:
        self._listener = listener
        self.transport: asyncio.Transport | None = None
        self.forgotten = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._listener.admit(self)

    def data_received(self, data: bytes) -> None:
        if not self.forgotten:
            self._listener.received(self, data)

    def eof_received(self) -> bool:
        return self.forgotten  # True: keep our half open, as a peer behind a dead path does

    def connection_lost(self, exc: Exception | None) -> None:
        self._listener.ended(self, "reset" if exc else "closed")


class TcpListener:
    """Accepts the master's connections and carries octets between it and the session."""

    def __init__(
        self,
        session: Session,
        *,
        on_connection: Callable[[str], None],
        draw: Callable[[float, float], float],
    ) -> None:
        self._session = session
        self._draw = draw  # a random number between two
        self._due_s = 0.0  # when the last that is late leaves, on the loop's clock
        self._on_connection = on_connection  # hears "accepted", "closed", "dropped" ...
        self._server: asyncio.Server | None = None
        self._active: _Connection | None = None
        self._forgotten: list[_Connection] = []
        self._wake = asyncio.Event()
        self._initiator: asyncio.Task[None] | None = None
        self._cut_next = False
        self.faults = Faults()

    @property
    def port(self) -> int:
        """The port it got."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def connected(self) -> bool:
        """Whether a master is connected and remembered."""
        return self._active is not None

    async def start(self, host: str, port: int) -> None:
        """Listen; port 0 takes a free one.

        Raises:
            OSError: the address cannot be bound.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), host, port)
        self._initiator = loop.create_task(self._initiate())

    async def stop(self) -> None:
        """Close everything."""
        if self._initiator is not None:
            self._initiator.cancel()
        for connection in (self._active, *self._forgotten):
            if connection is not None and connection.transport is not None:
                connection.transport.abort()
        if self._server is not None:
            self._server.close()
        await asyncio.sleep(0)  # aborted transports close their sockets on the next pass

    def wake(self) -> None:
        """Look for something to send unasked: events were recorded."""
        self._wake.set()

    # --- the connection's life --------------------------------------------------------------

    def admit(self, connection: _Connection) -> None:
        """Make a new connection the master's, or refuse it."""
        assert connection.transport is not None
        if "refuse_connection" in self.faults:
            connection.forgotten = True
            connection.transport.abort()
            self._on_connection("refused")
            return
        displaced, self._active = self._active, connection
        if displaced is not None and displaced.transport is not None:
            displaced.forgotten = True
            displaced.transport.abort()
            self._on_connection("displaced")
        self._session.connection_reset()
        self._on_connection("accepted")
        self.wake()

    def received(self, connection: _Connection, data: bytes) -> None:
        """Octets from the master."""
        if connection is not self._active or "freeze" in self.faults:
            return
        self._send(self._session.receive(data))
        self.wake()

    def ended(self, connection: _Connection, cause: str) -> None:
        """A connection is gone."""
        if connection in self._forgotten:
            self._forgotten.remove(connection)
        if connection is self._active:
            self._active = None
            self._session.connection_reset()
            self._on_connection(cause)

    # --- misbehaviour ------------------------------------------------------------------------

    def drop(self) -> None:
        """Reset the connection."""
        connection, self._active = self._active, None
        if connection is not None and connection.transport is not None:
            connection.forgotten = True
            connection.transport.abort()
            self._session.connection_reset()
            self._on_connection("dropped")

    def forget(self) -> None:
        """Stop forwarding on the connection of now, without a FIN."""
        connection, self._active = self._active, None
        if connection is not None:
            connection.forgotten = True
            self._forgotten.append(connection)
            self._session.connection_reset()
            self._on_connection("forgotten")

    def babble(self) -> None:
        """Send octets that are no DNP3."""
        self._write(_GARBAGE)

    def cut_next(self) -> None:
        """Send half of the next frame, then close."""
        self._cut_next = True

    # --- octets outwards -----------------------------------------------------------------------

    async def _initiate(self) -> None:
        while True:
            self._wake.clear()
            if self._active is not None and "freeze" not in self.faults:
                self._send(self._session.initiate())
            due = self._session.initiate_after()
            wait_s = _LONGEST_WAIT_S if due is None else min(_LONGEST_WAIT_S, due)
            try:
                await asyncio.wait_for(self._wake.wait(), timeout=max(_SHORTEST_WAIT_S, wait_s))
            except TimeoutError:
                continue

    def _send(self, frames: bytes) -> None:
        if not frames:
            return
        if self._cut_next:
            self._cut_next = False
            self._write(frames[: len(frames) // 2])
            connection = self._active
            if connection is not None and connection.transport is not None:
                connection.transport.close()
            return
        frames = _spoilt(frames) if "bad_crc" in self.faults else frames
        loop = asyncio.get_running_loop()
        delays = self.faults.fragments()[1] or "answer_delay" in self.faults
        if not delays and self._due_s <= loop.time():
            self._write(frames)
            return
        at_once, late = _by_layer(frames)
        self._write(at_once)
        if late:  # behind what waits already
            self._due_s = max(self._due_s + _IN_ORDER_S, loop.time() + self._late_s(late))
            loop.call_at(self._due_s, self._write_to, self._active, late)

    def _late_s(self, frames: bytes) -> float:
        """How long these frames of the application wait."""
        continues = not frames[_APPLICATION_OCTET] & FIR_MASK
        pause_s = self.faults.fragments()[1] if continues else 0.0
        return self._draw(*self.faults.seconds("answer_delay")) + pause_s

    def _write_to(self, connection: _Connection | None, octets: bytes) -> None:
        if connection is self._active:
            self._write(octets)

    def _write(self, octets: bytes) -> None:
        if self._active is not None and self._active.transport is not None:
            self._active.transport.write(octets)


def _spoilt(frames: bytes) -> bytes:
    """The same frames with a wrong CRC in every header."""
    out = bytearray(frames)
    for at, _ in _spans(frames):
        out[at + _CRC_OCTET] ^= 0xFF
    return bytes(out)


def _by_layer(frames: bytes) -> tuple[bytes, bytes]:
    """The frames of the link layer alone, and those that carry data."""
    parts = [frames[at:end] for at, end in _spans(frames)]
    bare = [one for one in parts if one[_LENGTH_OCTET] == _LENGTH_OVERHEAD]
    return b"".join(bare), b"".join(one for one in parts if one not in bare)


def _spans(frames: bytes) -> Iterator[tuple[int, int]]:
    """Where each frame begins and ends."""
    at = 0
    while at + _CRC_OCTET < len(frames):
        end = at + link.frame_size(frames[at + _LENGTH_OCTET] - _LENGTH_OVERHEAD)
        yield at, end
        at = end
