"""I1 to I17 of SPECIFICATION.md, section 7, on a whole core, every output judged.

The judge is in tests/fixtures/control_judge.py and rude_judge.py: it keeps its own books and raises
``ViolationError`` with the number of what broke. What each rule may do is written once, in
tests/control_soak.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from gateway import events
from gateway.control.phases import Phase
from tests.control_soak import ACTS, OTHER, POWERS, VERBS, WORDS, soak
from tests.fixtures.commands import CHIEF, GUARD, OPS, STRANGER, heartbeat
from tests.fixtures.control_site import PREFIX, ControlSite, site, ulid

if TYPE_CHECKING:
    from gateway.ports import CrobOp
    from tests.fixtures.commands import Signer

SECONDS = st.sampled_from((0.25, 0.5, 1.0, 2.0, 5.0, 12.0, 31.0))
DELAYS = st.sampled_from((0.0, 0.3, 6.0, 40.0))


class AnyLife(RuleBasedStateMachine):
    """Whatever happens, in any order: no output breaks an invariant."""

    def __init__(self) -> None:
        super().__init__()
        self.site = ControlSite()

    @initialize(policy=st.sampled_from(("envelope", "envelope", "dual", "local")))
    def a_site(self, policy: str) -> None:
        self.policy = policy
        self.site = ControlSite(site(approval=policy))

    @rule(seconds=SECONDS)
    def time_passes(self, seconds: float) -> None:
        self.site.run(seconds)
        self._lives()

    def _lives(self) -> None:
        if self.site.stopped:
            self.site.power_on()

    @precondition(lambda self: self.site.phase() is not Phase.ACTIVE)
    @rule(power_w=st.sampled_from((500_000, -500_000)))
    def all_is_well_and_a_dispatch_begins(self, power_w: int) -> None:
        made, plant = self.site, self.site.plant
        made.mend()
        made.cloud_alive, made.cloud_delay_s = True, 0.05
        made.disk.delay_s, made.disk.refuses, made.disk.silent = 0.01, False, False
        plant.rtac.local = plant.rtac.refuses_zero = plant.rtac.refuses_power = False
        plant.rtac.loses_answers = plant.rtac.loses_requests = False
        plant.flows_w, plant.offline = None, frozenset()
        plant.rtac.other_w, plant.fault, plant.avail_w, plant.soc_pct = None, False, 2e6, 50.0
        made.ask("enable-control", asset="bess-1")
        made.ask("reset")
        made.run(45)
        for id_ in (
            made.command("arm", OPS, CHIEF),
            made.command("setpoint", OPS, CHIEF, powerW=power_w),
        ):
            made.ask("approve", id=id_)
        made.run(2)

    @rule(
        power_w=st.sampled_from(POWERS),
        duration_s=st.sampled_from((1, 20, 600, 14_401)),
        lives_s=st.sampled_from((1.0, 5.0, 60.0, 121.0)),
        signers=st.sampled_from(((OPS,), (OPS, CHIEF), (CHIEF,), (GUARD,), (STRANGER,))),
        delay_s=DELAYS,
        again=st.booleans(),
    )
    def a_command(
        self,
        *,
        again: bool,
        signers: tuple[Signer, ...],
        power_w: int,
        duration_s: int,
        lives_s: float,
        delay_s: float,
    ) -> None:
        made = self.site
        id_ = made.command(
            "setpoint",
            *signers,
            id_=ulid(made.commands) if again and made.commands else None,
            lives_s=lives_s,
            delay_s=delay_s,
            powerW=power_w,
            durationS=duration_s,
        )
        made.ask("approve", id=id_)

    @rule(verb=st.sampled_from((*VERBS, "arm")))
    def an_order(self, verb: str) -> None:
        every: dict[str, Any] = {"reserve": {"percent": 30}, "mode": {"name": "enable"}}
        params: dict[str, Any] = every.get(verb, {})
        self.site.command(verb, **params)

    @rule(
        back=st.integers(1, 30),
        times=st.sampled_from((1, 5)),
        delay_s=DELAYS,
        retained=st.booleans(),
    )
    def the_broker_repeats_what_it_kept(
        self, *, back: int, times: int, delay_s: float, retained: bool
    ) -> None:
        for topic, payload in self.site.sent[-back:][:1] * times:
            self.site.later(delay_s, topic, payload, retained=retained)

    @rule(delay_s=DELAYS)
    def the_broker_makes_things_up(self, delay_s: float) -> None:
        made = self.site
        number = max((one for session, one in made.issued if session == made.session), default=1)
        forged = heartbeat(STRANGER, challenge=number, session=made.session)
        made.later(delay_s, f"{PREFIX}/hb/down", forged)

    @rule(alive=st.booleans(), delay_s=st.sampled_from((0.05, 8.0, 29.75, 31.0)))
    def the_cloud(self, *, alive: bool, delay_s: float) -> None:
        self.site.cloud_alive, self.site.cloud_delay_s = alive, delay_s

    @rule(up=st.booleans())
    def the_link(self, *, up: bool) -> None:
        if up:
            self.site.mend()
        else:
            self.site.cut()

    @rule(
        what=st.sampled_from(
            ("local", "refuses_zero", "refuses_power", "loses_requests", "loses_answers")
        )
    )
    def the_outstation(self, what: str) -> None:
        setattr(self.site.rtac, what, not getattr(self.site.rtac, what))

    @rule(resumes=st.booleans())
    def the_outstation_restarts(self, *, resumes: bool) -> None:
        self.site.restart_rtac(resumes=resumes)

    @rule(latency_s=st.sampled_from((0.01, 0.5, 1.5)))
    def the_outstation_is_slow(self, latency_s: float) -> None:
        self.site.plant.latency_s = latency_s

    @rule(
        fault=st.booleans(),
        avail_w=st.sampled_from((0.0, 300_000.0, 2e6)),
        soc_pct=st.sampled_from((9.0, 50.0, 96.0)),
    )
    def the_battery(self, *, fault: bool, avail_w: float, soc_pct: float) -> None:
        plant = self.site.plant
        plant.fault, plant.avail_w, plant.soc_pct = fault, avail_w, soc_pct

    @rule(delay_s=st.sampled_from((0.01, 1.0, 20.0)), refuses=st.booleans())
    def the_disk(self, *, delay_s: float, refuses: bool) -> None:
        self.site.disk.delay_s, self.site.disk.refuses = delay_s, refuses

    @rule(verb=st.sampled_from(sorted(set(ACTS))))
    def the_operator(self, verb: str) -> None:
        self.site.ask(verb, asset="bess-1", **WORDS.get(verb, {}))

    @rule(flows_w=st.sampled_from((None, 400_000.0)), blind=st.booleans())
    def the_power(self, *, flows_w: float | None, blind: bool) -> None:
        self.site.plant.flows_w = flows_w
        self.site.plant.offline = frozenset({"AI1"} if blind else ())

    @rule(effects=st.integers(1, 40), stored=st.integers(0, 4))
    def the_process_dies_behind_an_effect(self, effects: int, stored: int) -> None:
        self.site.dies_in, self.site.dies_with = effects, stored

    @rule(act=st.sampled_from(("sign-test", "deadman-test", "abort")))
    def commissioning(self, act: str) -> None:
        self.site.ask("commission", act=act, holdS=3)

    @rule(changes=st.sampled_from(({}, {"labels": "x"}, {"digest": OTHER}, {"safe": False})))
    def a_reload(self, changes: dict[str, Any]) -> None:
        self.site.reload(site(approval=self.policy, **changes))
        safety = self.site.site.safety
        if safety is not None:
            self.site.ask("commission", act="acknowledge", digest=safety.digest)

    @rule(seconds=st.sampled_from((1.0, 20.0, 40.0)))
    def the_process_stands_still(self, seconds: float) -> None:
        self.site.stall(seconds)

    @rule()
    def the_process_is_killed(self) -> None:
        self.site.power_on()

    @rule()
    def sigterm(self) -> None:
        self.site.post(events.StopAsked("SIGTERM"))

    @rule(jump_ms=st.integers(-(10**9), 10**10))
    def the_wall_clock_jumps(self, jump_ms: int) -> None:
        self.site.wall_ms += jump_ms


AnyLife.TestCase.settings = settings(
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
test_no_output_breaks_an_invariant_whatever_happens_in_any_order = pytest.mark.filterwarnings(
    "default"
)(AnyLife.TestCase)


@pytest.mark.parametrize("wanted", [2000, pytest.param(200_000, marks=pytest.mark.long)])
def test_random_lives_of_one_or_two_batteries_break_no_invariant(wanted: int) -> None:
    ticks, seen, violations = soak(wanted, seed=4)
    assert violations == []
    assert ticks >= wanted
    assert seen["power outputs"] > wanted / 400


def _life(*, tamper: bool) -> list[tuple[float, str, str, float | CrobOp]]:
    """Arm and two dispatches; with ``tamper`` the broker repeats and reorders everything else."""
    made = ControlSite()
    made.ready()
    for power_w in (0, 400_000, -300_000):
        if power_w:
            made.command("setpoint", powerW=power_w)
        else:
            made.command("arm")
        if tamper:
            for topic, payload in reversed(made.sent):
                made.later(0.0, topic, payload)
                made.later(1.0, topic, payload, retained=True)
        made.run(12)
    return [one for one in made.outputs if one[2] == "AO0"]


def test_i13_duplicating_and_reordering_messages_adds_no_write() -> None:
    assert _life(tamper=True) == _life(tamper=False)


def test_i13_dropping_and_delaying_answers_takes_power_away_and_adds_none() -> None:
    for delay_s, alive in ((0.05, False), (20.0, True), (31.0, True)):
        made = ControlSite()
        made.activate()
        made.cloud_delay_s, made.cloud_alive = delay_s, alive
        at = made.at
        made.run(90)
        assert [one for one in made.written("AO0", since=at) if one] == []


def test_i14_without_a_trusted_key_no_bytes_cause_an_output() -> None:
    made = ControlSite().arm()
    at = made.at
    for topic in ("hb/down", "bess-1/cmd", "mgmt/req"):
        for payload in (b"", b"\xff", b"null", b"[]", b'{"payload":"e30","signatures":[]}'):
            made.arrives(f"{PREFIX}/{topic}", payload)
    made.command("setpoint", STRANGER)
    made.command("setpoint", OPS, STRANGER)
    made.command("estop", STRANGER)
    made.run(5)
    assert {point for when, _, point, _ in made.outputs if when >= at} <= {"AO1"}
    assert made.phase() is Phase.ARMED
