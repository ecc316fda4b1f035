"""A network that loses, delays, repeats and reorders IP packets, between two ends of this host.

A TUN device with the address NEAR; whoever connects to FAR reaches NEAR: every packet comes out
of the device, meets its fate, and goes back in with its two addresses exchanged (which leaves
the checksums of IP and TCP as they are). So the kernel's own TCP is what copes. ``tc netem``
would do the same, where the kernel has it.
"""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import os
import random
import select
import shutil
import struct
import subprocess
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

NEAR, FAR = "10.213.77.1", "10.213.77.2"
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
LACKS = (
    ""
    if not os.geteuid() and os.path.exists("/dev/net/tun") and shutil.which("ip")  # noqa: PTH110 - at import
    else "needs root, /dev/net/tun and iproute2"
)


class Network:
    """The packets between NEAR and FAR.

    Attributes:
        loss, repeat: shares, 0..1.
        delay_s, jitter_s: of every packet; jitter reorders.
    """

    def __init__(self, device: int, *, seed: int = 1) -> None:
        self.loss = self.repeat = self.delay_s = self.jitter_s = 0.0
        self.packets = self.lost = 0
        self._device = device
        self._rng = random.Random(seed)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End."""
        self._over.set()
        self._thread.join(5)

    def _run(self) -> None:
        under_way: list[tuple[float, int, bytes]] = []
        rng, number = self._rng, 0
        while not self._over.is_set():
            wait_s = max(0.0, min(0.2, under_way[0][0] - time.monotonic())) if under_way else 0.2
            if select.select([self._device], [], [], wait_s)[0]:
                packet = os.read(self._device, 65_536)
                if packet[0] >> 4 == 4:
                    self.packets += 1
                    copies = 0 if rng.random() < self.loss else 1 + (rng.random() < self.repeat)
                    self.lost += not copies
                    back = packet[:12] + packet[16:20] + packet[12:16] + packet[20:]
                    for _ in range(copies):
                        number += 1
                        at_s = time.monotonic() + self.delay_s + rng.random() * self.jitter_s
                        heapq.heappush(under_way, (at_s, number, back))
            while under_way and under_way[0][0] <= time.monotonic():
                with contextlib.suppress(OSError):
                    os.write(self._device, heapq.heappop(under_way)[2])


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """The device, up, and the packets on it."""
    name = f"flt{os.getpid() % 100_000}"
    device = os.open("/dev/net/tun", os.O_RDWR)
    try:
        request = struct.pack("16sH22s", name.encode(), _IFF_TUN | _IFF_NO_PI, b"")
        fcntl.ioctl(device, _TUNSETIFF, request)
        for command in (
            ("addr", "add", f"{NEAR}/30", "dev", name),
            ("link", "set", name, "up"),
        ):
            subprocess.run(["ip", *command], check=True)
        made = Network(device)
        try:
            yield made
        finally:
            made.close()
    finally:
        os.close(device)
