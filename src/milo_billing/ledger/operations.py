"""Post money facts to the books, in the database transaction of the fact itself (domain.md §9).

The verbs in the middle are pure: each gives the entries of one fact, and several facts of one instant are one
transaction with the entries of all. `post_fact` writes them:

    ledger.post_fact(tx, fact=Fact(...), entries=ledger.payment_received(amount, into=clearing("stripe")), now=now)

Amounts are positive; `taken_back` turns a fact round. docs/accounting.md shows every fact with its entries.
"""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

from milo_billing.infra.database import Tx
from milo_billing.kernel.money import Currency, Money
from milo_billing.ledger import reads, store
from milo_billing.ledger.ports import Subledger
from milo_billing.ledger.rules import checking, posting
from milo_billing.ledger.types import (
    BAD_DEBT,
    BAD_DEBT_RECOVERY,
    CONVERSION,
    FX_DIFFERENCE,
    GOODWILL,
    INTEREST,
    MONEY_ON_ACCOUNT,
    PREPAID_CREDIT,
    RECEIVABLE,
    TRANSFERS,
    UNAPPLIED_CASH,
    UNBILLED,
    AccountName,
    Difference,
    Entry,
    Fact,
    LedgerTransaction,
    Posting,
    ServicePeriod,
    UnableToClose,
    UnableToPost,
    clearing,
    payment_fees,
    revenue,
)


def post(tx: Tx, *, transaction: LedgerTransaction, now: datetime) -> UUID:
    """Post the transaction; returns the id under which it stands.

    Posting the same key again changes nothing and returns the first id; description and instants may differ.
    Raises UnableToPost where it does not balance, where the month of `posted_on` is closed, or where the key
    stands for another entity, date, account or entries. After that error the surrounding transaction must roll back.
    """
    posting.assert_postable(transaction)
    return store.insert_transaction(tx, transaction, late=False, now=now)


def post_fact(tx: Tx, *, fact: Fact, entries: Sequence[Entry], now: datetime) -> UUID | None:
    """Post the entries of the fact as one transaction; as `post`, also in its errors.

    A fact that comes after its month was closed stands on the first open day; its entries keep their service periods.
    None where there are no entries: a fact of zero moves nothing in the books.
    """
    if not entries:
        return None
    transaction = LedgerTransaction(
        id=fact.id,
        key=fact.key,
        entity=fact.entity,
        posted_on=fact.posted_on,
        description=fact.description,
        billing_account=fact.billing_account,
        owner_org=fact.owner_org,
        entries=tuple(entries),
    )
    posting.assert_postable(transaction)
    return store.insert_transaction(tx, transaction, late=True, now=now)


def close_month(tx: Tx, *, entity: str, month: date, by: str, now: datetime) -> bool:
    """Close the books of the entity for the month that begins on this day, and for all before it; there is no way back.

    False where they are closed already. Raises UnableToClose while the month is not over everywhere on earth: an issuer
    may be in any zone.
    """
    posting.assert_over(month, now=now)
    return store.close_month(tx, entity=entity, month=month, by=by, now=now)


def verify(
    tx: Tx, *, subledgers: Sequence[Subledger], everything: bool, since: int | None = None
) -> tuple[Difference, ...]:
    """Recompute the books within reach from their entries, and compare them with the documents behind them.

    Every transaction balances, so do all of them, every account is in the chart, and each account that has documents is
    their sum. `everything` says that the reach leaves nobody out: then transfers between billing accounts meet, too.
    What was committed between two reads is no difference: what is found is looked for again. `since` leaves out what no
    posting can have changed since the books were right: of transactions those are checked that are behind this number,
    and where each of them balances, so does their sum.
    """
    found = _differences(tx, subledgers=subledgers, everything=everything, since=since)
    if not found:
        return ()
    again = _differences(tx, subledgers=subledgers, everything=everything, since=since)
    return tuple(one for one in found if one in again)


def _differences(
    tx: Tx, *, subledgers: Sequence[Subledger], everything: bool, since: int | None
) -> tuple[Difference, ...]:
    rows = () if since is not None else checking.check_trial_balance(reads.trial_balance(tx))
    return (
        *checking.check_balanced(reads.list_unbalanced(tx, after=since or 0)),
        *(one for one in rows if everything or one.check != "transfers"),
        *(
            difference
            for one in subledgers
            for difference in checking.compare(
                account=one.account,
                expected=one.list_balances(tx),
                found=reads.list_balances(tx, account=one.account),
            )
        ),
    )


def check_open(tx: Tx, *, entity: str, month: date, now: datetime) -> None:
    """Raise UnableToClose unless the month that begins on this day is over everywhere, and not closed yet."""
    posting.assert_over(month, now=now)
    first_open = reads.first_open_day(tx, entity=entity)
    if first_open is not None and first_open > month:
        raise UnableToClose(
            f"the books of {entity} are closed until {first_open}: {month:%Y-%m} takes no accruals"
        )


def post_receivable(
    tx: Tx,
    *,
    id: UUID,
    key: str,
    entity: str,
    posted_on: date,
    billing_account: int,
    owner_org: int,
    currency: Currency,
    lines: Sequence[Posting],
    now: datetime,
    description: str = "",
) -> UUID | None:
    """Debit what the customer now owes, credit revenue, earned or deferred, and tax; as `post_fact`.

    Of `lines`, charges are positive, reductions negative. None where all lines are zero: a zero invoice moves nothing
    in the books.
    """
    fact = Fact(id, key, entity, posted_on, billing_account, owner_org, description)
    return post_fact(tx, fact=fact, entries=invoiced(lines, currency=currency), now=now)


# ---------------------------------------------------------------------------------------------- what is owed


def invoiced(lines: Sequence[Posting], *, currency: Currency) -> tuple[Entry, ...]:
    """An invoice: the receivable against revenue, deferred revenue and tax payable (`lines`, charges positive)."""
    return posting.receivable_entries(lines, currency=currency)


def credit_noted(
    lines: Sequence[Posting], *, currency: Currency, into: AccountName = RECEIVABLE
) -> tuple[Entry, ...]:
    """A credit note: `lines` say what is given back, positive, by account; tax among them.

    The accounts are those of the invoice, or EARLY_PAYMENT_DISCOUNT or GOODWILL. `into` is RECEIVABLE where the
    invoice is not paid yet; MONEY_ON_ACCOUNT where it was and the money stays with us.
    """
    return posting.mirrored(posting.against(lines, currency=currency, account=into))


def goodwill_given(lines: Sequence[Posting], *, currency: Currency) -> tuple[Entry, ...]:
    """What a credit note gave back as goodwill was earned all the same: revenue stands, what was given up beside it.

    `lines` are net, positive, by the accounts of the invoice's lines; `taken_back` where the invoice is void.
    """
    return posting.against(lines, currency=currency, account=GOODWILL)


def interest_charged(amount: Money, *, service: ServicePeriod) -> tuple[Entry, ...]:
    """Interest for the days in which an invoice was overdue; it is not taxed."""
    return posting.against(
        [(INTEREST, _positive(amount).minor, service)], currency=amount.currency, account=RECEIVABLE
    )


def written_off(amount: Money, *, tax: Sequence[Posting] = ()) -> tuple[Entry, ...]:
    """What nobody will pay any more. `amount` is with tax; `tax` is what of it the tax authority gives back."""
    relief = sum(minor for _, minor, _ in tax)
    loss: Posting = (BAD_DEBT, _positive(amount).minor - relief, None)
    return posting.mirrored(posting.against([loss, *tax], currency=amount.currency, account=RECEIVABLE))


def recovered(amount: Money) -> tuple[Entry, ...]:
    """What was written off is owed again, because it is paid after all: the payment finds it on the receivable."""
    return posting.moved(amount, debit=RECEIVABLE, credit=BAD_DEBT_RECOVERY)


# ----------------------------------------------------------------------------------------------- what was paid


def payment_received(amount: Money, *, into: AccountName) -> tuple[Entry, ...]:
    """A payment of an invoice. `into` is a clearing or a cash account."""
    return posting.moved(amount, debit=into, credit=RECEIVABLE)


def settled_to_cash(amount: Money, *, fee: Money, provider: str, bank: AccountName) -> tuple[Entry, ...]:
    """A part of a provider's payout: `amount` leaves its clearing account, less its `fee` it reaches `bank` (cash).

    A part that takes away, such as a refund, has an amount below zero; one that is a fee and nothing else has none.
    A fee below zero was given back.
    """
    return (
        *_signed(amount - fee, debit=bank, credit=clearing(provider)),
        *_signed(fee, debit=payment_fees(provider), credit=clearing(provider)),
    )


def refunded(amount: Money, *, out_of: AccountName, of: AccountName = RECEIVABLE) -> tuple[Entry, ...]:
    """Money that goes back to the customer. `out_of` is a clearing or a cash account.

    `of` is what is owed to the customer: RECEIVABLE where a credit note made it negative, MONEY_ON_ACCOUNT,
    or UNAPPLIED_CASH.
    """
    return posting.moved(amount, debit=of, credit=out_of)


def put_on_account(amount: Money, *, into: AccountName) -> tuple[Entry, ...]:
    """Money for invoices to come: prepaid credit, or what was paid too much.

    `into` is a clearing or a cash account. Credit that is bought by an invoice is a line on MONEY_ON_ACCOUNT.
    """
    return posting.moved(amount, debit=into, credit=MONEY_ON_ACCOUNT)


def used_from_account(amount: Money) -> tuple[Entry, ...]:
    """Money on account pays an invoice."""
    return posting.moved(amount, debit=MONEY_ON_ACCOUNT, credit=RECEIVABLE)


def credit_granted(amount: Money, *, of: AccountName = MONEY_ON_ACCOUNT) -> tuple[Entry, ...]:
    """Money of the customer is set apart as prepaid credit. That it came is a fact of its own.

    `of` is MONEY_ON_ACCOUNT or UNAPPLIED_CASH; `taken_back` says that credit was revoked, or its money went back.
    """
    return posting.moved(amount, debit=of, credit=PREPAID_CREDIT)


def credit_used(amount: Money) -> tuple[Entry, ...]:
    """Prepaid credit pays an invoice; `taken_back` gives it back."""
    return posting.moved(amount, debit=PREPAID_CREDIT, credit=RECEIVABLE)


def credit_expired(amount: Money, *, service: ServicePeriod) -> tuple[Entry, ...]:
    """Prepaid credit that nobody used in time is earned: breakage, on the day of `service`; it is not taxed."""
    earned: Posting = (revenue("Breakage"), _positive(amount).minor, service)
    return posting.against([earned], currency=amount.currency, account=PREPAID_CREDIT)


def received_unapplied(amount: Money, *, into: AccountName) -> tuple[Entry, ...]:
    """Money of which nobody has said yet what it pays. `into` is a clearing or a cash account."""
    return posting.moved(amount, debit=into, credit=UNAPPLIED_CASH)


def applied(amount: Money, *, to: AccountName = RECEIVABLE) -> tuple[Entry, ...]:
    """Somebody has said it: an invoice (RECEIVABLE), or it is kept for later ones (MONEY_ON_ACCOUNT)."""
    return posting.moved(amount, debit=UNAPPLIED_CASH, credit=to)


def taken_back(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """The entries of a fact turned round: a void, a returned debit, a chargeback, the release of an accrual."""
    return posting.mirrored(entries)


# ------------------------------------------------------------------------------- what is neither owed nor paid


def accrued(lines: Sequence[Posting], *, currency: Currency) -> tuple[Entry, ...]:
    """What was earned and is not invoiced: the contract asset against revenue. `taken_back` releases it."""
    return posting.against(lines, currency=currency, account=UNBILLED)


def exchanged(
    received: Money, *, into: AccountName, worth: Money, to: AccountName = RECEIVABLE
) -> tuple[Entry, ...]:
    """`received` in one currency pays `worth` in another; each currency balances on Equity:Conversion."""
    return (
        *posting.moved(received, debit=into, credit=CONVERSION),
        *posting.moved(worth, debit=CONVERSION, credit=to),
    )


def fx_difference(gain: Money) -> tuple[Entry, ...]:
    """What a moved rate brought (positive) or cost (negative), in the entity's own currency."""
    entries = posting.moved(abs(gain), debit=CONVERSION, credit=FX_DIFFERENCE)
    return entries if gain.minor > 0 else posting.mirrored(entries)


def sent_to_account(amount: Money, *, out_of: AccountName) -> tuple[Entry, ...]:
    """One half of a fact across two billing accounts: the transaction of the account that gives."""
    return posting.moved(amount, debit=out_of, credit=TRANSFERS)


def got_from_account(amount: Money, *, into: AccountName) -> tuple[Entry, ...]:
    """The other half: the transaction of the account that gets; `into` is credited, such as RECEIVABLE."""
    return posting.moved(amount, debit=TRANSFERS, credit=into)


def _signed(amount: Money, *, debit: AccountName, credit: AccountName) -> tuple[Entry, ...]:
    """As `posting.moved`, the other way round where the amount is below zero."""
    entries = posting.moved(abs(amount), debit=debit, credit=credit)
    return entries if amount.minor >= 0 else posting.mirrored(entries)


def _positive(amount: Money) -> Money:
    if amount.minor < 0:
        raise UnableToPost(f"{amount}: an amount is positive; take the entries back instead")
    return amount
