"""SEPA direct debit: take a mandate down, make the file of what is due, note what the bank says of each debit.

Owns: the order of locks and writes. Not: what is due when (rules.mandates), the form of the file (adapters).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any, Final
from uuid import UUID

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.types import AccountNotFound
from milo_billing.controlplane.work import Work
from milo_billing.infra.clock import new_uid
from milo_billing.infra.crypto import Vault
from milo_billing.infra.database import Tx
from milo_billing.invoicing.operations import life
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.reads import issuers as issuer_reads
from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.payments.engine import debit_rows as rows
from milo_billing.payments.engine.bank_file_rows import DEBIT_FILES, FileRow, insert_file, new_message_id
from milo_billing.payments.engine.bank_rows import lock_bank, payer_digest, remember_payer
from milo_billing.payments.engine.debit_rows import MandateRow, UnableToDebit
from milo_billing.payments.rules import mandates
from milo_billing.payments.rules.debit_requests import DebitRequest, MandateRequest
from milo_billing.payments.rules.mandates import Mandate, PlannedDebit
from milo_billing.payments.rules.statements import return_kind
from milo_billing.payments.types import Creditor, DebitFile, DebitOrder, DebitRefusal, DebitWriter

DEBITS_MAX: Final = 10_000
"""Of one file; what is over comes into the next."""


@dataclass(frozen=True, slots=True)
class MadeFile:
    """A file, with what is in it. `content` is empty where nothing is due, and there is no file."""

    message_id: str
    collect_on: date
    planned: tuple[PlannedDebit, ...]
    content: bytes


def add_mandate(work: Work, vault: Vault, wanted: MandateRequest) -> MandateRow:
    """Take down what a customer signed. Raises AccountNotFound; UnableToDebit where the account has a mandate, the
    reference is taken, the day of signature lies ahead, or the account is not in euro.
    """
    tx = work.tx
    account = account_reads.find_account(tx, namespace=wanted.account[0], name=wanted.account[1])
    if account is None:
        raise AccountNotFound(f'billingaccounts.billing.miloapis.com "{"/".join(wanted.account)}" not found')
    lock_bank(tx)
    if account.currency != mandates.CURRENCY:
        raise UnableToDebit(f"account {account.name} is in {account.currency}: SEPA collects euro only")
    if (standing := rows.find_active(tx, account=account.number)) is not None:
        raise UnableToDebit(f"account {account.name} is debited under mandate {standing}: revoke that first")
    if wanted.signed_on > work.now.date():
        raise UnableToDebit(f"the mandate was signed on {wanted.signed_on}, which is still to come")
    uid = new_uid()
    reference = wanted.reference or f"M{uid.hex[:20].upper()}"
    if rows.is_taken(tx, reference=reference):
        raise UnableToDebit(f"mandate reference {reference} is taken: leave it out to have one made")
    mandate = Mandate(
        uid=uid,
        account=account.number,
        owner_org=account.owner_org,
        reference=reference,
        signed_on=wanted.signed_on,
        scheme=wanted.scheme,
        holder=wanted.holder,
        iban=wanted.iban,
        bic=wanted.bic,
    )
    rows.insert_mandate(tx, vault, mandate, subject=account.uid, by=work.identity.user, now=work.now)
    payer = payer_digest(wanted.iban)
    assert payer is not None, "a mandate has an IBAN"
    remember_payer(tx, account=account.number, owner_org=account.owner_org, payer=payer)
    return rows.get_mandate(tx, reference=reference)


def revoke_mandate(work: Work, *, reference: str, reason: str) -> MandateRow:
    """Debit nothing under the mandate any more. Raises MandateNotFound."""
    found = rows.get_mandate(work.tx, reference=reference)
    rows.revoke(work.tx, uid=found.uid, reason=reason)
    return rows.get_mandate(work.tx, reference=reference)


def make_file(work: Work, vault: Vault, writer: DebitWriter, wanted: DebitRequest) -> MadeFile:
    """The file of all that is due on the day of collection under a mandate; nothing in it is asked for again until the
    bank has said what became of it. Raises UnableToDebit where the issuer cannot collect, or the day is none.
    """
    tx = work.tx
    lock_bank(tx)
    today = work.now.date()
    first = mandates.first_collection_day(today)
    collect_on = wanted.collect_on or first
    if collect_on < first or not mandates.is_business_day(collect_on):
        raise UnableToDebit(
            f"{collect_on} is no day to collect on: banks need {mandates.LEAD_DAYS} business days before a business "
            f"day, so {first} is the first"
        )
    signed = rows.load_active(tx, vault)
    open_ = invoice_reads.list_payable(tx, numbers=(), accounts=signed, limit=100 * DEBITS_MAX)
    issuer, creditor = _creditor(tx)
    plan = partial(_plan, tx, signed=signed, collect_on=collect_on, notified_days=wanted.notified_days)
    wished = plan([one for one in open_ if one.issuer == issuer])
    # who collects otherwise locks the invoice too; so what stands is read again once it is locked
    planned = plan(
        [invoice_reads.lock_invoice(tx, uid=uid) for uid in sorted(one.invoice.uid for one in wished)]
    )
    if not planned:
        return MadeFile("", collect_on, (), b"")
    message_id = new_message_id(work.now)
    file = DebitFile(message_id, work.now, creditor, collect_on, tuple(_order(one) for one in planned))
    try:
        content = writer(file)
    except ValueError as error:
        raise UnableToDebit(str(error)) from error
    total = sum(one.amount_minor for one in planned)
    row = FileRow(message_id, issuer, collect_on, len(planned), total, work.now, work.identity.user)
    uid = insert_file(tx, vault, DEBIT_FILES, row, content=content)
    rows.insert_debits(tx, file=uid, planned=planned, now=work.now)
    return MadeFile(message_id, collect_on, planned, content)


def _plan(
    tx: Tx, open_: Sequence[Invoice], *, signed: Mapping[int, Mandate], collect_on: date, notified_days: int
) -> tuple[PlannedDebit, ...]:
    tried, standing = rows.load_tried(tx, invoices=[one.uid for one in open_])
    return mandates.plan(
        open_,
        mandates=signed,
        histories=rows.load_histories(tx),
        tried=tried,
        standing=standing,
        discounted=_discounted(tx, open_, collect_on=collect_on),
        collect_on=collect_on,
        notified_days=notified_days,
    )[:DEBITS_MAX]


def _discounted(tx: Tx, open_: Sequence[Invoice], *, collect_on: date) -> dict[UUID, int]:
    """What settles each invoice that is less by a discount where it is collected on this day."""
    at = rows.noon(collect_on)
    asked = {
        one.uid: (one.amount_due_minor, life.asked_minor(tx, invoice=one, now=at))
        for one in open_
        if one.early is not None and one.amount_due_minor
    }
    return {uid: minor for uid, (due_minor, minor) in asked.items() if minor < due_minor}


def _creditor(tx: Tx) -> tuple[str, Creditor]:
    """The default issuer, as who collects."""
    issuer = issuer_reads.find_default_issuer(tx)
    bank: dict[str, Any] = {} if issuer is None else issuer.body.get("bankDetails") or {}
    lacking = [name for name in ("iban", "sepaCreditorId") if not bank.get(name)]
    if issuer is None or lacking:
        raise UnableToDebit(
            "nobody can collect: the default IssuerProfile needs spec.bankDetails."
            + " and spec.bankDetails.".join(lacking or ("iban", "sepaCreditorId"))
        )
    return issuer.name, Creditor(
        name=bank["accountHolder"],
        iban=bank["iban"],
        bic=bank.get("bic", ""),
        creditor_id=bank["sepaCreditorId"],
    )


def _order(planned: PlannedDebit) -> DebitOrder:
    mandate = planned.mandate
    return DebitOrder(
        end_to_end_id=planned.end_to_end_id,
        amount_minor=planned.amount_minor,
        mandate=mandate.reference,
        signed_on=mandate.signed_on,
        scheme=mandate.scheme,
        sequence=planned.sequence,
        debtor=mandate.holder,
        iban=mandate.iban,
        bic=mandate.bic,
        text=f"Invoice {planned.invoice.number}",
    )


def note_settled(tx: Tx, *, end_to_end_id: str) -> None:
    """The bank has the money of this debit, if it is one of ours."""
    found = rows.find_debit(tx, end_to_end_id=end_to_end_id) if end_to_end_id else None
    if found is not None and found.state == "Sent":
        rows.set_debit_state(tx, uid=found.uid, state="Settled")


def note_returned(tx: Tx, *, end_to_end_id: str, reason: str) -> bool:
    """The debit was refused or sent back; whether it is one of ours. For good, the mandate is revoked with it: nothing
    is asked for again until the customer has signed another. Otherwise a later file may ask again.
    """
    found = rows.find_debit(tx, end_to_end_id=end_to_end_id) if end_to_end_id else None
    if found is None:
        return False
    if found.state != "Returned":
        rows.set_debit_state(tx, uid=found.uid, state="Returned", reason=reason)
        if return_kind(reason) == "Hard":
            rows.revoke(
                tx, uid=found.mandate, reason=f"debit {end_to_end_id} came back: {reason or 'no reason told'}"
            )
    return True


def note_refused(work: Work, refusals: Sequence[DebitRefusal]) -> tuple[str, ...]:
    """Have debits that the bank refused before their day free to be asked for again; the end-to-end ids of those.

    A debit that is refused for good takes its mandate with it; a whole file that is refused says nothing of mandates.
    """
    tx = work.tx
    lock_bank(tx)
    found: list[str] = []
    for one in refusals:
        if one.end_to_end_id:
            ids = (one.end_to_end_id,)
        else:
            ids = rows.list_sent(tx, message_id=one.message_id)
        for end_to_end_id in ids:
            debit = rows.find_debit(tx, end_to_end_id=end_to_end_id)
            if debit is None or debit.state != "Sent":
                continue
            if one.end_to_end_id:
                note_returned(tx, end_to_end_id=end_to_end_id, reason=one.reason)
            else:
                rows.set_debit_state(tx, uid=debit.uid, state="Returned", reason=one.reason)
            found.append(end_to_end_id)
    return tuple(found)
