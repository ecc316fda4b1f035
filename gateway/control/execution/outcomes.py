"""The retry table of section 6, as written: what follows from the outcome of one control.

The rule that matters most: after OPERATE or a direct operate without an answer the control may
have been carried out, so it is never sent again. Statuses that have no name, and refusals without
a status, are such unknown outcomes too.

Numbers are DNP3 control status codes. Source: IEEE 1815-2012, control-related status codes.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from gateway.ports import OutcomeKind, Stage

if TYPE_CHECKING:
    from gateway.ports import Outcome

SUCCESS = 0
TIMED_OUT = frozenset({1, 2})  # select timed out, no select
DONE_BEFORE = frozenset({5, 14})  # already active, already complete
HARDWARE = 6  # the site's own interlock
SITE_HAS_IT = frozenset({7, 13})  # local, downstream local
NOT_OURS = frozenset({9, 15, 17})  # not authorized, blocked, blocked by another master
BAD_MAP = frozenset({3, 4, 12})  # format, not supported, out of range
BUSY = frozenset({8, 10, 11, 18})  # too many operations, inhibited, limited, downstream
UNKNOWN = frozenset({16, 126, 127})  # cancelled, not participating, undefined


class PowerNext(Enum):
    """What a power command does next."""

    GO_ON = auto()  # accepted
    RETRY = auto()  # select and operate once more, whole: nothing was operated
    READ = auto()  # never resend: read the feedback once; equal: go on, else idle
    FAIL = auto()
    FAIL_LOCAL = auto()  # the site has the authority
    FAIL_YIELD = auto()  # another master has it
    FAIL_SUSPECT = auto()  # the points map is in doubt


class IdleNext(Enum):
    """What an idle order does next. It retries at once and then every 2 s until verified."""

    VERIFY = auto()  # accepted, or done before
    RETRY = auto()
    RETRY_ALARM = auto()
    RETRY_ALARM_LATCH = auto()  # retry zero, alarm, and latch at V
    LOCAL = auto()  # stop writing


class _Group(Enum):
    SUCCESS = auto()
    NO_SELECT_ANSWER = auto()
    UNKNOWN = auto()
    NOT_SENT = auto()
    TIMED_OUT = auto()
    DONE_BEFORE = auto()
    HARDWARE = auto()
    SITE_HAS_IT = auto()
    NOT_OURS = auto()
    BAD_MAP = auto()
    BUSY = auto()


_STATUSES = {
    _Group.TIMED_OUT: TIMED_OUT,
    _Group.DONE_BEFORE: DONE_BEFORE,
    _Group.HARDWARE: frozenset({HARDWARE}),
    _Group.SITE_HAS_IT: SITE_HAS_IT,
    _Group.NOT_OURS: NOT_OURS,
    _Group.BAD_MAP: BAD_MAP,
    _Group.BUSY: BUSY,
    _Group.UNKNOWN: UNKNOWN,
}
_POWER = {
    _Group.SUCCESS: PowerNext.GO_ON,
    _Group.NO_SELECT_ANSWER: PowerNext.RETRY,
    _Group.UNKNOWN: PowerNext.READ,
    _Group.NOT_SENT: PowerNext.FAIL,
    _Group.TIMED_OUT: PowerNext.RETRY,
    _Group.DONE_BEFORE: PowerNext.READ,
    _Group.HARDWARE: PowerNext.FAIL,
    _Group.SITE_HAS_IT: PowerNext.FAIL_LOCAL,
    _Group.NOT_OURS: PowerNext.FAIL_YIELD,
    _Group.BAD_MAP: PowerNext.FAIL_SUSPECT,
    _Group.BUSY: PowerNext.FAIL,
}
_IDLE = {
    _Group.SUCCESS: IdleNext.VERIFY,
    _Group.NO_SELECT_ANSWER: IdleNext.RETRY,
    _Group.UNKNOWN: IdleNext.RETRY,
    _Group.NOT_SENT: IdleNext.RETRY,
    _Group.TIMED_OUT: IdleNext.RETRY,
    _Group.DONE_BEFORE: IdleNext.VERIFY,
    _Group.HARDWARE: IdleNext.LOCAL,
    _Group.SITE_HAS_IT: IdleNext.LOCAL,
    _Group.NOT_OURS: IdleNext.RETRY_ALARM,
    _Group.BAD_MAP: IdleNext.RETRY_ALARM_LATCH,
    _Group.BUSY: IdleNext.RETRY,
}


def after_power(outcome: Outcome, *, retried: bool, pulse: bool = False) -> PowerNext:
    """What a power command does next.

    Args:
        outcome: of one control.
        retried: whether this control was sent again before; that is done once.
        pulse: a pulse CROB goes once, whatever comes back.
    """
    found = _POWER[_group(outcome)]
    return PowerNext.FAIL if found is PowerNext.RETRY and (retried or pulse) else found


def after_idle(outcome: Outcome) -> IdleNext:
    """What an idle order does next."""
    return _IDLE[_group(outcome)]


def _group(outcome: Outcome) -> _Group:
    if outcome.kind is OutcomeKind.SUCCESS:
        return _Group.SUCCESS
    if outcome.kind is OutcomeKind.FAILED:
        return _Group.NOT_SENT
    if outcome.kind is OutcomeKind.NO_ANSWER:
        return _Group.NO_SELECT_ANSWER if outcome.stage is Stage.SELECT else _Group.UNKNOWN
    number = outcome.statuses[-1].number if outcome.statuses else None
    for group, numbers in _STATUSES.items():
        if number in numbers:
            return group
    return _Group.UNKNOWN
