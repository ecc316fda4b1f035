"""Every outage ends with nothing lost, counted from what the outstation itself recorded.

What "nothing duplicated" means across two protocols is said in ``tests.fixtures.accounts``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.fixtures import accounts
from tests.fixtures.rig import Rig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.demo.pki import Pki

KILLS = 20
AWAY = range(10, 13)  # kills with the broker away


def telemetry(rig: Rig, *, backfill: bool) -> list[int]:
    """First sequence numbers of what arrived live, or as history, in order of arrival, once."""
    found = [one["seq"] for one in rig.recorder.of("telemetry") if one["backfill"] is backfill]
    return list(dict.fromkeys(found))


def test_a_broker_that_was_away_gets_everything_live_first_and_history_in_order(
    tmp_path: Path, pki: Pki
) -> None:
    with Rig(tmp_path, pki, other=True).run() as rig:
        rig.burst()
        rig.broker.stop()
        before = rig.sim.state()["load_sent"]
        rig.daemon.status_when(lambda now: not now["broker"]["up"], "the outage was not seen")
        rig.burst()
        rig.daemon.queue_when(lambda now: now["readings"] > 700, "no backlog")
        rig.broker.start()
        rig.daemon.status_when(lambda now: now["broker"]["up"], "the broker was not found again")
        rig.daemon.queue_when(lambda now: now["readings"] < 300, "the backlog does not drain")
        rig.burst()
        rig.bursts_arrived()
        assert rig.sim.state()["load_sent"] > before + 400
        rig.verdict(at_least=200)
        history = telemetry(rig, backfill=True)
        assert history
        assert history == sorted(history)
        live = telemetry(rig, backfill=False)
        assert live == sorted(live)
        states = [one for one in rig.recorder.arrived if one.message["schema"] == "bess.state/1"]
        assert not any(one.retain for one in states if one.message["backfill"])


def test_a_broker_that_freezes_is_noticed_and_gets_everything_when_it_thaws(
    tmp_path: Path, pki: Pki
) -> None:
    with Rig(tmp_path, pki).run() as rig:
        rig.broker.freeze()
        rig.daemon.status_when(lambda now: not now["broker"]["up"], "keep-alive never failed")
        rig.daemon.logged("broker down")
        rig.flow_of_the_outstation(more=400)
        rig.broker.thaw()
        rig.daemon.up()
        rig.flows()
        rig.verdict(at_least=300)


@pytest.fixture
def site(tmp_path: Path, pki: Pki) -> Iterator[Rig]:
    """A new daemon for each trouble of the RTAC: back-off grows from one to the next."""
    dnp3 = {"link_check_s": 0.5, "response_timeout_s": 1.0}
    with Rig(tmp_path, pki, dnp3=dnp3).run() as rig:
        yield rig


@pytest.mark.parametrize("fault", ["drop", "half_open", "restart", "half_frame", "garbage"])
def test_a_momentary_trouble_of_the_rtac_loses_nothing_that_it_still_held(
    site: Rig, fault: str
) -> None:
    began = accepted(site)
    site.sim.fault(fault)
    if fault != "garbage":  # which is skipped within the connection
        site.daemon.until(lambda: accepted(site) > began, "no new connection")
    site.daemon.up()
    site.flows(more=200)
    site.verdict()


@pytest.mark.parametrize("fault", ["freeze", "mute", "bad_crc"])
def test_an_rtac_that_stays_connected_and_says_nothing_of_use_is_recycled(
    site: Rig, fault: str
) -> None:
    mark = len(site.daemon.log)
    site.sim.fault(fault)
    site.daemon.logged("session down", after=mark)
    asked = site.daemon.ask("status")
    assert not asked["healthy"]
    assert any(why.startswith("bess-1: session down") for why in asked["reasons"])
    site.sim.clear(fault)
    site.daemon.up()
    site.flows(more=200)
    site.verdict()


def test_a_stopped_rtac_process_loses_nothing(site: Rig) -> None:
    mark = len(site.daemon.log)
    site.sim.pause()
    site.daemon.logged("session down", after=mark)
    site.sim.resume()
    site.daemon.up()
    site.flows(more=200)
    site.verdict()


def test_twenty_kills_under_load_lose_nothing(tmp_path: Path, pki: Pki) -> None:
    """Kill -9 at every phase: just started, catching up, in full flow, with the broker away."""
    with Rig(tmp_path, pki, other=True).run() as rig:
        for kill in range(KILLS):
            rig.burst()
            if kill in AWAY:
                rig.flow_of_the_outstation(more=100)
            elif kill % 3 == 0:
                rig.flows(more=300)
            elif kill % 3 == 1:
                rig.daemon.status_when(any_session, "no session")
            if kill == AWAY[0] - 1:
                rig.broker.stop()
            elif kill == AWAY[-1]:
                rig.broker.start()
            rig.daemon.kill()
            rig.daemon.start()
        rig.daemon.up()
        rig.bursts_arrived()
        verdict = rig.verdict(at_least=1500)
        boots = {one["session"] for one in rig.recorder.of("birth")}
        assert len(boots) > 1
        print(f"{verdict.confirmed} events, {verdict.redelivered} sent again by DNP3")


def test_a_clean_restart_under_load_continues_where_it_stopped(tmp_path: Path, pki: Pki) -> None:
    with Rig(tmp_path, pki).run() as rig:
        for _ in range(2):
            assert rig.daemon.stop() == 0
            rig.recorder.until(
                lambda: not rig.recorder.of("status")[-1]["online"], "it said goodbye"
            )
            rig.flow_of_the_outstation(more=100)
            rig.daemon.start()
            rig.flows(more=200)
        rig.verdict(at_least=150)


def test_kills_while_the_broker_and_the_rtac_are_away_lose_nothing(
    tmp_path: Path, pki: Pki
) -> None:
    with Rig(tmp_path, pki).run() as rig:
        rig.broker.stop()
        rig.daemon.queue_when(lambda now: now["readings"] > 100, "no backlog")
        rig.daemon.kill()
        rig.daemon.start()
        rig.daemon.queue_when(lambda now: now["readings"] > 300, "the backlog was not found")
        rig.sim.fault("drop")
        rig.daemon.kill()
        rig.flow_of_the_outstation(more=200)
        rig.daemon.start()
        rig.broker.start()
        rig.daemon.up()
        rig.flows(more=300)
        rig.verdict(at_least=250)


def any_session(now: dict[str, Any]) -> bool:
    """Whether one session is up."""
    return any(one["session"]["up"] for one in now["assets"].values())


def accepted(rig: Rig) -> int:
    """How often the outstation was connected."""
    return len(accounts.sent_by(rig.sim)[1])
