"""A whole core under control, and everything a stranger may hand it: no exception, no output."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import effects, events
from gateway.checked import Past, Safety
from gateway.clock import rfc3339
from gateway.config.safety_reader import safety_settings
from gateway.config.toml import parse
from gateway.config.truststore import trust_store
from gateway.control.rules import readiness
from gateway.core import VERBS, Core
from tests.fixtures.commands import SESSION, b64, signed, signer
from tests.fixtures.safetyfiles import ALGORITHMS, GOOD
from tests.fixtures.shippedmaps import shipped
from tests.fixtures.sites import START, identity, later, site

if TYPE_CHECKING:
    from collections.abc import Iterable

MAP = shipped("generic-rtac@1.0.0")
TOPIC = "bess/v1/gw-17/"
TOPICS = ("bess-1/cmd", "hb/down", "mgmt/req", "bess-2/cmd", "")
OPS, PULSE = (signer(kid, ALGORITHMS[kid]) for kid in ("ops-1", "pulse-1"))


def safety() -> Safety:
    """What a good safety.toml becomes; commands go without approval."""
    text = GOOD.replace('approval = "dual"', 'approval = "envelope"')
    found = safety_settings(
        parse(text.encode(), file="safety.toml"), folder="/x", response_timeouts_s={}
    )
    pems = {key.kid: signer(key.kid, ALGORITHMS[key.kid]).public_pem for key in found.keys}
    return Safety(found, trust_store(found.keys, pems), found.digest(pems))


SAFETY = safety()


def core(**past: str) -> Core:
    """A core whose one battery is commissioned."""
    proof = readiness.Proof(MAP.digest, START.unix_ms)
    facts: dict[str, str | None] = {
        **readiness.fact_of_acknowledgement("bess-1", SAFETY.digest),
        **readiness.fact_of_sign_test("bess-1", proof),
        **readiness.fact_of_deadman_test("bess-1", proof),
        **past,
    }
    made = replace(site(), maps={"bess-1": MAP}, safety=SAFETY)
    kept = {key: value for key, value in facts.items() if value is not None}
    found = Core(made, replace(identity(), session=SESSION), Past(kept), START)
    found.handle(None, START)
    return found


def challenge(made: Core) -> int:
    """The number that is asked for now."""
    newest = max(one.controller.state.lease.newest for one in made._fleet._controls.values())
    assert newest
    return newest


def claims(made: Core, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - any claim
    """A command that would be taken, but for ``changes``."""
    return {
        "schema": "bess.command/1",
        "id": "01JD0000000000000000000000",
        "gateway": "gw-17",
        "asset": "bess-1",
        "session": SESSION,
        "challenge": challenge(made),
        "seq": 42,
        "issuedAt": rfc3339(START.unix_ms),
        "expiresAt": rfc3339(START.unix_ms + 60_000),
        "mapDigest": MAP.digest,
        "safetyDigest": SAFETY.digest,
        "type": "idle",
        "params": {},
    } | changes


def send(made: Core, payload: bytes, topic: str = "bess-1/cmd", *, at: float = 1.0) -> list[Any]:
    """Let a message arrive; returns what was ordered."""
    arrived = events.MessageArrived(TOPIC + topic, payload, retained=False, at=later(at))
    return list(made.handle(arrived, later(at)))


def outputs(found: Iterable[object]) -> list[effects.Operate]:
    """What reaches the field."""
    return [one for one in found if isinstance(one, effects.Operate)]


def ask(made: Core, verb: str, arguments: dict[str, Any], *, operator: bool) -> dict[str, Any]:
    """What the control socket would carry back."""
    asked = events.LocalAsked(7, verb, arguments, "eve", operator)
    found = made.handle(asked, later(1))
    for one in [one for one in found if isinstance(one, effects.Record)]:
        found += made.handle(events.Recorded(one.token, ok=True, cause=""), later(1))
    (answer,) = [one for one in found if isinstance(one, effects.Answer)]
    body: dict[str, Any] = json.loads(json.dumps(answer.body, default=lambda one: one()))
    return body


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([10**400, -(10**400), float("nan"), "bess-1", "sign-test", "show", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("operator", [False, True])
@given(
    verb=st.sampled_from(sorted(VERBS)) | st.text(),
    arguments=st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(("asset", "act", "id", "digest", "holdS", "user"), JSON),
    ),
)
def test_no_question_on_the_socket_ends_the_core(
    operator: bool, verb: str, arguments: dict[str, Any]
) -> None:
    ask(core(), verb, arguments, operator=operator)


@pytest.mark.parametrize("act", [[], {}, ["show"], {"show": 1}])
def test_an_act_that_is_no_text_is_refused_and_does_not_end_the_core(act: object) -> None:
    assert "error" in ask(core(), "commission", {"act": act}, operator=False)


def test_a_hold_beyond_all_numbers_is_refused_and_does_not_end_the_core() -> None:
    found = ask(core(), "commission", {"act": "sign-test", "holdS": 10**400}, operator=True)
    assert "error" in found


@given(
    topic=st.sampled_from(TOPICS),
    payload=st.binary(max_size=300)
    | JSON.map(lambda found: json.dumps(found).encode())
    | st.fixed_dictionaries({"payload": JSON, "signatures": JSON}).map(
        lambda found: json.dumps(found).encode()
    ),
)
def test_no_bytes_on_any_topic_end_the_core_or_reach_an_output(topic: str, payload: bytes) -> None:
    assert outputs(send(core(), payload, topic)) == []


@given(
    name=st.sampled_from(["challenge", "seq", "issuedAt", "expiresAt", "type", "params", "asset"]),
    found=JSON,
)
def test_a_signed_claim_of_any_kind_does_not_end_the_core(name: str, found: object) -> None:
    made = core()
    send(made, signed(claims(made, **{name: found}), OPS))


@given(found=JSON)
def test_a_signed_heartbeat_with_any_challenge_does_not_end_the_core(found: object) -> None:
    body = {"schema": "bess.heartbeat/1", "gateway": "gw-17", "session": SESSION}
    payload = signed(body | {"challenge": found}, PULSE, typ="bess-heartbeat+jws")
    assert outputs(send(core(), payload, "hb/down")) == []


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"},
        {"alg": "HS256"},
        {"crit": ["exp"]},
        {"b64": False},
        {"jwk": {"kty": "OKP"}},
        {"x5u": "https://example.com"},
        {"kid": "../../etc/passwd"},
        {"kid": "ops-1\n"},
        {"typ": "\ud800\n" + "A" * 4000},
    ],
)
def test_no_trick_of_the_header_makes_a_signature_hold(header: dict[str, Any]) -> None:
    made = core()
    envelope = json.loads(signed(claims(made), OPS))
    protected = {"alg": "EdDSA", "kid": "ops-1", "typ": "bess-command+jws"} | header
    envelope["signatures"][0]["protected"] = b64(json.dumps(protected).encode())
    found = send(made, json.dumps(envelope).encode())
    (ack,) = [json.loads(one.payload) for one in found if isinstance(one, effects.Publish)]
    assert ack["state"] == "rejected"
    assert ack["reason"] in ("MALFORMED", "SIGNATURE", "UNKNOWN_KEY")


def test_ten_thousand_signatures_are_refused_before_one_of_them_is_checked() -> None:
    made = core()
    envelope = json.loads(signed(claims(made), OPS))
    envelope["signatures"] *= 10_000
    (refused,) = [
        one for one in send(made, json.dumps(envelope).encode()) if isinstance(one, effects.Log)
    ]
    assert "TOO_LARGE" in refused.text
    envelope["signatures"] = envelope["signatures"][:5]
    (refused,) = [
        one for one in send(made, json.dumps(envelope).encode()) if isinstance(one, effects.Log)
    ]
    assert "MALFORMED" in refused.text


def lines(found: Iterable[object]) -> list[effects.Log]:
    """What goes into the journal."""
    return [one for one in found if isinstance(one, effects.Log)]


def test_hours_of_refused_commands_do_not_push_everything_else_out_of_the_journal() -> None:
    made, said = core(), []
    for second in range(900):
        for _ in range(5):
            said += lines(send(made, b"garbage", at=1.0 + second))
    assert 120 < len(said) < 250
    assert any("refused commands were not written here" in one.text for one in said)


def test_a_refused_command_is_a_short_line_whatever_it_says() -> None:
    made = core()
    body = claims(made) | {f"\u0085{number}": 0 for number in range(500)}
    (refused,) = lines(send(made, signed(body, OPS)))
    assert "SCHEMA" in refused.text
    assert "more" in refused.text
    assert len(refused.text) < 1000
    (refused,) = lines(send(made, signed(claims(made), OPS, typ="\ud800\n" + "A" * 4000)))
    assert "SIGNATURE" in refused.text
    assert len(refused.text) < 300


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        ("reset", {}),
        ("estop", {}),
        ("disable-control", {}),
        ("enable-control", {}),
        ("approve", {"id": "01JD0000000000000000000000"}),
        ("reject", {"id": "01JD0000000000000000000000"}),
        ("commission", {"act": "acknowledge", "digest": SAFETY.digest}),
        ("commission", {"act": "sign-test"}),
        ("commission", {"act": "deadman-test"}),
        ("commission", {"act": "abort"}),
    ],
)
def test_who_is_no_operator_is_refused_every_act_and_leaves_no_trace(
    verb: str, arguments: dict[str, Any]
) -> None:
    """Such as a member of the group bess-gateway, who reaches the socket all the same."""
    made = core()
    made.handle(None, later(1))
    asked = events.LocalAsked(7, verb, arguments, "eve", operator=False)
    found = made.handle(asked, later(1))
    (answer,) = [one for one in found if isinstance(one, effects.Answer)]
    assert "bess-operators" in str(answer.body["error"])
    assert not [one for one in found if isinstance(one, effects.Record | effects.Operate)]


@pytest.mark.parametrize("jump_ms", [-86_400_000, -3_000, 86_400_000])
def test_a_clock_that_is_set_back_makes_no_expired_command_alive_again(jump_ms: int) -> None:
    made = core()
    payload = signed(claims(made), OPS)
    lease_s = SAFETY.settings.watchdog.lease_s
    at = later(lease_s + 61, jump_ms=jump_ms)
    arrived = events.MessageArrived(TOPIC + "bess-1/cmd", payload, retained=False, at=at)
    found = made.handle(arrived, at)
    acks = [json.loads(one.payload) for one in found if isinstance(one, effects.Publish)]
    (ack,) = [one for one in acks if one["schema"] == "bess.ack/1"]
    assert ack["reason"] == "CHALLENGE"


@pytest.mark.parametrize("seconds", [20, pytest.param(600, marks=pytest.mark.long)])
def test_a_replay_at_the_most_that_is_heard_does_not_fill_the_audit_log(seconds: int) -> None:
    made = core()
    payload = signed(claims(made, session="A" * 22 if SESSION[0] != "A" else "B" * 22), OPS)
    rows = 0
    for second in range(seconds):
        for _ in range(20):
            found = send(made, payload, at=1.0 + second)
            rows += sum(len(one.entries) for one in found if isinstance(one, effects.Record))
    assert rows == 60 * (1 + seconds // 301)  # of each five minutes the first sixty


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("issuedAt", "2026-12-31T23:59:60.000Z"),
        ("issuedAt", "2026-02-30T00:00:00.000Z"),
        ("expiresAt", "0000-01-01T00:00:00.000Z"),
        ("expiresAt", "2026-11-22T05:10:00.000+00:00"),
        ("expiresAt", "２０２６-11-22T05:10:00.000Z"),  # noqa: RUF001 - other digits, on purpose
        ("asset", "bess-1\n"),
        ("asset", "bess-\u0661"),
        ("id", "01jd0000000000000000000000"),
        ("seq", 2**60),
        ("seq", -1),
        ("challenge", 1e3),
    ],
)
def test_what_two_readers_could_read_differently_is_refused(name: str, found: object) -> None:
    made = core()
    sent = send(made, signed(claims(made, **{name: found}), OPS))
    (ack,) = [json.loads(one.payload) for one in sent if isinstance(one, effects.Publish)]
    assert ack["reason"] in ("SCHEMA", "MALFORMED")


def test_a_number_that_a_float_cannot_hold_is_counted_exactly() -> None:
    made = core()
    first = claims(made, seq=2**53, id="01JD0000000000000000000001")
    second = claims(made, seq=2**53 + 1, id="01JD0000000000000000000002")
    for body in (first, second):
        found = send(made, signed(body, OPS))
        acks = [json.loads(one.payload) for one in found if isinstance(one, effects.Publish)]
        assert acks[0]["reason"] != "SEQUENCE"
