"""Rows as the database holds them, and the gaps that announce them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import PayloadError
from gateway.queue.rules.rows import (
    MOST_RANGES,
    RowPlace,
    columns_of,
    gaps_of,
    id_of,
    key_of,
    keys_of,
    row_of,
    spans,
    stream_of,
    thinned_gaps,
)
from gateway.streams import Batch, Codec, Gap, Row, Stream

ROW = Row(7, 90, Batch(Stream.STATE, "bess-1", 2, 10, 20, Codec.ZSTD, b"body"), "EPOCH")
TELEMETRY = Stream.TELEMETRY


def place(seq0: int, n: int = 1, *, asset: str = "a", epoch: str = "E") -> RowPlace:
    return RowPlace(key_of(TELEMETRY, seq0), asset, seq0, n, 100, epoch, 0)


def test_a_row_is_read_back_as_it_was_stored() -> None:
    assert row_of(columns_of(ROW, aged_s=5)) == ROW


def test_keys_are_in_shipping_order() -> None:
    assert key_of(Stream.AUDIT, 99) < key_of(Stream.EVENT, 1) < key_of(Stream.EVENT, 2)
    assert key_of(Stream.EVENT, 1 << 40) < key_of(TELEMETRY, 1)
    lo, hi = keys_of(Stream.STATE)
    assert lo < key_of(Stream.STATE, 1) < hi < key_of(TELEMETRY, 0)
    assert (id_of(key_of(TELEMETRY, 5)), stream_of(key_of(TELEMETRY, 5))) == (5, TELEMETRY)


def test_a_key_of_no_stream_is_damage() -> None:
    with pytest.raises(PayloadError, match=r"priority 9: must be 0\.\.4"):
        stream_of(9 << 48)


@pytest.mark.parametrize("column", range(12))
def test_a_change_in_any_column_is_seen(column: int) -> None:
    columns: list[object] = list(columns_of(ROW, aged_s=5))
    old = columns[column]
    if isinstance(old, int):
        columns[column] = old ^ 1
    elif isinstance(old, str):
        columns[column] = old[:-1] + chr(ord(old[-1]) ^ 1)
    else:
        columns[column] = b"bodx"
    with pytest.raises(PayloadError):
        row_of(columns)


@pytest.mark.parametrize("column", range(12))
def test_a_column_of_another_type_is_damage(column: int) -> None:
    columns: list[object] = list(columns_of(ROW, aged_s=5))
    columns[column] = None
    with pytest.raises(PayloadError):
        row_of(columns)


@given(bit=st.integers(0, 8 * 200 - 1), body=st.binary(min_size=200, max_size=200))
def test_every_flipped_bit_of_a_body_is_caught(bit: int, body: bytes) -> None:
    row = Row(1, 1, Batch(TELEMETRY, "a", 1, 0, 0, Codec.JSON, body), "E")
    columns: list[object] = list(columns_of(row, aged_s=0))
    flipped = bytearray(body)
    flipped[bit // 8] ^= 1 << bit % 8
    columns[11] = bytes(flipped)
    with pytest.raises(PayloadError, match="CRC"):
        row_of(columns)


def test_ids_become_runs_whatever_their_order() -> None:
    assert spans([3, 1, 2, 7, 2]) == [(1, 3), (7, 7)]
    assert spans([]) == []


def test_neighbouring_rows_share_a_gap_also_over_assets() -> None:
    rows = [place(1, 3), place(4, 2), place(9, asset="b"), place(10)]
    assert gaps_of(TELEMETRY, rows, "quota") == [
        Gap(TELEMETRY, "a", 1, 5, "quota", "E"),
        Gap(TELEMETRY, "", 9, 10, "quota", "E"),
    ]


def test_an_older_epoch_has_a_gap_of_its_own() -> None:
    found = gaps_of(TELEMETRY, [place(5, epoch="D"), place(6, epoch="E")], "quota")
    assert [(gap.first, gap.last, gap.epoch) for gap in found] == [(5, 5, "D"), (6, 6, "E")]


def test_a_scattered_drop_needs_few_records_and_covers_every_number() -> None:
    rows = [place(seq) for seq in range(1, 2000, 2)]
    found = gaps_of(TELEMETRY, rows, "quota")
    assert len(found) == MOST_RANGES
    covered = {seq for gap in found for seq in range(gap.first, gap.last + 1)}
    assert covered >= {row.seq0 for row in rows}


def test_thinning_is_announced_as_one_range() -> None:
    rows = [place(2), place(4, asset="b"), place(6)]
    assert thinned_gaps(Stream.STATE, rows) == [Gap(Stream.STATE, "", 2, 6, "thinned", "E")]
