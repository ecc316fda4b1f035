"""What is kept of a setpoint that may be in force: all that its zero needs. Pure.

It is committed with the record that precedes the first frame, and goes only with a verified zero or
an operator's declaration: never because a safety file, a digest, the clock or a key changed. So it
holds the figures and the rows, and is read without any of them. What cannot be read counts as in
force.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from gateway.control.strictjson import StrictJsonError, parse_object
from gateway.control.watchdog.kept_meter import UNKNOWN_METER, KeptMeter, read_meter
from gateway.ports import CrobOp, Variation

if TYPE_CHECKING:
    from collections.abc import Mapping

Sides = tuple[float | None, float | None]  # W > 0, charging and discharging; None: not known


@dataclass(frozen=True, slots=True)
class KeptRow:
    """One control of zero, in the outstation's raw words, and the echo that shows it."""

    point: str
    value: float | str  # a number, or a CROB operation
    variation: str
    sbo: bool
    echo: str
    raw: float  # what the echo then reads
    slack: float  # and how far it may be off
    on_ms: int = 100  # of a relay's pulse
    off_ms: int = 100
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Obligation:
    """A setpoint of ours may be in force at this endpoint."""

    number: str  # who takes it away names it
    host: str
    port: int
    outstation: int
    master: int
    map_digest: str
    rows: tuple[KeptRow, ...]  # of zero
    setpoint_w: float | None  # the last one signed; None: a mode or a reserve
    nameplate_w: float
    lease_s: float
    verify_s: float  # V
    deadman_s: float  # W
    heartbeat_s: float
    response_s: float  # r
    span_w: tuple[float, float] | None = None  # least and most signed since nothing was in force
    declared: str = ""  # by whom, and why: it is only said that nothing is in force
    zero_needs_beat: bool | None = None  # the RTAC refuses zero without a heartbeat; None: unknown
    meter: KeptMeter | None = None  # by which power is measured; None: not known
    # What the percent of a setpoint were of, W, charging and discharging: of the newest that was
    # written, and the least of all since nothing was in force; None: it was not in percent.
    base_w: Sides | None = None
    least_base_w: Sides | None = None

    @property
    def endpoint(self) -> str:
        """For people."""
        return f"{self.host}:{self.port}, outstation {self.outstation}, master {self.master}"

    def differs(self, other: Obligation) -> str:
        """What of ``other`` makes its zero another one; "" if it is the same."""
        if self.endpoint != other.endpoint:
            return f"it was written to {self.endpoint}, and the site now names {other.endpoint}"
        if self.rows != other.rows:
            return f"it was written by map {self.map_digest}, and the map is now {other.map_digest}"
        return ""

    def based_on(self, base_w: Sides | None) -> Obligation:
        """The same with a setpoint written in percent of ``base_w``."""
        if base_w is None:
            return self
        known = [one for one in (self.least_base_w, base_w) if one is not None]
        charge_w, discharge_w = (
            min((side for side in sides if side is not None), default=None)
            for sides in zip(*known, strict=True)
        )
        return replace(self, base_w=base_w, least_base_w=(charge_w, discharge_w))

    def moved_to(self, here: Obligation) -> Obligation:
        """The same setpoint, with the zero of ``here``: it is read there."""
        signed = {"setpoint_w": self.setpoint_w, "span_w": self.span_w, "number": self.number}
        return replace(here, **signed)  # type: ignore[arg-type]  # by name

    def meter_beside(self, other: Obligation) -> KeptMeter | None:
        """By what power is measured where ``other`` has another row for it; None: it has not."""
        if self.endpoint != other.endpoint:
            return None  # it says nothing there
        if self.meter is None:
            return None if self.map_digest == other.map_digest else UNKNOWN_METER
        return None if self.meter.is_row_of(other.meter) else self.meter


def spanned(
    span_w: tuple[float, float] | None, setpoint_w: float | None
) -> tuple[float, float] | None:
    """Least and most, with one more; a mode or a reserve (None) may move power to anything."""
    if span_w is None or setpoint_w is None:
        return None
    return min(span_w[0], setpoint_w), max(span_w[1], setpoint_w)


def needs_beat(now: bool | None, kept: bool | None) -> bool | None:  # noqa: FBT001 - two of a kind
    """Whether zero needs a heartbeat, by what is known now and what was kept.

    Where they differ, or either knows nothing, nobody knows: a refused zero is then tried with one.
    """
    return now if now is kept else None


def fact_of_force(asset: str, found: Obligation | None) -> dict[str, str | None]:
    """A setpoint may be in force; None: nothing is."""
    text = None if found is None else json.dumps(asdict(found), sort_keys=True)
    return {f"{asset}/in-force": text}


def fact_of_group(asset: str, *, used: bool) -> dict[str, str | None]:
    """Zero, beat, zero was used for this demand."""
    return {f"{asset}/group": json.dumps({"used": True}) if used else None}


def fact_of_tries(asset: str, count: int) -> dict[str, str | None]:
    """So many starts found something in force, one after the other; 0: none did."""
    return {f"{asset}/tries": json.dumps({"starts": count}) if count else None}


def tries(facts: Mapping[str, str], asset: str) -> int:
    """How many starts found something in force since nothing was; what cannot be read is one."""
    text = facts.get(f"{asset}/tries")
    if text is None:
        return 0
    try:
        count = parse_object(text.encode()).get("starts")
    except StrictJsonError:
        return 1
    return count if isinstance(count, int) and count > 0 else 1


def obligation(facts: Mapping[str, str], asset: str) -> Obligation | None:
    """What ``facts`` say is in force; None also where they cannot be read: see ``is_in_force``."""
    try:
        body = parse_object(facts.get(f"{asset}/in-force", "").encode())
        rows = body.pop("rows")
        assert isinstance(rows, list)
        kept = tuple(KeptRow(**row) for row in rows)
        span = body.pop("span_w", None)
        assert span is None or isinstance(span, list)
        span_w = None if span is None else tuple(span)
        meter = read_meter(body.pop("meter", None))
        bases = {name: _sides(body.pop(name, None)) for name in ("base_w", "least_base_w")}
        found = Obligation(rows=kept, span_w=span_w, meter=meter, **bases, **body)  # type: ignore[arg-type]  # judged below
        return _sound(found)
    except (StrictJsonError, TypeError, KeyError, ValueError, AssertionError):
        return None


def _sides(body: object) -> Sides | None:
    if body is None:
        return None
    assert isinstance(body, list)
    charge_w, discharge_w = body
    assert all(one is None or one > 0 for one in body)
    return charge_w, discharge_w


def _sound(found: Obligation) -> Obligation | None:
    """None where a figure is none: such a comparison also raises ``TypeError``."""
    times = (found.lease_s, found.verify_s, found.deadman_s, found.heartbeat_s, found.response_s)
    least_w, most_w = found.span_w or (0.0, 0.0)
    numbers = (*times, 1.0 if found.setpoint_w is None else abs(found.setpoint_w) + 1.0)
    texts = (found.number, found.host, found.map_digest, found.declared)
    counts = (found.port, found.outstation, found.master)
    sound = (
        all(one > 0 for one in numbers)
        and all(isinstance(one, str) for one in texts)
        and all(isinstance(one, int) for one in counts)
        and found.nameplate_w > 0
        and least_w <= 0 <= most_w
        and found.zero_needs_beat in (None, True, False)
        and all(map(_is_row, found.rows))
    )
    return found if sound else None


def _is_row(row: KeptRow) -> bool:
    """Whether it can be written and its echo judged: else it is none that we kept."""
    operates = isinstance(row.value, str) and row.value in set(CrobOp)
    counts = isinstance(row.value, int | float) and not isinstance(row.value, bool)
    return (
        isinstance(row.point, str)
        and isinstance(row.echo, str)
        and isinstance(row.sbo, bool)
        and row.point[:2] in ("AO", "BO")
        and (operates if row.point[:2] == "BO" else counts)
        and row.variation in set(Variation)
        and row.slack >= 0
        and abs(row.raw) >= 0
        and all(isinstance(one, int) for one in (row.on_ms, row.off_ms, row.count))
    )


def is_in_force(facts: Mapping[str, str], asset: str) -> bool:
    """Whether anything may be in force; what was only declared gone is not."""
    found = obligation(facts, asset)
    return f"{asset}/in-force" in facts and (found is None or not found.declared)


def is_kept(facts: Mapping[str, str], asset: str) -> bool:
    """Whether ``facts`` say anything of it: in force, declared gone, or what cannot be read."""
    return f"{asset}/in-force" in facts


def was_grouped(facts: Mapping[str, str], asset: str) -> bool:
    """Whether zero, beat, zero was used for the demand that is open."""
    return f"{asset}/group" in facts


def assets_in_force(facts: Mapping[str, str]) -> frozenset[str]:
    """Every asset of which something may be in force, in site.toml or not."""
    names = (key.removesuffix("/in-force") for key in facts if key.endswith("/in-force"))
    return frozenset(name for name in names if is_in_force(facts, name))
