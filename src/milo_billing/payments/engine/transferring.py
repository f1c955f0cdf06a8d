"""Money that goes back by bank transfer: ask for it, make the file for the bank, note what statements say of it.

Owns: the order of locks and writes, the entries. Not: the form of the file (adapters), the rows (transfer_rows).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final
from uuid import UUID

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.types import AccountNotFound
from milo_billing.controlplane.work import Work
from milo_billing.infra.clock import new_uid
from milo_billing.infra.crypto import Vault
from milo_billing.infra.database import Tx
from milo_billing.invoicing.reads import issuers as issuer_reads
from milo_billing.invoicing.types.invoices import IssuerVersion
from milo_billing.kernel.money import Money
from milo_billing.kernel.periods import local_day
from milo_billing.ledger import operations as ledger
from milo_billing.ledger import reads as books
from milo_billing.ledger.types import (
    MONEY_ON_ACCOUNT,
    UNAPPLIED_CASH,
    AccountName,
    Entry,
    Fact,
    cash,
    clearing,
    payment_fees,
)
from milo_billing.payments import store
from milo_billing.payments.engine import bank_rows
from milo_billing.payments.engine import transfer_rows as rows
from milo_billing.payments.engine.bank_file_rows import TRANSFER_FILES, FileRow, insert_file, new_message_id
from milo_billing.payments.engine.transfer_rows import TransferRow, TransferSource, UnableToTransfer
from milo_billing.payments.ports import Holder, TransferFile, TransferOrder, TransferWriter
from milo_billing.payments.rules.mandates import CURRENCY, is_business_day
from milo_billing.payments.rules.statements import cash_name
from milo_billing.payments.rules.transfer_requests import TransferRequest
from milo_billing.payments.types import BankEntry, DebitRefusal

TRANSFERS_MAX: Final = 10_000
"""Of one file; what is over comes into the next."""

_TRANSFERS: Final = "transfers"
UNDER_WAY: Final = clearing(_TRANSFERS)
"""Money that was taken from what is owed to customers, and that has not left the bank yet: below zero."""

_ACCOUNTS: Final[dict[TransferSource, AccountName]] = {
    "UnappliedCash": UNAPPLIED_CASH,
    "MoneyOnAccount": MONEY_ON_ACCOUNT,
}


@dataclass(frozen=True, slots=True)
class MadeTransfers:
    """A file, with what is in it. `content` is empty where nothing is wanted, and there is no file."""

    message_id: str
    execute_on: date
    transfers: tuple[TransferRow, ...]
    content: bytes


def request_transfer(work: Work, vault: Vault, wanted: TransferRequest) -> TransferRow:
    """Take money that the account has unapplied or on account, to be paid back with the next file.

    It is the account's no more from now on, and again should it be cancelled or come back. Raises AccountNotFound;
    UnableToTransfer where the account has less with the default issuer, or nobody knows where it came from.
    """
    tx = work.tx
    account = account_reads.find_account(tx, namespace=wanted.account[0], name=wanted.account[1])
    if account is None:
        raise AccountNotFound(f'billingaccounts.billing.miloapis.com "{"/".join(wanted.account)}" not found')
    issuer, _ = _payer(tx)
    bank_rows.lock_bank(tx)
    store.lock_account(tx, account=account.number)
    source, amount = _source(tx, wanted, account=account.number, entity=issuer.name)
    payee = Holder(wanted.holder, wanted.iban, wanted.bic)
    if not wanted.iban:
        payee = _came_from(tx, vault, account=account.number, name=account.name)
    uid = new_uid()
    row = TransferRow(
        uid=uid,
        owner_org=account.owner_org,
        account=account.number,
        account_name="/".join(wanted.account),
        entity=issuer.name,
        source=source,
        end_to_end_id=f"MB{uid.hex.upper()}",
        amount_minor=amount.minor,
        last4=payee.iban[-4:],
        reason=wanted.reason,
        state="Wanted",
        answer="",
        message_id="",
        created_at=work.now,
        created_by=work.identity.user,
    )
    key = f"transfer/{uid}/wanted"
    rows.insert_transfer(tx, vault, row, payee, subject=account.uid, posted=key)
    _post(
        work,
        row,
        key=key,
        on=_today(work, issuer),
        entries=ledger.refunded(amount, out_of=UNDER_WAY, of=_ACCOUNTS[source]),
        description="Money goes back by bank transfer",
    )
    return row


def cancel_transfer(work: Work, *, end_to_end_id: str, reason: str) -> TransferRow:
    """Pay nothing of what was asked for, as long as it is in no file: the account has it again.

    Raises TransferNotFound, UnableToTransfer.
    """
    bank_rows.lock_bank(work.tx)
    row = rows.get_transfer(work.tx, end_to_end_id=end_to_end_id)
    if row.state != "Wanted":
        raise UnableToTransfer(
            f"transfer {end_to_end_id} is {row.state}: only what is in no file yet can be cancelled here; have the "
            "bank refuse or return it, and bring in its answer or its statement"
        )
    _cancel(work, row, answer=reason)
    return rows.get_transfer(work.tx, end_to_end_id=end_to_end_id)


def note_refused_transfers(work: Work, refusals: Sequence[DebitRefusal]) -> tuple[str, ...]:
    """Give accounts back what the bank refused to pay, single transfers or a file; the end-to-end ids of those."""
    bank_rows.lock_bank(work.tx)
    found: list[str] = []
    for one in refusals:
        ids = (
            (one.end_to_end_id,) if one.end_to_end_id else rows.list_sent(work.tx, message_id=one.message_id)
        )
        for end_to_end_id in ids:
            row = rows.find_transfer(work.tx, end_to_end_id=end_to_end_id)
            if row is not None and row.state == "Sent":
                _cancel(work, row, answer=one.reason or "the bank refused it")
                found.append(end_to_end_id)
    return tuple(found)


def make_transfer_file(
    work: Work, vault: Vault, writer: TransferWriter, *, execute_on: date | None
) -> MadeTransfers:
    """The file of everything that is wanted; nothing is in two files. Raises UnableToTransfer where the issuer has no
    bank account, or the day is none.
    """
    tx = work.tx
    bank_rows.lock_bank(tx)
    issuer, payer = _payer(tx)
    today = _today(work, issuer)
    first = next(day for ahead in range(10) if is_business_day(day := today + timedelta(days=ahead)))
    day = execute_on or first
    if day < first or not is_business_day(day):
        raise UnableToTransfer(f"{day} is no day on which banks pay: {first} is the first")
    wanted = rows.load_wanted(tx, vault, entity=issuer.name, limit=TRANSFERS_MAX)
    if not wanted:
        return MadeTransfers("", day, (), b"")
    message_id = new_message_id(work.now)
    orders = tuple(
        TransferOrder(one.end_to_end_id, one.amount_minor, payee, f"Refund {one.account_name}")
        for one, payee in wanted
    )
    file = TransferFile(message_id, work.now, payer, day, orders)
    try:
        content = writer(file)
    except ValueError as error:
        raise UnableToTransfer(str(error)) from error
    total = sum(one.amount_minor for one, _ in wanted)
    row = FileRow(message_id, issuer.name, day, len(wanted), total, work.now, work.identity.user)
    uid = insert_file(tx, vault, TRANSFER_FILES, row, content=content)
    rows.set_sent(tx, uids=[one.uid for one, _ in wanted], file=uid)
    return MadeTransfers(message_id, day, tuple(one for one, _ in wanted), content)


# --------------------------------------------------------------------------------------- what statements tell


def find_told(tx: Tx, entry: BankEntry, *, currency: str) -> tuple[TransferRow, bool] | None:
    """The transfer that an entry names, and whether the entry pays it or brings it back; None where it names none.

    Not so where the amount is another, or it is not due: a bank may keep a fee of what comes back, never of what is
    paid.
    """
    found = rows.find_transfer(tx, end_to_end_id=entry.end_to_end_id) if entry.end_to_end_id else None
    if found is None:
        return None
    if entry.credit:
        back = entry.reversal or bool(entry.return_reason)
        fits = found.state == "Booked" and back and entry.amount_minor <= found.amount_minor
    else:
        fits = found.state == "Sent" and not entry.reversal and entry.amount_minor == found.amount_minor
    return found, fits and currency == CURRENCY


def book_told(work: Work, row: TransferRow, *, entry: BankEntry, uid: UUID, bank_account: str) -> None:
    """Post what a bank's entry (`uid`) says of the transfer that `find_told` found."""
    store.lock_account(work.tx, account=row.account)
    bank, amount = cash(cash_name(bank_account)), Money(row.amount_minor, CURRENCY)
    if not entry.credit:
        rows.set_booked(work.tx, uid=row.uid, entry=uid)
        _post(
            work,
            row,
            key=f"transfer/{row.uid}/booked",
            on=entry.booked_on,
            entries=ledger.settled_to_cash(-amount, fee=Money(0, CURRENCY), provider=_TRANSFERS, bank=bank),
            description="Bank transfer to the customer",
        )
        return
    came = Money(entry.amount_minor, CURRENCY)
    entries = [Entry(bank, came), Entry(_ACCOUNTS[row.source], -amount)]
    if came != amount:
        entries.append(Entry(payment_fees("bank"), amount - came))
    answer = entry.return_reason or "no reason told"
    rows.set_returned(work.tx, uid=row.uid, answer=answer, entry=uid)
    _post(
        work,
        row,
        key=f"transfer/{row.uid}/returned",
        on=entry.booked_on,
        entries=entries,
        description=f"Returned transfer {entry.return_reason}".strip(),
    )


# ------------------------------------------------------------------------------------------------------ parts


def _source(tx: Tx, wanted: TransferRequest, *, account: int, entity: str) -> tuple[TransferSource, Money]:
    """Out of which money, and how much: all of it where nothing was said."""
    held: dict[TransferSource, Money] = {
        source: -books.balance(tx, account=name, currency=CURRENCY, entity=entity, billing_account=account)
        for source, name in _ACCOUNTS.items()
    }
    for source, has in held.items():
        amount = has if wanted.minor is None else Money(wanted.minor, CURRENCY)
        if 0 < amount.minor <= has.minor:
            return source, amount
    asked = "nothing" if wanted.minor is None else f"less than {Money(wanted.minor, CURRENCY)} in either"
    raise UnableToTransfer(
        f"account {'/'.join(wanted.account)} has {held['UnappliedCash']} unapplied and {held['MoneyOnAccount']} on "
        f"account with {entity}, {asked}: ask for no more than one of them has, or issue a credit note first"
    )


def _came_from(tx: Tx, vault: Vault, *, account: int, name: str) -> Holder:
    """Who paid last, if all that is known of the account came from one place."""
    found = rows.list_sources(tx, account=account)
    if len(found) != 1:
        why = (
            "no bank transfer of it is known" if not found else f"it has paid from {len(found)} bank accounts"
        )
        raise UnableToTransfer(f"account {name}: {why}; say where the money goes with iban and holder")
    entry = bank_rows.get_entry(tx, vault, uid=found[0]).entry
    if not entry.counterparty_iban or not entry.counterparty_name:
        raise UnableToTransfer(
            f"account {name}: the bank told no name of who paid, or it was erased; say where the money goes with iban "
            "and holder"
        )
    return Holder(entry.counterparty_name, entry.counterparty_iban, "")


def _payer(tx: Tx) -> tuple[IssuerVersion, Holder]:
    """The default issuer, as who pays."""
    issuer = issuer_reads.find_default_issuer(tx)
    bank: dict[str, Any] = {} if issuer is None else issuer.body.get("bankDetails") or {}
    if issuer is None or not bank.get("iban"):
        raise UnableToTransfer("nobody can pay: the default IssuerProfile needs spec.bankDetails.iban")
    return issuer, Holder(bank["accountHolder"], bank["iban"], bank.get("bic", ""))


def _cancel(work: Work, row: TransferRow, *, answer: str) -> None:
    store.lock_account(work.tx, account=row.account)
    rows.set_cancelled(work.tx, uid=row.uid, answer=answer)
    issuer, _ = _payer(work.tx)
    amount = Money(row.amount_minor, CURRENCY)
    _post(
        work,
        row,
        key=f"transfer/{row.uid}/cancelled",
        on=_today(work, issuer),
        entries=ledger.taken_back(ledger.refunded(amount, out_of=UNDER_WAY, of=_ACCOUNTS[row.source])),
        description="Bank transfer is not made",
    )


def _today(work: Work, issuer: IssuerVersion) -> date:
    return local_day(work.now, zone=issuer.body["timeZone"])


def _post(
    work: Work, row: TransferRow, *, key: str, on: date, entries: Sequence[Entry], description: str
) -> None:
    fact = Fact(
        id=new_uid(),
        key=key,
        entity=row.entity,
        posted_on=on,
        billing_account=row.account,
        owner_org=row.owner_org,
        description=description,
    )
    ledger.post_fact(work.tx, fact=fact, entries=entries, now=work.now)
