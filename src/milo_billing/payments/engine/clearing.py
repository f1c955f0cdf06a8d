"""The payments behind the clearing accounts: what lies at providers, as the ledger's port `Subledger` asks for it."""

from collections.abc import Sequence

from milo_billing.infra.database import Tx
from milo_billing.kernel.money import Money
from milo_billing.ledger.types import CLEARING, AccountName, SubledgerBalance


class ProviderClearing:
    """`ledger.ports.Subledger`: what came through providers, less what went back and what was paid out.

    What went back are refunds, under way too, and disputes; payouts that came back lie there again, as nobody's.
    """

    @property
    def account(self) -> AccountName:
        """Assets:Clearing, of all providers together."""
        return CLEARING

    def list_balances(self, tx: Tx) -> Sequence[SubledgerBalance]:
        """By issuer, account and currency; without those of which nothing is left."""
        rows = tx.execute(
            """
            with moved (entity, account, currency, minor) as (
                select entity, account, currency, amount_minor - refunded_minor - disputed_minor
                from payments.payments where phase in ('Succeeded', 'Refunded')
                union all
                select p.entity, p.account, p.currency, -i.amount_minor
                from payments.payout_items i join payments.payments p on p.uid = i.payment
                union all
                select o.entity, i.owner_org::integer, o.currency, -i.amount_minor
                from payments.payout_items i join payments.payouts o on o.class = i.class and o.reference = i.payout
                where i.kind = 'Payout'
                union all
                select entity, owner_org::integer, currency, amount_minor from payments.payouts
                where state = 'Failed' and booked_at is not null
                union all
                select entity, account, 'EUR', -amount_minor from payments.transfers where state in ('Wanted', 'Sent'))
            select entity, account, currency, sum(minor)::bigint from moved
            group by entity, account, currency having sum(minor) <> 0 order by entity, account, currency
            """
        )
        return tuple(
            SubledgerBalance(entity, account, Money(minor, currency))
            for entity, account, currency, minor in rows
        )
