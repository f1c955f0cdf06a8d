"""Parents and sub-accounts: where an account may stand in a tree, and what it shares with who is invoiced for it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from milo_billing.accounts.rules import wording
from milo_billing.accounts.types import AccountNode, BillingMode, InvoiceFrequency
from milo_billing.kernel.errors import FieldError

LEVELS_MAX = 8
"""Accounts from the root of a tree to its deepest leaf, both counted."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an account wants to stand, and the terms that consolidation would have it share."""

    namespace: str
    name: str
    parent: tuple[str, str] | None
    mode: BillingMode
    currency: str
    time_zone: str
    invoice_day: int
    invoice_frequency: InvoiceFrequency


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is around that place. `above` begins with the parent and ends with the root; empty: no such parent.

    `levels_below`: how many levels of sub-accounts the account has. `consolidated`: sub-accounts that are invoiced
    together with it. `parent_being_deleted`: it waits for its finalizers only.
    """

    above: Sequence[AccountNode]
    parent_being_deleted: bool
    levels_below: int
    consolidated: Sequence[AccountNode]


def place_errors(place: Place, around: Surroundings) -> Iterator[FieldError]:
    """Everything that stands against the place."""
    if place.parent is None:
        if place.mode == "Parent":
            yield wording.required(
                "spec.parentRef", 'billingMode "Parent" needs the account that is invoiced'
            )
    elif place.parent[0] != place.namespace:
        message = (
            "an account of another organization can be the parent only under an agreement, and there is none"
        )
        yield wording.forbidden("spec.parentRef.namespace", message)
    elif place.parent == (place.namespace, place.name):
        yield wording.forbidden("spec.parentRef.name", "an account cannot be its own parent")
    elif not around.above:
        yield wording.missing("spec.parentRef.name", place.parent[1])
    else:
        yield from _ancestry_errors(place, around)
    for field, own, other in _differences(place, around.consolidated):
        message = f'billing account "{other}" is invoiced together with this one and shares it, so it cannot be {own}'
        yield wording.forbidden(field, message)


def _ancestry_errors(place: Place, around: Surroundings) -> Iterator[FieldError]:
    field = "spec.parentRef.name"
    parent = around.above[0]
    if around.parent_being_deleted:
        yield wording.forbidden(field, f'billing account "{parent.name}" is being deleted')
    elif parent.phase == "Archived":
        yield wording.forbidden(field, f'billing account "{parent.name}" is archived and read-only')
    names = [node.name for node in around.above]
    if place.name in names:
        way = " → ".join([place.name, *names[: names.index(place.name) + 1]])
        yield wording.forbidden(field, f"an account cannot be above itself: {way}")
        return
    levels = len(around.above) + 1 + around.levels_below
    if levels > LEVELS_MAX:
        message = f"a tree of accounts has at most {LEVELS_MAX} levels, and this one would have {levels}"
        yield wording.forbidden(field, message)
    if place.mode == "Parent":
        payer = invoiced(around.above)
        theirs = dict(_shared(payer))
        for field, own, _ in _differences(place, [payer]):
            message = f'must be {theirs[field]} as for billing account "{payer.name}", which is invoiced for this one'
            yield wording.invalid(field, str(own), message)


def invoiced(above: Sequence[AccountNode]) -> AccountNode:
    """Who is invoiced for an account with billingMode Parent and these accounts above it, nearest first."""
    return next((node for node in above if node.mode == "Self"), above[-1])


def _shared(account: Place | AccountNode) -> tuple[tuple[str, str | int], ...]:
    return (
        ("spec.currencyCode", account.currency),
        ("spec.timeZone", account.time_zone),
        ("spec.paymentTerms.invoiceDayOfMonth", account.invoice_day),
        ("spec.paymentTerms.invoiceFrequency", account.invoice_frequency),
    )


def _differences(place: Place, others: Sequence[AccountNode]) -> Iterator[tuple[str, str | int, str]]:
    """Shared terms in which the place differs from one of the others: the field, what the place has, whose differs."""
    for field, own in _shared(place):
        other = next((o for o in others if dict(_shared(o))[field] != own), None)
        if other is not None:
            yield field, own, other.name
