"""The batteries of a gateway at what they share: transformers and ``[limits.site]``. Pure.

Each controller asks for its share whenever it judges its limits, so it sees what another one was
granted a moment ago, in the same pass. Nothing here is changed by asking.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from gateway.control.rules.limits import Ceiling, headroom
from gateway.control.rules.shared import NOTHING, OthersSeen, others, share

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.checked import Site
    from gateway.clock import Now
    from gateway.config.site import AssetSettings
    from gateway.control.controller import Controller
    from gateway.control.rules.shared import Burden

_NONE = Ceiling(0.0, 0.0)
_UNBOUNDED = Ceiling(math.inf, math.inf)


@dataclass(slots=True)
class SharedTransformer:
    """One transformer before several batteries. Mutable: it remembers what its readings said."""

    rating_kva: float
    cap_pct: float
    seen: OthersSeen = field(default_factory=OthersSeen)
    reactive_var: dict[str, float] = field(default_factory=dict)  # by asset: the last one known

    def look(self, members: Mapping[str, Controller], now: Now) -> None:
        """Take what the field shows now."""
        for name, one in members.items():
            if (reactive_var := one.view.reactive_var(now)) is not None:
                self.reactive_var[name] = reactive_var
        meters_w = [one.view.value("poi_power", now) for one in members.values()]
        known_w = [meter_w for meter_w in meters_w if meter_w is not None]
        if not known_w:
            return
        powers_w = [one.view.power_w(now) for one in members.values()]
        taken = [
            one.commitment(now).most if power_w is None else NOTHING
            for one, power_w in zip(members.values(), powers_w, strict=True)
        ]
        found = NOTHING
        for meter_w in known_w:  # where there are several, each may be right
            found = found.beside(others(meter_w, powers_w, taken))
        if None in powers_w:
            found = found.beside(self.seen.last)
        self.seen = self.seen.note(now.mono_s, found)

    def limit(self, members: Mapping[str, Controller], now: Now) -> Ceiling:
        """What it can carry now, of all that flows through it, each way."""
        metered = [one for one in members.values() if _has(one, "poi_power")]
        if metered and all(one.view.value("poi_power", now) is None for one in metered):
            return _NONE
        return headroom(
            self.rating_kva,
            cap_pct=self.cap_pct,
            reactive_var=self._reactive_var(members),
            other_w=0.0,
        )

    def _reactive_var(self, members: Mapping[str, Controller]) -> float | None:
        """Through it: by its own meter, else all batteries' together; None: not known."""
        meters = [name for name, one in members.items() if _has(one, "poi_reactive")]
        found = [self.reactive_var.get(name) for name in meters or members]
        known = [abs(reactive_var) for reactive_var in found if reactive_var is not None]
        if meters:
            return max(known, default=None)
        return sum(known) if len(known) == len(found) else None


def _has(one: Controller, role: str) -> bool:
    return one.view.map.row(role) is not None


class Sharing:
    """Who shares what, and how much of it each may take. Mutable."""

    def __init__(self) -> None:
        self._controllers: dict[str, Controller] = {}
        self._transformers: dict[str, SharedTransformer] = {}
        self._members: dict[str, tuple[str, ...]] = {}  # of each transformer
        self._site = _UNBOUNDED  # of all assets together
        self.strays = NOTHING  # of assets that may be in force and are not in site.toml
        self._shared: set[str] = set()  # assets that share anything
        self._sure: dict[str, Burden] = {}  # what each was known to go on taking
        self._figures: dict[str, tuple[Ceiling, Burden]] = {}  # of each transformer, likewise

    def become(self, site: Site, controllers: Mapping[str, Controller]) -> None:
        """Follow these controllers: at the start, and on a reload."""
        self._controllers = dict(controllers)
        if site.safety is not None:  # without a good file the old one holds
            limits = site.safety.settings.limits.site
            self._site = _UNBOUNDED if limits is None else Ceiling(*limits.most_w)
        before, self._transformers, self._members = self._transformers, {}, {}
        for id_, assets in _enforced(site.settings.assets).items():
            rated = [one.transformer for one in assets if one.transformer is not None]
            rating_kva = min(one.rating_kva for one in rated)
            cap_pct = min(one.alarm_pct for one in rated)
            old = before.get(id_)
            found = SharedTransformer(rating_kva, cap_pct)
            if old is not None:
                found.seen, found.reactive_var = old.seen, old.reactive_var
            self._transformers[id_] = found
            self._members[id_] = tuple(one.id for one in assets)
        together = {name for names in self._members.values() for name in names}
        every = self._site != _UNBOUNDED
        self._shared = {name for name in controllers if every or name in together}
        self._sure, self._figures = {}, {}
        for name, controller in self._controllers.items():
            controller.take_share(partial(self.share, name), alone=name not in together)

    def look(self, now: Now) -> None:
        """Take what the meters show now."""
        for id_, one in self._transformers.items():
            one.look(self._of(self._members[id_]), now)

    def share(self, name: str, now: Now) -> Ceiling:
        """The most that ``name`` may take now."""
        found = _UNBOUNDED
        if self._site != _UNBOUNDED:
            left = (self.strays, self.strays)
            found = self._share(name, self._controllers, self._site, left, now)
        for id_, one in self._transformers.items():
            if name in self._members[id_]:
                members = self._of(self._members[id_])
                limit = one.limit(members, now)
                found = found.within(self._share(name, members, limit, one.seen.span(), now))
        return found

    def _share(
        self,
        name: str,
        members: Mapping[str, Controller],
        limit: Ceiling,
        taken: tuple[Burden, Burden],
        now: Now,
    ) -> Ceiling:
        found = [one.commitment(now) for one in members.values()]
        return share(list(members).index(name), found, limit, others=taken)

    def disturbed(self, names: Iterable[str], now: Now) -> set[str]:
        """Who may have to give way, since something happened to ``names``."""
        moved = set()
        for name in self._shared.intersection(names):
            sure = self._controllers[name].commitment(now).sure
            if self._sure.get(name) != sure:
                self._sure[name] = sure
                moved.add(name)
        found = set(self._controllers) if moved and self._site != _UNBOUNDED else set[str]()
        for id_, one in self._transformers.items():
            members = self._of(self._members[id_])
            figures = one.limit(members, now), one.seen.span()[1]
            if self._figures.get(id_) != figures or moved & members.keys():
                self._figures[id_] = figures
                found |= members.keys()
        return found

    def _of(self, names: Iterable[str]) -> dict[str, Controller]:
        return {name: self._controllers[name] for name in names if name in self._controllers}


def _enforced(assets: Iterable[AssetSettings]) -> dict[str, list[AssetSettings]]:
    """Assets by the transformer that they share, where any of them enforces its rating."""
    found: dict[str, list[AssetSettings]] = {}
    for one in assets:
        if (id_ := one.grid.get("transformer")) is not None:
            found.setdefault(id_, []).append(one)
    return {
        id_: those
        for id_, those in found.items()
        if len(those) > 1 and any(one.transformer and one.transformer.enforce for one in those)
    }
