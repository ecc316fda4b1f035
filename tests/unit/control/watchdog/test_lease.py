"""The lease: what an answer is worth, and for how long."""

from __future__ import annotations

import itertools

from gateway.control.watchdog.lease import Lease


def issued(*times: float) -> Lease:
    lease = Lease("boot-1", 30.0)
    for at in times:
        lease = lease.issue(at)
    return lease


def test_the_lease_runs_from_the_issue_of_the_challenge_not_from_its_answer() -> None:
    lease = issued(100.0).answer("boot-1", 1, 125.0)
    assert lease.expires_at == 130.0
    assert lease.live(129.9)
    assert not lease.live(130.0)


def test_a_newer_answered_challenge_extends_the_lease() -> None:
    lease = issued(100.0, 105.0).answer("boot-1", 1, 100.2).answer("boot-1", 2, 105.2)
    assert lease.expires_at == 135.0


def test_an_answer_to_an_older_challenge_neither_extends_nor_shortens() -> None:
    lease = issued(100.0, 105.0).answer("boot-1", 2, 105.2)
    assert lease.answer("boot-1", 1, 105.3) == lease


def test_a_replayed_answer_changes_nothing() -> None:
    lease = issued(100.0).answer("boot-1", 1, 100.2)
    assert lease.answer("boot-1", 1, 120.0) == lease


def test_an_answer_from_another_boot_is_worth_nothing() -> None:
    lease = issued(100.0)
    assert lease.answer("boot-0", 1, 100.2) == lease


def test_an_answer_to_a_challenge_never_issued_is_worth_nothing() -> None:
    lease = issued(100.0)
    assert lease.answer("boot-1", 2, 100.2) == lease


def test_an_answer_older_than_one_lease_is_late() -> None:
    lease = issued(100.0)
    assert lease.answer("boot-1", 1, 130.0) == lease
    assert not lease.answer("boot-1", 1, 131.0).live(131.0)


def test_a_gap_begins_a_new_unbroken_lease() -> None:
    lease = issued(100.0).answer("boot-1", 1, 100.5)
    lease = lease.issue(105.0).answer("boot-1", 2, 105.5)
    assert lease.unbroken_s(130.0) == 29.5
    assert lease.unbroken_s(140.0) == 0.0
    lease = lease.issue(140.0).answer("boot-1", 3, 141.0)
    assert lease.unbroken_s(150.0) == 9.0


def test_challenges_older_than_a_lease_are_forgotten() -> None:
    lease = issued(*range(100, 200, 5))
    assert [number for number, _ in lease.issued] == [15, 16, 17, 18, 19, 20]


def test_a_command_may_quote_a_challenge_of_this_boot_no_older_than_one_lease() -> None:
    lease = issued(100.0)
    assert lease.knows("boot-1", 1, 130.0)
    assert not lease.knows("boot-1", 1, 130.1)
    assert not lease.knows("boot-0", 1, 110.0)
    assert not lease.knows("boot-1", 2, 110.0)


def test_nobody_without_the_boots_secret_can_tell_the_next_challenge() -> None:
    """Else a hostile broker asks the application in advance, and feeds us after its death."""

    def numbers(secret: bytes) -> list[int]:
        lease, found = Lease("boot-1", 30.0, secret=secret), []
        for at in range(200):
            lease = lease.issue(float(at))
            found.append(lease.newest)
        return found

    ours, theirs = numbers(b"ours"), numbers(b"theirs")
    assert ours == numbers(b"ours")
    assert not set(ours) & set(theirs)
    steps = [after - before for before, after in itertools.pairwise(ours)]
    assert min(steps) > 0
    assert len(set(steps)) == len(steps)
    assert max(ours) < 2**53 / 10_000
