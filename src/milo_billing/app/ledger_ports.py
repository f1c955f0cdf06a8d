"""What the books ask of the slices above them, wired: names of billing accounts, the invoices behind the receivable."""

from collections.abc import Collection, Mapping

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.types import AccountNotFound
from milo_billing.infra.database import Tx
from milo_billing.invoicing.engine.accruals import MonthEndAccruals
from milo_billing.invoicing.engine.prepaid import PrepaidCredit
from milo_billing.invoicing.engine.receivables import InvoiceReceivables
from milo_billing.invoicing.engine.tax_payables import InvoicedTax
from milo_billing.ledger.routes import Above
from milo_billing.payments.engine.clearing import ProviderClearing
from milo_billing.payments.engine.kept import MoneyOnAccount, UnappliedCash


class NamedAccounts:
    """`ledger.ports.BillingAccounts`, from the accounts slice."""

    def get_number(self, tx: Tx, *, namespace: str, name: str) -> int:
        """The number of the account that has the name. Raises AccountNotFound."""
        found = account_reads.find_account(tx, namespace=namespace, name=name)
        if found is None:
            raise AccountNotFound(f'billingaccounts.billing.miloapis.com "{namespace}/{name}" not found')
        return found.number

    def list_names(self, tx: Tx, *, numbers: Collection[int]) -> Mapping[int, str]:
        """`namespace/name` by number."""
        return account_reads.list_names(tx, numbers=numbers)


def above_the_books() -> Above:
    """Everything that the doors of the books need from above. A slice with documents adds its subledger here."""
    return Above(
        accounts=NamedAccounts(),
        receivables=InvoiceReceivables(),
        accruals=MonthEndAccruals(),
        others=(ProviderClearing(), InvoicedTax(), UnappliedCash(), MoneyOnAccount(), PrepaidCredit()),
    )
