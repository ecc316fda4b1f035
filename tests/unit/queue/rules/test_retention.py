"""How much may wait and what goes first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.clock import Now
from gateway.queue.rules.retention import HEADROOM, Ageing, Space, budget, slack, thin
from gateway.queue.rules.rows import RowPlace

GIB = 1 << 30
YEAR_2026_MS = 1_795_324_200_000


def place(key: int, asset: str = "a") -> RowPlace:
    return RowPlace(key, asset, key, 1, 100, "E", 0)


def test_the_log_has_its_room_inside_the_size_limit() -> None:
    free = Space(100 * GIB, 200 * GIB)
    assert (
        budget(max_size=GIB, file_bytes=0, log_bytes=0, used_bytes=0, space=free) == GIB - HEADROOM
    )


def test_the_file_does_not_grow_into_the_reserve() -> None:
    tight = Space(free_bytes=6 * GIB, disk_bytes=100 * GIB)
    allowed = budget(max_size=50 * GIB, file_bytes=GIB, log_bytes=0, used_bytes=GIB, space=tight)
    assert allowed == GIB + 6 * GIB - 5 * GIB - HEADROOM - GIB


def test_a_disk_that_others_filled_costs_nothing_that_waits() -> None:
    full = Space(free_bytes=0, disk_bytes=100 * GIB)
    assert budget(max_size=50 * GIB, file_bytes=GIB, log_bytes=0, used_bytes=GIB, space=full) == GIB


def test_dropping_goes_a_hundredth_below_the_limit() -> None:
    assert slack(GIB) == GIB // 100
    assert slack(1000) == 64 << 10


def test_thinning_keeps_the_newest_of_each_asset() -> None:
    rows = [place(1), place(2, "b"), place(3), place(4), place(5, "b"), place(6, "c")]
    assert [row.key for row in thin(rows)] == [2, 3]


@given(st.lists(st.sampled_from("abc"), max_size=60))
def test_thinning_again_and_again_ends_with_one_row_of_each_asset(assets: list[str]) -> None:
    rows = [place(key, asset) for key, asset in enumerate(assets)]
    while going := thin(rows):
        rows = [row for row in rows if row not in going]
    newest = {asset: key for key, asset in enumerate(assets)}
    assert {row.asset: row.key for row in rows} == newest
    assert len(rows) == len(newest)


def test_age_runs_with_the_monotonic_clock_only() -> None:
    ageing = Ageing.resume(aged_s=100, wall_ms=YEAR_2026_MS, now=Now(10.0, YEAR_2026_MS))
    assert ageing.read(Now(15.0, YEAR_2026_MS + 3_600_000_000)) == 105
    assert ageing.read(Now(16.0, 0)) == 106


def test_age_goes_on_over_a_restart() -> None:
    ageing = Ageing.resume(aged_s=100, wall_ms=YEAR_2026_MS, now=Now(1.0, YEAR_2026_MS + 60_000))
    assert ageing.read(Now(1.0, 0)) == 160


def test_a_clock_that_was_never_set_ages_nothing() -> None:
    woke_in_1970 = Ageing.resume(aged_s=100, wall_ms=YEAR_2026_MS, now=Now(1.0, 5000))
    assert woke_in_1970.read(Now(1.0, 5000)) == 100
    corrected = Ageing.resume(aged_s=100, wall_ms=5000, now=Now(1.0, YEAR_2026_MS))
    assert corrected.read(Now(1.0, YEAR_2026_MS)) == 100
