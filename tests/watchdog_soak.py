"""Random life for a watchdog and its site, every tick judged: ``python -m tests.watchdog_soak N``.

    python -m tests.watchdog_soak 4500000 [--seed 1]

Prints ticks, what happened how often, and the violations; exit 1 if there is one. Each life is an
hour long at most and begins afresh, from a seed of its own that is printed with a violation.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

from gateway.control.phases import Phase
from gateway.control.watchdog.events import (
    ArmOrdered,
    ControlDisabled,
    ControlEnabled,
    DispatchFailed,
    EstopOrdered,
    HeartbeatsHeld,
    HeartbeatVerified,
    IdleOrdered,
    ResetByOperator,
    SetpointWanted,
    StopOrdered,
    ZeroChosen,
)
from gateway.control.watchdog.words import Terms
from tests.fixtures.watchdog_site import LIMIT_W, Site, ViolationError

if TYPE_CHECKING:
    from collections.abc import Callable

LIFE_S = 3600.0
OTHERS = ((False, False), (True, False), (False, True))  # holds, tells


class Life:
    """One site and what befalls it."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        terms = Terms(
            tolerance_w=1.0,
            reversion=self.chance.random() < 0.5,
            reassert_idle=self.chance.random() < 0.3,
            zero_band_w=50.0,
        )
        self.site = Site(terms=terms, wall_ms=self.chance.randrange(10**12))
        self.site.latency_s = self.chance.choice((0.25, 0.5, 1.0))
        self.commands = 0
        self.seen: Counter[str] = Counter()
        self.deeds: list[tuple[int, Callable[[], None]]] = [
            (60, self.dispatch),
            (60, self.arm),
            (15, self.step_ramp),
            (10, self.toggle_cloud),
            (10, self.delay_cloud),
            (15, self.cloud_dies),
            (10, self.replay),
            (12, self.toggle_link),
            (10, self.toggle_local),
            (4, self.restart_rtac),
            (10, self.toggle_refusal),
            (6, self.toggle_losses),
            (6, self.toggle_beat),
            (6, self.change_power),
            (3, lambda: self.tell(ZeroChosen())),
            (6, self.toggle_interlock),
            (6, self.change_limits),
            (3, self.preempt),
            (3, self.kill),
            (3, self.stop),
            (4, lambda: self.tell(EstopOrdered("e"))),
            (14, lambda: self.tell(ResetByOperator())),
            (4, lambda: self.tell(IdleOrdered("i"))),
            (2, lambda: self.tell(ControlDisabled())),
            (6, lambda: self.tell(ControlEnabled())),
            (2, lambda: self.tell(DispatchFailed(self.newest, "power differs"))),
            (2, lambda: self.tell(HeartbeatsHeld(self.chance.uniform(1, 20)))),
            (3, self.jump_wall_clock),
            (3, lambda: self.site.stall(self.chance.uniform(1, 40))),
            (40, self.heal),
        ]

    def live(self, ticks: int) -> None:
        weights = [weight for weight, _ in self.deeds]
        site = self.site
        left = ticks
        while left > 0:
            # Mostly short pauses, now and then one that lets every timer run out.
            pause = min(
                left, 1 + int(self.chance.expovariate(1 / self.chance.choice((4, 30, 160))))
            )
            for _ in range(pause):
                site.step()
            left -= pause
            self.seen[site.state.phase.name] += pause
            self.chance.choices(self.deeds, weights)[0][1]()

    def tell(self, event: object) -> None:
        self.site.tell(event)  # type: ignore[arg-type]  # of the union by construction

    @property
    def newest(self) -> str:
        """Id of the newest command; those of an earlier boot quote a dead session nonce."""
        return f"{self.site.boot}-{self.commands}"

    def dispatch(self) -> None:
        if self.chance.random() > 0.1:  # else the same id again: must not reach the outputs twice
            self.commands += 1
        setpoint_w = self.chance.choice(
            (0.0, 500.0, -500.0, 990.0, 2000.0, self.chance.uniform(-1000, 1000))
        )
        self.site.dispatch(
            self.newest, setpoint_w, duration_s=self.chance.choice((5.0, 60.0, 900.0, 10**6))
        )

    def arm(self) -> None:
        site = self.site
        site.tell(ResetByOperator())
        if self.chance.random() < 0.7:
            self.heal()
            site.run(self.chance.choice((1.0, 35.0, 45.0)))
        site.tell(ArmOrdered("a"))
        if site.state.phase is Phase.ARMED:
            self.dispatch()

    def step_ramp(self) -> None:
        self.tell(SetpointWanted(self.newest, self.chance.uniform(-1100, 1100)))

    def toggle_cloud(self) -> None:
        self.site.cloud_alive = not self.site.cloud_alive

    def delay_cloud(self) -> None:
        self.site.cloud_delay_s = self.chance.choice((0.0, 0.0, 1.0, 8.0, 29.5, 31.0, 100.0))

    def cloud_dies(self) -> None:
        """Answers late, then none, then what somebody recorded."""
        site = self.site
        self.delay_cloud()
        site.run(self.chance.choice((1.0, 20.0)))
        site.cloud_alive = False
        for _ in range(self.chance.choice((5, 25))):
            site.run(2)
            self.replay()

    def replay(self) -> None:
        site = self.site
        boot = self.chance.choice((site.boot, site.boot, site.boot - 1))
        newest = site.state.lease.newest
        number = self.chance.randint(max(0, newest - 10), newest + 2)
        site.hear(HeartbeatVerified(f"boot-{boot}", number))

    def toggle_link(self) -> None:
        site = self.site
        if not site.link_up:
            site.mend()
            return
        site.cut()
        site.run(self.chance.choice((0.5, 3.0, 9.0, 12.0, 40.0)))
        if self.chance.random() < 0.8:
            site.mend()

    def toggle_local(self) -> None:
        self.site.switch(local=not self.site.rtac.local)

    def restart_rtac(self) -> None:
        self.site.restart_rtac(resumes=self.chance.random() < 0.7)

    def toggle_refusal(self) -> None:
        rtac = self.site.rtac
        if self.chance.random() < 0.7:
            rtac.refuses_zero = not rtac.refuses_zero
        else:
            rtac.refuses_power = not rtac.refuses_power

    def toggle_losses(self) -> None:
        rtac = self.site.rtac
        if self.chance.random() < 0.5:
            rtac.loses_requests = not rtac.loses_requests
        else:
            rtac.loses_answers = not rtac.loses_answers

    def toggle_beat(self) -> None:
        self.site.rtac.wants_beat = not self.site.rtac.wants_beat

    def change_power(self) -> None:
        """The battery obeys in the echo alone; the meter is off, or cannot be read."""
        rtac, chance = self.site.rtac, self.chance
        rtac.flows_w = chance.choice((None, 0.0, 400.0, -700.0))
        rtac.offset_w = chance.choice((0.0, 20.0, -90.0))
        rtac.blind = chance.random() < 0.2

    def toggle_interlock(self) -> None:
        self.site.set_interlocks(*(() if self.site.interlocks else ("fault",)))

    def change_limits(self) -> None:
        each = (0.0, 100.0, 400.0, LIMIT_W, LIMIT_W)
        self.site.set_limits(self.chance.choice(each), self.chance.choice(each))

    def preempt(self) -> None:
        rtac = self.site.rtac
        if self.chance.random() < 0.5:
            rtac.other_w = None if rtac.other_w is not None else 300.0
            rtac.other_holds, rtac.other_tells = self.chance.choice(OTHERS)
        else:
            rtac.echo_error_w = 0.0 if rtac.echo_error_w else -50.0
        self.site.run(self.chance.choice((0.0, 10.0, 80.0)))

    def kill(self) -> None:
        self.site.run(self.chance.choice((0.0, 5.0)))
        self.site.power_on(enabled=self.chance.random() < 0.7)

    def stop(self) -> None:
        site = self.site
        site.tell(StopOrdered())
        site.run(self.chance.choice((1.0, 5.0, 40.0)))
        site.power_on()

    def jump_wall_clock(self) -> None:
        self.site.wall_ms += self.chance.randint(-(10**11), 10**11)

    def heal(self) -> None:
        site, rtac = self.site, self.site.rtac
        site.cloud_alive, site.cloud_delay_s = True, 0.0
        site.mend()
        site.switch(local=False)
        rtac.refuses_zero = rtac.refuses_power = False
        rtac.loses_requests = rtac.loses_answers = False
        rtac.other_w, rtac.echo_error_w = None, 0.0
        rtac.hidden_w = 0.0
        rtac.flows_w, rtac.offset_w = None, 0.0
        rtac.wants_beat = rtac.blind = False
        site.set_interlocks()
        site.set_limits(LIMIT_W, LIMIT_W)
        if self.chance.random() < 0.5:
            site.tell(ControlEnabled())


def soak(ticks: int, *, seed: int) -> tuple[int, Counter[str], list[str]]:
    """Let at least ``ticks`` pass; returns the ticks, in which phases, and the violations."""
    seen: Counter[str] = Counter()
    violations: list[str] = []
    passed = 0
    while passed < ticks:
        life = Life(seed)
        try:
            life.live(min(int(LIFE_S * 4), ticks - passed))
        except ViolationError as violation:
            violations.append(f"seed {seed}, tick {life.site.ticks}: {violation}")
        passed += max(life.site.ticks, 1)
        seen += life.seen
        seed += 1
    return passed, seen, violations


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.watchdog_soak", description=__doc__)
    parser.add_argument("ticks", type=int, help="at least so many")
    parser.add_argument("--seed", type=int, default=1, help="of the first life")
    arguments = parser.parse_args()
    began = time.monotonic()
    ticks, seen, violations = soak(arguments.ticks, seed=arguments.seed)
    took = time.monotonic() - began
    print(f"{ticks} ticks ({ticks / 4 / 86400:.1f} days of site time) in {took:.0f} s")
    for phase, count in seen.most_common():
        print(f"  {phase:8} {count:9}")
    print(f"{len(violations)} violations")
    for line in violations[:20]:
        print("  " + line)
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
