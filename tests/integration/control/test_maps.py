"""Other ways to say the same: percent with a reversion timer, split points, four variations.

Five batteries under one gateway, each behind an RTAC of another kind.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.clock import now
from gateway.site.maps import map_folders
from tests.fixtures.commanded_site import ControlSite
from tests.fixtures.control_rig import DEADMAN_S, who
from tests.fixtures.deadline import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.demo.pki import Pki

FOLDER = Path(__file__).parents[2] / "fixtures" / "sitemaps"
PERCENT = "bess-1"
SPLIT = {"bess-2": "int32", "bess-3": "int16", "bess-4": "float", "bess-5": "double"}
VARIATIONS = {"int32": 1, "int16": 2, "float": 3, "double": 4}  # of group 41
SELECTED = "bess-2"
REVERSION_S, REFRESH_S = 15, 5


@pytest.fixture(scope="module")
def site(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlSite]:
    """All five."""
    maps = ("an2018-storage@1.0.0", *(f"split-{one}@1.0.0" for one in SPLIT.values()))
    with pytest.MonkeyPatch.context() as patch:
        folders = (*map_folders(), FOLDER)
        patch.setenv("BESS_POINTMAPS", ":".join(map(str, folders)))
        folder = tmp_path_factory.mktemp("maps")
        watchdog = {"reversion_s": REVERSION_S, "reversion_refresh_s": REFRESH_S}
        with ControlSite(folder, pki, map=maps, watchdog=watchdog) as made:
            made.run()
            for name in made.names:
                made.arm(name)
            yield made


def test_percent_is_of_the_largest_power_the_reversion_timer_goes_first_and_the_mode_is_last(
    site: ControlSite,
) -> None:
    began = now().mono_s
    site.power(500_000, PERCENT)
    done = [
        (one["point"], one["function"], one["raw"]) for one in site.writes(PERCENT, after=began)
    ]
    assert done[:4] == [
        ("AO92", "DIRECT_OPERATE", REVERSION_S),
        ("AO93", "DIRECT_OPERATE", 250),  # 25.0 % of 2 MW
        ("BO18", "SELECT", 1.0),
        ("BO18", "OPERATE", 1.0),
    ]
    assert site.beats(PERCENT) == []  # this map has none


def test_the_reversion_timer_is_refreshed_while_a_dispatch_is_in_force_and_not_after(
    site: ControlSite,
) -> None:
    if site.control(PERCENT)["state"] != "ACTIVE":
        site.power(500_000, PERCENT)

    def refreshes() -> list[float]:
        return [one["mono_s"] for one in site.writes(PERCENT, role="cmd_reversion_s")]

    before = len(refreshes())
    site.daemon.until(lambda: len(refreshes()) >= before + 2, "two refreshes")
    gaps = [after - first for first, after in itertools.pairwise(refreshes())]
    assert max(gaps[-2:]) < REVERSION_S
    assert site.sims[PERCENT].state()["trips"] == 0
    began = now().mono_s
    site.told(site.send("release", PERCENT), {"succeeded"})
    site.until_phase({"IDLE"}, PERCENT)
    done = [(one["point"], one["raw"]) for one in site.writes(PERCENT, after=began)]
    assert done == [("AO93", 0), ("BO18", 0.0), ("BO18", 0.0)]  # release switches the mode off


def test_idle_leaves_the_mode_on_where_the_map_idles_by_zero(site: ControlSite) -> None:
    site.arm(PERCENT)
    site.power(-400_000, PERCENT)
    assert site.writes(PERCENT, role="cmd_power")[-1]["raw"] == -200
    began = now().mono_s
    site.told(site.send("idle", PERCENT), {"succeeded"})
    assert [one["point"] for one in site.writes(PERCENT, after=began)] == ["AO93"]


def test_without_gateway_and_rtac_logic_the_reversion_timer_ends_a_setpoint(
    site: ControlSite,
) -> None:
    """Bound D: the link is dead."""
    site.arm(PERCENT)
    site.power(300_000, PERCENT)
    sim = site.sims[PERCENT]
    sim.fault("refuse_connection")
    sim.fault("drop")
    cut_at = now().mono_s
    assert site.zeroed_at(PERCENT, after=cut_at) - cut_at < REVERSION_S + 20
    assert sim.state()["last_trip"] == "reversion"
    sim.clear()
    site.calm(PERCENT)


@pytest.mark.parametrize("asset", SPLIT)
def test_split_zeroes_the_other_direction_first_in_each_of_the_four_variations(
    site: ControlSite, asset: str
) -> None:
    if site.control(asset)["state"] != "ARMED":
        site.calm(asset).arm(asset)
    select = ["SELECT", "OPERATE"] if asset == SELECTED else ["DIRECT_OPERATE"]
    variation = VARIATIONS[SPLIT[asset]]
    for watts, points in (
        (-300_000, [("AO11", 0), ("AO10", 3000)]),
        (450_000, [("AO10", 0), ("AO11", 4500)]),
    ):
        began = now().mono_s
        id_ = site.power(watts, asset)
        powers = [
            one
            for one in site.writes(asset, after=began)
            if one["role"] in ("cmd_charge", "cmd_discharge")
        ]
        assert [(one["point"], one["raw"], one["function"]) for one in powers] == [
            (point, raw, function) for point, raw in points for function in select
        ]
        assert {one["variation"] for one in powers} == {variation}
        assert site.results(id_)[-1]["measuredPowerW"] == pytest.approx(watts, abs=40_000)
    site.told(site.send("idle", asset), {"succeeded"})
    assert site.sims[asset].state()["setpoint_w"] == 0


@pytest.mark.parametrize("asset", ["bess-2", "bess-3"])
def test_of_a_split_zero_the_point_that_carries_power_is_written_first(
    site: ControlSite, asset: str
) -> None:
    for watts, points in ((-300_000, ["AO10", "AO11"]), (300_000, ["AO11", "AO10"])):
        if site.control(asset)["state"] != "ARMED":
            site.calm(asset).arm(asset)
        site.power(watts, asset)
        began = now().mono_s
        site.told(site.send("idle", asset), {"succeeded"})
        zeros = [
            one["point"]
            for one in site.writes(asset, after=began)
            if one["role"] in ("cmd_charge", "cmd_discharge") and one["function"] != "SELECT"
        ]
        assert zeros[:2] == points


def test_the_ramp_goes_to_the_rtac_where_it_ramps_and_one_setpoint_follows(
    site: ControlSite,
) -> None:
    asset = "bess-4"
    site.calm(asset).arm(asset)
    began = now().mono_s
    id_ = site.send("setpoint", asset, power_w=600_000, duration_s=600)
    site.told(id_, {"succeeded"})
    (ramp,) = site.writes(asset, role="cmd_ramp", after=began)
    assert ramp["raw"] == 1_000_000  # the site's
    (power,) = site.writes(asset, role="cmd_discharge", after=began)
    assert power["value"] == 600_000
    assert ramp["mono_s"] < power["mono_s"]
    began = now().mono_s
    id_ = site.send("setpoint", asset, power_w=300_000, duration_s=600, ramp_w_per_s=50_000)
    site.told(id_, {"succeeded"})
    (ramp,) = site.writes(asset, role="cmd_ramp", after=began)
    assert ramp["raw"] == 1_000_000
    steps = [one["value"] for one in site.writes(asset, role="cmd_discharge", after=began)]
    assert steps == [500_000, 400_000, 300_000]


def test_a_pulse_goes_once(site: ControlSite) -> None:
    asset = "bess-5"
    site.sims[asset].fault("alarm=over_temp")
    if site.control(asset)["state"] not in ("ARMED", "ACTIVE"):
        site.arm(asset)
    site.sims[asset].clear("alarm")
    began = now().mono_s
    site.told(site.send("alarm_reset", asset), {"succeeded"})
    (selected, pulsed) = site.writes(asset, after=began)
    assert (selected["function"], pulsed["function"]) == ("SELECT", "OPERATE")
    assert pulsed["code"] & 0x0F == 1  # PULSE_ON
    assert site.sims[asset].state()["alarms"] == []


def test_a_heartbeat_that_the_rtac_counts_is_written_back(site: ControlSite) -> None:
    beats = [one["raw"] for one in site.beats(SELECTED)]
    assert len(beats) > 10
    assert beats == sorted(beats)
    assert beats[-1] <= site.sims[SELECTED].state()["beats"]


def test_a_heartbeat_that_the_rtac_does_not_count_on_is_not_written_and_its_dead_man_acts(
    site: ControlSite,
) -> None:
    """An RTAC whose logic hangs gets no answer to a question that it does not ask."""
    asset = "bess-3"
    if site.control(asset)["state"] != "ARMED":
        site.calm(asset).arm(asset)
    id_ = site.power(200_000, asset)
    site.sims[asset].fault("dead_heartbeat")
    hung_at = now().mono_s
    site.told(id_, {"aborted"})
    assert site.beats(asset, after=hung_at + 2) == []
    assert site.zeroed_at(asset, after=hung_at) - hung_at < DEADMAN_S + 40


def test_an_estop_pulses_the_maps_own_estop_where_it_has_one(site: ControlSite) -> None:
    asset, dispatcher, began = "bess-4", site.dispatcher, now().mono_s
    dispatcher.ready(asset, within_s=DEADLINE_S)
    made = dispatcher.claims(asset, "estop")
    dispatcher.raw(dispatcher.topics.own(f"{asset}/cmd"), dispatcher.sign(made, who("guard-1")))
    site.until_phase({"ESTOP"}, asset)
    site.sims[asset].wait_until(lambda truth: truth["estopped"])
    assert [one["point"] for one in site.writes(asset, role="cmd_estop", after=began)] == [
        "BO2",
        "BO2",
    ]
    assert site.writes(asset, role="cmd_stop", after=began) == []


def test_every_message_was_what_its_schema_says(site: ControlSite) -> None:
    assert site.lawful()["result"] > 20
