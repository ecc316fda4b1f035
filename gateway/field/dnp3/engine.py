"""opendnp3 for one connection: one manager, one thread of its own, one watch of ours.

Each connection has its own, so that what holds one up (a commit that stalls) leaves the others'
outputs alone. A child of a fork leaves it alone: there its threads are missing, and to end it
would take for ever (yadnp3 3.2.1.4).
"""

from __future__ import annotations

import atexit
import ipaddress
import logging
import os
import sys
import threading
from typing import TYPE_CHECKING

import opendnp3 as dnp

from gateway import clock
from gateway.events import ThreadFault
from gateway.field.dnp3.watch import Member, Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.clock import Now
    from gateway.events import Post

log = logging.getLogger(__name__)

# opendnp3's own retry is never used (see supervise): this is longer than any attempt of ours.
NEVER = dnp.TimeDuration.Milliseconds(24 * 3600 * 1000)
LEVELS = dnp.LogLevels(dnp.flags.ERR.value | dnp.flags.WARN.value)
CLOSE_S = 5.0


class _Log(dnp.ILogHandler):
    """Warnings of opendnp3: the only place where it says why a connection was not made."""

    def __init__(self, hear: Callable[[str, str], None]) -> None:
        super().__init__()
        self._hear = hear

    def log(self, _module: object, name: str, _level: object, _location: str, message: str) -> None:
        """opendnp3: one line about the channel or master called ``name``."""
        try:
            self._hear(name, message)
        except Exception:  # nothing may leave a callback
            log.exception("a warning of opendnp3 was not understood")


class _Pulse(dnp.IMasterApplication):
    """A master that is never enabled: opendnp3's thread answers its scans at once."""

    def __init__(self, beat: Callable[[], None]) -> None:
        super().__init__()
        self._beat = beat

    def OnTaskComplete(self, _info: dnp.TaskInfo) -> None:  # noqa: N802 - opendnp3
        """opendnp3: the scan failed, as it must; its thread is alive."""
        try:
            self._beat()
        except Exception:  # nothing may leave a callback
            log.exception("pulse")

    def Now(self) -> dnp.UTCTimestamp:  # noqa: N802 - opendnp3
        """opendnp3: never asked, required."""
        return dnp.UTCTimestamp(clock.now().unix_ms)


class _Unheard(dnp.IChannelListener):
    def OnStateChange(self, state: dnp.ChannelState) -> None:  # noqa: N802 - opendnp3
        """opendnp3: the pulse's channel is never opened."""


class _Ignored(dnp.ISOEHandler):
    """The pulse's master receives nothing."""


class Engine:
    """Owns ``DNP3Manager(1)``: with more threads one master's callbacks hop between them.

    Args:
        post: takes the ``ThreadFault`` of anything that fails here.
        asset: whose connection it is; a fault names it.
        now: both clocks.
    """

    def __init__(self, post: Post, *, asset: str = "", now: Callable[[], Now] = clock.now) -> None:
        self.name = f"dnp3 {asset}".rstrip()
        self._process = os.getpid()
        self._closing = threading.Lock()  # taken once, for good
        self._ended = threading.Event()
        # A busy Python thread held a direct operate up for 17 ms; with this 2.5 ms (measured).
        sys.setswitchinterval(0.0005)
        self._post, self._now = post, now
        self._beat_s = now().mono_s
        self._pulsing = False
        self._hearers: dict[str, Callable[[str], None]] = {}
        self._named = False  # whether a name had to be resolved
        self._log = _Log(self._hear)
        self._manager = dnp.DNP3Manager(1, self._log)
        self._watch: Watch | None = None
        # While a manager lives the interpreter does not end; and a watch that is inside the
        # binding when it ends aborts the process.
        atexit.register(self.close)
        self._pulse = _Pulse(self._beaten)
        self._ignored = _Ignored()
        idle = self.channel("pulse", "127.0.0.1", 9, _Unheard())
        self._pulse_master = idle.AddMaster(
            "pulse", self._ignored, self._pulse, dnp.MasterStackConfig()
        )
        self._watch = Watch(self._ask_pulse, post, name=f"dnp3-watch {asset}".rstrip(), now=now)

    @property
    def beat(self) -> float:
        """CLOCK_BOOTTIME seconds of the last sign of life of opendnp3's thread.

        Asked for every 0.5 s by the watch, so it also stops when the watch does.
        """
        return self._beat_s

    def add(self, member: Member) -> None:
        """Keep a session's time."""
        if self._watch is not None:
            self._watch.add(member)

    def remove(self, member: Member) -> None:
        """Forget a session."""
        if self._watch is not None:
            self._watch.remove(member)

    def wake(self) -> None:
        """A session has something to do."""
        if self._watch is not None:
            self._watch.wake()

    def fault(self, text: str) -> None:
        """Report that a callback failed."""
        self._post(ThreadFault(self.name, text))

    def hear(self, name: str, hearer: Callable[[str], None] | None) -> None:
        """Give opendnp3's warnings about the channel and master ``name`` to ``hearer``."""
        if hearer is None:
            self._hearers.pop(name, None)
        else:
            self._hearers[name] = hearer

    def channel(
        self, name: str, host: str, port: int, listener: dnp.IChannelListener
    ) -> dnp.IChannel:
        """A TCP client channel, closed until a master on it is enabled."""
        retry = dnp.ChannelRetry(NEVER, NEVER)
        retry.reconnectDelay = NEVER
        self._named = self._named or not _is_address(host)
        ends = [dnp.IPEndpoint(host, port)]
        return self._manager.AddTCPClient(name, LEVELS, retry, ends, "", listener)

    def close(self, *, within_s: float = CLOSE_S) -> None:
        """End everything; sessions are closed before. Never call it from a callback.

        It returns when the callback that runs has ended: what that waits for is ended before.
        """
        if os.getpid() != self._process:
            return
        if not self._closing.acquire(blocking=False):
            self._ended.wait(within_s)  # another thread is at it
            return
        if self._watch is not None:
            self._watch.close(within_s=within_s)
        self._manager.Shutdown()
        # With its last reference its thread ends, but all of Python waits for that: only where
        # nothing is left that it could wait for, neither a callback nor a resolver of names.
        if not self._hearers and not self._named:
            del self._pulse_master, self._manager
        self._ended.set()
        atexit.unregister(self.close)

    def _hear(self, name: str, message: str) -> None:
        log.debug("%s: %s", name, message)
        if (hearer := self._hearers.get(name)) is not None:
            hearer(message)

    def _ask_pulse(self) -> None:
        if not self._pulsing:  # a stuck thread must not pile them up
            self._pulsing = True
            self._pulse_master.ScanClasses(dnp.ClassField(), self._ignored)

    def _beaten(self) -> None:
        self._pulsing = False
        self._beat_s = self._now().mono_s


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
