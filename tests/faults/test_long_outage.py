"""Seven days of a 500-point site, every point each 20 s, against a quota of a sixth of it."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

import pytest

from tests.faults.trials import scratch
from tests.faults.week import Site

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(("days", "step_s", "mib"), [(7, 20.0, 32), (21, 120.0, 1024)])
def test_a_long_outage_balances(
    line: Callable[[str], None], days: float, step_s: float, mib: int
) -> None:
    with scratch() as folder:
        site = Site(folder, size=mib << 20)
        site.away(days, step_s=step_s)
        outcome = site.recover(per_s=200)
    sent, received = outcome.sent["telemetry"], outcome.received["telemetry"]
    line(
        f"| {days} days without a broker, {mib} MiB quota | {sent} readings, {received} delivered"
        f" | lost {outcome.lost} | duplicated {outcome.duplicates} | announced"
        f" {outcome.announced} in {outcome.gap_records} gap records | disorder {outcome.disorder};"
        f" live {median(outcome.live_s):.2f} s median, {max(outcome.live_s):.2f} s max;"
        f" history in {outcome.history_s:.0f} s; file {outcome.file_bytes >> 20} MiB |"
    )
    assert (outcome.lost, outcome.duplicates, outcome.disorder) == (0, 0, 0)
    assert outcome.received["audit"] == outcome.sent["audit"]
    assert outcome.received["result"] == outcome.sent["result"]
    assert outcome.file_bytes <= mib << 20
    assert max(outcome.live_s) < 5.0
