"""The chain: any single edit, removal, swap or truncation is found against a signed head."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.audit.chain import (
    GENESIS,
    START,
    AuditRow,
    Head,
    Tampering,
    appended,
    canonical,
    head_payload,
    row_hash,
    verify_chain,
)


def chain(count: int) -> tuple[Head, list[AuditRow]]:
    head, rows = START, []
    for n in range(count):
        head, row = appended(
            head, ts=1000 + n, mono=n, actor=f"kid-{n % 3}", event="command", payload=b"%d" % n
        )
        rows.append(row)
    return head, rows


def kinds(rows: list[AuditRow], head: Head, anchor: Head = START) -> set[Tampering]:
    return {finding.kind for finding in verify_chain(rows, head, anchor=anchor)}


def test_an_untouched_chain_has_no_finding() -> None:
    head, rows = chain(20)
    assert verify_chain(rows, head) == ()
    assert verify_chain([], START) == ()


def test_rows_start_at_one_and_link_to_the_row_before() -> None:
    _, rows = chain(3)
    assert [row.n for row in rows] == [1, 2, 3]
    assert rows[0].prev == GENESIS
    assert rows[1].prev == rows[0].hash


def test_rows_behind_the_signed_head_are_held_by_the_chain() -> None:
    _, rows = chain(20)
    assert verify_chain(rows, Head(12, rows[11].hash)) == ()


def test_rows_let_go_after_400_days_leave_a_signed_anchor() -> None:
    head, rows = chain(20)
    anchor = Head(5, rows[4].hash)
    assert verify_chain(rows[5:], head, anchor=anchor) == ()
    assert kinds(rows[6:], head, anchor) == {Tampering.REMOVED}
    assert kinds(rows[5:], head, Head(5, "0" * 64)) == {Tampering.RELINKED}


@given(data=st.data(), count=st.integers(1, 12))
def test_any_single_edit_is_found(data: st.DataObject, count: int) -> None:
    head, rows = chain(count)
    at = data.draw(st.integers(0, count - 1))
    name = data.draw(
        st.sampled_from(["n", "ts", "mono", "actor", "event", "payload", "prev", "hash", "asset"])
    )
    kind: st.SearchStrategy[Any] = (
        st.integers() if name in ("n", "ts", "mono") else st.text("0123abcdef\u00e9")
    )
    value = data.draw(kind.filter(lambda found: found != getattr(rows[at], name)))
    rows[at] = replace(rows[at], **{name: value})
    assert verify_chain(rows, head)


@given(data=st.data(), count=st.integers(1, 12))
def test_an_edit_with_a_recomputed_hash_is_found(data: st.DataObject, count: int) -> None:
    head, rows = chain(count)
    at = data.draw(st.integers(0, count - 1))
    forged = replace(rows[at], event="nothing happened")
    rows[at] = replace(forged, hash=row_hash(forged))
    assert verify_chain(rows, head)


@given(data=st.data(), count=st.integers(1, 12))
def test_a_whole_tail_that_was_rewritten_is_found(data: st.DataObject, count: int) -> None:
    head, rows = chain(count)
    at = data.draw(st.integers(0, count - 1))
    last = Head(at, rows[at - 1].hash) if at else START
    forged = rows[:at]
    for row in rows[at:]:
        last, new = appended(
            last, ts=row.ts, mono=row.mono, actor=row.actor, event="forged", payload=b""
        )
        forged.append(new)
    assert kinds(forged, head) == {Tampering.FORGED}


@given(data=st.data(), count=st.integers(1, 12))
def test_any_single_removal_is_found(data: st.DataObject, count: int) -> None:
    head, rows = chain(count)
    at = data.draw(st.integers(0, count - 1))
    del rows[at]
    wanted = Tampering.TRUNCATED if at == count - 1 else Tampering.REMOVED
    assert wanted in kinds(rows, head)


@given(data=st.data(), count=st.integers(2, 12))
def test_any_swap_is_found(data: st.DataObject, count: int) -> None:
    head, rows = chain(count)
    one, other = data.draw(st.lists(st.integers(0, count - 1), min_size=2, max_size=2, unique=True))
    rows[one], rows[other] = rows[other], rows[one]
    assert Tampering.REORDERED in kinds(rows, head)


@given(data=st.data(), count=st.integers(1, 12))
def test_any_truncation_and_any_repetition_is_found(data: st.DataObject, count: int) -> None:
    head, rows = chain(count)
    kept = data.draw(st.integers(0, count - 1))
    assert Tampering.TRUNCATED in kinds(rows[:kept], head)
    at = data.draw(st.integers(0, count - 1))
    assert Tampering.REORDERED in kinds([*rows[: at + 1], rows[at], *rows[at + 1 :]], head)


def test_the_canonical_row_is_compact_json_of_every_column_but_the_hash() -> None:
    _, (row,) = chain(1)
    found = json.loads(canonical(row))
    assert sorted(found) == ["actor", "event", "mono", "n", "payload", "prev", "ts"]
    assert b" " not in canonical(row)


def test_a_row_about_an_asset_has_it_in_its_canonical_form() -> None:
    _, row = appended(
        START, ts=1, mono=1, actor="ops-1", event="command", payload=b"", asset="bess-1"
    )
    assert json.loads(canonical(row))["asset"] == "bess-1"
    assert kinds([replace(row, asset="bess-2")], Head(1, row.hash)) == {Tampering.EDITED}


def test_the_heads_payload_names_the_gateway() -> None:
    found = json.loads(head_payload(Head(3, "ab"), "gw-17", ts=5))
    assert found == {"schema": "bess.audit/1", "gateway": "gw-17", "n": 3, "hash": "ab", "ts": 5}
