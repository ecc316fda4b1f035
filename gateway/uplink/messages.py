"""Every upward message, encoded. Pure.

A numbered record (``Batch``) is encoded once, when it happens, without the four fields that are
known only when it is shipped; ``wire`` puts those in front. The body of a JSON batch is the whole
object; the body of a zstd batch is the object *without its opening brace*, because compressed
bytes cannot be skipped later. Unnumbered messages carry the same header with ``seq`` null.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from gateway.clock import rfc3339
from gateway.streams import Batch, Codec, EpochEnded, Stream
from gateway.uplink.frame import compressor, splice

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.streams import Gap, Notice, Row

_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))

EVENT_TYPES = (
    "gap",
    "epoch",
    "alarm",
    "fault",
    "watchdog",
    "map",
    "session",
    "certificate",
    "queue",
    "clock",
    "commissioning",
    "operator",
)
SEVERITIES = ("info", "warning", "critical")
MAX_PAYLOAD = 128 * 1024  # bytes; what common brokers accept


def encode(message: Mapping[str, object]) -> bytes:
    """JSON in UTF-8 without spaces; NaN and infinities are refused with ``ValueError``."""
    return _JSON.encode(message).encode()


def packed(payload: bytes) -> tuple[bytes, str]:
    """``payload`` and its encoding: compressed where common brokers would not take it as it is.

    The point table of a large map is the only message that grows so far; a broker that closes
    the connection over it would do so after every connect.
    """
    if len(payload) <= MAX_PAYLOAD:
        return payload, ""
    return compressor().compress(payload), "zstd"


def wire(row: Row, *, epoch: str = "", published_ms: int, backfill: bool) -> bytes:
    """The payload of a stored row, complete with what only shipping knows.

    Args:
        row: from the store; its own epoch goes before ``epoch``.
        epoch: the queue's, for rows that do not name theirs.
        published_ms: now, Unix ms.
        backfill: the row is history, not live.

    Raises:
        PayloadError: the row's body is not what ``Batch`` promises.
    """
    prefix = (
        f'{{"epoch":"{row.epoch or epoch}","seq":{row.seq0},'
        f'"publishedAt":"{rfc3339(published_ms)}","backfill":{"true" if backfill else "false"},'
    ).encode()
    body = row.batch.body
    if row.batch.codec is Codec.ZSTD:
        return splice(prefix, body)
    return prefix + body[1:]


def event(
    *,
    gateway: str,
    asset: str,
    type_: str,
    severity: str,
    text: str,
    at_ms: int,
    fields: Mapping[str, object] | None = None,
) -> Batch:
    """An event record, ``bess.event/1``.

    Args:
        gateway: id of this gateway.
        asset: id of the asset; "" where the event is the gateway's own.
        type_: one of ``EVENT_TYPES``.
        severity: one of ``SEVERITIES``.
        text: one sentence for people.
        at_ms: Unix ms, UTC.
        fields: what the type adds (``from``, ``to``, ``cause``, ``layer``, ``point`` ...).

    Raises:
        ValueError: the type or the severity is not one of these.
    """
    if type_ not in EVENT_TYPES:
        wrong = f"event type {type_!r}: must be one of {', '.join(EVENT_TYPES)}"
        raise ValueError(wrong)
    if severity not in SEVERITIES:
        wrong = f"event severity {severity!r}: must be one of {', '.join(SEVERITIES)}"
        raise ValueError(wrong)
    message = {
        **_head("bess.event/1", gateway, asset),
        "observedAt": rfc3339(at_ms),
        "quality": "good",
        "type": type_,
        "severity": severity,
        **(fields or {}),
        "text": text,
    }
    return Batch(Stream.EVENT, asset, 1, at_ms, at_ms, Codec.JSON, encode(message))


def notice_batch(notice: Notice, unix_ms: int, *, gateway: str) -> Batch:
    """What the queue has to say: readings that will never be shipped, or how an epoch ended."""
    if isinstance(notice, EpochEnded):
        return _epoch_batch(notice, unix_ms, gateway=gateway)
    return _gap_batch(notice, unix_ms, gateway=gateway)


def _epoch_batch(ended: EpochEnded, unix_ms: int, *, gateway: str) -> Batch:
    how = "was closed" if ended.closed else "was broken off"
    fields: dict[str, object] = {
        "start": ended.told_in,
        "ended": ended.epoch,
        "endedStart": ended.start,
        "last": dict(ended.last),
        "closed": ended.closed,
    }
    return event(
        gateway=gateway,
        asset="",
        type_="epoch",
        severity="info",
        text=f"start {ended.told_in}: epoch {ended.epoch} {how}",
        at_ms=unix_ms,
        fields=fields,
    )


def _gap_batch(gap: Gap, unix_ms: int, *, gateway: str) -> Batch:
    count = gap.last - gap.first + 1
    text = (
        f"{count} {gap.stream.value} record{'s' if count > 1 else ''} "
        f"({gap.first} to {gap.last}) will never be shipped: {gap.reason}"
    )
    fields: dict[str, object] = {
        "stream": gap.stream.value,
        "from": gap.first,
        "to": gap.last,
        "reason": gap.reason,
    }
    if gap.epoch:
        fields["gapEpoch"] = gap.epoch
    return event(
        gateway=gateway,
        asset=gap.asset,
        type_="gap",
        severity="warning",
        text=text,
        at_ms=unix_ms,
        fields=fields,
    )


def state(
    *,
    gateway: str,
    asset: str,
    quality: str,
    at_ms: int,
    unix_ms: int,
    fields: Mapping[str, object],
) -> Batch:
    """The normalized state of an asset, ``bess.state/1``.

    Args:
        gateway: id of this gateway.
        asset: id of the asset.
        quality: label of the worst quality among the fields.
        at_ms: Unix ms, UTC, of the newest input, by the outstation's clock.
        unix_ms: now, Unix ms, by which the record ages: an outstation's clock may say anything.
        fields: the battery model by its JSON names, with ``fields`` and ``enrichment``.
    """
    message = {
        **_head("bess.state/1", gateway, asset),
        "observedAt": rfc3339(at_ms),
        "quality": quality,
        **fields,
    }
    return Batch(Stream.STATE, asset, 1, unix_ms, unix_ms, Codec.JSON, encode(message))


def status(
    *, gateway: str, epoch: str, online: bool, boot_id: str, since_ms: int, unix_ms: int
) -> bytes:
    """``bess.status/1``; with ``online`` false also the last will, written when we connect.

    ``since_ms`` is the Unix ms since which the process runs.
    """
    fields = {"online": online, "bootId": boot_id, "since": rfc3339(since_ms)}
    return _unnumbered("bess.status/1", gateway, "", epoch, unix_ms, fields)


def birth(
    *,
    gateway: str,
    epoch: str,
    order: Mapping[str, object],
    version: str,
    session: str,
    certificate_not_after_ms: int | None,
    assets: Sequence[Mapping[str, object]],
    unix_ms: int,
) -> bytes:
    """``bess.birth/1``: who we are and what we may do, published after every connect.

    Args:
        gateway: id of this gateway.
        epoch: ULID in which the queue counts.
        order: of the epoch among others: ``start`` of the daemon that began it, ``epochBefore``
            where there was one.
        version: of the package.
        session: the boot nonce, base64url.
        certificate_not_after_ms: end of the client certificate's life, Unix ms, if it is known.
        assets: per asset id, name, site ids, pathway, map {id, revision, digest} and control
            {state, enabled, reasons, approval, safetyDigest, verbs}.
        unix_ms: now, Unix ms.
    """
    not_after = None if certificate_not_after_ms is None else rfc3339(certificate_not_after_ms)
    fields = {
        **order,
        "version": version,
        "session": session,
        "certificateNotAfter": not_after,
        "assets": [dict(asset) for asset in assets],
    }
    return _unnumbered("bess.birth/1", gateway, "", epoch, unix_ms, fields)


def point_table(
    *,
    gateway: str,
    epoch: str,
    asset: str,
    digest: str,
    points: Sequence[Mapping[str, object]],
    unix_ms: int,
) -> bytes:
    """``bess.map/1``: what the columns of telemetry mean, under the map's digest."""
    fields = {"digest": digest, "points": [dict(point) for point in points]}
    return _unnumbered("bess.map/1", gateway, asset, epoch, unix_ms, fields)


def challenge(*, gateway: str, epoch: str, session: str, number: int, issued_ms: int) -> bytes:
    """``bess.challenge/1``: asks the dispatch application for a signed heartbeat."""
    fields = {"session": session, "challenge": number, "issuedAt": rfc3339(issued_ms)}
    return _unnumbered("bess.challenge/1", gateway, "", epoch, issued_ms, fields)


def ack(
    *,
    gateway: str,
    epoch: str,
    asset: str,
    id_: str | None,
    state: str,
    reason: str | None,
    text: str = "",
    unix_ms: int,
) -> bytes:
    """``bess.ack/1``: the receipt of a command, within a second of its arrival.

    Args:
        gateway: id of this gateway.
        epoch: of the queue.
        asset: whose command topic it came on.
        id_: of the command; None where it cannot be read.
        state: received or rejected.
        reason: why it was rejected, else None.
        text: as that, for people; "": nothing is said.
        unix_ms: now, Unix ms.
    """
    fields = {"id": id_, "state": state, "reason": reason, **({"text": text} if text else {})}
    return _unnumbered("bess.ack/1", gateway, asset, epoch, unix_ms, fields)


def result(
    *,
    gateway: str,
    asset: str,
    id_: str,
    state: str,
    platform_state: str,
    at_ms: int,
    fields: Mapping[str, object],
) -> Batch:
    """A state of a command after its receipt, ``bess.result/1``.

    Args:
        gateway: id of this gateway.
        asset: whose command it is.
        id_: of the command.
        state: rejected, pending_approval, accepted, executing, succeeded, failed, aborted,
            expired or superseded.
        platform_state: pending, success or failed.
        at_ms: Unix ms, UTC.
        fields: reason, requestedPowerW, appliedPowerW, measuredPowerW (W), warnings.
    """
    message = {
        **_head("bess.result/1", gateway, asset),
        "observedAt": rfc3339(at_ms),
        "quality": "good",
        "id": id_,
        "state": state,
        "platformState": platform_state,
        **fields,
    }
    return Batch(Stream.RESULT, asset, 1, at_ms, at_ms, Codec.JSON, encode(message))


def audit_batch(*, gateway: str, n: int, hash_: str, jws: str, at_ms: int) -> Batch:
    """The signed head of the audit chain, ``bess.audit/1``.

    Args:
        gateway: id of this gateway.
        n: number of the chain's last row.
        hash_: of that row, hex.
        jws: compact serialization, signed by the device key.
        at_ms: Unix ms, UTC, at which it was signed.
    """
    message = {
        **_head("bess.audit/1", gateway, ""),
        "observedAt": rfc3339(at_ms),
        "quality": "good",
        "n": n,
        "hash": hash_,
        "jws": jws,
    }
    return Batch(Stream.AUDIT, "", 1, at_ms, at_ms, Codec.JSON, encode(message))


def _head(schema: str, gateway: str, asset: str) -> dict[str, object]:
    head: dict[str, object] = {"schema": schema, "gateway": gateway}
    if asset:
        head["asset"] = asset
    return head


def _unnumbered(
    schema: str,
    gateway: str,
    asset: str,
    epoch: str,
    unix_ms: int,
    fields: Mapping[str, object],
) -> bytes:
    at = rfc3339(unix_ms)
    header = {
        **_head(schema, gateway, asset),
        "epoch": epoch,
        "seq": None,
        "observedAt": at,
        "publishedAt": at,
        "quality": "good",
        "backfill": False,
    }
    return encode({**header, **fields})
