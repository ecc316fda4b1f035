"""What several batteries share: how much each may take, and who gives way."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.control.rules.limits import Ceiling
from gateway.control.rules.shared import (
    NOTHING,
    OTHERS_S,
    Burden,
    Commitment,
    OthersSeen,
    others,
    share,
)

LIMIT = Ceiling(2e6, 2e6)
NOBODY = (NOTHING, NOTHING)
figures = st.floats(0, 3e6)
burdens = st.builds(Burden, figures, figures)


def discharging(power_w: float, number: int) -> Commitment:
    """A command in force, and obeyed."""
    both = Burden(0.0, power_w)
    return Commitment(most=both, sure=both, ordered=both, held=both, number=number)


def shares_w(members: list[Commitment], limit: Ceiling = LIMIT) -> list[float]:
    return [share(at, members, limit, others=NOBODY).discharge_w for at in range(len(members))]


def test_a_battery_may_grow_into_what_the_others_leave() -> None:
    idle = Commitment(most=NOTHING, sure=NOTHING)
    assert shares_w([discharging(1.5e6, 1), idle]) == [2e6, 0.5e6]


def test_what_may_be_in_force_counts_though_less_was_ordered_since() -> None:
    falling = Commitment(
        most=Burden(0.0, 1.5e6), sure=Burden(0.0, 1e5), ordered=Burden(0.0, 1e5), number=1
    )
    assert shares_w([falling, discharging(0.2e6, 2)])[1] == 0.5e6


def test_a_ramp_does_not_go_on_into_what_may_still_be_in_force() -> None:
    falling = Commitment(
        most=Burden(0.0, 1.4e6), sure=Burden(0.0, 4e5), ordered=Burden(0.0, 4e5), number=1
    )
    rising = replace(discharging(0.6e6, 2), held=Burden(0.0, 0.2e6))
    assert shares_w([falling, rising])[1] == pytest.approx(0.6e6)
    assert shares_w([falling, rising], Ceiling(2e6, 1.6e6))[1] == pytest.approx(0.2e6)
    assert shares_w([falling, rising], Ceiling(2e6, 1.5e6))[1] == pytest.approx(0.2e6)
    assert shares_w([falling, rising], Ceiling(2e6, 0.5e6))[1] == pytest.approx(0.1e6)


def test_a_ramp_is_not_cut_short_for_what_the_meter_shows_only_while_a_battery_moves() -> None:
    seen = OthersSeen().note(0.0, NOTHING).note(1.0, Burden(0.0, 1.5e6))
    rising = replace(discharging(0.6e6, 1), held=Burden(0.0, 0.2e6))
    assert share(0, [rising], LIMIT, others=seen.span()).discharge_w == 0.6e6


def test_opposite_signs_do_not_net() -> None:
    burden = Burden.of(-1.5e6)
    charging = Commitment(most=burden, sure=burden)
    idle = Commitment(most=NOTHING, sure=NOTHING)
    assert share(1, [charging, idle], LIMIT, others=NOBODY) == Ceiling(0.5e6, 2e6)


def test_where_the_limit_shrinks_the_youngest_command_gives_way_first() -> None:
    members = [discharging(0.5e6, 3), discharging(1.0e6, 1), discharging(0.5e6, 2)]
    assert shares_w(members) == [0.5e6, 1.0e6, 0.5e6]
    assert shares_w(members, Ceiling(2e6, 1.7e6)) == pytest.approx([0.2e6, 1.0e6, 0.5e6])
    assert shares_w(members, Ceiling(2e6, 1.2e6)) == pytest.approx([0.0, 1.0e6, 0.2e6])
    assert shares_w(members, Ceiling(2e6, 0.0)) == [0.0, 0.0, 0.0]


def test_what_nobody_can_order_smaller_goes_before_the_oldest_command() -> None:
    latched = Commitment(most=Burden(0.0, 1.2e6), sure=Burden(0.0, 1.2e6))
    assert shares_w([discharging(1e6, 1), latched]) == [0.8e6, 1e6]


def test_what_a_younger_one_takes_beyond_its_order_is_taken_off_for_the_older() -> None:
    runaway = Commitment(
        most=Burden(0.0, 1.5e6), sure=Burden(0.0, 1.5e6), ordered=Burden(0.0, 0.5e6), number=2
    )
    assert shares_w([discharging(1.5e6, 1), runaway]) == pytest.approx([1e6, 0.5e6])


@given(
    st.lists(st.tuples(burdens, burdens, st.floats(0, 1)), min_size=2, max_size=4),
    st.permutations(range(4)),
    figures,
)
def test_whoever_is_asked_first_the_orders_never_come_to_more_than_the_limit(
    given_: list[tuple[Burden, Burden, float]], order: list[int], limit_w: float
) -> None:
    members = [
        Commitment(
            most=most.beside(ordered), sure=ordered, ordered=ordered, held=ordered, number=number
        )
        for number, (most, ordered, _) in enumerate(given_)
    ]
    limit = Ceiling(limit_w, limit_w)
    for at in (at for at in order if at < len(members)):
        may, one = share(at, members, limit, others=NOBODY), members[at]
        held = Burden(
            min(one.ordered.charge_w, may.charge_w), min(one.ordered.discharge_w, may.discharge_w)
        )
        members[at] = replace(one, sure=held, ordered=held, held=held)
    assert sum(one.ordered.charge_w for one in members) <= limit_w * (1 + 1e-9)
    assert sum(one.ordered.discharge_w for one in members) <= limit_w * (1 + 1e-9)


@given(st.lists(burdens, min_size=2, max_size=4), st.lists(st.tuples(figures, figures)))
def test_grants_one_after_the_other_never_come_to_more_than_the_limit(
    held: list[Burden], wanted: list[tuple[float, float]]
) -> None:
    members = [Commitment(most=NOTHING, sure=NOTHING) for _ in held]
    for at, (charge_w, discharge_w) in enumerate(wanted):
        index = at % len(members)
        may = share(index, members, LIMIT, others=NOBODY)
        granted = Burden(min(charge_w, may.charge_w), min(discharge_w, may.discharge_w))
        most = granted.beside(members[index].most)  # the one before may still be in force
        members[index] = Commitment(most=most, sure=granted, ordered=granted, number=at)
        assert sum(one.most.charge_w for one in members) <= 2e6 * (1 + 1e-9)
        assert sum(one.most.discharge_w for one in members) <= 2e6 * (1 + 1e-9)


def test_a_side_without_a_limit_is_not_limited() -> None:
    unknown = Commitment(most=Burden(math.inf, math.inf), sure=NOTHING)
    idle = Commitment(most=NOTHING, sure=NOTHING)
    assert share(1, [unknown, idle], Ceiling(math.inf, 1e6), others=NOBODY) == Ceiling(
        math.inf, 0.0
    )


# --- the meter -------------------------------------------------------------------------------


def test_what_our_own_batteries_do_is_not_counted_as_others() -> None:
    assert others(1.8e6, [1.0e6, 0.5e6], [NOTHING, NOTHING]) == pytest.approx(Burden(0.0, 0.3e6))
    assert others(-0.2e6, [1.0e6], [NOTHING]) == Burden(1.2e6, 0.0)


def test_a_battery_of_unknown_power_is_neither_counted_twice_nor_as_a_load() -> None:
    unseen = [NOTHING, Burden(0.0, 1.0e6)]
    assert others(1.5e6, [0.5e6, None], unseen) == NOTHING
    assert others(1.8e6, [0.5e6, None], unseen) == pytest.approx(Burden(0.0, 0.3e6))
    assert others(0.5e6, [0.5e6, None], [NOTHING, Burden(1.0e6, 0.0)]) == NOTHING


def test_nobody_grows_into_what_the_meter_showed_a_moment_ago() -> None:
    seen = OthersSeen().note(0.0, Burden(0.0, 5e5)).note(1.0, NOTHING)
    assert seen.span() == (Burden(0.0, 5e5), NOTHING)
    assert seen.note(OTHERS_S + 0.9, NOTHING).span() == (Burden(0.0, 5e5), NOTHING)
    assert seen.note(OTHERS_S + 1.1, NOTHING).span() == (NOTHING, NOTHING)


def test_nobody_shrinks_for_what_the_meter_shows_only_while_a_battery_moves() -> None:
    seen = OthersSeen().note(0.0, NOTHING).note(1.0, Burden(0.0, 1.5e6))
    idle = Commitment(most=NOTHING, sure=NOTHING)
    members = [idle, discharging(0.5e6, 1)]
    assert share(1, members, LIMIT, others=seen.span()).discharge_w == 0.5e6
    assert share(0, members, LIMIT, others=seen.span()).discharge_w == 0.0
    later = seen.note(OTHERS_S + 1.1, Burden(0.0, 1.6e6))
    assert share(1, members, LIMIT, others=later.span()).discharge_w == pytest.approx(0.5e6)
    last = later.note(2 * OTHERS_S + 2, Burden(0.0, 1.7e6)).note(
        3 * OTHERS_S + 3, Burden(0.0, 1.8e6)
    )
    assert share(1, members, LIMIT, others=last.span()).discharge_w == pytest.approx(0.3e6)
