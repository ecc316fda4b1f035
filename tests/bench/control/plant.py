"""Many batteries under one gateway: a broker, as many simulated RTACs, the daemon, a dispatcher.

Everything is a process of its own and talks through the kernel; with a namespace, the daemon is
behind two cables that can be cut. ``ready`` brings every battery to an ACTIVE dispatch of real
power, ``mended`` brings every one back to a verified zero.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import psutil

from gateway import clock
from gateway.cloud.dispatcher.client import (
    BrokerAccess,
    BrokerUnreachableError,
    Dispatcher,
    DispatchError,
)
from gateway.cloud.dispatcher.heard import DelayedHeartbeat
from gateway.demo.broker import Broker
from gateway.demo.pki import Pki
from gateway.local import client
from gateway.sim.launch import SimProcess
from tests.bench.control.sites import POINTMAPS
from tests.bench.control.tape import Tape
from tests.bench.control.times import Times
from tests.fixtures import daemon as daemons
from tests.fixtures.commands import signer
from tests.fixtures.control_rig import KEYS, commissioned, who, write_safety
from tests.fixtures.daemon import GATEWAY, Asset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from gateway.cloud.dispatcher.heard import Challenge, HeardMessage
    from tests.bench.control.netns import Namespace
    from tests.bench.control.shim import Shim
    from tests.bench.control.sites import Site

POWER_W = 500_000
STARTS_AT_ONCE = 4
RIPE_S = 31.0  # an arm needs 30 s of unbroken lease
LOOK_S = 0.05
TRIES = 3
SHORT_S = 60
PACE_S = 0.07  # the gateway answers 20 commands in a second


class PlantError(Exception):
    """Something that a run needs did not come about; no verdict on a bound."""


class Daemon(daemons.Daemon):
    """The daemon, started by other words than its own."""

    before: tuple[str, ...] = ()

    def launch(self) -> None:
        """Start the process and return at once."""
        assert self._child is None, "it runs already"
        environment = {**os.environ, "PYTHONPATH": str(daemons.ROOT), **self._env}
        environment.pop("NOTIFY_SOCKET", None)
        command = [*self.before, *daemons.MODULE, "run", "--config", str(self.site)]
        with self._log_file.open("ab") as log:
            self._child = subprocess.Popen(
                command, stderr=log, stdout=log, env=environment, start_new_session=True
            )


class Plant:
    """The site; a context manager.

    Args:
        folder: for all files.
        sites: the batteries.
        times: parameters of the site; r and V are what each battery needs.
        net: where the daemon lives; None: beside us.
        shim: what is loaded into the daemon.
        sim: options of every simulator.
        loaded: options of the first one, beyond those.
        queue: keys of [queue].

    Attributes:
        times: the site's.
        times_of: each battery's, by name: with its own r, a and path to zero.
    """

    def __init__(
        self,
        folder: Path,
        *,
        sites: Sequence[Site],
        times: Times | None = None,
        net: Namespace | None = None,
        shim: Shim | None = None,
        sim: dict[str, Any] | None = None,
        loaded: dict[str, Any] | None = None,
        queue: dict[str, Any] | None = None,
    ) -> None:
        self.sites = {f"bess-{number}": one for number, one in enumerate(sites, 1)}
        self.names = list(self.sites)
        self.times, self.times_of = _times(times or Times(), self.sites)
        self.net, self.shim = net, shim
        self.answers: list[bytes] = []  # that we gave, for whoever replays them
        self.issued: list[tuple[float, float]] = []  # of challenges: issued, heard; CLOCK_BOOTTIME
        self._answered_s = 0.0  # when we last answered at once
        self._ripe_from = float("inf")
        self._session = ""  # boot nonce of the gateway
        self.hindered: list[str] = []  # on the way to power; a busy machine's
        self._folder = folder
        here = "127.0.0.1" if net is None else net.field_.here
        broker_host = "localhost" if net is None else net.uplink.here
        self.pki = Pki(folder / "pki")
        with contextlib.ExitStack() as stack:
            _find_maps(stack)
            self.broker = Broker(
                folder / "broker",
                pki=self.pki,
                gateways=(GATEWAY,),
                dispatchers=("dispatcher", "pulse", "hostile"),
                server=self.pki.broker(hosts=("localhost", "127.0.0.1", broker_host)),
                listen="127.0.0.1" if net is None else "0.0.0.0",
            )
            self.broker.start()
            stack.callback(self.broker.stop)
            self.sims = self._sims(stack, {"host": here, **(sim or {})}, loaded or {})
            quick = {"event_poll_s": 1.0, "link_check_s": 2.0}
            self.daemon = stack.enter_context(
                Daemon(
                    folder / "daemon",
                    pki=self.pki,
                    broker_port=self.broker.port,
                    assets=[
                        Asset(
                            one.port,
                            id=name,
                            map=at.map.ref,
                            host=here,
                            dnp3={**quick, "response_timeout_s": at.response_s},
                        )
                        for (name, at), one in zip(self.sites.items(), self.sims, strict=True)
                    ],
                    uplink={"host": broker_host},
                    queue=queue,
                    env={} if shim is None else shim.env,
                )
            )
            self.daemon.before = () if net is None else net.enter
            write_safety(
                folder / "daemon",
                approval="envelope",
                lease_s=self.times.lease_s,
                idle_verify_s=self.times.verify_s,
                rtac_deadman_s=self.times.deadman_s,
                reversion_s=self.times.reversion_s,
                reversion_refresh_s=self.times.refresh_s,
            )
            self.dispatcher = Dispatcher(
                self.connection("dispatcher"),
                gateway=GATEWAY,
                signers=who("ops-1"),
                heartbeat=who("pulse-1")[0],
                keep=5000,
            )
            self.dispatcher.on_challenge = self._reply
            self.dispatcher.on_heard = self._heard
            self._stack = stack.pop_all()
        self.tapes = [Tape(one.record_file) for one in self.sims]
        self.replies: Callable[[bytes], Iterable[DelayedHeartbeat]] = _at_once

    def _sims(
        self,
        stack: contextlib.ExitStack,
        options: dict[str, Any],
        loaded: dict[str, Any],
    ) -> list[SimProcess]:
        chosen = {
            "deadman_s": self.times.deadman_s,
            "scan_s": 0.25,
            "measure_s": 2.0,
            "no_unsolicited": True,  # polled each second: a tenth of the commits, of so many
            **options,
        }

        def start(number: int, site: Site) -> SimProcess:
            folder = self._folder / f"sim-{number}"
            folder.mkdir()
            more = loaded if number == 0 else {}
            late = [f"answer_delay={site.answer_s:g}"] if site.answer_s else []
            return SimProcess(
                site.map.ref, seed=number, cwd=folder, faults=late, **{**chosen, **more}
            )

        with ThreadPoolExecutor(STARTS_AT_ONCE) as pool:
            found = list(pool.map(start, range(len(self.names)), self.sites.values()))
        for one in found:
            stack.callback(one.close)
        return found

    def connection(self, name: str) -> BrokerAccess:
        """To our broker, as this client."""
        cert, key = self.pki.client(name)
        return BrokerAccess("localhost", self.broker.port, self.pki.ca, cert, key, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # --- heartbeats --------------------------------------------------------------------------

    def _reply(self, asked: Challenge, signed: bytes) -> Iterable[DelayedHeartbeat]:
        answers = tuple(self.replies(signed))
        if any(not one.delay_s for one in answers):
            is_gap = asked.at.mono_s - self._answered_s > self.times.lease_s / 2
            if is_gap or asked.session != self._session:
                self._ripe_from = asked.at.mono_s
            self._answered_s, self._session = asked.at.mono_s, asked.session
        del self.answers[:-200]
        self.answers.append(signed)
        return answers

    def _heard(self, heard: HeardMessage) -> None:
        if heard.schema == "bess.challenge/1":
            at, told = heard.at, dt.datetime.fromisoformat(str(heard.body["issuedAt"]))
            age_s = at.unix_ms / 1000 - told.timestamp()
            self.issued.append((at.mono_s - age_s, at.mono_s))

    def lease_ends_s(self) -> float:
        """When the lease that runs now ends, CLOCK_BOOTTIME, unless it is answered for again."""
        return self.issued[-1][0] + self.times.lease_s

    def pulse(self) -> subprocess.Popen[bytes]:
        """``bess-gateway dispatch heartbeat``: answers in a process of its own, and in ours none.

        Returns when it has answered for two challenges.
        """
        key = self._folder / "pulse.key"
        key.touch(mode=0o600)
        key.write_bytes(
            signer("pulse-1", KEYS["pulse-1"][1]).private.export_to_pem(
                private_key=True, password=None
            )
        )
        one = self.connection("pulse")
        words = {
            "--host": "localhost",
            "--port": str(one.port),
            "--ca": str(one.ca),
            "--cert": str(one.cert),
            "--key": str(one.key),
            "--gateway": GATEWAY,
            "--heartbeat-key": str(key),
            "--heartbeat-kid": "pulse-1",
        }
        options = [word for pair in words.items() for word in pair]
        child = subprocess.Popen(
            [sys.executable, "-m", "gateway", "dispatch", "heartbeat", *options],
            env={**os.environ, "PYTHONPATH": str(daemons.ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert child.stdout is not None
        for line in child.stdout:
            if b"answering" in line:
                break
        else:
            text = f"the heartbeat process ended with {child.wait()}"
            raise PlantError(text)
        time.sleep(2.5)  # it answers now; two questions pass
        self.dispatcher.answering = False
        time.sleep(1.5)
        return child

    # --- to power and back -------------------------------------------------------------------

    def start(self, *, first: bool = False) -> None:
        """Start the daemon; returns when sessions and broker are up."""
        if first:
            commissioned(self.daemon.site, self.daemon.state)
        self.daemon.start()
        if first:
            self._stack.enter_context(self.dispatcher)
        self.daemon.up()

    def until(self, holds: Callable[[], object], *, within_s: float, what: str) -> None:
        """Wait until ``holds()``.

        Raises:
            PlantError: says ``what`` did not happen.
        """
        end = time.monotonic() + within_s
        while not holds():
            if time.monotonic() > end:
                text = f"not within {within_s:g} s: {what}"
                raise PlantError(text)
            time.sleep(LOOK_S)

    def follow(self) -> list[Tape]:
        """Every tape, up to now."""
        for tape in self.tapes:
            tape.follow()
        return self.tapes

    def states(self) -> dict[str, str]:
        """The watchdogs' states, as the daemon says on its socket."""
        answer = self.daemon.ask("status")
        return {name: one["control"]["state"] for name, one in answer["assets"].items()}

    def wait_states(
        self, wanted: str, *, within_s: float, names: Sequence[str] | None = None
    ) -> None:
        """Wait until every watchdog, or those of ``names``, is in one state."""
        found: dict[str, str] = {}

        def there() -> bool:
            nonlocal found
            with contextlib.suppress(client.NotRunningError):
                states = self.states()
                found = {name: states[name] for name in names or self.names}
            return set(found.values()) == {wanted}

        try:
            self.until(there, within_s=within_s, what="")
        except PlantError:
            others = {name: state for name, state in found.items() if state != wanted}
            text = f"not all {wanted} within {within_s:g} s: {others}"
            raise PlantError(text) from None

    def order(
        self, names: Sequence[str], verb: str, *, within_s: float, **params: int
    ) -> dict[str, str]:
        """Send one command to each of ``names``; returns those where it failed, and why."""
        ids: dict[str, str] = {}
        failed: dict[str, str] = {}
        for name in names:
            try:
                ids[name] = self.dispatcher.send(name, verb, **params)
            except (DispatchError, BrokerUnreachableError) as error:
                failed[name] = str(error)
            time.sleep(PACE_S)
        end = time.monotonic() + within_s
        for name, id_ in ids.items():
            try:
                rest_s = max(0.1, end - time.monotonic())
                self.dispatcher.wait_for(id_, {"succeeded"}, within_s=rest_s)
            except DispatchError as error:
                failed[name] = str(error)
        return failed

    def ready(self, *, power_w: int = POWER_W, for_s: int = 600) -> list[str]:
        """Bring every battery to an ACTIVE dispatch; returns those that are.

        Raises:
            PlantError: not even half of them after several tries, on a machine with too much to do.
        """
        names = self._idle()
        left: Sequence[str] = names
        for _ in range(TRIES):
            self.until(self._ripe, within_s=90, what="30 s of unbroken lease")
            missed = self.order(left, "arm", within_s=15)
            armed = [name for name in left if name not in missed]
            missed |= self.order(armed, "setpoint", within_s=60, power_w=power_w, duration_s=for_s)
            found = self.states()
            left = [name for name in names if found[name] != "ACTIVE"]
            if not left or for_s < SHORT_S:  # those that are will not wait for those that are not
                break
            self.hindered += [f"{name} {found[name]}: {missed.get(name)}" for name in left]
            time.sleep(3)  # one command per 2 s, and time to verify an idle
        if len(left) > len(self.names) / 2:
            text = f"{', '.join(left)} not ACTIVE: {self.hindered[-1:]}"
            raise PlantError(text)
        return [name for name in names if name not in left]

    def _idle(self) -> list[str]:
        """Those that are IDLE, with nothing in force; an operator lets out who is LATCHED.

        Raises:
            PlantError: not even half of them after a while.
        """
        end, idle = time.monotonic() + 90, list[str]()
        while len(idle) < len(self.names) and time.monotonic() < end:
            found = self.states()
            latched = [name for name, state in found.items() if state == "LATCHED"]
            if latched:
                self.hindered += [f"{name} LATCHED" for name in latched]
                self.reset()
            elif not set(found.values()) <= {"IDLE", "IDLING"}:  # of a turn that was not made
                self.order(self.names, "disarm", within_s=20)
            assets = self.daemon.ask("status")["assets"]
            settled = [name for name in self.names if assets[name]["control"]["inForce"] is None]
            idle = [name for name in settled if found[name] == "IDLE"]
            time.sleep(LOOK_S)
        if len(idle) < len(self.names) / 2:
            text = f"IDLE are only {', '.join(idle) or 'none'}: {self.hindered[-1:]}"
            raise PlantError(text)
        return idle

    def _ripe(self) -> bool:
        now_s = clock.now().mono_s
        return now_s - self._answered_s < self.times.lease_s / 3 < RIPE_S < now_s - self._ripe_from

    def cpu_s(self) -> float:
        """Seconds of CPU that the daemon has used, user and system."""
        times = psutil.Process(self.daemon.pid).cpu_times()
        return times.user + times.system

    def handed_ms(self) -> float:
        """The longest from a control's licence to its frame, since the daemon started."""
        assets = self.daemon.ask("counters")["assets"]
        return max(float(one["handedMs"]) for one in assets.values())

    def reset(self) -> None:
        """An operator lets every battery out of LATCHED."""
        for name, state in self.states().items():
            if state == "LATCHED":
                client.ask(self.daemon.socket, "reset", {"asset": name}, wait_s=20)

    def answer_at_once(self) -> None:
        """Every challenge, from now on."""
        self.replies = _at_once

    def faults(self, *texts: str, names: Sequence[str] | None = None) -> None:
        """The same faults at every RTAC, or at those of ``names``."""
        for name, one in zip(self.names, self.sims, strict=True):
            for text in texts if names is None or name in names else ():
                one.fault(text)

    def clear(self, name: str) -> None:
        """The end of it."""
        for one in self.sims:
            one.clear(name)

    def end_silently(self) -> None:
        """Kill the daemon behind cut cables: no FIN and no RST leaves the box."""
        assert self.net is not None
        self.net.field_.cut()
        self.net.uplink.cut()
        self.daemon.kill()

    def terminate(self) -> int:
        """SIGTERM; returns the exit code."""
        self.daemon.signal(signal.SIGTERM)
        return self.daemon.wait(within_s=60)


def _times(site: Times, sites: dict[str, Site]) -> tuple[Times, dict[str, Times]]:
    """The site's with its longest V, and each battery's."""
    each = {name: one.times(site) for name, one in sites.items()}
    verify_s = max(one.verify_s for one in each.values())
    return (
        replace(site, verify_s=verify_s),
        {name: replace(one, verify_s=verify_s) for name, one in each.items()},
    )


def _find_maps(stack: contextlib.ExitStack) -> None:
    """Let us and every process that we start find the maps of the bench, until the end."""
    before = os.environ.get("BESS_POINTMAPS")
    os.environ["BESS_POINTMAPS"] = POINTMAPS

    def back() -> None:
        if before is None:
            del os.environ["BESS_POINTMAPS"]
        else:
            os.environ["BESS_POINTMAPS"] = before

    stack.callback(back)


def _at_once(signed: bytes) -> Iterable[DelayedHeartbeat]:
    return (DelayedHeartbeat(0.0, signed),)
