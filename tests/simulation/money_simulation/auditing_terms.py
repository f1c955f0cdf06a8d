"""The auditor of terms and debits, written from domain.md §8: discounts for paying early, interest, direct debit."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from milo_billing.infra.database import Tx
from tests.simulation.money_simulation.bank import Bank

ISSUED_IN: Final = ZoneInfo("Europe/Dublin")
_DAY: Final = timedelta(days=1)
_CREDITED: Final = ("CreditNote", "EarlyPaymentDiscount", "Void")
_PAID: Final = ("Payment", "Credit")

Became = dict[UUID, list[tuple[str, int, date]]]


def _became(tx: Tx) -> Became:
    """What became of every invoice: kind, amount, and the day on which it counts where the invoice was issued."""
    found: Became = defaultdict(list)
    for invoice, kind, minor, at in tx.execute(
        "select invoice, kind, amount_minor, at from invoicing.settlements order by invoice, step"
    ):
        found[invoice].append((kind, minor, at.astimezone(ISSUED_IN).date()))
    return found


def interest_differences(tx: Tx, *, now: datetime) -> Iterator[str]:
    """Interest that was charged is, day by day, what was overdue; asked right after the job that charges it.

    More than is owed stays charged only where somebody has given it back himself, by a note or a void.
    """
    until = now.astimezone(ISSUED_IN).date().replace(day=1)
    became = _became(tx)
    rows = tx.execute(
        "select i.uid, i.number, i.due_on, i.total_minor, i.interest_percent, i.phase, "
        "coalesce((select sum(x.amount_minor) from invoicing.interest x where x.invoice = i.uid), 0) "
        "- coalesce((select sum(r.amount_minor) from invoicing.interest_reversals r where r.invoice = i.uid), 0), "
        "exists (select from invoicing.interest x join invoicing.invoices c on c.uid = x.charged_on "
        "where x.invoice = i.uid and c.credited_minor > 0) "
        "from invoicing.invoices i where i.interest_percent is not null"
    ).fetchall()
    for uid, number, due_on, total, percent, phase, charged, credited in rows:
        owed = 0 if phase == "Void" else _interest(became[uid], due_on, total, percent, until)
        if owed > charged or (owed < charged and not credited):
            yield f"{number}: {owed} of interest until {until} are owed, {charged} were charged: {became[uid]}"


def _interest(
    became: list[tuple[str, int, date]], due_on: date, total: int, percent: Decimal, until: date
) -> int:
    """What was due when a day begins bears interest for it; what a note takes back was never owed."""
    never = sum(minor for kind, minor, _ in became if kind in _CREDITED)
    moved: dict[date, int] = defaultdict(int)
    for kind, minor, on in became:
        if kind not in _CREDITED:
            moved[max(on + _DAY, due_on + _DAY)] += minor
    owed, days = total - never, Decimal(0)
    day = due_on + _DAY
    while day < until:
        owed -= moved.get(day, 0)
        days += max(owed, 0)
        day += _DAY
    return int((days * percent / 100 / 365).quantize(Decimal(1), ROUND_HALF_UP))


def early_discounts(tx: Tx) -> Iterator[str]:
    """A discount for early payment closes the invoice, where all money came in its time, and stands only while it is
    closed: it ends by all that it was before another is given.
    """
    became = _became(tx)
    for uid, number, total, percent, until in tx.execute(
        "select uid, number, total_minor, early_percent, early_until from invoicing.invoices"
    ).fetchall():
        left, stands, latest = total, 0, date.min
        for kind, minor, on in became[uid]:
            left -= minor
            if kind in _PAID:
                latest = max(latest, on)
            if kind == "DiscountReversal":
                if minor != -stands:
                    yield f"{number}: a discount of {stands} for early payment ended by {minor}"
                stands = 0
            if kind == "EarlyPaymentDiscount":
                if stands or left or until is None or latest > until:
                    yield (
                        f"{number} was discounted by {minor} besides {stands} with {left} due, and paid on {latest} "
                        f"with a discount until {until}"
                    )
                # a cent for each line and tax that is rounded by itself
                if minor > total * (percent or 0) / 100 + 5:
                    yield f"{number} of {total} was discounted by {minor}, which is over {percent} %"
                stands = minor
        if stands and left:
            yield f"{number} is discounted by {stands} for early payment, and {left} are due"


def one_collects_at_a_time(tx: Tx) -> Iterator[str]:
    """Nothing is asked for by a debit and at a provider at once, and nothing under a mandate of somebody else."""
    for number, id in tx.execute(
        "select i.number, d.end_to_end_id from payments.debits d join invoicing.invoices i on i.uid = d.invoice "
        "join payments.payments p on p.invoice = i.uid and p.phase = 'Pending' where d.state = 'Sent'"
    ):
        yield f"{number} is asked for by debit {id} and at a provider"
    for id in tx.execute(
        "select d.end_to_end_id from payments.debits d join payments.mandates m on m.uid = d.mandate "
        "join invoicing.invoices i on i.uid = d.invoice where d.account <> m.account or i.account <> d.account"
    ):
        yield f"debit {id} is of another account than its mandate"


def debits_as_the_bank_has_them(tx: Tx, bank: Bank) -> Iterator[str]:
    """What the bank was asked for is what stands here, order by order, in the state that the bank told."""
    rows: dict[str, tuple[Any, ...]] = {
        row[0]: row[1:]
        for row in tx.execute(
            "select d.end_to_end_id, d.state, d.amount_minor, f.message_id from payments.debits d "
            "join payments.debit_files f on f.uid = d.file"
        ).fetchall()
    }
    orders = {id: minor for file in bank.files.values() for id, minor in file.orders.items()}
    if orders != {id: row[1] for id, row in rows.items()}:
        yield f"the bank was asked for {orders}, and {rows} stand here"
    entries = {
        (id, credit): state
        for id, credit, state in tx.execute(
            "select end_to_end_id, credit, state from payments.statement_entries where end_to_end_id <> ''"
        ).fetchall()
    }
    for id, (state, _, _) in rows.items():
        if id in bank.refused or (id in bank.returned and entries[id, False] == "Returned"):
            told = "Returned"
        elif (id in bank.booked or id in bank.returned) and entries[id, True] != "Waiting":
            told = "Settled"
        else:
            told = "Sent"
        if state != told:
            yield f"debit {id} is {state}, and the bank says {told}"


TERMS_CHECKS: Final = (early_discounts, one_collects_at_a_time)
