"""A provider with customers who pay by bank transfer: two accounts in euro, with invoices for October."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from milo_billing.accounts.types import Account
from milo_billing.adapters.bank_files import read_statements
from milo_billing.app.ledger_ports import above_the_books
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.kernel.money import Money
from milo_billing.ledger import reads as ledger
from milo_billing.ledger.operations import verify
from milo_billing.ledger.types import AccountName, Difference
from milo_billing.payments.engine.bank_importing import Imported, import_statement
from milo_billing.payments.engine.bank_worklist import Listed, list_worklist
from tests.db.invoicing.ground import Ground

NOW = datetime(2026, 11, 21, 6, tzinfo=UTC)


@dataclass(frozen=True)
class BankGround:
    """The ground, and a bank that sends statements to it."""

    ground: Ground

    def customer(self, name: str, *euros: int, **spec: Any) -> tuple[Account, tuple[Invoice, ...]]:
        """An account that owes these sums, for the months from October 2026 back."""
        account = self.ground.declare_account(name, currencyCode="EUR", **spec)
        found: list[Invoice] = []
        for back, sum_ in enumerate(euros):
            month = 10 - back
            self.ground.use(account, (f"2026-{month:02}-01", "web", "tokens", sum_ * 400_000))
        for back in reversed(range(len(euros))):
            found.append(self.ground.issued(account, month=10 - back))
        return account, tuple(found)

    def receive(self, content: bytes, *, now: datetime = NOW) -> list[Imported]:
        digest = hashlib.sha256(content).digest()
        return [
            self.ground.write(
                lambda work, one=one, ordinal=ordinal: import_statement(
                    work, self.ground.office, one, digest=digest, ordinal=ordinal
                ),
                now=now,
            )
            for ordinal, one in enumerate(read_statements(content), start=1)
        ]

    def read_rules(self) -> list[str]:
        """By which rule each part of an entry was applied."""
        return [rule for (rule,) in self.ground.read("select rule from payments.matches order by uid")]

    def worklist(self) -> tuple[Listed, ...]:
        return self.ground.reading(lambda tx: list_worklist(tx, self.ground.office.vault, limit=100))

    def stands(self, invoice: Invoice) -> tuple[str, int]:
        """Phase, and what is due."""
        found = self.ground.reading(lambda tx: invoice_reads.get_invoice_by_uid(tx, uid=invoice.uid))
        return found.phase, found.amount_due_minor

    def balance(self, account: AccountName) -> Money:
        return self.ground.reading(lambda tx: ledger.balance(tx, account=account, currency="EUR"))

    def differences(self) -> list[Difference]:
        """Where the books are not the sum of the invoices and bank entries behind them."""
        subledgers = above_the_books().subledgers
        return list(self.ground.reading(lambda tx: verify(tx, subledgers=subledgers, everything=True)))
