"""Money that goes back by bank transfer: ask for it, make the file for the bank, note what statements say of it.

Owns: the order of locks and writes, the entries. Not: the form of the file (adapters), the rows (transfer_rows).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final, Literal
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
    BY_TRANSFER,
    UNDER_WAY,
    Entry,
    Fact,
    cash,
    payment_fees,
)
from milo_billing.notices import operations as notices
from milo_billing.notices.types import Event
from milo_billing.payments import store
from milo_billing.payments.engine import bank_rows
from milo_billing.payments.engine import transfer_rows as rows
from milo_billing.payments.engine.bank_file_rows import TRANSFER_FILES, FileRow, insert_file, new_message_id
from milo_billing.payments.engine.transfer_rows import TransferRow
from milo_billing.payments.ports import Holder, TransferFile, TransferOrder, TransferWriter
from milo_billing.payments.rules.mandates import CURRENCY, is_business_day
from milo_billing.payments.rules.statements import cash_name
from milo_billing.payments.rules.transfer_requests import TransferFileRequest, TransferRequest
from milo_billing.payments.rules.transfer_sources import SOURCES, UnableToTransfer, choose_source
from milo_billing.payments.types import BankEntry, DebitRefusal

TRANSFERS_MAX: Final = 10_000
"""Of one file; what is over comes into the next."""


@dataclass(frozen=True, slots=True)
class MadeTransfers:
    """A file, with what is in it. `content` is empty where nothing is wanted, and there is no file."""

    message_id: str
    issuer: str
    execute_on: date
    transfers: tuple[TransferRow, ...]
    content: bytes


def request_transfer(work: Work, vault: Vault, wanted: TransferRequest) -> TransferRow:
    """Take money that the account has unapplied or on account, to be paid back with the next file.

    It is the account's no more from now on, and again should it be cancelled or come back. Raises AccountNotFound;
    UnableToTransfer where the account has less with one issuer, or nobody knows where it came from.
    """
    tx = work.tx
    account = account_reads.find_account(tx, namespace=wanted.account[0], name=wanted.account[1])
    if account is None:
        raise AccountNotFound(f'billingaccounts.billing.miloapis.com "{"/".join(wanted.account)}" not found')
    bank_rows.lock_bank(tx)
    store.lock_account(tx, account=account.number)
    kept = books.list_kept(tx, billing_account=account.number)
    entity, source, amount = choose_source(wanted, kept)
    issuer, _ = _payer(tx, entity)
    payee = Holder(wanted.holder, wanted.iban, wanted.bic)
    if not wanted.iban:
        payee = _came_from(tx, vault, account=account.number, name=account.name)
    uid = new_uid()
    row = TransferRow(
        uid=uid,
        owner_org=account.owner_org,
        account=account.number,
        account_name="/".join(wanted.account),
        entity=entity,
        source=source,
        end_to_end_id=f"MB{uid.hex.upper()}",
        amount_minor=amount.minor,
        last4=payee.iban[-4:],
        reason=wanted.reason,
        state="Wanted",
        answer="",
        answered_by="",
        message_id="",
        execute_on=None,
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
        entries=ledger.refunded(amount, out_of=UNDER_WAY, of=SOURCES[source]),
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
            f"transfer {end_to_end_id} is {row.state}: only what is in no file yet can be cancelled; bring in the "
            "bank's answer or its statement, or say that the bank has not executed it once its day is over "
            "(milo-billing payments transfers not-executed)"
        )
    _cancel(work, row, answer=reason)
    return rows.get_transfer(work.tx, end_to_end_id=end_to_end_id)


def note_not_executed(work: Work, *, end_to_end_id: str, reason: str) -> TransferRow:
    """A person knows that the bank has not paid and will not pay what a file asked for: the account has it again.

    Saying it again changes nothing. A statement that books it comes before or after, under the same lock: before, this
    is refused; after, the entry waits for a person. Raises TransferNotFound; UnableToTransfer also where the day
    on which the bank was to pay is not over.
    """
    bank_rows.lock_bank(work.tx)
    row = rows.get_transfer(work.tx, end_to_end_id=end_to_end_id)
    if row.state == "Cancelled" and row.execute_on is not None:
        return row
    if row.state != "Sent" or row.execute_on is None:
        what = (
            "cancel it instead" if row.state == "Wanted" else "only what is Sent may not have been executed"
        )
        raise UnableToTransfer(f"transfer {end_to_end_id} is {row.state}: {what}")
    if _today(work, _issuer(work.tx, row.entity)) <= row.execute_on:
        raise UnableToTransfer(
            f"transfer {end_to_end_id} is to be paid on {row.execute_on}: wait until that day is over, and until its "
            "statement is in"
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
    work: Work, vault: Vault, writer: TransferWriter, asked: TransferFileRequest
) -> MadeTransfers:
    """The file of everything that is wanted of one issuer; nothing is in two files.

    Raises UnableToTransfer where several issuers are to pay and none is said, the issuer has no bank account, or the
    day is none.
    """
    tx = work.tx
    bank_rows.lock_bank(tx)
    issuer, payer = _payer(tx, asked.issuer or _only_issuer(tx))
    today = _today(work, issuer)
    first = next(day for ahead in range(10) if is_business_day(day := today + timedelta(days=ahead)))
    day = asked.execute_on or first
    if day < first or not is_business_day(day):
        raise UnableToTransfer(f"{day} is no day on which banks pay: {first} is the first")
    wanted = rows.load_wanted(tx, vault, entity=issuer.name, limit=TRANSFERS_MAX)
    if not wanted:
        return MadeTransfers("", issuer.name, day, (), b"")
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
    return MadeTransfers(message_id, issuer.name, day, tuple(one for one, _ in wanted), content)


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
        _announce(work, row, "transfer.booked")
        _post(
            work,
            row,
            key=f"transfer/{row.uid}/booked",
            on=entry.booked_on,
            entries=ledger.settled_to_cash(-amount, fee=Money(0, CURRENCY), provider=BY_TRANSFER, bank=bank),
            description="Bank transfer to the customer",
        )
        return
    came = Money(entry.amount_minor, CURRENCY)
    entries = [Entry(bank, came), Entry(SOURCES[row.source], -amount)]
    if came != amount:
        entries.append(Entry(payment_fees("bank"), amount - came))
    answer = entry.return_reason or "no reason told"
    rows.set_returned(work.tx, uid=row.uid, answer=answer, entry=uid, by=work.identity.user)
    _announce(work, row, "transfer.returned", reason=answer)
    _post(
        work,
        row,
        key=f"transfer/{row.uid}/returned",
        on=entry.booked_on,
        entries=entries,
        description=f"Returned transfer {entry.return_reason}".strip(),
    )


# ------------------------------------------------------------------------------------------------------ parts


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


def _issuer(tx: Tx, name: str) -> IssuerVersion:
    """The issuer in whose books the money is."""
    found = issuer_reads.find_issuer(tx, name=name)
    if found is None:
        raise UnableToTransfer(f'nobody can pay: there is no IssuerProfile "{name}"')
    return found


def _payer(tx: Tx, name: str) -> tuple[IssuerVersion, Holder]:
    """An issuer, as who pays."""
    issuer = _issuer(tx, name)
    bank: dict[str, Any] = issuer.body.get("bankDetails") or {}
    if not bank.get("iban"):
        raise UnableToTransfer(f"nobody can pay: IssuerProfile {name} needs spec.bankDetails.iban")
    return issuer, Holder(bank["accountHolder"], bank["iban"], bank.get("bic", ""))


def _only_issuer(tx: Tx) -> str:
    """Whose transfers are wanted; the default issuer where none are."""
    wanted = rows.list_issuers(tx)
    if len(wanted) > 1:
        raise UnableToTransfer(
            f"transfers of {' and '.join(wanted)} are wanted, and each has a bank account and a file of its own: say "
            "which issuer's file is made"
        )
    if wanted:
        return wanted[0]
    default = issuer_reads.find_default_issuer(tx)
    if default is None:
        raise UnableToTransfer("nobody can pay: there is no default IssuerProfile, and nothing is wanted")
    return default.name


def _announce(
    work: Work, row: TransferRow, type: Literal["transfer.booked", "transfer.returned"], *, reason: str = ""
) -> None:
    """Tell the customer, in the transaction that makes it so."""
    namespace, _, name = row.account_name.partition("/")
    amount = Money(row.amount_minor, CURRENCY)
    event = Event(
        type=type,
        key=f"transfer/{row.uid}/{type}",
        org=row.owner_org,
        data={
            "account": {"namespace": namespace, "name": name},
            "transfer": row.end_to_end_id,
            "currencyCode": CURRENCY,
            "amount": str(amount.decimal()),
            **({"reason": reason} if reason else {}),
        },
        account=row.account_name,
    )
    notices.send(work.tx, None, event=event, now=work.now)


def _cancel(work: Work, row: TransferRow, *, answer: str) -> None:
    store.lock_account(work.tx, account=row.account)
    rows.set_cancelled(work.tx, uid=row.uid, answer=answer, by=work.identity.user)
    issuer = _issuer(work.tx, row.entity)
    amount = Money(row.amount_minor, CURRENCY)
    _post(
        work,
        row,
        key=f"transfer/{row.uid}/cancelled",
        on=_today(work, issuer),
        entries=ledger.taken_back(ledger.refunded(amount, out_of=UNDER_WAY, of=SOURCES[row.source])),
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
