"""PriceBook: prices of Skus in one currency from a date on."""

from collections.abc import Iterable, Iterator
from datetime import date, datetime
from typing import Annotated, TypeAlias

from pydantic import Field, StringConstraints
from typing_extensions import override

from milo_billing.catalog import reads, store
from milo_billing.catalog.resources.fields import (
    GROUP,
    Amount,
    CatalogStatus,
    Name,
    NameRef,
    body_of,
    published_status,
)
from milo_billing.catalog.rules import books, lifecycle, wording
from milo_billing.catalog.rules.prices import price_errors
from milo_billing.catalog.types import (
    Billing,
    BookHead,
    BookPhase,
    BookRole,
    LabelOperator,
    PriceModel,
)
from milo_billing.controlplane.kinds import (
    PROVIDER_ORG,
    Admission,
    Column,
    Fields,
    Kind,
    Object,
)
from milo_billing.directory import reads as directory
from milo_billing.infra.clock import Clock
from milo_billing.infra.database import Tx
from milo_billing.kernel.errors import Conflict, FieldError
from milo_billing.kernel.money import is_currency
from milo_billing.kernel.periods import Interval

PRICES_MAX = 5_000
"""Prices of one book; an object is read and written whole."""


class LabelRequirement(Fields):
    """One demand on the labels of a Sku."""

    key: Annotated[str, StringConstraints(min_length=1, max_length=317)]
    op: LabelOperator
    values: list[Annotated[str, StringConstraints(max_length=63)]] = Field(
        default_factory=list[str], max_length=64, description="Of In and NotIn, one at least."
    )


class SkuSelector(Fields):
    """Skus by their labels and by an expression; both must hold, and with neither every Sku is meant."""

    match_labels: list[LabelRequirement] = Field(default_factory=list[LabelRequirement], max_length=16)
    cel: str | None = Field(default=None, description="True or false of labels, name, service and meter.")


class PriceTier(Fields):
    """One band of a tiered price; its bound belongs to it."""

    up_to: Amount | None = Field(
        default=None, description="Inclusive upper bound; left out in the last tier."
    )
    unit_price: Amount | None = Field(
        default=None, description="Graduated: for each unit within the tier. Volume: for every unit."
    )
    flat_fee: Amount = Field(default="0", description="Once, when the tier is entered; of a step, its price.")
    charge_at_zero: bool = Field(
        default=False, description="The first tier's flat fee is due without usage too."
    )


class PriceSpec(Fields):
    """What a Sku costs, or each that a selector means. Amounts are decimal strings in the book's currency."""

    sku_ref: NameRef | None = None
    sku_selector: SkuSelector | None = Field(
        default=None,
        description="Instead of skuRef: the Skus, when the book is published, that have no price by name.",
    )
    model: PriceModel
    unit_price: Amount | None = Field(
        default=None,
        description="Of a unit (PerUnit), a package (Package), or a rating period or interval (Flat).",
    )
    tiers: list[PriceTier] = Field(default_factory=list[PriceTier], max_length=64)
    package_size: Amount | None = Field(default=None, description="Pricing units in a package.")
    percent: Amount | None = Field(default=None, description="Of what the Skus of base come to.")
    base: SkuSelector | None = Field(
        default=None,
        description="Whose settled amounts a percentage is of: Skus sold by usage, never its own.",
    )
    included_quantity: Amount = Field(default="0", description="Free pricing units, each rating period.")
    minimum: Amount | None = Field(default=None, description="Least charge of a rating period.")
    maximum: Amount | None = Field(default=None, description="Most charge of a rating period.")
    charge_at_zero: bool | None = Field(
        default=None, description="Flat and Percentage: due where the Sku was not used, too."
    )
    interval: Interval | None = Field(
        default=None, description="Of a recurring Sku: what the price is for. Monthly where it is left out."
    )
    billing: Billing | None = Field(
        default=None,
        description="Of a recurring Sku: charged when the interval begins, or after it. Advance where it is left out.",
    )


class Selection(Fields):
    """What the selectors of one price meant when the book was published."""

    price: int = Field(description="Its place in spec.prices, from 0.")
    skus: list[str] = Field(default_factory=list[str], description="Priced by its skuSelector.")
    base: list[str] = Field(default_factory=list[str], description="What its percentage is taken of.")


class PriceBookStatus(CatalogStatus):
    """What is true of a price book."""

    selections: list[Selection] = Field(
        default_factory=list[Selection],
        description="What its selectors meant when it was published; Skus that came later are not of it.",
    )


class PriceBookSpec(Fields):
    """What is wanted of one version of a price book. Immutable once published, but for retiring it."""

    book_name: Name = Field(description="What the versions of one book share.")
    effective_from: str = Field(
        pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
        json_schema_extra={"format": "date"},
        description="From local midnight of this date of the account.",
    )
    organization_ref: NameRef | None = Field(
        default=None, description="Whose book it is; without it, the provider's. Immutable."
    )
    role: BookRole = "List"
    is_default: bool = Field(default=False, description="Prices accounts of currencies without a list book.")
    currency_code: str = Field(pattern="^[A-Z]{3}$")
    phase: BookPhase = Field(default="Draft", description="Moves forward, one step at a time.")
    prices: list[PriceSpec] = Field(default_factory=list[PriceSpec], max_length=PRICES_MAX)


BookAdmission: TypeAlias = Admission[PriceBookSpec, PriceBookStatus]
BookObject: TypeAlias = Object[PriceBookSpec, PriceBookStatus]


class PriceBook(Kind[PriceBookSpec, PriceBookStatus]):
    """Prices of Skus in one currency from a date on. A change of prices is a new version."""

    group = GROUP
    kind = "PriceBook"
    plural = "pricebooks"
    singular = "pricebook"
    namespaced = False
    readable_by_all = True
    description = "Prices of Skus in one currency from a date on."
    spec_model = PriceBookSpec
    status_model = PriceBookStatus
    columns = (
        Column("Book", ".spec.bookName"),
        Column("Effective", ".spec.effectiveFrom"),
        Column("Currency", ".spec.currencyCode"),
        Column("Phase", ".spec.phase"),
    )
    selectable = ("spec.bookName", "spec.currencyCode", "spec.phase")

    @override
    def visible_to_all(self, object: BookObject) -> bool:
        """The book of an organization is seen by that organization and the provider only."""
        return object.spec.organization_ref is None

    @override
    def owner_org(self, tx: Tx, object: BookObject) -> int:
        """The organization it belongs to; the provider's where there is none, which `validate` refuses."""
        return _organization_number(tx, object.spec) or PROVIDER_ORG

    @override
    def validate(self, admission: BookAdmission) -> Iterable[FieldError]:
        """Prices that can be computed; on publishing, Skus that exist and share no usage; then no change."""
        tx, book, old = admission.tx, admission.object, admission.old
        before = None if old is None else old.spec.phase
        yield from lifecycle.phase_errors(lifecycle.BOOK_PHASES, before=before, after=book.spec.phase)
        if old is not None and old.spec.phase != "Draft":
            if old.spec.model_copy(update={"phase": book.spec.phase}) != book.spec:
                message = "a published price book is immutable; publish a new version of it from a later date"
                yield wording.forbidden("spec", message)
            return
        if old is not None:
            yield from lifecycle.unchanged(
                [("organizationRef", old.spec.organization_ref, book.spec.organization_ref)]
            )
        elif book.spec.organization_ref is not None and _organization_number(tx, book.spec) is None:
            yield wording.missing("spec.organizationRef.name", book.spec.organization_ref.name)
        if not is_currency(book.spec.currency_code):
            message = "must be a current ISO 4217 code of a currency with a minor unit"
            yield wording.invalid("spec.currencyCode", book.spec.currency_code, message)
        for index, price in enumerate(body_of(book.spec)["prices"]):
            yield from price_errors(price, path=f"spec.prices[{index}]")
        yield from _placing_errors(tx, book)

    @override
    def validate_delete(self, admission: BookAdmission) -> None:
        """Raise Conflict while it is published: what was charged must stay explicable."""
        book = admission.object
        if book.spec.phase == "Published":
            raise Conflict(f'price book "{book.name}" is published; retire it first')

    @override
    def gather(
        self, tx: Tx, object: BookObject, old: BookObject | None, *, now: datetime, clock: Clock
    ) -> list[Selection]:
        """What its selectors mean, from the moment it is published on."""
        if old is not None and old.spec.phase != "Draft":
            return old.status.selections
        if object.spec.phase == "Draft":
            return []
        return [
            Selection(price=one.price, skus=list(one.skus), base=list(one.base))
            for one in _selections(tx, object.spec)
        ]

    @override
    def reconcile(self, object: BookObject, facts: list[Selection], *, now: datetime) -> PriceBookStatus:
        """The phase as a condition, and what its selectors mean."""
        status = published_status(object, object.spec.phase, now=now)
        return PriceBookStatus(
            published_at=status.published_at,
            conditions=status.conditions,
            observed_generation=status.observed_generation,
            selections=facts,
        )

    @override
    def project(self, tx: Tx, object: BookObject, old: BookObject | None, *, now: datetime) -> None:
        """catalog.price_books."""
        spec = object.spec
        store.put_book(
            tx,
            uid=object.uid,
            owner_org=object.owner_org,
            name=object.name,
            book_name=spec.book_name,
            effective_from=date.fromisoformat(spec.effective_from),
            phase=spec.phase,
            role=spec.role,
            is_default=spec.is_default,
            currency=spec.currency_code,
            body=body_of(spec),
            selections=[body_of(one) for one in object.status.selections],
            published_at=object.status.published_at,
            retired_at=_retired_at(object),
            deleted_at=now if object.deleted else None,
        )


def _retired_at(book: BookObject) -> str | None:
    """Since when the book prices nothing any more, which was published."""
    if book.spec.phase != "Retired":
        return None
    return next(one.last_transition_time for one in book.status.conditions if one.type == "Published")


def _placing_errors(tx: Tx, book: BookObject) -> Iterator[FieldError]:
    """What stands against the book among other books, and, once it is to be published, among Skus."""
    try:
        effective_from = date.fromisoformat(book.spec.effective_from)
    except ValueError:
        yield wording.invalid("spec.effectiveFrom", book.spec.effective_from, "is not a date of the calendar")
        return
    spec = book.spec
    head = BookHead(
        name=book.name,
        book_name=spec.book_name,
        effective_from=effective_from,
        phase=spec.phase,
        role=spec.role,
        owner_org=book.owner_org,
        currency=spec.currency_code,
        is_default=spec.is_default,
    )
    others = reads.list_book_heads(tx, book_name=head.book_name, currency=head.currency, but=book.uid)
    yield from books.version_errors(head, others=others)
    if head.phase != "Published":
        return
    yield from books.list_book_errors(head, others=others)
    yield from books.default_book_errors(head, others=others)
    body, selections = body_of(spec), _selections(tx, spec)
    names = [price.sku_ref.name for price in spec.prices if price.sku_ref is not None]
    names += [name for selection in selections for name in selection.skus]
    store.hold_skus(tx, names=names)
    known = {sku.name: sku for sku in reads.list_skus(tx, names=names)}
    yield from books.publishing_errors(body, selections, skus=known)


def _selections(tx: Tx, spec: PriceBookSpec) -> tuple[books.Selection, ...]:
    """What the selectors of a book that is being published mean; nothing about Skus changes until it is."""
    if all(price.sku_selector is None and price.base is None for price in spec.prices):
        return ()
    store.hold_skus(tx, names=None)
    return books.selections_of(body_of(spec), skus=reads.list_all_skus(tx))


def _organization_number(tx: Tx, spec: PriceBookSpec) -> int | None:
    if spec.organization_ref is None:
        return None
    organization = directory.find_organization(tx, name=spec.organization_ref.name)
    return None if organization is None else organization.number
