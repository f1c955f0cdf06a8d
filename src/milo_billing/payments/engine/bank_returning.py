"""What follows from an entry that sends back an earlier one: invoices are owed again, and what was kept is taken back.

Owns: the order of locks and writes. Not: where kept money is taken from (spent), which entry it is (bank_importing).
"""

from uuid import UUID

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.controlplane.work import Work
from milo_billing.invoicing.operations import life
from milo_billing.invoicing.operations.office import Office
from milo_billing.invoicing.operations.taking_back import WentBack
from milo_billing.kernel.money import Money
from milo_billing.ledger.types import Entry, cash, payment_fees
from milo_billing.payments import store
from milo_billing.payments.engine import bank_rows as rows
from milo_billing.payments.engine import on_account
from milo_billing.payments.engine.bank_deciding import Place, noon, post
from milo_billing.payments.engine.bank_rows import EntryRow, MatchRow
from milo_billing.payments.engine.on_account import Source
from milo_billing.payments.engine.spent import find_taken, take_back
from milo_billing.payments.rules.statements import cash_name
from milo_billing.payments.types import BankEntry


def send_back(
    work: Work, office: Office, *, uid: UUID, entry: BankEntry, original: EntryRow, place: Place
) -> None:
    """What an earlier entry paid is owed again, also by way of what was kept of it and used since; what the bank took
    over and above it is a fee.

    The books are turned round transaction by transaction, on the day of the return.
    """
    fee = Money(entry.amount_minor - original.entry.amount_minor, place.currency)
    posted: dict[str, list[MatchRow]] = {}
    for one in rows.list_matches(work.tx, entries=[original.uid]):
        store.lock_account(work.tx, account=one.account)
        posted.setdefault(one.posted, []).append(one)
    for standing, matches in posted.items():
        entity = standing.removeprefix(f"bank/{original.uid}/")
        _turn_round(
            work,
            office,
            uid=uid,
            entry=entry,
            original=original.uid,
            entity=entity,
            matches=matches,
            place=place,
            fee=fee,
        )
        fee = Money(0, place.currency)
    rows.mark_returned(work.tx, entry=original.uid, by=uid)


def _turn_round(
    work: Work,
    office: Office,
    *,
    uid: UUID,
    entry: BankEntry,
    original: UUID,
    entity: str,
    matches: list[MatchRow],
    place: Place,
    fee: Money,
) -> None:
    """Take back what one issuer's books have of the earlier entry."""
    tx = work.tx
    account = account_reads.get_account(tx, number=matches[0].account)
    key = f"bank/{uid}/{entity}"
    owed = sum(_reverse(work, office, uid=uid, entry=entry, match=one, key=key) for one in matches)
    # what an invoice does not have any more, because a refund opened it again, was kept for the account instead
    kept = Money(sum(one.amount_minor for one in matches) - owed, place.currency)
    taken = find_taken(
        work,
        office.engine,
        account=account.number,
        entity=entity,
        money=kept,
        on_account=on_account.still_of(tx, Source(entry=original), entity=entity, currency=place.currency),
    )
    went = Money(owed, place.currency) + kept + fee
    entries = [Entry(cash(cash_name(place.bank_account)), -went), *taken.debited(owed_minor=owed)]
    if fee:
        entries.append(Entry(payment_fees("bank"), fee))
    post(
        work,
        key=key,
        entity=entity,
        account=account.number,
        org=account.owner_org,
        entry=entry,
        entries=entries,
    )
    on_account.note(
        tx, -taken.on_account, posted=key, account=account, entity=entity, source=Source(entry=uid)
    )
    reason = f"the bank transfer that paid it came back {entry.return_reason}".strip()
    why = WentBack(f"bank/{uid}", reason, at=noon(entry), posted_on=entry.booked_on)
    take_back(work, office.engine, taken=taken, key=key, why=why)


def _reverse(work: Work, office: Office, *, uid: UUID, entry: BankEntry, match: MatchRow, key: str) -> int:
    """Have the invoice owed again by its part of a transfer that came back, as far as it is paid; that much."""
    if match.invoice is None:
        return 0
    found = life.lock_invoice(work, engine=office.engine, invoice=match.invoice)
    minor = min(match.amount_minor, found.amount_paid_minor)
    if minor:
        life.settle_invoice(
            work,
            engine=office.engine,
            invoice=match.invoice,
            kind="PaymentReversal",
            reference=f"bank/{uid}",
            amount_minor=minor,
            posted=key,
            at=noon(entry),
        )
    return minor
