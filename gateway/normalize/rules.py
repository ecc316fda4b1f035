"""The rows of the normalized state: for each field, the first rule that is usable wins.

Usable means better than BAD. Where no rule is usable, a BAD reading of the field's own point is
returned, so that people see that the outstation disowns it. The quality of a calculated value is
the worst of its inputs and at best DERIVED; its time is that of its first input.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gateway.measured import USABLE, Measured, Quality
from gateway.normalize.charging import ChargingState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CONFIGURED = "configured"  # source of values from site.toml
MAX_CHARGE_SHARE = 1.1  # of capacity: energy above it is implausible
_SOC_SLACK_PCT = 1.0  # a BMS may say 100.4 % after calibration; beyond it the point is wrong
_DERIVED = "derived:"


def usable(measured: Measured | None) -> Measured | None:
    """``measured`` if it may be used, else None."""
    return measured if measured is not None and measured.quality <= USABLE else None


def number(measured: Measured | None) -> float | None:
    """Value of a usable, finite, numeric reading; else None."""
    if measured is None or measured.quality > USABLE or isinstance(measured.value, bool | str):
        return None
    try:
        value = float(measured.value)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def first(*candidates: Measured | None) -> Measured | None:
    """Return the first usable of ``candidates``; else the first that is there at all."""
    there = [one for one in candidates if one is not None]
    return next((one for one in there if usable(one)), there[0] if there else None)


def configured(value: float | str, *, at_ms: int) -> Measured:
    """Build a value that the site's configuration gives."""
    return Measured(value, Quality.DERIVED, at_ms, CONFIGURED)


def worse(measured: Measured, quality: Quality) -> Measured:
    """``measured`` at ``quality`` or worse."""
    if measured.quality >= quality:
        return measured
    return Measured(measured.value, quality, measured.at_ms, measured.source)


def derive(value: float | str, *inputs: Measured) -> Measured | None:
    """Build a value calculated from ``inputs``; None if it is not finite."""
    if not isinstance(value, str) and not math.isfinite(value):
        return None
    quality = max(Quality.DERIVED, *(one.quality for one in inputs))
    sources = dict.fromkeys(
        part for one in inputs for part in one.source.removeprefix(_DERIVED).split(",")
    )
    return Measured(value, quality, inputs[0].at_ms, _DERIVED + ",".join(sources))


def _within(measured: Measured | None, *, lo: float, hi: float) -> Measured | None:
    """``measured`` if it is a number in lo..hi; a usable one outside is graded BAD."""
    value = number(measured)
    if measured is None or usable(measured) is None:
        return measured
    if value is not None and lo <= value <= hi:
        return measured
    return worse(measured, Quality.BAD)


def _magnitude(measured: Measured | None) -> Measured | None:
    """``measured`` without sign: some vendors write charging limits as negative power."""
    value = number(measured)
    if measured is None or value is None:
        return None if measured is None else worse(measured, Quality.BAD)
    return Measured(abs(value), measured.quality, measured.at_ms, measured.source)


def _percent(measured: Measured | None, *, slack: float) -> Measured | None:
    """``measured`` held to 0..100 %: questionable within ``slack`` outside, BAD beyond."""
    value = number(measured)
    if measured is None or usable(measured) is None:
        return measured
    if value is None or not -slack <= value <= 100.0 + slack:
        return worse(measured, Quality.BAD)
    if 0.0 <= value <= 100.0:  # noqa: PLR2004 - percent
        return measured
    quality = max(measured.quality, Quality.QUESTIONABLE)
    return Measured(min(100.0, max(0.0, value)), quality, measured.at_ms, measured.source)


def capacity(
    point: Measured | None, nameplate: Measured | None, site_wh: float, *, at_ms: int
) -> Measured:
    """Capacity (Wh): its point; else the nameplate point; else the site's configuration."""
    for one in (point, nameplate):
        if (value := number(one)) is not None and value > 0.0:
            assert one is not None
            return one
    return configured(site_wh, at_ms=at_ms)


def charge_percentage(
    soc: Measured | None, stored: Measured | None, capacity_wh: Measured
) -> Measured | None:
    """State of charge (%): its point; else stored energy in percent of capacity."""
    shares = None
    energy, full = number(stored), number(capacity_wh)
    if stored is not None and energy is not None and full:
        shares = derive(100.0 * (energy / full), stored, capacity_wh)
    slack = 100.0 * (MAX_CHARGE_SHARE - 1.0)
    return first(_percent(soc, slack=_SOC_SLACK_PCT), _percent(shares, slack=slack))


def charge(stored: Measured | None, soc: Measured | None, capacity_wh: Measured) -> Measured | None:
    """Stored energy (Wh): its point within 0..1.1 of capacity; else capacity x SOC."""
    full = number(capacity_wh) or 0.0
    from_soc = None
    held = _percent(soc, slack=_SOC_SLACK_PCT)
    percent = number(held)
    if held is not None and percent is not None:
        from_soc = derive(full * (percent / 100.0), held, capacity_wh)
    return first(_within(stored, lo=0.0, hi=MAX_CHARGE_SHARE * full), from_soc)


def charge_rate(power: Measured | None, inverters: Iterable[Measured | None]) -> Measured | None:
    """Active power (W, + discharges): its point; else the sum over all inverters."""
    parts = list(inverters)
    values = [number(one) for one in parts]
    total = None
    if parts and None not in values:
        known = [one for one in parts if one is not None]
        total = derive(sum(value for value in values if value is not None), *known)
    own = power if power is None or number(power) is not None else worse(power, Quality.BAD)
    return first(own, total)


def reported_state(
    state: Measured | None, bits: Mapping[ChargingState, Measured | None]
) -> Measured | None:
    """Charging state by the site's own word: the enum; else exactly one of the ``is_*`` bits.

    A name other than charging, discharging and idle is no answer: the next rule decides.
    """
    named = usable(state)
    if named is not None and named.value in _STATES:
        return named
    there = [(name, bit) for name, bit in bits.items() if bit is not None]
    if not there or not all(usable(bit) for _, bit in there):
        return None
    on = [(name, bit) for name, bit in there if bit.value]
    if len(on) != 1:
        return None
    (name, bit), *_ = on
    quality = max(one.quality for _, one in there)
    at_ms = max(one.at_ms for _, one in there)
    return Measured(name.value, quality, at_ms, bit.source)


_STATES = frozenset(("charging", "discharging", "idle"))


def charging_state(
    reported: Measured | None, settled: ChargingState, rate_w: Measured | None, *, conflict: bool
) -> Measured | None:
    """Charging state: as reported, questionable if power contradicts it; else by power's sign."""
    if reported is not None:
        return worse(reported, Quality.QUESTIONABLE) if conflict else reported
    if rate_w is None or number(rate_w) is None or settled is ChargingState.UNKNOWN:
        return None
    return derive(settled.value, rate_w)


def static_limit(point: Measured | None, site_w: float, *, at_ms: int) -> Measured:
    """Static power limit (W >= 0): the smaller of the map's point and the site's configuration.

    The point counts as an input even where the site's limit is the smaller one: were the point
    read now, it might be the smaller.
    """
    site = configured(site_w, at_ms=at_ms)
    mapped = _magnitude(point)
    value = number(mapped)
    if mapped is None or value is None:
        return site
    return mapped if value <= site_w else worse(site, mapped.quality)


def available(
    point: Measured | None, limit: Measured, percent: Measured | None, *, at_limit: bool
) -> Measured | None:
    """Power available now (W >= 0): its point; else the static limit, 0 at the SOC limit.

    Unknown without a state of charge: a battery of unknown charge promises nothing.
    """
    calculated = None
    held = usable(percent)
    if held is not None:
        calculated = derive(0.0 if at_limit else float(limit.value), limit, held)
    return first(_magnitude(point), calculated)


def reserve(point: Measured | None, site_pct: float | None, *, at_ms: int) -> Measured | None:
    """Backup reserve (%): its point; else the site's configuration, marked so."""
    site = None if site_pct is None else configured(site_pct, at_ms=at_ms)
    return first(_percent(point, slack=_SOC_SLACK_PCT), site)


def authority(point: Measured | None, local: Measured | None) -> Measured | None:
    """Who may command: the authority point; else "local" or "remote" by the local switch."""
    if point is not None and usable(point):
        value = point.value
        named = value if isinstance(value, str) else f"{value:g}"
        return Measured(named, point.quality, point.at_ms, point.source)
    if local is not None and usable(local):
        named = "local" if local.value else "remote"
        return Measured(named, local.quality, local.at_ms, local.source)
    return first(point, local)


def mode(point: Measured | None, enabled: Iterable[tuple[str, Measured]]) -> Measured | None:
    """Operating mode: its point; else the names of the modes whose ``mode_enabled`` bit is on."""
    bits = list(enabled)
    by_bits = None
    if bits and all(usable(bit) for _, bit in bits):
        on = "+".join(sorted(name for name, bit in bits if bit.value)) or "none"
        by_bits = derive(on, *(bit for _, bit in bits))
    named = point
    if point is not None and not isinstance(point.value, str):
        named = Measured(f"{point.value:g}", point.quality, point.at_ms, point.source)
    return first(named, by_bits)
