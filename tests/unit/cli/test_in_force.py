"""What ``audit in-force`` reads in the facts of control.db."""

from __future__ import annotations

import json

import pytest

from gateway.cli.in_force import told
from gateway.clock import Now
from gateway.control.commands.spent import fact_of_begun, fact_of_over
from tests.fixtures.control_site import ControlSite

NOW = Now(mono_s=100.0, unix_ms=1_790_000_000_000)


def facts() -> dict[str, str]:
    """Of a battery under a dispatch of 500 kW."""
    made = ControlSite()
    made.activate()
    return dict(made.disk.facts)


def only(kept: dict[str, str | None]) -> dict[str, str]:
    return {key: value for key, value in kept.items() if value is not None}


def test_a_dispatch_is_named_with_its_setpoint_and_its_endpoint() -> None:
    where = "at 192.0.2.10:20000, outstation 11, master 1"
    assert told(facts()) == {"bess-1": f"500000 W {where}"}
    body = json.loads(facts()["bess-1/in-force"]) | {"setpoint_w": None}
    assert told({"bess-1/in-force": json.dumps(body)}) == {
        "bess-1": f"a mode, a reserve or an unknown setpoint {where}"
    }


def test_what_was_declared_gone_is_not_in_force() -> None:
    body = json.loads(facts()["bess-1/in-force"]) | {"declared": "oona: seen"}
    assert told({"bess-1/in-force": json.dumps(body)}) == {}


@pytest.mark.parametrize("text", ["", "{}", "null", '{"rows": 1}'])
def test_what_cannot_be_read_is_in_force(text: str) -> None:
    assert told({"bess-2/in-force": text}) == {"bess-2": "something that cannot be read"}


def test_a_command_that_an_older_version_left_open_is_in_force_and_one_that_is_over_is_not() -> (
    None
):
    begun = only(fact_of_begun("bess-1", "c-1", "ops-1", seq=1, power_w=400_000, now=NOW))
    assert told(begun) == {"bess-1": "something that cannot be read"}
    assert told(only(fact_of_over("bess-1", "c-1", NOW))) == {}


def test_a_latch_alone_is_nothing_in_force() -> None:
    assert told({"bess-1/phase": "LATCHED", "latched": "no"}) == {}
