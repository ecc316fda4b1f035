"""``bess-gateway check``: reads everything that the daemon would, and changes nothing."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gateway import clock
from gateway.audit.file import FILE
from gateway.audit.reader import reading
from gateway.cli.command import add
from gateway.errors import ConfigError, NoInputError, StoreError
from gateway.site import load
from gateway.status import safety_report

if TYPE_CHECKING:
    import argparse

    from gateway.cli.command import Commands
    from gateway.config.site import SiteSettings


def add_parser(commands: Commands) -> None:
    """Add ``check``."""
    add(commands, "check", _check, "read everything the daemon would; change nothing")


def _check(asked: argparse.Namespace) -> int:
    now_ms = clock.now().unix_ms
    facts: dict[str, str] = {}
    unread: list[str] = []

    def kept(settings: SiteSettings) -> dict[str, str]:
        """What commissioning left in the audit log; nothing where there is none yet."""
        with suppress(NoInputError):
            try:
                with reading(Path(settings.state_dir) / FILE) as log:
                    facts.update(log.facts())
            except StoreError as error:
                unread.append(str(error))
        return facts

    site = load.load_site(asked.config, unix_ms=now_ms, sealed=True, kept=kept)
    print(f"{asked.config}: good")
    if site.settings.uplink.credential and not os.environ.get("CREDENTIALS_DIRECTORY"):
        name = site.settings.uplink.credential
        print(f"  uplink: NOTE: credential {name!r} was not read: only systemd passes it")
    for asset in site.settings.assets:
        points_map = site.maps[asset.id]
        print(f"  {asset.id}: map {points_map.ref}, {len(points_map.points)} points")
        if asset.id in site.unmatched:
            print(
                f"  {asset.id}: WARNING: no map matches {asset.vendor}/{asset.model} firmware "
                f"{asset.firmware!r}: only raw points will be shipped"
            )
        if asset.transformer is not None and asset.transformer.enforce and site.safety is None:
            print(f"  {asset.id}: NOTE: transformer.enforce has no effect: control is off")
    for text in unread:
        print(f"  WARNING: what commissioning measured was not held against the files: {text}")
    for line in safety_report.lines(site, now_ms, None if unread else facts):
        print(f"  {line}")
    if site.safety_faults:
        raise ConfigError(site.safety_faults)
    return 0
