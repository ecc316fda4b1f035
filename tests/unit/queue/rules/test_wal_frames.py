"""Where SQLite ends its log, and whether commits lie behind."""

from __future__ import annotations

from struct import pack, pack_into

from hypothesis import given
from hypothesis import strategies as st

from gateway.queue.rules.wal_frames import FRAME, HEADER, checksum, mended, page_of, parse

PAGE = 512
SALTS = b"saltsalt"
STEP = FRAME + PAGE


def log(*commits: int, salts: bytes = SALTS, magic: int = 0x377F0682) -> bytes:
    """A log of commits with so many frames each; page numbers count up from 1."""
    order = ">" if magic & 1 else "<"
    octets = bytearray(pack(">IIII", magic, 3_007_000, PAGE, 0) + salts)
    sums = checksum(octets, (0, 0), order=order)
    octets += pack(">II", *sums)
    number = 0
    for frames in commits:
        for at in range(frames):
            number += 1
            head = pack(">II", number, 99 if at == frames - 1 else 0)
            page = bytes([number]) * PAGE
            sums = checksum(page, checksum(head, sums, order=order), order=order)
            octets += head + salts + pack(">II", *sums) + page
    return bytes(octets)


def flipped(octets: bytes, at: int) -> bytes:
    """One bit is another."""
    spoilt = bytearray(octets)
    spoilt[at] ^= 4
    return bytes(spoilt)


def at_frame(number: int) -> int:
    return HEADER + number * STEP


def test_a_whole_log_is_read_to_its_end_in_both_byte_orders() -> None:
    for magic in (0x377F0682, 0x377F0683):
        found = parse(log(2, 3, 1, magic=magic), page=PAGE)
        assert found.end == 6
        assert not found.cut_off
        assert not found.torn
        assert not parse(flipped(log(2, magic=magic), 30), page=PAGE).whole


def test_a_flipped_bit_before_a_commit_that_another_continues_cuts_off() -> None:
    whole = log(2, 3, 2)
    for at in [*range(at_frame(4)), *range(at_frame(4) + FRAME, at_frame(5))]:
        assert parse(flipped(whole, at), page=PAGE).cut_off, at


def test_the_last_commit_alone_may_be_torn_and_says_nothing() -> None:
    whole = log(2, 3, 2)
    for at in range(at_frame(5) + FRAME, at_frame(6)):
        assert not parse(flipped(whole, at), page=PAGE).cut_off, at
    torn = parse(flipped(whole, at_frame(6) + 100), page=PAGE).torn
    assert torn == range(5, 7)


@given(st.lists(st.sampled_from(("new", "old", "zero")), min_size=40, max_size=40))
def test_a_commit_torn_at_sectors_is_no_damage_whatever_lay_there(sectors: list[str]) -> None:
    new, old = log(2, 30), log(*[1] * 32, salts=b"old salt")
    left = bytearray(new)
    for at, which in zip(range(3 * 512, len(new), 512), sectors, strict=False):
        octets = {"new": new, "old": old, "zero": bytes(len(new))}[which]
        left[at : at + 512] = octets[at : at + 512]
    assert not parse(bytes(left), page=PAGE).cut_off


def test_commits_that_were_written_over_are_no_damage() -> None:
    """A commit failed twice, of five frames and then of three; then one of two is kept."""
    first, second, kept = log(2, 5), log(2, 3), log(2, 2)
    left = kept + second[len(kept) :] + first[len(second) :]
    found = parse(left, page=PAGE)
    assert found.end == 4
    assert not found.cut_off


def test_frames_from_before_the_last_checkpoint_do_not_count() -> None:
    old, new = log(3, 3, 3, salts=b"old salt"), log(2)
    found = parse(new + old[len(new) :], page=PAGE)
    assert found.end == 2
    assert not found.cut_off
    assert not found.torn


def test_half_a_header_of_the_next_log_is_no_damage() -> None:
    octets = bytearray(log(2, 3, 1))
    pack_into(">I", octets, 12, 1)  # the number of checkpoints
    assert not parse(bytes(octets), page=PAGE).cut_off


def test_a_mended_log_is_whole_and_keeps_every_page() -> None:
    whole = log(2, 3, 1, 2)
    for at in (3, 20, at_frame(0) + 9, at_frame(1) + 17, at_frame(3) + 300):
        spoilt = flipped(whole, at)
        again = mended(spoilt, parse(spoilt, page=PAGE), page=PAGE)
        found = parse(again, page=PAGE)
        assert found.whole
        assert found.end == 8
        assert not found.cut_off
        pages = [page_of(again, number, page=PAGE) for number in range(8)]
        assert sum(page == bytes([n]) * PAGE for n, page in enumerate(pages, 1)) >= 7


def test_a_damaged_page_number_leads_nowhere() -> None:
    spoilt = bytearray(log(2, 3, 1))
    pack_into(">I", spoilt, at_frame(1), 5000)
    found = parse(bytes(spoilt), page=PAGE)
    again = mended(bytes(spoilt), found, page=PAGE)
    assert again[at_frame(1) : at_frame(1) + 4] == pack(">I", 100)


def test_no_log_and_half_a_frame_hold_nothing() -> None:
    for octets in (b"", log(1)[:HEADER], log(1)[:-1]):
        assert not parse(octets, page=PAGE).cut_off
