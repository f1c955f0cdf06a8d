"""Offer: services that are sold together, with their tier, features and prices."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, TypeAlias

from pydantic import Field, StringConstraints
from typing_extensions import override

from milo_billing.catalog import reads as catalog
from milo_billing.controlplane.kinds import (
    Admission,
    Column,
    Condition,
    Conditions,
    Fields,
    Kind,
    Object,
    set_condition,
)
from milo_billing.entitlements import reads, store
from milo_billing.entitlements.resources.recurring_skus import (
    RECURRING_MAX,
    RecurringItem,
    item_errors,
    recurring_of,
    sku_errors,
)
from milo_billing.entitlements.rules import wording
from milo_billing.entitlements.types import GROUP, OfferPhase
from milo_billing.infra.database import Tx
from milo_billing.kernel.errors import Conflict, FieldError

Name: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=253)]
Word: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=63)]

TRIAL_DAYS_MAX = 366
SERVICES_MAX = 256


class ServiceName(Fields):
    """A Service by the name of its object."""

    name: Name


class BookName(Fields):
    """A price book by its `bookName`, which its versions share: a new version acts without another word."""

    name: Name


class OfferSpec(Fields):
    """What is wanted of an offer. Immutable once published."""

    display_name: str = Field(default="", max_length=128)
    description: str = Field(default="", max_length=1024)
    tier: Word = Field(description="Free, Pro, Enterprise … as the provider calls it.")
    phase: OfferPhase = Field(default="Draft", description="Draft, then Published; never back.")
    services: list[ServiceName] = Field(
        min_length=1, max_length=SERVICES_MAX, description="What whoever takes the offer may use."
    )
    features: dict[str, Annotated[str, StringConstraints(max_length=256)]] = Field(
        default_factory=dict[str, str],
        max_length=64,
        description="What comes with it, for services to read in reviews.",
    )
    price_book_ref: BookName | None = Field(
        default=None, description="The bookName of its prices; without it, the account's list prices."
    )
    recurring: list[RecurringItem] = Field(
        default_factory=list[RecurringItem],
        max_length=RECURRING_MAX,
        description="What whoever takes the offer pays for again each interval, at the prices of his books.",
    )
    trial_days: int = Field(
        default=0,
        ge=0,
        le=TRIAL_DAYS_MAX,
        description="Days from the start of an entitlement on, on which what recurs costs nothing.",
    )


class OfferStatus(Fields):
    """What is true of an offer."""

    conditions: Conditions = Field(default_factory=list[Condition])
    observed_generation: int = 0


OfferAdmission: TypeAlias = Admission[OfferSpec, OfferStatus]
OfferObject: TypeAlias = Object[OfferSpec, OfferStatus]


class Offer(Kind[OfferSpec, OfferStatus]):
    """Services that are sold together, with their tier, features and prices."""

    group = GROUP
    kind = "Offer"
    plural = "offers"
    singular = "offer"
    namespaced = False
    readable_by_all = True
    description = "Services that are sold together, with their tier, features and prices."
    spec_model = OfferSpec
    status_model = OfferStatus
    columns = (
        Column("Tier", ".spec.tier"),
        Column("Book", ".spec.priceBookRef.name"),
        Column("Phase", ".spec.phase"),
    )
    selectable = ("spec.tier", "spec.phase")

    @override
    def validate(self, admission: OfferAdmission) -> Iterable[FieldError]:
        """Once published, no change; to be published, services and prices that there are."""
        offer, old = admission.object, admission.old
        if old is not None and old.spec.phase == "Published":
            if old.spec != offer.spec:
                yield wording.forbidden("spec", "a published offer is immutable; publish another one")
            return
        names = [service.name for service in offer.spec.services]
        for index, name in enumerate(names):
            if name in names[:index]:
                yield wording.invalid(f"spec.services[{index}].name", name, "stands above already")
        yield from item_errors(offer.spec.recurring)
        if offer.spec.phase != "Published":
            return
        yield from sku_errors(admission.tx, offer.spec.recurring)
        for index, name in enumerate(names):
            if not catalog.has_service(admission.tx, name=name):
                yield wording.missing(f"spec.services[{index}].name", name)
        book = offer.spec.price_book_ref
        if book is not None and not catalog.is_book_published(
            admission.tx, book_name=book.name, roles=("List", "Negotiated"), owner_orgs=(offer.owner_org,)
        ):
            message = "must be the bookName of a published List or Negotiated book of the provider"
            yield wording.invalid("spec.priceBookRef.name", book.name, message)

    @override
    def validate_delete(self, admission: OfferAdmission) -> None:
        """Raise Conflict while an entitlement to it stands."""
        store.lock_offer(admission.tx, uid=admission.object.uid)
        offer = reads.find_offer(admission.tx, name=admission.object.name)
        taken = None if offer is None else reads.find_entitlement_of_offer(admission.tx, offer=offer.number)
        if taken is not None:
            raise Conflict(f'entitlement "{taken}" is to offer "{admission.object.name}"; delete it first')

    @override
    def reconcile(self, object: OfferObject, facts: None, *, now: datetime) -> OfferStatus:
        """The phase as a condition."""
        published = object.spec.phase == "Published"
        conditions = set_condition(
            object.status.conditions,
            type="Published",
            status="True" if published else "False",
            reason=object.spec.phase,
            message="Offer can be taken." if published else "Offer is a draft: nobody can take it yet.",
            observed_generation=object.generation,
            now=now,
        )
        return OfferStatus(conditions=conditions, observed_generation=object.generation)

    @override
    def project(self, tx: Tx, object: OfferObject, old: OfferObject | None, *, now: datetime) -> None:
        """entitlements.offers."""
        spec = object.spec
        store.put_offer(
            tx,
            uid=object.uid,
            name=object.name,
            phase=spec.phase,
            tier=spec.tier,
            services=[service.name for service in spec.services],
            features=spec.features,
            book=None if spec.price_book_ref is None else spec.price_book_ref.name,
            recurring=recurring_of(spec.recurring),
            trial_days=spec.trial_days,
            deleted_at=now if object.deleted else None,
        )
