"""Who the outstation says it is: device attributes, group 0.

Source of the variations: IEEE 1815-2012, Annex A, group 0 (252 manufacturer, 250 product name
and model, 248 serial number, 242 software version).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.points.pointmap import PointsMap

MANUFACTURER, PRODUCT, SERIAL, SOFTWARE = 252, 250, 248, 242
_OTHER_FIRMWARE, _OTHER_TEXT = "0.0.0-other", "OTHER"


def attributes(points_map: PointsMap, *, firmware: str, serial: str, lying: bool) -> dict[int, str]:
    """Variation -> text, as the map's fingerprint wants it; ``lying``: as it does not.

    Args:
        points_map: the map that is served.
        firmware: software version; "" takes the first that the map accepts.
        serial: serial number.
        lying: another firmware than declared.
    """
    found = {
        MANUFACTURER: points_map.vendor,
        PRODUCT: points_map.model,
        SERIAL: serial,
        SOFTWARE: firmware or accepted_firmware(points_map),
    }
    for check in points_map.fingerprint.attributes:
        found[check.variation] = _agreeable(check.regex, found.get(check.variation, ""))
    if lying:
        found.update({check.variation: _OTHER_TEXT for check in points_map.fingerprint.attributes})
        found[SOFTWARE] = _OTHER_FIRMWARE
    return found


def accepted_firmware(points_map: PointsMap) -> str:
    """A firmware string that the map's match forms accept, as far as that can be told."""
    for form in points_map.match:
        if form.startswith("re:"):
            literal = re.sub(r"[\^$\\]|\[.*?\]|[.][*+?]?", "", form[3:])
            if literal and re.search(form[3:], literal):
                return literal
            continue
        found = re.match(r"(?:=|>=)\s*([^,\s]+)", form)
        if found:
            return found[1]
    return points_map.revision


def _agreeable(pattern: str, text: str) -> str:
    """A text that the pattern accepts, ``text`` if it does already."""
    literal = re.sub(r"[\^$\\]", "", pattern)
    return literal if not re.search(pattern, text) and re.search(pattern, literal) else text
