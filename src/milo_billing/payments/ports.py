"""What collection needs of a provider of payments. Adapters implement it; one suite of tests tries each.

Every method may be called twice with the same request, by two processes, and at any time after the first call: the key
says that it is the same wish. None raises for what a provider says or for a provider that is away: `Unknown` means that
nobody can tell, so the caller asks again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol, TypeAlias

from milo_billing.payments.types import (
    Dispute,
    PaymentRequest,
    PaymentResult,
    Payout,
    ProviderConfig,
    ProviderEvent,
    RefundRequest,
    RefundResult,
    SetupRequest,
    SetupResult,
    Unknown,
)


class PaymentProvider(Protocol):
    """Where money is collected from."""

    def create_payment(self, request: PaymentRequest) -> PaymentResult:
        """Charge the method, once for each key."""
        ...

    def find_payment(self, request: PaymentRequest) -> PaymentResult | None:
        """What became of an earlier request with this key; None where the provider says that it never saw it.

        Asked before a request is repeated: so nothing is charged twice where the provider forgets keys.
        """
        ...

    def get_payment(self, reference: str) -> PaymentResult:
        """What became of the payment that the provider calls so."""
        ...

    def get_dispute(self, reference: str) -> Dispute | Unknown:
        """How a dispute of one of its payments stands, by the provider's name of the dispute."""
        ...

    def get_payout(self, reference: str) -> Payout | Unknown:
        """A payout with everything that it is made of, by the provider's name of it."""
        ...

    def list_payouts(self, *, since: datetime) -> tuple[str, ...] | Unknown:
        """The names of payouts that were made since this instant, in any order: for those of which no webhook came."""
        ...

    def create_refund(self, request: RefundRequest) -> RefundResult:
        """Give back a part of a payment, once for each key."""
        ...

    def find_refund(self, request: RefundRequest) -> RefundResult | None:
        """What became of an earlier request with this key; None where there was none."""
        ...

    def set_up_method(self, request: SetupRequest) -> SetupResult:
        """Make a method fit to be charged, or say how far that is. The method's details are the provider's."""
        ...

    def parse_webhook(self, body: bytes, headers: Mapping[str, str], *, now: datetime) -> ProviderEvent:
        """What a webhook is about; header names are in lower case. Calls nobody.

        Raises WebhookRefused where the signature or its time is wrong, UnreadableWebhook.
        """
        ...


ProviderFactory: TypeAlias = Callable[[ProviderConfig], PaymentProvider]
"""Makes a provider's client. Raises UnableToSetUp where a parameter or a secret is missing or wrong."""

Providers: TypeAlias = Mapping[str, ProviderFactory]
"""The providers that this server can speak to, by the name that a PaymentMethodClass gives; manual is none."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose bank account it is, at which bank. `bic` may be empty."""

    holder: str
    iban: str
    bic: str


@dataclass(frozen=True, slots=True)
class TransferOrder:
    """So many cents to a payee; a statement tells of it by its end-to-end id."""

    end_to_end_id: str
    amount_minor: int
    payee: Holder
    text: str


@dataclass(frozen=True, slots=True)
class TransferFile:
    """What a bank is asked to pay in euro on one day; the same value gives the same bytes."""

    message_id: str
    created_at: datetime
    payer: Holder
    execute_on: date
    transfers: tuple[TransferOrder, ...]


TransferWriter: TypeAlias = Callable[[TransferFile], bytes]
"""Writes a file as banks take it. Raises ValueError for what the schema of the format refuses."""
