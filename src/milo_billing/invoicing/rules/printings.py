"""PDFs that workers write in one go: what a printing is, what is asked for, and how it is told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias, cast
from uuid import UUID

import orjson

from milo_billing.kernel.bodies import check_value
from milo_billing.kernel.errors import BadRequest, NotFound
from milo_billing.kernel.periods import parse_month

PrintingState: TypeAlias = Literal["waiting", "printed", "failed"]
STATES: Final[tuple[PrintingState, ...]] = ("printed", "failed")
REST_S_MAX: Final = 5.0
"""A worker that is to stop waits for who rests."""


class PrintingNotFound(NotFound):
    """There is no such printing, or not for the caller."""


@dataclass(frozen=True, slots=True)
class PrintingRequest:
    """The invoices of one month, or of all of them where it is None, of a namespace or of all within reach."""

    month: tuple[int, int] | None
    namespace: str | None


@dataclass(frozen=True, slots=True)
class Printing:
    """Documents that workers write, and how far they have come.

    `organizations` are those whose documents they are, None for everybody's. `run` is the invoice run that they are
    written ahead for; None where somebody asked. `total` are those that were missing when it was opened.
    """

    id: UUID
    organizations: tuple[int, ...] | None
    run: UUID | None
    opened_by: str
    opened_at: datetime
    total: int = 0
    finished_at: datetime | None = None
    counts: Mapping[PrintingState, int] = field(default_factory=dict[PrintingState, int])

    @property
    def done(self) -> int:
        """How many documents are written, or cannot be."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Failure:
    """A document that cannot be written, and why; `number` is that of the invoice or credit note."""

    number: str
    reason: str


def parse_printing(body: bytes) -> PrintingRequest:
    """`{"month": "2026-10", "namespace": "organization-acme"}`, both optional. Raises BadRequest."""
    try:
        value = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the body is not JSON: {error}") from None
    check_value(value)
    if not isinstance(value, dict):
        raise BadRequest('the body must be a JSON object such as {"month": "2026-10"}')
    fields = cast("dict[str, Any]", value)
    if unknown := sorted(fields.keys() - {"month", "namespace"}):
        raise BadRequest(f"unknown field {unknown[0]!r}: a printing has month and namespace")
    month, namespace = fields.get("month"), fields.get("namespace")
    if namespace is not None and (not isinstance(namespace, str) or not namespace):
        raise BadRequest("namespace must be a text such as organization-acme; leave it out for all")
    if month is None:
        return PrintingRequest(None, namespace)
    try:
        return PrintingRequest(parse_month(month if isinstance(month, str) else ""), namespace)
    except ValueError as error:
        raise BadRequest(f"month: {error}") from None


def printing_body(printing: Printing, *, failures: tuple[Failure, ...]) -> dict[str, Any]:
    """One printing as clients read it; `failures` are the first of them."""
    return {
        "id": str(printing.id),
        "run": None if printing.run is None else str(printing.run),
        "state": "running" if printing.finished_at is None else "finished",
        "openedBy": printing.opened_by,
        "openedAt": printing.opened_at.isoformat(),
        "finishedAt": None if printing.finished_at is None else printing.finished_at.isoformat(),
        "total": printing.total,
        "done": printing.done,
        **{state: printing.counts.get(state, 0) for state in STATES},
        "failures": [{"number": one.number, "reason": one.reason} for one in failures],
    }


def pause_s(spent_s: float, *, percent: int) -> float:
    """How long to rest after so much work, so that work is `percent` (1 to 100) of the time; REST_S_MAX at most."""
    return min(REST_S_MAX, spent_s * (100 - percent) / percent)
