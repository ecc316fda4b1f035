"""dispatcher.toml, and the options over it."""

from __future__ import annotations

import pytest

from gateway.cloud.dispatcher.settings import Settings, read
from gateway.errors import ConfigError, UsageError

WHOLE = b"""\
schema = "bess.dispatcher/1"
gateway = "gw-17"
asset = "bess-1"

[broker]
host = "mqtt.example.com"
port = 8884
ca_file = "tls/ca.pem"
cert_file = "/etc/ssl/ops.pem"
key_file = "tls/ops.key"

[signing]
kid = "ops-1"
key_file = "keys/ops-1.key"

[heartbeat]
kid = "pulse-1"
key_file = "keys/pulse-1.key"
"""


def test_paths_start_at_the_files_folder() -> None:
    found = read(WHOLE, file="/srv/dispatcher.toml")
    assert (found.ca, found.cert) == ("/srv/tls/ca.pem", "/etc/ssl/ops.pem")
    assert found.pair("signing_key", "kid") == ("/srv/keys/ops-1.key", "ops-1")
    assert found.pair("heartbeat_key", "heartbeat_kid") == ("/srv/keys/pulse-1.key", "pulse-1")
    assert found.pair("approver_key", "approver_kid") is None
    assert (found.port, found.prefix) == (8884, None)


def test_an_option_goes_before_the_file() -> None:
    found = read(WHOLE, file="d.toml").under(Settings(port=1883, asset="bess-2"))
    assert (found.host, found.port, found.asset) == ("mqtt.example.com", 1883, "bess-2")


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (b'"bess.dispatcher/1"', b'"bess.site/1"', "d.toml:1: schema = 'bess.site/1': must be one"),
        (b"port = 8884", b"port = 0", "d.toml:7: [broker] port = 0: must be a whole number"),
        (b"port = 8884", b"prt = 8884", "d.toml:7: [broker] prt is unknown: allowed are"),
        (b'kid = "ops-1"\n', b"", "d.toml:12: [signing] kid is missing: kid and key_file belong"),
        (b'"ops-1"', b'"ops 1"', "d.toml:13: [signing] kid = 'ops 1': must be 1..64 of"),
        (b'"gw-17"', b"17", "d.toml:2: gateway = 17: must be 1..64 of"),
        (b"[signing]", b"[sining]", "sining is unknown: allowed are"),
    ],
)
def test_a_fault_is_named_with_its_line(old: bytes, new: bytes, fault: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read(WHOLE.replace(old, new), file="d.toml")
    assert fault in str(raised.value)


def test_everything_that_is_missing_is_named_at_once() -> None:
    with pytest.raises(UsageError, match="missing: --host, --signing-key: give them, or a --conf"):
        Settings(gateway="gw-17").require("host", "gateway", "signing_key")


def test_a_key_without_its_name_is_refused() -> None:
    with pytest.raises(UsageError, match="--approver-key without --approver-kid"):
        Settings(approver_key="chief.key").pair("approver_key", "approver_kid")
    with pytest.raises(UsageError, match="--kid without --signing-key"):
        Settings(kid="ops-1").pair("signing_key", "kid")
