"""Maps of public points lists, served by one library and read by another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gateway.clock import now
from gateway.control.execution.plan import heartbeat_write, idle_writes, stop_writes, switch_write
from gateway.control.rules.percent_base import Base
from gateway.points.pointmap import control_refusals
from gateway.ports import OutcomeKind
from tests.fixtures.mapped_site import MappedSite

if TYPE_CHECKING:
    import pytest

FOLDER = Path(__file__).parents[2] / "fixtures" / "listmaps"


def test_a_site_controller_of_analogs_is_read_and_operated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (FOLDER / "hybridos.toml").read_text("utf-8")
    with MappedSite(tmp_path, monkeypatch, text) as site:
        assert control_refusals(site.map) == ()
        for one in ("AI41:6340", "AI33:-750", "AI97:104", "AI99:8", "AI42:5072"):
            site.sim.fault(f"value={one}")
        site.value("soc", is_=63.4)
        site.value("power", is_=-750_000.0)
        site.value("temp_max", is_=40.0)
        site.value("is_discharging", is_=True)
        site.value("energy_stored", is_=5_072_000.0)
        site.sim.fault("local")
        site.value("control_authority", is_="local")
        site.sim.clear("local")
        site.value("control_authority", is_="remote")
        site.until(lambda one: one.up)
        for on, raw in ((True, 1), (False, 2)):
            write = switch_write(site.map, "cmd_mode_enable", on=on)
            assert site.operate(write.control).kind is OutcomeKind.SUCCESS
            site.reads("AI0", is_=on)
            assert site.sim.controls("AO0")[-1]["raw"] == raw
        beats = [heartbeat_write(site.map, count).control for count in (254, 255, 0, 1)]
        assert site.operate(*beats).kind is OutcomeKind.SUCCESS
        assert [one["raw"] for one in site.sim.controls("AO18")] == [254, 255, 0, 1]
        zero = [write.control for write in idle_writes(site.map, Base(None, None))]
        stop = [write.control for write in stop_writes(site.map)]
        assert site.operate(*zero, *stop).kind is OutcomeKind.SUCCESS
        assert [one["point"] for one in site.sim.controls()[-3:]] == ["AO11", "AO0", "AO2"]
        site.value("stopped", is_=True)


def test_a_utility_list_of_limits_is_for_monitoring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (FOLDER / "cct.toml").read_text("utf-8")
    with MappedSite(tmp_path, monkeypatch, text) as site:
        assert [text[:3] for text in control_refusals(site.map)] == ["M17"] * 3
        for one in ("AI0:-120000", "AI4:30", "BI0:0"):
            site.sim.fault(f"value={one}")
        site.value("power", is_=-120_000.0)
        site.reads("AI4", is_=0.5)  # 30 %/min, in %/s
        site.value("mode_enabled", is_=True)
        assert site.monitor.battery.state(now()).operating_mode is not None
