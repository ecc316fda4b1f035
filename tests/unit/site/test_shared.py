"""A transformer that several assets share, and what must show how much the others take."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.config.site import site_settings
from gateway.config.toml import parse
from gateway.points.mappoint import MapPoint
from gateway.site.shared import transformer_faults
from tests.fixtures.shippedmaps import shipped

HEAD = """\
schema = "bess.site/1"
gateway.id = "gw-17"
[uplink]
host = "mqtt.example.com"
ca_file = "ca.pem"
cert_file = "gateway.pem"
key_file = "gateway.key"
"""
ASSET = """\
[[asset]]
id = "{id}"
map = "generic-rtac@1.0.0"
nameplate_w = 1000000
capacity_wh = 4000000
dnp3 = {{ host = "{id}", outstation_address = 10 }}
{transformer}
"""
METER = MapPoint("AI30", "poi", "poi_power", unit="W", sign="discharge_positive")
PLAIN = shipped("generic-rtac@1.0.0")
METERED = replace(PLAIN, points=(*PLAIN.points, METER))


def enforced(name: str, *, enforce: str = "true") -> str:
    """[asset.transformer] of a transformer called ``name``."""
    named = f'id = "{name}"\n' if name else ""
    return f"[asset.transformer]\n{named}rating_kva = 2000\nenforce = {enforce}"


def faults(*transformers: str, metered: tuple[str, ...] = ()) -> list[str]:
    """Of a site with an asset for each."""
    text = HEAD + "".join(
        ASSET.format(id=f"bess-{at}", transformer=one) for at, one in enumerate(transformers, 1)
    )
    document = parse(text.encode(), file="site.toml")
    settings = site_settings(document, folder="/etc/bess-gateway")
    maps = {one.id: METERED if one.id in metered else PLAIN for one in settings.assets}
    return [str(fault) for fault in transformer_faults(document, settings, maps)]


def test_a_shared_transformer_that_is_enforced_needs_a_meter() -> None:
    found = faults(enforced("T1"), enforced("T1"))
    assert found == [
        f"site.toml:{line}: [asset[{at}].transformer] enforce = true: transformer 'T1' is shared "
        f"with {other}, and map generic-rtac@1.0.0 has no point of the role poi_power, which shows "
        "what they take: must be false, or a map with one"
        for at, line, other in ((0, 17, "bess-2"), (1, 27, "bess-1"))
    ]


def test_each_asset_that_enforces_it_needs_a_meter_in_its_own_map() -> None:
    (found,) = faults(enforced("T1"), enforced("T1"), metered=("bess-1",))
    assert found.startswith("site.toml:27: [asset[1].transformer] enforce")
    assert faults(enforced("T1"), enforced("T1"), metered=("bess-1", "bess-2")) == []


def test_whoever_only_names_the_transformer_shares_it_too() -> None:
    (found,) = faults(enforced("T1"), 'transformer = "T1"')
    assert "shared with bess-2" in found


@pytest.mark.parametrize(
    "transformers",
    [
        (enforced("T1"),),
        (enforced("T1"), enforced("T2")),
        (enforced("T1"), ""),
        (enforced(""), enforced("")),
        (enforced("T1", enforce="false"), enforced("T1", enforce="false")),
    ],
)
def test_a_transformer_of_ones_own_or_that_only_warns_needs_none(
    transformers: tuple[str, ...],
) -> None:
    assert faults(*transformers) == []
