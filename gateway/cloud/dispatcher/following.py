"""When a command that was sent is over, for the one who sent it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.cloud.dispatcher.heard import BAD_ENDS

if TYPE_CHECKING:
    from gateway.clock import Now
    from gateway.cloud.dispatcher.heard import HeardMessage

ACK_S = 10.0  # the gateway answers within 1 s
GRACE_S = 40.0  # after its duration: zero must be verified within 30 s
EARLY_S = 2.0  # the gateway counts a duration from its first output, we from the news of it
_RANKS = {"received": 0, "pending_approval": 0, "accepted": 1, "executing": 2, "succeeded": 3}
_ENABLED = ("ARMED", "ACTIVE")


@dataclass(frozen=True, slots=True)
class End:
    """It is over."""

    ok: bool
    text: str


class Following:
    """One command from its sending to its end.

    Args:
        id_: of the command.
        until: received, accepted, executing or succeeded: good enough.
        within_s: s from sending until then.
        sent_s: when it was sent, monotonic s.
        hold_s: how long it is in force once it succeeded, s; None: nobody waits for its end.
    """

    def __init__(
        self, id_: str, *, until: str, within_s: float, sent_s: float, hold_s: float | None
    ) -> None:
        self._id, self._until, self._hold_s = id_, until, hold_s
        self._ack_at, self._due_at = sent_s + min(ACK_S, within_s), sent_s + within_s
        self._within_s = within_s
        self._state = ""
        self._began_s: float | None = None  # when it began to be carried out, monotonic s
        self._holding = False
        self._enabled = False  # the watchdog was seen ARMED or ACTIVE while it is held

    def take(self, heard: HeardMessage | None, *, phase: str, now: Now) -> End | None:
        """Take a message (None: only time has passed) and the watchdog's state.

        Returns:
            How it ended; None while it goes on.
        """
        if heard is not None and self._mine(heard):
            state = str(heard.body.get("state"))
            reason = heard.body.get("reason")
            if state in BAD_ENDS:
                more = f": {heard.body['text']}" if heard.body.get("text") else ""
                return End(ok=False, text=f"{state}: {reason or 'no reason given'}{more}")
            if _RANKS.get(state, -1) >= _RANKS.get(self._state, -1):
                self._state = state
            if self._began_s is None and _RANKS.get(self._state, -1) >= _RANKS["executing"]:
                self._began_s = heard.at.mono_s
        if not self._holding:
            if _RANKS.get(self._state, -1) < _RANKS[self._until]:
                return self._late(now)
            if self._hold_s is None:
                return End(ok=True, text=self._state)
            self._holding = True
        return self._held(phase, now)

    def _mine(self, heard: HeardMessage) -> bool:
        return heard.schema in {"bess.ack/1", "bess.result/1"} and heard.body.get("id") == self._id

    def _late(self, now: Now) -> End | None:
        if not self._state and now.mono_s >= self._ack_at:
            text = "no ack: the gateway did not get it, or the broker did not let it pass"
            return End(ok=False, text=text)
        if now.mono_s >= self._due_at:
            text = f"still {self._state or 'unanswered'} after {self._within_s:g} s"
            return End(ok=False, text=f"{text}: not {self._until}")
        return None

    def _held(self, phase: str, now: Now) -> End | None:
        assert self._hold_s is not None
        began_s = now.mono_s if self._began_s is None else self._began_s
        self._began_s = began_s
        over = now.mono_s >= began_s + self._hold_s - EARLY_S
        if phase in _ENABLED:
            self._enabled = True
        elif self._enabled and phase not in {"", "IDLING"}:
            ok = over and phase == "IDLE"
            return End(ok=ok, text=f"{'over' if over else 'ended early'}: the battery is {phase}")
        if now.mono_s >= began_s + self._hold_s + GRACE_S:
            if phase in {"", "IDLE"}:
                return End(ok=True, text="over: its duration has passed")
            return End(ok=False, text=f"its duration has passed and the battery is {phase}")
        return None
