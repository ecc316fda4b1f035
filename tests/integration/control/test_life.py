"""The gateway itself ends while power is in force: SIGTERM, kill -9, and what is said then."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from gateway.clock import now
from tests.fixtures.commanded_site import ControlSite
from tests.fixtures.control_rig import DEADMAN_S
from tests.fixtures.deadline import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.demo.pki import Pki

A, B = "bess-1", "bess-2"


@pytest.fixture(scope="module")
def site(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlSite]:
    """Two batteries."""
    with ControlSite(tmp_path_factory.mktemp("life"), pki, assets=2) as made:
        yield made.run()


def test_start_is_idle_first_and_nothing_is_written_before_control_is_on(
    site: ControlSite,
) -> None:
    for asset in site.names:
        site.until_phase({"IDLE"}, asset)
        (zero,) = site.writes(asset, role="cmd_power")
        assert zero["value"] == 0
        site.daemon.logged(
            f"{asset}: STARTUP to IDLING, started", f"{asset}: IDLING to IDLE, verified"
        )


def test_a_killed_gateway_is_ended_by_the_dead_man_and_its_next_start_resumes_nothing(
    site: ControlSite,
) -> None:
    """Bound B; the command that was in force is told to be over: nobody else can say so."""
    site.arm(A).arm(B)
    ended = site.power(200_000, A, for_s=15)
    site.until_phase({"IDLE"}, A)  # its end came before the kill: it stays a success
    site.arm(A)
    site.told(site.send("reserve", A, percent=20), {"succeeded"})
    open_ = site.power(300_000, A)
    fresh = site.power(-300_000, B)
    killed_at = now().mono_s
    site.daemon.kill()
    assert site.zeroed_at(A, after=killed_at) - killed_at < DEADMAN_S + 20
    assert site.sims[A].state()["last_trip"] == "deadman"
    site.daemon.start()
    site.daemon.up()
    for asset, id_ in ((A, open_), (B, fresh)):
        site.until_phase({"IDLE"}, asset)
        assert site.why(id_, "aborted") == "restart"
        (last,) = [one for one in site.results(id_) if one["state"] == "aborted"]
        assert last["platformState"] == "failed"
        assert last["requestedPowerW"] == (300_000 if asset == A else -300_000)
        after = site.writes(asset, role="cmd_power", after=killed_at)
        assert {one["value"] for one in after} == {0.0}
        assert site.control(asset)["dispatch"] is None
    assert "aborted" not in site.dispatcher.follow(ended).states
    site.dispatcher.ready(A, within_s=DEADLINE_S)
    again = site.dispatcher.claims(A, "setpoint", power_w=300_000, duration_s=600)
    raw = site.dispatcher.sign(again | {"id": open_})  # a good command but for its id
    site.dispatcher.raw(site.dispatcher.topics.own(f"{A}/cmd"), raw)
    site.dispatcher.wait_until(
        lambda: site.dispatcher.follow(open_).acks[-1].body["reason"] == "DUPLICATE",
        within_s=DEADLINE_S,
        what="a refusal: an id is kept for 30 days, also by a gateway that was killed",
    )


def test_what_was_told_to_be_over_is_not_told_again_and_a_retained_command_is_refused(
    site: ControlSite,
) -> None:
    """A second start finds nothing open. A broker keeps an old command for it: refused."""
    aborted = [
        one.body["id"]
        for one in site.dispatcher.received
        if one.schema == "bess.result/1" and one.body["reason"] == "restart"
    ]
    site.dispatcher.ready(A, within_s=DEADLINE_S)
    made = site.dispatcher.claims(A, "setpoint", power_w=300_000, duration_s=600)
    topic = site.dispatcher.topics.own(f"{A}/cmd")
    site.daemon.kill()
    site.dispatcher.raw(topic, site.dispatcher.sign(made), retain=True)
    mark, killed_at = len(site.dispatcher.received), now().mono_s
    site.daemon.start()
    site.daemon.up()
    site.until_phase({"IDLE"}, A)
    site.dispatcher.wait_until(
        lambda: any(
            one.body.get("reason") == "RETAINED" for one in site.dispatcher.received[mark:]
        ),
        within_s=DEADLINE_S,
        what="a refusal",
    )
    site.dispatcher.raw(topic, b"", retain=True)
    assert {one["value"] for one in site.writes(A, role="cmd_power", after=killed_at)} == {0.0}
    again = [
        one.body["id"]
        for one in site.dispatcher.received
        if one.schema == "bess.result/1" and one.body["reason"] == "restart"
    ]
    assert again == aborted
    assert len(aborted) == len(set(aborted)) == 2


def test_sigterm_idles_and_verifies_before_the_exit(site: ControlSite) -> None:
    site.arm(A).arm(B)
    first, second = site.power(300_000, A), site.power(-300_000, B)
    asked_at = now().mono_s
    assert site.daemon.stop() == 0
    ended_at = now().mono_s
    for asset in (A, B):
        assert site.sims[asset].state()["setpoint_w"] == 0
        assert site.sims[asset].state()["trips"] == 1  # of the kill before
        writes = site.writes(asset, role="cmd_power", after=asked_at)
        assert {one["value"] for one in writes} == {0.0}
        assert max(one["mono_s"] for one in writes) < ended_at
    site.dispatcher.wait_until(
        lambda: site.dispatcher.status.get("online") is False,
        within_s=DEADLINE_S,
        what="its farewell",
    )
    site.daemon.start()
    site.daemon.up()
    for id_ in (first, second):
        site.told(id_, {"aborted"})
        assert [one["reason"] for one in site.results(id_) if one["state"] == "aborted"] == [
            "stopping"  # and not "restart" as well
        ]


def test_sigterm_with_nothing_in_force_writes_no_zero_and_waits_for_none(site: ControlSite) -> None:
    for asset in (A, B):
        site.until_control(lambda now: now["inForce"] is None, "without a setpoint", asset)
        site.until_phase({"IDLE"}, asset)
    asked_at, mark = now().mono_s, len(site.daemon.log)
    assert site.daemon.stop() == 0
    for asset in (A, B):
        assert site.writes(asset, after=asked_at) == []
    assert "IDLING" not in site.daemon.log[mark:]
    site.daemon.start()
    site.daemon.up()


def test_the_audit_log_of_all_of_it_is_whole(site: ControlSite) -> None:
    verified = site.cli("audit", "verify")
    assert verified.returncode == 0, verified.stdout
    rows = json.loads(site.act("audit", "show", "--json", "--last", "2000"))
    assert rows


def test_every_message_was_what_its_schema_says(site: ControlSite) -> None:
    assert site.lawful()["result"] > 10
