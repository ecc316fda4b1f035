"""systemd's notifications: READY, STATUS, STOPPING and the watchdog's feed.

Without systemd (no NOTIFY_SOCKET) every call does nothing.
"""

from __future__ import annotations

import logging

from systemd import daemon

log = logging.getLogger(__name__)


def send(**facts: str) -> None:
    """Send ``facts``, e.g. ``send(READY="1", STATUS="...")``; a value is one line."""
    text = "\n".join(f"{key}={value.replace(chr(10), ' ')}" for key, value in facts.items())
    try:
        daemon.notify(text)
    except OSError as error:  # a socket that went away must not take the gateway with it
        log.debug("systemd cannot be told: %s", error)
