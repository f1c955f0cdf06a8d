"""Where invoices are issued, and by whom: what the verbs need besides a transaction."""

from dataclasses import dataclass, field
from typing import Final

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.types import Account, BillingProfile
from milo_billing.controlplane.engine import Engine
from milo_billing.infra.crypto import Vault
from milo_billing.infra.database import Tx
from milo_billing.invoicing.engine import taxing
from milo_billing.invoicing.ports import TaxEngine, VatRegister
from milo_billing.invoicing.types.invoices import BookVersion

UNISSUED: Final = (
    "nobody is declared to issue invoices: apply an IssuerProfile with spec.isDefault true, "
    "then run the month again"
)


@dataclass(frozen=True, slots=True)
class Pen:
    """What writing an invoice takes besides a transaction, where its object is written by somebody else."""

    vault: Vault
    books: dict[int, BookVersion] = field(default_factory=dict[int, BookVersion])
    taxes: TaxEngine = field(default_factory=taxing.DeclaredRates)
    mails: bool = False
    """As of `Office`, each."""


@dataclass(frozen=True, slots=True)
class Office:
    """Where invoices are issued: what that needs besides a transaction. One a process."""

    engine: Engine
    vault: Vault
    books: dict[int, BookVersion] = field(default_factory=dict[int, BookVersion])
    """Versions of price books by number. What is published never changes, so nothing here grows old."""
    taxes: TaxEngine = field(default_factory=taxing.DeclaredRates)
    register: VatRegister | None = None
    """None where the settings name none: then staff say what a register told them."""

    mails: bool = False
    """Whether this server can send mail: then invoices go to the addresses of their accounts."""

    prints_ahead: bool = False
    """Whether PDFs are written once a run is over, before somebody asks for them."""

    @property
    def pen(self) -> Pen:
        """What writing an invoice takes."""
        return Pen(self.vault, self.books, self.taxes, self.mails)


def billing_profile(tx: Tx, vault: Vault, account: Account) -> BillingProfile | None:
    """Terms and addressee; None for an account that was deleted."""
    if account.deleted_at is not None:
        return None
    return account_reads.get_billing_profile(tx, vault, account=account.number)
