"""What became of a request, as the gateway answers it."""

from dataclasses import dataclass

from milo_billing.usage.types import RejectReason


@dataclass(frozen=True, slots=True)
class Rejection:
    """One event that was not taken. `position` counts from 0 in the request; `id` as it was sent, cut short."""

    position: int
    id: str
    reason: RejectReason
    detail: str


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What became of one request, all of it durable.

    `accepted` + `quarantined` + `duplicate` + len(rejected) is the number of events in the request: `accepted` are
    stored and rolled up, `quarantined` are stored with a reason, `duplicate` were here before.
    """

    accepted: int
    quarantined: int
    duplicate: int
    rejected: tuple[Rejection, ...]

    @property
    def taken(self) -> int:
        """How many the sender need not send again: the `accepted` of the wire answer, where a retry counts as well."""
        return self.accepted + self.quarantined + self.duplicate
