"""When a log that another program holds is told, and when it is too much."""

from __future__ import annotations

from gateway.queue.rules.held_log import HeldLog, allowance

MIB = 1 << 20
MOST = 64 * MIB


def look(log: HeldLog, log_mib: int, *, used_mib: int = 10, is_held: bool = True) -> HeldLog:
    return log.looked(
        log_bytes=log_mib * MIB, used_bytes=used_mib * MIB, max_size=MOST, is_held=is_held
    )


def test_a_log_that_is_not_held_or_small_is_nobodys_business() -> None:
    assert allowance(MOST) == 8 * MIB
    assert look(HeldLog(), 8) == HeldLog()
    assert look(HeldLog(), 40, is_held=False) == HeldLog()


def test_a_held_log_is_told_and_full_where_it_and_the_pages_are_more_than_max_size() -> None:
    assert look(HeldLog(), 9) == HeldLog(is_held=True)
    assert look(HeldLog(), 54) == HeldLog(is_held=True)
    assert look(HeldLog(), 55) == HeldLog(is_held=True, is_full=True)
    assert look(HeldLog(), 20, used_mib=45).is_full


def test_the_edge_does_not_flap_and_a_log_that_is_cut_off_ends_it() -> None:
    full = look(HeldLog(), 55)
    assert look(full, 54).is_full
    assert not look(full, 52).is_full
    assert look(full, 52, is_held=False).is_held  # until the file is small again
    assert look(full, 4) == HeldLog()
