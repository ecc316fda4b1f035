"""What an operator may ask: no question, whatever it holds, ends the core."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli import views
from gateway.control import operator
from gateway.control.answers import DURABLE_S
from gateway.control.commands.command import Command
from gateway.control.commissioning.proofs import Proof, fact_of_sign_test
from gateway.control.phases import Phase
from gateway.local.server import ANSWER_S
from tests.fixtures.control_site import MAP, ControlSite, site
from tests.fixtures.shippedmaps import shipped

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
NAMED = st.sampled_from(
    ("bess-1", "show", "progress", "sign-test", "deadman-test", "abort", "acknowledge")
)
SITE = ControlSite()


@given(
    verb=st.sampled_from([*sorted(operator.VERBS), "pending", "reset", "status", "watch", "queue"]),
    arguments=st.dictionaries(
        st.sampled_from(("asset", "act", "id", "holdS", "digest")), NAMED | JSON, max_size=4
    ),
    operator=st.booleans(),
)
def test_no_question_ends_the_core(verb: str, arguments: dict[str, Any], *, operator: bool) -> None:
    json.dumps(SITE.ask(verb, operator=operator, **arguments), allow_nan=True)


@pytest.mark.parametrize("act", [[], {}, None, 7, ["show"]])
def test_an_act_that_is_no_word_is_refused(act: object) -> None:
    made = ControlSite()
    assert "error" in made.ask("commission", act=act)
    assert "error" in made.ask("commission", act=act, operator=False)


@pytest.mark.parametrize("hold_s", [10**400, float("nan"), float("inf"), -1, True, "5", 1.9, 301])
def test_a_hold_out_of_range_is_refused(hold_s: object) -> None:
    made = ControlSite().ready()
    assert "2..300" in made.ask("commission", act="sign-test", holdS=hold_s)["error"]
    assert made.phase() is Phase.IDLE


@pytest.mark.parametrize("verb", sorted(operator.VERBS))
def test_only_an_operator_acts(verb: str) -> None:
    made = ControlSite()
    made.activate()
    answer = made.ask(verb, operator=False, asset="bess-1", act="abort", id="x")
    assert "bess-operators" in answer["error"]
    assert made.phase() is Phase.ACTIVE


def test_everybody_may_look() -> None:
    made = ControlSite()
    made.run(5)
    assert made.ask("commission", act="show", operator=False)["bounds"]["A"] == 36.25
    assert made.ask("commission", act="progress", operator=False)["running"] is False
    assert made.ask("pending", operator=False) == {"pending": []}


def test_an_operators_stop_reaches_every_battery() -> None:
    made = ControlSite(site("bess-1", "bess-2")).ready()
    made.ask("estop")
    assert {made.phase("bess-1"), made.phase("bess-2")} == {Phase.ESTOP}


def test_who_stops_all_is_told_of_those_that_stop_beside_one_that_cannot() -> None:
    made = ControlSite(site("bess-1", "bess-2")).ready()
    made.act("disable-control", asset="bess-1")
    made.until(lambda: made.phase("bess-1") is Phase.MONITOR)
    answer = made.ask("estop")
    assert made.phase("bess-2") is Phase.ESTOP
    assert "bess-1 is in MONITOR" in answer["error"]
    assert "bess-2: stop ordered" in answer["error"]


def test_every_act_is_audited_with_the_users_name() -> None:
    made = ControlSite().ready()
    for verb in ("estop", "reset", "disable-control", "enable-control"):
        made.ask(verb, asset="bess-1")
    made.run(1)
    acts = [
        json.loads(row.payload)["act"] for row in made.disk.rows if row.actor == "operator:anna"
    ]
    assert acts == ["estop", "reset", "disable-control", "enable-control"]


def test_an_operator_approves_or_rejects_what_waits() -> None:
    made = ControlSite(site(approval="local")).ready()
    yes, no = made.command("arm"), made.command("arm")
    assert [row["id"] for row in made.ask("pending")["pending"]] == [yes, no]
    assert made.act("reject", id=no) == {"done": f"command {no}: rejected"}
    assert made.act("approve", id=yes) == {"done": f"command {yes}: approved"}
    assert made.phase() is Phase.ARMED
    assert made.ends(no) == "rejected"
    assert "error" in made.ask("approve", id=yes)


def test_an_approval_that_the_disk_refuses_does_not_promise_the_command() -> None:
    made = ControlSite(site(approval="local")).ready()
    made.act("approve", id=made.command("arm"))
    id_ = made.command("setpoint")
    made.disk.refuses = True
    answer = made.act("approve", id=id_)
    assert "disk full" in answer["error"]
    assert "begun only if its own record is on disk" in answer["error"]
    assert "when the disk takes it" not in answer["error"]
    made.disk.refuses = False
    made.run(10)
    assert made.ends(id_) == "failed"
    assert not any(made.written())


ACTS = ("estop", "reset", "disable-control", "enable-control", "acknowledge", "approve", "reject")


def begun(act: str, made: ControlSite) -> tuple[int, str]:
    """Order an act; the question's number, and what is to be told when it is done."""
    arguments: dict[str, Any] = {"asset": "bess-1"}
    verb, done = act, f"bess-1: {act}"
    if act in ("approve", "reject"):
        verb, arguments = act, {"id": made.command("arm")}
        done = f"command {arguments['id']}: {act}"
    elif act == "acknowledge":
        digest = made.ask("commission", act="show")["safetyDigest"]
        verb, arguments = "commission", {"act": act, "digest": digest}
    else:
        words = {"estop": "stop ordered", "disable-control": "control is off"}
        words |= {"enable-control": "no longer disabled", "reset": "reset"}
        done = f"bess-1: {words[act]}"
    assert made.ask(verb, **arguments) == {}  # nothing is said yet
    return made.questions, done


@pytest.mark.parametrize("act", ACTS)
def test_an_act_is_told_done_when_its_records_are_durable_and_not_before(act: str) -> None:
    made = ControlSite(site(approval="local")).ready()
    made.disk.delay_s = 1.0
    number, done = begun(act, made)
    made.run(0.75)
    assert number not in made.answers
    made.run(0.5)
    assert made.answers[number]["done"].startswith(done)
    wanted = "commissioning" if act == "acknowledge" else "operator"
    assert wanted in [row.event for row in made.disk.rows]


@pytest.mark.parametrize("act", ACTS)
def test_an_act_whose_record_the_disk_does_not_take_is_told_so_with_the_cause(act: str) -> None:
    made = ControlSite(site(approval="local")).ready()
    made.disk.refuses = True
    number, done = begun(act, made)
    made.run(0.5)
    answer = made.answers[number]
    assert answer["error"].startswith(done)
    assert "not on disk: disk full" in answer["error"]


@pytest.mark.parametrize("act", ACTS)
def test_a_disk_that_does_not_answer_is_not_waited_for_longer_than_whoever_asked(act: str) -> None:
    made = ControlSite(site(approval="local")).ready()
    made.disk.silent = True
    number, done = begun(act, made)
    made.run(DURABLE_S - 0.25)
    assert number not in made.answers
    made.run(0.5)
    assert made.answers[number]["error"].startswith(done)
    assert "not on disk yet" in made.answers[number]["error"]
    made.disk.silent = False
    made.run(0.5)
    assert "error" in made.answers[number]  # one answer to one question


def test_an_answer_is_given_before_whoever_asked_hangs_up() -> None:
    assert DURABLE_S < ANSWER_S


def test_what_an_operator_orders_takes_effect_whatever_the_disk_does() -> None:
    made = ControlSite()
    made.activate()
    made.disk.silent = True
    made.ask("disable-control")
    assert made.phase() is Phase.IDLING
    made.run(1)
    assert made.rtac.remote_w == 0
    assert made.control().reasons == ("DISABLED_BY_OPERATOR",)
    made.ask("estop")  # in MONITOR
    made = ControlSite()
    made.activate()
    made.disk.silent = True
    made.ask("estop")
    assert made.phase() is Phase.ESTOP


def test_acts_on_several_batteries_are_done_when_the_record_of_each_is_durable() -> None:
    made = ControlSite(site("bess-1", "bess-2")).ready("bess-1").ready("bess-2")
    assert made.act("disable-control")["done"] == "bess-1, bess-2: control is off"
    assert {f"{name}/disabled" for name in ("bess-1", "bess-2")} <= made.disk.facts.keys()


def test_the_verdict_on_a_map_is_cleared_with_a_record_also_where_there_is_no_control() -> None:
    made = ControlSite(site(safe=False), ready=False)
    made.run(2)
    assert made.act("reset") == {"done": "bess-1: reset"}
    (row,) = [row for row in made.disk.rows if row.event == "operator"]
    assert (row.actor, row.asset) == ("operator:anna", "bess-1")


def test_what_waits_is_shown_with_every_parameter_that_was_signed() -> None:
    made = ControlSite(site(approval="local")).ready()
    made.act("approve", id=made.command("arm"))
    power: dict[str, Any] = {"powerW": 500_000, "durationS": 14_400, "rampWPerS": 1}
    power |= {"minSoc": 0, "maxSoc": 100}
    for verb, params in (("setpoint", power), ("reserve", {"percent": 0})):
        id_ = made.command(verb, lives_s=60, **params)
        (row,) = [row for row in made.ask("pending")["pending"] if row["id"] == id_]
        assert {key: row[key] for key in params} == params
        others = {"powerW", "durationS", "rampWPerS", "minSoc", "maxSoc", "mode", "percent"}
        assert {row[key] for key in others - params.keys()} == {None}
        assert row["verb"] == verb
        assert row["expiresAt"] - row["issuedAt"] == 60_000
        assert row["signers"] == [row["issuer"]]


def test_who_acknowledges_is_shown_every_setting_and_key_that_the_digest_is_of() -> None:
    made = ControlSite(site(approval="dual"))
    shown = made.ask("commission", act="show")
    safety = made.control().safety
    assert safety is not None
    found = dataclasses.asdict(safety.settings)
    seen = {"file": "", "keys": "keys", "approval_threshold_w": "approvalThresholdW"}
    assert {seen.get(name, name) for name in found} - {""} <= shown.keys()
    keys = {one["kid"]: one for one in json.loads(json.dumps(shown["keys"]))}
    text = views.commissioning("bess-1", shown)
    assert keys.keys() == set(safety.trust.kids())
    for kid, one in keys.items():
        key = safety.trust.find(kid)
        assert key is not None
        assert one["thumbprint"] == key.thumbprint
        assert f"    {kid}: {', '.join(sorted(key.roles))}, " in text
        assert key.thumbprint in text


def test_a_test_of_another_points_map_is_shown_as_one_that_does_not_count() -> None:
    made = ControlSite()
    assert "another points map" not in views.commissioning(
        "bess-1", made.ask("commission", act="show")
    )
    proof = Proof("sha256:" + "0" * 64, made.wall_ms)
    made.disk.facts |= {key: text or "" for key, text in fact_of_sign_test("bess-1", proof).items()}
    made.power_on()
    shown = made.ask("commission", act="show")
    assert "SIGN_TEST_MISSING" in shown["reasons"]
    (line,) = [
        one
        for one in views.commissioning("bess-1", shown).splitlines()
        if "another points map: does not count" in one
    ]
    assert line.startswith("  sign test ")


def test_no_parameter_of_a_command_is_left_out_of_what_a_person_is_shown() -> None:
    claims = {"id", "gateway", "asset", "session", "challenge", "seq", "issued_ms", "expires_ms"}
    claims |= {"map_digest", "safety_digest", "verb"}  # shown beside, or checked by the gateway
    fields = {one.name for one in dataclasses.fields(Command)} - claims
    found = Command(**dict.fromkeys(claims, 0), **{name: name for name in fields})  # type: ignore[arg-type]
    assert set(found.params().values()) == fields


def test_a_bound_without_what_keeps_it_is_told_as_none() -> None:
    found = ControlSite().ask("commission", act="show")["bounds"]
    assert found == {"A": 36.25, "B": 19.0, "C": 79.25, "D": None}  # no reversion timer
    whole = shipped(MAP)
    silent = tuple(row for row in whole.points if row.role != "cmd_heartbeat")
    mute = ControlSite(site(map_ref=replace(whole, points=silent)))
    found = mute.ask("commission", act="show")["bounds"]
    assert found == {"A": 36.25, "B": None, "C": None, "D": None}
