"""systemd's notifications: READY, STATUS, RELOADING, STOPPING and the watchdog's feed.

Without systemd (no NOTIFY_SOCKET) every call does nothing.
"""

from __future__ import annotations

from systemd import daemon


def send(**facts: str) -> None:
    """Send ``facts``, e.g. ``send(READY="1", STATUS="...")``; a value is one line."""
    text = "\n".join(f"{key}={value.replace(chr(10), ' ')}" for key, value in facts.items())
    daemon.notify(text)
