from __future__ import annotations

from gateway.streams import Stream
from gateway.uplink.topics import Topics, retained, topic

TOPICS = Topics("bess/v1", "gw-17")


def test_live_state_is_the_only_retained_record() -> None:
    kept = {(s, old) for s in Stream for old in (False, True) if retained(s, backfill=old)}
    assert kept == {(Stream.STATE, False)}


def test_history_of_the_state_never_reaches_the_retained_topic() -> None:
    assert TOPICS.of(Stream.STATE, "bess-1", backfill=False) == "bess/v1/gw-17/bess-1/state"
    assert TOPICS.of(Stream.STATE, "bess-1", backfill=True) == "bess/v1/gw-17/bess-1/state/backfill"


def test_history_of_other_streams_goes_where_live_records_go() -> None:
    for stream in set(Stream) - {Stream.STATE}:
        live = TOPICS.of(stream, "bess-1", backfill=False)
        assert TOPICS.of(stream, "bess-1", backfill=True) == live


def test_the_gateways_own_events_have_no_asset_level() -> None:
    assert TOPICS.of(Stream.EVENT, "", backfill=False) == "bess/v1/gw-17/event"
    assert TOPICS.of(Stream.AUDIT, "", backfill=False) == "bess/v1/gw-17/audit"


def test_no_topic_has_more_than_seven_slashes_with_the_longest_prefix() -> None:
    topics = Topics("a/b/c", "gw")
    names = [topics.of(stream, "x", backfill=True) for stream in Stream]
    names += [topics.status, topics.birth, topics.challenge, topics.map("x"), topics.ack("x")]
    assert max(name.count("/") for name in [*names, *topics.inbound(["x"])]) <= 7


def test_we_subscribe_to_commands_heartbeats_and_requests_and_to_nothing_else() -> None:
    assert TOPICS.inbound(["bess-1", "bess-2"]) == {
        "bess/v1/gw-17/bess-1/cmd": 1,
        "bess/v1/gw-17/bess-2/cmd": 1,
        "bess/v1/gw-17/hb/down": 0,
        "bess/v1/gw-17/mgmt/req": 1,
    }


def test_the_short_form_says_the_same() -> None:
    assert topic("p", "g", "a", Stream.EVENT, backfill=False) == "p/g/a/event"
