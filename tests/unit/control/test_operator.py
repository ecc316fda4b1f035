"""What an operator may ask: no question, whatever it holds, ends the core."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.control import operator
from gateway.control.watchdog.words import Phase
from tests.fixtures.control_site import ControlSite, site

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
    assert "rejected" in str(made.ask("reject", id=no)) or made.ends(no) == "rejected"
    assert "done" in made.ask("approve", id=yes)
    assert made.phase() is Phase.ARMED
    assert made.ends(no) == "rejected"
    assert "error" in made.ask("approve", id=yes)
