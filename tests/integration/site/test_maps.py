"""Reading maps from folders: the shipped ones, the site's, and what is wrong between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.errors import ConfigError
from gateway.points.choose import choose, pinned
from gateway.points.pointmap import control_refusals, raw_map
from gateway.site.maps import load_map, load_maps, map_folders

if TYPE_CHECKING:
    from pathlib import Path

MAP = """\
schema = "bess.map/1"
[map]
id = "{id}"
vendor = "Acme"
model = "One"
revision = "{revision}"
source = "a test"
[map.match]
firmware = ["{form}"]
"""


def put(folder: Path, name: str, **words: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(MAP.format(**{"id": "one", "revision": "1", "form": "=1"} | words), "utf-8")
    return path


def test_the_shipped_maps_load_and_allow_control_as_specified(tmp_path: Path) -> None:
    shipped = map_folders()[0]
    maps = {each.ref: each for each in load_maps([shipped, tmp_path / "absent"])}
    allowed = {ref: not control_refusals(each) for ref, each in maps.items()}
    assert allowed == {
        "generic-rtac@1.0.0": True,
        "an2018-storage@1.0.0": True,
        "example-bess-a@A": False,
        "example-bess-b@B": True,
        "example-site-controller@1": True,
        "raw@1.0.0": False,
    }
    assert control_refusals(maps["example-bess-a@A"]) == (
        "M17 control needs a point with the role cmd_heartbeat or cmd_reversion_s",
    )
    assert maps["raw@1.0.0"] == raw_map()
    assert maps["raw@1.0.0"].digest == raw_map().digest


def test_the_declared_firmware_chooses_among_the_shipped_maps() -> None:
    maps = load_maps([map_folders()[0]])
    rtac = choose(maps, vendor="generic", model="rtac", firmware="1.4.2")
    newer = choose(maps, vendor="example", model="bess", firmware="2.7")
    assert rtac is not None
    assert rtac.ref == "generic-rtac@1.0.0"
    assert newer is not None
    assert newer.ref == "example-bess-b@B"
    assert choose(maps, vendor="generic", model="rtac", firmware="2.0") is None
    assert pinned(maps, "raw@1.0.0") == raw_map()
    assert pinned(maps, "raw@2") is None


def test_a_site_map_extends_a_shipped_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'schema = "bess.map/1"\n[map]\nid = "mine"\nrevision = "1"\nmodel = "rtac of mine"\n'
        'extends = "generic-rtac@1.0.0"\nremove = ["dc_voltage"]\n[map.match]\n'
        'firmware = ["=1"]\n[[points]]\nname = "soc"\nscale = 0.1\n',
        "utf-8",
    )
    mine = load_map(path)
    assert mine.by_role["soc"][0].point == "AI0"
    assert mine.by_role["soc"][0].scale == 0.1
    assert "dc_voltage" not in mine.by_name
    assert mine.vendor == "generic"
    assert mine in load_maps([*map_folders(), tmp_path])


def test_faults_of_several_files_are_reported_together(tmp_path: Path) -> None:
    put(tmp_path, "a/one-1.toml", form="nonsense")
    (tmp_path / "b.toml").write_text("schema = \n", "utf-8")
    (tmp_path / "c.toml").write_bytes(b"# \xff\n")
    with pytest.raises(ConfigError) as caught:
        load_maps([tmp_path])
    places = {(fault.where.file, fault.where.line) for fault in caught.value.faults}
    assert places == {
        (str(tmp_path / "a" / "one-1.toml"), 9),
        (str(tmp_path / "b.toml"), 1),
        (str(tmp_path / "c.toml"), 1),
    }


@pytest.mark.parametrize(
    ("mine", "other", "clash"),
    [
        ("=2.3", "=2.3", True),
        ("=2.3", ">=2.0,<3.0", True),
        ("=R104", "re:^R10[0-9]$", True),
        (">=2.0,<3.0", ">=2.9", True),
        ("re:^2[.]0$", ">=2.0,<3.0", True),
        (">=1.0,<2.0", ">=2.0,<3.0", False),
        ("=2.3", "=2.4", False),
    ],
)
def test_two_maps_for_one_firmware_are_refused(
    tmp_path: Path, mine: str, other: str, *, clash: bool
) -> None:
    put(tmp_path, "one-1.toml", form=mine)
    second = put(tmp_path, "one-2.toml", revision="2", form=other)
    if not clash:
        assert len(load_maps([tmp_path])) == 2
        return
    with pytest.raises(ConfigError) as caught:
        load_maps([tmp_path])
    first = tmp_path / "one-1.toml"
    assert str(caught.value) == (
        f"{second}:9: [map.match] firmware: M19 "
        f'"{other}" overlaps "{mine}" of one@1 ({first}): must not'
    )


def test_one_ref_in_two_files_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "a.toml")
    put(tmp_path, "b.toml", form="=2")
    with pytest.raises(ConfigError, match='M02 "one@1" is already'):
        load_maps([tmp_path])


def test_an_unreadable_map_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml:1: cannot be read \(No such file"):
        load_map(tmp_path / "none.toml")


def test_the_environment_overrides_the_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "a.toml")
    monkeypatch.setenv("BESS_POINTMAPS", str(tmp_path))
    assert [each.ref for each in load_maps()] == ["one@1"]
