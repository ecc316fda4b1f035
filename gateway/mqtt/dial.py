"""Opens the TCP connection to the broker, within a bound for all of its addresses together.

``socket.create_connection`` gives each address the whole time. A cloud's name has eight of them:
in an outage that swallows packets, or behind a resolver that lies, the network thread would show
no life for so long that the process ends, and with it what it does for the battery.

getaddrinfo(3) itself has no bound: three name servers that swallow questions, asked five times
each, take more than a minute (resolv.conf(5), timeout and attempts). So it is asked on a thread of
its own, which nobody waits for longer than he likes; what it says too late is there for the next
attempt.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from gateway.mqtt.causes import ResolverSilentError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LEAST_S = 0.5  # for one address, however many there are


class Resolver:
    """Asks for the addresses of names, one question a name at a time, and waits within a bound.

    Args:
        within_s: how long one question may take.
        ask: as ``socket.getaddrinfo``.
    """

    def __init__(
        self,
        *,
        within_s: float,
        ask: Callable[..., Sequence[tuple[Any, ...]]] = socket.getaddrinfo,
    ) -> None:
        self._within_s, self._ask = within_s, ask
        self._open: dict[tuple[str, int], _Question] = {}  # those that nobody took the answer of

    def __call__(self, host: str, port: int) -> Sequence[tuple[Any, ...]]:
        """The addresses of ``host``; of a question that was open, the answer that it got.

        Raises:
            OSError: there are none, or no answer came in time (``ResolverSilentError``).
        """
        question = self._open.get((host, port))
        if question is None:
            question = self._open[host, port] = _Question(host, port, self._ask)
        if not question.over.wait(self._within_s):
            raise ResolverSilentError(host)
        del self._open[host, port]
        if question.error is not None:
            raise question.error
        return question.found


class _Question:
    """One question, on a thread of its own that ends with its answer."""

    def __init__(self, host: str, port: int, ask: Callable[..., Sequence[tuple[Any, ...]]]) -> None:
        self.over = threading.Event()
        self.found: Sequence[tuple[Any, ...]] = ()
        self.error: Exception | None = None
        self._host, self._port, self._ask = host, port, ask
        threading.Thread(target=self._run, name="resolver", daemon=True).start()

    def _run(self) -> None:
        try:
            self.found = self._ask(self._host, self._port, type=socket.SOCK_STREAM)
        except Exception as error:  # noqa: BLE001 - told to who asks: a name no IDNA takes raises UnicodeError
            self.error = error
        self.over.set()


def dial(
    host: str,
    port: int,
    *,
    within_s: float,
    resolve: Callable[[str, int], Sequence[tuple[Any, ...]]],
) -> socket.socket:
    """Connect to the first address of ``host`` that answers.

    Args:
        host: name or address.
        port: 1..65535.
        within_s: for all addresses; what one does not use is the others'.
        resolve: the resolver; its time is not counted, and has a bound of its own.

    Raises:
        OSError: none answered; the last one's error.
    """
    found = resolve(host, port)
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
