"""The payments behind the clearing accounts: what lies at providers, as the ledger's port `Subledger` asks for it."""

from collections.abc import Sequence

from milo_billing.infra.database import Tx
from milo_billing.kernel.money import Money
from milo_billing.ledger.types import CLEARING, AccountName, SubledgerBalance


class ProviderClearing:
    """`ledger.ports.Subledger`: what came through providers, less what went back: refunds, under way too, disputes."""

    @property
    def account(self) -> AccountName:
        """Assets:Clearing, of all providers together."""
        return CLEARING

    def list_balances(self, tx: Tx) -> Sequence[SubledgerBalance]:
        """By issuer, account and currency; without those of which nothing is left."""
        rows = tx.execute(
            "select entity, account, currency, sum(amount_minor - refunded_minor - disputed_minor)::bigint "
            "from payments.payments "
            "where phase in ('Succeeded', 'Refunded') group by entity, account, currency "
            "having sum(amount_minor - refunded_minor - disputed_minor) <> 0 order by entity, account, currency"
        )
        return tuple(
            SubledgerBalance(entity, account, Money(minor, currency))
            for entity, account, currency, minor in rows
        )
