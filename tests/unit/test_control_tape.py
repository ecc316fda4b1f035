"""The judge of make bench-control: what it takes for power in force, and what it must notice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.bench.control import table
from tests.bench.control.measure import Run
from tests.bench.control.scenarios import BrokerKilled
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
    assert table.row(BrokerKilled, kept).endswith("| 9.50 | control | **1** |")
    assert table.violations(kept) == ["- broker-killed, bess-2: zero never came"]
