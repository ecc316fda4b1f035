"""What `status` calls degraded about control: which, what to do, since when, by whom."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from gateway.cli.views import control_lines
from gateway.clock import local_time
from gateway.control.phases import Phase
from gateway.control.troubles import TROUBLES
from tests.fixtures.commands import GUARD
from tests.fixtures.control_site import ControlSite
from tests.fixtures.execution import refused

MAN = Path(__file__).parents[3] / "packaging" / "man" / "bess-gateway.8"


def reasons(made: ControlSite) -> list[str]:
    return [str(one) for one in made.core_status()["reasons"]]


def only(made: ControlSite, title: str) -> str:
    (found,) = [one for one in reasons(made) if one.startswith(f"bess-1: {title}")]
    return found


def headings() -> list[str]:
    """Of WHEN STATUS SAYS, as they read on a terminal."""
    text = MAN.read_text().partition(".SH WHEN STATUS SAYS")[2].partition(".SS status")[0]
    found = re.findall(r"^\.TP\n\.B (.*)", text, re.MULTILINE)
    return [re.sub(r"\\[&|]", "", one).replace("\\-", "-") for one in found]


@pytest.mark.parametrize("title", [one.title for one in TROUBLES])
def test_each_trouble_has_its_entry_and_its_remedy_in_the_man_page(title: str) -> None:
    assert any(one.startswith(title.replace("`", "")) for one in headings())


def test_zero_that_is_refused_shows_at_once_and_until_it_is_verified() -> None:
    made = ControlSite()
    made.activate()
    made.rtac.refuses_zero, made.plant.refused = True, refused(9)
    made.command("idle")
    made.run(1)
    assert made.phase() is Phase.IDLING
    assert "zero is refused with " in only(made, "zero is refused")
    assert "it is ordered again until it is verified; since 20" in only(made, "zero is refused")
    made.rtac.refuses_zero, made.plant.refused = False, None
    made.until(lambda: made.phase() is Phase.IDLE)
    assert not [one for one in reasons(made) if "refused" in one]


def test_a_critical_fault_of_the_battery_makes_status_degraded() -> None:
    made = ControlSite().ready()
    assert made.core_status()["reasons"] == []
    made.plant.fault = True
    made.run(10)
    (found,) = [one for one in reasons(made) if "critical fault" in one]
    assert "look at the battery; since 20" in found
    made.plant.fault = False
    made.run(10)
    assert not [one for one in reasons(made) if "critical" in one]


def test_since_when_stays_the_same_as_long_as_it_lasts_and_over_a_restart() -> None:
    made = ControlSite().ready()
    began = local_time(made.now().unix_ms)
    made.ask("estop")
    first = only(made, "ESTOP")
    assert first.endswith(f"; since {began}, by operator:anna")
    made.run(60)
    assert only(made, "ESTOP") == first
    made.power_on()
    made.run(30)
    assert only(made, "ESTOP").partition("; since ")[2] == first.partition("; since ")[2]


def test_who_ordered_the_first_stop_of_the_cloud_is_said() -> None:
    made = ControlSite().ready()
    made.command("estop", GUARD)
    assert only(made, "ESTOP").endswith(", by guard-1")
    made.ask("estop")
    assert only(made, "ESTOP").endswith(", by guard-1"), "it was stopped already"
    made.act("reset", asset="bess-1")
    made.until(lambda: made.phase() is Phase.IDLE)
    made.ask("estop")
    assert only(made, "ESTOP").endswith(", by operator:anna")


@pytest.mark.parametrize(
    "kept",
    [
        {"phase": "LATCHED", "stopOwed": False},
        {"phase": "LATCHED", "stopOwed": False, "sinceMs": True, "by": 7},
    ],
)
def test_what_an_older_version_kept_counts_from_the_start(kept: dict[str, object]) -> None:
    made = ControlSite().ready()
    made.disk.facts["bess-1/phase"] = json.dumps(kept)
    made.power_on()
    began = local_time(made.now().unix_ms)
    made.run(30)
    assert only(made, "LATCHED").endswith(f"since {began}")


def test_a_trouble_that_comes_again_counts_anew() -> None:
    made = ControlSite()
    made.activate()
    made.cut()
    made.until(lambda: made.phase() is Phase.BLIND)
    first = only(made, "something is in force without a dispatch")
    made.mend()
    made.until(lambda: made.phase() is Phase.IDLE)
    made.run(20)
    assert reasons(made) == []
    made.run(40)
    made.activate()
    made.cut()
    made.until(lambda: made.phase() is Phase.BLIND)
    assert only(made, "something is in force without a dispatch") != first


def test_who_disabled_control_is_said() -> None:
    made = ControlSite().ready()
    made.act("disable-control", asset="bess-1")
    control = made.core_status()["assets"]["bess-1"]["control"]
    assert control["disabledBy"] == "anna"
    assert ", disabled by anna, " in control_lines(control)[0]
    made.act("enable-control", asset="bess-1")
    control = made.core_status()["assets"]["bess-1"]["control"]
    assert control["disabledBy"] is None
    assert "disabled by" not in control_lines(control)[0]
