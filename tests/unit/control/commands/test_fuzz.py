"""Whatever bytes come from the broker: a reason, never an exception, never an admission."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.control.commands.command import Command, parse_command
from gateway.control.commands.heartbeat import verify_heartbeat
from gateway.control.commands.reasons import Rejected
from gateway.control.commands.register import Register
from gateway.control.commands.verify import Admitted, admit
from tests.fixtures.commands import NOW, SESSION, claims, context, heartbeat, signed, trust

CONTEXT, TRUST = context(), trust()
GOOD, BEAT = signed(claims()), heartbeat()
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
trees = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=10,
)


def take(raw: bytes) -> Admitted | Rejected:
    return admit(raw, CONTEXT, Register(), NOW, retained=False)


def beat(raw: bytes) -> object:
    return verify_heartbeat(raw, TRUST, NOW, gateway="gw-17", session=SESSION, retained=False)


@given(st.binary(max_size=2000))
@example(b'{"payload":1e999,"signatures":[]}')
def test_bytes_are_rejected(raw: bytes) -> None:
    assert isinstance(take(raw), Rejected)
    assert isinstance(beat(raw), Rejected)
    assert isinstance(parse_command(raw), Rejected)


@given(trees)
def test_json_of_any_shape_is_rejected(tree: Any) -> None:  # noqa: ANN401 - any JSON
    raw = json.dumps(tree).encode()
    assert isinstance(take(raw), Rejected)
    assert isinstance(beat(raw), Rejected)
    assert isinstance(parse_command(raw), Rejected)


@given(at=st.integers(0, len(GOOD) - 1), byte=st.integers(0, 255), cut=st.booleans())
def test_one_changed_byte_of_a_signed_command_admits_nothing_else(
    at: int, byte: int, cut: bool
) -> None:
    raw = GOOD[:at] + (b"" if cut else bytes([byte])) + GOOD[at + 1 :]
    found = take(raw)
    if isinstance(found, Admitted):  # only white space between tokens may differ
        assert json.loads(raw) == json.loads(GOOD)


@given(at=st.integers(0, len(BEAT) - 1), byte=st.integers(0, 255))
def test_one_changed_byte_of_a_heartbeat_answers_nothing_else(at: int, byte: int) -> None:
    raw = BEAT[:at] + bytes([byte]) + BEAT[at + 1 :]
    if not isinstance(beat(raw), Rejected):
        assert json.loads(raw) == json.loads(BEAT)


@given(name=st.sampled_from(sorted(claims())), value=trees)
def test_any_value_of_any_claim_of_a_signed_command_gives_an_answer(
    name: str,
    value: Any,  # noqa: ANN401 - any JSON
) -> None:
    found = take(signed(claims(**{name: value})))
    if isinstance(found, Admitted):
        assert name in ("id", "seq", "issuedAt", "expiresAt", "params") or value == claims()[name]


@given(
    params=st.dictionaries(
        st.sampled_from(["powerW", "durationS", "rampWPerS", "minSoc", "maxSoc", "x"]),
        st.integers() | st.floats() | st.booleans(),
    )
)
def test_parameters_that_are_read_are_integers_in_their_ranges(params: dict[str, Any]) -> None:
    found = parse_command(json.dumps(claims(type="charge", params=params)).encode())
    if isinstance(found, Command):
        assert all(type(value) is int for value in params.values())
        assert found.power_w is not None
        assert found.power_w <= 0
        assert found.duration_s is not None
        assert 1 <= found.duration_s <= 86_400
