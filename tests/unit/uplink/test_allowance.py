"""So many in so long."""

from __future__ import annotations

from gateway.uplink.allowance import Allowance


def test_so_many_are_allowed_in_a_span_and_the_next_span_begins_anew() -> None:
    allowed = Allowance(2, 1.0)
    assert [allowed.beyond(at) for at in (5.0, 5.1, 5.2, 5.9, 6.0, 6.5, 6.99)] == [
        0,
        0,
        1,
        2,
        0,
        0,
        1,
    ]
