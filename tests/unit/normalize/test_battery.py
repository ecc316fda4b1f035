"""One battery as a whole: what comes in, what it means, what goes out."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.measured import Quality, TimeQuality
from gateway.normalize.fold import Battery
from gateway.normalize.state import body
from gateway.points.layers import Verdict
from gateway.points.pointmap import raw_map
from tests.fixtures.batteries import (
    ASSET,
    COMM_LOST,
    EPOCH_MS,
    FORCED,
    ONLINE,
    TRANSFORMER,
    asset,
    at,
    battery,
    points_map,
    raw,
    row,
)

if TYPE_CHECKING:
    from gateway.points.pointmap import MapPoint
    from gateway.points.raw import RawPoint

NAMES = {"0": "idle", "1": "charging", "2": "discharging", "*": "unknown"}
ROWS: tuple[MapPoint, ...] = (
    row("AI0", "soc", scale=0.01, unit="%"),
    row("AI1", "power", unit="kW", sign="charge_positive"),
    row("AI2", "reactive_power", unit="kvar", sign="discharge_positive"),
    row("AI3", "energy_stored", unit="kWh"),
    row("AI4", "energy_capacity", unit="kWh"),
    row("AI5", "avail_charge", unit="kW"),
    row("AI6", "avail_discharge", unit="kW"),
    row("AI7", "bess_state", unit="enum", enum=NAMES),
    row("AI9", "der_heartbeat", unit="count"),
    row("AI11", "backup_reserve", scale=0.1, unit="%"),
    row("AI12", "frequency", scale=0.01, unit="Hz"),
    row("AI14", "max_charge", unit="kW"),
    row("AI15", "max_discharge", unit="kW"),
    row("AI20", None, name="status_word", bits={0: "alarm:over_temp", 4: "fault:dc_breaker"}),
    row("BI0", "local", unit="bool", invert=True),
    row("BI2", "alarm", unit="bool", name="smoke"),
    row("BI4", "estop_status", unit="bool"),
    row("CTR0", "energy_charge_total", unit="kWh", rollover=65536),
    row("DBI0", "breaker", unit="bool"),
)
VALUES: tuple[RawPoint, ...] = (
    raw("AI0", 6340),
    raw("AI1", 750),
    raw("AI2", 12),
    raw("AI3", 5072),
    raw("AI4", 8000),
    raw("AI5", 1000),
    raw("AI6", 1100),
    raw("AI7", 1),
    raw("AI9", 1),
    raw("AI11", 100),
    raw("AI12", 6001),
    raw("AI14", 1400),
    raw("AI15", 1900),
    raw("AI20", 0),
    raw("BI0", 1),
    raw("BI2", 0),
    raw("BI4", 0),
    raw("CTR0", 65_500),
    raw("DBI0", 2),
)


def test_a_whole_map_becomes_the_state_of_the_specification() -> None:
    found = body(battery(ROWS, VALUES).state(at(0)))
    fields, enrichment = found.pop("fields"), found.pop("enrichment")
    assert found == {
        "chargePercentage": 63.4,
        "charge": 5072000,
        "chargeRate": -750000,
        "chargingState": "charging",
        "backupReserve": 10,
        "maxChargeRate": 1400000,
        "maxDischargeRate": 1800000,
        "availableChargeRate": 1000000,
        "availableDischargeRate": 1100000,
        "capacity": 8000000,
        "operatingMode": None,
        "controlState": "MONITOR",
        "controlAuthority": "remote",
    }
    assert enrichment == {
        "reactivePower": 12000,
        "frequency": 60.01,
        "breakerClosed": True,
        "energyChargeTotal": 65500000,
        "timeQuality": "synced",
        "faults": [],
        "alarms": [],
    }
    assert isinstance(fields, dict)
    assert fields["chargePercentage"] == {
        "quality": "good",
        "observedAt": "2026-11-22T05:10:00.000Z",
        "source": "AI0",
    }
    assert fields["operatingMode"] == {"quality": "missing", "observedAt": None, "source": None}
    assert fields["maxDischargeRate"]["source"] == "configured"
    assert fields["frequency"]["quality"] == "good"


def test_a_map_without_roles_leaves_only_what_the_site_configured() -> None:
    found = Battery(raw_map(), asset(backup_reserve_pct=10.0))
    found.fold(VALUES, at(0))
    state = found.state(at(0))
    sent = body(state)
    given_by_site = {
        "backupReserve": 10,
        "maxChargeRate": 1500000,
        "maxDischargeRate": 1800000,
        "capacity": 8000000,
        "controlState": "MONITOR",
    }
    kept = {name: value for name, value in sent.items() if name not in {"fields", "enrichment"}}
    assert {name: value for name, value in kept.items() if value is not None} == given_by_site
    assert state.quality is Quality.MISSING
    assert state.capacity_wh is not None
    assert (state.capacity_wh.source, state.capacity_wh.quality) == ("configured", Quality.DERIVED)
    assert len(found.raw_points()) == len(VALUES)


def test_nothing_received_yet_is_missing_and_never_zero() -> None:
    sent = body(battery(ROWS).state(at(0)))
    for name in (
        "chargePercentage",
        "charge",
        "chargeRate",
        "chargingState",
        "availableChargeRate",
    ):
        assert sent[name] is None


@pytest.mark.parametrize("flags", [0x00, COMM_LOST, 0x03, 0x21])
def test_bad_flags_publish_null_and_say_bad(flags: int) -> None:
    found = battery(ROWS[:2], [raw("AI0", 6340, flags=flags)])
    state = found.state(at(0))
    sent = body(state)
    assert sent["chargePercentage"] is None
    assert state.charge_pct is not None
    assert (state.charge_pct.value, state.charge_pct.quality) == (63.4, Quality.BAD)
    assert state.quality is Quality.MISSING


def test_forced_values_are_used_but_questionable() -> None:
    state = battery(ROWS[:2], [raw("AI0", 6340, flags=FORCED)]).state(at(0))
    assert state.charge_pct is not None
    assert (state.charge_pct.value, state.charge_pct.quality) == (63.4, Quality.QUESTIONABLE)


def test_a_value_that_scales_beyond_all_numbers_is_bad() -> None:
    found = battery(ROWS, [raw("AI1", 1.7e308)])
    power = found.value("power", at(0))
    assert power is not None
    assert (power.value, power.quality) == (0.0, Quality.BAD)


def test_a_point_without_flags_is_good() -> None:
    state = battery(ROWS[:2], [raw("AI0", 6340, flags=None)]).state(at(0))
    assert state.charge_pct is not None
    assert state.charge_pct.quality is Quality.GOOD


def test_the_nameplate_point_gives_capacity_where_no_other_does() -> None:
    rated = row("AI40", None, name="rated_energy", unit="MWh")
    state = battery([rated], [raw("AI40", 7)], nameplate="rated_energy").state(at(0))
    assert state.capacity_wh is not None
    assert (state.capacity_wh.value, state.capacity_wh.source) == (7e6, "AI40")


def test_powers_of_several_inverters_are_summed() -> None:
    rows = [
        row("AI30", "inverter_power", name="inv_1", unit="kW", sign="discharge_positive"),
        row("AI31", "inverter_power", name="inv_2", unit="kW", sign="charge_positive"),
    ]
    state = battery(rows, [raw("AI30", 500), raw("AI31", 200)]).state(at(0))
    assert state.charge_rate_w is not None
    assert state.charge_rate_w.value == 300e3
    assert state.charging_state is not None
    assert state.charging_state.value == "discharging"


# --- staleness ---------------------------------------------------------------------------


def test_a_stale_value_is_still_used_but_marked() -> None:
    found = battery(ROWS[:2], [raw("AI0", 6340), raw("AI1", 750)])
    assert found.state(at(14.9)).quality is not Quality.STALE
    state = found.state(at(15))
    assert state.charge_pct is not None
    assert (state.charge_pct.value, state.charge_pct.quality) == (63.4, Quality.STALE)
    assert state.quality is Quality.STALE
    assert body(state)["chargePercentage"] == 63.4


def test_a_lost_session_lets_time_run() -> None:
    found = battery(ROWS[:2], [raw("AI1", 750)])
    found.session(up=False, now=at(5))
    power = found.value("power", at(15))
    assert power is not None
    assert power.quality is Quality.STALE


def test_a_failed_poll_covers_nothing() -> None:
    found = battery(ROWS[:2], [raw("AI1", 750, event=True)])
    found.polled("event", ok=False, now=at(14))
    assert found.state(at(15)).charge_rate_w.quality is Quality.STALE  # type: ignore[union-attr] # received above
    found.polled("event", ok=True, now=at(16))
    assert found.state(at(17)).charge_rate_w.quality is Quality.GOOD  # type: ignore[union-attr] # received above


def test_a_frozen_heartbeat_makes_every_point_stale_and_raises_an_alarm() -> None:
    found = battery(ROWS, VALUES)
    for second in (5, 10, 15):
        found.fold([raw(one.point, one.value, second=second) for one in VALUES], at(second))
    state = found.state(at(15))
    for measured in (state.charge_pct, state.max_charge_w, state.enrichment["frequency"]):
        assert measured is not None
        assert measured.quality is Quality.STALE
    assert [alarm.code for alarm in state.alarms] == ["rtac_logic_dead"]
    found.fold([raw("AI9", 2, second=16)], at(16))
    assert [(one.code, one.raised) for one in found.changes(at(16))] == [
        ("rtac_logic_dead", True),
        ("rtac_logic_dead", False),
    ]
    assert found.state(at(16)).quality is Quality.GOOD


def test_a_bad_heartbeat_does_not_count_as_a_beat() -> None:
    found = battery(ROWS, VALUES)
    for second in range(1, 20):
        found.fold([raw("AI9", second + 1, second=second, flags=COMM_LOST)], at(second))
    assert "rtac_logic_dead" in [alarm.code for alarm in found.state(at(19)).alarms]


def test_a_suspect_map_makes_readings_questionable_until_it_is_cleared() -> None:
    found = battery(ROWS, VALUES)
    found.suspect(Verdict.SUSPECT)
    state = found.state(at(0))
    assert state.quality is Quality.QUESTIONABLE
    assert state.enrichment["frequency"].quality is Quality.QUESTIONABLE
    assert found.value("power", at(0)).quality is Quality.QUESTIONABLE  # type: ignore[union-attr] # received above
    found.suspect(Verdict.OK)
    assert found.state(at(0)).quality is Quality.GOOD


def test_the_mode_that_is_enabled_is_the_operating_mode() -> None:
    mode = row("BI70", "mode_enabled", name="charge_discharge", unit="bool")
    found = battery([mode], [raw("BI70", 1)])
    assert body(found.state(at(0)))["operatingMode"] == "charge_discharge"
    found.fold([raw("BI70", 0, second=1)], at(1))
    assert body(found.state(at(1)))["operatingMode"] == "none"


def test_an_undetermined_double_bit_point_is_bad() -> None:
    found = battery(ROWS, VALUES)
    for value, published in ((0, None), (1, False), (2, True), (3, None)):
        found.fold([raw("DBI0", value)], at(1))
        enrichment = body(found.state(at(1)))["enrichment"]
        assert isinstance(enrichment, dict)
        assert enrichment["breakerClosed"] is published


# --- alarms, conflicts, transformer, counters --------------------------------------------


def test_an_alarm_that_comes_and_goes_within_one_fragment_is_reported_twice() -> None:
    found = battery(ROWS, VALUES)
    found.fold([raw("BI2", 1, second=1, event=True), raw("BI2", 0, second=2, event=True)], at(3))
    raised, cleared = found.changes(at(3))
    assert (raised.code, raised.raised, raised.point, raised.at_ms) == (
        "smoke",
        True,
        "BI2",
        EPOCH_MS + 1000,
    )
    assert (cleared.code, cleared.raised) == ("smoke", False)
    assert found.changes(at(3)) == ()


def test_active_alarms_and_faults_are_in_the_message_with_their_time() -> None:
    found = battery(ROWS, VALUES)
    found.fold([raw("BI4", 1, second=1), raw("AI20", 0b10001, second=2)], at(2))
    enrichment = body(found.state(at(3)))["enrichment"]
    assert isinstance(enrichment, dict)
    assert enrichment["alarms"] == [
        {"code": "estop_status", "since": "2026-11-22T05:10:01.000Z", "priority": "critical"},
        {"code": "over_temp", "since": "2026-11-22T05:10:02.000Z", "priority": "warning"},
    ]
    assert enrichment["faults"] == [
        {"code": "dc_breaker", "since": "2026-11-22T05:10:02.000Z", "priority": "critical"}
    ]
    found.fold([raw("AI20", 0b10000, second=4)], at(4))
    assert [alarm.code for alarm in found.state(at(4)).alarms] == ["estop_status"]


def test_an_alarm_point_that_turns_bad_neither_raises_nor_clears() -> None:
    found = battery(ROWS, VALUES)
    found.fold([raw("BI2", 1, second=1)], at(1))
    found.changes(at(1))
    found.fold([raw("BI2", 0, second=2, flags=COMM_LOST)], at(2))
    assert found.changes(at(2)) == ()
    assert [alarm.code for alarm in found.state(at(2)).alarms] == ["smoke"]


def test_a_state_point_that_contradicts_power_is_kept_but_questionable_after_ten_seconds() -> None:
    rows = [one for one in ROWS if one.role != "der_heartbeat"]
    found = battery(rows, VALUES)
    for second, state, quality in [
        (1, 0, Quality.GOOD),
        (6, 0, Quality.GOOD),
        (10.9, 0, Quality.GOOD),
        (11, 0, Quality.QUESTIONABLE),
        (12, 1, Quality.GOOD),
    ]:
        found.fold([raw("AI7", state, second=second), raw("AI1", 750, second=second)], at(second))
        told = found.state(at(second)).charging_state
        assert told is not None
        assert (told.value, told.quality) == (NAMES[str(state)], quality), f"at {second} s"
    codes = [(one.code, one.raised) for one in found.changes(at(12))]
    assert codes == [("state_power_conflict", True), ("state_power_conflict", False)]


def test_a_stale_state_accuses_nobody() -> None:
    """The state point is not read any more and is stale from 15 s; power goes on."""
    rows = [row("AI1", "power", unit="kW", sign="charge_positive"), ROWS[7]]
    found = battery(rows, [raw("AI1", 750), raw("AI7", 1)])
    for second in range(1, 60):
        power_kw = 750 if second < 16 else 0
        found.fold([raw("AI1", power_kw, second=second)], at(second))
        found.state(at(second))
    assert found.changes(at(60)) == ()


def test_transformer_loading_is_published_and_alarmed_with_hysteresis() -> None:
    rows = [
        row("AI1", "power", unit="kW", sign="discharge_positive"),
        row("AI2", "reactive_power", unit="kvar", sign="discharge_positive"),
    ]
    found = battery(rows, settings=asset(transformer=TRANSFORMER))
    seen = []
    for second, power_kw in enumerate((700, 820, 760, 1010, 960, 940, 740)):
        found.fold([raw("AI1", power_kw, second=second), raw("AI2", 0, second=second)], at(second))
        loading = found.state(at(second)).enrichment["transformerLoading"]
        assert loading.value == pytest.approx(power_kw / 10)
        assert loading.quality is Quality.DERIVED
        seen += [(second, one.code, one.raised) for one in found.changes(at(second))]
    assert seen == [
        (1, "transformer_load_warn", True),
        (3, "transformer_load_alarm", True),
        (5, "transformer_load_alarm", False),
        (6, "transformer_load_warn", False),
    ]


def test_loading_without_reactive_power_is_a_questionable_lower_bound() -> None:
    rows = [row("AI1", "power", unit="kW", sign="discharge_positive")]
    found = battery(rows, [raw("AI1", 500)], settings=asset(transformer=TRANSFORMER))
    assert found.state(at(0)).enrichment["transformerLoading"].quality is Quality.QUESTIONABLE


def test_loading_is_taken_at_the_point_of_interconnection_where_that_is_mapped() -> None:
    rows = [
        row("AI1", "power", unit="kW", sign="discharge_positive"),
        row("AI50", "poi_power", unit="kW", sign="discharge_positive"),
        row("AI51", "poi_reactive", unit="kvar", sign="discharge_positive"),
    ]
    values = [raw("AI1", 900), raw("AI50", 300), raw("AI51", -400)]
    found = battery(rows, values, settings=asset(transformer=TRANSFORMER))
    assert found.state(at(0)).enrichment["transformerLoading"].value == 50.0


def test_a_lifetime_counter_goes_on_through_rollover_and_never_feeds_charge() -> None:
    counter = row("CTR0", "energy_charge_total", unit="kWh", rollover=65536)
    found = battery([counter], [raw("CTR0", 65_500)])
    found.fold([raw("CTR0", 10, second=300)], at(300))
    state = found.state(at(300))
    total = state.enrichment["energyChargeTotal"]
    assert (total.value, total.quality) == (65_546e3, Quality.DERIVED)
    assert state.charge_wh is None
    assert found.changes(at(300)) == ()


def test_a_reset_counter_is_announced() -> None:
    counter = row("CTR0", "energy_charge_total", unit="kWh", rollover=65536)
    found = battery([counter], [raw("CTR0", 30_000)])
    found.fold([raw("CTR0", 0, second=300)], at(300))
    (change,) = found.changes(at(300))
    assert (change.code, change.severity) == ("counter_reset", "info")
    assert found.state(at(300)).alarms == ()


def test_a_discontinuous_counter_counts_anew() -> None:
    counter = row("CTR0", "energy_charge_total", unit="kWh")
    found = battery([counter], [raw("CTR0", 30_000)])
    found.fold([raw("CTR0", 30_100, second=300, flags=0x41)], at(300))
    assert found.state(at(300)).enrichment["energyChargeTotal"].value == 30_000e3


# --- time, core's state --------------------------------------------------------------------


def test_values_are_observed_at_the_outstations_time_and_the_worst_time_quality_is_told() -> None:
    found = battery(ROWS, VALUES)
    late = raw("AI0", 6400, second=-30, event=True, tq=TimeQuality.SKEWED)
    found.fold([late], at(1))
    state = found.state(at(1))
    assert state.charge_pct is not None
    assert state.charge_pct.at_ms == EPOCH_MS - 30_000
    assert state.time_quality is TimeQuality.SKEWED
    assert state.observed_ms == EPOCH_MS


def test_the_watchdogs_phase_is_shown_since_it_began() -> None:
    found = battery(ROWS, VALUES)
    found.controlled("IDLE", at(1))
    found.controlled("IDLE", at(9))
    state = found.state(at(9)).control_state
    assert state is not None
    assert (state.value, state.at_ms) == ("IDLE", EPOCH_MS + 1000)


def test_a_reading_is_found_by_its_point_with_and_without_a_role() -> None:
    found = battery(ROWS, VALUES)
    assert found.reading("AI20", at(0)) is not None
    assert found.reading("AI999", at(0)) is None
    assert found.value("soh", at(0)) is None


def test_a_soc_window_ends_what_is_available() -> None:
    rows = ROWS[:1]
    found = Battery(points_map(*rows), ASSET, soc_window_pct=(10.0, 95.0))
    for raw_soc, charge_w, discharge_w in [
        (950, 1.5e6, 0.0),
        (9500, 0.0, 1.8e6),
        (5000, 1.5e6, 1.8e6),
    ]:
        found.fold([raw("AI0", raw_soc)], at(0))
        state = found.state(at(0))
        assert state.available_charge_w is not None
        assert state.available_discharge_w is not None
        assert (state.available_charge_w.value, state.available_discharge_w.value) == (
            charge_w,
            discharge_w,
        )


# --- whatever the outstation sends -----------------------------------------------------------

POINTS = st.sampled_from([one.point for one in ROWS] + ["AI4000", "OS1"])
RAW_VALUES = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.integers(-(2**63), 2**64),
    st.sampled_from([math.nan, math.inf, -math.inf, 1.7e308, -1.7e308, 5e-324, 0, 1, 2, 3]),
    st.text(max_size=12),
)
UPDATES = st.builds(
    lambda point, value, flags, second, event: raw(
        point, value, flags=flags, second=second, event=event
    ),
    POINTS,
    RAW_VALUES,
    st.none() | st.integers(0, 255),
    st.floats(0, 1e6),
    st.booleans(),
)


def numbers(tree: object) -> list[float]:
    if isinstance(tree, dict):
        return [number for value in tree.values() for number in numbers(value)]
    if isinstance(tree, list):
        return [number for value in tree for number in numbers(value)]
    return [tree] if isinstance(tree, float) else []


@given(st.lists(st.lists(UPDATES, max_size=8), max_size=6), st.floats(0, 1e5))
def test_no_input_raises_or_puts_nonsense_into_the_message(
    fragments: list[list[RawPoint]], second: float
) -> None:
    found = Battery(points_map(*ROWS), asset(transformer=TRANSFORMER))
    for fragment in fragments:
        found.fold(fragment, at(second))
        found.changes(at(second))
        sent = body(found.state(at(second)))
        assert all(math.isfinite(number) for number in numbers(sent))
        json.dumps(sent, allow_nan=False)
        second += 7.0
    for name in ("maxChargeRate", "maxDischargeRate", "availableChargeRate"):
        value = body(found.state(at(second)))[name]
        assert value is None or (isinstance(value, int | float) and value >= 0)


@given(
    st.dictionaries(
        st.sampled_from(["AI0", "AI1", "AI3", "AI4", "AI7"]),
        st.tuples(st.integers(0, 10_000), st.sampled_from([ONLINE, COMM_LOST, FORCED, None])),
    ),
    st.floats(0, 2000),
)
def test_quality_is_never_better_than_that_of_the_inputs(
    values: dict[str, tuple[int, int | None]], second: float
) -> None:
    rows = [one for one in ROWS if one.role != "der_heartbeat"]
    found = battery(
        rows, [raw(point, value, flags=flags) for point, (value, flags) in values.items()]
    )
    state = found.state(at(second))
    for measured in (state.charge_pct, state.charge_wh, state.charge_rate_w, state.charging_state):
        if measured is None:
            continue
        for point in measured.source.removeprefix("derived:").split(","):
            if point != "configured":
                used = found.reading(point, at(second))
                assert used is not None
                assert measured.quality >= used.quality
        assert not measured.source.startswith("derived:") or measured.quality >= Quality.DERIVED
