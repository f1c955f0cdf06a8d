"""The invoices and credit notes behind the tax that is owed, as the ledger's port `Subledger` asks for it."""

from collections.abc import Sequence

from milo_billing.infra.database import Tx
from milo_billing.invoicing.reads.notes import standing
from milo_billing.kernel.money import Money
from milo_billing.ledger.types import TAX_PAYABLE, AccountName, SubledgerBalance


class InvoicedTax:
    """`ledger.ports.Subledger`: the tax of every invoice, less what the credit notes that stand took back of it."""

    @property
    def account(self) -> AccountName:
        """Liabilities:TaxPayable, of all places together."""
        return TAX_PAYABLE

    def list_balances(self, tx: Tx) -> Sequence[SubledgerBalance]:
        """By issuer, account and currency, a liability below zero; without those of which nothing is left."""
        rows = tx.execute(
            "select issuer, account, currency, sum(minor)::bigint from ("
            "select issuer, account, currency, -tax_minor as minor from invoicing.invoices where tax_minor <> 0 "
            "union all select issuer, account, currency, tax_minor from invoicing.credit_notes n where tax_minor <> 0 "
            f"and {standing('n.uid')}"
            ") taxed group by issuer, account, currency having sum(minor) <> 0 order by issuer, account, currency"
        )
        return tuple(
            SubledgerBalance(issuer, account, Money(minor, currency))
            for issuer, account, currency, minor in rows
        )
