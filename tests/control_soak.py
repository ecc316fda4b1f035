"""Random life for a whole core and its sites, every output judged.

    python -m tests.control_soak 1000000 [--seed 1] [--minutes M]

Prints ticks, what happened how often, and the violations; exit 1 if there is one. Each life is an
hour long at most and begins afresh, from a seed of its own that is printed with a violation.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gateway import events
from gateway.config.safety import SharedLimitSettings
from gateway.control.phases import Phase
from gateway.control.watchdog.orders import unsettled
from gateway.errors import Fault, Where
from tests.fixtures.commands import CHIEF, GUARD, OPS, STRANGER, heartbeat
from tests.fixtures.control_files import (
    LIMIT_W,
    LIMITS,
    PREFIX,
    WATCHDOG,
    commissioned,
    site,
    ulid,
)
from tests.fixtures.rude_maps import KINDS, rude_map
from tests.fixtures.rude_site import RudeSite
from tests.fixtures.watchdog_site import ViolationError, broken

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.checked import Site

LIFE_S = 3600.0
POWERS = (500_000, -500_000, 1_490_000, -1_500_000, 1_500_001, 30_000, 0)
ACTS = (
    *("estop", "reset", "reset", "disable-control", "enable-control", "enable-control"),
    *("idle", "zero", "declare-zero"),
)
WORDS: dict[str, dict[str, Any]] = {
    "zero": {"by": "kept"},
    "declare-zero": {"name": "Kim", "reason": "saw it", "visited": True},
}
VERBS = ("idle", "disarm", "release", "reserve", "mode", "alarm_reset", "estop")
OTHER = "sha256:" + "c" * 64
FAULTS = (Fault(Where("safety.toml", "", "", 1), "not TOML"),)
STATUSES = tuple(range(1, 19))
TRANSFORMER = '[asset.transformer]\nid = "TR-7"\nrating_kva = 1500\nenforce = true\n'


class Life:
    """One gateway with one battery or two, and what befalls it."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.names = ["bess-1", "bess-2"] if self.chance.random() < 0.3 else ["bess-1"]
        self.policy = self.chance.choice(("envelope", "envelope", "dual", "local"))
        self.kind, self.metered = self.chance.choice(KINDS), self.chance.random() < 0.3
        self.shares = self.chance.choice(("", "transformer", "site")) if len(self.names) > 1 else ""
        self.deadman_s = self.chance.choice((15.0, 15.0, 45.0))
        self.site = RudeSite(
            self._site(),
            kinds=dict.fromkeys(("bess-0", "bess-1", "bess-2"), self.kind),
            groups=(tuple(self.names),) if self.shares else (),
            ready=self.chance.random() < 0.9,
            seed=seed,
        )
        self.deeds: list[tuple[int, Callable[[], None]]] = [
            (60, self.dispatch),
            (60, self.arm),
            (8, self.order),
            (10, self.toggle_cloud),
            (10, self.delay_cloud),
            (25, self.broker),
            (12, self.toggle_link),
            (10, self.toggle_local),
            (5, self.restart_rtac),
            (12, self.misbehave),
            (6, self.field),
            (6, self.preempt),
            (10, self.disk),
            (3, self.kill),
            (4, self.put_back),
            (2, self.stop),
            (6, self.reload),
            (10, self.operator),
            (3, self.commission),
            (3, self.stall),
            (3, self.jump_wall_clock),
            (12, self.line),
            (8, self.old_events),
            (4, self.dead_man),
            (3, self.hang),
            (5, self.die_between),
            (40, self.heal),
            (6, self.power),
            (8, self.kill_behind_an_effect),
            (4, self.start_otherwise),
        ]
        self.site.disk.keeps = self.site.disk.witnesses = True
        self.copy: dict[str, str] | None = None  # of control.db

    def _site(self, **changes: Any) -> Site:  # noqa: ANN401 - arguments of site()
        tables = dict(changes.pop("tables", {}))
        if self.shares == "transformer":
            tables = {name: tables.get(name, "") + TRANSFORMER for name in self.names}
        shared = SharedLimitSettings(LIMIT_W, LIMIT_W) if self.shares == "site" else None
        return site(
            *self.names,
            approval=self.policy,
            map_ref=rude_map(self.kind, metered=self.metered),
            watchdog=replace(WATCHDOG, rtac_deadman_s=self.deadman_s),
            limits=replace(LIMITS, site=shared),
            tables=tables,
            **changes,
        )

    @property
    def name(self) -> str:
        return self.chance.choice(self.names)

    def live(self, ticks: int) -> None:
        weights = [weight for weight, _ in self.deeds]
        site, left = self.site, ticks
        while left > 0:
            pause = 1 + int(self.chance.expovariate(1 / self.chance.choice((1, 4, 30, 160))))
            for _ in range(min(left, pause)):
                site.step()
                if site.stopped:
                    site.power_on()
            left -= pause
            self.chance.choices(self.deeds, weights)[0][1]()
            if site.stopped:
                site.power_on()

    # --- commands ----------------------------------------------------------------------------

    def dispatch(self) -> None:
        again = self.chance.random() < 0.1 and self.site.commands
        more: dict[str, Any] = self.chance.choice(({}, {}, {"minSoc": 40}, {"rampWPerS": 50_000}))
        signers = self.chance.choice(((OPS,), (OPS, CHIEF), (CHIEF,), (GUARD,), (OPS, STRANGER)))
        id_ = self.site.command(
            "setpoint",
            *(signers if self.chance.random() < 0.3 else (OPS, CHIEF)),
            asset=self.name,
            id_=ulid(self.site.commands) if again else None,
            delay_s=self.chance.choice((0.0, 0.0, 0.3, 8.0, 70.0)),
            lives_s=self.chance.choice((1.0, 5.0, 60.0, 120.0, 121.0)),
            powerW=self.chance.choice(POWERS),
            durationS=self.chance.choice((2, 20, 600, 14_401)),
            **more,
        )
        if self.chance.random() < 0.7:
            self.site.ask("approve", id=id_)

    def arm(self) -> None:
        site, name = self.site, self.name
        if self.chance.random() < 0.8 and site.phase(name) is not Phase.ARMED:
            self.mend()
            site.run(self.chance.choice((5.0, 10.0)))
            site.ask("enable-control", asset=name)
            site.ask("reset", asset=name)
            site.run(self.chance.choice((1.0, 35.0, 45.0)))
        id_ = site.command("arm", OPS, CHIEF, asset=name)
        site.ask("approve", id=id_)
        for _ in range(self.chance.choice((1, 4, 8))):
            if site.phase(name) in (Phase.ARMED, Phase.ACTIVE):
                site.command(
                    "setpoint",
                    OPS,
                    CHIEF,
                    asset=name,
                    powerW=self.chance.choice(POWERS),
                    durationS=self.chance.choice((5, 60, 900)),
                )
                site.ask("approve", id=ulid(site.commands))
                site.run(self.chance.choice((0.25, 2.0, 4.0, 12.0)))
                self.chance.choice(self.deeds)[1]()

    def order(self) -> None:
        verb = self.chance.choice(VERBS)
        params: dict[str, Any] = {"reserve": {"percent": 30}, "mode": {"name": "enable"}}
        params = params.get(verb, {})
        self.site.command(verb, asset=self.name, **params)

    # --- cloud and broker --------------------------------------------------------------------

    def toggle_cloud(self) -> None:
        self.site.cloud_alive = not self.site.cloud_alive

    def delay_cloud(self) -> None:
        self.site.cloud_delay_s = self.chance.choice((0.05, 0.05, 1.0, 8.0, 29.5, 31.0, 100.0))

    def broker(self) -> None:
        """It keeps, repeats, reorders, and makes things up."""
        site, chance = self.site, self.chance
        for _ in range(chance.choice((1, 1, 5, 30))):
            if site.sent and chance.random() < 0.7:
                topic, payload = chance.choice(site.sent[-40:])
            else:
                number = max((n for s, n in site.issued if s == site.session), default=1)
                forged = heartbeat(STRANGER, challenge=number, session=site.session)
                topic = f"{PREFIX}/hb/down"
                payload = chance.choice((forged, b"", b"{", b'{"payload":"","signatures":[]}'))
            if chance.random() < 0.1:
                topic = f"{PREFIX}/{self.name}/cmd"
            site.later(chance.choice((0.0, 0.5, 6.0, 40.0)), topic, payload)

    # --- the field ---------------------------------------------------------------------------

    def toggle_link(self) -> None:
        site, name = self.site, self.name
        if not site.plants[name].link_up:
            site.mend(name)
            return
        site.cut(name)
        site.run(self.chance.choice((0.5, 3.0, 9.0, 12.0, 40.0)))
        if self.chance.random() < 0.8:
            site.mend(name)

    def toggle_local(self) -> None:
        rtac = self.site.rude(self.name).rtac
        rtac.local = not rtac.local
        if self.chance.random() < 0.1:  # so it is when the gateway starts
            self.site.power_on()

    def restart_rtac(self) -> None:
        self.site.restart_rtac(self.name, resumes=self.chance.random() < 0.7)

    def misbehave(self) -> None:
        plant, chance = self.site.rude(self.name), self.chance
        owner, what = chance.choice(
            (
                *((plant.rtac, one) for one in ("refuses_zero", "refuses_power", "needs_beat")),
                *((plant.rtac, one) for one in ("loses_requests", "loses_answers")),
                *((plant, one) for one in ("refuses_select", "refuses_beat", "refuses_stop")),
            )
        )
        setattr(owner, what, not getattr(owner, what))
        plant.status = chance.choice(STATUSES)

    def line(self) -> None:
        """Answers take up to r, or longer; reads come in pieces, or without end."""
        plant, chance = self.site.rude(self.name), self.chance
        plant.answer_s = chance.choice((0.02, 0.1, 0.5, 1.5, 2.4, 3.0))
        plant.late_share = chance.choice((0.0, 0.0, 0.0, 0.1, 0.5))
        plant.connect_s = chance.choice((0.01, 0.1, 1.0, 3.0, 11.0))
        plant.fragments = chance.choice((1, 1, 2, 5))
        plant.endless = chance.random() < 0.1
        plant.needs_time, plant.keeps_restart = chance.random() < 0.2, chance.random() < 0.2
        plant.indications = chance.choice((0, 0, 0, 0x40, 0x800, 0x2000))
        plant.loses_fragments = chance.random() < 0.05

    def old_events(self) -> None:
        """They wait at the RTAC, come late, come twice, or come by themselves."""
        plant, chance = self.site.rude(self.name), self.chance
        plant.holds_events = not plant.holds_events
        plant.repeats_events = chance.random() < 0.1
        wire = self.site.sessions[self.name].wire if self.name in self.site.sessions else None
        if wire is not None and chance.random() < 0.7:
            plant.holds_events = False
            wire.unsolicited()
            self.site.pump()

    def field(self) -> None:
        plant, chance = self.site.rude(self.name), self.chance
        match chance.randrange(8):
            case 0:
                plant.fault = not plant.fault
            case 1:
                plant.avail_w = chance.choice((0.0, 100_000.0, 400_000.0, 2e6))
            case 2:
                plant.soc_pct = chance.choice((9.0, 10.5, 50.0, 94.5, 96.0))
            case 3:
                plant.estop = not plant.estop
            case 4:
                plant.lockout = not plant.lockout
            case 5:
                plant.opened = not plant.opened
            case 6:
                plant.full_w = chance.choice((2e6, 1.6e6, 1e6, 0.0))
            case _:
                plant.meter_w = chance.choice((0.0, 700_000.0, -400_000.0))

    def preempt(self) -> None:
        plant, chance = self.site.rude(self.name), self.chance
        rtac = plant.rtac
        match chance.randrange(3):
            case 0:
                rtac.other_w = None if rtac.other_w is not None else 300_000.0
            case 1:
                rtac.echo_error_w = 0.0 if rtac.echo_error_w else -50_000.0
            case _:
                power_w = chance.choice((300_000.0, -200_000.0, 0.0))
                rtac.write_others(power_w, split=plant.kind == "split")
        self.site.run(chance.choice((0.0, 10.0, 80.0)))

    def dead_man(self) -> None:
        plant, chance = self.site.rude(self.name), self.chance
        plant.rtac.deadman = chance.choice(("clears", "clears", "keeps", "masks", "fails"))
        plant.rtac.deadman_s = self.deadman_s

    # --- the box -----------------------------------------------------------------------------

    def disk(self) -> None:
        disk, chance = self.site.disk, self.chance
        disk.delay_s = chance.choice((0.01, 0.01, 1.0, 20.0))
        disk.refuses, disk.silent = chance.random() < 0.2, chance.random() < 0.1

    def kill(self) -> None:
        self.site.run(self.chance.choice((0.0, 5.0)))
        if self.chance.random() < 0.1:
            self.site.disk.trouble = "set aside"
        self.site.power_on()

    def put_back(self) -> None:
        """control.db is put back from a copy of some time ago, or one is made; ids stay spent."""
        site, disk = self.site, self.site.disk
        if self.copy is None or self.chance.random() < 0.3:
            self.copy = dict(disk.facts)
            return
        site.kill(stored=self.chance.randint(0, 3))
        spent = {key: text for key, text in disk.facts.items() if "/command/" in key}
        disk.facts = self.copy | spent
        site.power_on()

    def stop(self) -> None:
        site = self.site
        site.post(events.StopAsked("SIGTERM"))
        site.run(self.chance.choice((1.0, 5.0, 40.0)))
        site.power_on()

    def stall(self) -> None:
        self.site.stall(self.chance.uniform(1, 40))

    def reload(self) -> None:  # noqa: C901 - one case after the other
        chance = self.chance
        names = self.names
        match chance.randrange(9):
            case 7:
                self.site.post(events.ReloadAsked(None, "site.toml:1: not TOML"))
                return
            case 8:
                found = replace(self._site(), safety=None, safety_faults=FAULTS)
            case 0:
                self.names = (
                    ["bess-1"]
                    if len(names) > 1
                    else chance.choice((["bess-0", "bess-1"], ["bess-1", "bess-2"]))
                )
                found = self._site()
            case 1:
                found = self._site(labels=chance.choice(("a", "b")))
            case 2:
                found = self._site(labels=chance.choice(("", "x")))
            case 3:
                found = self._site(digest=OTHER)
            case 4:
                found = self._site(safe=False)
            case _:
                found = self._site()
        self.site.reload(found)
        if found is not self.site.site:
            self.names = names
        for name in self.names:
            if chance.random() < 0.8 and self.site.site.safety is not None:
                digest = self.site.site.safety.digest
                self.site.ask("commission", act="acknowledge", asset=name, digest=digest)

    def operator(self) -> None:
        verb = self.chance.choice(ACTS)
        self.site.ask(verb, asset=self.name, **WORDS.get(verb, {}))
        if verb == "zero":
            self.site.ask("zero", asset=self.name, by="new")

    def power(self) -> None:
        """The battery obeys in the echo alone, or its meter lies, or cannot be read."""
        plant, chance = self.site.rude(self.name), self.chance
        plant.moves = chance.choice(("obeys", "obeys", "stays", "runs_away", "wrong_sign"))
        plant.offset_w = chance.choice((0.0, 0.0, 30_000.0, -250_000.0))
        plant.ramp_w_per_s = chance.choice((math.inf, 500_000.0, 50_000.0))
        gone = ("AI1", "BI0", "BI3", "AI8", "AI0")
        plant.offline = frozenset({chance.choice(gone)} if chance.random() < 0.3 else ())

    def hang(self) -> None:
        """The core stands still, and its sessions do not; systemd ends it after 10 s."""
        site = self.site
        site.hang(self.chance.choice((0.5, 2.5, 6.0, 11.0)))
        while site.at < site.hung_until:
            site.step()
        if self.chance.random() < 0.3:
            site.power_on()

    def die_between(self) -> None:
        """Behind a frame, or between a commit and its answer."""
        self.site.dies_at_frames = self.chance.choice((0, 1, 2, 5))
        self.site.dies_at_commits = self.chance.choice((0, 1, 2, 5))

    def kill_behind_an_effect(self) -> None:
        """The process dies in the middle of what the core ordered."""
        self.site.dies_in, self.site.dies_with = (
            self.chance.randint(1, 60),
            self.chance.randint(0, 5),
        )

    def start_otherwise(self) -> None:
        """Killed, and started without safety.toml, with another one, or with another endpoint."""
        site, found = self.site, self.site.site
        moved = dict.fromkeys(self.names, "port = 20001\n")
        site.kill(stored=self.chance.randint(0, 3))
        match self.chance.randrange(4):
            case 0:
                site.site = replace(found, safety=None)
            case 1:
                site.site = self._site(tables=moved)
            case 2:
                site.site = self._site(digest=OTHER)
            case _:
                site.disk.facts |= {"bess-1/disabled": '{"by": "anna"}'}
        site.power_on()
        site.run(self.chance.choice((1.0, 20.0, 60.0)))
        if self.chance.random() < 0.7:
            self.operator()
            site.run(self.chance.choice((1.0, 20.0)))
        site.kill(stored=self.chance.randint(0, 3))
        site.site = found
        site.power_on()

    # --- what must be possible behind all that -----------------------------------------------

    def ends_armed(self) -> None:
        """Site, disk and cloud are well again: what is listed leads back to ARMED."""
        site = self.site
        if site.stopped:
            site.power_on()
        site.site = self._site()
        site.kill(stored=len(site.disk.pending))
        site.plants = {
            name: site.plants.get(name) or site.shelf.get(name) or site.made(name)
            for name in self.names
        }
        site.disk.facts |= commissioned(site.site, at_ms=site.wall_ms - 86_400_000)
        site.power_on()
        self.mend()
        site.run(20)
        for name in self.names:
            site.ask("enable-control", asset=name)
            site.ask("reset", asset=name)
        site.run(100)
        for name in self.names:
            if site.control(name).controller.state.declared:
                site.ask("idle", asset=name)
        site.run(60)
        for name in self.names:
            id_ = site.command("arm", OPS, CHIEF, asset=name)
            site.ask("approve", id=id_)
            site.run(3)
            if site.phase(name) is not Phase.ARMED:
                control = site.control(name)
                why = (unsettled(control.controller.state), control.reasons)
                broken(f"liveness: {name} {site.phase(name)}, {site.acks.get(id_)}, {why}")

    def commission(self) -> None:
        site, name = self.site, self.name
        act = self.chance.choice(("sign-test", "deadman-test", "abort"))
        site.ask("commission", act=act, asset=name, holdS=3)
        for _ in range(self.chance.choice((3, 20, 90))):
            site.run(1)
            site.ask("commission", act="progress", asset=name)

    def jump_wall_clock(self) -> None:
        self.site.wall_ms += self.chance.randint(-(10**9), 10**10)

    def heal(self) -> None:
        self.mend()
        site = self.site
        for name in site.plants:
            if self.chance.random() < 0.5:
                site.ask("enable-control", asset=name)
                site.ask("reset", asset=name)
        if self.chance.random() < 0.3:
            site.disk.facts |= commissioned(site.site) if site.site.safety else {}

    def mend(self) -> None:
        site = self.site
        site.cloud_alive, site.cloud_delay_s = True, 0.05
        site.disk.delay_s, site.disk.refuses, site.disk.silent = 0.01, False, False
        site.wall_ms = max(site.wall_ms, 1_795_324_200_000)
        site.dies_in = site.dies_at_frames = site.dies_at_commits = 0
        for name in site.plants:
            site.mend(name)
            plant, rtac = site.rude(name), site.rude(name).rtac
            rtac.local = rtac.refuses_zero = rtac.refuses_power = rtac.needs_beat = False
            rtac.loses_requests = rtac.loses_answers = False
            rtac.other_w, rtac.echo_error_w = None, 0.0
            plant.fault = plant.estop = plant.lockout = plant.opened = False
            plant.avail_w, plant.power_factor, plant.full_w = 2e6, 1.0, 2e6
            plant.meter_w = 0.0
            plant.soc_pct = min(max(plant.soc_pct, 20.0), 80.0)
            plant.refuses_select = plant.refuses_beat = plant.refuses_stop = False
            plant.answer_s, plant.late_share, plant.connect_s = 0.1, 0.0, 0.1
            plant.fragments, plant.endless, plant.indications = 1, False, 0
            plant.needs_time = plant.keeps_restart = plant.loses_fragments = False
            plant.holds_events = plant.repeats_events = False
            plant.moves, plant.offset_w, plant.ramp_w_per_s = "obeys", 0.0, math.inf
            plant.offline = frozenset()


def soak(ticks: int, *, seed: int, minutes: float = 1e9) -> tuple[int, Counter[str], list[str]]:
    """Let at least ``ticks`` pass; returns the ticks, what happened how often, the violations."""
    seen: Counter[str] = Counter()
    violations: list[str] = []
    passed, end = 0, time.monotonic() + 60 * minutes
    while passed < ticks and time.monotonic() < end:
        life = Life(seed)
        try:
            life.live(
                min(int(life.chance.choice((0.1, 0.3, 1.0)) * LIFE_S * 4), max(400, ticks - passed))
            )
            life.ends_armed()
        except ViolationError as violation:
            violations.append(f"seed {seed}, tick {life.site.ticks}: {violation}")
        passed += max(life.site.ticks, 1)
        seen += life.site.spent
        seen["power outputs"] += life.site.power_outputs
        seen["outputs"] += len(life.site.outputs)
        seen["commands"] += life.site.commands
        seen["starts"] += life.site.boot
        seen["drops for zero"] += sum(map(len, life.site.drops.values()))
        seen[f"lives {life.kind}"] += 1
        seen["succeeded"] += sum("succeeded" in one for one in life.site.results.values())
        seed += 1
    return passed, seen, violations


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.control_soak", description=__doc__)
    parser.add_argument("ticks", type=int, help="at least so many")
    parser.add_argument("--seed", type=int, default=1, help="of the first life")
    parser.add_argument("--minutes", type=float, default=1e9, help="at most so many")
    arguments = parser.parse_args()
    began = time.monotonic()
    ticks, seen, violations = soak(arguments.ticks, seed=arguments.seed, minutes=arguments.minutes)
    took = time.monotonic() - began
    print(f"{ticks} ticks ({ticks / 4 / 86400:.1f} days of site time) in {took:.0f} s")
    for what, count in seen.most_common():
        print(f"  {what:14} {count:9}")
    print(f"{len(violations)} violations")
    for line in violations[:20]:
        print("  " + line)
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
