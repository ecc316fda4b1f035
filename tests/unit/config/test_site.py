"""site.toml: every fault at once, each with its line and what is allowed."""

from __future__ import annotations

import pytest

from gateway.config.site import SiteSettings, site_settings
from gateway.config.toml import parse
from gateway.errors import ConfigError

GOOD = """\
schema = "bess.site/1"

[gateway]
id = "gw-17"
state_dir = "state"

[uplink]
host = "mqtt.example.com"
ca_file = "tls/ca.pem"
cert_file = "tls/gateway.pem"
key_file = "tls/gateway.key"

[[asset]]
id = "bess-1"
workspace = "ws-1"
firmware = "1.4.2"
nameplate_w = 2000000
capacity_wh = 8000000

[asset.dnp3]
host = "192.0.2.10"
outstation_address = 10

[[asset]]
id = "bess-2"
map = "generic-rtac@1.0.0"
nameplate_w = 1000000
capacity_wh = 4000000

[asset.dnp3]
host = "192.0.2.11"
outstation_address = 11

[asset.transformer]
id = "T1"
rating_kva = 2500
"""


def load(text: str) -> SiteSettings:
    document = parse(text.encode(), file="site.toml")
    return site_settings(document, folder="/etc/bess-gateway")


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(text)
    return str(caught.value).splitlines()


def test_relative_paths_start_at_the_folder_of_the_file_and_defaults_fill_in() -> None:
    site = load(GOOD)
    assert site.state_dir == "/etc/bess-gateway/state"
    assert site.uplink.key_file == "/etc/bess-gateway/tls/gateway.key"
    assert (site.uplink.port, site.uplink.prefix, site.uplink.window) == (8883, "bess/v1", 100)
    assert (site.queue.max_size, site.queue.max_age_s) == (2 << 30, 604_800)
    first, second = site.assets
    assert first.max_discharge_w == 2_000_000
    assert first.grid == {"workspace": "ws-1"}
    assert second.grid == {"transformer": "T1"}
    assert second.transformer is not None
    assert second.transformer.alarm_pct == 100
    assert first.dnp3.unsolicited
    assert first.dnp3.time_sync == "none"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'id = "gw-17"',
            'id = "gw 17"',
            "site.toml:4: [gateway] id = 'gw 17': must be an id, [A-Za-z0-9._-]{1,64}",
        ),
        ("[gateway]", "[gatway]", "site.toml:3: gatway is unknown: allowed are asset, gateway"),
        (
            'host = "192.0.2.11"',
            'host = ""',
            "site.toml:31: [asset[1].dnp3] host = '': must be a non-empty string",
        ),
        (
            "outstation_address = 11",
            "outstation_address = 70000",
            "site.toml:32: [asset[1].dnp3] outstation_address = 70000: must be a whole number",
        ),
        (
            "outstation_address = 11",
            "outstation_address = 1",
            "site.toml:30: [asset[1].dnp3] master_address is missing: must be different",
        ),
        (
            'id = "bess-2"',
            'id = "bess-1"',
            "site.toml:25: [asset[1]] id = 'bess-1': already used in line 14",
        ),
        (
            "capacity_wh = 4000000",
            "capacity_wh = nan",
            "site.toml:28: [asset[1]] capacity_wh = nan: must be 1..100000000000 Wh",
        ),
        (
            "capacity_wh = 4000000",
            "capacity_wh = true",
            "site.toml:28: [asset[1]] capacity_wh = True: must be 1..100000000000 Wh",
        ),
        (
            'firmware = "1.4.2"',
            'firmware = "1.4.2"\nmap = "raw@1"',
            "site.toml:16: [asset[0]] firmware = '1.4.2': must be given, or map = ",
        ),
        (
            'key_file = "tls/gateway.key"',
            "",
            "site.toml:7: [uplink] key_file is missing: must be given, or credential = ",
        ),
        (
            'key_file = "tls/gateway.key"',
            'key_file = "tls/gateway.key"\nrequire_subscriber = "yes"',
            "site.toml:12: [uplink] require_subscriber = 'yes': must be true, false or \"auto\"",
        ),
        (
            'host = "mqtt.example.com"',
            'host = "a"\nhosts = ["b"]',
            "site.toml:8: [uplink] host = 'a': must be given, or hosts = [\"name\", ...], and not",
        ),
        (
            'host = "mqtt.example.com"',
            'hosts = ["a", "a"]',
            "site.toml:8: [uplink] hosts = ['a', 'a']: must be one name or more, each once",
        ),
        (
            'host = "mqtt.example.com"',
            'host = "a"\npassword_file = "p"',
            "site.toml:7: [uplink] username is missing: must be given where there is a password_f",
        ),
        (
            'host = "mqtt.example.com"',
            'host = "a"\nclient_id = "a b"',
            "site.toml:9: [uplink] client_id = 'a b': must be an MQTT client id",
        ),
        (
            'host = "mqtt.example.com"',
            'host = "a"\nalpn = "a b"',
            "site.toml:9: [uplink] alpn = 'a b': must be a protocol's name in TLS",
        ),
        (
            'host = "mqtt.example.com"',
            'host = "a"\nretain = 0',
            "site.toml:9: [uplink] retain = 0: must be true or false",
        ),
        (
            "rating_kva = 2500",
            "rating_kva = 2500\nwarn_pct = 90\nalarm_pct = 80",
            "site.toml:38: [asset[1].transformer] alarm_pct = 80: must be 90..300 %",
        ),
        (
            'schema = "bess.site/1"',
            'schema = "bess.site/2"',
            "site.toml:1: schema = 'bess.site/2': must be one of bess.site/1",
        ),
        (
            'schema = "bess.site/1"',
            'schema = "bess.site/1"\nqueue.max_size = "2 GB"',
            "site.toml:2: [queue] max_size = '2 GB': must be a size such as \"2GiB\"",
        ),
    ],
)
def test_a_wrong_value_is_named_with_its_line_and_what_is_allowed(
    old: str, new: str, message: str
) -> None:
    assert old in GOOD
    found = faults(GOOD.replace(old, new, 1))
    assert any(line.startswith(message) for line in found), found


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('window_bytes = "1KiB"', "window_bytes = '1KiB': must be a size such as"),
        ("publish_per_s = 0", "publish_per_s = 0: must be 1..10000 messages/s"),
        ("backfill_per_s = 1", "backfill_per_s = 1: must be 100..10000000 readings/s"),
        ("telemetry_bundle_s = 11", "telemetry_bundle_s = 11: must be 0..10 seconds"),
    ],
)
def test_a_bound_of_the_uplink_has_its_range(line: str, message: str) -> None:
    (found,) = faults(GOOD.replace("[uplink]", f"[uplink]\n{line}"))
    assert found.startswith(f"site.toml:8: [uplink] {message}"), found


def test_the_bounds_of_the_uplink_are_read() -> None:
    text = (
        'window_bytes = "1MiB"\npublish_per_s = 50\nbackfill_per_s = 4000\ntelemetry_bundle_s = 1'
    )
    found = load(GOOD.replace("[uplink]", f"[uplink]\n{text}")).uplink
    assert (found.window_bytes, found.publish_per_s) == (1 << 20, 50)
    assert (found.backfill_per_s, found.telemetry_bundle_s) == (4000, 1)
    none = load(GOOD).uplink
    assert (none.window_bytes, none.publish_per_s, none.backfill_per_s) == (4 << 20, None, None)


@pytest.mark.parametrize(
    ("text", "value"), [("", None), ('"auto"', None), ("true", True), ("false", False)]
)
def test_whether_somebody_must_subscribe_is_the_sites_choice(text: str, value: object) -> None:
    line = f"\nrequire_subscriber = {text}" if text else ""
    site = load(GOOD.replace("[uplink]", f"[uplink]{line}"))
    assert site.uplink.require_subscriber is value


def test_all_faults_of_a_file_are_reported_at_once() -> None:
    text = GOOD.replace("nameplate_w = 2000000", "nameplate_w = -1").replace(
        "rating_kva = 2500", "rating_kva = 2500\ncolour = 1"
    )
    text = text.replace("[uplink]", "[uplink]\nport = 0")
    found = faults(text)
    assert [line.split(":")[1] for line in found] == ["8", "18", "38"]


def test_an_empty_file_says_what_is_missing() -> None:
    found = faults("")
    assert any("[gateway] is missing" in line for line in found)
    assert any("schema is missing" in line for line in found)
    assert any("one [[asset]] or more" in line for line in found)


def test_two_assets_cannot_read_one_outstation() -> None:
    text = GOOD.replace("192.0.2.11", "192.0.2.10").replace("address = 11", "address = 10")
    assert "is the outstation that asset 'bess-1' already reads" in faults(text)[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [("127.0.0.1", "localhost"), ("rtac.example", "RTAC.example."), ("10.0.0.1", "10.1")],
)
def test_two_names_of_one_outstation_are_found(one: str, other: str) -> None:
    text = GOOD.replace("192.0.2.10", one).replace("192.0.2.11", other)
    load(text)  # another address on the same connection is another outstation
    (found,) = faults(text.replace("address = 11", "address = 10"))
    assert found == (
        f"site.toml:32: [asset[1].dnp3] outstation_address = 10: at {other}:20000 is the outstation"
        f" that asset 'bess-1' already reads, at {one}:20000 in line 22: must be another one"
    )
    load(text.replace("address = 11", "address = 10\nport = 20001"))


def test_an_address_that_may_be_read_in_two_ways_is_refused() -> None:
    (found,) = faults(GOOD.replace("192.0.2.11", "192.0.2.011"))
    assert found.startswith("site.toml:31: [asset[1].dnp3] host = '192.0.2.011': must be written")


def test_a_transformer_that_assets_share_has_one_rating() -> None:
    third = GOOD[GOOD.index('[[asset]]\nid = "bess-2"') :].replace("bess-2", "bess-3")
    third = third.replace("192.0.2.11", "192.0.2.12")
    assert len(load(GOOD + third).assets) == 3
    (found,) = faults(GOOD + third.replace("2500", "2000"))
    assert found == (
        "site.toml:49: [asset[2].transformer] rating_kva = 2000: must be 2500 kVA, "
        "which asset 'bess-2' gives transformer 'T1' in line 36"
    )


def test_a_number_where_a_table_belongs_is_a_fault_and_not_a_crash() -> None:
    assert any("must be a table" in line for line in faults("gateway = 3\n"))
    assert any("array of tables" in line for line in faults('schema="bess.site/1"\nasset = 3\n'))


def test_an_empty_list_of_assets_is_as_wrong_as_none() -> None:
    without = GOOD[: GOOD.index("[[asset]]")]
    (absent,) = faults(without)
    (empty,) = faults("asset = []\n" + without)
    assert "must be one [[asset]] or more" in absent
    assert "must be one [[asset]] or more" in empty


def test_a_missing_nameplate_is_one_fault_and_not_three() -> None:
    text = GOOD.replace("nameplate_w = 2000000", "max_charge_w = 2000000", 1)
    (fault,) = faults(text)
    assert "nameplate_w is missing" in fault


@pytest.mark.parametrize("key", ["name", "site", "gis", "transformer"])
def test_a_text_that_birth_carries_has_a_bound(key: str) -> None:
    first, rest = GOOD.split("[asset.dnp3]", 1)
    lines = [line for line in first.splitlines() if not line.startswith(f"{key} ")]
    lines.append(f'{key} = "{"x" * 65}"')
    found = faults("\n".join(lines) + "\n[asset.dnp3]" + rest)
    assert any(f"{key} = " in line and "a text of 1..64 characters" in line for line in found)
