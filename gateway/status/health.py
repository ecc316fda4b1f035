"""Whether the gateway as a whole is alive. Pure.

systemd is fed only while the core, the DNP3 side and the store all made progress lately; a
silent one means a restart, which is safe, and never a limping gateway, which is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRESS_S = 2.0  # SPECIFICATION.md, section 7: WatchdogSec is fed on progress within 2 s
CLOCK_JUMP_S = 5.0  # wall against boot-time clock between two passes; above it we say so


def silent(beats: Mapping[str, float], now_s: float, *, limit_s: float = PROGRESS_S) -> list[str]:
    """Names of the threads whose last progress (``mono_s``) is older than ``limit_s`` seconds."""
    return sorted(name for name, beat in beats.items() if now_s - beat > limit_s)


def limping(
    beats: Mapping[str, float], now_s: float, limits_s: Mapping[str, float]
) -> list[tuple[str, float]]:
    """Threads that are silent for longer than their kind may be, each with that limit.

    The kind is the name's first word: of ``dnp3 bess-1`` it is ``dnp3``.
    """
    limits = {name: limits_s[name.partition(" ")[0]] for name in beats}
    return [
        (name, limit_s)
        for name, limit_s in limits.items()
        if silent({name: beats[name]}, now_s, limit_s=limit_s)
    ]


def clock_jump_s(before: tuple[float, int], after: tuple[float, int]) -> float | None:
    """Seconds by which the wall clock jumped between two (``mono_s``, ``unix_ms``), or None."""
    jump_s = (after[1] - before[1]) / 1000 - (after[0] - before[0])
    return jump_s if abs(jump_s) > CLOCK_JUMP_S else None
