"""Entitlement: what an account may use, from when to when, and at which prices."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, TypeAlias

from pydantic import Field, StringConstraints
from typing_extensions import override

from milo_billing.accounts import operations as billing
from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.types import BILLING_SHARES, Account
from milo_billing.catalog import reads as catalog
from milo_billing.controlplane.kinds import (
    PROVIDER_ORG,
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
from milo_billing.entitlements.resources.offers import SERVICES_MAX, BookName, Name, ServiceName
from milo_billing.entitlements.resources.recurring_skus import (
    RECURRING_MAX,
    RecurringItem,
    item_errors,
    recurring_of,
    sku_errors,
)
from milo_billing.entitlements.rules import terms, wording
from milo_billing.entitlements.types import GROUP, EntitlementPhase, Term
from milo_billing.infra.clock import Clock
from milo_billing.infra.database import Tx
from milo_billing.kernel.errors import FieldError, Invalid
from milo_billing.kernel.periods import local_day

GRANT = f"{GROUP}/entitlements.grant"
"""Permission of the provider's staff to give what no published offer gives, and to let it begin in the past."""

Day: TypeAlias = Annotated[str, StringConstraints(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
Limit: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,18}$")]


class AccountName(Fields):
    """A billing account in the same namespace."""

    name: Name


class OfferName(Fields):
    """A published offer."""

    name: Name


class EntitlementSpec(Fields):
    """What is wanted of an entitlement. Only `endsAt`, `quantity` and `limits` may change."""

    billing_account_ref: AccountName
    offer_ref: OfferName | None = Field(
        default=None, description="The offer that was taken; either this or `services`."
    )
    services: list[ServiceName] = Field(
        default_factory=list[ServiceName],
        max_length=SERVICES_MAX,
        description="What may be used where no offer says it. Given by the provider's staff.",
    )
    price_book_ref: BookName | None = Field(
        default=None,
        description="The bookName of negotiated prices, which go before all others. Given by the provider's staff.",
    )
    starts_at: Day = Field(
        json_schema_extra={"format": "date"}, description="From local midnight of this date of the account."
    )
    ends_at: Day | None = Field(
        default=None,
        json_schema_extra={"format": "date"},
        description="Up to local midnight of this date, which is not one of its days any more.",
    )
    quantity: int = Field(
        default=1,
        ge=1,
        le=1_000_000_000,
        description="Seats, or how often it was taken. A change acts on the day of the account on which it is written.",
    )
    recurring: list[RecurringItem] = Field(
        default_factory=list[RecurringItem],
        max_length=RECURRING_MAX,
        description="What the account pays for again each interval, beside what its offer says. "
        "Given by the provider's staff.",
    )
    limits: dict[str, Limit] = Field(
        default_factory=dict[str, str],
        max_length=64,
        description="Most of something, for services to read in reviews. Given by the provider's staff.",
    )


class EntitlementStatus(Fields):
    """What is true of an entitlement."""

    phase: EntitlementPhase = "Scheduled"
    trial_ends_at: str | None = Field(
        default=None, description="The first date after the trial of its offer, where it has one."
    )
    conditions: Conditions = Field(default_factory=list[Condition])
    observed_generation: int = 0


EntitlementAdmission: TypeAlias = Admission[EntitlementSpec, EntitlementStatus]
EntitlementObject: TypeAlias = Object[EntitlementSpec, EntitlementStatus]


@dataclass(frozen=True, slots=True)
class EntitlementFacts:
    """The account's day, and how long the trial of the offer is."""

    today: date
    trial_days: int


class Entitlement(Kind[EntitlementSpec, EntitlementStatus]):
    """What an account may use, from when to when, and at which prices.

    Deleting one that has begun ends it today; what was charged under it stays explicable.
    """

    group = GROUP
    kind = "Entitlement"
    plural = "entitlements"
    singular = "entitlement"
    namespaced = True
    description = "What an account may use, from when to when, and at which prices."
    spec_model = EntitlementSpec
    status_model = EntitlementStatus
    columns = (
        Column("Phase", ".status.phase"),
        Column("Account", ".spec.billingAccountRef.name"),
        Column("Offer", ".spec.offerRef.name"),
        Column("Book", ".spec.priceBookRef.name", priority=1),
        Column("Starts", ".spec.startsAt"),
        Column("Ends", ".spec.endsAt"),
    )
    selectable = ("spec.billingAccountRef.name", "spec.offerRef.name", "status.phase")

    @override
    def validate(self, admission: EntitlementAdmission) -> Iterable[FieldError]:
        """Something to use and an account to use it, given by somebody who may; prices that there are."""
        spec, old = admission.object.spec, admission.old
        if old is not None and old.spec == spec:
            return
        term = _term(spec)
        if term is None:
            yield from _date_errors(spec)
            return
        yield from terms.term_errors(term)
        yield from item_errors(spec.recurring)
        granted = _is_granted(admission)
        yield from _grant_errors(spec, old=None if old is None else old.spec, granted=granted)
        if old is None:
            account = account_reads.find_account(
                admission.tx, namespace=admission.object.namespace, name=spec.billing_account_ref.name
            )
            yield from _ground_errors(admission, account)
            if account is not None:
                yield from terms.start_errors(
                    term,
                    today=local_day(admission.now, zone=account.time_zone),
                    billed_until=_billed_until(admission.tx, account),
                    may_backdate=granted,
                    permission=GRANT,
                )
            return
        yield from _change_errors(old.spec, spec)
        before = _term(old.spec)
        assert before is not None, "what stands was validated"
        yield from terms.end_errors(before, term, today=_today(admission.tx, admission.object, admission.now))

    @override
    def gather(
        self,
        tx: Tx,
        object: EntitlementObject,
        old: EntitlementObject | None,
        *,
        now: datetime,
        clock: Clock,
    ) -> EntitlementFacts:
        """The account's day, and the trial of the offer. Raises Invalid where the offer has gone meanwhile."""
        ref, trial_days = object.spec.offer_ref, 0
        if ref is not None:
            if old is None:
                store.hold_offer(tx, name=ref.name)
            offer = reads.find_offer(tx, name=ref.name)
            if offer is None and old is None:
                raise Invalid([wording.missing("spec.offerRef.name", ref.name)])
            trial_days = 0 if offer is None else offer.trial_days
        return EntitlementFacts(_today(tx, object, now), trial_days)

    @override
    def reconcile(
        self, object: EntitlementObject, facts: EntitlementFacts, *, now: datetime
    ) -> EntitlementStatus:
        """The phase that the account's day says."""
        term = _known_term(object)
        phase = terms.phase_on(term, today=facts.today)
        messages = {
            "Active": "What it covers may be used.",
            "Scheduled": f"It starts on {term.starts_on}.",
            "Ended": f"It ended on {term.ends_on}.",
        }
        trial = terms.trial_ends_on(term, trial_days=facts.trial_days)
        return EntitlementStatus(
            phase=phase,
            trial_ends_at=None if trial is None else trial.isoformat(),
            conditions=set_condition(
                object.status.conditions,
                type="Active",
                status="True" if phase == "Active" else "False",
                reason=phase,
                message=messages[phase],
                observed_generation=object.generation,
                now=now,
            ),
            observed_generation=object.generation,
        )

    @override
    def project(
        self, tx: Tx, object: EntitlementObject, old: EntitlementObject | None, *, now: datetime
    ) -> None:
        """entitlements.entitlements: written once, then ended; and what the day leaves known of it."""
        spec, term = object.spec, _known_term(object)
        if old is not None:
            today = _today(tx, object, now)
            if object.deleted:
                term = terms.ended_now(term, today=today)
            store.update_entitlement(
                tx,
                uid=object.uid,
                ends_on=term.ends_on,
                quantity=spec.quantity,
                limits=spec.limits,
                phase="Ended" if object.deleted else object.status.phase,
                deleted_at=now if object.deleted else None,
            )
            _revise(tx, object, today=today)
            return
        account = account_reads.find_account(
            tx, namespace=object.namespace, name=spec.billing_account_ref.name
        )
        if account is None:
            raise Invalid([wording.missing("spec.billingAccountRef.name", spec.billing_account_ref.name)])
        offer = None if spec.offer_ref is None else reads.find_offer(tx, name=spec.offer_ref.name)
        store.insert_entitlement(
            tx,
            uid=object.uid,
            owner_org=object.owner_org,
            namespace=object.namespace,
            name=object.name,
            account=account.number,
            offer=None if offer is None else offer.number,
            services=[service.name for service in spec.services],
            book=None if spec.price_book_ref is None else spec.price_book_ref.name,
            recurring=recurring_of(spec.recurring),
            term=term,
            quantity=spec.quantity,
            limits=spec.limits,
            phase=object.status.phase,
        )
        _revise(tx, object, today=local_day(now, zone=account.time_zone))


def _revise(tx: Tx, object: EntitlementObject, *, today: date) -> None:
    """Keep what is known from tomorrow on. An invoice that carries tomorrow waits for this, or this one for it."""
    if reads.is_revised(tx, uid=object.uid):
        return
    number = reads.get_account_of(tx, uid=object.uid)
    billing.hold_billing_shared(tx, shares={number % BILLING_SHARES})
    store.put_revision(tx, uid=object.uid, today=today)


def _term(spec: EntitlementSpec) -> Term | None:
    """The days it holds on; None where one of the dates is none of the calendar."""
    starts_on = terms.parse_day(spec.starts_at)
    ends_on = None if spec.ends_at is None else terms.parse_day(spec.ends_at)
    if starts_on is None or (spec.ends_at is not None and ends_on is None):
        return None
    return Term(starts_on, ends_on)


def _known_term(object: EntitlementObject) -> Term:
    term = _term(object.spec)
    if term is None:
        raise ValueError(f"entitlement {object.namespace}/{object.name} has a date that is none")
    return term


def _date_errors(spec: EntitlementSpec) -> Iterator[FieldError]:
    for path, text in (("startsAt", spec.starts_at), ("endsAt", spec.ends_at)):
        if text is not None and terms.parse_day(text) is None:
            yield wording.invalid(f"spec.{path}", text, "is not a date of the calendar")


def _today(tx: Tx, object: EntitlementObject, now: datetime) -> date:
    """The day of the account's zone."""
    zone = reads.find_time_zone(tx, uid=object.uid)
    if zone is None:  # it is being created
        name = object.spec.billing_account_ref.name
        account = account_reads.find_account(tx, namespace=object.namespace, name=name)
        if account is None:
            raise Invalid([wording.missing("spec.billingAccountRef.name", name)])
        zone = account.time_zone
    return local_day(now, zone=zone)


def _billed_until(tx: Tx, account: Account) -> date | None:
    until = account_reads.find_billed_until(tx, account=account.number)
    return None if until is None else local_day(until, zone=account.time_zone)


def _is_granted(admission: EntitlementAdmission) -> bool:
    """Whether the caller is staff: an administrator of the organization itself holds everything, but only there."""
    reach = admission.authorizer.reach(admission.tx, admission.identity, GRANT)
    return reach == "*" or PROVIDER_ORG in reach


def _grant_errors(
    spec: EntitlementSpec, *, old: EntitlementSpec | None, granted: bool
) -> Iterator[FieldError]:
    """Nobody gives terms to himself: only what a published offer gives can be taken without being staff."""
    if granted:
        return
    for path, given in (
        ("services", spec.services),
        ("priceBookRef", spec.price_book_ref),
        ("recurring", spec.recurring),
        ("limits", spec.limits or (old is not None and old.limits)),
    ):
        if given:
            yield wording.forbidden(f"spec.{path}", f"only the provider gives it: it needs {GRANT}")


def _ground_errors(admission: EntitlementAdmission, account: Account | None) -> Iterator[FieldError]:
    """What a new entitlement refers to: the account, the offer or services, the book."""
    tx, spec = admission.tx, admission.object.spec
    if account is None:
        yield wording.missing("spec.billingAccountRef.name", spec.billing_account_ref.name)
    elif account.phase == "Archived":
        yield wording.forbidden(
            "spec.billingAccountRef.name", f'billing account "{account.name}" is archived'
        )
    if (spec.offer_ref is None) == (not spec.services):
        yield wording.required("spec.offerRef", "exactly one of offerRef and services says what may be used")
    if spec.offer_ref is not None:
        offer = reads.find_offer(tx, name=spec.offer_ref.name)
        if offer is None:
            yield wording.missing("spec.offerRef.name", spec.offer_ref.name)
        elif offer.phase != "Published":
            yield wording.invalid("spec.offerRef.name", spec.offer_ref.name, "is a draft: publish it first")
    for index, service in enumerate(spec.services):
        if not catalog.has_service(tx, name=service.name):
            yield wording.missing(f"spec.services[{index}].name", service.name)
    yield from sku_errors(tx, spec.recurring)
    book = spec.price_book_ref
    if book is not None and not catalog.is_book_published(
        tx,
        book_name=book.name,
        roles=("Negotiated",),
        owner_orgs=(PROVIDER_ORG, admission.object.owner_org),
    ):
        message = (
            "must be the bookName of a published Negotiated book of the provider or of this organization"
        )
        yield wording.invalid("spec.priceBookRef.name", book.name, message)


def _change_errors(before: EntitlementSpec, after: EntitlementSpec) -> Iterator[FieldError]:
    for path, old, new in (
        ("billingAccountRef", before.billing_account_ref, after.billing_account_ref),
        ("offerRef", before.offer_ref, after.offer_ref),
        ("services", before.services, after.services),
        ("priceBookRef", before.price_book_ref, after.price_book_ref),
        ("recurring", before.recurring, after.recurring),
        ("startsAt", before.starts_at, after.starts_at),
    ):
        if old != new:
            yield wording.forbidden(f"spec.{path}", f"{path} is immutable; end this one and declare another")
