"""What commissioning has proved for an asset, as the facts that the audit log keeps. Pure.

A fact that cannot be read counts as absent. One is the other way round: a word that control was
disabled, however garbled, keeps it off.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.control.strictjson import StrictJsonError, parse_object

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Proof:
    """A test that passed, on one points map."""

    map_digest: str  # "sha256:<hex>"
    unix_ms: int  # when it passed
    idle_w: float | None = None  # power of the idle battery, as the sign test measured it


@dataclass(frozen=True, slots=True)
class Commissioned:
    """What is on record for one asset."""

    acknowledged: str | None = None  # digest of the safety.toml that an operator acknowledged
    sign_test: Proof | None = None
    deadman_test: Proof | None = None
    disabled_by: str | None = None  # the operator who disabled control; None: nobody


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
    body: dict[str, object] = {"map": passed.map_digest, "at": passed.unix_ms}
    if passed.idle_w is not None:
        body["idleW"] = passed.idle_w
    return {f"{asset}/sign-test": _json(**body)}


def fact_of_deadman_test(asset: str, passed: Proof) -> dict[str, str | None]:
    """The setpoint went to zero when our heartbeat stopped."""
    return {f"{asset}/deadman-test": _json(map=passed.map_digest, at=passed.unix_ms)}


def fact_of_disabled(asset: str, user: str) -> dict[str, str | None]:
    """The operator ``user`` disabled control."""
    return {f"{asset}/disabled": _json(by=user)}


def fact_of_enabled(asset: str) -> dict[str, str | None]:
    """Control is not disabled by anybody any more."""
    return {f"{asset}/disabled": None}


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
    idle_w = _object(fact).get("idleW")
    known = isinstance(idle_w, int | float) and not isinstance(idle_w, bool)
    return Proof(digest, at, float(idle_w) if known else None)  # type: ignore[arg-type]  # a number


def _disabled_by(fact: str | None) -> str | None:
    return None if fact is None else _text(fact, "by") or "unknown"
