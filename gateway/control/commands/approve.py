"""Whether a command may go on its issuer's word alone, and what waits for the operator. Pure.

A pending command waits at most 120 s and never past its own expiry, and no longer than the watchdog
stands where it could begin. What was true when it came may have changed: it is permitted again,
from the top, when the operator approves it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from gateway.config.truststore import KeyRole

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.control.commands.verify import Admitted

PENDING_S = 120.0
MAX_PENDING = 16  # a person reads this list


class Approval(StrEnum):
    """The site's policy; there is no default."""

    MONITOR = "monitor"  # no control
    ENVELOPE = "envelope"  # automatic inside the limits
    DUAL = "dual"  # a dispatcher and another approver over the same bytes
    LOCAL = "local"  # an operator on the box


class ApprovalAnswer(StrEnum):
    """The policy's answer to one command."""

    YES = "yes"
    WAIT = "wait"  # for an operator on the box
    NO = "no"


def approval(
    admitted: Admitted, policy: Approval, *, threshold_w: float
) -> tuple[ApprovalAnswer, str]:
    """What ``policy`` says to ``admitted``, and why not.

    Args:
        admitted: its signatures hold.
        policy: the site's.
        threshold_w: ``dual`` and ``local`` apply to power above it; what is not power has none.
    """
    command = admitted.command
    if policy is Approval.MONITOR:
        return ApprovalAnswer.NO, "the site's approval is monitor: no control"
    if command.verb.withdraws or policy is Approval.ENVELOPE:
        return ApprovalAnswer.YES, ""
    if command.power_w is not None and abs(command.power_w) <= threshold_w:
        return ApprovalAnswer.YES, ""
    if policy is Approval.LOCAL:
        return ApprovalAnswer.WAIT, ""
    if is_dual(admitted):
        return ApprovalAnswer.YES, ""
    return ApprovalAnswer.NO, "needs a dispatcher's signature and a different approver's"


def is_dual(admitted: Admitted) -> bool:
    """Whether a dispatcher and another approver signed the same bytes."""
    return any(
        issuer.kid != other.kid and issuer.thumbprint != other.thumbprint
        for issuer in admitted.signers
        if KeyRole.DISPATCHER in issuer.roles
        for other in admitted.signers
        if KeyRole.APPROVER in other.roles
    )


@dataclass(frozen=True, slots=True)
class HeldCommand:
    """A command that waits for the operator."""

    admitted: Admitted
    until: float  # monotonic s


@dataclass(frozen=True, slots=True)
class PendingCommands:
    """Commands that wait, oldest first."""

    held: tuple[HeldCommand, ...] = ()

    @property
    def wake_at(self) -> float:
        """Monotonic s at which the next one runs out."""
        return min((one.until for one in self.held), default=math.inf)

    @property
    def full(self) -> bool:
        """Whether no more can wait."""
        return len(self.held) >= MAX_PENDING

    def hold(self, admitted: Admitted, now_s: float) -> PendingCommands:
        """Let one more wait from ``now_s`` on."""
        return PendingCommands(
            (*self.held, HeldCommand(admitted, min(now_s + PENDING_S, admitted.expires_at)))
        )

    def take(self, command_id: str, now_s: float) -> tuple[PendingCommands, Admitted | None]:
        """Take one out to approve or reject it; None if it does not wait, or not any more."""
        for one in self.held:
            if one.admitted.command.id == command_id and now_s < one.until:
                return PendingCommands(
                    tuple(other for other in self.held if other is not one)
                ), one.admitted
        return self, None

    def expire(self, now_s: float) -> tuple[PendingCommands, tuple[Admitted, ...]]:
        """Drop what has waited too long; returns it too."""
        late = frozenset(one.admitted.command.id for one in self.held if now_s >= one.until)
        return self.keep(lambda one: one.command.id not in late)

    def keep(self, may: Callable[[Admitted], bool]) -> tuple[PendingCommands, tuple[Admitted, ...]]:
        """Drop all but what ``may`` wait on; returns what is dropped, too."""
        kept = tuple(one for one in self.held if may(one.admitted))
        gone = tuple(one.admitted for one in self.held if one not in kept)
        return PendingCommands(kept), gone
