"""Builds every part, wires it, starts threads, and ends them in the right order. No decisions."""

from __future__ import annotations

import base64
import faulthandler
import functools
import logging
import queue
import secrets
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway import __version__, clock, effects, events, loop
from gateway.audit.device import Device
from gateway.audit.log import AuditLog
from gateway.checked import Identity, Past
from gateway.core import Core
from gateway.errors import StoreError
from gateway.field.dnp3.engine import Engine
from gateway.field.dnp3.session import Dnp3Session
from gateway.field.intake import Intake
from gateway.host import journal, notify, threads
from gateway.local.reports import Reports
from gateway.local.server import Server
from gateway.mqtt.session import Mqtt
from gateway.ports import Outcome, OutcomeKind
from gateway.queue.store import Store
from gateway.site import load
from gateway.site.judge import SiteJudge
from gateway.status import health
from gateway.uplink import messages
from gateway.uplink.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.checked import Site
    from gateway.clock import Now
    from gateway.config.site import AssetSettings

log = logging.getLogger(__name__)

SIGNALS = frozenset((signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
STOP_MORE_USEC = "15000000"  # what systemd grants a stop, said anew as long as it idles
CLOSE_S = 1.0  # each part's share of the 5 s that SIGTERM may take
LIMP_S = {
    "store": 15.0,
    "audit": 15.0,
    "dnp3": 15.0,  # each connection's, named with its asset
    "mqtt": 90.0,  # an attempt takes 5 times CONNECT_S: resolver, TCP, TLS, CONNACK, SUBACKs
}  # silent for longer: end, to be restarted


def run(path: Path) -> int:
    """Run the gateway described by ``path`` until it is told to stop; return the exit code.

    Raises:
        ConfigError: the site is wrong; nothing was started.
        StoreError: the queue cannot be opened.
    """
    # Blocked before any thread starts, so that one thread of ours can wait for them: a handler
    # that posted to the inbox could interrupt the very thread that holds its lock.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    faulthandler.enable()  # systemd's watchdog sends SIGABRT: the stacks go to the journal
    site = load.load_site(path)
    return Gateway(site, path).run()


class Gateway:
    """Every part of one running gateway."""

    def __init__(self, site: Site, path: Path) -> None:
        settings = site.settings
        self._path = path
        self._inbox = loop.Inbox()
        self._post = self._inbox.post
        folder = Path(settings.state_dir)
        try:
            folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        except OSError as error:
            text = f"{folder}: cannot be made ({error.strerror}): must be a folder of the daemon"
            raise StoreError(text) from None
        self._store = Store(
            folder,
            settings.queue,
            post=self._post,
            notice_batch=functools.partial(messages.notice_batch, gateway=settings.gateway_id),
        )
        self._store.start()
        self._device = Device(settings.uplink)
        started = clock.now()
        identity = Identity(
            version=__version__,
            boot_id=Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
            session=base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("="),
            epoch=self._store.epoch,
            started=started,
            secret=secrets.token_bytes(32),
            start=self._store.start_number,
            epoch_before=self._store.epoch_before,
        )
        self._audit = AuditLog(
            folder,
            gateway=settings.gateway_id,
            sign=self._device.sign,
            post=self._post,
        )
        self._audit.start()
        audit = self._audit
        past = Past(audit.facts(), audit.trouble, audit.latest_ms, audit.recalled)
        self._core = Core(site, identity, past, started)
        self._uplink = Mqtt(
            settings, post=self._post, boot_id=identity.boot_id, epoch=identity.epoch
        )
        self._server = Server(load.socket_path(settings), post=self._post, reports=Reports(path))
        self._engines: dict[str, Engine] = {}
        self._intakes: dict[str, Intake] = {}
        self._sessions: dict[str, Dnp3Session] = {}
        self._judge = SiteJudge(path, post=self._post)
        self._swaps: queue.SimpleQueue[effects.ApplySettings] = queue.SimpleQueue()
        self._swapping = threading.Lock()  # held while sessions are replaced, or ended for good
        self._looked_s = self._awake_s = started.mono_s  # of ``_feed``
        self._hurries: dict[str, effects.Hurry] = {}  # the newest of each asset
        self._ceded: set[str] = set()  # those that are the site's
        self._dark: list[str] = []  # threads that made no progress at the last look
        self._doers: dict[type, Callable[[Any], None]] = {
            effects.StoreBatch: lambda order: self._store.append_later(order.batch),
            effects.FetchRows: self._store.fetch,
            effects.ForgetRows: lambda order: self._store.forget(order.ids),
            effects.Publish: self._uplink.publish,
            effects.Poll: self._poll,
            effects.Operate: self._operate,
            effects.Record: self._audit.record,
            effects.ForgetShipped: self._forget_shipped,
            effects.Answer: lambda order: self._server.answer(order.token, order.body),
            effects.Log: journal.write,
            effects.ReportStatus: lambda order: notify.send(STATUS=order.text),
            effects.ApplySettings: self._swaps.put,
            effects.Hurry: self._hurry,
            effects.HandsOff: self._hands_off,
            effects.GiveWay: self._give_way,
            effects.Renew: self._renew,
            effects.HurryUplink: lambda order: self._uplink.hurry(order.within_s),
            effects.FollowEpoch: lambda order: self._uplink.follow(order.epoch),
        }
        for asset in settings.assets:
            self._add(site, asset)

    def run(self) -> int:
        """Start everything, turn events into effects until ``Stop``, end everything."""
        threads.start("judge", self._judge.run, post=self._post)
        threads.start("reload", self._carry_out_reloads, post=self._post)
        threads.start("signals", self._wait_for_signals, post=self._post)
        self._server.start()
        self._uplink.start()
        for session in self._sessions.values():
            session.start()
        notify.send(READY="1", STATUS="started")
        log.info("bess-gateway %s is running with %s", __version__, self._path)
        try:
            stop = loop.run(self._core, self._inbox, self._perform, self._feed)
        except BaseException:  # an exit would end one connection after the other
            self._inbox.close()
            self._end(set(self._sessions))
            raise
        notify.send(STOPPING="1", STATUS=f"stopping: {stop.cause}")
        self._close()
        log.info("stopped: %s", stop.cause)
        return stop.exit_code

    def _add(self, site: Site, asset: AssetSettings) -> None:
        points_map = site.maps[asset.id]
        telemetry = Telemetry(
            asset.id,
            site.settings.gateway_id,
            points_map.digest,
        )
        intake = Intake(
            asset.id,
            telemetry,
            self._store,
            clock.now,
            post=self._post,
        )
        engine = Engine(post=self._post, asset=asset.id)
        self._engines[asset.id] = engine
        self._intakes[asset.id] = intake
        self._sessions[asset.id] = Dnp3Session(
            engine,
            asset,
            critical=points_map.polled_points,
            store=intake.store,
            poll_done=intake.flush,
            post=self._post,
        )
        self._demand(asset.id)
        self._sessions[asset.id].hands_off(on=asset.id in self._ceded)

    def _perform(self, effect: object) -> None:
        """Hand one order of the core to whoever carries it out; never waits."""
        self._doers[type(effect)](effect)

    def _hurry(self, order: effects.Hurry) -> None:
        self._hurries[order.asset] = order
        self._demand(order.asset)

    def _hands_off(self, order: effects.HandsOff) -> None:
        (self._ceded.add if order.on else self._ceded.discard)(order.asset)
        if (session := self._sessions.get(order.asset)) is not None:
            session.hands_off(on=order.on)

    def _give_way(self, order: effects.GiveWay) -> None:
        if (session := self._sessions.get(order.asset)) is not None:
            session.give_way(withheld=order.withheld)

    def _demand(self, asset: str) -> None:
        """Tell the asset's intake and session whether zero is owed, where there are any."""
        intake, session = self._intakes.get(asset), self._sessions.get(asset)
        order = self._hurries.get(asset, effects.Hurry(asset, on=False))
        if intake is not None:
            intake.hurry(on=order.on)
        if session is not None:
            session.demand(on=order.on, drops=order.drops)

    def _poll(self, order: effects.Poll) -> None:
        """Order a read; a session that a reload is about to start reads everything anyway."""
        session = self._sessions.get(order.asset)
        if session is not None:
            session.poll(order.kind)

    def _renew(self, order: effects.Renew) -> None:
        session = self._sessions.get(order.asset)
        if session is not None:
            session.renew()

    def _operate(self, order: effects.Operate) -> None:
        """Carry out a control; where there is no session it never leaves this box."""

        def done(outcome: Outcome) -> None:
            self._post(events.Operated(order.asset, order.token, outcome, clock.now()))

        session = self._sessions.get(order.asset)
        if session is None:
            done(Outcome(OutcomeKind.FAILED, (), "the session is being replaced"))
        else:
            session.operate(
                (order.control,),
                sbo=order.sbo,
                done=done,
                by=order.by,
                purpose=order.purpose,
                first=order.first,
            )

    def _forget_shipped(self, order: effects.ForgetShipped) -> None:
        """Ship static values again; an intake that is not made yet has shipped none."""
        intake = self._intakes.get(order.asset)
        if intake is not None:
            intake.forget()

    def _feed(self, at: Now) -> None:
        """Tell systemd that we live, if everything that must move has moved lately."""
        # Where this whole process stood still (SIGSTOP, suspend), nobody else is to blame.
        if at.mono_s - self._looked_s > health.PROGRESS_S:
            self._awake_s = at.mono_s
        self._looked_s = at.mono_s
        beats = {
            "store": max(self._awake_s, self._store.beat),
            "audit": max(self._awake_s, self._audit.beat),
            "mqtt": max(self._awake_s, self._uplink.beat),
        }
        for engine in self._engines.copy().values():  # a reload may change it meanwhile
            beats[engine.name] = max(self._awake_s, engine.beat)
        for name, limit_s in health.limping(beats, at.mono_s, LIMP_S):
            self._post(events.ThreadFault(name, f"made no progress for {limit_s:g} s"))
        del beats["mqtt"]  # it may wait for the broker for as long as a connection takes
        dark = health.silent(beats, at.mono_s)
        if dark != self._dark:
            self._dark = dark
            if dark:
                log.warning("no progress of %s: systemd is not fed", ", ".join(dark))
        if self._core.idling:  # however long the site lets zero be verified
            notify.send(EXTEND_TIMEOUT_USEC=STOP_MORE_USEC)
        if not dark and not self._core.failing:
            notify.send(WATCHDOG="1")

    def _wait_for_signals(self) -> None:
        while True:
            number = signal.sigwait(SIGNALS)
            if number == signal.SIGHUP:
                self._judge.ask()
            else:
                self._post(events.StopAsked(signal.Signals(number).name))

    def _carry_out_reloads(self) -> None:
        """A thread that is there before it is needed: no reload fails for want of one."""
        while True:
            order = self._swaps.get()
            self._swap(order.site, order.kept)

    def _swap(self, site: Site, kept: frozenset[str]) -> None:
        """Carry out a reload: closing a session takes its time."""
        with self._swapping:
            self._end(self._sessions.keys() - kept)
            self._post(events.SettingsApplied(site))
            for asset in site.settings.assets:
                if asset.id not in kept:
                    self._add(site, asset)
                    self._sessions[asset.id].start()
            self._store.resize(site.settings.queue)
            self._uplink.replace(site.settings)
            self._device.reload(site.settings.uplink)
            self._audit.record(effects.Record(0, (), sign=True))  # with the certificate of now

    def _end(self, assets: Iterable[str]) -> None:
        """End these connections, all at once: they take ``CLOSE_S`` together, or go on alone."""
        ending = []
        for name in assets:
            session = self._sessions.pop(name, None)
            if session is None:  # a reload that takes its time ends it
                continue
            intake, engine = self._intakes.pop(name), self._engines.pop(name)
            body = functools.partial(_end_connection, intake, session, engine)
            ending.append(threads.start(f"end {name}", body, post=self._post))
        end_s = time.monotonic() + CLOSE_S
        for thread in ending:
            thread.join(max(0.0, end_s - time.monotonic()))

    def _close(self) -> None:
        """End the field first (it writes to the store), the store last."""
        self._judge.close()
        self._inbox.close()  # or a thread that waits for room in it would never end
        self._server.close()
        self._swapping.acquire(timeout=CLOSE_S)  # never released: no reload begins any more
        self._end(set(self._sessions))
        self._uplink.close(within_s=CLOSE_S)
        self._audit.close(within_s=CLOSE_S)
        self._store.close(within_s=CLOSE_S)


def _end_connection(intake: Intake, session: Dnp3Session, engine: Engine) -> None:
    intake.close()  # opendnp3 ends nothing while a callback runs
    session.close(within_s=CLOSE_S)
    engine.close(within_s=CLOSE_S)
