"""Notices that a controller is not what its map says: layers L0 to L6.

| layer | looks at | when | verdict |
|---|---|---|---|
| L0 identity | attributes, ``equals``, a changed config revision | on arrival | MISMATCH |
| L1 structure | required points present, ``absent`` ones absent | integrity polls | MISMATCH |
| L2 nameplate | ratings against the site's configuration, 1 % | integrity polls | MISMATCH |
| L3 range | 45..65 Hz, power <= 1.1 nameplate, 0..100 %, ``ranges`` | 3 polls | SUSPECT |
| L4 energy | energy - capacity x SOC more than 5 % of capacity | 10 minutes | SUSPECT |
| L5 flow | change of SOC against the energy that went by (``trend``) | 2 x 10 min | SUSPECT |
| L6 echo | a command's feedback differs (``differed``, ``agreed``) | twice in a row | SUSPECT |

A verdict only worsens; ``clear`` (an operator) alone makes it OK again, and what is still wrong is
found anew. Losing the session forgets the readings, not the verdict. Only the few points that a
check names are kept, so a fragment of thousands costs one set lookup each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from gateway.events import AttributesRead, FragmentStored, PollDone, SessionDown
from gateway.points import layers, trend
from gateway.points.layers import Evidence, Finding, Layer, Value, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config.site import AssetSettings
    from gateway.points.pointmap import PointsMap
    from gateway.points.raw import RawPoint

__all__ = ["Finding", "Fingerprint", "Layer", "Verdict"]

RANGE_POLLS = 3
ECHOES = 2  # of one point that differed, without one that agreed between them
ENERGY_S = 600.0


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """State of the checks of one asset."""

    map: PointsMap
    asset: AssetSettings
    watched: frozenset[str]
    verdict: Verdict = Verdict.OK
    findings: tuple[Finding, ...] = ()  # since the last clear, each once
    settled: bool = False  # an integrity poll of this session was judged
    latest: Mapping[str, RawPoint] = field(default_factory=dict)  # watched points, this session
    config_revision: Value | None = None  # the first that was seen
    seen: frozenset[str] = frozenset()  # watched points since the last integrity poll
    strikes: Mapping[str, int] = field(default_factory=dict)  # point -> polls out of range
    energy_off_since: float | None = None  # monotonic s
    trend: trend.Trend | None = None  # None: the map lacks power or SOC
    differed_echoes: Mapping[str, int] = field(default_factory=dict)  # point -> times in a row

    @classmethod
    def start(cls, points_map: PointsMap, asset: AssetSettings) -> Fingerprint:
        """Nothing seen yet, hence nothing against the map."""
        soc = points_map.row("soc") or points_map.row("soc_actual")
        power, beat = points_map.row("power"), points_map.row("der_heartbeat")
        watched = layers.watched_points(points_map)
        return cls(points_map, asset, watched, trend=trend.watch(power, soc, beat))

    @property
    def wake_at(self) -> float:
        """Monotonic second at which ``handle`` wants a tick; inf for never."""
        if self.energy_off_since is None:
            return math.inf
        said = any(finding.layer is Layer.ENERGY for finding in self.findings)
        return math.inf if said else self.energy_off_since + ENERGY_S

    def clear(self) -> Fingerprint:
        """An operator looked at it: trust the map until something is found again."""
        return replace(
            self,
            verdict=Verdict.OK,
            findings=(),
            config_revision=None,
            strikes={},
            energy_off_since=None,
            trend=self.trend and self.trend.anew,
            differed_echoes={},
        )

    def refused(self, text: str) -> tuple[Fingerprint, tuple[Finding, ...]]:
        """A command was answered as if this were another outstation's map; ``text`` says how."""
        return _note(self, [Finding(Layer.ECHO, Verdict.SUSPECT, "", text)])

    def agreed(self, point: str) -> Fingerprint:
        """The feedback ``point`` showed what a command wrote: what differed before is forgiven."""
        if point not in self.differed_echoes:
            return self
        kept = {name: times for name, times in self.differed_echoes.items() if name != point}
        return replace(self, differed_echoes=kept)

    def differed(
        self, point: str, *, expected: Value, found: Value | None
    ) -> tuple[Fingerprint, tuple[Finding, ...]]:
        """The feedback ``point`` did not show in time what a command wrote.

        Call it once for each command and point. The count outlives the session: a wrong map
        stays wrong.

        Args:
            point: of the feedback, "AI8".
            expected: what it had to show, canonical value.
            found: what it showed; None if nothing good and fresh.

        Returns:
            The next state, and the suspicion when it is raised.
        """
        times = self.differed_echoes.get(point, 0) + 1
        state = replace(self, differed_echoes={**self.differed_echoes, point: times})
        if times < ECHOES:
            return state, ()
        return _note(
            state, [layers.differing_echo(self.map, point, expected=expected, found=found)]
        )

    def handle(self, event: object | None, now_s: float) -> tuple[Fingerprint, tuple[Finding, ...]]:
        """Take one event; those of other assets, and None (a tick), only let time pass.

        Args:
            event: anything the core gets.
            now_s: monotonic seconds.

        Returns:
            The next state, and what was found for the first time since the last clear.
        """
        state = self
        found: list[Finding] = []
        match event:
            case FragmentStored() if event.asset == self.asset.id:
                news = {raw.point: raw for raw in event.points if raw.point in self.watched}
                if not news:
                    return self, ()
                state = replace(self, latest={**self.latest, **news}, seen=self.seen | news.keys())
                evidence = state.evidence
                revision = evidence.usable(self.map.row("config_revision"))
                found += layers.identity(evidence)
                found += layers.reconfigured(evidence, self.config_revision)
                if self.config_revision is None and revision is not None:
                    state = replace(state, config_revision=revision)
                if self.trend is not None:
                    followed, flow = self.trend.handle(evidence, news, now_s)
                    state = replace(state, trend=followed)
                    found += [flow] if flow is not None else []
            case AttributesRead() if event.asset == self.asset.id:
                found += layers.attributes(self.map, event.attributes)
            case PollDone() if event.asset == self.asset.id:
                state, found = _after_poll(self, event)
            case SessionDown() if event.asset == self.asset.id:
                state = replace(
                    self,
                    latest={},
                    seen=frozenset(),
                    strikes={},
                    settled=False,
                    energy_off_since=None,
                    trend=self.trend and self.trend.anew,
                )
        state, gap = _watch_energy(state, now_s)
        return _note(state, [*found, *gap])

    @property
    def evidence(self) -> Evidence:
        """What the layers judge."""
        return Evidence(self.map, self.asset, self.latest)


def _after_poll(state: Fingerprint, poll: PollDone) -> tuple[Fingerprint, list[Finding]]:
    """L1 and L2 after everything was read, L3 after anything: an event poll confirms the rest."""
    if not poll.ok or poll.kind == "attributes":
        return state, []
    evidence = state.evidence
    found: list[Finding] = []
    if poll.kind in ("startup", "integrity"):
        brought = {point: raw for point, raw in state.latest.items() if point in state.seen}
        state = replace(state, settled=True, seen=frozenset())
        whole = Evidence(state.map, state.asset, brought)
        found = [*layers.structure(whole), *layers.nameplate(evidence)]
    odd = {finding.point: finding for finding in layers.out_of_range(evidence)}
    strikes = {point: state.strikes.get(point, 0) + 1 for point in odd}
    found += [odd[point] for point, count in strikes.items() if count >= RANGE_POLLS]
    return (replace(state, strikes=strikes) if strikes != state.strikes else state), found


def _watch_energy(state: Fingerprint, now_s: float) -> tuple[Fingerprint, list[Finding]]:
    gap = layers.energy_gap(state.evidence)
    if gap is None:
        return (
            replace(state, energy_off_since=None) if state.energy_off_since is not None else state
        ), []
    since = state.energy_off_since
    if since is None:
        return replace(state, energy_off_since=now_s), []
    return state, [gap] if now_s - since >= ENERGY_S else []


def _note(state: Fingerprint, found: list[Finding]) -> tuple[Fingerprint, tuple[Finding, ...]]:
    """Keep what is new; one point of a layer is news again only if its verdict is another."""
    if not found:
        return state, ()
    known = {(each.layer, each.point, each.verdict) for each in state.findings}
    news: dict[tuple[Layer, str, Verdict], Finding] = {}
    for finding in found:
        news.setdefault((finding.layer, finding.point, finding.verdict), finding)
    fresh = tuple(finding for key, finding in news.items() if key not in known)
    if not fresh:
        return state, ()
    worst = max(state.verdict, *(finding.verdict for finding in fresh))
    return replace(state, verdict=worst, findings=(*state.findings, *fresh)), fresh
