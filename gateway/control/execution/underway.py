"""Commands on their way to the field: at most one of power, and one of another kind. Pure words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.control.execution.execute import Executor
    from gateway.control.execution.job import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A permitted command whose id is not durable yet: no output of it may leave."""

    job: Job
    actor: str  # kid of its issuer, or "operator:NAME"
    requested_w: int | None
    min_soc_pct: int | None
    max_soc_pct: int | None
    cloud: bool = True  # results go to the cloud; a commissioning test's stay in the audit log
    number: int = 0  # of its record; at a shared limit the larger one gives way first


@dataclass(slots=True)
class Execution:
    """One executor and what it is called for."""

    accepted: Accepted
    executor: Executor
    begun: bool = False  # an output of it has left
    since: dict[str, float] = field(default_factory=dict)  # echo -> only reads asked since count

    @property
    def power(self) -> bool:
        """Whether it is a dispatch."""
        return self.accepted.job.power_w is not None
