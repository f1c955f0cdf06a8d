"""What a provider of payments is asked and what it answers; what stands in this slice's tables; its errors.

Money is integers of minor units and a currency. No value here can hold a card number: a payment method is a
reference of its provider, with brand, last four digits and expiry.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final, Literal, TypeAlias
from uuid import UUID

from milo_billing.kernel.errors import BadRequest, Conflict, NotFound, Unauthenticated
from milo_billing.kernel.money import Money, minor_to_decimal

GROUP: Final = "billing.miloapis.com"

PaymentPhase: TypeAlias = Literal["Pending", "Succeeded", "Failed", "Refunded"]
AttemptState: TypeAlias = Literal["Open", "Processing", "ActionRequired", "Succeeded", "Declined"]
"""Open: the provider is being asked, or did not answer yet. Succeeded and Declined are for good."""

RefundState: TypeAlias = Literal["Open", "Processing", "Succeeded", "Failed"]
RefundSource: TypeAlias = Literal["Invoice", "UnappliedCash", "MoneyOnAccount"]
MethodKind: TypeAlias = Literal["Card", "BankAccount"]

STANDING_STATES: Final[frozenset[AttemptState]] = frozenset({"Open", "Processing", "ActionRequired"})
"""An invoice has one attempt in one of these at most: nobody asks for the money twice at once."""


class PaymentNotFound(NotFound):
    """There is no such payment, or not for the caller."""


class UnableToRefund(Conflict):
    """The payment, or what the account has on account, does not allow this refund. The message says what to do."""


class UnableToSetUp(Conflict):
    """The class of a payment method lacks what its provider needs. The message says what to do."""


class WebhookRefused(Unauthenticated):
    """Not signed by the provider, or too long ago."""


class UnreadableWebhook(BadRequest):
    """Signed, and yet not what the provider sends."""


# ------------------------------------------------------------------------------------- what a provider is asked


@dataclass(frozen=True, slots=True)
class PaymentRequest:
    """Charge `amount` to a payment method, its owner absent.

    `key` is derived from (invoice, attempt): the provider answers the same key with the same payment. `customer` and
    `method` are the provider's references.
    """

    key: str
    amount: Money
    customer: str
    method: str
    method_kind: MethodKind
    description: str = ""
    asked_at: datetime | None = None
    """When it was asked first, for who has to look it up; no part of what is charged."""


@dataclass(frozen=True, slots=True)
class RefundRequest:
    """Give back `amount` of the payment that the provider calls `payment`; in parts, each with a key of its own."""

    key: str
    payment: str
    amount: Money


@dataclass(frozen=True, slots=True)
class SetupRequest:
    """Make a payment method fit to be charged while its owner is absent.

    `customer` and `reference` are what an earlier answer said, empty at first. `token` is how the provider calls the
    method, empty where its owner still has to enter it at the provider.
    """

    key: str
    account: str
    customer: str = ""
    reference: str = ""
    token: str = ""


# ----------------------------------------------------------------------------------------- what a provider answers


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The money is there. `amount` may be other than what was asked for."""

    reference: str
    amount: Money


@dataclass(frozen=True, slots=True)
class Processing:
    """It will be decided later; a webhook says so."""

    reference: str


@dataclass(frozen=True, slots=True)
class ActionRequired:
    """The owner of the method has to confirm it at the provider."""

    reference: str


@dataclass(frozen=True, slots=True)
class Declined:
    """Nothing was charged. `hard`: asking again with the same method is of no use, and may be held against us.

    `reference` is empty where the provider keeps no payment for it.
    """

    reference: str
    code: str
    message: str
    hard: bool


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody can say what became of it: ask again, with the same key."""

    reason: str


PaymentResult: TypeAlias = Succeeded | Processing | ActionRequired | Declined | Unknown


@dataclass(frozen=True, slots=True)
class Refunded:
    """The money is on its way back."""

    reference: str
    amount: Money


@dataclass(frozen=True, slots=True)
class RefundProcessing:
    """It will be decided later; a webhook says so."""

    reference: str


@dataclass(frozen=True, slots=True)
class RefundFailed:
    """Nothing was given back."""

    reference: str
    code: str
    message: str


RefundResult: TypeAlias = Refunded | RefundProcessing | RefundFailed | Unknown


DisputeState: TypeAlias = Literal["Inquiry", "Open", "Won", "Lost"]
"""Inquiry: the bank asks, the money stays. Open: the money was taken back and the case runs. Won and Lost are for good,
but a provider that says otherwise later is believed."""


@dataclass(frozen=True, slots=True)
class Dispute:
    """How a provider says that a dispute, or the return of a debit, stands. `payment` is its name of the payment.

    `amount` is what is disputed, in the payment's currency; what the provider charges for it is a fee, and not in it.
    """

    reference: str
    payment: str
    amount: Money
    state: DisputeState
    reason: str


PayoutState: TypeAlias = Literal["Pending", "Paid", "Failed"]
"""Pending: on its way to the bank. Failed: it came back to the provider, perhaps after it was Paid."""

PayoutItemKind: TypeAlias = Literal["Payment", "Refund", "Dispute", "Fee", "Payout", "Other"]
"""What a provider put into a payout. Payout is an earlier one that failed; Other is none of these."""


@dataclass(frozen=True, slots=True)
class PayoutItem:
    """One movement of the money at a provider. Positive amounts came in; `fee` is what the provider kept of it.

    `payment` is the provider's name of the payment that it is about, of an earlier payout where it is a Payout. A Fee
    is about none, and its amount is zero.
    """

    reference: str
    kind: PayoutItemKind
    payment: str
    amount: Money
    fee: Money


@dataclass(frozen=True, slots=True)
class Payout:
    """What a provider sends to the bank, and what it is made of: all amounts less all fees.

    `bank_account` is what is told of where it goes, such as its last four digits; `trace` what the bank statement says.
    """

    reference: str
    amount: Money
    state: PayoutState
    arrives_on: date
    bank_account: str
    trace: str
    items: tuple[PayoutItem, ...]


@dataclass(frozen=True, slots=True)
class CardDetails:
    """All that may be known of a card; `expiry` is YYYY-MM."""

    brand: str
    last4: str
    expiry: str


@dataclass(frozen=True, slots=True)
class BankAccountDetails:
    """All that may be known of a bank account. Parts that the provider does not tell are empty."""

    last4: str
    bank_name: str = ""
    country: str = ""


@dataclass(frozen=True, slots=True)
class MethodReady:
    """The method can be charged from now on, under these references."""

    customer: str
    method: str
    details: CardDetails | BankAccountDetails


@dataclass(frozen=True, slots=True)
class MethodAwaiting:
    """Its owner has to confirm it at the provider. `client_secret` is for the owner's browser, and is not kept."""

    customer: str
    reference: str
    client_secret: str = field(repr=False, default="")


@dataclass(frozen=True, slots=True)
class MethodFailed:
    """The method cannot be charged; `customer` is empty where none was made."""

    customer: str
    code: str
    message: str


SetupResult: TypeAlias = MethodReady | MethodAwaiting | MethodFailed | Unknown

Subject: TypeAlias = Literal["payment", "refund", "method", "dispute", "payout", "other"]


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """What a verified webhook is about. Its content is not believed: whoever applies it asks the provider.

    `reference` is the provider's name of the subject, `key` ours, empty where it does not say.
    """

    id: str
    type: str
    subject: Subject
    reference: str
    key: str


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """How a class of payment methods reaches its provider. `secrets` are never shown, logged or returned."""

    name: str
    provider: str
    parameters: Mapping[str, str]
    secrets: Mapping[str, str] = field(repr=False, default_factory=dict[str, str])


# ------------------------------------------------------------------------------------------- what stands in tables


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request for the money of an invoice, numbered from 1 within the invoice, written before anybody is asked.

    `calls` counts how often the provider was asked; one that was declined without a call was withdrawn. `day` is the
    date on which the attempt was opened, UTC. `code` and `hard` are of a decline.
    """

    invoice: UUID
    number: int
    payment: UUID
    owner_org: int
    key: str
    class_uid: UUID
    method: UUID
    amount_minor: int
    currency: str
    state: AttemptState
    calls: int
    reference: str
    code: str
    message: str
    hard: bool
    at: datetime
    called_at: datetime | None
    answered_at: datetime | None

    @property
    def day(self) -> date:
        return self.at.date()

    @property
    def amount(self) -> Money:
        return Money(self.amount_minor, self.currency)

    @property
    def is_withdrawn(self) -> bool:
        """Whether nobody was asked, since less is due than it was opened for."""
        return self.state == "Declined" and not self.calls


@dataclass(frozen=True, slots=True)
class Payment:
    """Money that an account pays: collected for an invoice by attempts, or come in by itself (`invoice` None).

    `amount_minor` is what was asked for last, and once it has succeeded what came. `refunded_minor` includes refunds
    under way; `disputed_minor` was taken back by whoever paid.
    """

    uid: UUID
    owner_org: int
    namespace: str
    name: str
    account: int
    account_name: str
    entity: str
    invoice: UUID | None
    invoice_name: str
    method_name: str
    provider: str
    currency: str
    amount_minor: int
    refunded_minor: int
    phase: PaymentPhase
    reference: str
    failure: str
    attempts: int
    next_attempt_on: date | None
    created_at: datetime
    decided_at: datetime | None
    disputed_minor: int = 0

    @property
    def amount(self) -> Money:
        return Money(self.amount_minor, self.currency)

    def decimal(self, minor: int) -> str:
        """An amount of this payment as people read it."""
        return str(minor_to_decimal(minor, self.currency))


@dataclass(frozen=True, slots=True)
class Refund:
    """Money given back of a payment, in parts numbered from 1.

    `source` is what it comes out of: an Invoice is owed again; else what the account has with us gets less.
    """

    payment: UUID
    number: int
    owner_org: int
    key: str
    amount_minor: int
    currency: str
    source: RefundSource
    reason: str
    state: RefundState
    calls: int
    reference: str
    message: str
    at: datetime
    called_at: datetime | None
    answered_at: datetime | None

    @property
    def amount(self) -> Money:
        return Money(self.amount_minor, self.currency)


@dataclass(frozen=True, slots=True)
class MethodOnFile:
    """A payment method of an account as its provider knows it: `customer` and `token` are the provider's references."""

    uid: UUID
    class_uid: UUID
    customer: str
    reference: str
    token: str
    kind: MethodKind | None


# --------------------------------------------------------------------------------------------- what collecting says

CollectState: TypeAlias = Literal["opened", "standing", "waiting", "stopped", "settled"]
"""opened: the provider is being asked. standing: it was before. waiting: for the day of the next try. stopped: only a
new method, or somebody's word, tries again. settled: nothing was due, or it was paid from what is on account."""


@dataclass(frozen=True, slots=True)
class Collected:
    """What collecting did with one invoice; `invoice` is its name."""

    namespace: str
    invoice: str
    state: CollectState
    payment: str
    amount: Money
    reason: str


# ----------------------------------------------------------------------------------------------- bank statements

STATEMENT_BYTES_MAX: Final = 16 * 1024 * 1024
"""Of one file of bank statements."""

STATEMENT_ENTRIES_MAX: Final = 50_000
"""Entries of one statement; a bank splits a busier day into several."""


class UnreadableStatement(BadRequest):
    """A file of bank statements that is refused as a whole; the message says where and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class BankEntry:
    """One movement of a bank account, as the statement tells it. Texts that the bank did not give are empty.

    `position` counts from 1 within the statement; the transactions of a booked batch are entries of their own where
    the bank gives their amounts. `amount_minor` is positive; `credit` says that it came in. `reversal` says that it
    takes an earlier entry back, `return_reason` why (an ISO 20022 external code such as AC04). `references` are the
    structured creditor references as they were sent, `remittance` is the free text to the payee.
    """

    position: int
    amount_minor: int
    credit: bool
    reversal: bool
    booked_on: date
    valued_on: date
    bank_reference: str = ""
    end_to_end_id: str = ""
    mandate: str = ""
    references: tuple[str, ...] = ()
    remittance: str = ""
    counterparty_name: str = ""
    counterparty_iban: str = ""
    return_reason: str = ""

    @property
    def signed_minor(self) -> int:
        """What the entry does to the balance."""
        return self.amount_minor if self.credit else -self.amount_minor


@dataclass(frozen=True, slots=True)
class BankStatement:
    """One account over some days: the balance before, every booked entry, the balance after.

    Balances are signed minor units of `currency`, an overdraft negative. `account` is the IBAN, or how else the bank
    names it. `format` is the message as the bank calls it, such as camt.053.001.08.
    """

    format: str
    account: str
    statement_id: str
    sequence: str
    currency: str
    opening_minor: int
    closing_minor: int
    opened_on: date
    closed_on: date
    entries: tuple[BankEntry, ...]


StatementReader: TypeAlias = Callable[[bytes], tuple[BankStatement, ...]]
"""Reads a file of statements in any format that is known. Raises UnreadableStatement."""


# ------------------------------------------------------------------------------------------------- direct debit

MandateScheme: TypeAlias = Literal["CORE", "B2B"]
DebitSequence: TypeAlias = Literal["FRST", "RCUR"]
"""The first collection under a mandate, or a later one."""


@dataclass(frozen=True, slots=True)
class Creditor:
    """Who collects: name, account and SEPA creditor identifier of an issuer. `bic` may be empty."""

    name: str
    iban: str
    bic: str
    creditor_id: str


@dataclass(frozen=True, slots=True)
class DebitOrder:
    """One collection: so many cents from the debtor's account, under its mandate. `bic` may be empty."""

    end_to_end_id: str
    amount_minor: int
    mandate: str
    signed_on: date
    scheme: MandateScheme
    sequence: DebitSequence
    debtor: str
    iban: str
    bic: str
    text: str


@dataclass(frozen=True, slots=True)
class DebitFile:
    """What a bank is asked to collect in euro on one day; the same value gives the same bytes."""

    message_id: str
    created_at: datetime
    creditor: Creditor
    collect_on: date
    debits: tuple[DebitOrder, ...]


@dataclass(frozen=True, slots=True)
class DebitRefusal:
    """A debit that a bank refused before its day, or a whole file where `end_to_end_id` is empty."""

    message_id: str
    end_to_end_id: str
    reason: str


RefusalReader: TypeAlias = Callable[[bytes], tuple[DebitRefusal, ...]]
"""Reads a bank's answer to a file of debits. Raises UnreadableStatement."""

DebitWriter: TypeAlias = Callable[[DebitFile], bytes]
"""Writes a file as banks take it. Raises ValueError for what the schema of the format refuses."""
