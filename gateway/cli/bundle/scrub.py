"""Takes secrets out of texts: those that are known by value, and whatever looks like one. Pure.

Files are not copied but written anew from an allow list; this is for what cannot be, such as the
journal. A secret is found plain, in base64 and in hex.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

GONE = "[removed]"
_SHORTEST = 6  # a shorter value would take innocent words with it
_PATTERNS = (
    re.compile(r"-----BEGIN [^-]*-----.*?(-----END [^-]*-----|\Z)", re.DOTALL),
    re.compile(r"(?<=://)[^\s/@]+:[^\s/@]+(?=@)"),  # user and password of an address
    re.compile(r"eyJ[\w-]{8,}(\.[\w-]*){0,2}"),  # a JWS, or its header alone
    re.compile(r'"(payload|protected|signature)"\s*:\s*"[^"]*"'),
    re.compile(r"(?i)\b(password|passwd|secret|token|api[_-]?key|authorization)\b\s*[=:]\s*\S.*"),
)
# Of site.toml and safety.toml: what support reads. A key that is not here is named, without value.
KEYS = frozenset(
    (
        *(
            "schema",
            "id",
            "state_dir",
            "host",
            "hosts",
            "port",
            "prefix",
            "protocol",
            "keepalive_s",
        ),
        *("window", "window_bytes", "publish_per_s", "backfill_per_s", "telemetry_bundle_s"),
        *("alpn", "retain", "require_subscriber", "max_size", "max_age_s", "name"),
        *("workspace", "site", "customer", "transformer", "feeder", "substation", "poi", "gis"),
        *("vendor", "model", "firmware", "map", "nameplate_w", "capacity_wh", "max_charge_w"),
        *("max_discharge_w", "backup_reserve_pct", "master_address", "outstation_address"),
        *("response_timeout_s", "event_poll_s", "integrity_poll_s", "link_check_s", "unsolicited"),
        *("time_sync", "rating_kva", "warn_pct", "alarm_pct", "enforce", "approval"),
        *("approval_threshold_w", "lease_s", "challenge_s", "rtac_deadman_s", "heartbeat_s"),
        *("idle_verify_s", "reversion_s", "reversion_refresh_s", "max_dispatch_s", "preempted"),
        *("min_soc_pct", "max_soc_pct", "ramp_w_per_s", "command_interval_s", "modes", "kid"),
        *("commands_per_5_min", "reserve_min_pct", "reserve_max_pct", "role", "not_before"),
        *("not_after", "revoked", "date"),
        *("ca_file", "cert_file", "key_file", "public_key_file", "credential"),  # names of files
    )
)


class Scrubber:
    """Knows the site's secrets; ``text`` is what may leave the box."""

    def __init__(self, secrets: Iterable[bytes], *, hosts: Iterable[str] = ()) -> None:
        """Know them.

        Args:
            secrets: contents of key and password files, values of environment variables.
            hosts: names and addresses to take out, too.
        """
        found: set[str] = set(hosts)
        for secret in secrets:
            for line in (secret, *secret.splitlines()):
                found |= _forms(line.strip())
        found = {one for one in found if len(one) >= _SHORTEST}
        # The longest first: a part of a secret that is left over would be one, too.
        longest = sorted(found, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest))) if longest else None

    def text(self, text: str) -> str:
        """``text`` without them."""
        if self._known is not None:
            text = self._known.sub(GONE, text)
        for pattern in _PATTERNS:
            text = pattern.sub(GONE, text)
        return text

    def value(self, value: object) -> object:
        """The same of every text in a JSON value."""
        if isinstance(value, dict):
            return {self.text(str(key)): self._named(str(key), one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(one) for one in value]
        return self.text(value) if isinstance(value, str) else value

    def _named(self, key: str, value: object) -> object:
        if isinstance(value, str) and self.text(f"{key}={value}") != f"{key}={self.text(value)}":
            return GONE  # together they look like one
        return self.value(value)

    def settings(self, tree: Mapping[str, Any]) -> dict[str, object]:
        """A parsed TOML file by ``KEYS``; comments are gone with the file."""
        return {self.text(key): self._setting(key, one) for key, one in tree.items()}

    def _setting(self, key: str, value: object) -> object:
        if isinstance(value, dict):
            return self.settings(value)
        if isinstance(value, list) and all(isinstance(one, dict) for one in value):
            return [self.settings(one) for one in value]
        return (
            self.value(value if isinstance(value, int | float | list) else str(value))
            if (key in KEYS)
            else GONE
        )


def _forms(secret: bytes) -> set[str]:
    """One secret as it may be written."""
    found = {secret.decode("utf-8", "replace"), secret.hex(), secret.hex().upper()}
    # In base64 it may begin at any of three places of a group: what is whole of it then.
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + secret).decode()
        inner = encoded[4 if shift else 0 : len(encoded) - 4]
        found |= {inner, inner.replace("+", "-").replace("/", "_")}
    return found
