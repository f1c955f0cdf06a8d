"""CreditGrant: credit that the provider's staff grants to an account, and what became of it."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Annotated, Any, Final, TypeAlias

from pydantic import Field, StringConstraints
from typing_extensions import override

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.types import Account
from milo_billing.catalog import operations as catalog
from milo_billing.catalog.types import LabelOperator
from milo_billing.controlplane.kinds import Admission, Column, Condition, Fields, Kind, Object, set_condition
from milo_billing.controlplane.statuses import already_exists
from milo_billing.infra.clock import Clock
from milo_billing.infra.database import Tx
from milo_billing.invoicing.engine.granting import WantedGrant
from milo_billing.invoicing.operations import buying, granting
from milo_billing.invoicing.operations.office import Pen
from milo_billing.invoicing.reads import grants as grant_reads
from milo_billing.invoicing.rules import bought_credit, requests
from milo_billing.invoicing.rules import grants as rules
from milo_billing.invoicing.rules.grants import Grant, GrantKind, GrantPhase, TaxAt, UnableToGrant
from milo_billing.invoicing.types.drafts import GROUP
from milo_billing.invoicing.types.errors import UnableToIssue
from milo_billing.kernel.errors import Conflict, FieldError
from milo_billing.kernel.money import minor_to_decimal

PRIORITY_MAX: Final = 1000

_INSTANT: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z$"
Instant: TypeAlias = Annotated[
    str, StringConstraints(pattern=_INSTANT), Field(json_schema_extra={"format": "date-time"})
]


class GrantAccount(Fields):
    """A billing account of the same namespace."""

    name: str = Field(min_length=1, max_length=253)


class GrantLabelDemand(Fields):
    """One demand on a label of a Sku, as in Kubernetes."""

    key: str = Field(min_length=1, max_length=253)
    op: LabelOperator
    values: list[Annotated[str, StringConstraints(max_length=63)]] = Field(
        default_factory=list[str], max_length=100, description="With In and NotIn only."
    )


class GrantSelector(Fields):
    """Skus that meet every demand and for which the expression is true; with neither, every Sku."""

    match_labels: list[GrantLabelDemand] = Field(default_factory=list[GrantLabelDemand], max_length=20)
    cel: str | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        description="CEL over labels, name, service and meter, for example labels.family == 'gpu'.",
    )


class CreditGrantSpec(Fields):
    """What is granted. Immutable."""

    billing_account_ref: GrantAccount
    kind: GrantKind = Field(
        description="Prepaid: the customer's money, pays taxed invoices. Promotional: a discount before tax. "
        "Goodwill: a credit note against the invoice that uses it."
    )
    amount: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,15}(\.[0-9]{1,30})?$")] = Field(
        description="A decimal string, rounded once to the currency. Of Promotional and Goodwill, and with taxAt "
        "Purchase, before tax."
    )
    currency_code: Annotated[str, StringConstraints(pattern="^[A-Z]{3}$")] = Field(
        description="The account's."
    )
    priority: int = Field(
        default=100, ge=0, le=PRIORITY_MAX, description="Within a kind the lowest is used first."
    )
    effective_from: Instant | None = Field(
        default=None,
        description="Invoices issued from this instant on may use it; without one, at once. RFC 3339 in UTC.",
    )
    expires_at: Instant | None = Field(
        default=None,
        description="From this instant on no invoice uses it, and what is left lapses; without one, never.",
    )
    sku_selectors: list[GrantSelector] = Field(
        default_factory=list[GrantSelector],
        max_length=20,
        description="It pays for the Skus that any of them selects; without any, for everything on an invoice.",
    )
    tax_at: TaxAt = Field(
        default="Use",
        description="When tax is due on what prepaid credit buys. Use: with the invoice that uses it. Purchase: at "
        "once, by an invoice over the credit and its tax, as the law asks for single-purpose vouchers; then the "
        "amount is before tax, and what it pays for is not taxed again.",
    )
    tax_category: str | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="With taxAt Purchase: the tax category of what it buys, standard where nothing is said. It pays "
        "for lines of that category.",
    )
    received_into: Annotated[str, StringConstraints(pattern="^([A-Za-z0-9][A-Za-z0-9-]{0,62})?$")] = Field(
        default="",
        description="Prepaid only: the account at a bank that the money came to, and that no statement tells of. "
        "Without one the money is taken from what the billing account has already.",
    )
    display_name: str | None = Field(
        default=None, min_length=1, max_length=128, description="What invoices call it."
    )
    reason: str = Field(
        min_length=1, max_length=1024, description="Why; goodwill prints it on the credit note."
    )


class CreditGrantStatus(Fields):
    """What became of it. Amounts are decimal strings with exactly the currency's digits."""

    phase: GrantPhase = "Active"
    granted: str = ""
    remaining: str = ""
    used: str = Field(default="", description="By invoices, less what came back of void and credited ones.")
    expired: str = ""
    revoked: str = ""
    issuer: str = Field(default="", description="In whose books the money of prepaid credit lies.")
    granted_at: str = ""
    invoice_number: str = Field(
        default="", description="Of the invoice by which it was bought, where it was taxed at purchase."
    )
    conditions: list[Condition] = Field(default_factory=list[Condition])


GrantObject: TypeAlias = Object[CreditGrantSpec, CreditGrantStatus]
GrantAdmission: TypeAlias = Admission[CreditGrantSpec, CreditGrantStatus]


class GrantRules(Kind[CreditGrantSpec, CreditGrantStatus]):
    """Credit of an account. It is granted in the transaction that creates it; what became of it are its movements.

    The kind itself, in `kinds`, adds the invoice by which it was bought. `pen` writes that; a registry that only
    describes the kinds has none.
    """

    def __init__(self, *, pen: Pen | None = None) -> None:
        self._pen = pen

    group = GROUP
    kind = "CreditGrant"
    plural = "creditgrants"
    singular = "creditgrant"
    short_names = ("credit",)
    namespaced = True
    description = (
        "Credit of a billing account: prepaid money, a promotion, or goodwill, with an order and an expiry."
    )
    spec_model = CreditGrantSpec
    status_model = CreditGrantStatus
    columns = (
        Column("Account", ".spec.billingAccountRef.name"),
        Column("Kind", ".spec.kind"),
        Column("Remaining", ".status.remaining"),
        Column("Granted", ".status.granted"),
        Column("Currency", ".spec.currencyCode"),
        Column("Phase", ".status.phase"),
        Column("Expires", ".spec.expiresAt"),
    )
    selectable = ("spec.billingAccountRef.name", "spec.kind", "status.phase")
    actions = ("revoke",)
    # nobody grants credit to himself
    provider_only = frozenset(
        {"create", "update", "patch", "delete", "deletecollection", "updateStatus", "revoke"}
    )

    @override
    def validate(self, admission: GrantAdmission) -> Iterable[FieldError]:
        """A credit that can be computed, of an account that there is, in its currency; no change afterwards."""
        new, old = admission.object, admission.old
        if old is not None:
            if new.spec != old.spec:
                yield FieldError("spec", "FieldValueInvalid", 'Invalid value: "object": spec is immutable')
            return
        faults = [*_faults(new.spec, now=admission.now)]
        yield from faults
        name = new.spec.billing_account_ref.name
        account = account_reads.find_account(admission.tx, namespace=new.namespace, name=name)
        if account is None:
            yield FieldError("spec.billingAccountRef.name", "FieldValueNotFound", f'Not found: "{name}"')
            return
        if account.phase == "Archived":
            message = f'Forbidden: billing account "{name}" is archived and read-only'
            yield FieldError("spec.billingAccountRef.name", "FieldValueForbidden", message)
        if new.spec.currency_code != account.currency:
            yield _invalid("spec.currencyCode", f'billing account "{name}" is in {account.currency}')
            return
        if not faults:
            yield from self._money_faults(admission.tx, new, account, now=admission.now)

    @override
    def validate_delete(self, admission: GrantAdmission) -> None:
        """Raise Conflict: what was granted stays."""
        raise Conflict(
            f'CreditGrant "{admission.object.name}" was granted and stays: revoke what is left of it instead'
        )

    @override
    def act(self, admission: GrantAdmission, *, action: str, request: dict[str, Any]) -> CreditGrantStatus:
        """revoke, with a reason. The status follows from the row (`reconcile`)."""
        reason = requests.parse_reason(request)
        granting.revoke_credit(admission.tx, uid=admission.object.uid, reason=reason, now=admission.now)
        return admission.object.status

    @override
    def gather(
        self, tx: Tx, object: GrantObject, old: GrantObject | None, *, now: datetime, clock: Clock
    ) -> Grant:
        """The grant's row; granted here when it is created."""
        found = grant_reads.find_grant(tx, uid=object.uid)
        if found is not None:
            return found
        if grant_reads.is_grant_name_taken(tx, namespace=object.namespace, name=object.name):
            raise already_exists(self, object.name)
        account = account_reads.find_account(
            tx, namespace=object.namespace, name=object.spec.billing_account_ref.name
        )
        assert account is not None, "validated in this transaction"
        wanted = _wanted(object, account, now=now)
        if wanted.tax_at == "Purchase":
            return buying.buy_credit(tx, self._inked(), wanted, now=now)
        return granting.grant_credit(tx, wanted, now=now)

    @override
    def reconcile(self, object: GrantObject, facts: Grant, *, now: datetime) -> CreditGrantStatus:
        """What the row says, and whether an invoice that is issued now would use it."""

        def shown(minor: int) -> str:
            return str(minor_to_decimal(minor, facts.currency))

        phase = rules.phase_of(facts, now=now)
        status, reason, message = rules.condition_of(phase)
        conditions = set_condition(
            object.status.conditions,
            type="Usable",
            status=status,
            reason=reason,
            message=message,
            observed_generation=1,
            now=now,
        )
        return CreditGrantStatus(
            phase=phase,
            granted=shown(facts.amount_minor),
            remaining=shown(facts.remaining_minor),
            used=shown(facts.used_minor),
            expired=shown(facts.expired_minor),
            revoked=shown(facts.revoked_minor),
            issuer=facts.issuer,
            granted_at=f"{facts.granted_at:%Y-%m-%dT%H:%M:%SZ}",
            invoice_number=facts.bought_number,
            conditions=list(conditions),
        )

    def _money_faults(
        self, tx: Tx, grant: GrantObject, account: Account, *, now: datetime
    ) -> Iterator[FieldError]:
        if grant.spec.kind != "Prepaid":
            return
        wanted = _wanted(grant, account, now=now)
        try:
            if wanted.tax_at == "Purchase":
                buying.check_purchase(tx, self._inked(), wanted, now=now)
            else:
                granting.check_funds(tx, wanted)
        except UnableToGrant as error:
            yield _invalid("spec.amount", str(error))
        except UnableToIssue as error:
            yield _invalid("spec.taxAt", str(error))

    def _inked(self) -> Pen:
        if self._pen is None:
            raise AssertionError("only a registry of a server writes invoices: build it with a pen")
        return self._pen


def _faults(spec: CreditGrantSpec, *, now: datetime) -> Iterator[FieldError]:
    """What is wrong with a credit by itself."""
    try:
        rules.amount_minor(spec.amount, currency=spec.currency_code)
    except UnableToGrant as error:
        yield _invalid("spec.amount", str(error))
    except ValueError as error:
        yield _invalid("spec.currencyCode", str(error))
    for field, text in (("spec.effectiveFrom", spec.effective_from), ("spec.expiresAt", spec.expires_at)):
        try:
            _instant(text)
        except ValueError:
            yield _invalid(field, f"{text} is no instant")
            return
    expires_at = _instant(spec.expires_at)
    if expires_at is not None and expires_at <= max(_instant(spec.effective_from) or now, now):
        yield _invalid("spec.expiresAt", "the credit would have expired before it could be used")
    if spec.received_into and spec.kind != "Prepaid":
        yield FieldError(
            "spec.receivedInto", "FieldValueForbidden", f"Forbidden: nobody pays for {spec.kind} credit"
        )
    if spec.tax_at == "Purchase" and spec.kind != "Prepaid":
        yield FieldError(
            "spec.taxAt",
            "FieldValueForbidden",
            f"Forbidden: nobody buys {spec.kind} credit; say Use, or nothing",
        )
    if spec.tax_category is not None and spec.tax_at != "Purchase":
        message = "Forbidden: what uses the credit is taxed by its Sku; only with taxAt Purchase the credit is taxed"
        yield FieldError("spec.taxCategory", "FieldValueForbidden", message)
    yield from catalog.check_selectors(rules.parse_selectors(_selectors(spec)), path="spec.skuSelectors")


def _wanted(grant: GrantObject, account: Account, *, now: datetime) -> WantedGrant:
    spec = grant.spec
    return WantedGrant(
        uid=grant.uid,
        namespace=grant.namespace,
        name=grant.name,
        account=account,
        kind=spec.kind,
        amount_minor=rules.amount_minor(spec.amount, currency=spec.currency_code),
        priority=spec.priority,
        effective_from=_instant(spec.effective_from) or now,
        expires_at=_instant(spec.expires_at),
        title=spec.display_name or grant.name,
        reason=spec.reason,
        selectors=_selectors(spec),
        received_into=spec.received_into,
        tax_at=spec.tax_at,
        tax_category=(spec.tax_category or bought_credit.STANDARD) if spec.tax_at == "Purchase" else "",
    )


def _selectors(spec: CreditGrantSpec) -> list[dict[str, Any]]:
    return [one.model_dump(mode="json", by_alias=True, exclude_none=True) for one in spec.sku_selectors]


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _invalid(field: str, message: str) -> FieldError:
    return FieldError(field, "FieldValueInvalid", f"Invalid value: {message}")
