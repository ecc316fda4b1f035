"""Trust and safety files that change while the gateway runs, and tests that grow old."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from gateway import clock
from gateway.clock import now
from gateway.control.rules import readiness
from gateway.site.load import load_site
from tests.fixtures.commanded_site import ASSET, ControlSite
from tests.fixtures.control_rig import keep, who
from tests.fixtures.deadline import DEADLINE_S
from tests.fixtures.hanging import pipe_in_place_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.demo.pki import Pki

OPS = 'kid = "ops-1"\n'


@pytest.fixture(scope="module")
def site(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlSite]:
    """One that reasserts idle when somebody else takes over."""

    def change(text: str) -> str:
        return text.replace("[watchdog]\n", '[watchdog]\npreempted = "reassert_idle"\n')

    with ControlSite(tmp_path_factory.mktemp("reload"), pki, change=change) as made:
        yield made.run()


def reloaded(site: ControlSite, said: str) -> None:
    """SIGHUP, and what the daemon says to it."""
    mark = len(site.daemon.log)
    site.daemon.reload()
    site.daemon.logged(said, after=mark)


def acknowledge(site: ControlSite) -> None:
    """Take the file in force upon oneself."""
    digest = json.loads(site.act("commission", "show", "--json"))["safetyDigest"]
    site.act("commission", "acknowledge", "--yes", digest)


def test_with_reassert_idle_zero_is_ordered_again_when_somebody_else_moves_the_setpoint(
    site: ControlSite,
) -> None:
    site.arm()
    id_ = site.power(300_000)
    site.sim.fault("preempt=700000")
    site.told(id_, {"aborted", "failed"})
    began = now().mono_s
    site.daemon.until(
        lambda: len(site.writes(role="cmd_power", after=began)) >= 2, "zero, again and again"
    )
    assert {one["value"] for one in site.writes(role="cmd_power", after=began)} == {0.0}
    site.sim.clear()
    site.calm()


def test_a_reload_is_refused_while_active_when_the_assets_settings_change(
    site: ControlSite,
) -> None:
    site.arm()
    id_ = site.power(300_000)
    site.daemon.configure(site.assets(dnp3={"event_poll_s": 0.3}))
    reloaded(site, "reload refused, the old settings stay: asset bess-1 is ACTIVE")
    assert site.control()["dispatch"]["id"] == id_
    site.daemon.configure(site.assets())
    reloaded(site, "settings reloaded")
    assert site.control()["state"] == "ACTIVE"  # nothing of it changed


def test_a_revoked_key_signs_no_command_any_more_and_the_file_must_be_acknowledged_again(
    site: ControlSite,
) -> None:
    if site.control()["state"] != "ACTIVE":
        site.arm().power(300_000)
    before = site.control()["safetyDigest"]
    site.rewrite_safety(
        lambda text: text.replace(OPS, OPS + "revoked = true\n").replace(
            'kid = "boss-1"\nrole = ["approver"]', 'kid = "boss-1"\nrole = ["dispatcher"]'
        )
    )
    reloaded(site, "settings reloaded")
    site.until_phase({"MONITOR"})  # with idle first
    assert site.sim.state()["setpoint_w"] == 0
    assert site.control()["reasons"] == ["SAFETY_NOT_ACKNOWLEDGED"]
    assert site.control()["safetyDigest"] != before
    site.dispatcher.wait_until(
        lambda: site.dispatcher.control(ASSET)["safetyDigest"] != before,
        within_s=DEADLINE_S,
        what="a birth with the new digest",
    )
    assert site.told(site.send("arm"), {"rejected"}).reason == "KEY_EXPIRED"
    acknowledge(site)
    site.until_phase({"IDLE"})
    assert site.told(site.send("arm"), {"rejected"}).reason == "KEY_EXPIRED"


def test_a_key_that_a_reload_made_a_dispatchers_is_one_after_the_acknowledgement(
    site: ControlSite,
) -> None:
    site.dispatcher.signers = who("boss-1")
    site.arm()
    site.power(200_000)


def test_a_broken_safety_file_leaves_the_old_one_in_force_until_the_next_start(
    site: ControlSite,
) -> None:
    if site.control()["state"] != "ACTIVE":
        site.arm().power(200_000)
    id_ = site.control()["dispatch"]["id"]
    path = site.daemon.site.with_name("safety.toml")
    good = path.read_text()
    site.rewrite_safety(lambda text: text.replace("lease_s = 10.0", "lease_s = 4"))
    line = 1 + path.read_text()[: path.read_text().index("lease_s = 4")].count("\n")
    reloaded(site, f"reload refused, the old settings stay: {path}:{line}: [watchdog] lease_s")
    assert any(f"{path}:{line}" in one for one in site.daemon.ask("status")["reasons"])
    assert site.control()["dispatch"]["id"] == id_
    site.rewrite_safety(lambda _: good)
    reloaded(site, "settings reloaded")
    assert site.control()["dispatch"]["id"] == id_


def test_a_safety_file_taken_away_turns_control_off_with_idle_and_telemetry_goes_on(
    site: ControlSite,
) -> None:
    if site.control()["state"] != "ACTIVE":
        site.arm().power(200_000)
    path = site.daemon.site.with_name("safety.toml")
    good = path.read_text()
    path.unlink()
    site.daemon.reload()
    site.until_phase({"MONITOR"})
    assert site.control()["reasons"] == ["SAFETY_CONFIG_MISSING"]
    assert site.sim.state()["setpoint_w"] == 0
    mark = len(site.dispatcher.received)
    site.dispatcher.wait_until(
        lambda: any(one.schema == "bess.state/1" for one in site.dispatcher.received[mark:]),
        within_s=DEADLINE_S,
        what="state",
    )
    path.write_text(good)
    site.daemon.reload()
    site.until_phase({"IDLE"})  # it is the file that was acknowledged


def test_a_stop_that_comes_while_a_reload_hangs_idles_the_battery_and_ends_the_gateway(
    site: ControlSite,
) -> None:
    if site.control()["state"] != "ACTIVE":
        site.arm().power(200_000)
    with pipe_in_place_of(site.daemon.site) as hangs:
        site.daemon.reload()
        hangs()
        assert site.control()["state"] == "ACTIVE"
        assert site.daemon.stop() == 0
    assert site.sim.state()["setpoint_w"] == 0
    assert site.sim.state()["last_trip"] != "deadman"
    site.daemon.start()
    site.daemon.up()


def test_another_map_must_be_tested_anew(site: ControlSite) -> None:
    site.until_phase({"IDLE", "MONITOR"})
    path = site.daemon.site.with_name("safety.toml")
    good = path.read_text()
    site.daemon.configure(site.assets(map="an2018-storage@1.0.0"))
    reloaded(site, "[limits] modes names 'enable': must be mode_enable_cmd, mode_enabled")
    site.rewrite_safety(lambda text: re.sub(r"modes = .*\n|reserve_.*\n", "", text))
    reloaded(site, "settings reloaded")
    site.until_control(lambda found: "SIGN_TEST_MISSING" in found["reasons"], "untested")
    site.daemon.configure(site.assets())
    path.write_text(good)
    reloaded(site, "settings reloaded")
    site.until_control(lambda found: found["reasons"] == [], "on again")


def test_a_dead_man_test_warns_at_330_days_and_turns_control_off_at_400(
    site: ControlSite,
) -> None:
    for days, reasons in ((331, []), (401, ["DEADMAN_TEST_EXPIRED"])):
        assert site.daemon.stop() == 0
        found = load_site(site.daemon.site)
        at_ms = clock.now().unix_ms - days * readiness.DAY_MS
        proof = readiness.Proof(found.maps[ASSET].digest, at_ms)
        keep(site.daemon.state, readiness.fact_of_deadman_test(ASSET, proof))
        site.daemon.start()
        site.daemon.up()
        control = site.control()
        assert control["reasons"] == reasons
        assert control["deadmanTestDays"] == days
        assert any("dead-man test" in one for one in control["warnings"]) is not bool(reasons)


def test_every_message_was_what_its_schema_says(site: ControlSite) -> None:
    assert site.lawful()["birth"] > 3
