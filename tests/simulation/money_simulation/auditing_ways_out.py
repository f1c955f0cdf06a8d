"""The auditor's part on money that leaves: payouts of the provider, and refunds by transfer.

It goes by what the provider paid out and what the bank was asked for and told, not by what the code made of it.
"""

from collections import defaultdict
from collections.abc import Iterator, Set
from typing import Final, LiteralString

from milo_billing.infra.database import Tx
from tests.hostile_provider import HostileProvider
from tests.simulation.money_simulation.bank import Bank

PAID_BACK: Final[LiteralString] = (
    "select account, 'EUR', sum(amount_minor) from payments.transfers where state not in ('Returned', 'Cancelled') "
    "group by 1"
)
"""What went back to customers by transfer, or is about to."""


def payouts_as_the_provider_made_them(tx: Tx, provider: HostileProvider) -> Iterator[str]:
    """What is booked of each payout is what the provider sent and kept, once; of one that came back it is nothing."""
    booked: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for reference, account, minor in tx.execute(
        "select split_part(t.key, '/', 3), split_part(e.account, ':', 2), sum(e.amount_minor) "
        "from ledger.transactions t join ledger.entries e on e.transaction = t.id "
        "where t.key like 'payout/%' group by 1, 2 having sum(e.amount_minor) <> 0"
    ):
        booked[reference][account] = int(minor)
    states = dict(tx.execute("select reference, state from payments.payouts").fetchall())
    for reference, payout in provider.payouts.items():
        fees = sum(one.fee.minor for one in payout.items)
        sent = {"Cash": payout.amount.minor, "PaymentFees": fees, "Clearing": -payout.amount.minor - fees}
        came_back = {"PaymentFees": fees, "Clearing": -fees}
        wanted = {"Booked": sent, "Failed": came_back}.get(states.get(reference, ""), {})
        found = booked.pop(reference, {})
        if found != {account: minor for account, minor in wanted.items() if minor}:
            yield f"payout {reference} is {states.get(reference)} and booked as {found}, should be {wanted}"
    for reference, found in booked.items():
        yield f"payout {reference} is booked as {found}, and the provider knows nothing of it"


def paid_out(tx: Tx, provider: HostileProvider) -> dict[str, int]:
    """What booked payouts took from what lies at the provider, fees and all, by currency; by the provider's word."""
    states = dict(tx.execute("select reference, state from payments.payouts").fetchall())
    gone: defaultdict[str, int] = defaultdict(int)
    for reference, payout in provider.payouts.items():
        state = states.get(reference)
        if state in ("Booked", "Failed"):
            gone[payout.amount.currency] += sum(one.amount.minor for one in payout.items)
        if state == "Failed":
            gone[payout.amount.currency] -= payout.amount.minor
    return dict(gone)


def arrived(tx: Tx, provider: HostileProvider) -> dict[str, int]:
    """What booked payouts brought to the bank, by currency; by the provider's word."""
    booked = {
        reference
        for (reference,) in tx.execute("select reference from payments.payouts where state = 'Booked'")
    }
    came: defaultdict[str, int] = defaultdict(int)
    for reference in booked:
        payout = provider.payouts[reference]
        came[payout.amount.currency] += payout.amount.minor
    return dict(came)


def lies_as_the_provider_has_it(tx: Tx, provider: HostileProvider) -> Iterator[str]:
    """In the end, once all is told and asked: what the books have at the provider is what lies there in no payout."""
    held = {
        currency: int(minor)
        for currency, minor in tx.execute(
            "select currency, sum(amount_minor) from ledger.entries "
            "where account like 'Assets:Clearing:%' and account <> 'Assets:Clearing:Transfers' group by 1"
        )
    }
    for currency in ("USD", "EUR"):
        back = sum(
            one.amount.minor
            for one in provider.payouts.values()
            if one.state == "Failed"
            and one.amount.currency == currency
            and f"txn_back_{one.reference}" not in provider.paid_out
        )
        lying = provider.lying_minor(currency) + back
        if held.get(currency, 0) != lying:
            yield f"{lying} {currency} lie at the provider, and {held.get(currency, 0)} in the books"
    for reference, state, detail in tx.execute(
        "select reference, state, reason || ' ' || detail from payments.payouts where state not in ('Booked', 'Failed')"
    ):
        yield f"in the end payout {reference} is {state}: {detail}"


def transfers_as_the_bank_has_them(
    tx: Tx, bank: Bank, *, given_up: Set[str], taken_back: Set[str]
) -> Iterator[str]:
    """Each order that the bank has is a transfer here, in the state that the bank or a person told, booked once."""
    rows = {
        row[0]: row[1:]
        for row in tx.execute(
            "select t.end_to_end_id, t.state, t.amount_minor, f.message_id from payments.transfers t "
            "left join payments.transfer_files f on f.uid = t.file"
        )
    }
    orders: dict[str, int] = {}
    for message_id, file in bank.files.items():
        for id, minor in file.orders.items():
            if id in orders:
                yield f"the bank was asked for transfer {id} twice"
            orders[id] = minor
            if id not in rows or rows[id][1:] != (minor, message_id):
                yield f"the bank was asked to pay {minor} for {id} in {message_id}, here it is {rows.get(id)}"
    for id, (state, minor, _) in rows.items():
        if id in bank.refused or id in given_up or id in taken_back:
            told = "Cancelled"
        elif id in bank.returned:
            told = "Returned"
        elif id in bank.booked:
            told = "Booked"
        else:
            told = "Sent" if id in orders else "Wanted"
        if state != told:
            yield f"transfer {id} of {minor} is {state}, and should be {told}"
    yield from _under_way(tx, rows=[(state, minor) for state, minor, _ in rows.values()])


def _under_way(tx: Tx, *, rows: list[tuple[str, int]]) -> Iterator[str]:
    wanted = -sum(minor for state, minor in rows if state in ("Wanted", "Sent"))
    ((held,),) = tx.execute(
        "select coalesce(sum(amount_minor), 0) from ledger.entries where account = 'Assets:Clearing:Transfers'"
    ).fetchall()
    if int(held) != wanted:
        yield f"{-wanted} are on their way back to customers, and {-held} in the books"
