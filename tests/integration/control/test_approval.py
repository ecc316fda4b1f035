"""Approval: monitor, dual and local, with thresholds; envelope is what all other tests use.

The sites hold their leases side by side, so that 30 s are waited for once.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from gateway.clock import now
from gateway.cloud.dispatcher.signing import Signer
from tests.fixtures import commands
from tests.fixtures.commanded_site import ASSET, ControlSite
from tests.fixtures.control_rig import who
from tests.fixtures.deadline import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.demo.pki import Pki

THRESHOLD_W = 250_000
TWO_HATS = """
[[trusted_key]]
kid = "both-1"
role = ["dispatcher", "approver"]
public_key_file = "keys/both-1.pem"
not_after = 2099-12-31
"""


def with_threshold(text: str) -> str:
    """Approval counts above so many W only."""
    return text.replace("\n[watchdog]", f"approval_threshold_w = {THRESHOLD_W}\n\n[watchdog]", 1)


@pytest.fixture(scope="module")
def sites(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, ControlSite]]:
    """One for each policy."""
    made: dict[str, ControlSite] = {}
    folder: Path = tmp_path_factory.mktemp("approval")

    def change(text: str) -> str:
        keys = folder / "dual" / "daemon" / "keys"
        key = keys / "both-1.pem"
        key.write_bytes(commands.signer("both-1").public_pem)
        key.chmod(0o644)
        return with_threshold(text) + TWO_HATS

    with (
        ControlSite(folder / "monitor", pki, approval="monitor") as made["monitor"],
        ControlSite(folder / "local", pki, approval="local", change=with_threshold) as made[
            "local"
        ],
        ControlSite(
            folder / "dual", pki, approval="dual", change=change, signers=("ops-1", "boss-1")
        ) as made["dual"],
    ):
        for one in made.values():
            one.run()
        yield made


@pytest.fixture
def dual(sites: dict[str, ControlSite]) -> ControlSite:
    """Armed by two."""
    site = sites["dual"]
    if site.control()["state"] not in ("ARMED", "ACTIVE"):
        site.arm()
    return site


@pytest.fixture
def local(sites: dict[str, ControlSite]) -> ControlSite:
    """Armed: the operator has approved it."""
    site = sites["local"]
    if site.control()["state"] not in ("ARMED", "ACTIVE"):
        site.until_phase({"IDLE"})
        site.dispatcher.wait_until(
            lambda: now().mono_s - site.dispatcher.received[0].at.mono_s > 33,
            within_s=DEADLINE_S,
            what="30 s of lease",
        )
        id_ = site.send("arm")
        site.told(id_, {"pending_approval"})
        assert id_ in site.act("pending")
        site.act("approve", id_)
        site.told(id_, {"succeeded"})
    return site


def signed(site: ControlSite, signers: tuple[Signer, ...], power_w: int) -> str:
    """Send a setpoint signed by these; returns its id."""
    while True:
        made = site.dispatcher.claims(ASSET, "setpoint", power_w=power_w, duration_s=600)
        raw = site.dispatcher.sign(made, signers)
        site.dispatcher.raw(site.dispatcher.topics.own(f"{ASSET}/cmd"), raw)
        id_ = str(made["id"])
        if site.told(id_, {"received", "rejected"}).reason != "RATE":
            return id_


def test_monitor_is_no_control_and_no_output(sites: dict[str, ControlSite]) -> None:
    site = sites["monitor"]
    site.dispatcher.wait_until(
        lambda: site.dispatcher.control(ASSET), within_s=DEADLINE_S, what="birth"
    )
    assert site.dispatcher.control(ASSET)["reasons"] == ["APPROVAL_MONITOR"]
    for verb in ("arm", "idle", "estop"):
        made = site.dispatcher.claims(ASSET, verb)
        raw = site.dispatcher.sign(made, who("guard-1") if verb == "estop" else who("ops-1"))
        site.dispatcher.raw(site.dispatcher.topics.own(f"{ASSET}/cmd"), raw)
        assert site.told(str(made["id"]), {"rejected"}).reason == "CONTROL_DISABLED"
    assert site.sim.controls() == []


def test_dual_takes_a_dispatcher_and_a_different_approver_over_the_same_bytes(
    dual: ControlSite,
) -> None:
    began = now().mono_s
    for signers in (who("ops-1"), (Signer("both-1", commands.signer("both-1").private),)):
        refused = signed(dual, signers, 400_000)  # one signature; one signer with both roles
        assert dual.told(refused, {"rejected"}).reason == "APPROVAL"
    refused = signed(dual, who("boss-1", "boss-1"), 400_000)
    assert dual.told(refused, {"rejected"}).reason == "SIGNATURE"
    assert dual.writes(role="cmd_power", after=began) == []
    dual.told(signed(dual, who("ops-1", "boss-1"), 400_000), {"succeeded"})
    assert dual.sim.state()["setpoint_w"] == 400_000


def test_signatures_over_other_bytes_do_not_add_up(dual: ControlSite) -> None:
    """An approver's signature of one command cannot be put beside that of another."""
    first, second = (
        dual.dispatcher.claims(ASSET, "setpoint", power_w=power_w, duration_s=600)
        for power_w in (300_000, 900_000)
    )
    approved = json.loads(dual.dispatcher.sign(first, who("boss-1")))
    wanted = json.loads(dual.dispatcher.sign(second, who("ops-1")))
    wanted["signatures"] += approved["signatures"]
    dual.dispatcher.raw(dual.dispatcher.topics.own(f"{ASSET}/cmd"), json.dumps(wanted).encode())
    assert dual.told(str(second["id"]), {"rejected"}).reason == "SIGNATURE"


def test_dual_applies_above_its_threshold(dual: ControlSite) -> None:
    dual.told(signed(dual, who("ops-1"), THRESHOLD_W), {"succeeded"})
    above = signed(dual, who("ops-1"), -THRESHOLD_W - 1000)
    assert dual.told(above, {"rejected"}).reason == "APPROVAL"


def test_idle_disarm_release_need_no_approval_and_estop_the_role_emergency_only(
    dual: ControlSite,
) -> None:
    for verb, kid in (
        ("idle", "ops-1"),
        ("disarm", "ops-1"),
        ("release", "ops-1"),
        ("estop", "guard-1"),
    ):
        made = dual.dispatcher.claims(ASSET, verb)
        raw = dual.dispatcher.sign(made, who(kid))
        dual.dispatcher.raw(dual.dispatcher.topics.own(f"{ASSET}/cmd"), raw)
        dual.told(str(made["id"]), {"succeeded"} if verb != "estop" else {"executing"})
        dual.until_phase({"IDLE", "ESTOP"})
    dual.act("reset")


def test_local_waits_for_the_operator_and_goes_on_when_he_approves(local: ControlSite) -> None:
    began = now().mono_s
    id_ = local.send("setpoint", power_w=300_000, duration_s=600)
    local.told(id_, {"pending_approval"})
    assert local.results(id_)[-1]["platformState"] == "pending"
    assert local.control()["pending"] == 1
    (row,) = json.loads(local.act("pending", "--json"))["pending"]
    assert (row["id"], row["powerW"], row["issuer"]) == (id_, 300_000, "ops-1")
    assert 0 < row["leftS"] <= 120
    assert local.writes(role="cmd_power", after=began) == []
    local.act("approve", id_)
    story = local.told(id_, {"succeeded"})
    assert story.states == ("received", "pending_approval", "accepted", "executing", "succeeded")
    again = local.cli("approve", id_)
    assert again.returncode == 1
    assert "does not wait" in again.stderr


def test_local_rejected_by_the_operator_is_rejected_for_approval(local: ControlSite) -> None:
    id_ = local.send("setpoint", power_w=-300_000, duration_s=600)
    local.told(id_, {"pending_approval"})
    local.act("reject", id_)
    assert local.told(id_, {"rejected"}).reason == "APPROVAL"
    assert local.control()["pending"] == 0


def test_local_applies_above_its_threshold(local: ControlSite) -> None:
    id_ = local.send("setpoint", power_w=THRESHOLD_W, duration_s=600)
    assert "pending_approval" not in local.told(id_, {"succeeded"}).states


def test_what_nobody_approves_expires_with_its_command_and_cannot_be_approved_any_more(
    local: ControlSite,
) -> None:
    local.dispatcher.lifetime_s = 15.0
    id_ = local.send("setpoint", power_w=300_000, duration_s=600)
    local.dispatcher.lifetime_s = 60.0
    local.told(id_, {"pending_approval"})
    began = now().mono_s
    assert local.why(id_, "expired") == "approval"
    assert local.cli("approve", id_).returncode == 1
    assert local.writes(role="cmd_power", after=began) == []


def test_what_waits_when_the_gateway_stops_ends_with_it(local: ControlSite) -> None:
    id_ = local.send("setpoint", power_w=300_000, duration_s=600)
    local.told(id_, {"pending_approval"})
    assert local.daemon.stop() == 0
    local.daemon.start()
    local.daemon.up()
    assert local.why(id_, "aborted") == "stopping"
    assert local.control()["pending"] == 0


def test_every_message_was_what_its_schema_says(sites: dict[str, ControlSite]) -> None:
    for one in sites.values():
        assert one.lawful()["ack"] >= 3
