"""The judge of make bench-control: what it takes for power in force, and what it must notice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.bench.control import table
from tests.bench.control.measure import Run
from tests.bench.control.scenarios import BrokerKilled
from tests.bench.control.sites import MAPS, MOST, TIMES, mixed
from tests.bench.control.tape import Tape


def control(at_s: float, power_w: float, **changes: object) -> dict[str, Any]:
    made: dict[str, Any] = {
        "record": "control",
        "function": "DIRECT_OPERATE",
        "role": "cmd_power",
        "value": power_w,
        "status": 0,
        "at_mono_s": at_s,
        "mono_s": at_s,
    }
    return made | changes


def happened(record: str, at_s: float, **facts: object) -> dict[str, Any]:
    return {"record": record, "mono_s": at_s, **facts}


def tape(*records: dict[str, Any]) -> Tape:
    made = Tape(Path("unread"))
    made.take(records)
    return made


def test_an_accepted_setpoint_is_in_force_until_an_accepted_zero() -> None:
    found = tape(control(1.0, 5e5), control(9.0, 0.0))
    assert (found.at(0.5), found.at(1.0), found.at(8.9), found.at(9.0)) == (0.0, 5e5, 5e5, 0.0)
    zero = found.zero_after(5.0)
    assert zero is not None
    assert (zero.at_s, zero.why) == (9.0, "control")


def test_a_zero_that_was_refused_or_only_selected_ends_nothing() -> None:
    found = tape(
        control(1.0, 5e5), control(2.0, 0.0, status=8), control(3.0, 0.0, function="SELECT")
    )
    assert found.zero_after(1.5) is None
    assert found.now_w == 5e5


def test_a_trip_of_the_rtac_ends_a_setpoint_and_is_named() -> None:
    found = tape(control(1.0, 5e5), happened("rtac", 7.0, cause="deadman", setpoint_w=0.0))
    zero = found.zero_after(1.5)
    assert zero is not None
    assert (zero.at_s, zero.why) == (7.0, "deadman")


def test_power_that_comes_back_after_zero_is_found() -> None:
    found = tape(control(1.0, 5e5), control(2.0, 0.0), control(3.0, 5e5))
    resumed = found.power_after(2.0)
    assert resumed is not None
    assert resumed.at_s == 3.0


def test_the_last_setpoint_is_in_force_again_when_local_ends() -> None:
    found = tape(
        control(1.0, 5e5),
        happened("fault", 2.0, name="local", argument=""),
        happened("clear", 3.0, name="local"),
    )
    assert (found.at(2.5), found.at(3.0)) == (0.0, 5e5)


def test_a_restart_of_the_rtac_ends_a_setpoint() -> None:
    found = tape(control(1.0, 5e5), happened("fault", 2.0, name="restart", argument=""))
    assert found.at(2.0) == 0.0


def test_the_tape_is_read_on_as_it_grows_and_never_half_a_line(tmp_path: Path) -> None:
    file = tmp_path / "rtac.jsonl"
    file.write_text('{"record": "rtac", "cause": "deadman", "mono_s": 4.0}\n{"record": "rt')
    found = Tape(file)
    found.follow()
    assert [one.at_s for one in found.changes] == [4.0]
    with file.open("a") as more:
        more.write('ac", "cause": "reversion", "mono_s": 5.0}\n')
    found.follow()
    assert [one.why for one in found.changes] == ["deadman", "reversion"]


def test_the_table_counts_violations_and_names_them(tmp_path: Path) -> None:
    runs = [
        Run("broker-killed", "bess-1", 9.5, 14.25, "control", ""),
        Run("broker-killed", "bess-2", None, 14.25, "", "zero never came"),
    ]
    table.keep(tmp_path / "runs.csv", runs)
    kept = table.read(tmp_path / "runs.csv")
    assert kept == runs
    assert table.row(BrokerKilled, kept).endswith("| 9.50 | 4.75 | control | **1** |")
    assert table.violations(kept) == ["- broker-killed, bess-2 (direct, at once): zero never came"]


def test_zero_on_one_point_of_two_leaves_what_the_other_ordered() -> None:
    found = tape(
        control(1.0, 0.0, role="cmd_charge"),
        control(2.0, 5e5, role="cmd_discharge"),
        control(3.0, 0.0, role="cmd_charge"),
        control(4.0, 0.0, role="cmd_discharge", status=8),
        control(5.0, 0.0, role="cmd_discharge"),
        control(6.0, 3e5, role="cmd_charge"),
    )
    assert [one.power_w for one in found.changes] == [0.0, 5e5, 5e5, 0.0, -3e5]
    assert found.idles == [1.0, 4.0, 5.0]


def test_an_answer_takes_from_select_to_operate() -> None:
    found = tape(
        control(1.0, 5e5, function="SELECT"),
        control(1.2, 5e5, function="OPERATE"),
        control(9.0, 5e5, function="SELECT"),
        control(9.5, 0.0),  # it was never answered: no time of an answer
        control(9.7, 5e5, function="OPERATE"),
    )
    assert found.answer_s(after_s=0.0) == pytest.approx(0.2)
    assert found.answer_s(after_s=5.0) is None


def test_a_run_past_the_bound_at_the_measured_answer_time_is_named_and_is_no_violation_at_r() -> (
    None
):
    run = Run("k", "bess-1", 10.5, 16.25, "control", "", bound="A", seen_s=0.1, bound_at_a_s=10.45)
    assert run.past_a
    assert not replace(run, took_s=10.4).past_a
    (row,) = table.bound_rows([run])
    assert row.startswith("| A | direct | 10.50 of 16.25; 10.50 of 10.45 at 0.10; 1 runs, **1 past")
    assert table.violations([run]) == ["- k, bess-1 (direct, at once): 10.500 s, and 10.450 s at a"]


def test_each_kind_of_map_has_its_bounds_and_the_longest_answer_is_one_that_may_be() -> None:
    found = {(one.kind, one.answers): one.times(TIMES) for one in mixed(16)}
    assert len(found) == 16
    bounds_a = {kind: found[kind, "1 s"].bounds.cloud_dead_s for kind in MAPS}
    assert bounds_a == {"direct": 16.25, "SBO": 22.25, "split": 19.25, "percent": 16.25}
    assert found["percent", MOST].bounds.gateway_dead_s is None
    assert found["percent", MOST].bounds.reversion_s is not None
    for times in found.values():
        q = times.path.reads
        assert (1 + q) * times.answer_s <= times.deadman_s / 3
        assert (5 + q) * times.answer_s <= 15.0
        assert times.at(0.1).bounds.cloud_dead_s < times.bounds.cloud_dead_s
