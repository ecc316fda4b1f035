"""Commissioning tests against the real watchdog, and against whatever a field may show."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.clock import Now
from gateway.control.commissioning.procedure import (
    ANSWERS,
    Arm,
    AskRead,
    Commissioning,
    Disable,
    Enable,
    Finished,
    HoldHeartbeats,
    Idle,
    Kind,
    Order,
    OrderPower,
    Reconnect,
    Step,
    TellOperator,
    TrialPlan,
    TrialView,
)
from gateway.control.phases import Phase
from gateway.control.watchdog import effects, events, machine
from gateway.control.watchdog.orders import unsettled
from gateway.control.watchdog.words import Cause, Terms, WriteKind, WriteResult

TICK_S = 0.25
NAMEPLATE_W = 2_000_000.0
TWO_PCT_W = 40_000.0
W_S = 15.0

KINDS: dict[type, WriteKind] = {
    effects.WriteIdle: WriteKind.IDLE,
    effects.WriteSetpoint: WriteKind.SETPOINT,
    effects.WriteHeartbeat: WriteKind.HEARTBEAT,
}


def plan(kind: Kind, *, hold_s: float = 10.0, discharge: bool = True) -> TrialPlan:
    return TrialPlan(
        kind=kind,
        nameplate_w=NAMEPLATE_W,
        tolerance_w=500.0,
        deadman_s=W_S,
        idle_verify_s=30.0,
        hold_s=hold_s,
        discharge=discharge,
        drops=kind is Kind.DEADMAN,
    )


@dataclass
class Site:
    """The real watchdog, an RTAC with dead-man logic, a battery that follows, one clock."""

    plan: TrialPlan
    factor: float = 1.0  # measured power over setpoint
    has_deadman: bool = True
    refuses_power: bool = False
    now_s: float = 1000.0
    remote_w: float = 0.0
    beaten_at: float = -math.inf
    beats: int = 0
    heartbeat_at: float | None = None
    power_w: float | None = 0.0
    interlocks: tuple[str, ...] = ()
    cloud: bool = True
    cause: str = ""
    answer_s: float = 0.1
    connect_s: float | None = 0.5
    needs_beat: bool = False  # zero is refused without a heartbeat right before it
    answers: int = 0
    dropped: bool = False
    writes_w: list[float] = field(default_factory=list)
    orders: list[tuple[float, Order]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    def __post_init__(self) -> None:
        terms = Terms(tolerance_w=self.plan.tolerance_w)
        self.dog = machine.start(terms, self.now, session="s", enabled=False)
        self.test = Commissioning(self.plan)
        self.tell(events.SessionReady())
        self.tell(events.RemoteSeen())
        self.tell(events.InterlocksChanged(()))
        self.tell(events.LimitsChanged(NAMEPLATE_W, NAMEPLATE_W))

    @property
    def now(self) -> Now:
        return Now(self.now_s, 0)

    def tell(self, event: events.Event) -> None:
        self.dog, ordered = machine.handle(self.dog, event, self.now)
        for effect in ordered:
            self.carry_out(effect)

    def carry_out(self, effect: effects.Effect) -> None:
        if isinstance(effect, effects.IssueChallenge) and self.cloud:
            self.tell(events.HeartbeatVerified(effect.session, effect.number))
        if isinstance(effect, effects.PhaseChanged) and effect.cause is not Cause.VERIFIED:
            self.cause = f"{effect.cause} {effect.detail}".strip()
        if isinstance(effect, effects.KeepGroup) and effect.used:
            self.tell(events.GroupKept(ok=True))
        if type(effect) not in KINDS:
            return
        result = WriteResult.ACCEPTED
        if isinstance(effect, effects.WriteIdle):
            result = self.zeroed(effect.beat)
        elif isinstance(effect, effects.WriteSetpoint):
            self.writes_w.append(effect.setpoint_w)
            if self.refuses_power:
                result = WriteResult.REFUSED
            else:
                self.remote_w = effect.setpoint_w
        elif isinstance(effect, effects.WriteHeartbeat):
            self.beats += 1
            self.beaten_at = self.heartbeat_at = self.now_s
        kind, token = KINDS[type(effect)], getattr(effect, "token", 0)
        self.tell(events.WriteDone(kind, token, result))

    def zeroed(self, beat: int | None) -> WriteResult:
        if beat is not None:
            self.beaten_at = self.now_s
        if self.needs_beat and self.now_s - self.beaten_at >= W_S:
            return WriteResult.REFUSED
        self.remote_w = 0.0
        return WriteResult.ACCEPTED

    def view(self) -> TrialView:
        return TrialView(
            phase=self.dog.phase,
            lease_s=self.dog.lease.unbroken_s(self.now_s),
            interlocks=self.interlocks,
            echo_w=self.dog.echo_w,
            echo_at=self.dog.echo_at,
            power_w=self.power_w,
            setpoint_w=None if self.dog.dispatch is None else self.dog.dispatch.setpoint_w,
            heartbeat_at=self.heartbeat_at,
            beats=self.beats,
            cause=self.cause,
            unsettled=unsettled(self.dog) or "",
            answers=self.answers,
            answer_s=self.answer_s,
            connect_s=self.connect_s if self.dropped else None,
            zeroed=self.dog.demand is not None and self.dog.demand.accepted_at is not None,
            grouped=self.dog.grouped,
        )

    def obey(self, order: Order) -> None:
        self.orders.append((self.now_s, order))
        match order:
            case Enable():
                self.tell(events.ControlEnabled())
            case Disable():
                self.tell(events.ControlDisabled())
            case Reconnect():
                assert self.remote_w == 0
                self.dropped = True
            case AskRead():
                self.answers += 1
            case Arm():
                self.tell(events.ArmOrdered("test-arm"))
            case OrderPower(power_w, duration_s):
                name = f"test-{len(self.writes_w)}"
                late = self.now_s + 60
                self.tell(events.DispatchAccepted(name, power_w, duration_s, late))
            case HoldHeartbeats(hold_s):
                self.tell(events.HeartbeatsHeld(hold_s))
            case Idle():
                self.tell(events.IdleOrdered(""))

    def tick(self) -> None:
        self.now_s += TICK_S
        self.tell(events.Tick())
        if self.has_deadman and self.now_s - self.beaten_at >= W_S:
            self.remote_w = 0.0
        if self.power_w is not None:
            self.power_w = self.remote_w * self.factor
        self.tell(events.EchoRead(self.remote_w, self.now_s))
        if self.power_w is not None:
            self.tell(events.PowerRead(self.power_w, self.now_s))
        self.step_test()

    def step_test(self) -> None:
        self.handle()
        if self.test.step is Step.RETURNING:  # the answer to zero is an event of its own
            self.handle()
        if not self.steps or self.steps[-1] is not self.test.step:
            self.steps.append(self.test.step)

    def handle(self) -> None:
        self.test, orders = self.test.handle(self.view(), self.now_s)
        for order in orders:
            self.obey(order)

    def abort(self, why: str) -> None:
        self.test, orders = self.test.abort(why)
        for order in orders:
            self.obey(order)

    def until(self, step: Step, *, within_s: float = 1000.0) -> None:
        end_s = self.now_s + within_s
        while self.test.step is not step:
            assert self.test.step is not Step.OVER, self.finished
            assert self.now_s < end_s, f"still {self.test.step}"
            self.tick()

    def later(self, seconds: float) -> None:
        for _ in range(round(seconds / TICK_S)):
            self.tick()

    @property
    def finished(self) -> Finished:
        (found,) = [order for _, order in self.orders if isinstance(order, Finished)]
        return found

    def ordered(self, kind: type) -> list[float]:
        return [at for at, order in self.orders if isinstance(order, kind)]

    @property
    def lines(self) -> list[str]:
        return [order.text for _, order in self.orders if isinstance(order, TellOperator)]


def held(kind: Kind, **given_: object) -> Site:
    site = Site(plan(kind), **given_)  # type: ignore[arg-type] # fields by name
    site.until(Step.HOLDING)
    return site


def test_a_sign_test_passes_where_measured_power_follows_in_both_directions() -> None:
    site = Site(plan(Kind.SIGN))
    site.until(Step.OVER)
    assert site.finished == Finished(
        ok=True,
        text="measured power followed in both directions",
        figures={
            "idleW": 0.0,
            "dischargeSetpointW": TWO_PCT_W,
            "dischargeMeasuredW": TWO_PCT_W,
            "chargeSetpointW": -TWO_PCT_W,
            "chargeMeasuredW": -TWO_PCT_W,
            "allowedW": 10_000.0,
            "holdS": 10.0,
            "answers": ANSWERS,
            "answerS": 0.1,
        },
    )
    assert site.writes_w == [TWO_PCT_W, -TWO_PCT_W]
    kinds = [type(order) for _, order in site.orders if not isinstance(order, TellOperator)]
    leg = [Arm, OrderPower, Idle]
    reads = [AskRead] * ANSWERS
    assert kinds == [Enable, *reads, *leg, *leg, Disable, Finished]
    assert site.dog.phase is Phase.MONITOR


def test_each_direction_is_held_as_long_as_asked_and_no_longer() -> None:
    site = Site(plan(Kind.SIGN, hold_s=20.0))
    site.until(Step.OVER)
    for began, ended in zip(site.ordered(OrderPower), site.ordered(Idle), strict=True):
        assert 20.0 <= ended - began <= 20.0 + 2 * TICK_S


def test_a_dead_man_test_passes_where_the_echo_reads_zero_within_w_and_5_s() -> None:
    site = Site(plan(Kind.DEADMAN))
    site.until(Step.OVER)
    finished = site.finished
    assert finished.ok
    assert finished.figures == {
        "connectS": 0.5,
        "zeroNeedsBeat": False,
        "answers": ANSWERS,
        "answerS": 0.1,
        "zeroS": W_S,
        "setpointW": TWO_PCT_W,
        "deadmanS": W_S,
        "allowedS": W_S + 5,
    }
    assert site.writes_w == [TWO_PCT_W]
    assert site.orders[-2][1] == Disable()
    assert site.dog.phase is Phase.MONITOR


def test_the_connection_is_dropped_once_and_answers_are_timed_before_any_power() -> None:
    site = Site(plan(Kind.DEADMAN))
    site.until(Step.OVER)
    (dropped_at,) = site.ordered(Reconnect)
    asked = site.ordered(AskRead)
    assert len(asked) == ANSWERS
    (powered_at,) = site.ordered(OrderPower)
    assert dropped_at <= asked[0] < asked[-1] <= site.ordered(Arm)[0] <= powered_at


def test_a_sign_test_drops_no_connection_after_the_dead_man_test_did() -> None:
    site = Site(plan(Kind.SIGN))
    site.until(Step.OVER)
    assert site.ordered(Reconnect) == []


def test_a_connection_that_takes_long_is_waited_for_even_blind() -> None:
    site = Site(plan(Kind.DEADMAN), connect_s=None)
    site.until(Step.DROPPED)
    site.tell(events.SessionLost())
    site.later(20)
    assert site.dog.phase is Phase.BLIND
    assert site.test.step is Step.DROPPED
    site.tell(events.SessionReady())
    site.connect_s = 21.0
    site.until(Step.OVER)
    assert site.finished.ok
    assert site.finished.figures["connectS"] == 21.0


def test_a_connection_that_does_not_come_back_fails_the_test_before_any_power() -> None:
    site = Site(plan(Kind.DEADMAN), connect_s=None)
    site.until(Step.DROPPED)
    site.until(Step.OVER, within_s=200)
    assert site.finished.text.startswith("gave up after 120 s: waits for the new connection")
    assert site.writes_w == []


def test_an_rtac_that_answers_too_slowly_gets_no_power() -> None:
    for kind in Kind:
        site = Site(plan(kind), answer_s=2.51)  # (1 + 1) a <= W / 3 = 5 s
        site.until(Step.OVER)
        assert not site.finished.ok
        assert site.finished.text.startswith("slow: an answer took 2.51 s: must be at most 2.5 s")
        assert site.finished.figures["fault"] == "slow"
        assert site.writes_w == []
        site = Site(plan(kind), answer_s=2.49)
        site.until(Step.OVER)
        assert site.finished.ok, site.finished


def test_answers_that_came_while_the_connection_was_away_count_as_well() -> None:
    site = Site(plan(Kind.DEADMAN), connect_s=None)
    site.until(Step.DROPPED)
    site.answers, site.answer_s, site.connect_s = ANSWERS, 9.0, 40.0
    site.until(Step.OVER)
    assert site.finished.figures["fault"] == "slow"
    assert site.writes_w == []


def test_an_answer_that_was_slow_while_power_flowed_counts_as_well() -> None:
    site = held(Kind.DEADMAN)
    site.answer_s = 4.0
    site.until(Step.OVER)
    assert not site.finished.ok
    assert site.finished.figures["fault"] == "slow"
    assert site.remote_w == 0


def test_a_zero_that_is_accepted_only_behind_a_heartbeat_needs_one() -> None:
    site = Site(plan(Kind.DEADMAN), needs_beat=True)
    site.until(Step.OVER)
    assert site.finished.ok
    assert site.finished.figures["zeroNeedsBeat"] is True


def test_a_heartbeat_between_trip_and_zero_leaves_open_whether_zero_needs_one() -> None:
    site = held(Kind.DEADMAN)
    site.until(Step.SILENT)
    test = replace(site.test.note(zeroS=W_S), step=Step.RETURNING, since=site.now_s)
    for beats, known in ((test.beats, True), (test.beats + 1, False)):
        view = replace(site.view(), phase=Phase.IDLING, zeroed=True, beats=beats)
        after, _ = test.handle(view, site.now_s)
        assert ("zeroNeedsBeat" in dict(after.figures)) is known


def test_no_heartbeat_goes_before_the_zero_that_follows_the_trip() -> None:
    site = Site(plan(Kind.DEADMAN))
    site.until(Step.OVER)
    kinds = (HoldHeartbeats, Idle)
    assert [order for _, order in site.orders if isinstance(order, kinds)] == [
        HoldHeartbeats(W_S + 5),
        HoldHeartbeats(10.0),
        Idle(),
    ]


def test_the_lease_stays_intact_while_the_heartbeat_is_withheld_for_w_and_5_s() -> None:
    site = held(Kind.DEADMAN)
    site.until(Step.SILENT)
    (hold,) = [order for _, order in site.orders if isinstance(order, HoldHeartbeats)]
    assert hold.hold_s == W_S + 5
    beats = site.beats
    site.until(Step.RETURNING)
    assert site.beats == beats
    assert site.view().lease_s > 30
    assert site.dog.phase is Phase.IDLING


def test_a_dead_man_test_charges_where_the_state_of_charge_says_so() -> None:
    site = Site(plan(Kind.DEADMAN, discharge=False))
    site.until(Step.OVER)
    assert site.finished.ok
    assert site.writes_w == [-TWO_PCT_W]


def test_without_dead_man_logic_the_test_idles_at_w_and_5_s_and_fails() -> None:
    site = held(Kind.DEADMAN, has_deadman=False)
    site.until(Step.SILENT)
    assert site.heartbeat_at is not None
    end_s = site.heartbeat_at + W_S + 5
    site.until(Step.OVER)
    assert not site.finished.ok
    assert "must read zero within 20 s" in site.finished.text
    assert "zeroS" not in site.finished.figures
    assert end_s <= site.ordered(Idle)[0] <= end_s + TICK_S
    site.later(1)
    assert site.remote_w == 0.0
    assert site.dog.phase is Phase.MONITOR


def test_heartbeats_that_go_on_fail_the_dead_man_test() -> None:
    site = held(Kind.DEADMAN)
    site.until(Step.SILENT)
    site.later(2)
    site.beats += 1
    site.heartbeat_at = site.now_s
    site.tick()
    assert site.finished.text == "heartbeats were written while they were to be withheld"


def test_a_heartbeat_that_was_on_its_way_is_the_last_one() -> None:
    site = held(Kind.DEADMAN)
    site.until(Step.SILENT)
    site.beats += 1
    site.heartbeat_at = site.beaten_at = site.now_s
    site.until(Step.OVER)
    assert site.finished.ok
    assert site.finished.figures["zeroS"] == W_S


def test_a_heartbeat_on_its_way_to_a_slow_rtac_is_answered_later() -> None:
    for later_s, ok in ((4.0, True), (7.0, False)):
        site = held(Kind.DEADMAN, answer_s=2.0)
        site.until(Step.SILENT)
        site.later(later_s)
        site.beats += 1
        site.heartbeat_at = site.beaten_at = site.now_s
        site.until(Step.OVER)
        assert site.finished.ok is ok, site.finished


def test_a_zero_that_comes_early_passes_with_a_word_about_it() -> None:
    site = held(Kind.DEADMAN)
    site.until(Step.SILENT)
    site.later(1)
    site.remote_w = 0.0
    site.until(Step.OVER)
    assert site.finished.ok
    assert "early for W = 15 s" in site.finished.text
    assert "zeroNeedsBeat" not in site.finished.figures, "the last heartbeat may count still"


def test_a_measured_power_of_opposite_sign_fails_naming_sign() -> None:
    site = held(Kind.SIGN, factor=-1.0)
    site.until(Step.OVER)
    assert not site.finished.ok
    assert site.finished.text.startswith("sign: measured -40000 W where +40000 W was ordered")
    assert site.finished.figures["fault"] == "sign"
    assert site.finished.figures["dischargeMeasuredW"] == -TWO_PCT_W


@pytest.mark.parametrize("tens", [1000.0, 10.0, 0.1, 0.01, 0.001])
def test_a_power_off_by_a_power_of_ten_names_it(tens: float) -> None:
    site = held(Kind.SIGN, factor=tens * 1.05)
    site.until(Step.OVER)
    assert site.finished.text.startswith("scale: ")
    assert f"off by {tens:g}, a power of ten" in site.finished.text
    assert site.finished.figures["fault"] == "scale"


def test_a_wrong_sign_with_a_wrong_scale_names_both() -> None:
    site = held(Kind.SIGN, factor=-0.001)
    site.until(Step.OVER)
    assert site.finished.text.startswith("sign: ")
    assert "the scale is off by 0.001" in site.finished.text


@pytest.mark.parametrize("factor", [0.0, 0.5, 0.74, 1.26, 2.0])
def test_a_power_that_does_not_follow_fails(factor: float) -> None:
    site = held(Kind.SIGN, factor=factor)
    site.until(Step.OVER)
    assert site.finished.text.startswith("power: ")
    assert "must be within 10000 W" in site.finished.text
    assert site.writes_w == [TWO_PCT_W]


@pytest.mark.parametrize("factor", [0.76, 1.24])
def test_a_power_within_a_quarter_of_the_setpoint_follows(factor: float) -> None:
    site = held(Kind.SIGN, factor=factor)
    site.until(Step.OVER)
    assert site.finished.ok


@given(dead_band_w=st.floats(0, 1e9), nameplate_w=st.floats(1, 1e10))
def test_zero_power_never_passes_for_2_percent(dead_band_w: float, nameplate_w: float) -> None:
    wide = replace(plan(Kind.SIGN), nameplate_w=nameplate_w, dead_band_w=dead_band_w)
    assert 0.2 * wide.power_w <= wide.allowed_w <= 0.5 * wide.power_w


def test_the_first_half_of_a_hold_is_not_judged() -> None:
    site = held(Kind.SIGN, factor=0.0)
    site.later(4)
    assert site.test.step is Step.HOLDING
    site.factor = 1.0
    site.until(Step.OVER)
    assert site.finished.ok


def test_the_last_half_of_a_hold_is_judged_to_its_end() -> None:
    site = held(Kind.SIGN)
    site.later(9)
    site.factor = 0.0
    site.tick()
    assert site.finished.text.startswith("power: measured +0 W")


def test_a_measured_power_that_is_not_fresh_is_not_taken() -> None:
    site = held(Kind.SIGN)
    site.power_w = None
    site.until(Step.OVER)
    assert site.finished.text == "power: no good and fresh measured power"


def test_a_dispatch_that_the_gateway_ended_for_wrong_power_still_names_sign() -> None:
    site = held(Kind.SIGN, factor=-1.0)
    site.later(1)
    assert site.dog.dispatch is not None
    site.tell(events.DispatchFailed(site.dog.dispatch.command_id, "power"))
    site.step_test()
    assert site.finished.text.startswith("sign: ")
    assert "IDLING (failed power) while holding: must be ACTIVE" in site.finished.text
    assert site.finished.figures["fault"] == "sign"


@pytest.mark.parametrize("kind", list(Kind))
def test_the_lease_must_be_unbroken_for_30_s_before_it_arms(kind: Kind) -> None:
    site = Site(plan(kind))
    site.until(Step.ARMING)
    assert 30.0 <= site.now_s - 1000.0 <= 32.0 + ANSWERS * TICK_S
    waits = [line for line in site.lines if line.startswith("waits for 30 s of unbroken lease")]
    assert len(waits) >= 5


def test_what_it_waits_for_is_said_every_few_seconds() -> None:
    site = Site(plan(Kind.SIGN), interlocks=("the breaker is open",))
    site.later(60)
    assert site.test.step is Step.WAITING
    assert site.lines[-1] == "waits for interlocks (the breaker is open)"
    said = [at for at, order in site.orders if isinstance(order, TellOperator)]
    assert max(b - a for a, b in itertools.pairwise(said)) <= 5 + TICK_S


def test_waiting_has_an_end() -> None:
    site = Site(plan(Kind.SIGN), cloud=False)
    site.until(Step.OVER)
    assert site.finished.text.startswith("gave up after 180 s: waits for 30 s of unbroken lease")
    assert site.ordered(OrderPower) == []


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("step", [Step.ARMING, Step.TAKING, Step.HOLDING])
def test_any_interlock_ends_it_with_idle(kind: Kind, step: Step) -> None:
    site = Site(plan(kind))
    site.until(step)
    site.interlocks = ("the battery reports a fault",)
    site.tick()
    assert site.finished.text == "interlock: the battery reports a fault"
    assert [type(order) for _, order in site.orders[-3:]] == [Idle, Disable, Finished]


@pytest.mark.parametrize("kind", list(Kind))
def test_a_lost_lease_ends_it_with_idle(kind: Kind) -> None:
    site = Site(plan(kind, hold_s=60.0))
    site.until(Step.HOLDING)
    site.cloud = False
    site.until(Step.OVER)
    assert site.finished.text == "the lease was lost"
    assert site.ordered(Idle)


def test_a_lease_that_was_interrupted_is_not_intact() -> None:
    site = held(Kind.DEADMAN)
    site.until(Step.SILENT)
    broken = replace(site.view(), lease_s=1.0)
    _, orders = site.test.handle(broken, site.now_s + 5)
    assert orders[:2] == (Idle(), Disable())
    assert orders[2] == Finished(
        ok=False, text="the lease was interrupted", figures={"connectS": 0.5}
    )


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("phase", [Phase.LOCAL, Phase.BLIND, Phase.LATCHED, Phase.ESTOP])
@pytest.mark.parametrize(
    "step", [Step.WAITING, Step.ARMING, Step.TAKING, Step.HOLDING, Step.RETURNING]
)
def test_local_blind_latched_and_estop_end_it(kind: Kind, phase: Phase, step: Step) -> None:
    site = Site(plan(kind))
    site.until(step)
    _, orders = site.test.handle(replace(site.view(), phase=phase), site.now_s)
    assert [type(order) for order in orders] == [Idle, Disable, Finished]


@pytest.mark.parametrize("step", [step for step in Step if step not in (Step.BEGIN, Step.OVER)])
def test_an_operators_abort_ends_it_with_idle(step: Step) -> None:
    site = Site(plan(Kind.DEADMAN))
    site.until(step)
    site.abort("aborted by alice")
    site.later(1)
    assert site.finished.text == "aborted by alice"
    assert not site.finished.ok
    assert site.remote_w == 0.0
    assert site.dog.phase is Phase.MONITOR


def test_nothing_follows_the_end() -> None:
    site = Site(plan(Kind.SIGN))
    site.until(Step.OVER)
    count = len(site.orders)
    site.later(10)
    site.abort("late")
    assert len(site.orders) == count
    assert math.isinf(site.test.wake_at)


@pytest.mark.parametrize("phase", [Phase.ARMED, Phase.ACTIVE])
def test_a_command_of_the_cloud_is_not_disturbed_by_a_test(phase: Phase) -> None:
    site = Site(plan(Kind.SIGN))
    _, orders = site.test.handle(replace(site.view(), phase=phase), site.now_s)
    assert orders == (Finished(ok=False, text=f"{phase.name}: disarm first"),)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (replace(plan(Kind.SIGN), hold_s=1.0), "hold 1 s: must be 2..300 seconds"),
        (replace(plan(Kind.SIGN), hold_s=math.nan), "must be 2..300 seconds"),
        (replace(plan(Kind.SIGN), hold_s=301.0), "must be 2..300 seconds"),
        (replace(plan(Kind.DEADMAN), tolerance_w=20_000.0), "must be below 20000 W"),
    ],
)
def test_a_plan_that_proves_nothing_is_refused(wrong: TrialPlan, said: str) -> None:
    site = Site(plan(Kind.SIGN))
    _, orders = Commissioning(wrong).handle(site.view(), site.now_s)
    (finished,) = orders
    assert isinstance(finished, Finished)
    assert said in finished.text


def test_a_refused_setpoint_fails_it() -> None:
    site = Site(plan(Kind.SIGN), refuses_power=True)
    site.until(Step.OVER)
    assert "IDLE (refused) while taking" in site.finished.text
    assert site.remote_w == 0.0


def test_a_limit_below_2_percent_is_named() -> None:
    site = held(Kind.SIGN)
    site.tell(events.LimitsChanged(NAMEPLATE_W, 10_000.0))
    site.tick()
    assert "a setpoint of +10000 W is in force: must be +40000 W; a limit" in site.finished.text


@pytest.mark.parametrize("setpoint_w", [41_000.0, -40_000.0, 1_000_000.0, math.nan])
def test_another_setpoint_than_ours_ends_it(setpoint_w: float) -> None:
    site = Site(plan(Kind.SIGN))
    site.until(Step.TAKING)
    _, orders = site.test.handle(replace(site.view(), setpoint_w=setpoint_w), site.now_s)
    assert [type(order) for order in orders] == [Idle, Disable, Finished]


def test_an_echo_that_never_shows_the_setpoint_ends_it() -> None:
    site = Site(plan(Kind.SIGN))
    site.until(Step.TAKING)
    stuck = replace(site.view(), echo_w=0.0)
    _, orders = site.test.handle(stuck, site.now_s + 14)
    assert [type(order) for order in orders] == [TellOperator]
    _, orders = site.test.handle(stuck, site.now_s + 15)
    assert [type(order) for order in orders] == [Idle, Disable, Finished]


def test_an_interlock_after_the_dead_man_tripped_does_not_undo_what_was_proven() -> None:
    site = held(Kind.DEADMAN)
    site.until(Step.RETURNING)
    site.interlocks = ("the RTAC reports that its dead-man tripped",)
    site.until(Step.OVER)
    assert site.finished.ok


# --- whatever a field may show ---------------------------------------------------------------

POWERS = st.sampled_from([None, 0.0, TWO_PCT_W, -TWO_PCT_W, 400.0, math.nan])
SIGHTS = st.builds(
    TrialView,
    phase=st.sampled_from([*Phase, *[Phase.IDLE, Phase.ARMED, Phase.ACTIVE] * 4]),
    lease_s=st.sampled_from([0.0, 10.0, *[1e9] * 8]),
    interlocks=st.sampled_from([(), (), (), (), (), ("a fault",)]),
    echo_w=POWERS,
    echo_at=st.floats(0, 4000),
    power_w=POWERS,
    setpoint_w=st.sampled_from([None, None, TWO_PCT_W, -TWO_PCT_W]),
    heartbeat_at=st.one_of(st.none(), st.floats(0, 4000)),
    beats=st.integers(0, 2),
    answers=st.sampled_from([0, ANSWERS, ANSWERS]),
    answer_s=st.sampled_from([0.1, 0.1, 0.1, 9.0]),
    connect_s=st.sampled_from([None, 0.5, 0.5]),
    zeroed=st.booleans(),
    grouped=st.booleans(),
)


def judged(orders: list[Order]) -> None:
    """Sentences that hold for every life, however far it came."""
    kinds = [type(order) for order in orders]
    for number, order in enumerate(orders):
        if isinstance(order, OrderPower):
            assert abs(order.power_w) <= 0.02 * NAMEPLATE_W
            before = [kind for kind in kinds[:number] if kind in (Arm, OrderPower, Idle)]
            assert before[-1] is Arm
        if isinstance(order, Reconnect):
            assert OrderPower not in kinds[:number]
        if isinstance(order, Finished):
            assert number == len(orders) - 1
            acts = [kind for kind in kinds if kind in (Enable, Disable)]
            assert acts in ([], [Enable, Disable])
            moves = [kind for kind in kinds if kind in (Arm, OrderPower, HoldHeartbeats, Idle)]
            assert not moves or moves[-1] is Idle


@given(
    kind=st.sampled_from(list(Kind)),
    script=st.lists(st.tuples(st.floats(0, 60), SIGHTS, st.booleans()), max_size=40),
)
def test_nothing_is_dispatched_before_arm_was_carried_and_idle_follows_every_dispatch(
    kind: Kind, script: list[tuple[float, TrialView, bool]]
) -> None:
    test, now_s, orders = Commissioning(plan(kind)), 0.0, list[Order]()
    for later_s, view, is_recent in script:
        now_s += later_s
        seen = replace(view, echo_at=now_s) if is_recent else view
        step = test.step
        test, ordered = test.handle(seen, now_s)
        if any(isinstance(order, OrderPower) for order in ordered):
            assert step is Step.ARMING
            assert seen.phase is Phase.ARMED
            assert seen.lease_s > 0
            assert not seen.interlocks
        orders += ordered
        judged(orders)
    _, ordered = test.abort("enough")
    judged([*orders, *ordered])
    count = sum(isinstance(order, Finished) for order in [*orders, *ordered])
    assert count == 1


@given(kind=st.sampled_from(list(Kind)), data=st.data())
def test_it_always_finishes_whatever_it_sees(kind: Kind, data: st.DataObject) -> None:
    test, now_s = Commissioning(plan(kind)), 0.0
    for _ in range(400):
        if test.step is Step.OVER:
            break
        echo_w = data.draw(st.sampled_from([0.0, test.wanted_w]))
        calm = data.draw(SIGHTS.filter(lambda view: not view.interlocks))
        test, _orders = test.handle(replace(calm, echo_w=echo_w, echo_at=now_s), now_s)
        now_s = max(now_s, min(test.wake_at, now_s + 60))
    assert test.step is Step.OVER
    assert now_s <= 2 * (180 + 5 + 15 + 10 + 40) + 20 + 2 * (120 + 180)


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("phase", list(Phase))
def test_a_field_that_stands_still_ends_it_too(kind: Kind, phase: Phase) -> None:
    site = Site(plan(kind))
    still = replace(
        site.view(), phase=phase, lease_s=1e9, echo_w=0.0, echo_at=0.0, heartbeat_at=0.0
    )
    test, now_s = Commissioning(plan(kind)), 0.0
    while test.step is not Step.OVER:
        test, _orders = test.handle(still, now_s)
        now_s = min(test.wake_at, 1000.0)
        assert now_s < 1000.0 or test.step is Step.OVER


def lives(kind: Kind, depth: int) -> list[list[Order]]:
    """Every life of ``depth`` sights out of those that matter, one sight every 3 s."""
    phases = (Phase.IDLE, Phase.ARMED, Phase.ACTIVE, Phase.IDLING, Phase.LOCAL)
    found: list[list[Order]] = []

    def go(test: Commissioning, orders: list[Order], left: int) -> None:
        if left == 0 or test.step is Step.OVER:
            found.append(orders)
            return
        now_s = 3.0 * (depth - left)
        for phase in phases:
            for echo_w in (0.0, test.wanted_w):
                for interlocks in ((), ("x",)):
                    view = TrialView(
                        phase=phase,
                        lease_s=1e9,
                        interlocks=interlocks,
                        echo_w=echo_w,
                        echo_at=now_s,
                        power_w=echo_w,
                        setpoint_w=None,
                        heartbeat_at=0.0,
                        beats=1,
                        answers=ANSWERS,
                        connect_s=0.5,
                    )
                    after, ordered = test.handle(view, now_s)
                    if after.step is not test.step or left == depth:
                        go(after, [*orders, *ordered], left - 1)

    go(Commissioning(plan(kind, hold_s=3.0)), [], depth)
    return found


@pytest.mark.parametrize("kind", list(Kind))
def test_every_interleaving_of_sights_keeps_the_rules(kind: Kind) -> None:
    found = lives(kind, 7)
    for orders in found:
        judged(orders)
    assert any(isinstance(order, OrderPower) for orders in found for order in orders)
    assert any(isinstance(orders[-1], Finished) for orders in found if orders)
