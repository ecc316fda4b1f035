"""safety.toml as frozen settings. Words: ``safety_reader`` makes them, a shell reads key files.

What a reader would get wrong: approval, lease, idle verification and the RTAC's dead-man have no
default, because a site must have thought of them. The digest covers every setting and the bytes of
every key, so that an exchanged key file cannot pass as acknowledged.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA = "bess.safety/1"
APPROVALS = ("monitor", "envelope", "dual", "local")
ROLES = ("dispatcher", "approver", "emergency", "heartbeat", "config")
ALGORITHMS = ("EdDSA", "ES256")
TICK_S = 0.25
RTAC_SCAN_S = 1.0
FRESH_S = 15.0  # for which what was read counts as fresh; critical points are read every 5 s


@dataclass(frozen=True, slots=True)
class WatchdogSettings:
    """``[watchdog]``, all in seconds. Source: the parameter table of section 7."""

    lease_s: float
    challenge_s: float
    heartbeat_s: float
    rtac_deadman_s: float
    idle_verify_s: float
    reversion_s: float
    reversion_refresh_s: float
    max_dispatch_s: float
    preempted: str  # yield | reassert_idle


@dataclass(frozen=True, slots=True)
class SharedLimitSettings:
    """``[limits.site]``: what all assets together may take."""

    max_charge_w: float | None  # None: no limit this way
    max_discharge_w: float | None

    @property
    def most_w(self) -> tuple[float, float]:
        """Charging and discharging, W; inf without a limit."""
        both = (self.max_charge_w, self.max_discharge_w)
        charge_w, discharge_w = (math.inf if one is None else one for one in both)
        return charge_w, discharge_w


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """``[limits]``: of each asset, and of all of them together."""

    max_charge_w: float
    max_discharge_w: float
    min_soc_pct: float
    max_soc_pct: float
    ramp_w_per_s: float
    command_interval_s: float = 2.0  # between two power commands of one asset, at least
    commands_per_5_min: int = 30  # of power, of one asset, at most
    modes: tuple[str, ...] = ()  # that may be commanded, by name
    reserve_min_pct: float | None = None  # None: no reserve may be commanded
    reserve_max_pct: float | None = None
    site: SharedLimitSettings | None = None

    @property
    def reserve_pct(self) -> tuple[float, float] | None:
        """Lowest and highest reserve that may be commanded, %; None: none."""
        if self.reserve_min_pct is None or self.reserve_max_pct is None:
            return None
        return self.reserve_min_pct, self.reserve_max_pct

    @property
    def ramp_to_zero_s(self) -> float:
        """From the larger limit to zero, s."""
        return max(self.max_charge_w, self.max_discharge_w) / self.ramp_w_per_s


@dataclass(frozen=True, slots=True)
class TrustedKeySettings:
    """``[[trusted_key]]``: who may sign what, and when."""

    kid: str
    roles: tuple[str, ...]
    public_key_file: str
    algorithm: str  # EdDSA | ES256; "" to take it from the key
    not_before_ms: int | None  # Unix ms, UTC: first instant at which it counts
    not_after_ms: int  # first instant at which it does not count any more
    revoked: bool


@dataclass(frozen=True, slots=True)
class RiskAcceptance:
    """``[risk_acceptance]``: control although no layer below the gateway can end a setpoint."""

    name: str
    date: str  # ISO 8601
    reason: str


@dataclass(frozen=True, slots=True)
class SafetySettings:
    """The whole of safety.toml."""

    file: str
    approval: str
    approval_threshold_w: float
    watchdog: WatchdogSettings
    limits: LimitSettings
    keys: tuple[TrustedKeySettings, ...]
    risk: RiskAcceptance | None

    def digest(self, public_keys: Mapping[str, bytes]) -> str:
        """SHA-256 over the canonical JSON of all of it, as "sha256:<hex>".

        Args:
            public_keys: content of every key file, by kid.
        """
        body = asdict(self)
        del body["file"]
        for key, entry in zip(self.keys, body["keys"], strict=True):
            entry["public_key_file"] = hashlib.sha256(public_keys[key.kid]).hexdigest()
        body["keys"] = sorted(body["keys"], key=lambda entry: entry["kid"])
        text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ZeroPath:
    """What the bounds take from an asset's map and session: how zero gets to its RTAC."""

    response_s: float  # r, the session's response timeout
    controls: int = 1  # n, up to the one that carries power
    sbo: bool = False  # each is selected before it is operated
    beat_sbo: bool = False  # and so is the heartbeat
    reads: int = 1  # q, requests of one critical read
    dead_man: bool = True  # the RTAC hears a heartbeat of ours
    reversion: bool = False  # the device has a timer of its own
    answer_s: float | None = None  # a, the longest answer that commissioning timed; None: unknown
    connect_s: float | None = None  # c, until a new connection can be used; None: unknown
    wait_s: float | None = None  # r, where ``response_s`` is a

    @property
    def timed(self) -> ZeroPath | None:
        """The same with what an answer took at most, instead of what it may; None: unknown."""
        if self.answer_s is None:
            return None
        return replace(self, response_s=self.answer_s, wait_s=self.response_s)

    @property
    def text(self) -> str:
        """For people: what a zero is made of."""
        controls = "1 control" if self.controls == 1 else f"{self.controls} controls"
        return f"{controls}, {'select before operate' if self.sbo else 'direct operate'}"

    @property
    def control_s(self) -> float:
        """S r: of one control, from its first request to its last answer."""
        return (2 if self.sbo else 1) * self.response_s

    @property
    def zero_s(self) -> float:
        """N s r: of a zero, up to the control that carries power."""
        return self.controls * self.control_s

    @property
    def underway_s(self) -> float:
        """U: what may be under way before it, a control of ours."""
        return self.control_s

    @property
    def read_dropped_s(self) -> float | None:
        """U, where reads that take longer than r are dropped: n (r + c + r), c where it is known.

        Of a zero of two controls the second may have to drop the poll that the new connection
        began with. None: a new connection takes longer than the zero waits: nothing is dropped.
        """
        wait_s = self.response_s if self.wait_s is None else self.wait_s
        connect_s = self.connect_s or 0.0
        if connect_s > wait_s:
            return None
        return self.controls * (wait_s + connect_s + self.response_s)

    @property
    def least_verify_s(self) -> float:
        """The least V: what is under way, zero, its echo read; and zero once more."""
        return self.underway_s + 2 * self.zero_s + (1 + self.reads) * self.response_s


def most_answer_s(reads: int, deadman_s: float, *, sbo: bool) -> float:
    """The longest answer time, s, at which neither heartbeats nor critical reads starve.

    Heartbeat, critical read and others take turns: (1 + q) a <= W / 3, and (5 + q) a <= 15 s. And
    before a heartbeat that is older than W / 2 a read and a reduction may be under way, which take
    (1 + 2 s) a with the heartbeat itself.
    Source: SPECIFICATION.md, section 7, "Order of outputs".

    Args:
        reads: q, requests of one critical read.
        deadman_s: W.
        sbo: s = 2: analog outputs are selected first; else 1.
    """
    turns = 1 + 2 * (2 if sbo else 1)
    return min(deadman_s / 3 / (1 + reads), FRESH_S / (5 + reads), deadman_s / 2 / turns)


def slow(answer_s: float, reads: int, deadman_s: float, *, sbo: bool) -> str:
    """What is wrong with an RTAC that was seen to take ``answer_s`` for an answer; "": nothing."""
    most_s = most_answer_s(reads, deadman_s, sbo=sbo)
    if answer_s <= most_s:
        return ""
    requests = "1 request" if reads == 1 else f"{reads} requests"
    return (
        f"an answer took {answer_s:.3g} s: must be at most {most_s:.3g} s, for with {requests} of "
        f"a critical read (1 + q) a must be at most W / 3 = {deadman_s / 3:g} s, (5 + q) a at most "
        f"{FRESH_S:g} s, and {5 if sbo else 3} a at most W / 2 = {deadman_s / 2:g} s"
    )


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long a setpoint of ours can outlive its cause, s, the ramp to zero not counted.

    None where the map has nothing that could keep the bound.
    """

    cloud_dead_s: float  # A: the cloud is dead, the RTAC obeys
    # A where a long read is dropped for the zero, less the time to connect where that is not known;
    # None: none is dropped.
    read_dropped_s: float | None
    gateway_dead_s: float | None  # B: gateway, host, power or link is dead
    refused_s: float | None  # C: the RTAC answers but refuses zero
    reversion_s: float | None  # D: no RTAC logic and the link is dead


def bounds(watchdog: WatchdogSettings, path: ZeroPath) -> Bounds:
    """Bounds A to D of an asset. Source: the table of section 7, "Bounds"."""
    response_s = path.response_s
    told_s, dropped_s = watchdog.lease_s + TICK_S, path.read_dropped_s
    silent_s = watchdog.rtac_deadman_s + RTAC_SCAN_S
    beat_s = (2 if path.beat_sbo else 1) * response_s  # the last one may be under way
    return Bounds(
        cloud_dead_s=told_s + path.underway_s + path.zero_s,
        read_dropped_s=None if dropped_s is None else told_s + dropped_s + path.zero_s,
        gateway_dead_s=silent_s + response_s if path.dead_man else None,
        refused_s=told_s + watchdog.idle_verify_s + beat_s + silent_s if path.dead_man else None,
        reversion_s=watchdog.reversion_s + response_s if path.reversion else None,
    )
