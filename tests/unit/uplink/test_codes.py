"""Every code that goes out has its sentence, here and in the man page."""

from __future__ import annotations

import re

import pytest

from gateway.cloud.dispatcher import lines
from gateway.control.commands.reasons import Reason
from gateway.control.rules.interlocks import Interlock
from gateway.control.watchdog.words import Cause
from gateway.uplink import sentences
from tests.fixtures.daemon import ROOT

MAN = ROOT / "packaging/man/bess-gateway-dispatch.8"
READINESS = ROOT / "gateway/control/rules/readiness.py"


@pytest.mark.parametrize(
    ("table", "codes"),
    [
        (sentences.REJECTED, {one.value for one in Reason}),
        (sentences.ENDED, {one.value for one in Cause}),
        (sentences.INTERLOCKS, {one.value for one in Interlock}),
    ],
)
def test_each_code_has_a_sentence_and_each_sentence_a_code(
    table: dict[str, str], codes: set[str]
) -> None:
    assert set(table) == codes


def test_each_reason_why_control_is_off_has_a_sentence() -> None:
    said = set(re.findall(r'"([A-Z]+_[A-Z_]+)"', READINESS.read_text()))
    assert said <= set(sentences.CONTROL_OFF)


def test_the_man_page_has_the_same_table() -> None:
    text = MAN.read_text().replace("\\-", "-").replace("\\(dq", '"')
    for code, sentence in sentences.SENTENCES.items():
        assert f".B {code}\n{sentence}\n" in text


def test_what_dispatch_prints_has_the_sentence_beside_the_code() -> None:
    assert lines.because({"reason": "lease"}) == (
        " (lease: The cloud did not answer challenges for a lease)"
    )
    assert lines.because({"reason": "LIMIT", "text": "at most 5 W"}) == " (LIMIT: at most 5 W)"
    assert lines.because({"reason": "odd"}) == " (odd)"
    assert lines.because({}) == ""
