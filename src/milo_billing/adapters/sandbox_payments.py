"""A provider of payments that moves no money, behind the port of payments: for the demo, trials and tests.

It is there only on a server whose clock is simulated (the wiring sees to it), so nobody's invoice is ever paid by it.
What it was asked for stands in an SQLite file in the server's data folder, which every process of the server shares: it
keeps its keys as a real provider does. It sends no webhooks; workers ask it.

Methods are the tokens below, and no others. Secret of a class: webhookSecret, for webhooks that somebody else sends.
"""

import hmac
import sqlite3
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, cast

import orjson

from milo_billing.kernel.money import Money
from milo_billing.payments.types import (
    BankAccountDetails,
    CardDetails,
    Declined,
    Dispute,
    MethodFailed,
    MethodReady,
    PaymentRequest,
    PaymentResult,
    Payout,
    Processing,
    ProviderConfig,
    ProviderEvent,
    Refunded,
    RefundFailed,
    RefundRequest,
    RefundResult,
    SetupRequest,
    SetupResult,
    Subject,
    Succeeded,
    UnableToSetUp,
    Unknown,
    UnreadableWebhook,
    WebhookRefused,
)

GOOD: Final = "sandbox_visa"
EMPTY_ONCE: Final = "sandbox_visa_empty_once"
EMPTY: Final = "sandbox_visa_empty"
STOLEN: Final = "sandbox_visa_stolen"
SLOW: Final = "sandbox_iban"
METHODS: Final[Mapping[str, str]] = {
    GOOD: "pays",
    EMPTY_ONCE: "has not enough money the first time that an invoice is asked for, then pays",
    EMPTY: "never has enough money: a soft decline",
    STOLEN: "was reported stolen: a hard decline",
    SLOW: "a bank account, that pays when it is asked about for the second time",
}
"""The methods that can be named as providerToken, and what each does."""

SIGNATURE: Final = "sandbox-signature"
"""The header with the hex HMAC-SHA256 of a webhook's body under the webhookSecret."""

BUSY_S: Final = 30.0
"""How long a process waits for another one that writes."""

SUCCEEDED: Final = "succeeded"
PROCESSING: Final = "processing"
NO_FUNDS: Final = "insufficient_funds"
THEFT: Final = "stolen_card"
"""What may stand in `payments.state`; the last two are codes of declines."""

_OUTCOMES: Final[Mapping[str, str]] = {GOOD: SUCCEEDED, EMPTY: NO_FUNDS, STOLEN: THEFT, SLOW: PROCESSING}
_SUBJECTS: Final[Mapping[str, Subject]] = {
    "payment": "payment",
    "refund": "refund",
    "method": "method",
    "dispute": "dispute",
}
_TABLES: Final = """
create table if not exists payments (
    key text primary key, reference text not null unique, description text not null, method text not null,
    minor integer not null, currency text not null, state text not null, asked integer not null default 0
);
create table if not exists refunds (
    key text primary key, payment text not null, minor integer not null, currency text not null, given integer not null
);
"""


def connect(config: ProviderConfig, *, file: Path) -> "SandboxPayments":
    """A client for a class; what it remembers is in `file`. Raises UnableToSetUp where the secret is missing."""
    if config.parameters:
        unknown = min(config.parameters)
        raise UnableToSetUp(f'payment method class "{config.name}": sandbox has no parameter {unknown}')
    secret = config.secrets.get("webhookSecret", "").strip()
    if not secret:
        raise UnableToSetUp(f'payment method class "{config.name}": the secret webhookSecret is missing')
    return SandboxPayments(file, secret)


class SandboxPayments:
    """The port of payments over a file."""

    def __init__(self, file: Path, webhook_secret: str) -> None:
        self._file = file
        self._webhook_secret = webhook_secret

    # -- payments

    def create_payment(self, request: PaymentRequest) -> PaymentResult:
        """Decided at once by the method; the same key again is answered as the first time."""
        amount = request.amount
        with self._open() as sql:
            known = sql.execute("select * from payments where key = ?", (request.key,)).fetchone()
            if known is None:
                before = sql.execute(
                    "select count(*) from payments where description = ? and method = ?",
                    (request.description, request.method),
                ).fetchone()[0]
                row = (
                    *(request.key, _reference("pay", request.key), request.description, request.method),
                    *(amount.minor, amount.currency, _state(request.method, before=before)),
                )
                sql.execute("insert into payments values (?, ?, ?, ?, ?, ?, ?, 0)", row)
                known = sql.execute("select * from payments where key = ?", (request.key,)).fetchone()
        if (known["minor"], known["currency"], known["method"]) != (
            amount.minor,
            amount.currency,
            request.method,
        ):
            return Declined("", "idempotency_error", f"{request.key} was another request before.", hard=True)
        return _result(known)

    def find_payment(self, request: PaymentRequest) -> PaymentResult | None:
        """By its key."""
        with self._open() as sql:
            known = sql.execute("select * from payments where key = ?", (request.key,)).fetchone()
        return None if known is None else _result(known)

    def get_payment(self, reference: str) -> PaymentResult:
        """As it stands; what is processing is decided when it is asked about for the second time."""
        with self._open() as sql:
            sql.execute("update payments set asked = asked + 1 where reference = ?", (reference,))
            sql.execute(
                "update payments set state = 'succeeded' "
                "where reference = ? and state = 'processing' and asked > 1",
                (reference,),
            )
            known = sql.execute("select * from payments where reference = ?", (reference,)).fetchone()
        return Unknown(f"the sandbox has no payment {reference}") if known is None else _result(known)

    def get_dispute(self, reference: str) -> Dispute | Unknown:
        """Nobody disputes anything here."""
        return Unknown(f"the sandbox has no dispute {reference}")

    def get_payout(self, reference: str) -> Payout | Unknown:
        """No money moves, so none is paid out."""
        return Unknown(f"the sandbox has no payout {reference}")

    def list_payouts(self, *, since: datetime) -> tuple[str, ...] | Unknown:
        """None."""
        del since
        return ()

    # -- refunds

    def create_refund(self, request: RefundRequest) -> RefundResult:
        """At once, up to what was paid."""
        asked = request.amount
        with self._open() as sql:
            known = sql.execute("select * from refunds where key = ?", (request.key,)).fetchone()
            if known is None:
                paid = sql.execute(
                    "select coalesce(sum(minor), 0) from payments "
                    "where reference = ? and currency = ? and state = 'succeeded'",
                    (request.payment, asked.currency),
                ).fetchone()[0]
                given = sql.execute(
                    "select coalesce(sum(minor), 0) from refunds where payment = ? and given",
                    (request.payment,),
                ).fetchone()[0]
                row = (request.key, request.payment, asked.minor, asked.currency, given + asked.minor <= paid)
                sql.execute("insert into refunds values (?, ?, ?, ?, ?)", row)
                known = sql.execute("select * from refunds where key = ?", (request.key,)).fetchone()
        return _refund(known)

    def find_refund(self, request: RefundRequest) -> RefundResult | None:
        """By its key."""
        with self._open() as sql:
            known = sql.execute("select * from refunds where key = ?", (request.key,)).fetchone()
        return None if known is None else _refund(known)

    # -- methods and webhooks

    def set_up_method(self, request: SetupRequest) -> SetupResult:
        """One of METHODS. There is no form in which an owner could enter another."""
        customer = request.customer or f"sandbox_customer_{request.account}"
        if request.token not in METHODS:
            names = ", ".join(METHODS)
            return MethodFailed(customer, "no_such_method", f"The sandbox knows these tokens only: {names}.")
        if request.token == SLOW:
            return MethodReady(customer, request.token, BankAccountDetails("3000", "Sandbox", "DE"))
        return MethodReady(customer, request.token, CardDetails("visa", "4242", "2030-12"))

    def parse_webhook(self, body: bytes, headers: Mapping[str, str], *, now: datetime) -> ProviderEvent:
        """`{id, type, subject, reference, key}` in JSON, signed. Raises WebhookRefused, UnreadableWebhook."""
        del now
        signed = hmac.new(self._webhook_secret.encode(), body, sha256).hexdigest()
        if not hmac.compare_digest(headers.get(SIGNATURE, "").encode(), signed.encode()):
            raise WebhookRefused(f"the header {SIGNATURE} is not the body's signature")
        try:
            said = cast("dict[str, Any]", orjson.loads(body))
            subject: Subject = _SUBJECTS.get(said["subject"], "other")
            return ProviderEvent(
                str(said["id"]), str(said["type"]), subject, str(said["reference"]), str(said.get("key", ""))
            )
        except (ValueError, KeyError, TypeError) as error:
            raise UnreadableWebhook(f"not an event of the sandbox: {error}") from error

    @contextmanager
    def _open(self) -> Generator[sqlite3.Connection]:
        """One transaction, a writer from the start: of two processes with one key, the second finds the first's."""
        with closing(sqlite3.connect(self._file, timeout=BUSY_S, isolation_level=None)) as sql:
            sql.row_factory = sqlite3.Row
            sql.executescript(_TABLES)
            sql.execute("begin immediate")
            yield sql
            sql.execute("commit")


def _state(method: str, *, before: int) -> str:
    """What becomes of a payment; `before` counts the earlier ones with the method for the same invoice."""
    if method == EMPTY_ONCE:
        return SUCCEEDED if before else NO_FUNDS
    return _OUTCOMES.get(method, THEFT)


def _result(row: sqlite3.Row) -> PaymentResult:
    reference = str(row["reference"])
    state = row["state"]
    if state == SUCCEEDED:
        return Succeeded(reference, Money(int(row["minor"]), str(row["currency"])))
    if state == PROCESSING:
        return Processing(reference)
    if state == NO_FUNDS:
        return Declined(reference, NO_FUNDS, "Not enough money on the card.", hard=False)
    return Declined(reference, THEFT, "The card was reported stolen.", hard=True)


def _refund(row: sqlite3.Row) -> RefundResult:
    reference = _reference("refund", str(row["key"]))
    if row["given"]:
        return Refunded(reference, Money(int(row["minor"]), str(row["currency"])))
    return RefundFailed(reference, "more_than_paid", "More than what was paid and not given back yet.")


def _reference(kind: str, key: str) -> str:
    return f"sandbox_{kind}_{sha256(key.encode()).hexdigest()[:16]}"
