"""TOML with line numbers."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.toml import parse
from gateway.errors import ConfigError

TEXT = '''\
title = "x"
[[asset]]
id = "a"
note = """
[asset.dnp3]
id = 3
"""
[asset.dnp3]  # the link
host = "h"
[[asset]]
"id" = "b"
  [asset.dnp3]
  host = "i"
  [[asset.dnp3.peer]]
  at = 1
'''


@pytest.mark.parametrize(
    "text", ["a = " + "1" * 5000, "a = " + "[" * 5000 + "]" * 5000], ids=["digits", "depth"]
)
def test_numbers_and_arrays_beyond_all_limits_are_a_fault_of_the_file(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^x\.toml:1: cannot be read as TOML: "):
        parse(text.encode(), file="x.toml")


def test_a_whole_number_that_no_float_holds_is_out_of_range() -> None:
    document = parse(b"a = 1" + b"0" * 400, file="x.toml")
    section = document.section()
    assert section is not None
    section.number("a")
    (fault,) = document.faults
    assert "must be a finite number" in str(fault)


@pytest.mark.parametrize(
    ("table", "key", "line"),
    [
        ("", "title", 1),
        ("asset[0]", "id", 3),
        ("asset[0]", "note", 4),
        ("asset[0].dnp3", "", 8),
        ("asset[0].dnp3", "host", 9),
        ("asset[1]", "", 10),
        ("asset[1]", "id", 11),
        ("asset[1].dnp3", "host", 13),
        ("asset[1].dnp3.peer[0]", "at", 15),
        ("asset[1]", "dnp3", 12),
        ("asset[1]", "absent", 10),
    ],
)
def test_a_key_is_found_on_its_line(table: str, key: str, line: int) -> None:
    assert parse(TEXT.encode(), file="f").where(table, key).line == line


def test_not_utf_8_names_the_line_and_the_byte() -> None:
    with pytest.raises(ConfigError, match=r"site\.toml:2: byte 0xff: must be UTF-8"):
        parse(b'a = 1\nb = "\xff"\n', file="site.toml")


def test_half_a_file_names_the_line() -> None:
    with pytest.raises(ConfigError, match=r"site\.toml:2: not TOML: .*"):
        parse(b"a = 1\n[uplink\n", file="site.toml")


@given(st.binary(max_size=200))
def test_no_bytes_end_in_anything_but_a_document_or_a_configuration_error(raw: bytes) -> None:
    try:
        parse(raw, file="f")
    except ConfigError as error:
        assert str(error).startswith("f:")  # noqa: PT017 - both ends are right


@pytest.mark.parametrize("filled", ["[{}\n1]", "[1,{}2]", "[[{}\n1]]", "[1]{}"])
def test_a_line_of_many_blanks_takes_no_longer_than_it_is_long(filled: str) -> None:
    text = f"x = [\n{filled.format(' ' * 60_000)}\n]\ny = 1\n"
    began = time.process_time()
    assert parse(text.encode(), file="site.toml").tree["y"] == 1
    assert time.process_time() - began < 5.0  # a thousandth of it on an idle machine
