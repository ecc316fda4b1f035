"""Opens the TCP connection to the broker, within a bound for all of its addresses together.

``socket.create_connection`` gives each address the whole time. A cloud's name has eight of them:
in an outage that swallows packets, or behind a resolver that lies, the network thread would show
no life for so long that the process ends, and with it what it does for the battery.
"""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LEAST_S = 0.5  # for one address, however many there are


def dial(
    host: str,
    port: int,
    *,
    within_s: float,
    resolve: Callable[..., Sequence[tuple[Any, ...]]] = socket.getaddrinfo,
) -> socket.socket:
    """Connect to the first address of ``host`` that answers.

    Args:
        host: name or address.
        port: 1..65535.
        within_s: for all addresses; what one does not use is the others'.
        resolve: the resolver; its time is not counted.

    Raises:
        OSError: none answered; the last one's error.
    """
    found = resolve(host, port, type=socket.SOCK_STREAM)
    end_s = time.monotonic() + within_s
    error: OSError = TimeoutError(f"{host} has no address")
    for at, (family, kind, protocol, _, address) in enumerate(found):
        left_s = end_s - time.monotonic()
        if at and left_s <= 0:
            break
        made = socket.socket(family, kind, protocol)
        made.settimeout(max(LEAST_S, left_s / (len(found) - at)))
        try:
            made.connect(address)
        except OSError as why:
            error = why
            made.close()
        else:
            return made
    raise error
