"""Batteries that share a transformer, or the site's limit: their sum is never above it."""

from __future__ import annotations

import dataclasses
import random
from typing import TYPE_CHECKING, Any

import pytest

from gateway import effects, events
from gateway.cli import views
from gateway.config.safety import SharedLimitSettings
from gateway.control.phases import Phase
from tests.fixtures.control_site import LIMITS, ControlSite, site
from tests.fixtures.shippedmaps import metered_map
from tests.fixtures.watchdog_site import broken

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.control.controller import Controller

LIMIT_W = 2e6
BOTH = ("bess-1", "bess-2")
SHARED = dataclasses.replace(LIMITS, site=SharedLimitSettings(LIMIT_W, LIMIT_W))
TABLE = '[asset.transformer]\nid = "{id}"\nrating_kva = 2000\nenforce = true\n'


def transformers(*names: str, at: str = "TR-7") -> dict[str, str]:
    return {name: TABLE.format(id=at) for name in names}


class SharedSite(ControlSite):
    """A site whose batteries share; every power output is judged against what they share."""

    def __init__(self, groups: tuple[tuple[str, ...], ...], **changes: Any) -> None:  # noqa: ANN401 - of site()
        self.groups = groups
        super().__init__(site(*dict.fromkeys(name for one in groups for name in one), **changes))
        for plant in self.plants.values():
            plant.more["AI2"] = lambda: 0.0

    def _operate(self, order: effects.Operate) -> None:
        if order.control.point == "AO0" and order.control.value:
            for group in self.groups:
                if order.asset in group:
                    self._judge_sum(group, order)
        super()._operate(order)

    def _judge_sum(self, group: tuple[str, ...], order: effects.Operate) -> None:
        charge_w = discharge_w = 0.0
        for name in group:
            may_w = [self.plants[name].rtac.remote_w, self.last_w.get(name, 0.0)]
            charge_w += max(0.0, *(-one for one in may_w))
            discharge_w += max(0.0, *may_w)
        if max(charge_w, discharge_w) > LIMIT_W + 1:
            broken(f"{charge_w} W charging, {discharge_w} W discharging at {order}")

    def ready_all(self) -> SharedSite:
        for name in self.plants:
            self.ready(name)
        for name in self.plants:
            self.command("arm", asset=name)
        return self

    def in_force_w(self) -> list[float]:
        return [plant.rtac.in_force_w for plant in self.plants.values()]

    def controller(self, name: str) -> Controller:
        return self.control(name).controller


def at_one_transformer(**changes: Any) -> SharedSite:  # noqa: ANN401 - of site()
    return SharedSite((BOTH,), tables=transformers(*BOTH), **changes)


def under_the_site() -> SharedSite:
    return SharedSite((BOTH,), limits=SHARED)


@pytest.mark.parametrize("make", [at_one_transformer, under_the_site])
@pytest.mark.parametrize("between_s", [0.0, 0.005, 1.0, 30.0])
def test_the_second_battery_gets_what_the_first_one_leaves(
    make: Callable[[], SharedSite], between_s: float
) -> None:
    made = make().ready_all()
    for name in BOTH:
        made.command("discharge", asset=name, powerW=1_500_000)
        made.at += between_s % 1  # the first one is not durable yet
        made.run(between_s // 1)
    made.run(30)
    assert made.in_force_w() == [1.5e6, 0.5e6]


@pytest.mark.parametrize("make", [at_one_transformer, under_the_site])
def test_a_battery_that_charges_makes_no_room_for_one_that_discharges(
    make: Callable[[], SharedSite],
) -> None:
    made = make().ready_all()
    made.command("charge", asset="bess-1", powerW=1_500_000)
    made.run(20)
    made.command("discharge", asset="bess-2", powerW=1_500_000)
    made.run(20)
    assert made.in_force_w() == [-1.5e6, 1.5e6]
    made.command("charge", asset="bess-2", powerW=1_500_000)
    made.run(20)
    assert made.in_force_w() == [-1.5e6, -0.5e6]


def test_one_that_only_names_the_transformer_takes_part() -> None:
    tables = transformers("bess-1")
    made = SharedSite((BOTH,), tables=tables)
    assert made.controller("bess-2").ceiling(made.now()).discharge_w == 0  # nothing was read yet
    found = site(*BOTH, tables=tables)
    named = dataclasses.replace(found.settings.assets[1], grid={"transformer": "TR-7"})
    settings = dataclasses.replace(found.settings, assets=(found.settings.assets[0], named))
    made.site = dataclasses.replace(found, settings=settings)
    made.power_on()
    made.ready_all()
    for name in BOTH:
        made.command("discharge", asset=name, powerW=1_500_000)
    made.run(20)
    assert made.in_force_w() == [1.5e6, 0.5e6]


def test_an_approval_that_comes_later_is_held_to_what_is_left_then() -> None:
    made = at_one_transformer(approval="local").ready_all()
    for name in BOTH:
        for row in made.ask("pending")["pending"]:
            made.ask("approve", id=row["id"])
        assert made.phase(name) is Phase.ARMED
    first = made.command("discharge", asset="bess-1", powerW=1_500_000)
    second = made.command("discharge", asset="bess-2", powerW=1_500_000)
    made.run(3)
    made.ask("approve", id=second)
    made.ask("approve", id=first)
    made.run(20)
    assert made.in_force_w() == [0.5e6, 1.5e6]


def test_a_commissioning_test_needs_room_and_takes_it() -> None:
    made = at_one_transformer().ready_all()
    made.command("discharge", asset="bess-1", powerW=1_500_000)
    made.command("discharge", asset="bess-2", powerW=500_000)
    made.run(20)
    made.command("idle", asset="bess-2")
    made.until(lambda: made.phase("bess-2") is Phase.IDLE)
    made.ask("commission", asset="bess-2", act="sign-test", holdS=60)
    made.until(lambda: made.plants["bess-2"].rtac.in_force_w == 40_000)
    assert made.controller("bess-1").ceiling(made.now()).discharge_w == 1.5e6
    made.command("discharge", asset="bess-1", powerW=1_500_000)
    made.run(5)
    assert made.in_force_w() == [1.5e6, 40_000]


def test_a_commissioning_test_without_room_does_not_begin() -> None:
    limits = dataclasses.replace(LIMITS, site=SharedLimitSettings(None, 1.5e6))
    made = SharedSite((BOTH,), limits=limits).ready_all()
    made.command("discharge", asset="bess-1", powerW=1_500_000)
    made.run(20)
    made.command("idle", asset="bess-2")
    made.until(lambda: made.phase("bess-2") is Phase.IDLE)
    made.ask("commission", asset="bess-2", act="sign-test", holdS=5)
    for _ in range(20):
        made.run(4)
        progress = made.ask("commission", asset="bess-2", act="progress")
        if not progress["running"]:
            break
    assert "more than may be applied now" in progress["lines"][-1]
    assert made.in_force_w() == [1.5e6, 0.0]


def test_what_is_granted_and_not_durable_yet_is_taken_off() -> None:
    made = at_one_transformer().ready_all()
    made.command("discharge", asset="bess-1", powerW=1_500_000)
    assert made.in_force_w() == [0.0, 0.0]
    assert made.controller("bess-2").ceiling(made.now()).discharge_w == 0.5e6


def test_one_side_of_the_sites_limit_may_be_left_open() -> None:
    limits = dataclasses.replace(LIMITS, site=SharedLimitSettings(None, 1e6))
    made = SharedSite((), limits=limits, tables={})
    assert list(made.plants) == ["bess-1"]
    made.ready_all()
    made.command("discharge", powerW=1_500_000)
    made.run(20)
    assert made.in_force_w() == [1e6]
    made.command("charge", powerW=1_500_000)
    made.run(20)
    assert made.in_force_w() == [-1.5e6]


@pytest.mark.parametrize("what", ["blind", "latched", "local"])
def test_a_battery_that_cannot_be_ordered_counts_with_its_last_setpoint(what: str) -> None:
    made = at_one_transformer().ready_all()
    made.command("discharge", asset="bess-1", powerW=1_500_000)
    made.run(20)
    first = made.plants["bess-1"]
    first.rtac.has_deadman = False
    if what == "blind":
        made.cut("bess-1")
        made.until(lambda: made.phase("bess-1") is Phase.BLIND)
        made.run(30)
    elif what == "local":
        first.rtac.local = True
        made.until(lambda: made.phase("bess-1") is Phase.LOCAL)
    else:
        first.rtac.refuses_zero = True
        made.command("idle", asset="bess-1")
        made.until(lambda: made.phase("bess-1") is Phase.LATCHED)
    made.command("discharge", asset="bess-2", powerW=1_500_000)
    made.run(20)
    assert made.plants["bess-2"].rtac.in_force_w == 0.5e6


def test_measured_power_counts_where_it_is_more_than_the_setpoint() -> None:
    made = at_one_transformer().ready_all()
    made.command("discharge", asset="bess-1", powerW=1_000_000)
    made.run(20)
    made.plants["bess-1"].power_factor = 1.04
    made.run(10)
    made.command("discharge", asset="bess-2", powerW=1_500_000)
    made.run(20)
    assert made.in_force_w() == [1e6, 960_000]


def test_a_battery_under_the_sites_own_hand_counts_with_what_is_measured() -> None:
    made = at_one_transformer().ready_all()
    rtac = made.plants["bess-1"].rtac
    made.ask("disable-control", asset="bess-1")
    made.until(lambda: made.phase("bess-1") is Phase.MONITOR)
    rtac.remote_w = 1.3e6  # somebody else ordered it
    made.run(6)
    made.command("discharge", asset="bess-2", powerW=1_500_000)
    made.run(20)
    assert made.plants["bess-2"].rtac.in_force_w == 0.7e6


def test_nothing_is_granted_beside_a_battery_of_which_nothing_was_ever_seen() -> None:
    made = under_the_site()
    made.cut("bess-2")
    made.run(50)
    made.command("arm", asset="bess-1")
    made.command("discharge", asset="bess-1", powerW=1_500_000)
    made.run(20)
    assert made.in_force_w() == [0.0, 0.0]


def test_what_the_last_run_has_on_record_counts_after_a_restart() -> None:
    made = under_the_site().ready_all()
    made.command("discharge", asset="bess-1", powerW=1_200_000)
    made.run(20)
    made.plants["bess-1"].rtac.has_deadman = False
    made.cut("bess-1")
    made.run(1)
    made.power_on()
    made.ready("bess-2")
    made.command("arm", asset="bess-2")
    made.command("discharge", asset="bess-2", powerW=1_500_000)
    made.run(20)
    assert made.plants["bess-2"].rtac.in_force_w == 0.8e6


def test_a_battery_that_left_the_files_while_in_force_still_counts() -> None:
    made = under_the_site().ready_all()
    made.command("discharge", asset="bess-1", powerW=1_200_000)
    made.run(20)
    del made.plants["bess-1"]
    made.site = site("bess-2", limits=SHARED)
    made.groups = ()
    made.power_on()
    made.ready("bess-2")
    assert made.controller("bess-2").ceiling(made.now()).discharge_w == 0.8e6
    assert made.controller("bess-2").ceiling(made.now()).charge_w == 1.5e6
    # Nobody can read how much:
    made.core._fleet._remember(effects.Record(0, (), {"bess-1/in-force": "{"}))
    assert made.controller("bess-2").ceiling(made.now()).charge_w == 0
    made.core._fleet._remember(effects.Record(0, (), {"bess-1/in-force": None}))
    assert made.controller("bess-2").ceiling(made.now()).discharge_w == 1.5e6


def test_headroom_that_shrinks_is_taken_from_the_younger_command_and_not_given_back() -> None:
    made = at_one_transformer().ready_all()
    made.command("discharge", asset="bess-2", powerW=1_000_000)
    made.run(20)
    made.command("discharge", asset="bess-1", powerW=1_000_000)
    made.run(20)
    for plant in made.plants.values():
        plant.more["AI2"] = lambda: 600.0  # kvar each: sqrt(2.0^2 - 1.2^2) = 1.6 MW is left
    made.run(10)
    assert made.in_force_w() == [0.6e6, 1e6]
    for plant in made.plants.values():
        plant.more["AI2"] = lambda: 0.0
    made.run(20)
    assert made.in_force_w() == [0.6e6, 1e6]


def test_a_ramp_up_waits_for_one_that_goes_down_where_headroom_shrinks() -> None:
    made = at_one_transformer(limits=dataclasses.replace(LIMITS, ramp_w_per_s=1e7)).ready_all()
    made.command("discharge", asset="bess-1", powerW=1_400_000)
    made.run(25)
    made.command("discharge", asset="bess-2", powerW=600_000, rampWPerS=100_000)
    made.until(lambda: made.in_force_w() == [1.4e6, 0.2e6])
    made.plants["bess-1"].rtac.loses_requests = True  # what goes down does not get there
    made.command("discharge", asset="bess-1", powerW=400_000)
    made.run(0.25)
    for name, plant in made.plants.items():
        plant.more["AI2"] = lambda: 600.0  # 1.6 MW is left, and that is in force
        points = plant.points(made.at, made.wall_ms)
        made.post(events.FragmentStored(name, points, False, made.now(), made.at))  # noqa: FBT003
    for _ in range(40):
        made.step()
        assert sum(made.in_force_w()) <= 1.6e6


def test_a_battery_that_runs_away_is_taken_off_at_once() -> None:
    made = at_one_transformer().ready_all()
    made.command("discharge", asset="bess-1", powerW=1_000_000)
    made.command("discharge", asset="bess-2", powerW=1_000_000)
    made.run(40)
    made.plants["bess-1"].power_factor = 1.3
    made.run(10)
    assert made.in_force_w() == pytest.approx([1e6, 0.7e6])


def test_a_meter_takes_off_what_others_take_and_counts_ours_once() -> None:
    made = at_one_transformer(map_ref=metered_map())
    loads_w = 0.3e6  # others that feed in

    def meter_kw() -> float:
        return (sum(made.in_force_w()) + loads_w) / 1000

    for plant in made.plants.values():
        plant.more["AI50"] = meter_kw
    made.ready_all()
    for name in BOTH:
        made.command("discharge", asset=name, powerW=1_500_000)
    made.run(40)
    assert made.in_force_w() == pytest.approx([1.5e6, 0.2e6])
    assert [made.phase(name) for name in BOTH] == [Phase.ACTIVE] * 2
    loads_w = 0.4e6
    made.run(40)
    assert made.in_force_w() == pytest.approx([1.5e6, 0.1e6])


def test_a_load_makes_no_room_for_batteries_that_share() -> None:
    made = at_one_transformer(map_ref=metered_map())
    for plant in made.plants.values():
        plant.more["AI50"] = lambda: (sum(made.in_force_w()) - 1e6) / 1000
    made.ready_all()
    for name in BOTH:
        made.command("discharge", asset=name, powerW=1_500_000)
    made.run(40)
    assert made.in_force_w() == [1.5e6, 0.5e6]


def test_what_others_took_before_a_battery_was_lost_still_counts() -> None:
    made = at_one_transformer(map_ref=metered_map())
    for plant in made.plants.values():
        plant.more["AI50"] = lambda: (sum(made.in_force_w()) + 0.3e6) / 1000
    made.ready_all()
    made.command("discharge", asset="bess-1", powerW=1_000_000)
    made.run(20)
    made.cut("bess-1")  # its dead-man acts, and nobody here can know
    made.run(40)
    made.command("discharge", asset="bess-2", powerW=1_500_000)
    made.run(20)
    assert made.plants["bess-2"].rtac.in_force_w == pytest.approx(0.7e6)


def test_without_a_reading_of_the_meter_there_is_no_headroom() -> None:
    made = at_one_transformer(map_ref=metered_map()).ready_all()
    made.command("discharge", asset="bess-1", powerW=1_500_000)
    made.run(20)
    assert made.in_force_w() == [0.0, 0.0]


DEEDS = ("power", "power", "power", "power", "arm", "arm", "idle", "link", "restart", "answers")
MORE = ("zero", "heal", "heal", "local", "pair", "pair", "cloud")


@pytest.mark.parametrize(
    "seed", [*range(3), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(3, 60))]
)
def test_in_random_lives_the_sum_is_never_above_what_is_shared(seed: int) -> None:
    chance = random.Random(seed)
    names = [f"bess-{at}" for at in range(1, chance.choice((3, 4, 5)))]
    groups: tuple[tuple[str, ...], ...] = (tuple(names),)
    limits, tables = LIMITS, transformers(*names)
    if seed % 3 == 1:
        limits, tables = SHARED, transformers(*names[:2])
        groups = (tuple(names), tuple(names[:2]))
    elif seed % 3 == 2:
        limits, tables = SHARED, {}
    made = SharedSite(groups, limits=limits, tables=tables).ready_all()
    for _ in range(60):
        _deed(made, chance, names)
        made.run(chance.choice((0.0, 0.0, 0.25, 1.0, 5.0, 20.0)))
    assert made.power_outputs > 3


def _deed(made: SharedSite, chance: random.Random, names: list[str]) -> None:  # noqa: C901, PLR0912 - one arm for each deed
    name = chance.choice(names)
    rtac = made.plants[name].rtac
    power_w = chance.choice((1_500_000, 700_000, -1_200_000, -400_000))
    match chance.choice((*DEEDS, *MORE)):
        case "power":
            durations = chance.choice((10, 60, 600))
            made.command(asset=name, durationS=durations, powerW=power_w)
        case "pair":  # in one batch
            for one in names:
                made.command(asset=one, durationS=300, powerW=power_w)
        case "arm":
            made.command("arm", asset=name)
        case "idle":
            made.command("idle", asset=name)
        case "link":
            made.cut(name)
            made.run(chance.choice((1.0, 8.0, 15.0)))
            made.mend(name)
        case "restart":
            made.restart_rtac(name, resumes=False)  # what it resumes nobody granted
        case "answers":
            rtac.loses_answers = not rtac.loses_answers
        case "zero":
            rtac.refuses_zero = not rtac.refuses_zero
        case "local":
            rtac.local = not rtac.local
        case "cloud":
            made.cloud_alive = not made.cloud_alive
        case "heal":
            made.cloud_alive = True
            for one in names:
                sick = made.plants[one].rtac
                sick.loses_answers = sick.refuses_zero = sick.local = False
                made.ask("reset", asset=one)
            made.run(35)
            for one in names:
                made.command("arm", asset=one)


def test_what_the_site_allows_is_shown_to_whoever_acknowledges_it() -> None:
    shown = under_the_site().ask("commission", asset="bess-1", act="show")
    assert shown["siteLimits"] == {"maxChargeW": LIMIT_W, "maxDischargeW": LIMIT_W}
    assert "site" not in shown["limits"]
    assert "limits of all assets together" in views.commissioning("bess-1", shown)
    assert at_one_transformer().ask("commission", asset="bess-1", act="show")["siteLimits"] is None
