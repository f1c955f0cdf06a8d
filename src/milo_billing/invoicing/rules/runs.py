"""A month over many accounts: what a run is, and what a step of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias
from uuid import UUID

from milo_billing.kernel.errors import NotFound

RunStepState: TypeAlias = Literal["waiting", "issued", "unchanged", "skipped", "failed"]


class RunNotFound(NotFound):
    """There is no such run, or not for the caller."""


@dataclass(frozen=True, slots=True)
class Run:
    """A month over many accounts, and how far it has come.

    `organizations` are those whose accounts it is over, None for everybody's. An invoice of it
    is issued as of its own step, which may be long after `opened_at` where a run was interrupted. `counts` are the
    steps done, by what became of them; `per_second` is how many accounts a second are done at present, None where
    nobody can say. `follows` is the run that left accounts to be gone over again by this one, `followed_by` the one
    that does so for this; it is there as soon as this one is finished.
    """

    id: UUID
    organizations: tuple[int, ...] | None
    year: int
    month: int
    opened_by: str
    impersonated_by: str
    audit_id: UUID
    opened_at: datetime
    total: int = 0
    finished_at: datetime | None = None
    follows: UUID | None = None
    followed_by: UUID | None = None
    counts: Mapping[RunStepState, int] = field(default_factory=dict[RunStepState, int])
    per_second: float | None = None

    @property
    def done(self) -> int:
        """How many accounts the run has been over."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class StepDone:
    """What is noted of a step. `reason` is for people, of one that was skipped or failed; `invoiced_with` the number of
    the account that is invoiced for the step's, where it was skipped for that.
    """

    state: RunStepState
    invoice: UUID | None = None
    reason: str | None = None
    invoiced_with: int | None = None


@dataclass(frozen=True, slots=True)
class RunStep:
    """What became of one account; `account` is `namespace/name`, and so is `invoiced_with`: who is invoiced for it.

    The invoice's fields are None where there is none.
    """

    step: int
    account: str
    state: RunStepState
    invoice: str | None
    number: str | None
    total_minor: int | None
    currency: str | None
    reason: str | None
    invoiced_with: str | None
