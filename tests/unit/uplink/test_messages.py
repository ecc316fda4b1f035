from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from gateway.config.site import GRID_IDS
from gateway.consumer import decode
from gateway.control.commands.command import Verb
from gateway.control.rules import readiness
from gateway.errors import PayloadError
from gateway.streams import Batch, Codec, Gap, Row, Stream
from gateway.uplink import messages
from gateway.uplink.telemetry import Telemetry
from tests.fixtures.readings import ASSET, DIGEST, EPOCH, GATEWAY, OTHER_EPOCH, T0, point
from tests.fixtures.schemas import check, faults, schemas

HEADER = {
    "schema",
    "gateway",
    "epoch",
    "seq",
    "observedAt",
    "publishedAt",
    "quality",
    "backfill",
}
SESSION = "q83vEjRWeJASNFZ4kBI0Vg"
STATE: dict[str, object] = {
    "chargePercentage": 63.4,
    "charge": 5_072_000,
    "chargeRate": -750_000,
    "chargingState": "charging",
    "backupReserve": 10.0,
    "maxChargeRate": 2_000_000,
    "maxDischargeRate": 2_000_000,
    "capacity": 8_000_000,
    "fields": {
        "chargePercentage": {
            "quality": "good",
            "observedAt": "2026-11-22T05:10:00.250Z",
            "source": "AI0",
        }
    },
    "enrichment": {"reactivePower": 12_000, "frequency": 60.01, "faults": [], "alarms": []},
}


def shipped(batch: Batch, *, seq: int = 4711, backfill: bool = False) -> dict[str, Any]:
    payload = messages.wire(Row(1, seq, batch, EPOCH), published_ms=T0 + 9, backfill=backfill)
    return decode(payload)


def state() -> Batch:
    return messages.state(
        gateway=GATEWAY, asset=ASSET, quality="good", at_ms=T0, unix_ms=T0, fields=STATE
    )


def event(type_: str = "alarm", **fields: object) -> Batch:
    return messages.event(
        gateway=GATEWAY,
        asset=ASSET,
        type_=type_,
        severity="warning",
        text="something happened",
        at_ms=T0,
        fields=fields,
    )


def every_unnumbered_message() -> list[bytes]:
    control = {
        "state": "MONITOR",
        "enabled": False,
        "reasons": ["SAFETY_CONFIG_MISSING"],
        "approval": None,
        "safetyDigest": None,
        "verbs": ["setpoint", "idle"],
    }
    asset = {
        "id": ASSET,
        "name": "North",
        "workspace": "ws-1",
        "pathway": "dnp3",
        "map": {"id": "generic-rtac", "revision": "1.0.0", "digest": DIGEST},
        "control": control,
    }
    soc = {"point": "AI0", "name": "soc", "role": "soc", "scale": 0.01, "offset": 0, "unit": "%"}
    status = messages.status(
        gateway=GATEWAY, epoch=EPOCH, online=True, boot_id="b-1", since_ms=T0, unix_ms=T0
    )
    birth = messages.birth(
        gateway=GATEWAY,
        epoch=EPOCH,
        order={"start": 7, "epochBefore": "01J0000000000000000000000A"},
        version="1.0.0",
        session=SESSION,
        certificate_not_after_ms=T0,
        assets=[asset],
        unix_ms=T0,
    )
    table = messages.point_table(
        gateway=GATEWAY, epoch=EPOCH, asset=ASSET, digest=DIGEST, points=[soc], unix_ms=T0
    )
    asked = messages.challenge(
        gateway=GATEWAY, epoch=EPOCH, session=SESSION, number=1812, issued_ms=T0
    )
    ack = messages.ack(
        gateway=GATEWAY,
        epoch=EPOCH,
        asset=ASSET,
        id_=None,
        state="rejected",
        reason="MALFORMED",
        text="reserve 4 %: must be 5..80 %",
        unix_ms=T0,
    )
    return [status, birth, table, asked, ack]


def test_every_unnumbered_message_is_what_its_schema_says_and_has_the_whole_header() -> None:
    for payload in every_unnumbered_message():
        message = json.loads(payload)
        check(message)
        assert message.keys() >= HEADER
        assert message["seq"] is None
        assert message["backfill"] is False


def test_every_record_is_what_its_schema_says_and_has_the_whole_header() -> None:
    telemetry = Telemetry(ASSET, GATEWAY, DIGEST)
    [batch] = telemetry.take([point(f"AI{n}") for n in range(3)], mono_s=0)
    for each in (batch, state(), event()):
        message = shipped(each)
        check(message)
        assert message.keys() >= HEADER | {"asset"}


def test_wire_puts_in_front_what_only_shipping_knows() -> None:
    row = Row(1, 4711, event(), EPOCH)
    text = messages.wire(row, published_ms=T0, backfill=True).decode()
    assert text.startswith(
        f'{{"epoch":"{EPOCH}","seq":4711,"publishedAt":"2026-11-22T05:10:00.250Z",'
        '"backfill":true,"schema":"bess.event/1",'
    )


def test_a_salvaged_row_keeps_its_old_epoch_on_the_wire() -> None:
    row = Row(1, 4711, event(), OTHER_EPOCH)
    payload = messages.wire(row, epoch=EPOCH, published_ms=T0, backfill=True)
    assert decode(payload)["epoch"] == OTHER_EPOCH


def test_a_row_that_names_no_epoch_has_the_queues() -> None:
    row = Row(1, 4711, event())
    assert decode(messages.wire(row, epoch=EPOCH, published_ms=T0, backfill=True))["epoch"] == EPOCH


def test_a_body_that_is_not_what_its_codec_says_is_refused() -> None:
    batch = Batch(Stream.EVENT, ASSET, 1, T0, T0, Codec.ZSTD, b"{}")
    with pytest.raises(PayloadError, match="not a zstd frame"):
        messages.wire(Row(1, 1, batch, EPOCH), published_ms=T0, backfill=False)


def test_a_gap_is_announced_as_an_event_that_a_consumer_can_count() -> None:
    gap = Gap(Stream.TELEMETRY, ASSET, 90_210, 90_709, "quota")
    batch = messages.notice_batch(gap, T0, gateway=GATEWAY)
    message = shipped(batch)
    check(message)
    assert batch.stream is Stream.EVENT
    assert (message["type"], message["severity"]) == ("gap", "warning")
    assert (message["stream"], message["from"], message["to"]) == ("telemetry", 90_210, 90_709)
    assert message["text"] == (
        "500 telemetry records (90210 to 90709) will never be shipped: quota"
    )
    assert "gapEpoch" not in message


def test_a_gap_in_an_older_epoch_names_it() -> None:
    gap = Gap(Stream.EVENT, "", 7, 7, "corrupt", OTHER_EPOCH)
    message = shipped(messages.notice_batch(gap, T0, gateway=GATEWAY))
    check(message)
    assert message["gapEpoch"] == OTHER_EPOCH
    assert "asset" not in message
    assert message["text"].startswith("1 event record (7 to 7)")


def test_an_event_of_an_unknown_type_or_severity_is_refused_with_what_is_allowed() -> None:
    with pytest.raises(ValueError, match="must be one of gap, epoch, alarm"):
        event("surprise")
    with pytest.raises(ValueError, match="must be one of info, warning, critical"):
        messages.event(gateway=GATEWAY, asset="", type_="clock", severity="bad", text="x", at_ms=T0)


def test_nan_never_reaches_the_wire_as_json() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        event(value=float("nan"))


@pytest.mark.parametrize("name", sorted(schemas()))
def test_every_schema_is_itself_valid_and_named_by_its_file(name: str) -> None:
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - only here

    schema = schemas()[name]
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:bess:schema:{name}:1"


COMMAND: dict[str, Any] = {
    "schema": "bess.command/1",
    "id": EPOCH,
    "gateway": GATEWAY,
    "asset": ASSET,
    "session": SESSION,
    "challenge": 1812,
    "seq": 42,
    "issuedAt": "2026-11-22T05:10:00.250Z",
    "expiresAt": "2026-11-22T05:11:00.250Z",
    "mapDigest": DIGEST,
    "safetyDigest": DIGEST,
    "type": "setpoint",
    "params": {"powerW": -750_000, "durationS": 900},
}


def test_the_example_command_heartbeat_and_result_are_what_their_schemas_say() -> None:
    check(COMMAND)
    check(
        {
            "schema": "bess.heartbeat/1",
            "gateway": GATEWAY,
            "session": SESSION,
            "challenge": 1812,
        }
    )
    result = messages.encode(
        {
            "schema": "bess.result/1",
            "gateway": GATEWAY,
            "asset": ASSET,
            "observedAt": "2026-11-22T05:10:00.250Z",
            "quality": "good",
            "id": EPOCH,
            "state": "executing",
            "platformState": "pending",
            "reason": None,
            "requestedPowerW": -750_000,
            "appliedPowerW": -750_000,
            "measuredPowerW": -748_100,
            "warnings": [],
        }
    )
    check(shipped(Batch(Stream.RESULT, ASSET, 1, T0, T0, Codec.JSON, result)))


@pytest.mark.parametrize(
    ("change", "at"),
    [
        ({"type": "charge", "params": {"powerW": -1, "durationS": 900}}, "$.params.powerW"),
        ({"params": {"powerW": 1.5, "durationS": 900}}, "$.params.powerW"),
        ({"params": {"powerW": 1}}, "$.params"),
        ({"type": "idle"}, "$.params"),
        ({"type": "explode"}, "$.type"),
        ({"safetyDigest": "sha256:0"}, "$.safetyDigest"),
        ({"surprise": 1}, "$"),
    ],
)
def test_a_wrong_command_is_refused_where_it_is_wrong(change: dict[str, Any], at: str) -> None:
    found = faults("command", {**COMMAND, **change})
    assert [fault.partition(": ")[0] for fault in found] == [at]


def test_an_unknown_field_in_a_state_is_refused() -> None:
    message = shipped(state())
    assert faults("state", {**message, "chargepercentage": 1}) != []


def test_a_point_table_too_large_for_common_brokers_goes_compressed() -> None:
    rows = [{"point": f"AI{at}", "name": f"reading_{at}", "unit": "kW"} for at in range(5000)]
    table = messages.point_table(
        gateway=GATEWAY, epoch=EPOCH, asset=ASSET, digest="sha256:00", points=rows, unix_ms=T0
    )
    assert len(table) > messages.MAX_PAYLOAD
    payload, encoding = messages.packed(table)
    assert (len(payload) <= messages.MAX_PAYLOAD, encoding) == (True, "zstd")
    assert len(decode(payload, encoding=encoding)["points"]) == 5000
    assert messages.packed(b"{}") == (b"{}", "")


def test_birth_is_below_4_kib_an_asset() -> None:
    """The longest texts that a site may give, of four bytes each, and every reason at once."""
    wide = "\N{BATTERY}" * 64
    codes = set(re.findall(r'"([A-Z][A-Z_]{5,})"', Path(readiness.__file__).read_text()))
    assert len(codes) > 15
    asset = {
        "id": "a" * 64,
        "name": wide,
        **dict.fromkeys((*GRID_IDS, "transformer"), wide),
        "pathway": "dnp3",
        "map": {"id": "m" * 64, "revision": "1.0.0", "digest": DIGEST},
        "control": {
            "state": "MONITOR",
            "enabled": False,
            "reasons": sorted(codes),
            "approval": "envelope",
            "safetyDigest": DIGEST,
            "verbs": sorted(Verb),
        },
    }
    sizes = []
    for count in (0, 1):
        birth = messages.birth(
            gateway=GATEWAY,
            epoch=EPOCH,
            order={"start": 10**9, "epochBefore": EPOCH},
            version="1.0.0",
            session=SESSION,
            certificate_not_after_ms=T0,
            assets=[asset] * count,
            unix_ms=T0,
        )
        sizes.append(len(birth))
    assert sizes[1] < 4096
