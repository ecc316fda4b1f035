"""What several assets share, and what of it their maps cannot show. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.config.site import SiteSettings
    from gateway.config.toml import Document
    from gateway.points.pointmap import PointsMap

METER = "poi_power"


def transformer_faults(
    document: Document, settings: SiteSettings, maps: Mapping[str, PointsMap]
) -> Iterator[Fault]:
    """Faults of every transformer whose headroom is enforced, shared, and not metered.

    Each asset would be given all of the headroom, for it cannot see what the others take.

    Args:
        document: site.toml.
        settings: what it says.
        maps: by asset id, of the assets that have one.
    """
    for at, asset in enumerate(settings.assets):
        name = asset.grid.get("transformer")
        if asset.transformer is None or not asset.transformer.enforce or name is None:
            continue
        others = [
            other.id
            for other in settings.assets
            if other is not asset and other.grid.get("transformer") == name
        ]
        points_map = maps.get(asset.id)
        if others and points_map is not None and points_map.row(METER) is None:
            text = (
                f"= true: transformer {name!r} is shared with {', '.join(others)}, and map "
                f"{points_map.ref} has no point of the role {METER}, which shows what they take: "
                "must be false, or a map with one"
            )
            yield Fault(document.where(f"asset[{at}].transformer", "enforce"), text)
