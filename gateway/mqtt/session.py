"""Keeps a connection to the broker, on a thread of its own.

Every round of attempts, over all hosts in random order, and every connection that ends posts
``BrokerDown`` with its cause. The wait before the next round is random below a bound that doubles
(``endings.Law``), so that the gateways of a fleet do not all return in the same second. It starts
anew only after a connection that was of use: a broker that takes connections and closes them is
not called once a second.
"""

from __future__ import annotations

import dataclasses
import math
import random
import threading
import time
from typing import TYPE_CHECKING

from gateway import clock
from gateway.config.hosts import same_host
from gateway.errors import ConfigError
from gateway.events import BrokerDown, PublishRefused
from gateway.host import threads
from gateway.mqtt.client import CONNECT_S
from gateway.mqtt.connection import STALLED_S, Connection, ConnectionEnded
from gateway.mqtt.dial import Resolver
from gateway.mqtt.endings import BUSY, MOVED, NEAR, STEADY_S, Endings, Law
from gateway.tls import credentials
from gateway.uplink import messages
from gateway.uplink.topics import Topics

if TYPE_CHECKING:
    from gateway.config.site import SiteSettings
    from gateway.effects import Publish
    from gateway.events import Post


_NO_RETAIN = 0x9A  # Retain not supported (MQTT 5, 3.2.2.2)


@dataclasses.dataclass(frozen=True, slots=True)
class _End:
    """How a connection ended, or a round of attempts."""

    cause: str
    of_use: bool  # the broker took a message, or we ended it ourselves
    code: int = 0  # the broker's reason, where it gave one
    silent: bool = False  # it passed PUBACKs over


class Mqtt:
    """Hands over what shall be published, and posts what happens.

    Args:
        site: the broker, our id (also the MQTT client id), and the assets whose commands we hear.
        boot_id: of this boot, for the last will.
        epoch: of the queue, for the last will.
        post: the core's inbox.
        law: of the waits between attempts; None: by where the broker is.
        stalled_s: with messages in flight, so long without a PUBACK ends the connection.
    """

    def __init__(
        self,
        site: SiteSettings,
        *,
        boot_id: str,
        epoch: str,
        post: Post,
        law: Law | None = None,
        stalled_s: float = STALLED_S,
    ) -> None:
        started = clock.now()
        self.beat = started.mono_s  # the thread's last sign of life
        self._since_ms = started.unix_ms
        self._boot_id = boot_id
        self._epoch = epoch
        self._site = site
        self._fallback: SiteSettings | None = None
        self._post = post
        self._law = law
        self._urgent_s: float | None = None
        self._resolver = Resolver(within_s=CONNECT_S)
        self._stalled_s = stalled_s
        self._connection: Connection | None = None
        self._retains = True  # the broker, by what it last said
        self._changed = threading.Event()  # the site was replaced, or the end is near
        self._close_by: float | None = None  # time.monotonic
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread; it connects at once."""
        self._thread = threads.start("mqtt", self._run, post=self._post)

    def publish(self, order: Publish) -> None:
        """Publish once, if there is a connection; from any thread; never waits.

        A message with a token is answered by ``PublishAcknowledged`` or ``PublishRefused``,
        unless a ``BrokerDown`` comes first.
        """
        connection = self._connection
        refusal = "not connected" if connection is None else connection.offer(order)
        if refusal and order.token:
            self._post(PublishRefused(order.token, refusal))

    def replace(self, site: SiteSettings) -> None:
        """Reconnect with new settings; should they fail at once, with the old ones again.

        The files are read again even where their names did not change: a renewed certificate is
        taken up this way.

        Raises:
            ConfigError: a TLS file is wrong; nothing was changed.
        """
        credentials.client_context(site.uplink)
        if self._connection is not None:
            self._fallback = self._site
        self._site, self._retains = site, True
        self._changed.set()

    def hurry(self, within_s: float | None) -> None:
        """Wait no longer than this between attempts: a lease runs. None: it does not any more.

        From any thread; never waits.
        """
        self._urgent_s = within_s

    def follow(self, epoch: str) -> None:
        """Reconnect, as the queue began a new epoch: the broker has the will since CONNECT.

        From any thread; never waits.
        """
        if epoch != self._epoch:
            self._epoch = epoch
            self._changed.set()

    def close(self, within_s: float) -> None:
        """Wait for what is in flight, disconnect, end the thread; ``within_s`` seconds at most."""
        self._close_by = time.monotonic() + within_s
        self._changed.set()
        if self._thread is not None:
            self._thread.join(within_s + 0.5)

    # --- the network thread ----------------------------------------------------------------

    def _run(self) -> None:
        endings = Endings()
        while self._close_by is None:
            self._changed.clear()
            site, began_s = self._site, time.monotonic()
            end = self._round(site)
            lasted_s = time.monotonic() - began_s
            of_use = end.of_use or lasted_s > STEADY_S
            cause = endings.count(end.cause, acknowledged=of_use, lasted_s=lasted_s)
            if not of_use and self._fallback is not None and site is self._site:
                self._site, self._fallback = self._fallback, None
                cause = f"{cause}; these were new settings, the old ones are used again"
                endings.forgive()
            self._post(BrokerDown(cause, clock.now(), silent=end.silent))
            self._rest(endings.failures, busy=end.code in BUSY, twin=endings.twin)

    def _round(self, site: SiteSettings) -> _End:
        """Try each host once, in random order, until one was connected to; how it ended."""
        hosts = list(site.uplink.hosts)
        random.shuffle(hosts)
        causes: list[str] = []
        end = _End("no host", of_use=False)
        for host in hosts:
            end = self._session(site, host)
            if end.code == _NO_RETAIN and self._retains:
                self._retains = False  # MQTT 5, 3.1.2.6: not even the will, then
                end = self._session(site, host)
            causes.append(end.cause)
            if (end.of_use and end.code not in MOVED) or self._leaves(math.inf):
                break
        if not end.of_use:
            end = dataclasses.replace(end, cause="; ".join(dict.fromkeys(causes)))
        return end

    def _session(self, site: SiteSettings, host: str) -> _End:
        """One connection: why it ended, and whether it was of use."""
        topics = Topics(site.uplink.prefix, site.gateway_id)
        connection, epoch = None, self._epoch
        self.beat = clock.now().mono_s
        try:
            connection = Connection(
                site.uplink,
                credentials.client_context(site.uplink),
                gateway=site.gateway_id,
                host=host,
                inbound=topics.inbound(asset.id for asset in site.assets),
                will=(topics.status, self._will(site.gateway_id, epoch)),
                post=self._post,
                resolver=self._resolver,
                retain=site.uplink.retain and self._retains,
                stalled_s=self._stalled_s,
            )
            self._connection = connection
            connection.open()
            self._retains = connection.retains or not site.uplink.retain
            self._fallback = None
            return _End(self._stay(connection, epoch), of_use=True)
        except ConfigError as error:
            return _End(str(error), of_use=False)
        except ConnectionEnded as end:
            of_use = connection is not None and connection.acknowledged
            return _End(str(end), of_use=of_use, code=end.code, silent=end.silent)
        finally:
            self._connection = None
            if connection is not None:
                connection.drop()

    def _will(self, gateway: str, epoch: str) -> bytes:
        return messages.status(
            gateway=gateway,
            epoch=epoch,
            online=False,
            boot_id=self._boot_id,
            since_ms=self._since_ms,
            unix_ms=clock.now().unix_ms,
        )

    def _stay(self, connection: Connection, epoch: str) -> str:
        """Serve the connection until somebody wants another; ``ConnectionEnded`` before that."""
        while not self._changed.is_set() and self._close_by is None:
            connection.turn()
            self.beat = clock.now().mono_s
        if self._close_by is None:
            connection.bid_farewell(time.monotonic() + 1.0)
            anew = epoch != self._epoch
            return "the queue began a new epoch" if anew else "the settings were replaced"
        while not connection.empty() and time.monotonic() < self._close_by:
            connection.turn()
        connection.bid_farewell(max(self._close_by, time.monotonic() + 0.1))
        return "closed by the gateway"

    def _rest(self, failures: int, *, busy: bool, twin: bool) -> None:
        """Wait before the next round, unless somebody is in a hurry."""
        law = self._law or (NEAR if self._is_near() and not twin else Law())
        share, began_s = random.random(), time.monotonic()  # noqa: S311 - jitter, no secret
        while True:
            bound_s = law.bound_s(failures, urgent_s=self._urgent_s, busy=busy)
            end_s = began_s + law.shortest_s + share * max(0.0, bound_s - law.shortest_s)
            if self._leaves(end_s):
                return
            self._changed.wait(min(1.0, max(0.0, end_s - time.monotonic())))
            self.beat = clock.now().mono_s

    def _is_near(self) -> bool:
        return all(same_host(host).startswith("127.") for host in self._site.uplink.hosts)

    def _leaves(self, end_s: float) -> bool:
        return self._changed.is_set() or self._close_by is not None or time.monotonic() >= end_s
