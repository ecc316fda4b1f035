"""What commissioning has proved for an asset, as the facts that the audit log keeps. Pure.

A fact that cannot be read counts as absent. One is the other way round: a word that control was
disabled, however garbled, keeps it off.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from gateway.control.strictjson import StrictJsonError, parse_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_Figure = TypeVar("_Figure", float, bool)
DEADMAN_MARGIN_S = 5.0  # beyond W: how long the RTAC's dead-man may take
_SECONDS = {"answer_s": "answerS", "connect_s": "connectS", "zero_s": "zeroS"}
_IDLE, _NEEDS = "idleW", "zeroNeedsBeat"


@dataclass(frozen=True, slots=True)
class Findings:
    """What the tests measured of a site; None: not known, as by a test of an older version."""

    idle_w: float | None = None  # power of the idle battery
    answer_s: float | None = None  # a: the longest that a control or a critical read took
    connect_s: float | None = None  # c: from a dropped connection until a zero would be answered
    zero_s: float | None = None  # from the last heartbeat until the dead-man's zero was read
    zero_needs_beat: bool | None = None  # whether the RTAC refuses zero without a heartbeat


@dataclass(frozen=True, slots=True)
class Proof:
    """A test that passed, on one points map."""

    map_digest: str  # "sha256:<hex>"
    unix_ms: int  # when it passed
    found: Findings = Findings()

    def shows_deadman(self, deadman_s: float) -> bool:
        """Whether the dead-man acted in time for W = ``deadman_s``, perhaps a lower one now."""
        zero_s = self.found.zero_s
        return zero_s is None or zero_s <= deadman_s + DEADMAN_MARGIN_S


@dataclass(frozen=True, slots=True)
class Commissioned:
    """What is on record for one asset."""

    acknowledged: str | None = None  # digest of the safety.toml that an operator acknowledged
    sign_test: Proof | None = None
    deadman_test: Proof | None = None
    disabled_by: str | None = None  # the operator who disabled control; None: nobody

    def findings(self, map_digest: str) -> Findings:
        """All that was measured through this points map; of two figures the worse one."""
        tests = (self.sign_test, self.deadman_test)
        found = [one.found for one in tests if one is not None and one.map_digest == map_digest]
        return Findings(
            idle_w=_worst(one.idle_w for one in found),
            answer_s=_worst(one.answer_s for one in found),
            connect_s=_worst(one.connect_s for one in found),
            zero_s=_worst(one.zero_s for one in found),
            zero_needs_beat=_worst(one.zero_needs_beat for one in found),
        )


def commissioned(facts: Mapping[str, str], asset: str) -> Commissioned:
    """Read what the audit log's ``facts`` say of ``asset``."""
    return Commissioned(
        acknowledged=_text(facts.get(f"{asset}/acknowledged"), "safety"),
        sign_test=_proof(facts.get(f"{asset}/sign-test")),
        deadman_test=_proof(facts.get(f"{asset}/deadman-test")),
        disabled_by=_disabled_by(facts.get(f"{asset}/disabled")),
    )


def fact_of_acknowledgement(asset: str, safety_digest: str) -> dict[str, str | None]:
    """An operator acknowledged the safety.toml with this digest."""
    return {f"{asset}/acknowledged": _json(safety=safety_digest)}


def fact_of_sign_test(asset: str, passed: Proof) -> dict[str, str | None]:
    """Measured power followed a small setpoint in both directions."""
    return {f"{asset}/sign-test": _passed(passed)}


def fact_of_deadman_test(asset: str, passed: Proof) -> dict[str, str | None]:
    """The setpoint went to zero when our heartbeat stopped."""
    return {f"{asset}/deadman-test": _passed(passed)}


def fact_of_disabled(asset: str, user: str) -> dict[str, str | None]:
    """The operator ``user`` disabled control."""
    return {f"{asset}/disabled": _json(by=user)}


def fact_of_enabled(asset: str) -> dict[str, str | None]:
    """Control is not disabled by anybody any more."""
    return {f"{asset}/disabled": None}


def measured(figures: Mapping[str, object]) -> Findings:
    """What of ``figures``, by their names on the wire, counts; what is none is not known."""
    seconds = {key: _number(figures.get(name)) for key, name in _SECONDS.items()}
    needs = figures.get(_NEEDS)
    return Findings(
        idle_w=_number(figures.get(_IDLE)),
        zero_needs_beat=needs if isinstance(needs, bool) else None,
        **{key: value for key, value in seconds.items() if value is not None and value > 0},
    )


def _passed(proof: Proof) -> str:
    found = proof.found
    figures = {name: getattr(found, key) for key, name in _SECONDS.items()}
    figures |= {_IDLE: found.idle_w, _NEEDS: found.zero_needs_beat}
    known = {name: value for name, value in figures.items() if value is not None}
    return _json(map=proof.map_digest, at=proof.unix_ms, **known)


def _worst(found: Iterable[_Figure | None]) -> _Figure | None:
    return max((one for one in found if one is not None), default=None)


def _number(found: object) -> float | None:
    if not isinstance(found, int | float) or isinstance(found, bool):
        return None
    return float(found) if math.isfinite(found) else None


def _json(**values: object) -> str:
    return json.dumps(values, sort_keys=True, separators=(",", ":"))


def _object(fact: str | None) -> dict[str, object]:
    try:
        return parse_object((fact or "{}").encode())
    except (StrictJsonError, UnicodeEncodeError):
        return {}


def _text(fact: str | None, key: str) -> str | None:
    found = _object(fact).get(key)
    return found if isinstance(found, str) and found else None


def _proof(fact: str | None) -> Proof | None:
    digest, at = _text(fact, "map"), _object(fact).get("at")
    if digest is None or not isinstance(at, int) or isinstance(at, bool) or at < 0:
        return None
    return Proof(digest, at, measured(_object(fact)))


def _disabled_by(fact: str | None) -> str | None:
    return None if fact is None else _text(fact, "by") or "unknown"
