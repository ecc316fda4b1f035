"""What lasts though the audit log does not know of it: it may be an older copy. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.control.watchdog.obligation import fact_of_force, obligation

if TYPE_CHECKING:
    from collections.abc import Mapping

_FORCE = "/in-force"


def with_recalled(facts: Mapping[str, str], recalled: Mapping[str, str]) -> dict[str, str]:
    """``facts``, and of ``recalled`` what they do not have.

    What was signed since is not known: anything may be ours. Nor is a declaration believed.
    """
    found = dict(facts)
    for key, text in recalled.items():
        if key in facts:
            continue
        asset = key.removesuffix(_FORCE)
        owed = obligation({key: text}, asset) if key.endswith(_FORCE) else None
        if owed is not None:
            unknown = replace(owed, setpoint_w=None, span_w=None, declared="")
            text = fact_of_force(asset, unknown)[key] or ""  # noqa: PLW2901 - said anew
        found[key] = text
    return found
