"""Commands that must not be obeyed, on a broker whose ACL lets everything through.

One daemon for all of them, armed: whatever got through would move the battery. Each is rejected
with its reason, and the RTAC's own record shows no output but the heartbeat.
"""

from __future__ import annotations

import base64
import json
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from gateway.clock import now, rfc3339
from gateway.cloud.dispatcher.heard import DelayedHeartbeat
from gateway.cloud.dispatcher.signing import Signer, sign
from tests.fixtures import commands
from tests.fixtures.commanded_site import ASSET, ControlSite
from tests.fixtures.control_rig import who
from tests.fixtures.deadline import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gateway.cloud.dispatcher.heard import Challenge
    from gateway.demo.pki import Pki

STRANGER = Signer("mallory-1", commands.signer("mallory-1").private)
POSER = Signer("ops-1", commands.signer("mallory-1").private)  # a trusted name on another key
OTHER_DIGEST = "sha256:" + "0" * 64
ACK_S = 1.0


@dataclass
class Attack:
    """What is sent, and what must be said of it."""

    reason: str
    make: Callable[[ControlSite], bytes]
    retain: bool = False
    topic: str = "bess-1/cmd"
    named: bool = True  # the id can be read, so the receipt carries it


def claims(site: ControlSite, verb: str = "setpoint", **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - any claim
    """Claims of a good discharge, changed."""
    params = {"power_w": 300_000, "duration_s": 60} if verb == "setpoint" else {}
    site.dispatcher.ready(ASSET, within_s=DEADLINE_S)
    return site.dispatcher.claims(ASSET, verb, **params) | changes


def signed(**changes: Any) -> Callable[[ControlSite], bytes]:  # noqa: ANN401 - any claim
    """A changed command, signed by the dispatcher."""
    return lambda site: site.dispatcher.sign(claims(site, **changes))


def signed_by(*signers: Signer) -> Callable[[ControlSite], bytes]:
    """A good command, signed by others."""
    return lambda site: site.dispatcher.sign(claims(site), signers)


def with_params(**params: Any) -> Callable[[ControlSite], bytes]:  # noqa: ANN401 - any JSON
    """A discharge with these parameters, as they are."""
    given = {"powerW": 300_000, "durationS": 60} | params
    return signed(params={name: one for name, one in given.items() if one is not ...})


def charge(power_w: object) -> Callable[[ControlSite], bytes]:
    """A charge of this magnitude."""
    return signed(type="charge", params={"powerW": power_w, "durationS": 60})


def forged(site: ControlSite) -> bytes:
    """A good command, changed after it was signed."""
    envelope = json.loads(site.dispatcher.sign(claims(site)))
    payload = json.loads(commands_payload(envelope))
    payload["params"]["powerW"] = 1_400_000
    envelope["payload"] = b64(payload)
    return json.dumps(envelope).encode()


def unprotected(site: ControlSite) -> bytes:
    """With an unprotected header beside the protected one."""
    envelope = json.loads(site.dispatcher.sign(claims(site)))
    envelope["signatures"][0]["header"] = {"kid": "ops-1"}
    return json.dumps(envelope).encode()


def with_header(**header: Any) -> Callable[[ControlSite], bytes]:  # noqa: ANN401 - any JSON
    """With other members in the protected header, truly signed."""

    def make(site: ControlSite) -> bytes:
        return commands.signed(claims(site), commands.signer("ops-1"), **header)

    return make


def without_algorithm(site: ControlSite) -> bytes:
    """Alg none, and 64 octets in place of a signature."""
    header = {"alg": "none", "kid": "ops-1", "typ": "bess-command+jws"}
    signature = {"protected": b64(header), "signature": commands.b64(bytes(64))}
    return json.dumps({"payload": b64(claims(site)), "signatures": [signature]}).encode()


def compact(site: ControlSite) -> bytes:
    """The compact serialization of the same signature."""
    envelope = json.loads(site.dispatcher.sign(claims(site)))
    (one,) = envelope["signatures"]
    return ".".join((one["protected"], envelope["payload"], one["signature"])).encode()


def not_a_number(site: ControlSite) -> bytes:
    """NaN, as Python's JSON would write and read it."""
    made = claims(site)
    made["params"]["powerW"] = float("nan")
    return site.dispatcher.sign(json.dumps(made).encode())


def twice_the_same_name(site: ControlSite) -> bytes:
    """Two powers in one object: readers disagree about which one counts."""
    text = json.dumps(claims(site))
    return site.dispatcher.sign(text.replace('"powerW"', '"powerW": 1, "powerW"').encode())


def timed(issued_ms: int, lifetime_ms: int = 60_000) -> Callable[[ControlSite], bytes]:
    """Issued so many ms from now."""

    def make(site: ControlSite) -> bytes:
        at_ms = now().unix_ms + issued_ms
        times = {"issuedAt": rfc3339(at_ms), "expiresAt": rfc3339(at_ms + lifetime_ms)}
        return site.dispatcher.sign(claims(site, **times))

    return make


def old_challenge(site: ControlSite) -> bytes:
    """A challenge of this boot, of more than one lease ago."""
    return site.dispatcher.sign(claims(site, challenge=first_challenge(site)))


def reordered(site: ControlSite) -> bytes:
    """Signed before another one that arrives before it."""
    first, second = claims(site), claims(site, type="reserve", params={"percent": 101})
    second["params"] = {"percent": 100}
    overtaking = second | {"mapDigest": OTHER_DIGEST}  # refused, but its number is spent
    site.dispatcher.raw(site.dispatcher.topics.own("bess-1/cmd"), site.dispatcher.sign(overtaking))
    site.told(str(second["id"]), {"rejected"})
    return site.dispatcher.sign(first)


def replayed(site: ControlSite) -> bytes:
    """The bytes of a command that was taken a moment ago."""
    made = claims(site, type="reserve", params={"percent": 15})
    raw = site.dispatcher.sign(made)
    site.dispatcher.raw(site.dispatcher.topics.own("bess-1/cmd"), raw)
    site.told(str(made["id"]), {"succeeded"})
    return raw


def heartbeat_as_command(site: ControlSite) -> bytes:
    """A command, signed as a heartbeat."""
    return sign(claims(site), who("ops-1"), "bess-heartbeat+jws")


ATTACKS = {
    "forged: changed after it was signed": Attack("SIGNATURE", forged),
    "forged: another key under a trusted name": Attack("SIGNATURE", signed_by(POSER)),
    "one good signature and one forged": Attack("SIGNATURE", signed_by(*who("ops-1"), POSER)),
    "same signer twice": Attack("SIGNATURE", signed_by(*who("ops-1", "ops-1"))),
    "signed as a heartbeat": Attack("SIGNATURE", heartbeat_as_command),
    "alg none": Attack("SIGNATURE", without_algorithm),
    "unknown key": Attack("UNKNOWN_KEY", signed_by(STRANGER)),
    "wrong role: the heartbeat's key": Attack("ROLE", signed_by(*who("pulse-1"))),
    "wrong role: an approver alone": Attack("ROLE", signed_by(*who("boss-1"))),
    "wrong role: a dispatcher's estop": Attack("ROLE", signed(type="estop", params={})),
    "unprotected header": Attack("MALFORMED", unprotected, named=False),
    "crit": Attack("MALFORMED", with_header(crit=["b64"], b64=True), named=False),
    "a key in the header": Attack("MALFORMED", with_header(jwk={"kty": "OKP"}), named=False),
    "compact serialization": Attack("MALFORMED", compact, named=False),
    "garbage": Attack("MALFORMED", lambda _: b"\x00\xff\xfe{", named=False),
    "nothing": Attack("MALFORMED", lambda _: b"", named=False),
    "deeply nested": Attack("MALFORMED", lambda _: b"[" * 8000, named=False),
    "NaN": Attack("MALFORMED", not_a_number, named=False),
    "the same name twice": Attack("MALFORMED", twice_the_same_name, named=False),
    "oversized": Attack("TOO_LARGE", lambda _: b" " * 16_385, named=False),
    "retained": Attack("RETAINED", signed(), retain=True, named=False),
    "a claim too many": Attack("SCHEMA", signed(priority=1)),
    "another schema": Attack("SCHEMA", signed(schema="bess.command/2")),
    "wrong gateway": Attack("WRONG_GATEWAY", signed(gateway="gw-18")),
    "wrong asset": Attack("WRONG_ASSET", signed(asset="bess-2")),
    "wrong nonce": Attack("SESSION", signed(session="A" * 22)),
    "old challenge": Attack("CHALLENGE", old_challenge),
    "a challenge not yet issued": Attack("CHALLENGE", signed(challenge=1 << 40)),
    "lives too long": Attack("LIFETIME", timed(0, 120_001)),
    "expires before it is issued": Attack("LIFETIME", timed(0, -1)),
    "expired": Attack("EXPIRED", timed(-60_000, 59_000)),
    "future-dated": Attack("NOT_YET_VALID", timed(20_000)),
    "replayed": Attack("DUPLICATE", replayed),
    "reordered seq": Attack("SEQUENCE", reordered),
    "wrong map digest": Attack("MAP_DIGEST", signed(mapDigest=OTHER_DIGEST)),
    "wrong safety digest": Attack("SAFETY_DIGEST", signed(safetyDigest=OTHER_DIGEST)),
    "unknown verb": Attack("UNSUPPORTED", signed(type="explode", params={})),
    "a verb that the map lacks": Attack("UNSUPPORTED", signed(type="alarm_reset", params={})),
    "kW by mistake, times 1000": Attack("LIMIT", with_params(powerW=750_000_000)),
    "above the site's limit": Attack("LIMIT", with_params(powerW=1_500_001)),
    "below the site's limit": Attack("LIMIT", with_params(powerW=-1_500_001)),
    "longer than the longest dispatch": Attack("LIMIT", with_params(durationS=14_401)),
    "a fraction": Attack("PARAMS", with_params(powerW=750.5)),
    "text for a number": Attack("PARAMS", with_params(powerW="750000")),
    "true for a number": Attack("PARAMS", with_params(powerW=True)),
    "null": Attack("PARAMS", with_params(powerW=None)),
    "no power": Attack("PARAMS", with_params(powerW=...)),
    "negative magnitude": Attack("PARAMS", charge(-300_000)),
    "zero duration": Attack("PARAMS", with_params(durationS=0)),
    "no duration": Attack("PARAMS", with_params(durationS=...)),
    "a parameter too many": Attack("PARAMS", with_params(force=1)),
    "a state of charge outside": Attack("INTERLOCK", with_params(minSoc=90)),
    "arm while armed": Attack("STATE", signed(type="arm", params={})),
}


@dataclass
class Attacked:
    """The site, and how long each receipt took."""

    site: ControlSite
    armed_at: float
    took_s: list[float] = field(default_factory=list)


@pytest.fixture(scope="module")
def attacked(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    """One armed battery for all of them."""
    folder: Path = tmp_path_factory.mktemp("hostile")
    with ControlSite(folder, pki, lawless=True) as site:
        site.run().arm()
        yield Attacked(site, now().mono_s)


@pytest.mark.parametrize("name", ATTACKS)
def test_each_rejection_has_a_reason_from_an_enum_and_no_output_follows(
    attacked: Attacked, name: str
) -> None:
    attack, site = ATTACKS[name], attacked.site
    dispatcher, before = site.dispatcher, len(site.writes(after=attacked.armed_at))
    raw = attack.make(site)
    allowed = len(site.writes(role="cmd_reserve", after=attacked.armed_at))
    mark, sent_at = len(dispatcher.received), now().mono_s
    topic = dispatcher.topics.own(attack.topic)
    dispatcher.raw(topic, raw, attack.retain)

    def acks() -> list[dict[str, Any]]:
        return [
            {**one.body, "at": one.at.mono_s}
            for one in dispatcher.received[mark:]
            if one.schema == "bess.ack/1"
        ]

    dispatcher.wait_until(acks, within_s=DEADLINE_S, what=f"a receipt of {name}")
    (ack,) = acks()
    attacked.took_s.append(ack["at"] - sent_at)
    if attack.retain:
        dispatcher.raw(topic, b"", retain=True)  # the broker forgets it
        dispatcher.wait_until(
            lambda: len(acks()) == 2, within_s=DEADLINE_S, what="a receipt of nothing"
        )
    assert (ack["state"], ack["reason"]) == ("rejected", attack.reason)
    if attack.named:
        payload = json.loads(commands_payload(json.loads(raw)))
        assert ack["id"] == payload["id"]
    others = [one for one in site.writes(after=attacked.armed_at) if one["role"] != "cmd_reserve"]
    assert others == []
    assert len(site.writes(role="cmd_reserve", after=attacked.armed_at)) == allowed
    assert before <= allowed
    assert site.control()["state"] == "ARMED"


def test_a_power_command_too_soon_after_another_is_refused_and_the_first_goes_on(
    attacked: Attacked,
) -> None:
    site = attacked.site
    first = site.send("setpoint", power_w=200_000, duration_s=600)
    second = site.dispatcher.send(ASSET, "setpoint", power_w=900_000, duration_s=600)
    assert site.told(second, {"rejected"}).reason == "RATE"
    site.told(first, {"succeeded"})
    powers = {one["value"] for one in site.writes(role="cmd_power", after=attacked.armed_at)}
    assert powers == {200_000.0}  # also the proof that a good command would have moved it


def test_a_receipt_comes_within_one_second(attacked: Attacked) -> None:
    assert len(attacked.took_s) == len(ATTACKS)
    assert statistics.median(attacked.took_s) < ACK_S


def test_every_message_about_control_is_what_its_schema_says(attacked: Attacked) -> None:
    found = attacked.site.lawful()
    assert found["ack"] >= len(ATTACKS)
    assert {"result", "event", "audit", "challenge", "birth", "status"} <= found.keys()


def test_forged_late_and_foreign_heartbeats_extend_no_lease(attacked: Attacked) -> None:
    """Answers of every wrong kind come five times a second; the lease runs out all the same."""
    site = attacked.site
    dispatcher = site.dispatcher
    assert site.control()["state"] == "ACTIVE"
    kept: list[bytes] = []

    def answers(asked: Challenge, good: bytes) -> list[DelayedHeartbeat]:
        if len(kept) < 3:
            kept.append(good)
            return [DelayedHeartbeat(0, good)]
        body = {
            "schema": "bess.heartbeat/1",
            "gateway": "gw-17",
            "session": asked.session,
            "challenge": asked.number,
        }
        typ = "bess-heartbeat+jws"
        wrong = [
            sign(body, [STRANGER], typ),
            sign(body, [POSER], typ),
            sign(body, who("ops-1"), typ),  # a dispatcher's key has not the role
            sign(body, who("pulse-1"), "bess-command+jws"),
            sign(body | {"session": "A" * 22}, who("pulse-1"), typ),
            sign(body | {"gateway": "gw-18"}, who("pulse-1"), typ),
            sign(body | {"challenge": asked.number + 1000}, who("pulse-1"), typ),
            good[:-2],
            *kept,
        ]
        return [DelayedHeartbeat(0, one) for one in wrong] + [
            DelayedHeartbeat(10.5, good)
        ]  # in time for nobody

    last_at = now().mono_s
    dispatcher.on_challenge = answers
    site.until_phase({"IDLE"})
    dispatcher.on_challenge = None
    site.passed("ACTIVE", "IDLING", "lease")
    zeros = [one["mono_s"] for one in site.writes(role="cmd_power", after=last_at)]
    assert zeros
    assert [one["value"] for one in site.writes(role="cmd_power", after=last_at)] == [0.0] * len(
        zeros
    )


def first_challenge(site: ControlSite) -> int:
    """The oldest challenge that was heard."""
    return next(
        int(one.body["challenge"])
        for one in site.dispatcher.received
        if one.schema == "bess.challenge/1"
    )


def b64(body: object) -> str:
    """JSON in base64url."""
    return commands.b64(json.dumps(body).encode())


def commands_payload(envelope: dict[str, Any]) -> bytes:
    """What was signed."""
    text = str(envelope["payload"])
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
