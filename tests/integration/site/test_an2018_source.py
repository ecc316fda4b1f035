"""The shipped AN2018 map says of each point what the public profile says of it.

``tests/fixtures/an2018.jsonl`` are the 825 points of the profile, as VOLTTRON lists them
(github.com/VOLTTRON/volttron, services/core/DNP3Agent/dnp3/mesa_points.config, Apache-2.0).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gateway.control.execution.switching import switched
from gateway.normalize.fold import Battery
from gateway.points.encode import VARIATIONS
from gateway.points.layers import Evidence, identity
from gateway.ports import Control, CrobOp
from gateway.site.maps import load_maps, map_folders
from tests.fixtures.batteries import asset, at, raw

if TYPE_CHECKING:
    from gateway.points.mappoint import MapPoint

FILE = Path(__file__).parents[2] / "fixtures" / "an2018.jsonl"
PROFILE: dict[str, dict[str, Any]] = {
    line["point"]: line for line in map(json.loads, FILE.read_text("utf-8").splitlines())
}
MAP = next(m for m in load_maps([map_folders()[0]]) if m.ref == "an2018-storage@1.0.0")
# Of inverters and batteries by number: the profile repeats them beyond its list.
REPEATED = {"AI897", "AI960"}
UNITS = {
    "Watts": {"W"},
    "VARs": {"var"},
    "Percent": {"%"},
    "Percent per Second": {"%"},
    "Seconds": {"s"},
    "Volts": {"V"},
    "Amp-hrs or Watt-hrs": {"Wh"},
    None: {"count", "bool"},
}
# What the profile's sentence must hold, where a role depends on which of two like points it is.
MEANS = {
    "soc": "percentage of Nameplate Storage Usable Capacity",
    "soc_actual": "percentage of Storage Effective Actual Capacity",
    "energy_capacity": "Storage Usable Energy Capacity",
    "max_discharge": "Maximum Active Generation Power",
    "max_charge": "Maximum Active Charging Power",
    "avail_discharge": "Available Active Generation Power",
    "avail_charge": "Available Active Charging Power",
    "power": "System Meter Active Power",
    "reactive_power": "System Meter Reactive Power",
    "backup_reserve": "Minimum Reserve for Storage",
    "is_charging": "Connected and Charging",
    "is_discharging": "Connected and Generating",
    "is_idle": "Connected and Idle",
    "local": "Local State",
    "lockout": "Lockout State",
    "stopped": "Stopped (Cease to Energize)",
    "comm_error": "Communication Error",
    "breaker": "Switch Closed",
    "mode_enabled": "Charge/Discharge Enabled",
    "profile_version": "Profile Version",
    "cmd_power": "Active Power Target",
    "cmd_reversion_s": "Reversion Timeout",
    "cmd_reserve": "Minimum Reserve for Storage",
    "cmd_lockout": "Lockout State",
    "cmd_stop": "Execute Stop",
    "cmd_disconnect": "Connect/Disconnect Switch",
    "cmd_mode_enable": "Enable Charge/Discharge Mode",
}


def test_the_profile_is_whole() -> None:
    assert len(PROFILE) == 825


@pytest.mark.parametrize("row", MAP.points, ids=lambda row: row.point)
def test_a_point_of_the_map_is_as_the_profile_has_it(row: MapPoint) -> None:
    if row.point in REPEATED:
        assert row.point not in PROFILE
        return
    said = PROFILE[row.point]
    assert abs(row.scale) == said.get("scale", 1.0)
    assert row.unit in UNITS[said.get("unit")]
    assert MEANS.get(row.role or "", "") in said["says"]
    # Charging is negative in the list, and a magnitude here.
    assert (row.scale < 0) == (said.get("max") == 0)
    most = said.get("max")
    if row.max is not None and most:
        assert row.max / row.step <= most
    if row.variation is not None and most is not None:
        assert VARIATIONS[row.variation][1] >= most
    if row.min is not None:
        assert row.min / row.step >= said.get("min", row.min / row.step)


def test_each_role_whose_points_are_easily_mistaken_is_compared() -> None:
    assert {row.role for row in MAP.points if row.role is not None} - {"dc_voltage"} == set(MEANS)


def test_a_binary_that_means_something_is_the_right_way_round() -> None:
    """0 is what the profile calls normal, null, open, disabled; nothing here is inverted."""
    for row in MAP.points:
        if row.role is not None and "values" in PROFILE.get(row.point, {}) and row.unit == "bool":
            zero = PROFILE[row.point]["values"]["0"]
            assert any(
                word in zero.casefold()
                for word in ("normal", "not", "null", "open", "disable", "no change")
            ), (row.point, zero)
            assert row.invert == (row.point == "BO5")


def test_the_switch_is_opened_by_0_and_never_pulsed() -> None:
    assert PROFILE["BO5"]["values"] == {"0": "Open Switch", "1": "Close Switch"}
    row = MAP.by_point["BO5"]
    assert row.role == "cmd_disconnect"
    assert switched(row, on=True) == Control("BO5", CrobOp.LATCH_OFF)


def test_the_energy_of_a_usable_state_of_charge_is_of_the_usable_capacity() -> None:
    """8 MWh in all, 7.2 of them usable, and full: 7.2 MWh are stored for use."""
    battery = Battery(MAP, asset(capacity_wh=8_000_000.0))
    points = {"AI16": 8_000_000, "AI17": 8_000_000, "AI18": 7_200_000, "AI47": 950, "AI48": 1000}
    battery.fold([raw(*pair) for pair in points.items()], at(0))
    state = battery.state(at(1))
    assert state.charge_wh is not None
    assert (state.charge_wh.value, state.charge_wh.source) == (7_200_000.0, "derived:AI48,AI18")


def test_a_device_that_counts_in_ampere_hours_is_told_with_the_reason() -> None:
    evidence = Evidence(MAP, asset(), {"BI27": raw("BI27", 0)})
    (finding,) = identity(evidence)
    assert finding.severity == "critical"
    assert finding.text == (
        "capacity_in_wh is False: the map is for True: energy is in Ah, as BI27 says: "
        "this map reads Wh"
    )
    assert not list(identity(Evidence(MAP, asset(), {"BI27": raw("BI27", 1)})))


DIGESTS = {
    "example-bess-a@A": "dac9bb61efdef2ba9426aa636674c908658a199162e5acf3db71e858871a9b45",
    "example-bess-b@B": "9c75fbf16f614e37ead419ca8d12807cb23785c58187e78de8a785d03330ce69",
    "raw@1.0.0": "4c3558ae73cea675a3b6bff359894f9e7082a05b87a1385ef3361717ed253143",
    "generic-rtac@1.0.0": "7c7af0a84cf0c87856d381749312a9e7698d3493927e3efa9013028217a86cda",
}


def test_the_digest_of_a_shipped_map_changes_only_with_its_meaning() -> None:
    """Each site that uses it would have to be commissioned again."""
    found = {each.ref: each.digest for each in load_maps([map_folders()[0]])}
    assert {ref: found[ref] for ref in DIGESTS} == {
        ref: f"sha256:{digest}" for ref, digest in DIGESTS.items()
    }
