"""What a points map means for the bounds: controls of a zero, select, reads, dead-man, timer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.config.safety import ZeroPath
from gateway.control.rules.readiness import map_refusals
from gateway.control.rules.zero_path import zero_path
from gateway.points.choose import pinned
from gateway.site.maps import load_maps
from tests.fixtures.shippedmaps import FOLDER, shipped

SITEMAPS = Path(__file__).parents[3] / "fixtures" / "sitemaps"
DEFAULT_V_S, DEFAULT_R_S = 30.0, 3.0


@pytest.mark.parametrize(
    ("ref", "path"),
    [
        ("generic-rtac@1.0.0", ZeroPath(3.0)),
        ("an2018-storage@1.0.0", ZeroPath(3.0, dead_man=False, reversion=True)),
        ("split-int16@1.0.0", ZeroPath(3.0, controls=2)),
        ("split-int32@1.0.0", ZeroPath(3.0, controls=2, sbo=True, beat_sbo=True)),
        ("raw@1.0.0", ZeroPath(3.0, dead_man=False)),
    ],
)
def test_what_a_map_means_for_the_bounds(ref: str, path: ZeroPath) -> None:
    points_map = pinned(load_maps([FOLDER, SITEMAPS]), ref)
    assert points_map is not None
    assert zero_path(points_map, 3.0) == path


def test_a_heartbeat_on_a_binary_output_is_selected_as_modes_are() -> None:
    points_map = shipped("generic-rtac@1.0.0")
    rows = [
        replace(one, point="BO9") if one.role == "cmd_heartbeat" else one
        for one in points_map.points
    ]
    found = zero_path(replace(points_map, points=tuple(rows)), 3.0)
    assert (found.sbo, found.beat_sbo) == (False, True)


def test_a_critical_read_of_many_runs_takes_more_requests() -> None:
    points_map = shipped("generic-rtac@1.0.0")
    soc = points_map.by_role["soc"][0]
    more = [replace(soc, point=f"AI{at}", name=f"soc_{at}") for at in range(100, 140, 2)]
    scattered = replace(points_map, points=(*points_map.points, *more))
    assert zero_path(scattered, 3.0).reads == 2


def test_the_default_v_is_enough_for_every_shipped_map_that_allows_control() -> None:
    able = [one for one in load_maps([FOLDER]) if not map_refusals(one)]
    assert len(able) >= 3
    for points_map in able:
        assert zero_path(points_map, DEFAULT_R_S).least_verify_s <= DEFAULT_V_S, points_map.ref
