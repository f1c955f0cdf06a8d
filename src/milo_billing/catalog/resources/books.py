"""PriceBook: prices of Skus in one currency from a date on."""

from collections.abc import Iterable, Iterator
from datetime import date, datetime
from typing import TypeAlias

from pydantic import Field
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
from milo_billing.catalog.types import (
    BookHead,
    BookPhase,
    BookRole,
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
from milo_billing.infra.database import Tx
from milo_billing.kernel.errors import Conflict, FieldError
from milo_billing.kernel.money import is_currency

PRICES_MAX = 5_000
"""Prices of one book; an object is read and written whole."""


class PriceTier(Fields):
    """One band of a graduated price; its bound belongs to it."""

    up_to: Amount | None = Field(
        default=None, description="Inclusive upper bound; left out in the last tier."
    )
    unit_price: Amount = Field(description="For each pricing unit within the tier.")
    flat_fee: Amount = Field(default="0", description="Once, when the tier is entered.")
    charge_at_zero: bool = Field(
        default=False, description="The first tier's flat fee is due without usage too."
    )


class PriceSpec(Fields):
    """What one Sku costs. Amounts are decimal strings in the book's currency."""

    sku_ref: NameRef
    model: PriceModel
    unit_price: Amount | None = None
    tiers: list[PriceTier] = Field(default_factory=list[PriceTier], max_length=64)
    included_quantity: Amount = Field(default="0", description="Free pricing units, each rating period.")
    minimum: Amount | None = Field(default=None, description="Least charge of a rating period.")
    maximum: Amount | None = Field(default=None, description="Most charge of a rating period.")


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


BookAdmission: TypeAlias = Admission[PriceBookSpec, CatalogStatus]
BookObject: TypeAlias = Object[PriceBookSpec, CatalogStatus]


class PriceBook(Kind[PriceBookSpec, CatalogStatus]):
    """Prices of Skus in one currency from a date on. A change of prices is a new version."""

    group = GROUP
    kind = "PriceBook"
    plural = "pricebooks"
    singular = "pricebook"
    namespaced = False
    readable_by_all = True
    description = "Prices of Skus in one currency from a date on."
    spec_model = PriceBookSpec
    status_model = CatalogStatus
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
            yield from books.price_errors(books.parse_price(price), path=f"spec.prices[{index}]")
        yield from _placing_errors(tx, book)

    @override
    def validate_delete(self, admission: BookAdmission) -> None:
        """Raise Conflict while it is published: what was charged must stay explicable."""
        book = admission.object
        if book.spec.phase == "Published":
            raise Conflict(f'price book "{book.name}" is published; retire it first')

    @override
    def reconcile(self, object: BookObject, facts: None, *, now: datetime) -> CatalogStatus:
        """The phase as a condition."""
        return published_status(object, object.spec.phase, now=now)

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
            deleted_at=now if object.deleted else None,
        )


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
    )
    others = reads.list_book_heads(tx, book_name=head.book_name, currency=head.currency, but=book.uid)
    yield from books.version_errors(head, others=others)
    if head.phase != "Published":
        return
    yield from books.list_book_errors(head, others=others)
    names = [price.sku_ref.name for price in spec.prices]
    store.hold_skus(tx, names=names)
    known = {sku.name: sku for sku in reads.list_skus(tx, names=names)}
    yield from books.reference_errors(names, skus=known)


def _organization_number(tx: Tx, spec: PriceBookSpec) -> int | None:
    if spec.organization_ref is None:
        return None
    organization = directory.find_organization(tx, name=spec.organization_ref.name)
    return None if organization is None else organization.number
