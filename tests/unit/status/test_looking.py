"""What the control socket shows to those who only look."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import pytest

from gateway import events
from gateway.effects import Answer
from gateway.ports import Outcome, OutcomeKind
from gateway.status import looking
from tests.fixtures.sites import SITE, core, fragment, later

if TYPE_CHECKING:
    from gateway.core import Core

TWO = SITE + SITE[SITE.index("[[asset]]") :].replace("bess-1", "bess-2").replace(
    "192.0.2.10", "192.0.2.11"
)


def asked(made: Core, verb: str, user: str = "vic", /, **arguments: object) -> dict[str, Any]:
    event = events.LocalAsked(1, verb, dict(arguments), user, operator=False)
    (answer,) = [one for one in made.handle(event, later(5)) if isinstance(one, Answer)]
    shown: dict[str, Any] = json.loads(json.dumps(answer.body, default=lambda one: one()))
    return shown


def test_hello_says_who_answers_and_what_the_caller_may() -> None:
    told = asked(core(), "hello")
    assert (told["protocol"], told["gateway"]) == ("bess.local/1", "gw-17")
    assert (told["user"], told["mayAct"]) == ("vic", False)
    assert told["assets"] == ["bess-1"]
    assert told["verbs"] == sorted(looking.VERBS)


@pytest.mark.parametrize("verb", sorted(looking.VERBS))
def test_whoever_may_look_gets_an_answer_to_each_verb(verb: str) -> None:
    assert "error" not in asked(core(), verb)


@pytest.mark.parametrize("verb", ["points", "map"])
def test_where_there_are_several_the_battery_must_be_named(verb: str) -> None:
    assert asked(core(TWO), verb)["error"] == "asset None: must be one of bess-1, bess-2"
    assert asked(core(TWO), verb, asset="bess-2")["asset"] == "bess-2"
    for other in cast("list[object]", ["bess-3", [], {}, 7]):
        assert "must be one of" in asked(core(TWO), verb, asset=other)["error"]


def test_points_are_columns_of_all_that_was_read_the_unmapped_too() -> None:
    made = core()
    made.handle(fragment(later(1), AI0=500, AI999=7), later(1))
    columns = asked(made, "points")["columns"]
    assert dict(zip(columns["point"], columns["raw"], strict=True)) == {
        "AI0": 500,
        "AI999": 7,
    }
    assert {len(one) for one in columns.values()} == {2}


def test_map_has_the_rows_that_the_broker_gets() -> None:
    told = asked(core(), "map")
    assert told["digest"].startswith("sha256:")
    assert {"point", "name", "role", "unit"} <= told["points"][0].keys()


def test_health_has_polls_indications_and_why_the_map_is_doubted() -> None:
    made = core()
    made.handle(events.PollDone("bess-1", "startup", ok=True, cause="", at=later(1)), later(1))
    made.handle(events.PollDone("bess-1", "event", ok=False, cause="no", at=later(2)), later(2))
    one = asked(made, "health")["assets"]["bess-1"]
    assert one["lastOkMs"] == {"startup": later(1).unix_ms}
    assert one["failing"] == {"event": "no"}
    assert one["map"]["verdict"] == "mismatch"
    assert one["map"]["findings"]
    assert one["worries"]


def test_counters_only_rise() -> None:
    made = core()
    before = asked(made, "counters")["assets"]["bess-1"]
    made.handle(fragment(later(1), AI0=500, AI1=0), later(1))
    made.handle(events.PollDone("bess-1", "event", ok=True, cause="", at=later(2)), later(2))
    for handed_s in (0.0021, None, 0.0009):
        outcome = Outcome(OutcomeKind.SUCCESS, (), "", handed_s=handed_s)
        made.handle(events.Operated("bess-1", 1, outcome, later(3)), later(3))
    after = asked(made, "counters")["assets"]["bess-1"]
    assert (before["handedMs"], after["handedMs"]) == (0, 2.1)
    assert (before["readings"], after["readings"], after["fragments"]) == (0, 2, 1)
    assert after["polls"] == {"event": {"ok": 1, "failed": 0}}


def test_watch_shows_the_window_that_is_asked_for() -> None:
    made = core()
    made.handle(fragment(later(1), AI0=500, AI1=0, AI2=1), later(1))
    detail = asked(made, "watch", asset="bess-1", first=1, count=1)["detail"]["bess-1"]
    assert [one["point"] for one in detail["points"]] == ["AI1"]
    assert detail["matched"] == 3
    assert "error" in asked(made, "watch", first=-1)
    assert "error" in asked(made, "watch", count=True)
    assert "error" in asked(made, "watch", match=7)
    assert list(asked(core(TWO), "watch", asset="bess-2")["detail"]) == ["bess-2"]
