"""Money that goes back to whoever sent it: where it is taken from, when the account has used it since.

Owns: what is taken back, the newest use first. Not: what sends it back (bank_returning, disputing), its entries.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from milo_billing.controlplane.engine import Engine
from milo_billing.controlplane.work import Work
from milo_billing.invoicing.operations import life, taking_back
from milo_billing.invoicing.operations.taking_back import WentBack
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.reads.set_apart import SetApart
from milo_billing.kernel.money import Money
from milo_billing.ledger import reads as books
from milo_billing.ledger.types import MONEY_ON_ACCOUNT, RECEIVABLE, UNAPPLIED_CASH, AccountName, Entry

USES_MAX: Final = 1000
"""Uses of an account's money that are looked at, the newest of them."""


@dataclass(frozen=True, slots=True)
class Use:
    """So much of an account's money paid this invoice; `reference` is the Credit's."""

    invoice: UUID
    reference: str
    amount_minor: int


@dataclass(slots=True)
class Apart:
    """Prepaid credit that is taken back: what was left of it, and what it paid of invoices."""

    grant: UUID
    left_minor: int = 0
    uses: dict[UUID, int] = field(default_factory=dict[UUID, int])


@dataclass(frozen=True, slots=True)
class Taken:
    """Where money that goes back is taken from.

    `on_account` is with the credit that becomes money on account. Unapplied cash falls below zero by what was given
    back to the customer instead, and by credit that has lapsed.
    """

    unapplied: Money
    on_account: Money
    uses: tuple[Use, ...]
    apart: tuple[Apart, ...]

    @property
    def used_minor(self) -> int:
        """What invoices owe again of what the account's money paid."""
        return sum(use.amount_minor for use in self.uses)

    def debited(self, *, owed_minor: int) -> list[Entry]:
        """Its entries but for the money itself; `owed_minor` is what the receivable rises by besides."""
        owed = Money(owed_minor + self.used_minor, self.unapplied.currency)
        parts = ((RECEIVABLE, owed), (UNAPPLIED_CASH, self.unapplied), (MONEY_ON_ACCOUNT, self.on_account))
        return [Entry(name, amount) for name, amount in parts if amount]


def find_taken(
    work: Work, engine: Engine, *, account: int, entity: str, money: Money, on_account: Money
) -> Taken:
    """Where this much money of the account is taken from, of which `on_account` was put on account.

    First what is still where it was put. Then what it was used for, the newest first: invoices are owed again, and of
    prepaid credit goes what is left, then what it paid. Then the same of the account's other money, and for want of any
    unapplied cash falls below zero: what the account pays next fills it up.

    The caller holds the account's collection lock. Grants that may be taken back are locked.
    """
    purse = _Purse(work, engine, account=account, entity=entity, currency=money.currency)
    kept_minor = min(on_account.minor, money.minor)
    missing = purse.take(kept_minor, (MONEY_ON_ACCOUNT, UNAPPLIED_CASH))
    missing += purse.take(money.minor - kept_minor, (UNAPPLIED_CASH, MONEY_ON_ACCOUNT))
    return purse.taken(missing)


def take_back(work: Work, engine: Engine, *, taken: Taken, key: str, why: WentBack) -> None:
    """Have the invoices owed again that the money paid, and take credit back; `key` is what posts `Taken.debited`."""
    for apart in taken.apart:
        taking_back.take_back_credit(
            work, engine, grant=apart.grant, left_minor=apart.left_minor, uses=apart.uses, why=why
        )
    for use in taken.uses:
        life.settle_invoice(
            work,
            engine=engine,
            invoice=use.invoice,
            kind="PaymentReversal",
            reference=f"{why.by}/{use.reference}",
            amount_minor=use.amount_minor,
            posted=key,
            at=why.at,
        )
    for invoice in {use.invoice: None for use in taken.uses}:
        taking_back.take_back_bought(work, engine, invoice=invoice, why=why)


class _Purse:
    """What an account has with an issuer, and what it did with it, as more and more is taken back."""

    def __init__(self, work: Work, engine: Engine, *, account: int, entity: str, currency: str) -> None:
        self._work, self._engine = work, engine
        self._account, self._entity, self._currency = account, entity, currency
        self._taken = {UNAPPLIED_CASH: 0, MONEY_ON_ACCOUNT: 0}
        self._held: dict[AccountName, int] = {}
        self._spent: dict[AccountName, list[Use | SetApart]] | None = None
        self._paid: dict[UUID, int] = {}
        self._uses: list[Use] = []
        self._apart: dict[UUID, Apart] = {}

    def take(self, minor: int, names: tuple[AccountName, AccountName]) -> int:
        """Take so much out of these accounts, the first one first; what nothing was found for."""
        for name in names:
            minor = self._take_held(minor, name)
            if minor:
                minor = self._take_spent(minor, name)
        return minor

    def taken(self, missing_minor: int) -> Taken:
        """What was taken in all; unapplied cash falls below zero by what is missing."""
        return Taken(
            Money(self._taken[UNAPPLIED_CASH] + missing_minor, self._currency),
            Money(self._taken[MONEY_ON_ACCOUNT], self._currency),
            tuple(self._uses),
            tuple(self._apart.values()),
        )

    def _take_held(self, minor: int, name: AccountName) -> int:
        if name not in self._held:
            balance = books.balance(
                self._work.tx,
                account=name,
                currency=self._currency,
                entity=self._entity,
                billing_account=self._account,
            )
            self._held[name] = max(-balance.minor, 0)
        part = min(minor, self._held[name])
        self._held[name] -= part
        self._taken[name] += part
        return minor - part

    def _take_spent(self, minor: int, name: AccountName) -> int:
        if self._spent is None:
            self._spent = self._load()
        for one in self._spent[name]:
            if not minor:
                break
            minor -= (
                self._take_use(minor, one) if isinstance(one, Use) else self._take_apart(minor, one, name)
            )
        return minor

    def _take_use(self, minor: int, use: Use) -> int:
        part = min(minor, use.amount_minor, self._paid_of(use.invoice))
        if part:
            self._paid[use.invoice] -= part
            self._uses.append(Use(use.invoice, use.reference, part))
        return part

    def _take_apart(self, minor: int, grant: SetApart, name: AccountName) -> int:
        """So much of what the grant had of this account becomes money on account and is taken from there."""
        most = grant.unapplied_minor if name == UNAPPLIED_CASH else grant.on_account_minor
        wanted = min(minor, most)
        apart = self._apart.get(grant.grant) or Apart(grant.grant)
        left = min(wanted, grant.left_minor - apart.left_minor)
        apart.left_minor += left
        part = left
        for invoice, used_minor in grant.uses:
            again = min(wanted - part, used_minor - apart.uses.get(invoice, 0), self._paid_of(invoice))
            if again > 0:
                apart.uses[invoice] = apart.uses.get(invoice, 0) + again
                self._paid[invoice] -= again
                part += again
        if part:
            self._apart[grant.grant] = apart
            self._taken[MONEY_ON_ACCOUNT] += part
        return part

    def _paid_of(self, invoice: UUID) -> int:
        """What is paid of it: a refund may have opened it again, and what is not paid cannot be taken back."""
        if invoice not in self._paid:
            self._paid[invoice] = invoice_reads.get_invoice_by_uid(
                self._work.tx, uid=invoice
            ).amount_paid_minor
        return self._paid[invoice]

    def _load(self) -> dict[AccountName, list[Use | SetApart]]:
        """What the account used its money for, by where it was taken from, the newest first."""
        tx = self._work.tx
        apart = taking_back.lock_set_apart(
            self._work, self._engine, account=self._account, issuer=self._entity, currency=self._currency
        )
        credits = invoice_reads.list_credits(
            tx, account=self._account, issuer=self._entity, currency=self._currency, limit=USES_MAX
        )
        keys = {credit.posted for _, credit in credits if credit.posted is not None}
        found: dict[AccountName, list[Use | SetApart]] = {}
        for name in self._taken:
            debited = books.list_debited(tx, keys=keys, account=name)
            dated: list[tuple[datetime, Use | SetApart]] = [
                (credit.at, Use(invoice, credit.reference, credit.amount_minor))
                for invoice, credit in credits
                if credit.posted in debited
            ]
            dated += [(one.at, one) for one in apart]
            found[name] = _newest_first(dated)
        return found


def _newest_first(dated: Sequence[tuple[datetime, Use | SetApart]]) -> list[Use | SetApart]:
    return [one for _, one in sorted(dated, key=lambda row: row[0], reverse=True)]
