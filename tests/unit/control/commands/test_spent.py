"""What the audit log remembers of commands."""

from __future__ import annotations

from gateway.clock import Now
from gateway.control.commands.spent import (
    Open,
    fact_of_begun,
    fact_of_over,
    open_commands,
    seen_commands,
)

NOW = Now(1000.0, 1_795_324_200_000)
DAY_MS = 86_400_000


def facts(*ids: str, asset: str = "bess-1", at: Now = NOW) -> dict[str, str]:
    found: dict[str, str] = {}
    for id_ in ids:
        begun = fact_of_begun(asset, id_, "ops-1", seq=1, power_w=300_000, now=at)
        found |= {key: value for key, value in begun.items() if value is not None}
    return found


def test_a_command_is_open_until_it_is_over() -> None:
    found = facts("A", "B")
    over = {key: str(value) for key, value in fact_of_over("bess-1", "A", NOW).items()}
    assert open_commands(found | over, "bess-1") == (Open("B", "ops-1", 300_000),)


def test_commands_of_another_asset_are_not_ours() -> None:
    assert open_commands(facts("A", asset="bess-10"), "bess-1") == ()


def test_an_id_stays_spent_for_thirty_days_whether_it_is_over_or_not() -> None:
    found = facts("A", "B")
    found |= {key: str(value) for key, value in fact_of_over("bess-1", "A", NOW).items()}
    later = Now(50.0, NOW.unix_ms + 29 * DAY_MS)
    seen, old = seen_commands(found, "bess-1", later)
    assert seen.keys() == {"A", "B"}
    assert old == {}
    much_later = Now(50.0, NOW.unix_ms + 31 * DAY_MS)
    seen, old = seen_commands(found, "bess-1", much_later)
    assert seen == {}
    assert old == {"bess-1/command/A": None, "bess-1/command/B": None}


def test_what_cannot_be_read_keeps_its_id_spent_and_opens_nothing() -> None:
    for damaged in ("", "{", "[]", "7", '{"state":"EXECUTING"}'):
        found = {"bess-1/command/A": damaged}
        seen, _ = seen_commands(found, "bess-1", NOW)
        assert seen == {"A": NOW.mono_s}
        assert open_commands(found, "bess-1") == ()


def test_a_command_of_an_earlier_version_without_its_power_is_open_too() -> None:
    found = {"bess-1/command/A": '{"kid": "ops-1", "seq": 3, "at": 1, "state": "EXECUTING"}'}
    assert open_commands(found, "bess-1") == (Open("A", "ops-1", None),)
