"""What may be asked of a simulation, and what it means: read strictly, everything that is wrong said at once.

A simulation is no kind: it is asked, answered and never stored. Its parts are specs of kinds, and the rules by which
those kinds admit them are asked here too.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Final, Literal, TypeAlias, TypeVar, cast
from uuid import UUID

from pydantic import Field

from milo_billing.accounts.types import Account
from milo_billing.catalog import operations as catalog
from milo_billing.catalog import reads as catalog_reads
from milo_billing.catalog.types import Book
from milo_billing.commitments import reads
from milo_billing.commitments.resources import commitments as promises
from milo_billing.commitments.resources import discounts
from milo_billing.commitments.resources.fields import body_of
from milo_billing.commitments.rules import admission as rules
from milo_billing.commitments.rules import wording
from milo_billing.commitments.rules.bodies import parse_discount
from milo_billing.commitments.types import Commitment, CommitmentNotFound, Discount, WhatIf
from milo_billing.controlplane.decoding import parse_body
from milo_billing.controlplane.kinds import AnyKind, Fields, Json, Kind
from milo_billing.controlplane.questions import read_spec
from milo_billing.infra.database import Tx
from milo_billing.kernel.errors import FieldError, Invalid
from milo_billing.kernel.periods import Period, billing_month, local_day, parse_month
from milo_billing.pricing.types import OtherBooks, Precedence

MONTHS_MAX: Final = 12
"""Rating periods of one simulation."""

COMMITMENTS_MAX, DISCOUNTS_MAX, WITHOUT_MAX = 20, 50, 100

SpecBody: TypeAlias = dict[str, Any]


class AccountRef(Fields):
    """The account whose usage it is."""

    namespace: str = Field(min_length=1, max_length=253)
    name: str = Field(min_length=1, max_length=253)


class BookRef(Fields):
    """A book that there is: all its published versions by their days, or one version, from the first day on."""

    name: str | None = Field(default=None, min_length=1, max_length=253, description="A bookName.")
    version: str | None = Field(
        default=None, min_length=1, max_length=253, description="The name of a PriceBook, also of a draft."
    )


class Supposed(Fields):
    """An object by its name in the account's namespace, or one that is not there by its spec."""

    name: str | None = Field(default=None, min_length=1, max_length=253)
    spec: SpecBody | None = None


class LeftOut(Fields):
    """Something of the account that is left out."""

    kind: Literal["Commitment", "Discount"]
    name: str = Field(min_length=1, max_length=253)


class SimulationSpec(Fields):
    """What is asked."""

    billing_account_ref: AccountRef
    month: str | None = Field(default=None, description="The one rating period, by the month it starts in.")
    from_: str | None = Field(default=None, alias="from", description="The first of several.")
    to: str | None = Field(default=None, description="The last of several.")
    price_book: SpecBody | None = Field(
        default=None, description="The spec of a PriceBook; holds on every day that is simulated."
    )
    price_book_ref: BookRef | None = None
    precedence: Precedence = "First"
    commitments: list[Supposed] = Field(default_factory=list[Supposed], max_length=COMMITMENTS_MAX)
    discounts: list[Supposed] = Field(default_factory=list[Supposed], max_length=DISCOUNTS_MAX)
    without: list[LeftOut] = Field(default_factory=list[LeftOut], max_length=WITHOUT_MAX)


class SimulationAnswer(Fields):
    """What is answered is not of this form: rules.simulation_bodies says it."""


class SimulationForm(Kind[SimulationSpec, SimulationAnswer]):
    """The form of the question, for the reader of specs. It is not served as a kind."""

    group = promises.GROUP
    kind = "Simulation"
    plural = "simulations"
    singular = "simulation"
    namespaced = False
    spec_model = SimulationSpec
    status_model = SimulationAnswer


_FORM: Final = SimulationForm()
_COMMITMENT: Final = promises.CommitmentKind()
_DISCOUNT: Final = discounts.DiscountKind()


def read_simulation(body: bytes, content_type: str) -> SimulationSpec:
    """The question in JSON or YAML, by its form alone. Raises BadRequest, and Invalid with every field at once."""
    value, duplicates = parse_body(_FORM, body, content_type)
    repeated = [
        FieldError(path, "FieldValueDuplicate", "Duplicate value: given twice") for path in duplicates
    ]
    if repeated:
        raise Invalid(repeated)
    try:
        spec = read_spec(_FORM, value)
    except Invalid as error:
        raise Invalid(_placed(error.errors, "")) from error
    return cast("SimulationSpec", spec)


# --------------------------------------------------------------------------------------------- what it means

R = TypeVar("R")


@dataclass
class _Reading:
    """One question about one account, and everything found wrong with it so far."""

    tx: Tx
    spec: SimulationSpec
    account: Account
    book_kind: AnyKind
    faults: list[FieldError] = field(default_factory=list[FieldError])

    def part(self, path: str, read: Callable[[], R]) -> R | None:
        """What this part of the question means; None once its faults are noted, below `path`."""
        try:
            return read()
        except Invalid as error:
            self.faults += _placed(error.errors, path)
            return None

    def settled(self, value: R) -> R:
        if self.faults:
            raise Invalid(self.faults)
        return value


def resolve(
    tx: Tx, spec: SimulationSpec, *, account: Account, book_kind: AnyKind
) -> tuple[tuple[Period, ...], WhatIf]:
    """The rating periods that are asked about, and what is other in them.

    `book_kind` is the PriceBook. Raises Invalid with everything that stands against it.
    """
    reading = _Reading(tx, spec, account, book_kind)
    periods = reading.settled(reading.part("", lambda: _periods(spec, account)))
    assert periods is not None, "it was settled"
    first_day = local_day(periods[0].start, zone=account.time_zone)
    end_day = local_day(periods[-1].end, zone=account.time_zone)
    own = reads.list_commitments(tx, account=account.number)
    own_discounts = reads.list_discounts(tx, account=account.number)
    without = reading.part("without", lambda: _without(spec.without, own, own_discounts)) or frozenset()
    books = reading.part("", lambda: _other_books(reading, first_day=first_day, end_day=end_day))
    what_if = WhatIf(
        other_books=books,
        commitments=_commitments(reading, [one for one in own if one.uid not in without]),
        discounts=_discounts(reading),
        without=without,
    )
    return reading.settled((periods, what_if))


def _placed(errors: Iterable[FieldError], path: str) -> list[FieldError]:
    """Errors of something that stands at `path`; their fields begin with `spec`."""
    return [
        replace(error, field=f"{path}{error.field.removeprefix('spec')}".removeprefix(".") or "spec")
        for error in errors
    ]


def _periods(spec: SimulationSpec, account: Account) -> tuple[Period, ...]:
    given = {"month": spec.month, "from": spec.from_, "to": spec.to}
    ranged = {name for name, text in given.items() if text is not None}
    if ranged not in ({"month"}, {"from", "to"}):
        message = "give month, or from and to: months as 2026-10"
        raise Invalid([wording.required("spec.month", message)])
    months: dict[str, tuple[int, int]] = {}
    for name in ranged:
        try:
            months[name] = parse_month(given[name] or "")
        except ValueError as error:
            raise Invalid([wording.invalid(f"spec.{name}", given[name] or "", f"{error}")]) from error
    first = months.get("month") or months["from"]
    last = months.get("month") or months["to"]
    count = (last[0] - first[0]) * 12 + last[1] - first[1] + 1
    if not 1 <= count <= MONTHS_MAX:
        message = f"must be from 1 to {MONTHS_MAX} months, from the first to the last"
        raise Invalid([wording.invalid("spec.to", spec.to or "", message)])
    numbers = (divmod(first[0] * 12 + first[1] - 1 + more, 12) for more in range(count))
    return tuple(
        billing_month(year, month + 1, zone=account.time_zone, invoice_day=account.invoice_day)
        for year, month in numbers
    )


def _other_books(reading: _Reading, *, first_day: date, end_day: date) -> OtherBooks | None:
    spec, tx = reading.spec, reading.tx
    if spec.price_book is not None and spec.price_book_ref is not None:
        raise Invalid([wording.forbidden("spec.priceBookRef", "give priceBook or priceBookRef")])
    if spec.price_book is not None:
        given = {
            "bookName": "simulated",
            "effectiveFrom": first_day.isoformat(),
            "currencyCode": reading.account.currency,
            **spec.price_book,
        }
        book = _drafted(reading, given)
        return None if book is None else OtherBooks(first_day, spec.precedence, book.book_name, book)
    if (ref := spec.price_book_ref) is None:
        if spec.precedence != "First":
            raise Invalid([wording.forbidden("spec.precedence", "only another price book has one")])
        return None
    if (ref.name is None) == (ref.version is None):
        raise Invalid([wording.required("spec.priceBookRef", "give either name or version")])
    if ref.version is not None:
        version, name = (
            reading.part("priceBookRef.version", lambda: _version(tx, ref.version or "")),
            ref.version,
        )
        return None if version is None else OtherBooks(first_day, spec.precedence, name, version)
    name = ref.name or ""
    if not catalog_reads.list_book_versions(tx, book_name=name, start=first_day, end=end_day):
        raise Invalid([wording.missing("spec.priceBookRef.name", name)])
    return OtherBooks(first_day, spec.precedence, name)


def _drafted(reading: _Reading, given: Json) -> Book | None:
    def read() -> Book:
        body = body_of(read_spec(reading.book_kind, given))
        return catalog.draft_book(reading.tx, body=body, name=body["bookName"])

    return reading.part("priceBook", read)


def _version(tx: Tx, name: str) -> Book:
    book = catalog.find_version(tx, name=name)
    if book is None:
        raise Invalid([wording.missing("spec", name)])
    return book


def _without(
    wanted: Iterable[LeftOut], own: Iterable[Commitment], own_discounts: Iterable[Discount]
) -> frozenset[UUID]:
    standing: Mapping[tuple[str, str], UUID] = {
        **{("Commitment", one.name): one.uid for one in own},
        **{("Discount", one.name): one.uid for one in own_discounts},
    }
    missing = [
        wording.missing(f"spec[{index}].name", one.name)
        for index, one in enumerate(wanted)
        if (one.kind, one.name) not in standing
    ]
    if missing:
        raise Invalid(missing)
    return frozenset(standing[one.kind, one.name] for one in wanted)


# -------------------------------------------------------------------------------- promises that are supposed


def _commitments(reading: _Reading, own: list[Commitment]) -> tuple[Commitment, ...]:
    """Each as if it had been accepted: none may be about the same Skus as another that is in force then."""
    held = list(own)
    for index, one in enumerate(reading.spec.commitments):
        path = f"commitments[{index}]"
        found = _commitment(reading, one, index=index, path=path)
        if found is None:
            continue
        rivals = rules.rivals(found.promise, held)
        if rivals:
            message = (
                f'it may be about the same Skus at the same time as "{rivals[0].name}": leave that one out, make '
                "their selectors or terms differ, or let both stack with Best"
            )
            reading.faults.append(wording.forbidden(path, message))
        held.append(found)
    return tuple(held[len(own) :])


def _commitment(reading: _Reading, one: Supposed, *, index: int, path: str) -> Commitment | None:
    account, given = reading.account, one.spec
    if given is None:
        return reading.part(path, lambda: _offered(reading.tx, account, one.name))

    def read() -> Commitment:
        spec = read_spec(_COMMITMENT, {"billingAccountRef": {"name": account.name}, **given})
        assert isinstance(spec, promises.CommitmentSpec), "it is the kind's own model"
        _refuse(
            *promises.promise_faults(spec),
            *promises.currency_faults(spec, account),
            *_account_faults(spec.billing_account_ref.name, account),
        )
        return Commitment(
            uid=UUID(int=index + 1),
            namespace=account.namespace,
            name=one.name or f"supposed-{index + 1}",
            account=account.number,
            owner_org=account.owner_org,
            currency=account.currency,
            promise=promises.promised(spec),
        )

    return reading.part(f"{path}.spec", read)


def _offered(tx: Tx, account: Account, name: str | None) -> Commitment:
    """A commitment that was offered to the account and waits for its yes."""
    if name is None:
        raise Invalid([wording.required("spec.spec", "give a name, or a spec")])
    try:
        found, accepted = reads.get_commitment(tx, namespace=account.namespace, name=name)
    except CommitmentNotFound as error:
        raise Invalid([wording.missing("spec.name", name)]) from error
    if found.account != account.number:
        raise Invalid([wording.forbidden("spec.name", f'commitment "{name}" is of another account')])
    if accepted:
        raise Invalid(
            [wording.forbidden("spec.name", f'commitment "{name}" was accepted and counts already')]
        )
    return found


def _discounts(reading: _Reading) -> tuple[Discount, ...]:
    found = [_discount(reading, one, index=index) for index, one in enumerate(reading.spec.discounts)]
    return tuple(one for one in found if one is not None)


def _discount(reading: _Reading, one: Supposed, *, index: int) -> Discount | None:
    account, given, path = reading.account, one.spec, f"discounts[{index}]"
    # uids decide the order among discounts of one day, and nothing else here
    uid = UUID(int=index + 1)
    if given is None:
        return reading.part(path, lambda: _declared(reading.tx, account, one.name, uid=uid))

    def read() -> Discount:
        filled = {"billingAccountRef": {"name": account.name}, **given}
        if "amount" in given:
            filled = {"currencyCode": account.currency, **filled}
        spec = read_spec(_DISCOUNT, filled)
        assert isinstance(spec, discounts.DiscountSpec), "it is the kind's own model"
        _refuse(
            *discounts.discount_faults(spec),
            *discounts.currency_faults(spec, account),
            *_account_faults(spec.billing_account_ref.name, account),
        )
        return parse_discount(body_of(spec), uid=uid, name=one.name or f"supposed-{index + 1}")

    return reading.part(f"{path}.spec", read)


def _declared(tx: Tx, account: Account, name: str | None, *, uid: UUID) -> Discount:
    """The Discount of another account of the namespace, as if it were this one's."""
    if name is None:
        raise Invalid([wording.required("spec.spec", "give a name, or a spec")])
    found = reads.find_discount(tx, namespace=account.namespace, name=name)
    if found is None:
        raise Invalid([wording.missing("spec.name", name)])
    of, currency, discount = found
    if of == account.number:
        raise Invalid(
            [wording.forbidden("spec.name", f'discount "{name}" is the account\'s and counts already')]
        )
    if currency not in (None, account.currency):
        raise Invalid([wording.forbidden("spec.name", f'discount "{name}" is in {currency}')])
    return replace(discount, uid=uid)


def _refuse(*faults: FieldError) -> None:
    if faults:
        raise Invalid(faults)


def _account_faults(name: str, account: Account) -> Iterator[FieldError]:
    if name != account.name:
        message = f'the simulation is about billing account "{account.name}"'
        yield wording.invalid("spec.billingAccountRef.name", name, message)
