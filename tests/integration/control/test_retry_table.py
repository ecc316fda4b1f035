"""The retry table of power commands, row by row, with an RTAC that answers as the row says.

The batteries take turns. One is only for verdicts on its map, so that they disturb no other test.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from gateway.clock import now
from tests.fixtures.commanded_site import ControlSite
from tests.fixtures.deadline import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.demo.pki import Pki

TURNS = tuple(f"bess-{number}" for number in range(1, 6))
A, B = TURNS[0], "bess-6"
HEARTBEAT_S = 4  # longer than the response timeout of 2 s: see the marker ``fairness``


@pytest.fixture(scope="module")
def shared(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlSite]:
    """Six batteries."""
    with ControlSite(
        tmp_path_factory.mktemp("retry"),
        pki,
        assets=len(TURNS) + 1,
        change=lambda text: text.replace("heartbeat_s = 1\n", f"heartbeat_s = {HEARTBEAT_S}\n"),
        watchdog={"rtac_deadman_s": 6 * HEARTBEAT_S},
        sim={"deadman_s": 6 * HEARTBEAT_S},
    ) as site:
        yield site.run()


@pytest.fixture(scope="module")
def turns() -> Iterator[str]:
    """Whose turn it is; not that of the one for verdicts."""
    return itertools.cycle(TURNS)


@pytest.fixture
def site(shared: ControlSite) -> ControlSite:
    """All of them."""
    return shared


def begin(site: ControlSite, asset: str) -> tuple[str, float]:
    """Order power, without waiting for its result."""
    began = now().mono_s
    return site.send("setpoint", asset, power_w=300_000, duration_s=600), began


def powers(site: ControlSite, began: float, asset: str) -> list[tuple[str, float]]:
    """Function and value of every setpoint that was not zero."""
    return [
        (one["function"], one["value"])
        for one in site.writes(asset, role="cmd_power", after=began)
        if one["value"] != 0
    ]


@pytest.mark.parametrize("status", [6, 8, 10, 11, 18])
def test_status_6_8_10_11_18_fails_the_command(site: ControlSite, bess: str, status: int) -> None:
    site.sims[bess].fault(f"refuse_controls={status}")
    id_, began = begin(site, bess)
    story = site.told(id_, {"failed"})
    assert story.reason is not None
    assert story.reason.startswith("refused:")
    assert powers(site, began, bess) == [("DIRECT_OPERATE", 300_000)]
    site.sims[bess].clear()
    site.until_phase({"IDLE", "LOCAL"}, bess)


@pytest.mark.parametrize("status", [1, 2])
def test_status_1_2_timeout_or_no_select_gets_one_full_sbo_again(
    site: ControlSite, bess: str, status: int
) -> None:
    site.sims[bess].fault(f"refuse_controls={status}")
    id_, began = begin(site, bess)
    site.told(id_, {"failed"})
    # Once as the map has it, once whole: the RTAC refuses the select, so nothing is operated.
    assert powers(site, began, bess) == [("DIRECT_OPERATE", 300_000), ("SELECT", 300_000)]


@pytest.mark.parametrize("status", [1, 2])
def test_status_1_2_and_then_an_sbo_that_is_taken_succeeds(
    site: ControlSite, bess: str, status: int
) -> None:
    site.sims[bess].fault(f"refuse_next={status}")
    id_, began = begin(site, bess)
    site.told(id_, {"succeeded"})
    assert powers(site, began, bess) == [
        (function, 300_000) for function in ("DIRECT_OPERATE", "SELECT", "OPERATE")
    ]


def test_a_select_without_an_answer_is_selected_once_more_and_nothing_is_operated(
    site: ControlSite,
    bess: str,
) -> None:
    """The mode is what this map selects; nothing happened, so nothing needs to be idled."""
    site.sims[bess].fault("mute_selects")
    began = now().mono_s
    story = site.told(site.send("mode", bess, name="enable"), {"failed"})
    assert story.reason == "no_answer"
    done = [(one["point"], one["function"]) for one in site.writes(bess, after=began)]
    assert [one for one in done if one[0] == "BO0" and one[1] == "OPERATE"] == []
    asked = [
        one
        for one in site.writes(bess, role="cmd_mode_enable", after=began)
        if one["function"] == "SELECT" and one["value"] == 1
    ]
    assert len(asked) == 2


@pytest.mark.parametrize("status", [7, 13])
def test_status_7_13_local_fails_the_command_and_stops_all_writes_but_the_heartbeat(
    site: ControlSite, bess: str, status: int
) -> None:
    site.sims[bess].fault(f"refuse_controls={status}")
    id_, began = begin(site, bess)
    site.told(id_, {"failed"})
    site.passed("ACTIVE", "LOCAL", "local", bess, after=began)
    assert len(powers(site, began, bess)) == 1


@pytest.mark.parametrize("status", [9, 15, 17])
def test_status_9_15_17_another_master_fails_the_command_and_yields(
    site: ControlSite, bess: str, status: int
) -> None:
    sim = site.sims[bess]
    for _ in range(10):
        sim.fault(f"refuse_controls={status}")
        sim.fault("preempt=700000")
        site.daemon.until(lambda: site.shown("AI8", bess) == 700, "the other master's setpoint")
        id_, began = begin(site, bess)
        if "failed" in site.told(id_, {"failed", "rejected"}).states:
            break
        site.calm(bess).arm(bess)  # the echo alone was seen for 3 s, before the command came
    site.until_phase({"LOCAL"}, bess)
    assert powers(site, began, bess) == [("DIRECT_OPERATE", 300_000)]
    assert {one["value"] for one in site.writes(bess, after=began)} == {300_000}  # no zero either
    sim.clear()
    site.until_phase({"IDLE"}, bess)


def test_status_9_where_the_setpoint_is_zero_fails_the_command_and_orders_zero_again(
    site: ControlSite,
    bess: str,
) -> None:
    """There is nobody to yield to; zero that is refused raises an alarm."""
    site.sims[bess].fault("refuse_controls=9")
    id_, began = begin(site, bess)
    site.told(id_, {"failed"})
    site.dispatcher.wait_until(
        lambda: "idle_refused" in [one.body.get("code") for one in site.dispatcher.events("alarm")],
        within_s=DEADLINE_S,
        what="an alarm",
    )
    assert powers(site, began, bess) == [("DIRECT_OPERATE", 300_000)]
    site.sims[bess].clear()
    site.until_phase({"IDLE"}, bess)


@pytest.mark.parametrize("status", [5, 14])
def test_status_5_14_already_active_is_verified_by_feedback(
    site: ControlSite, bess: str, status: int
) -> None:
    """The echo does not show it, so it did not happen: failed, and idle."""
    site.sims[bess].fault(f"refuse_controls={status}")
    id_, began = begin(site, bess)
    story = site.told(id_, {"failed"})
    assert story.reason == "unknown_outcome"
    assert powers(site, began, bess) == [("DIRECT_OPERATE", 300_000)]


@pytest.mark.parametrize("status", [3, 4, 12])
def test_status_3_4_12_format_unsupported_range_fails_and_suspects_the_map(
    site: ControlSite, bess: str, status: int
) -> None:
    site.sims[bess].fault(f"refuse_controls={status}")
    id_, began = begin(site, bess)
    site.told(id_, {"failed"})
    assert len(powers(site, began, bess)) == 1
    site.daemon.status_when(
        lambda found: found["assets"][bess]["map"]["verdict"] == "suspect", "a suspect map"
    )
    assert site.told(site.send("arm", bess), {"rejected"}).reason in ("STATE", "INTERLOCK")
    site.sims[bess].clear()
    site.calm(bess)
    assert site.daemon.ask("status")["assets"][bess]["map"]["verdict"] == "ok"


@pytest.mark.fairness
def test_an_operate_without_an_answer_is_never_resent_an_equal_feedback_goes_on(
    site: ControlSite,
    bess: str,
) -> None:
    sim = site.sims[bess]
    sim.fault("mute_controls")
    id_, began = begin(site, bess)
    sim.wait_until(lambda truth: truth["setpoint_w"] == 300_000)
    sim.clear("mute_controls")
    site.told(id_, {"succeeded"})
    assert powers(site, began, bess) == [("DIRECT_OPERATE", 300_000)]


@pytest.mark.fairness
def test_an_operate_without_an_answer_is_never_resent_another_feedback_idles(
    site: ControlSite,
    bess: str,
) -> None:
    sim = site.sims[bess]
    sim.fault("stuck_echo")
    sim.fault("mute_controls")
    id_, began = begin(site, bess)
    sim.wait_until(lambda truth: truth["setpoint_w"] == 300_000)
    sim.clear("mute_controls")
    story = site.told(id_, {"failed"})
    assert story.reason == "unknown_outcome"
    site.until_phase({"IDLE"}, bess)
    assert powers(site, began, bess) == [("DIRECT_OPERATE", 300_000)]
    assert sim.state()["setpoint_w"] == 0


def test_a_feedback_that_differs_fails_and_idles_and_twice_makes_the_map_suspect(
    shared: ControlSite,
) -> None:
    site = shared.calm(B).arm(B)
    for verdict in ("ok", "suspect"):
        site.sims[B].fault("stuck_echo")
        id_, _ = begin(site, B)
        story = site.told(id_, {"failed"})
        assert story.reason == "feedback"
        site.sims[B].wait_until(lambda truth: truth["setpoint_w"] == 0)
        site.daemon.status_when(
            lambda found, wanted=verdict: found["assets"][B]["map"]["verdict"] == wanted,  # type: ignore[misc]  # bound now
            verdict,
        )
        site.sims[B].clear()
        if verdict == "ok":
            site.arm(B)
    site.calm(B)


def test_an_echo_that_moves_away_from_our_value_for_three_seconds_yields(
    site: ControlSite,
    bess: str,
) -> None:
    id_ = site.power(300_000, bess)
    site.sims[bess].fault("preempt=700000")
    assert site.why(id_, "failed", "aborted") == "preempted"
    site.until_phase({"LOCAL"}, bess)
    began = now().mono_s
    site.daemon.until(lambda: now().mono_s > began + 3 * HEARTBEAT_S, "three heartbeats' time")
    assert site.writes(bess, after=began + 0.5) == []
    assert (
        site.beats(bess, after=began + 0.5) == []
    )  # were it our own value, the dead-man could act
    site.sims[bess].clear()
    site.until_phase({"IDLE"}, bess)  # the echo lets go, and idle comes first
    assert site.writes(bess, role="cmd_power", after=began)[0]["value"] == 0


def test_measured_power_that_does_not_follow_or_goes_the_other_way_fails_and_idles(
    shared: ControlSite,
) -> None:
    """Within max(5 %, 2 dead bands) by 30 s; both at once, each on a battery of its own."""
    site = shared
    faults = {A: "ignore_setpoint", B: "lie_power_sign"}
    for asset in faults:
        site.calm(asset).arm(asset)
    ids = {}
    for asset, fault in faults.items():
        site.sims[asset].fault(fault)
        ids[asset], _ = begin(site, asset)
    for asset, id_ in ids.items():
        story = site.told(id_, {"failed"})
        assert story.reason == "power"
        assert story.states == ("received", "accepted", "executing", "failed")
        site.until_phase({"IDLE"}, asset)
        assert site.sims[asset].state()["setpoint_w"] == 0


def test_every_message_was_what_its_schema_says(shared: ControlSite) -> None:
    assert shared.lawful()["result"] > 20
