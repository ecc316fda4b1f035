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
from tests.bench.control.tape import POWERS
from tests.fixtures.daemon import GATEWAY

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable

    from tests.bench.control.plant import Plant
    from tests.bench.control.tape import Change, Tape
    from tests.bench.control.times import Times

YEAR_S = 365.25 * 86_400
CONNECT_S = 0.25  # c on this machine, and the 0.1 s for a request that began just before


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
    at_a = True  # the bound holds with r := a, too: nothing in it waits for r itself

    def letter(self, times: Times) -> str:
        """Which bound it is at such a battery."""
        del times
        return self.group

    def bound_s(self, times: Times) -> float | None:
        """From the cause to zero; None where nothing is promised."""
        return times.bounds.cloud_dead_s

    def tried(self, plant: Plant) -> list[str]:
        """The batteries where there is something to see."""
        return plant.names

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

    def wrong(self, times: Times, tape: Tape, began_s: float, zero: Change) -> str:
        """What else is not as it must be; "" if all is."""
        del times, tape, began_s, zero
        return ""

    def seen(self, tape: Tape, zero: Change) -> bool:
        """Whether what was to be tried came about."""
        del tape, zero
        return True


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

    def wrong(self, times: Times, tape: Tape, began_s: float, zero: Change) -> str:
        del tape
        early_s = times.lease_s - 2.0 - (zero.at_s - began_s)
        return f"ended {early_s:.2f} s before the lease" if early_s > 0 else ""


class ClockInsane(ClockJumps):
    key = "clock-insane"
    what = "the same, jumps -1 h, +5 years, -5 years: control goes off, too, and idles at once"
    jumps = (-3600.0, 5 * YEAR_S, -5 * YEAR_S)
    lost_lease = False

    def wrong(self, times: Times, tape: Tape, began_s: float, zero: Change) -> str:
        del times, tape, began_s, zero
        return ""


class ReadDropped(Scenario):
    """A read of present values in many fragments is under way when the lease ends.

    The RTAC's buffer overflowed, so they are read anew, and so is every read of them.
    """

    key = "read-dropped"
    group = "A, with a dropped read"
    what = "dispatch application silent, an integrity poll of sixty fragments under way"
    at_a = False  # the zero waits r before it drops the read

    def __init__(self) -> None:
        self._waiting: dict[str, float] = {}  # when each RTAC's buffer overflows

    def bound_s(self, times: Times) -> float | None:
        dropped_s = times.bounds.read_dropped_s
        return None if dropped_s is None else dropped_s + times.path.controls * CONNECT_S

    def cause(self, plant: Plant) -> None:
        plant.dispatcher.answering = False
        ends_s = plant.lease_ends_s()
        # What it takes until that is read, behind a beat and another read.
        early = {name: 2.0 + 2.5 * times.answer_s for name, times in plant.times_of.items()}
        self._waiting = {name: ends_s - early_s for name, early_s in early.items()}

    def meanwhile(self, plant: Plant, passed_s: float) -> None:
        del passed_s
        now_s = clock.now().mono_s
        for name in [name for name, at_s in self._waiting.items() if now_s >= at_s]:
            del self._waiting[name]
            times = plant.times_of[name]
            pause_s = max(0.05, 0.9 * times.response_s - times.answer_s)
            plant.faults(f"slow_fragments=60:{pause_s:g}", "overflow", names=[name])

    def mend(self, plant: Plant) -> None:
        plant.clear("slow_fragments")
        plant.dispatcher.answering = True

    def seen(self, tape: Tape, zero: Change) -> bool:
        overflowed_s = tape.faults.get("overflow", zero.at_s)
        again = any(overflowed_s < at < zero.at_s for at in tape.connections)
        return again and zero.why == "control"  # at a slow one the dead-man may be first


# --- B, D: gateway, host, power or link is dead -----------------------------------------------


class Dead(Scenario):
    group = "B, D"
    lost_lease = False

    def letter(self, times: Times) -> str:
        return "B" if times.path.dead_man else "D"

    def bound_s(self, times: Times) -> float | None:
        bounds = times.bounds
        return bounds.gateway_dead_s if times.path.dead_man else bounds.reversion_s

    def wrong(self, times: Times, tape: Tape, began_s: float, zero: Change) -> str:
        del tape, began_s
        ends = "deadman" if times.path.dead_man else "reversion"
        return "" if zero.why == ends else f"ended by {zero.why}, not by {ends}"


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

    def tried(self, plant: Plant) -> list[str]:
        return [name for name, times in plant.times_of.items() if times.path.dead_man]

    def prepare(self, plant: Plant) -> None:
        plant.faults("refuse_zero=8", names=self.tried(plant))

    def cause(self, plant: Plant) -> None:
        plant.dispatcher.answering = False

    def mend(self, plant: Plant) -> None:
        plant.wait_states("LATCHED", within_s=5, names=self.tried(plant))
        plant.clear("refuse_zero")
        plant.dispatcher.answering = True
        plant.reset()

    def wrong(self, times: Times, tape: Tape, began_s: float, zero: Change) -> str:
        del began_s
        if zero.why != "deadman":
            return f"ended by {zero.why}, not by the dead-man"
        silent_s = zero.at_s - times.deadman_s + 0.5
        beats = tape.written("cmd_heartbeat", after_s=silent_s, before_s=zero.at_s)
        return f"{len(beats)} heartbeats before the trip" if beats else ""


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

    def wrong(self, times: Times, tape: Tape, began_s: float, zero: Change) -> str:
        del times, tape, began_s
        return f"the first write is {zero.power_w:g} W" if zero.power_w else ""


class LocalAndBack(Scenario):
    key = "local-and-back"
    group = "-"
    what = (
        "switch to local for some seconds and back: the RTAC resumes its last setpoint, until idle"
    )
    lost_lease = False
    after_s = 4.0

    def bound_s(self, times: Times) -> float | None:
        # Remote is seen by a read that an event asks for: each takes an answer.
        return None if times.answer_s else times.idle_s

    def cause(self, plant: Plant) -> None:
        plant.faults("local")
        time.sleep(4 + 3 * max(times.answer_s for times in plant.times_of.values()))
        plant.clear("local")

    def began_s(self, tape: Tape, cause_s: float) -> float:
        return tape.faults.get("-local", cause_s)

    def wrong(self, times: Times, tape: Tape, began_s: float, zero: Change) -> str:
        del zero
        # The RTAC says local in its next answer; what is under way then may still arrive.
        since = tape.faults["local"] + 2.0 + 3 * times.answer_s
        writes = tape.written(*POWERS, after_s=since, before_s=began_s)
        return f"{len(writes)} writes in LOCAL" if writes else ""


class DurationEnds(Scenario):
    key = "duration-ends"
    group = "-"
    what = "duration of 50 s ends: zero after its time"
    lost_lease = False
    for_s = 50  # at a slow RTAC it takes half a minute to succeed
    waits_s = 50.0

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

    def wrong(self, times: Times, tape: Tape, began_s: float, zero: Change) -> str:
        del times, tape
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

    def wrong(self, times: Times, tape: Tape, began_s: float, zero: Change) -> str:
        del times, tape, began_s
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
    ReadDropped,
    GatewayKilled,
    GatewayStopped,
    PowerCut,
    LinkCut,
    ZeroRefused,
    RtacRestarts,
    LocalAndBack,
    DurationEnds,
    DurationEndsThoughClockJumps,
    Terminated,
)
