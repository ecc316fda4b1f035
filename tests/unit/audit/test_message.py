"""``bess.audit/1``: the signed head as it is published."""

from __future__ import annotations

import json

import pytest

from gateway.streams import Row, Stream
from gateway.uplink import messages
from gateway.uplink.topics import Topics
from tests.fixtures.readings import EPOCH, GATEWAY
from tests.fixtures.schemas import check, faults

HASH = "ab" * 32
JWS = "eyJhbGciOiJFUzI1NiJ9.eyJuIjo3fQ.c2ln"


def shipped(**change: object) -> dict[str, object]:
    batch = messages.audit_batch(gateway=GATEWAY, n=7, hash_=HASH, jws=JWS, at_ms=1_795_324_200_250)
    payload = messages.wire(Row(1, 3, batch, EPOCH), published_ms=1_795_324_201_000, backfill=False)
    message: dict[str, object] = json.loads(payload)
    return message | change


def test_the_signed_head_is_what_its_schema_says() -> None:
    message = shipped()
    check(message)
    assert (message["n"], message["hash"], message["jws"]) == (7, HASH, JWS)
    assert message["observedAt"] == "2026-11-22T05:10:00.250Z"
    assert message["seq"] == 3


@pytest.mark.parametrize(
    ("change", "at"),
    [
        ({"n": 0}, "$.n"),
        ({"hash": "AB" * 32}, "$.hash"),
        ({"jws": "a.b"}, "$.jws"),
        ({"seq": None}, "$.seq"),
        ({"asset": "bess-1"}, "$"),  # its name is in the text, or in the path, by version
        ({"more": 1}, "$"),
    ],
)
def test_a_wrong_head_is_refused_where_it_is_wrong(change: dict[str, object], at: str) -> None:
    found = faults("audit", shipped(**change))
    assert found
    assert found[0].startswith(at)


def test_it_goes_to_the_gateways_own_topic_and_is_never_dropped() -> None:
    batch = messages.audit_batch(gateway=GATEWAY, n=7, hash_=HASH, jws=JWS, at_ms=1)
    assert batch.stream is Stream.AUDIT
    topic = Topics("bess/v1", GATEWAY).of(batch.stream, batch.asset, backfill=False)
    assert topic == f"bess/v1/{GATEWAY}/audit"
