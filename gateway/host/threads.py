"""Threads of ours: every one runs inside a guard, so that none can die unnoticed."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from gateway.events import ThreadFault

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.events import Post

log = logging.getLogger(__name__)


def start(name: str, body: Callable[[], None], *, post: Post) -> threading.Thread:
    """Run ``body`` on a daemon thread called ``name``; an exception becomes a ``ThreadFault``."""

    def guarded() -> None:
        try:
            body()
        except Exception as error:
            log.exception("thread %s failed", name)
            post(ThreadFault(name, f"{type(error).__name__}: {error}"))

    thread = threading.Thread(target=guarded, name=name, daemon=True)
    thread.start()
    return thread
