"""Every fixture map says exactly what is wrong with it: code, file, line and what is allowed.

A fixture's last lines hold what is expected of it: ``# fault: <line>: …`` or ``# warn: …``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.points.parse import parse_map
from gateway.points.pointmap import control_refusals

FOLDER = Path(__file__).parents[2] / "fixtures" / "maps"
FIXTURES = sorted(path.name for path in FOLDER.glob("*.toml"))
CODES = {f"M{number:02d}" for number in range(1, 32)}
IN_SETS = {"M19"}  # takes two maps, see test_mapfiles


def base(ref: str) -> tuple[str, bytes] | None:
    """good@1 is good.toml; one@1 extends it, two@1 extends one@1, and so on to four@1."""
    if ref == "good@1":
        return "good.toml", (FOLDER / "good.toml").read_bytes()
    if ref == "broken@1":
        return "m05-cyclic.toml", (FOLDER / "m05-cyclic.toml").read_bytes()
    names = ["good", "one", "two", "three", "four"]
    name = ref.removesuffix("@1")
    if name not in names:
        return None
    text = (
        f'schema = "bess.map/1"\n[map]\nid = "{name}"\nrevision = "1"\n'
        f'extends = "{names[names.index(name) - 1]}@1"\n[map.match]\nfirmware = ["=2"]\n'
    )
    return f"{name}.toml", text.encode()


def expected(name: str, kind: str) -> list[str]:
    lines = (FOLDER / name).read_text("utf-8").splitlines()
    mark = f"# {kind}: "
    return [f"{name}:{line.removeprefix(mark)}" for line in lines if line.startswith(mark)]


@pytest.mark.parametrize("name", FIXTURES)
def test_a_map_reports_its_faults_where_they_are(name: str) -> None:
    raw = (FOLDER / name).read_bytes()
    faults, warnings = expected(name, "fault"), expected(name, "warn")
    if not faults:
        points_map = parse_map(raw, file=name, base=base)
        assert [str(warning) for warning in points_map.warnings] == warnings
        return
    with pytest.raises(ConfigError) as caught:
        parse_map(raw, file=name, base=base)
    assert [str(fault) for fault in caught.value.faults] == faults
    assert caught.value.exit_code == 78


def test_every_code_has_a_broken_map() -> None:
    said = "".join((FOLDER / name).read_text("utf-8") for name in FIXTURES)
    assert {code for code in CODES if f" {code} " in said} == CODES - IN_SETS


def test_what_costs_control_leaves_monitoring() -> None:
    for name in ("m10-no-feedback.toml", "m17-no-local.toml"):
        points_map = parse_map((FOLDER / name).read_bytes(), file=name, base=base)
        assert control_refusals(points_map)[0][:3] == name[:3].upper()
    good = parse_map((FOLDER / "good.toml").read_bytes(), file="good.toml", base=base)
    assert control_refusals(good) == ()
