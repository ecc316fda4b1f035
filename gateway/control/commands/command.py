"""Claims of ``bess.command/1``, read strictly from bytes.

Integers and strings only: a fraction, a boolean or a null is refused where a number is wanted, so
that no two readers can disagree about what was signed. Nothing here looks at a signature.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

from gateway.control.commands.reasons import Reason, Rejected
from gateway.control.strictjson import StrictJsonError, parse_object

SCHEMA = "bess.command/1"
MAX_DURATION_S = 86_400  # the largest that any site may allow
FULL_PCT = 100
_LISTED = 13  # names in a message: all claims, were they missing
_CLAIMS = frozenset(
    {
        "schema",
        "id",
        "gateway",
        "asset",
        "session",
        "challenge",
        "seq",
        "issuedAt",
        "expiresAt",
        "mapDigest",
        "safetyDigest",
        "type",
        "params",
    }
)
_ULID = r"[0-7][0-9A-HJKMNP-TV-Z]{25}"  # Crockford's base 32, 128 bits
_ID = r"[A-Za-z0-9._-]{1,64}"
_NONCE = r"[A-Za-z0-9_-]{22}"  # 16 bytes in base64url
_DIGEST = r"sha256:[0-9a-f]{64}"
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z\Z")
_ISO = "%Y-%m-%dT%H:%M:%S.%fZ"


class Verb(StrEnum):
    """What may be commanded."""

    SETPOINT = "setpoint"
    CHARGE = "charge"
    DISCHARGE = "discharge"
    IDLE = "idle"
    MODE = "mode"
    RESERVE = "reserve"
    RELEASE = "release"
    ARM = "arm"
    DISARM = "disarm"
    ESTOP = "estop"
    ALARM_RESET = "alarm_reset"

    @property
    def power(self) -> bool:
        """Whether it asks for active power."""
        return self in _POWER

    @property
    def withdraws(self) -> bool:
        """Whether it only takes power away: it needs neither approval nor arming."""
        return self in _WITHDRAWS


_POWER = frozenset({Verb.SETPOINT, Verb.CHARGE, Verb.DISCHARGE})
_WITHDRAWS = frozenset({Verb.IDLE, Verb.DISARM, Verb.RELEASE, Verb.ESTOP})


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What was asked for. Fields that the verb does not have are None."""

    id: str  # ULID
    gateway: str
    asset: str
    session: str  # the boot nonce that the sender saw
    challenge: int
    seq: int
    issued_ms: int  # Unix ms
    expires_ms: int  # Unix ms
    map_digest: str
    safety_digest: str
    verb: Verb
    power_w: int | None = None  # W, positive discharges, whatever the verb
    duration_s: int | None = None  # 1..86400
    ramp_w_per_s: int | None = None  # > 0
    min_soc_pct: int | None = None  # 0..100
    max_soc_pct: int | None = None  # 0..100
    mode: str | None = None
    percent: int | None = None  # reserve, 0..100

    def params(self) -> dict[str, object]:
        """Every parameter that a verb can have, for people; None: this one has it not."""
        return {
            "powerW": self.power_w,
            "durationS": self.duration_s,
            "rampWPerS": self.ramp_w_per_s,
            "minSoc": self.min_soc_pct,
            "maxSoc": self.max_soc_pct,
            "mode": self.mode,
            "percent": self.percent,
        }


class _WrongError(Exception):
    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason, self.text = reason, text


def parse_command(payload: bytes) -> Command | Rejected:
    """Read the claims; nothing is trusted yet.

    Args:
        payload: the decoded payload of an envelope, at most 16 KiB.

    Returns:
        The command; or MALFORMED (no JSON object), SCHEMA (claims missing, unknown or of another
        type), UNSUPPORTED (a verb we do not know), PARAMS (what the verb needs is not there).
    """
    try:
        claims = parse_object(payload)
    except StrictJsonError as error:
        return Rejected(Reason.MALFORMED, f"the payload {error}")
    try:
        return _command(claims)
    except _WrongError as error:
        rejected = Rejected(error.reason, error.text)
        return replace(rejected, id=_known(claims, "id", _ULID), asset=_known(claims, "asset", _ID))


def _known(claims: dict[str, object], name: str, pattern: str) -> str | None:
    found = claims.get(name)
    return found if isinstance(found, str) and re.fullmatch(pattern, found) else None


def _command(claims: dict[str, object]) -> Command:
    if claims.get("schema") != SCHEMA:
        raise _WrongError(Reason.SCHEMA, f"schema: must be {SCHEMA!r}")
    if claims.keys() != _CLAIMS:
        missing, unknown = _CLAIMS - claims.keys(), claims.keys() - _CLAIMS
        text = f"missing: {_list(missing)}; unknown: {_list(unknown)}"
        raise _WrongError(Reason.SCHEMA, text)
    command = Command(
        id=_text(claims, "id", _ULID, "a ULID"),
        gateway=_text(claims, "gateway", _ID, "an id"),
        asset=_text(claims, "asset", _ID, "an id"),
        session=_text(claims, "session", _NONCE, "16 bytes in base64url"),
        challenge=_number(claims, "challenge", lo=0, reason=Reason.SCHEMA),
        seq=_number(claims, "seq", lo=0, reason=Reason.SCHEMA),
        issued_ms=_time(claims, "issuedAt"),
        expires_ms=_time(claims, "expiresAt"),
        map_digest=_text(claims, "mapDigest", _DIGEST, "sha256: and 64 hex digits"),
        safety_digest=_text(claims, "safetyDigest", _DIGEST, "sha256: and 64 hex digits"),
        verb=_verb(claims),
    )
    params = claims["params"]
    if not isinstance(params, dict):
        raise _WrongError(Reason.PARAMS, "params: must be an object")
    return _with_params(command, params)


def _verb(claims: dict[str, object]) -> Verb:
    found = claims["type"]
    if not isinstance(found, str):
        raise _WrongError(Reason.SCHEMA, "type: must be text")
    if found not in Verb.__members__.values():
        raise _WrongError(Reason.UNSUPPORTED, f"type: must be one of {', '.join(Verb)}")
    return Verb(found)


def _with_params(command: Command, params: dict[str, object]) -> Command:
    verb = command.verb
    if verb.power:
        _keys(params, {"powerW", "durationS"}, {"rampWPerS", "minSoc", "maxSoc"})
        lo = None if verb is Verb.SETPOINT else 0
        power_w = _number(params, "powerW", lo=lo)
        lowest = _optional(params, "minSoc", hi=FULL_PCT)
        highest = _optional(params, "maxSoc", hi=FULL_PCT)
        if lowest is not None and highest is not None and lowest >= highest:
            raise _WrongError(Reason.PARAMS, f"minSoc {lowest}: must be below maxSoc {highest}")
        return replace(
            command,
            power_w=-power_w if verb is Verb.CHARGE else power_w,
            duration_s=_number(params, "durationS", lo=1, hi=MAX_DURATION_S),
            ramp_w_per_s=_optional(params, "rampWPerS", lo=1),
            min_soc_pct=lowest,
            max_soc_pct=highest,
        )
    if verb is Verb.MODE:
        _keys(params, {"name"}, set())
        return replace(command, mode=_text(params, "name", _ID, "a name", reason=Reason.PARAMS))
    if verb is Verb.RESERVE:
        _keys(params, {"percent"}, set())
        return replace(command, percent=_number(params, "percent", lo=0, hi=FULL_PCT))
    _keys(params, set(), set())
    return command


def _keys(params: dict[str, object], needed: set[str], optional: set[str]) -> None:
    missing, unknown = needed - params.keys(), params.keys() - needed - optional
    if missing or unknown:
        text = f"params: missing: {_list(missing)}; unknown: {_list(unknown)}"
        raise _WrongError(Reason.PARAMS, text)


def _list(names: set[str] | frozenset[str]) -> str:
    """Some of the names: a stranger may have made up thousands."""
    listed = sorted(repr(name)[:40] for name in names)
    more = [f"and {len(listed) - _LISTED} more"] if len(listed) > _LISTED else []
    return ", ".join([*listed[:_LISTED], *more]) or "none"


def _number(
    claims: dict[str, object],
    name: str,
    *,
    lo: int | None = None,
    hi: int | None = None,
    reason: Reason = Reason.PARAMS,
) -> int:
    found = claims[name]
    if isinstance(found, bool) or not isinstance(found, int):
        raise _WrongError(reason, f"{name}: must be an integer")
    if (lo is not None and found < lo) or (hi is not None and found > hi):
        ends = ("" if lo is None else lo, "" if hi is None else hi)
        raise _WrongError(reason, f"{name} {found}: must be {ends[0]}..{ends[1]}")
    return found


def _optional(
    params: dict[str, object], name: str, *, lo: int = 0, hi: int | None = None
) -> int | None:
    return _number(params, name, lo=lo, hi=hi) if name in params else None


def _text(
    claims: dict[str, object],
    name: str,
    pattern: str,
    allowed: str,
    *,
    reason: Reason = Reason.SCHEMA,
) -> str:
    found = claims[name]
    if not isinstance(found, str) or re.fullmatch(pattern, found) is None:
        raise _WrongError(reason, f"{name}: must be {allowed}")
    return found


def _time(claims: dict[str, object], name: str) -> int:
    """Unix ms of RFC 3339 UTC with milliseconds."""
    found = claims[name]
    if isinstance(found, str) and _TIME.match(found) is not None:
        try:
            at = datetime.strptime(found, _ISO).replace(tzinfo=UTC)
        except ValueError:
            pass
        else:
            whole = int(at.replace(microsecond=0).timestamp())
            return whole * 1000 + at.microsecond // 1000
    raise _WrongError(Reason.SCHEMA, f"{name}: must be RFC 3339 UTC with milliseconds")
