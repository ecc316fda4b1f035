"""What ends a dispatch: each cause, when it began, what mends it, and the bound that holds.

The letters are those of SPECIFICATION.md, section 7. Every scenario begins with all
batteries under an ACTIVE dispatch of real power and ends with a verified zero.
"""

from __future__ import annotations

import itertools
import signal
import threading
import time
from typing import TYPE_CHECKING, ClassVar

from gateway import clock
from gateway.cloud.dispatcher.client import Dispatcher
from gateway.cloud.dispatcher.heard import DelayedHeartbeat
from tests.fixtures.daemon import GATEWAY

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable

    from tests.bench.control.plant import Plant, Times
    from tests.bench.control.tape import Change, Tape

YEAR_S = 365.25 * 86_400


class Scenario:
    """One row of the table; the defaults are those of a lost lease."""

    key: str
    group = "A"
    what: str
    lost_lease = True  # a lease ends in it: the delay of the idle after its end is measured, too
    needs: ClassVar[frozenset[str]] = frozenset()  # of "net", "shim"
    fatal = False  # the daemon is gone after it
    for_s = 600  # duration of the dispatch
    after_s = 2.0  # watched on, after zero
    waits_s = 0.0  # until it begins
    turns = 1  # at least

    def bound_s(self, times: Times) -> float | None:
        """From the cause to zero; None where nothing is promised."""
        return times.bounds.cloud_dead_s

    def prepare(self, plant: Plant) -> None:
        """Before the cause, with all under power."""

    def cause(self, plant: Plant) -> None:
        """Let it happen, to every battery at once."""
        raise NotImplementedError

    def meanwhile(self, plant: Plant, passed_s: float) -> None:
        """Called again and again until zero."""

    def mend(self, plant: Plant) -> None:
        """Afterwards."""

    def began_s(self, tape: Tape, cause_s: float) -> float:
        """The instant from which the bound counts."""
        del tape
        return cause_s

    def zero(self, tape: Tape, began_s: float) -> Change | None:
        """What put zero into force."""
        return tape.zero_after(began_s)

    def wrong(self, plant: Plant, tape: Tape, began_s: float, zero: Change) -> str:
        """What else is not as it must be; "" if all is."""
        del plant, tape, began_s, zero
        return ""


# --- A: the cloud is dead, the RTAC obeys ----------------------------------------------------


class DispatcherKilled(Scenario):
    key = "dispatcher-killed"
    what = "dispatch application killed (SIGKILL), broker alive"

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None

    def prepare(self, plant: Plant) -> None:
        self._child = plant.pulse()

    def cause(self, plant: Plant) -> None:
        del plant
        assert self._child is not None
        self._child.kill()

    def mend(self, plant: Plant) -> None:
        assert self._child is not None
        self._child.wait()
        assert self._child.stdout is not None
        self._child.stdout.close()
        plant.dispatcher.answering = True


class BrokerKilled(Scenario):
    key = "broker-killed"
    what = "broker killed (SIGKILL)"

    def cause(self, plant: Plant) -> None:
        plant.broker.kill()

    def mend(self, plant: Plant) -> None:
        plant.broker.start()


class BrokerFrozen(Scenario):
    key = "broker-frozen"
    what = "broker frozen (SIGSTOP), connections open"

    def cause(self, plant: Plant) -> None:
        plant.broker.freeze()

    def mend(self, plant: Plant) -> None:
        plant.broker.thaw()


class NetworkCut(Scenario):
    key = "network-cut"
    what = "link between gateway and broker down (veth)"
    needs = frozenset({"net"})

    def cause(self, plant: Plant) -> None:
        assert plant.net is not None
        plant.net.uplink.cut()

    def mend(self, plant: Plant) -> None:
        assert plant.net is not None
        plant.net.uplink.mend()


class HeartbeatsLate(Scenario):
    key = "heartbeats-late"
    what = "every heartbeat delayed by more than the lease, and replayed later"
    after_s = 8.0  # the late ones arrive

    def cause(self, plant: Plant) -> None:
        late_s = plant.times.lease_s + 0.5

        def replies(signed: bytes) -> Iterable[DelayedHeartbeat]:
            return (
                DelayedHeartbeat(late_s, signed),
                DelayedHeartbeat(late_s + 2, signed),
                DelayedHeartbeat(late_s + 5, signed),
            )

        plant.replies = replies

    def mend(self, plant: Plant) -> None:
        plant.answer_at_once()


class HeartbeatsReplayed(Scenario):
    key = "heartbeats-replayed"
    what = "dispatch application silent, a hostile client replays heartbeats for ever"
    after_s = 8.0

    def __init__(self) -> None:
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def cause(self, plant: Plant) -> None:
        plant.dispatcher.answering = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._replay, args=(plant, self._over), daemon=True)
        self._thread.start()

    def mend(self, plant: Plant) -> None:
        self._over.set()
        assert self._thread is not None
        self._thread.join()
        plant.dispatcher.answering = True

    def _replay(self, plant: Plant, over: threading.Event) -> None:
        recorded = list(plant.answers)
        hostile = Dispatcher(plant.connection("hostile"), gateway=GATEWAY, keep=10)
        with hostile:
            for signed in itertools.cycle(recorded):
                if over.wait(0.02):
                    return
                hostile.raw(hostile.topics.own("hb/down"), signed, qos=0, wait_s=0)


class ClockJumps(Scenario):
    key = "clock-jumps"
    what = "dispatch application silent, 3 s later the wall clock jumps +1 h, -2 s, +300 days"
    needs = frozenset({"shim"})
    jumps: tuple[float, ...] = (3600.0, -2.0, 300 * 86_400.0)
    turns = 3

    def __init__(self) -> None:
        self._turns = itertools.cycle(self.jumps)
        self._jump_s: float | None = None

    def cause(self, plant: Plant) -> None:
        plant.dispatcher.answering = False
        self._jump_s = next(self._turns)

    def meanwhile(self, plant: Plant, passed_s: float) -> None:
        assert plant.shim is not None
        if passed_s >= 3 and self._jump_s is not None:
            plant.shim.jump(self._jump_s)
            self._jump_s = None

    def mend(self, plant: Plant) -> None:
        assert plant.shim is not None
        plant.shim.jump(0)
        plant.dispatcher.answering = True

    def wrong(self, plant: Plant, tape: Tape, began_s: float, zero: Change) -> str:
        del tape
        early_s = plant.times.lease_s - 2.0 - (zero.at_s - began_s)
        return f"ended {early_s:.2f} s before the lease" if early_s > 0 else ""


class ClockInsane(ClockJumps):
    key = "clock-insane"
    what = "the same, jumps -1 h, +5 years, -5 years: control goes off, too, and idles at once"
    jumps = (-3600.0, 5 * YEAR_S, -5 * YEAR_S)
    lost_lease = False

    def wrong(self, plant: Plant, tape: Tape, began_s: float, zero: Change) -> str:
        del plant, tape, began_s, zero
        return ""


# --- B: gateway, host, power or link is dead --------------------------------------------------


class Dead(Scenario):
    group = "B"
    lost_lease = False

    def bound_s(self, times: Times) -> float | None:
        return times.bounds.gateway_dead_s

    def wrong(self, plant: Plant, tape: Tape, began_s: float, zero: Change) -> str:
        del plant, tape, began_s
        return "" if zero.why == "deadman" else f"ended by {zero.why}, not by the dead-man"


class GatewayKilled(Dead):
    key = "gateway-killed"
    what = "gateway killed (SIGKILL)"
    fatal = True

    def cause(self, plant: Plant) -> None:
        plant.daemon.kill()

    def mend(self, plant: Plant) -> None:
        plant.start()


class GatewayStopped(Dead):
    key = "gateway-stopped"
    what = "gateway stopped (SIGSTOP)"

    def cause(self, plant: Plant) -> None:
        plant.daemon.pause()

    def mend(self, plant: Plant) -> None:
        plant.daemon.resume()


class PowerCut(Dead):
    key = "power-cut"
    what = "gateway loses power: killed behind cut links, no FIN, no RST"
    fatal = True
    needs = frozenset({"net"})

    def cause(self, plant: Plant) -> None:
        plant.end_silently()

    def mend(self, plant: Plant) -> None:
        assert plant.net is not None
        plant.net.field_.mend()
        plant.net.uplink.mend()
        plant.start()


class LinkCut(Dead):
    key = "link-cut"
    what = "link between gateway and RTAC down (veth)"
    needs = frozenset({"net"})

    def cause(self, plant: Plant) -> None:
        assert plant.net is not None
        plant.net.field_.cut()

    def mend(self, plant: Plant) -> None:
        assert plant.net is not None
        plant.net.field_.mend()


# --- C: the RTAC answers and refuses zero ------------------------------------------------------


class ZeroRefused(Scenario):
    key = "zero-refused"
    group = "C"
    what = "lease lost, RTAC refuses zero with status 8: LATCHED, heartbeats withheld, dead-man"

    def bound_s(self, times: Times) -> float | None:
        return times.bounds.refused_s

    def prepare(self, plant: Plant) -> None:
        plant.faults("refuse_zero=8")

    def cause(self, plant: Plant) -> None:
        plant.dispatcher.answering = False

    def mend(self, plant: Plant) -> None:
        plant.wait_states("LATCHED", within_s=5)
        plant.clear("refuse_zero")
        plant.dispatcher.answering = True
        plant.reset()

    def wrong(self, plant: Plant, tape: Tape, began_s: float, zero: Change) -> str:
        del began_s
        if zero.why != "deadman":
            return f"ended by {zero.why}, not by the dead-man"
        silent_s = zero.at_s - plant.times.deadman_s + 0.5
        beats = tape.written("cmd_heartbeat", after_s=silent_s, before_s=zero.at_s)
        return f"{len(beats)} heartbeats before the trip" if beats else ""


# --- D: no logic in the RTAC but its reversion timer -------------------------------------------


class LinkCutReversion(LinkCut):
    key = "reversion"
    group = "D"
    what = "no dead-man in the RTAC, link down: its reversion timer"

    def bound_s(self, times: Times) -> float | None:
        return times.bounds.reversion_s

    def wrong(self, plant: Plant, tape: Tape, began_s: float, zero: Change) -> str:
        del plant, tape, began_s
        return "" if zero.why == "reversion" else f"ended by {zero.why}, not by the timer"


# --- what must not resume, and what ends in time ------------------------------------------------


class RtacRestarts(Scenario):
    key = "rtac-restarts"
    group = "-"
    what = "RTAC restarts: its setpoint is gone at once; until our first idle after it"
    lost_lease = False
    after_s = 4.0

    def bound_s(self, times: Times) -> float | None:
        del times
        return None

    def cause(self, plant: Plant) -> None:
        plant.faults("restart")

    def began_s(self, tape: Tape, cause_s: float) -> float:
        return tape.faults.get("restart", cause_s)

    def zero(self, tape: Tape, began_s: float) -> Change | None:
        return next(
            (one for one in tape.changes if one.at_s > began_s and one.why == "control"), None
        )

    def wrong(self, plant: Plant, tape: Tape, began_s: float, zero: Change) -> str:
        del plant, tape, began_s
        return f"the first write is {zero.power_w:g} W" if zero.power_w else ""


class LocalAndBack(Scenario):
    key = "local-and-back"
    group = "-"
    what = "switch to local for 4 s and back: the RTAC resumes its last setpoint, until idle"
    lost_lease = False
    after_s = 4.0

    def bound_s(self, times: Times) -> float | None:
        return times.idle_s

    def cause(self, plant: Plant) -> None:
        plant.faults("local")
        time.sleep(4)
        plant.clear("local")

    def began_s(self, tape: Tape, cause_s: float) -> float:
        return tape.faults.get("-local", cause_s)

    def wrong(self, plant: Plant, tape: Tape, began_s: float, zero: Change) -> str:
        del plant, zero
        # The RTAC says local in its next event; what is under way then may still arrive.
        since = tape.faults["local"] + 2.0
        writes = tape.written("cmd_power", after_s=since, before_s=began_s)
        return f"{len(writes)} writes in LOCAL" if writes else ""


class DurationEnds(Scenario):
    key = "duration-ends"
    group = "-"
    what = "duration of 12 s ends: zero after its time"
    lost_lease = False
    for_s = 12
    waits_s = 12.0

    def bound_s(self, times: Times) -> float | None:
        return times.idle_s

    def cause(self, plant: Plant) -> None:
        """Time passes."""

    def began_s(self, tape: Tape, cause_s: float) -> float:
        first = [one for one in tape.changes if one.at_s <= cause_s and one.power_w]
        last_zero = max((one.at_s for one in tape.changes if one.at_s <= cause_s
                         and not one.power_w), default=0.0)  # fmt: skip
        return next(one.at_s for one in first if one.at_s > last_zero) + self.for_s

    def zero(self, tape: Tape, began_s: float) -> Change | None:
        return tape.zero_after(began_s - self.for_s)

    def wrong(self, plant: Plant, tape: Tape, began_s: float, zero: Change) -> str:
        del plant, tape
        early_s = began_s - zero.at_s
        return f"ended {early_s:.2f} s too early" if early_s > 1.0 else ""


class DurationEndsThoughClockJumps(DurationEnds):
    key = "duration-clock-jumps"
    what = "the same, wall clock jumps +1 h, -2 s, +300 days in the middle"
    needs = frozenset({"shim"})
    jumps = (3600.0, -2.0, 300 * 86_400.0)
    turns = 3

    def __init__(self) -> None:
        self._turns = itertools.cycle(self.jumps)

    def cause(self, plant: Plant) -> None:
        assert plant.shim is not None
        plant.shim.jump(next(self._turns))

    def mend(self, plant: Plant) -> None:
        assert plant.shim is not None
        plant.shim.jump(0)


class Terminated(Scenario):
    key = "sigterm"
    group = "-"
    what = "gateway ends on SIGTERM: zero, verified, then exit 0"
    fatal = True
    lost_lease = False

    def __init__(self) -> None:
        self._code: int | None = None
        self._ended_s = 0.0

    def bound_s(self, times: Times) -> float | None:
        return times.idle_s

    def cause(self, plant: Plant) -> None:
        self._code = None
        plant.daemon.signal(signal.SIGTERM)

    def meanwhile(self, plant: Plant, passed_s: float) -> None:
        del passed_s
        if self._code is None and not plant.daemon.running:
            self._ended_s = clock.now().mono_s
            self._code = plant.daemon.wait()

    def mend(self, plant: Plant) -> None:
        if self._code is None:
            self._code = plant.daemon.wait(within_s=30)
            self._ended_s = clock.now().mono_s
        plant.start()

    def wrong(self, plant: Plant, tape: Tape, began_s: float, zero: Change) -> str:
        del plant, tape, began_s
        if self._code:
            return f"exit code {self._code}"
        return "" if zero.at_s < self._ended_s else "the daemon was gone before zero"


SCENARIOS: tuple[type[Scenario], ...] = (
    DispatcherKilled,
    BrokerKilled,
    BrokerFrozen,
    NetworkCut,
    HeartbeatsLate,
    HeartbeatsReplayed,
    ClockJumps,
    ClockInsane,
    GatewayKilled,
    GatewayStopped,
    PowerCut,
    LinkCut,
    ZeroRefused,
    LinkCutReversion,
    RtacRestarts,
    LocalAndBack,
    DurationEnds,
    DurationEndsThoughClockJumps,
    Terminated,
)
