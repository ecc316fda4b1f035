"""The site's outstations, in as many processes as there are RTACs that can fail by themselves."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from tests.soak.stations import stations

if TYPE_CHECKING:
    from tests.fixtures.outstation_process import OutstationProcess

BOOT = 10_000_000  # events of one outstation between two of its starts, at most
MOST_BOOTS = 200  # values are 32-bit integers


@dataclass(frozen=True, slots=True)
class Boot:
    """What the outstations of one RTAC sent from one start to its end."""

    assets: tuple[str, ...]
    first: int  # number of the first event of each
    sent: int  # by each
    ended: bool  # by a loss of power, which took along what was not confirmed


@dataclass(slots=True)
class Rtac:
    """One process of outstations."""

    assets: tuple[str, ...]
    ports: list[int]
    child: OutstationProcess | None = None
    boots: int = 0


@dataclass(slots=True)
class Plant:
    """All of them. ``restarts`` and ``boots`` tell what happened."""

    rtacs: int
    each: int  # outstations of one
    points: int
    per_s: int  # events of one outstation
    boots: list[Boot] = field(default_factory=list)
    all: list[Rtac] = field(default_factory=list)
    _kept: list[socket.socket] = field(default_factory=list)

    def __enter__(self) -> Self:
        for number in range(self.rtacs):
            first = number * self.each + 1
            names = tuple(f"bess-{at}" for at in range(first, first + self.each))
            self.all.append(Rtac(names, [self._port() for _ in names]))
        return self

    def __exit__(self, *_: object) -> None:
        for rtac in self.all:
            if rtac.child is not None:
                rtac.child.close()
        for kept in self._kept:
            kept.close()

    @property
    def ports(self) -> list[int]:
        """Ports of all outstations, in the order of the assets."""
        return [port for rtac in self.all for port in rtac.ports]

    def power(self, rtac: Rtac) -> None:
        """Start its outstations."""
        rtac.child = stations(rtac.ports, points=self.points)

    def stream(self, rtac: Rtac) -> None:
        """From now on its points change."""
        assert rtac.child is not None
        rtac.boots += 1
        rtac.child.ask("stream", first=self.first(rtac), per_s=self.per_s)

    def end(self, rtac: Rtac, *, powerless: bool) -> None:
        """No more changes; ``powerless``: the process is killed in the same instant."""
        assert rtac.child is not None
        sent = rtac.child.ask("halt")["sent"]
        if powerless:
            rtac.child.close()
            rtac.child = None
        self.boots.append(Boot(rtac.assets, self.first(rtac), sent, powerless))

    @staticmethod
    def first(rtac: Rtac) -> int:
        """Number of the first event since its last start."""
        return rtac.boots % MOST_BOOTS * BOOT + 1

    def _port(self) -> int:
        """A port that stays ours while nobody listens on it: bound, with SO_REUSEADDR."""
        with contextlib.ExitStack() as stack:
            kept = stack.enter_context(socket.socket())
            kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            kept.bind(("127.0.0.1", 0))
            stack.pop_all()
        self._kept.append(kept)
        return int(kept.getsockname()[1])
