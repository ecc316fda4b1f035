"""What ends a dispatch: interlocks, a lost lease, an E-stop; and that an E-stop lasts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.clock import now
from tests.fixtures.commanded_site import ControlSite
from tests.fixtures.control_rig import LEASE_S, who
from tests.fixtures.deadline import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.demo.pki import Pki

INTERLOCKS = {
    "breaker_open": "BREAKER",
    "trip": "FAULT",
    "estop": "ESTOP",
    "device_trouble": "DEVICE_TROUBLE",
    "config_corrupt": "CONFIG_CORRUPT",
    "comm_lost=AI1": "CRITICAL_POINT",
    "forced=AI0": "CRITICAL_POINT",
    "value=AI0:900": "SOC",  # 9 %, below the window, while discharging
}


@pytest.fixture(scope="module")
def shared(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlSite]:
    """One site for all of them; its batteries take turns."""
    with ControlSite(tmp_path_factory.mktemp("endings"), pki, assets=3) as site:
        yield site.run()


@pytest.fixture
def site(shared: ControlSite) -> ControlSite:
    """All of them."""
    return shared


@pytest.mark.parametrize("fault", INTERLOCKS)
def test_any_interlock_that_is_false_while_active_idles_the_battery_and_forbids_arming(
    site: ControlSite, bess: str, fault: str
) -> None:
    id_ = site.power(300_000, bess)
    began = now().mono_s
    site.sims[bess].fault(fault)
    site.told(id_, {"aborted"})
    site.until_phase({"IDLE"}, bess)
    site.passed("ACTIVE", "IDLING", "interlock", bess, after=began)
    assert {one["value"] for one in site.writes(bess, role="cmd_power", after=began)} == {0.0}
    if INTERLOCKS[fault] == "SOC":
        return  # it forbids one direction only: charging may be armed for
    found = site.control(bess)["interlocks"]
    assert any(one.startswith(INTERLOCKS[fault]) for one in found), found
    assert site.told(site.send("arm", bess), {"rejected"}).reason in ("STATE", "INTERLOCK")


def test_a_state_of_charge_outside_the_window_refuses_its_direction_alone(
    site: ControlSite, bess: str
) -> None:
    site.sims[bess].fault("value=AI0:900")
    site.daemon.until(lambda: site.shown("AI0", bess) == 900, "9 %")
    refused = site.send("discharge", bess, power_w=100_000, duration_s=60)
    assert site.told(refused, {"rejected"}).reason == "INTERLOCK"
    site.told(site.send("charge", bess, power_w=100_000, duration_s=60), {"succeeded"})


def test_a_lost_lease_aborts_the_dispatch_and_a_lease_that_comes_back_never_arms_by_itself(
    site: ControlSite, bess: str
) -> None:
    id_ = site.power(300_000, bess)
    began = now().mono_s
    site.dispatcher.answering = False
    assert site.why(id_, "aborted") == "lease"
    assert site.results(id_)[-1]["platformState"] == "failed"
    site.until_phase({"IDLE"}, bess)
    zero = site.writes(bess, role="cmd_power", after=began)[0]
    assert zero["value"] == 0
    assert zero["mono_s"] - began > LEASE_S - 4  # it held as long as its last answer let it
    site.dispatcher.answering = True
    site.until_control(lambda found: found["leaseS"] > 0, "live again", bess)
    assert site.control(bess)["state"] == "IDLE"
    early = site.send("arm", bess)
    assert site.told(early, {"rejected"}).reason == "STATE"  # 30 s of unbroken lease come first
    assert {one["value"] for one in site.writes(bess, role="cmd_power", after=began)} == {0.0}


def test_estop_stops_withholds_the_heartbeat_lasts_over_a_kill_and_leaves_only_by_a_reset(
    shared: ControlSite,
) -> None:
    site = shared.calm()
    dispatcher, began = site.dispatcher, now().mono_s
    dispatcher.ready("bess-1", within_s=DEADLINE_S)
    made = dispatcher.claims("bess-1", "estop")
    signed = dispatcher.sign(made, who("guard-1"))
    dispatcher.raw(dispatcher.topics.own("bess-1/cmd"), signed)
    site.told(str(made["id"]), {"executing", "succeeded"})
    site.until_phase({"ESTOP"})
    site.sim.wait_until(lambda truth: truth["stopped"] and truth["setpoint_w"] == 0)
    stops = site.writes(role="cmd_stop", after=began)
    assert [one["function"] for one in stops].count("OPERATE") == 1
    stopped_at = stops[-1]["mono_s"]
    site.told(site.send("idle"), {"succeeded"})  # power is not known to be gone yet
    site.until_phase({"ESTOP"})
    assert site.told(site.send("arm"), {"rejected"}).reason == "STATE"
    assert "critical" in [one.body["severity"] for one in dispatcher.events("watchdog")]
    site.daemon.kill()
    site.daemon.start()
    site.daemon.up()
    site.until_phase({"ESTOP"})
    assert site.beats(after=stopped_at + 0.5) == []
    assert site.writes(role="cmd_stop", after=stopped_at) == []  # a pulse goes once
    site.act("reset", "bess-1")
    site.until_phase({"IDLE"})
    site.daemon.until(lambda: bool(site.beats(after=stopped_at + 0.5)), "heartbeats")
    assert {one["value"] for one in site.writes(role="cmd_power", after=began)} == {0.0}


def test_every_message_was_what_its_schema_says(shared: ControlSite) -> None:
    assert shared.lawful()["result"] > 20
