"""Searching pages for rows, whatever lies in them."""

from __future__ import annotations

import sqlite3

from hypothesis import given
from hypothesis import strategies as st

from gateway.queue.rules.page_rows import carve, log_pages
from gateway.queue.rules.rows import columns_of, row_of
from gateway.queue.schema import INSERT, MIGRATIONS
from gateway.streams import Batch, Codec, Row, Stream

PAGE = 4096
SIZES = (0, 1, 500, 4060, 4061, 4062, 5000, 130_000)  # around what fits into a page


def row(row_id: int, size: int) -> Row:
    batch = Batch(Stream.TELEMETRY, "bess-1", 500, -1, 1 << 40, Codec.ZSTD, b"\x01" * size)
    return Row(row_id, row_id * 500 + 1, batch, "EPOCH")


def image(rows: list[Row]) -> bytes:
    raw = sqlite3.connect(":memory:")
    raw.executescript(MIGRATIONS[0])
    raw.executemany(INSERT.sql, [columns_of(row, aged_s=0) for row in rows])
    raw.commit()
    whole = raw.serialize()
    raw.close()
    return whole


def carved(whole: bytes) -> list[tuple[object, ...]]:
    def read(number: int) -> bytes:
        return whole[(number - 1) * PAGE : number * PAGE]

    return list(carve(read, len(whole) // PAGE, page=PAGE))


def test_rows_of_any_size_are_found_without_the_tree() -> None:
    rows = [row(number, size) for number, size in enumerate(SIZES * 5, 1)]
    found = sorted((row_of(columns) for columns in carved(image(rows))), key=lambda r: r.id)
    assert found == rows


@given(page=st.binary(min_size=100, max_size=PAGE), seed=st.integers(0, 255))
def test_garbage_is_no_row_and_no_error(page: bytes, seed: int) -> None:
    whole = bytes(PAGE) + (b"\x0d" + page).ljust(PAGE, bytes([seed]))[:PAGE]
    assert all(len(columns) == 12 for columns in carved(whole * 2))


def test_the_newest_copy_in_the_log_counts() -> None:
    header = bytes(16) + b"saltsalt" + bytes(8)

    def frame(number: int, salt: bytes) -> bytes:
        return number.to_bytes(4, "big") + bytes(4) + salt + bytes(8) + bytes(PAGE)

    log = header + frame(7, b"saltsalt") + frame(7, b"saltsalt") + frame(7, b"old salt")
    assert log_pages(log, page=PAGE) == {7: 32 + 24 + PAGE + 24}
