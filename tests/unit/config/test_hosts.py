"""Spellings of a host."""

from __future__ import annotations

import pytest

from gateway.config.hosts import ambiguous, same_host


@pytest.mark.parametrize(
    "spellings",
    [
        ("127.0.0.1", "localhost", "LocalHost", "localhost.", "127.1", "0x7f.1", "2130706433"),
        ("127.0.0.1", "::1", "[::1]", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1", "rtac.localhost"),
        ("10.0.0.1", "010.0.0.1", "10.0.1", "10.1", "0xA.0.0.0x1", "::ffff:10.0.0.1", " 10.0.0.1"),
        ("rtac-7.site.example", "RTAC-7.site.example.", "rtac-7.SITE.example"),
        ("2001:db8::7", "2001:DB8:0:0::7", "2001:0db8:0000:0000:0000:0000:0000:0007"),
    ],
)
def test_spellings_of_one_host_are_the_same(spellings: tuple[str, ...]) -> None:
    assert len({same_host(one) for one in spellings}) == 1


def test_other_hosts_are_not() -> None:
    hosts = (
        *("127.0.0.1", "127.0.0.2", "10.0.0.1", "10.0.0.10", "10.0.1.0", "rtac-1", "rtac-10"),
        *("1.2.3.4.5", "256.0.0.1", "1.2.70000", "fe80::1", "2001:db8::1", "site.0x", "10.0.0.1a"),
    )
    assert len({same_host(one) for one in hosts}) == len(hosts)


@pytest.mark.parametrize("host", ["010.0.0.1", "10.0.00.1", "10.0.0.01", "0177.1"])
def test_an_address_with_a_leading_zero_can_be_read_in_two_ways(host: str) -> None:
    assert ambiguous(host)


@pytest.mark.parametrize("host", ["10.0.0.1", "0.0.0.0", "0x0a.0.0.1", "rtac-01", "01.example", ""])
def test_any_other_host_is_read_in_one(host: str) -> None:
    assert not ambiguous(host)
