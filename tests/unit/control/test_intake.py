"""Commands of one asset: receipt, permission, rate, approval, and what the audit log gets."""

from __future__ import annotations

import dataclasses
import json

from gateway import effects
from gateway.control import telling
from gateway.control.commands.command import Verb
from gateway.control.phases import Phase
from tests.fixtures.commands import CHIEF, GUARD, OPS
from tests.fixtures.control_site import LIMITS, PREFIX, ControlSite, site


def test_a_receipt_comes_in_the_same_instant_before_everything_else() -> None:
    made = ControlSite().arm()
    made.disk.silent = True
    id_ = made.command("setpoint")
    assert made.acks[id_] == "received"
    assert made.published[-1].topic == f"{PREFIX}/bess-1/cmd/ack"


def test_at_most_one_power_command_in_2_s() -> None:
    made = ControlSite().arm()
    made.command("setpoint")
    made.run(1)
    assert made.acks[made.command("setpoint")] == "RATE"
    made.run(1)
    assert made.acks[made.command("setpoint", powerW=600_000)] == "received"


def test_a_site_may_take_more_or_fewer_power_commands() -> None:
    fast = dataclasses.replace(LIMITS, command_interval_s=1.0, commands_per_5_min=75)
    made = ControlSite(site(limits=fast)).arm()
    reasons = []
    for at in range(76):
        reasons.append(made.acks[made.command("setpoint", powerW=500_000 + at * 1000)])
        made.run(4 if at > 2 else 1)
    assert reasons == ["received"] * 75 + ["RATE"]
    slow = dataclasses.replace(LIMITS, command_interval_s=60.0, commands_per_5_min=2)
    made = ControlSite(site(limits=slow)).arm()
    assert made.acks[made.command("setpoint")] == "received"
    made.run(59)
    assert made.acks[made.command("setpoint")] == "RATE"
    made.run(1)
    assert made.acks[made.command("setpoint")] == "received"
    made.run(61)
    assert made.acks[made.command("setpoint")] == "RATE"


def test_at_most_30_power_commands_in_5_min() -> None:
    made = ControlSite()
    made.activate()
    reasons = []
    for _ in range(35):
        made.run(3)
        reasons.append(made.acks[made.command("setpoint")])
    assert reasons.count("received") == 29
    assert reasons[-1] == "RATE"


def test_one_command_without_power_at_a_time() -> None:
    made = ControlSite().arm()
    first = made.command("reserve", percent=30)
    assert made.acks[made.command("reserve", percent=40)] == "STATE"
    made.until(lambda: made.ends(first) == "succeeded")
    assert made.acks[made.command("reserve", percent=40)] == "received"


def test_a_reload_changes_which_modes_and_reserves_are_taken() -> None:
    made = ControlSite().arm()
    listed = made.control().intake.verbs
    assert {Verb.MODE, Verb.RESERVE} < listed
    none = dataclasses.replace(LIMITS, modes=(), reserve_min_pct=None, reserve_max_pct=None)
    made.reload(site(limits=none))
    offered = telling.description(made.control())["verbs"]
    assert offered == sorted(listed - {Verb.MODE, Verb.RESERVE}), "what birth says"


def test_the_same_command_twice_is_a_duplicate_and_an_older_number_out_of_sequence() -> None:
    made = ControlSite().arm()
    made.command("reserve", percent=30)
    topic, payload = made.sent[-1]
    made.arrives(topic, payload)
    assert made.acks[list(made.book)[-1]] == "DUPLICATE"
    made.seq -= 2
    assert made.acks[made.command("reserve", percent=30)] == "SEQUENCE"


def test_power_above_the_site_limit_is_rejected_and_above_what_is_available_clamped() -> None:
    made = ControlSite().arm()
    assert made.acks[made.command("setpoint", powerW=1_500_001)] == "LIMIT"
    made.plant.avail_w = 300_000.0
    made.run(6)
    id_ = made.command("setpoint", powerW=500_000)
    made.until(lambda: made.ends(id_) == "succeeded")
    assert made.rtac.remote_w == 300_000


def test_dual_approval_takes_two_keys_over_the_same_bytes() -> None:
    made = ControlSite(site(approval="dual")).ready()
    assert made.acks[made.command("arm", OPS)] == "APPROVAL"
    assert made.acks[made.command("arm", OPS, CHIEF)] == "received"
    assert made.phase() is Phase.ARMED


def test_one_signature_does_not_keep_in_force_what_takes_two_to_order() -> None:
    made = ControlSite(site(approval="dual", threshold_w=250_000.0)).ready()
    made.command("arm", OPS, CHIEF)
    large = made.command("setpoint", OPS, CHIEF, powerW=1_400_000, durationS=60)
    made.until(lambda: made.ends(large) == "succeeded")
    small = made.command("setpoint", OPS, powerW=0, durationS=14_400, rampWPerS=1)
    assert made.acks[small] == "received", "below the threshold one signature is enough"
    made.run(40)
    assert made.rtac.remote_w == 0


def test_an_emergency_stop_needs_the_role_emergency_alone() -> None:
    made = ControlSite(site(approval="dual"))
    made.run(3)
    assert made.acks[made.command("estop", OPS)] == "ROLE"
    made.command("estop", GUARD)
    assert made.phase() is Phase.ESTOP


def test_every_command_is_in_the_audit_log_as_it_was_signed_and_every_result() -> None:
    made = ControlSite()
    id_ = made.activate()
    made.command("idle")
    made.run(5)
    payloads = [row.payload for row in made.disk.rows if row.event == "command"]
    sent = [payload for topic, payload in made.sent if topic.endswith("/cmd")]
    assert payloads == sent
    results = [json.loads(row.payload) for row in made.disk.rows if row.event == "result"]
    states = [one["state"] for one in results if one["id"] == id_]
    assert states == ["accepted", "executing", "succeeded", "aborted"]


def test_the_head_is_signed_with_every_command() -> None:
    made = ControlSite().ready()
    records: list[effects.Record] = []
    perform = made._perform

    def recording(effect: effects.Effect) -> None:
        records.extend([effect] if isinstance(effect, effects.Record) else [])
        perform(effect)

    made._perform = recording  # type: ignore[method-assign]  # the same, with a book
    made.command("arm")
    assert any(one.sign for one in records)
