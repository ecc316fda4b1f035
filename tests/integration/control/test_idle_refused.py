"""Zero that is refused: it is repeated, then latched, and the dead-man of the RTAC acts.

Each battery of the site is used by one test, so that one that is LATCHED disturbs no other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.clock import now
from tests.fixtures.commanded_site import ControlSite
from tests.fixtures.control_rig import DEADMAN_S, VERIFY_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.demo.pki import Pki

A, B, C = "bess-1", "bess-2", "bess-3"


@pytest.fixture(scope="module")
def shared(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlSite]:
    """Three batteries."""
    with ControlSite(tmp_path_factory.mktemp("idle"), pki, assets=3) as site:
        yield site.run()


def active(site: ControlSite, asset: str, watts: int = 300_000) -> str:
    """Put a battery under power; returns the command."""
    site.calm(asset).arm(asset)
    return site.power(watts, asset)


@pytest.mark.parametrize("status", [6, 7, 13])
def test_status_6_7_13_for_zero_stops_writing_and_goes_to_local(
    shared: ControlSite, status: int
) -> None:
    site = shared
    active(site, A)
    sim = site.sims[A]
    sim.fault(f"refuse_zero={status}")
    began = now().mono_s
    id_ = site.send("idle", A)
    assert site.why(id_, "aborted", "failed") == "local"
    site.passed("IDLING", "LOCAL", "local", A, after=began)
    beats = len(site.beats(A))
    sim.clear()
    site.daemon.until(lambda: len(site.beats(A)) > beats, "heartbeats in LOCAL")
    site.until_phase({"IDLE"}, A)
    refused = site.writes(A, role="cmd_power", after=began)
    assert {one["value"] for one in refused} == {0.0}


def test_zero_that_is_refused_is_repeated_every_2_s_then_latched_with_the_heartbeat_withheld(
    shared: ControlSite,
) -> None:
    """Bound C: what refuses us at last does not hear us either, and its dead-man acts."""
    site = shared
    id_ = active(site, B)
    sim = site.sims[B]
    sim.fault("refuse_zero=8")
    began = now().mono_s
    idle = site.send("idle", B)
    site.told(id_, {"aborted"})
    site.until_phase({"LATCHED"}, B)
    latched_at = now().mono_s
    zeros = [one["mono_s"] for one in site.writes(B, role="cmd_power", after=began)]
    assert zeros[1] - zeros[0] < 1  # retried at once
    assert len(zeros) >= VERIFY_S / 2 - 1
    site.told(idle, {"failed"})
    assert site.zeroed_at(B, after=began) - latched_at < DEADMAN_S + 20
    assert sim.state()["last_trip"] == "deadman"
    assert site.beats(B, after=latched_at) == []
    assert site.told(site.send("arm", B), {"rejected"}).reason == "STATE"
    sim.clear()
    before = len(site.writes(B, role="cmd_power"))
    site.daemon.until(
        lambda: len(site.writes(B, role="cmd_power")) > before, "zero is ordered in LATCHED too"
    )
    assert site.control(B)["state"] == "LATCHED"  # verified by now, and kept all the same
    site.act("reset", B)
    site.until_phase({"IDLE"}, B)


def test_latched_survives_a_kill_and_idle_needs_a_reset_on_the_box(shared: ControlSite) -> None:
    """The daemon is killed; its other batteries go to idle first. Arming anew is for the next."""
    site = shared
    active(site, B)
    active(site, C, 200_000)
    site.sims[B].fault("refuse_zero=10")
    site.send("idle", B)
    site.until_phase({"LATCHED"}, B)
    site.daemon.until(
        lambda: '"LATCHED"' in site.act("audit", "show", "--json", "--asset", B, "--last", "3"),
        "the latch is durable",
    )
    killed_at = now().mono_s
    site.daemon.kill()
    site.daemon.start()
    site.daemon.up()
    site.until_phase({"LATCHED"}, B)
    site.until_phase({"IDLE"}, C)
    after = site.writes(C, role="cmd_power", after=killed_at)
    assert after[0]["value"] == 0
    assert {one["value"] for one in after} == {0.0}
    assert site.beats(B, after=killed_at) == []
    site.sims[B].clear()
    site.act("reset", B)
    site.until_phase({"IDLE"}, B)


def test_every_message_was_what_its_schema_says(shared: ControlSite) -> None:
    assert shared.lawful()["result"] > 20
