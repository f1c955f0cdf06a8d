"""Books with something in them: three months of one customer, paid, credited, late and open, in two currencies."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from uuid import UUID, uuid5

from milo_billing.accounts.types import Account
from milo_billing.infra.database import EVERYWHERE
from milo_billing.kernel.money import Money
from milo_billing.ledger import operations as ledger
from milo_billing.ledger.types import Entry, Fact, cash
from tests.db.invoicing.ground import Ground
from tests.db.invoicing.paying import pay

DECEMBER = datetime(2026, 12, 2, 9, 30, tzinfo=UTC)
NAMES = UUID(int=7)


@dataclass(frozen=True)
class Books:
    """What was declared and billed: `main` owes 60.00 USD of two invoices, `yen` owes 500 JPY."""

    main: Account
    yen: Account


def keep_books(ground: Ground) -> Books:
    """October and November of two accounts: invoices of 100.00 and 50.00 USD, of which 90.00 is paid; 500 JPY open."""
    main, yen = ground.declare_account("main"), ground.declare_account("yen", currencyCode="JPY")
    ground.publish("JPY", [{"skuRef": {"name": "tokens"}, "model": "PerUnit", "unitPrice": "250"}])
    ground.spend(main, "2026-10-05", 100)
    ground.spend(main, "2026-11-05", 50)
    ground.use(yen, ("2026-10-07", "data", "tokens", 2_000_000))
    first = ground.issued(main)
    ground.issued(yen)
    pay(ground, first, 9_000, "p1")
    ground.issued(main, month=11, now=DECEMBER)
    return kept_books(ground)


def kept_books(ground: Ground) -> Books:
    """The books that are kept already."""
    return Books(ground.account("main"), ground.account("yen"))


def post(
    ground: Ground,
    account: Account,
    key: str,
    entries: tuple[Entry, ...],
    *,
    on: date,
    entity: str = "kestrel",
) -> None:
    """A fact of its own in the books of the account."""
    fact = Fact(uuid5(NAMES, key), key, entity, on, account.number, account.owner_org, f"Fact {key}")
    with ground.databases.app.transaction(reach=EVERYWHERE) as tx:
        ledger.post_fact(tx, fact=fact, entries=entries, now=DECEMBER)


def hostile_description(ground: Ground, account: Account) -> None:
    """A fact whose words mean something to a parser."""
    key = 'k"; [2026-01-01] \\ | = \n  Assets:Cash  5 USD'
    post(
        ground, account, key, ledger.put_on_account(Money(7, "USD"), into=cash("3000")), on=date(2026, 11, 30)
    )
