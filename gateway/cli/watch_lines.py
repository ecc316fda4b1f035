"""What ``watch`` shows, as lines of text that fit a terminal. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway import clock
from gateway.cli import views

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

REASONS, ASSETS = 4, 6  # lines of each on a terminal; the rest is counted
KEYS = "q quit  n next battery  space/b page  / filter"
_WORDS = {True: "on", False: "off", None: "-"}


@dataclass(frozen=True, slots=True)
class View:
    """What is looked at. ``height`` and ``width`` in characters; None: no limit, a pipe."""

    asset: str = ""  # "" for the first
    first: int = 0  # points left out before the first that is shown
    match: str = ""
    typing: bool = False  # ``match`` is being typed
    width: int | None = None
    height: int | None = None


def lines(answer: Mapping[str, Any], view: View) -> list[str]:
    """One frame, each line cut to the width, no more of them than the height."""
    if "error" in answer:
        return [views.plain(answer["error"])]
    short = view.height is not None
    found = [_head(answer), *_reasons(answer["reasons"], REASONS if short else None)]
    found += _glances(answer, view)
    for name, detail in answer["detail"].items():
        found += _battery(name, answer["assets"][name]["control"], detail["state"])
        if not short:
            found += _fields(detail["state"])
        room = None if view.height is None else max(0, view.height - len(found) - 2)
        found += _points(detail, view, room)
    return [one if view.width is None else one[: view.width] for one in found]


def page(answer: Mapping[str, Any], view: View) -> int:
    """How many points fit below the rest of a frame: the step of a page."""
    if view.height is None or "error" in answer:
        return 1
    return max(1, sum(1 for one in lines(answer, view) if one.startswith(" ~ ")))


def _head(answer: Mapping[str, Any]) -> str:
    health = "healthy" if answer["healthy"] else "DEGRADED"
    broker = answer["broker"]
    link = "up" if broker["up"] else "DOWN"
    waiting = "?" if answer["waiting"] is None else f"{answer['waiting']:,}"
    return (
        f"{answer['gateway']} {health}  broker {link} {views.span(broker['sinceS'])}"
        f"  {waiting} waiting  disk {answer['diskFreePct']} % free"
    )


def _reasons(reasons: Sequence[str], most: int | None) -> Iterator[str]:
    shown = reasons if most is None or len(reasons) <= most else reasons[: most - 1]
    yield from (f"! {views.plain(one)}" for one in shown)
    if len(shown) < len(reasons):
        yield f"! and {len(reasons) - len(shown)} more: bess-gateway status"


def _glances(answer: Mapping[str, Any], view: View) -> Iterator[str]:
    """A line a battery; those that are wrong first, the chosen one always."""
    chosen = next(iter(answer["detail"]), "")
    wrong = {one.partition(":")[0] for one in answer["reasons"]}
    names = sorted(answer["glance"], key=lambda one: (one != chosen, one not in wrong))
    shown = names if view.height is None else names[:ASSETS]
    width = max([5, *(len(one) for one in shown)])
    yield f"  {'asset':<{width}} {'SOC':>8} {'power':>24}  {'state':<12} {'control':<8} quality"
    for name in shown:
        one = answer["glance"][name]
        soc = "-" if one["socPct"] is None else f"{one['socPct']:.1f} %"
        control = answer["assets"][name]["control"]["state"]
        mark = ("!" if name in wrong else " ") + (">" if name == chosen else " ")
        yield (
            f"{mark}{name:<{width}} {soc:>8} {power(one['powerW']):>24}  "
            f"{views.plain(one['state'] or '-'):<12} {control:<8} {one['quality'] or '-'}"
        )
    if len(shown) < len(names):
        yield f"  and {len(names) - len(shown)} more"


def power(power_w: float | None) -> str:
    """Signed, with the word that the sign means."""
    if power_w is None:
        return "-"
    word = "discharging" if power_w > 0 else "charging" if power_w < 0 else "idle"
    return f"{power_w / 1000:+,.1f} kW {word}" if power_w else "0.0 kW idle"


def _battery(name: str, control: Mapping[str, Any], state: Mapping[str, Any]) -> Iterator[str]:
    def kilo(key: str, unit: str) -> str:
        value = state.get(key)
        return "-" if value is None else f"{value / 1000:,.1f} {unit}"

    reserve = state.get("backupReserve")
    yield (
        f"{name}: charge {kilo('charge', 'kWh')}, reserve "
        f"{'-' if reserve is None else f'{reserve:g} %'}, may charge "
        f"{kilo('availableChargeRate', 'kW')}, discharge {kilo('availableDischargeRate', 'kW')}"
    )
    yield from (f"  {one}" for one in views.control_lines(control)[:4])
    for kind in ("faults", "alarms"):
        for alarm in state["enrichment"][kind]:
            yield f"  {alarm['priority']} {views.plain(alarm['code'])} since {alarm['since']}"
    poor = [
        f"{field} {note['quality']}"
        for field, note in state["fields"].items()
        if note["quality"] not in ("good", "missing")
    ]
    if poor:
        yield f"  not good: {', '.join(poor)}"


def _fields(state: Mapping[str, Any]) -> Iterator[str]:
    for field, note in state["fields"].items():
        value = state.get(field, state["enrichment"].get(field))
        yield (f"  {field:<24} {shown(value):>16} {note['quality']:<13} {note['source'] or '-'}")


def _points(detail: Mapping[str, Any], view: View, room: int | None) -> Iterator[str]:
    rows = detail["points"] if room is None else detail["points"][:room]
    yield f"   {'point':<7} {'name':<26} {'raw':>12} {'value':>16} {'quality':<13}time"
    for one in rows:
        value = shown(one["value"])
        unit = one["unit"] if one["unit"] not in (None, "bool", "enum") else ""
        yield (
            f" ~ {one['point']:<7} {views.plain(one['name'] or '(not in the map)'):<26.26} "
            f"{views.plain(one['raw']):>12.12} {f'{value} {unit}'.strip():>16.16} "
            f"{one['quality'] or '-':<13}{clock.local_time(one['atMs'])[11:19]}"
        )
    last, matched = view.first + len(rows), detail["matched"]
    where = f"points {view.first + bool(rows)}-{last} of {matched}"
    if view.match or view.typing:
        where += f" with {views.plain(view.match)!r}" + ("_" if view.typing else "")
    yield where if view.height is None else f"{where}   {KEYS}"


def shown(value: object) -> str:
    """A value of the field for people."""
    if value is None or isinstance(value, bool):
        return _WORDS[value]
    return f"{value:,}" if isinstance(value, int | float) else views.plain(value)
