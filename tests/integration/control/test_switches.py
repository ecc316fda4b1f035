"""A whole battery under control whose mode is a code, whose authority a bit, whose stop a latch."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.clock import now
from gateway.site.maps import map_folders
from tests.fixtures.commanded_site import ASSET, ControlSite

if TYPE_CHECKING:
    import pytest

    from gateway.demo.pki import Pki

FOLDER = Path(__file__).parents[2] / "fixtures" / "sitemaps"


def test_it_dispatches_idles_goes_local_and_stops(
    pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BESS_POINTMAPS", ":".join(map(str, (*map_folders(), FOLDER))))
    with ControlSite(tmp_path, pki, map="coded-rtac@1") as site:
        site.run()
        site.arm()
        began = now().mono_s
        site.power(500_000)
        assert _done(site, began)[:4] == [
            ("BO8", 1.0),
            ("AO12", 5),
            ("AO0", 500.0),
            ("AO10", 170),
        ]
        assert site.sim.state()["setpoint_w"] == 500_000.0
        beats = [one["raw"] for one in site.beats()]
        turns = [43605, 21930, 7]
        assert len(beats) > len(turns)
        for before, after in itertools.pairwise(beats):
            assert after == turns[(turns.index(before) + 1) % len(turns)]
        idled = now().mono_s
        site.send("idle")
        site.until_phase({"IDLE"})
        done = _done(site, idled)
        assert {point for point, _ in done} == {"AO0", "AO10"}  # zero waits for nothing
        assert ("AO10", 85) in done
        assert done.index(("AO0", 0.0)) < done.index(("AO10", 85))
        site.sim.fault("local")
        site.until_phase({"LOCAL"})
        site.sim.clear("local")
        site.until_phase({"IDLE"})
        stopped = now().mono_s
        site.act("estop", ASSET)
        site.until_phase({"ESTOP"})
        site.sim.wait_until(lambda _: bool(_codes(site, stopped)))
        assert set(_codes(site, stopped)) == {4}  # LATCH_OFF takes the permissive away


def test_the_shipped_example_of_every_form_dispatches_and_idles(pki: Pki, tmp_path: Path) -> None:
    with ControlSite(tmp_path, pki, map="example-site-controller@1") as site:
        site.run()
        site.arm()
        began = now().mono_s
        site.power(500_000)
        assert _done(site, began, "AO2")[:3] == [("BO3", 1.0), ("AO0", 500.0), ("AO1", 170)]
        site.sim.wait_until(lambda state: state["setpoint_w"] == 500_000.0)
        assert {one["raw"] for one in site.beats()} == {43605, 21930}
        idled = now().mono_s
        site.send("idle")
        site.until_phase({"IDLE"})
        assert _done(site, idled, "AO2") == [("AO0", 0.0), ("AO1", 85)]


def _done(site: ControlSite, after: float, beat: str = "AO1") -> list[tuple[str, float]]:
    found = [(one["point"], one["raw"]) for one in site.writes(after=after) if one["point"] != beat]
    return list(dict.fromkeys(found))


def _codes(site: ControlSite, after: float) -> list[int]:
    return [one["code"] for one in site.writes(after=after) if one["point"] == "BO7"]
