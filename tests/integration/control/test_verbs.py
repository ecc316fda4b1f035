"""Every verb on the plain map: what goes to the RTAC, and every state that the cloud is told."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from gateway.clock import now
from tests.fixtures.commanded_site import ASSET, ControlSite
from tests.fixtures.deadline import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.demo.pki import Pki

FOR_S = 15  # in which a busy machine writes a setpoint and verifies it


@pytest.fixture(scope="module")
def shared(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlSite]:
    """One site for all of them."""
    with ControlSite(tmp_path_factory.mktemp("verbs"), pki) as site:
        yield site.run()


@pytest.fixture
def site(shared: ControlSite) -> ControlSite:
    """Armed, without faults."""
    if shared.control()["state"] == "ARMED":
        shared.sim.clear()
        return shared
    return shared.calm().arm()


def test_a_power_command_goes_through_its_states_setpoint_first_and_mode_enable_behind_it(
    site: ControlSite,
) -> None:
    began = now().mono_s
    id_ = site.send("setpoint", power_w=500_000, duration_s=600)
    story = site.told(id_, {"succeeded"})
    assert story.states == ("received", "accepted", "executing", "succeeded")
    results = site.results(id_)
    assert [one["platformState"] for one in results] == ["pending", "pending", "success"]
    assert {one["requestedPowerW"] for one in results} == {500_000}
    assert results[-1]["appliedPowerW"] == 500_000
    assert results[-1]["measuredPowerW"] == pytest.approx(500_000, abs=40_000)
    assert results[-1]["warnings"] == []
    done = [
        (one["point"], one["function"], one["raw"], one["variation"])
        for one in site.writes(after=began)
    ]
    assert done == [
        ("AO0", "DIRECT_OPERATE", 500, 2),  # kW in an int16
        ("BO0", "SELECT", 1.0, 1),
        ("BO0", "OPERATE", 1.0, 1),
    ]
    assert site.control()["state"] == "ACTIVE"
    site.sim.wait_until(lambda truth: truth["power_w"] > 400_000)


@pytest.mark.parametrize(("verb", "sign"), [("charge", -1), ("discharge", 1)])
def test_charge_and_discharge_are_magnitudes(site: ControlSite, verb: str, sign: int) -> None:
    began = now().mono_s
    id_ = site.send(verb, power_w=300_000, duration_s=600)
    site.told(id_, {"succeeded"})
    assert site.results(id_)[-1]["appliedPowerW"] == sign * 300_000
    assert site.writes(role="cmd_power", after=began)[-1]["value"] == sign * 300_000


def test_a_power_command_between_available_and_limit_is_clamped_and_reported(
    site: ControlSite,
) -> None:
    site.sim.fault("value=AI6:400")  # kW available for discharging
    site.daemon.until(
        lambda: site.dispatcher.state(ASSET).get("availableDischargeRate") == 400_000,
        "available power",
    )
    id_ = site.send("setpoint", power_w=900_000, duration_s=600)
    site.told(id_, {"succeeded"})
    last = site.results(id_)[-1]
    assert (last["requestedPowerW"], last["appliedPowerW"]) == (900_000, 400_000)
    assert any("clamped" in warning for warning in last["warnings"])


def test_limits_that_shrink_while_active_clamp_again(site: ControlSite) -> None:
    id_ = site.power(600_000)
    began = now().mono_s
    site.sim.fault("value=AI6:250")
    site.sim.wait_until(lambda truth: truth["setpoint_w"] == 250_000)
    assert site.control()["state"] == "ACTIVE"
    (write,) = site.writes(role="cmd_power", after=began)
    assert write["value"] == 250_000
    site.dispatcher.wait_until(
        lambda: site.results(id_)[-1]["appliedPowerW"] == 250_000,
        within_s=DEADLINE_S,
        what="the clamp",
    )
    assert {one["platformState"] for one in site.results(id_)[-1:]} == {"success"}


def test_a_second_power_command_supersedes_the_first(site: ControlSite) -> None:
    first = site.power(200_000)
    second = site.power(-200_000)
    site.told(first, {"superseded"})
    assert site.results(first)[-1]["platformState"] == "failed"
    assert site.control()["dispatch"]["id"] == second
    assert ("ACTIVE", "IDLING", "superseded") not in site.transitions()


def test_a_dispatch_is_never_permanent_its_end_is_idle_and_its_success_stays(
    site: ControlSite,
) -> None:
    began = now().mono_s
    id_ = site.power(400_000, for_s=FOR_S)
    site.until_phase({"IDLE"})
    first, *_, last = site.writes(role="cmd_power", after=began)
    assert (first["value"], last["value"]) == (400_000, 0)
    assert last["mono_s"] - first["mono_s"] < FOR_S + 5
    site.passed("ACTIVE", "IDLING", "duration", after=began)
    site.passed("IDLING", "IDLE", "verified", after=began)
    assert site.dispatcher.follow(id_).states[-1] == "succeeded"


def test_without_a_ramp_of_the_rtac_a_setpoint_is_stepped_at_least_two_seconds_apart(
    site: ControlSite,
) -> None:
    began = now().mono_s
    id_ = site.send("setpoint", power_w=500_000, duration_s=600, ramp_w_per_s=100_000)
    site.told(id_, {"succeeded"})
    steps = site.writes(role="cmd_power", after=began)
    assert [one["value"] for one in steps] == [200_000, 400_000, 500_000]
    gaps = [after["mono_s"] - before["mono_s"] for before, after in itertools.pairwise(steps)]
    assert min(gaps) > 1.9  # the network's jitter apart


def test_idle_succeeds_only_when_zero_is_verified(site: ControlSite) -> None:
    site.power(300_000)
    site.sim.fault("stuck_echo")
    began = now().mono_s
    id_ = site.send("idle")
    site.sim.wait_until(lambda truth: truth["setpoint_w"] == 0)
    zeros = site.writes(role="cmd_power", after=began)
    site.daemon.until(
        lambda: len(site.writes(role="cmd_power", after=began)) > len(zeros), "zero again"
    )
    assert site.dispatcher.follow(id_).states == ("received", "executing")
    site.sim.clear("stuck_echo")
    site.told(id_, {"succeeded"})
    site.until_phase({"IDLE"})
    assert site.results(id_)[-1]["platformState"] == "success"


def test_disarm_takes_the_arming_back(site: ControlSite) -> None:
    began = now().mono_s
    site.told(site.send("disarm"), {"succeeded"})
    site.until_phase({"IDLE"})
    assert site.writes(role="cmd_power", after=began)[-1]["value"] == 0
    refused = site.send("setpoint", power_w=100_000, duration_s=60)
    assert site.told(refused, {"rejected"}).reason == "STATE"


def test_a_mode_is_enabled_by_select_and_operate_and_verified_by_its_feedback(
    site: ControlSite,
) -> None:
    began = now().mono_s
    story = site.told(site.send("mode", name="enable"), {"succeeded"})
    assert story.states == ("received", "accepted", "executing", "succeeded")
    assert [(one["point"], one["function"]) for one in site.writes(after=began)] == [
        ("BO0", "SELECT"),
        ("BO0", "OPERATE"),
    ]


def test_a_mode_that_the_site_does_not_list_is_rejected(site: ControlSite) -> None:
    began = now().mono_s
    assert site.told(site.send("mode", name="frenzy"), {"rejected"}).reason == "LIMIT"
    assert site.writes(after=began) == []


def test_a_reserve_is_written_in_the_units_of_the_map_and_verified(site: ControlSite) -> None:
    began = now().mono_s
    site.told(site.send("reserve", percent=25), {"succeeded"})
    (write,) = site.writes(after=began)
    assert (write["point"], write["raw"]) == ("AO2", 250)
    site.dispatcher.wait_until(
        lambda: site.dispatcher.state(ASSET).get("backupReserve") == 25,
        within_s=DEADLINE_S,
        what="25 %",
    )


def test_release_gives_the_battery_back_to_its_own_programme(site: ControlSite) -> None:
    site.power(200_000)
    began = now().mono_s
    site.told(site.send("release"), {"succeeded"})
    site.until_phase({"IDLE"})
    zero, *rest = site.writes(after=began)
    assert (zero["point"], zero["value"]) == ("AO0", 0)
    assert ("BO0", 0.0) in [(one["point"], one["raw"]) for one in rest]


def test_idle_disarm_and_release_need_no_arming(site: ControlSite) -> None:
    site.told(site.send("disarm"), {"succeeded"})
    for verb in ("idle", "release", "disarm"):
        site.told(site.send(verb), {"succeeded"})
        site.until_phase({"IDLE"})


def test_every_message_was_what_its_schema_says(shared: ControlSite) -> None:
    assert shared.lawful()["result"] > 40
