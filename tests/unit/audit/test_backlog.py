"""What waits for the disk: in order, whole orders, bounded, and what is given up is counted."""

from __future__ import annotations

import json

from gateway.audit.backlog import AuditBacklog
from gateway.clock import Now
from gateway.effects import AuditEntry, Record

AT = Now(10.0, 1000)


def order(token: int, *, size: int = 100, entries: int = 1, **facts: str | None) -> Record:
    entry = AuditEntry("ops-1", "command", "bess-1", b"x" * size)
    return Record(token, (entry,) * entries, facts)


def test_orders_are_taken_whole_and_in_order_up_to_the_size_of_a_transaction() -> None:
    backlog = AuditBacklog()
    for token in range(1, 6):
        backlog.put(order(token, size=600), AT)
    taken = backlog.take(most_bytes=2500)
    assert [one.token for one in taken] == [1, 2]
    assert [one.token for one in backlog.take(most_bytes=1)] == [3]  # one at least
    backlog.put_back(taken)
    assert backlog.entries == 4
    assert len(backlog.take(most_bytes=1 << 20)) == 4
    assert not backlog
    assert backlog.size == 0


def test_who_was_told_is_not_told_again() -> None:
    backlog = AuditBacklog()
    backlog.put(order(1), AT)
    backlog.put(order(2), AT)
    taken = backlog.take(most_bytes=1)
    backlog.put_back(taken)
    assert backlog.refused() == [2]
    assert backlog.refused() == []


def test_a_signature_is_remembered_until_it_is_asked_for() -> None:
    backlog = AuditBacklog()
    backlog.put(Record(1, (), sign=True), AT)
    backlog.put(Record(2, ()), AT)
    assert backlog.is_sign_asked


def test_beyond_its_limit_entries_are_counted_and_a_row_tells_of_them_in_their_place() -> None:
    backlog = AuditBacklog(most_bytes=2000)
    for token in range(1, 4):
        backlog.put(order(token, size=500, seen=str(token)), AT)
    backlog.put(order(4, entries=2, latched="yes"), Now(11.0, 2000))
    backlog.put(Record(5, (), {"seen": None}), Now(12.0, 3000))
    assert (backlog.entries, backlog.lost) == (2, 3)
    assert backlog.untold == [3, 4, 5]
    taken = backlog.take()
    rows = [row for one in taken for row in one.rows()]
    assert [row.entry.actor for row in rows] == ["ops-1", "ops-1", "gateway"]
    assert json.loads(rows[-1].entry.payload) == {"lost": 3, "from": 1000, "to": 3000}
    facts = {key: value for one in taken for key, value in one.facts.items()}
    assert facts == {"seen": None, "latched": "yes"}  # never given up
    backlog.put(order(6), AT)
    assert (backlog.entries, backlog.lost) == (1, 0)


def test_facts_without_entries_beyond_the_limit_count_no_loss() -> None:
    backlog = AuditBacklog(most_bytes=100)
    backlog.put(order(1, size=500), AT)
    backlog.put(Record(2, (), {"a": "1"}), AT)
    assert backlog.lost == 0
    backlog.put(Record(3, (), {"a": "2"}), AT)
    taken = backlog.take()
    assert len([row for one in taken for row in one.rows()]) == 1
    assert {key: value for one in taken for key, value in one.facts.items()} == {"a": "2"}


def test_an_order_larger_than_the_limit_is_taken_where_nothing_waits() -> None:
    backlog = AuditBacklog(most_bytes=100)
    backlog.put(order(1, size=10_000), AT)
    assert backlog.entries == 1


def test_what_is_put_back_keeps_its_place_before_what_came_since() -> None:
    backlog = AuditBacklog()
    backlog.put(order(1), AT)
    taken = backlog.take()
    backlog.put(order(2), AT)
    backlog.put_back(taken)
    backlog.put(order(3), AT)
    assert [one.token for one in backlog.take()] == [0, 2, 3]
