"""What the books ask of the slices above them: names of billing accounts, and the documents behind a balance."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import Literal, Protocol

from milo_billing.infra.database import Tx
from milo_billing.ledger.types import AccountName, AgedReceivable, SubledgerBalance


class BillingAccounts(Protocol):
    """Who is behind a number. All under the reach of the transaction."""

    def get_number(self, tx: Tx, *, namespace: str, name: str) -> int:
        """The number of a billing account. Raises a NotFound."""
        ...

    def list_names(self, tx: Tx, *, numbers: Collection[int]) -> Mapping[int, str]:
        """`namespace/name` by number, of those within reach."""
        ...


class Subledger(Protocol):
    """The documents of which one account of the books is the sum, such as the invoices behind the receivable."""

    @property
    def account(self) -> AccountName:
        """The account of the books."""
        ...

    def list_balances(self, tx: Tx) -> Sequence[SubledgerBalance]:
        """What the account should be, by entity, billing account and currency; those of zero may be left out."""
        ...


class Accruals(Protocol):
    """What was earned in a month and is on no invoice of it."""

    def list_accounts(self, tx: Tx, *, after: int, limit: int) -> Sequence[int]:
        """Numbers of billing accounts behind `after`, in order."""
        ...

    def accrue(
        self, tx: Tx, *, entity: str, month: date, account: int, now: datetime
    ) -> Literal["posted", "unchanged", "nothing"]:
        """Post the accrual of one account, and its release on the first day of the next month; once."""
        ...


class Receivables(Subledger, Protocol):
    """The invoices behind the receivable, which have due dates."""

    def list_aged(self, tx: Tx, *, on: date, after: int, limit: int) -> Sequence[AgedReceivable]:
        """What is due, by how long it is overdue on the day, of accounts behind number `after`, by number and currency.

        Whole accounts: at most `limit` of them.
        """
        ...
