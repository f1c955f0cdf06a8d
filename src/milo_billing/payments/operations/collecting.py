"""Ask for the money of invoices that are due: an attempt is written and committed, then a job asks the provider.

Owns: the order of locks, rows and effects. Not: when to ask (rules.retries), who is asked how (ports), what a settled
invoice is (invoicing).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, assert_never
from uuid import UUID

import orjson

from milo_billing.accounts.reads import methods as method_reads
from milo_billing.accounts.types import PayingMethod
from milo_billing.controlplane.work import Work
from milo_billing.infra import jobs
from milo_billing.infra.clock import new_uid
from milo_billing.infra.database import Tx
from milo_billing.invoicing.operations import life
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.kernel.money import Money
from milo_billing.ledger import reads as books
from milo_billing.ledger.types import MONEY_ON_ACCOUNT, UNAPPLIED_CASH, clearing
from milo_billing.payments import reads, store
from milo_billing.payments.engine import debit_rows, dispute_rows
from milo_billing.payments.operations import publishing, receiving
from milo_billing.payments.operations.announcing import announce
from milo_billing.payments.operations.desk import Desk, read_config
from milo_billing.payments.rules import retries
from milo_billing.payments.rules.disputes import holds_back
from milo_billing.payments.types import (
    STANDING_STATES,
    ActionRequired,
    Attempt,
    Collected,
    CollectState,
    Declined,
    MethodOnFile,
    Payment,
    PaymentRequest,
    PaymentResult,
    Processing,
    ProviderConfig,
    Succeeded,
    Unknown,
)

ASK: Final = "payments.ask"
"""The job that asks the provider about one attempt."""

HOLDERS_MAX: Final = 100_000
"""Accounts that have money with the provider, looked at in one go."""

NOTHING_DUE: Final = "nothing is due any more"
"""Why a payment that waited for its next attempt was closed."""

ATTEMPTS_MAX: Final = 1000
"""Attempts that an invoice may have; reaching it is a defect of somebody's schedule."""


def collect_invoice(
    work: Work, desk: Desk, *, invoice: UUID, method: PayingMethod, again: bool = False
) -> Collected:
    """Ask for what is due of the invoice, if its schedule says so now.

    First what the account has unapplied or on account is used. Where the provider is to be asked, the attempt is a row,
    and a job asks once this transaction has committed. `again` goes past the schedule, never past an attempt that
    stands. Called by many at once, one attempt is opened: by the account's lock, and by the database.
    """
    tx = work.tx
    account = invoice_reads.get_invoice_by_uid(tx, uid=invoice).account
    store.lock_account(tx, account=account)
    found = life.lock_invoice(work, engine=desk.engine, invoice=invoice)
    attempts = reads.list_attempts(tx, invoice=invoice, limit=ATTEMPTS_MAX)
    pending = reads.find_pending(tx, invoice=invoice)
    if (debit := debit_rows.find_standing(tx, invoice=invoice)) is not None:
        due = Money(found.amount_due_minor, found.currency)
        return _said(found, "standing", due, reason=f"direct debit {debit} is on its way")
    for reference, state, disputed in dispute_rows.list_of_invoice(tx, invoice=invoice):
        if why := holds_back(state, same_method=disputed == method.uid, again=again):
            due = Money(found.amount_due_minor, found.currency)
            said: CollectState = "standing" if state == "Open" else "stopped"
            return _said(found, said, due, reason=f"dispute {reference} {why}")
    decision = retries.decide(attempts, method=method.uid, today=work.now.date(), gaps=desk.gaps, again=again)
    if isinstance(decision, retries.Standing):
        name = "" if pending is None else pending.name
        reason = f"attempt {decision.attempt.number} is {decision.attempt.state}"
        return _said(found, "standing", decision.attempt.amount, payment=name, reason=reason)
    if found.phase != "Void" and found.amount_due_minor:
        found = receiving.use_balance(work, desk.engine, invoice=found)
    due = Money(_due_minor(work, found), found.currency)
    if not due:
        if pending is not None:
            _give_up(work, desk, pending, failure=NOTHING_DUE)
        return _said(found, "settled", due, reason="nothing is due")
    name = "" if pending is None else pending.name
    match decision:
        case retries.Wait(until):
            return _said(found, "waiting", due, payment=name, reason=f"the next try is on {until}")
        case retries.Stop(reason):
            return _said(found, "stopped", due, payment=name, reason=reason)
        case retries.Ask():
            on_file = reads.find_method(tx, uid=method.uid)
            if on_file is None or not on_file.token:
                reason = f'payment method "{method.name}" is not set up at its provider'
                return _said(found, "stopped", due, payment=name, reason=reason)
            payment = _open(work, desk, found, due=due, method=method, pending=pending, attempts=attempts)
            return _said(found, "opened", due, payment=payment.name)
        case _:
            assert_never(decision)


def use_balance(work: Work, desk: Desk, *, invoice: UUID) -> bool:
    """Pay what is due from what the account has unapplied or on account, as far as that goes; whether any was used.

    Not while somebody is being asked for the money, by a provider or a direct debit.
    """
    tx = work.tx
    store.lock_account(tx, account=invoice_reads.get_invoice_by_uid(tx, uid=invoice).account)
    found = life.lock_invoice(work, engine=desk.engine, invoice=invoice)
    attempts = reads.list_attempts(tx, invoice=invoice, limit=ATTEMPTS_MAX)
    asked = any(attempt.state in STANDING_STATES for attempt in attempts)
    if asked or debit_rows.find_standing(tx, invoice=invoice) is not None:
        return False
    if found.phase == "Void" or not found.amount_due_minor:
        return False
    return receiving.use_balance(work, desk.engine, invoice=found) != found


def close_idle(work: Work, desk: Desk, *, payment: UUID) -> bool:
    """Close a payment that waits for its next attempt where none will come; whether it was.

    The invoice was paid otherwise, or nobody collects from the account any more.
    """
    tx = work.tx
    store.lock_account(tx, account=reads.get_payment_by_uid(tx, uid=payment).account)
    waiting = reads.get_payment_by_uid(tx, uid=payment)
    assert waiting.invoice is not None, "a payment that a provider collects is for an invoice"
    found = life.lock_invoice(work, engine=desk.engine, invoice=waiting.invoice)
    attempts = reads.list_attempts(tx, invoice=found.uid, limit=ATTEMPTS_MAX)
    if waiting.phase != "Pending" or any(one.state in STANDING_STATES for one in attempts):
        return False
    if not _due_minor(work, found):
        _give_up(work, desk, waiting, failure=NOTHING_DUE)
    elif not method_reads.list_paying_methods(tx, accounts=(found.account,)):
        _give_up(work, desk, waiting, failure="nobody collects from the account any more")
    else:
        return False
    return True


def list_payable_by_balance(tx: Tx, *, after: UUID, limit: int, now: datetime) -> tuple[UUID, ...]:
    """Invoices that are due, of accounts that have money with the provider, behind `after`."""
    holders = books.list_holders(tx, accounts=(UNAPPLIED_CASH, MONEY_ON_ACCOUNT), limit=HOLDERS_MAX)
    if not holders:
        return ()
    due = invoice_reads.list_due(tx, now=now, accounts=holders, after=after, limit=limit)
    return tuple(invoice for invoice, _ in due)


def _said(
    invoice: Invoice, state: CollectState, amount: Money, *, payment: str = "", reason: str = ""
) -> Collected:
    return Collected(invoice.namespace, invoice.name, state, payment, amount, reason)


def _open(
    work: Work,
    desk: Desk,
    invoice: Invoice,
    *,
    due: Money,
    method: PayingMethod,
    pending: Payment | None,
    attempts: Sequence[Attempt],
) -> Payment:
    """Write the attempt, under its payment, and have a job ask."""
    tx = work.tx
    payment = pending or _begin(work, invoice, due=due, method=method)
    number = len(attempts) + 1
    attempt = Attempt(
        invoice=invoice.uid,
        number=number,
        payment=payment.uid,
        owner_org=invoice.owner_org,
        key=f"invoice/{invoice.uid}/attempt/{number}",
        class_uid=method.class_uid,
        method=method.uid,
        amount_minor=due.minor,
        currency=due.currency,
        state="Open",
        calls=0,
        reference="",
        code="",
        message="",
        hard=False,
        at=work.now,
        called_at=None,
        answered_at=None,
    )
    on_file = reads.find_method(tx, uid=method.uid)
    assert on_file is not None, "the caller has looked"
    request = request_of(attempt, on_file, description=invoice.number)
    store.insert_attempt(tx, attempt, request_sha256=_digest(request))
    store.update_payment(
        tx,
        uid=payment.uid,
        phase="Pending",
        amount_minor=due.minor,
        method_name=method.name,
        provider=method.provider,
        reference="",
        failure=payment.failure,
        next_attempt_on=None,
        decided_at=None,
    )
    defer_ask(tx, invoice=invoice.uid, number=number)
    return _republished(work, desk, payment.uid, verb="collect")


def _begin(work: Work, invoice: Invoice, *, due: Money, method: PayingMethod) -> Payment:
    number = reads.count_payments(work.tx, invoice=invoice.uid) + 1
    payment = Payment(
        uid=new_uid(),
        owner_org=invoice.owner_org,
        namespace=invoice.namespace,
        name=f"{invoice.name}-p{number}",
        account=invoice.account,
        account_name=invoice.account_name,
        entity=invoice.issuer,
        invoice=invoice.uid,
        invoice_name=invoice.name,
        method_name=method.name,
        provider=method.provider,
        currency=due.currency,
        amount_minor=due.minor,
        refunded_minor=0,
        phase="Pending",
        reference="",
        failure="",
        attempts=0,
        next_attempt_on=None,
        created_at=work.now,
        decided_at=None,
    )
    store.insert_payment(work.tx, payment)
    return payment


def request_of(attempt: Attempt, method: MethodOnFile, *, description: str) -> PaymentRequest:
    """What the provider is asked: the same every time that the attempt is asked about."""
    assert method.kind is not None, "a method that can be charged has a kind"
    return PaymentRequest(
        key=attempt.key,
        amount=attempt.amount,
        customer=method.customer,
        method=method.token,
        method_kind=method.kind,
        description=description,
        asked_at=attempt.called_at or attempt.at,
    )


def _digest(request: PaymentRequest) -> bytes:
    return hashlib.sha256(orjson.dumps(replace(request, asked_at=None))).digest()


def defer_ask(tx: Tx, *, invoice: UUID, number: int) -> None:
    """Have a worker ask about an attempt, unless one waits for it already. Safe to repeat."""
    name = f"{ASK}/{invoice}/{number}"
    jobs.defer(tx, ASK, lock=name, once=name, invoice=str(invoice), number=number)


# ----------------------------------------------------------------------------------------------- asking, answers


def begin_call(
    work: Work, desk: Desk, *, invoice: UUID, number: int
) -> tuple[Attempt, PaymentRequest, ProviderConfig] | None:
    """What to ask the provider, noted as asked; None where nobody is to be asked. Commit before asking.

    Nobody is asked about what has its answer. An attempt that nobody was asked about yet is withdrawn where less is due
    by now: the next collection asks for that.
    """
    tx = work.tx
    store.lock_account(tx, account=invoice_reads.get_invoice_by_uid(tx, uid=invoice).account)
    attempt = reads.get_attempt(tx, invoice=invoice, number=number)
    if attempt.answered_at is not None:
        return None
    found = life.lock_invoice(work, engine=desk.engine, invoice=invoice)
    if not attempt.calls and _due_minor(work, found) < attempt.amount_minor:
        _withdraw(work, desk, found, attempt)
        return None
    config = read_config(tx, desk, class_uid=attempt.class_uid)
    method = reads.find_method(tx, uid=attempt.method)
    assert method is not None, "rows of payments.methods are never deleted"
    store.count_call(tx, invoice=invoice, number=number, at=work.now)
    return attempt, request_of(attempt, method, description=found.number), config


def _due_minor(work: Work, invoice: Invoice) -> int:
    return 0 if invoice.phase == "Void" else life.asked_minor(work.tx, invoice=invoice, now=work.now)


def _withdraw(work: Work, desk: Desk, invoice: Invoice, attempt: Attempt) -> None:
    store.note_answer(
        work.tx,
        invoice=attempt.invoice,
        number=attempt.number,
        state="Declined",
        reference="",
        code="withdrawn",
        message="less is due than it was opened for: nobody was asked",
        answered_at=work.now,
    )
    payment = reads.get_payment_by_uid(work.tx, uid=attempt.payment)
    if _due_minor(work, invoice):
        _republished(work, desk, payment.uid, verb="collect")
    else:
        _give_up(work, desk, payment, failure=NOTHING_DUE)


def apply_result(work: Work, desk: Desk, *, invoice: UUID, number: int, result: PaymentResult) -> Attempt:
    """Note what the provider said, with all that follows; the attempt as it stands then.

    What was final stays so: the same answer again, or a late one, changes nothing.
    """
    tx = work.tx
    store.lock_account(tx, account=invoice_reads.get_invoice_by_uid(tx, uid=invoice).account)
    attempt = reads.get_attempt(tx, invoice=invoice, number=number)
    if attempt.answered_at is not None or isinstance(result, Unknown):
        return attempt
    payment = reads.get_payment_by_uid(tx, uid=attempt.payment)
    match result:
        case Succeeded(reference, amount):
            _succeed(work, desk, attempt, payment, reference=reference, amount=amount)
        case Processing(reference):
            if (attempt.state, attempt.reference) == ("Processing", reference):
                return attempt
            store.note_answer(tx, invoice=invoice, number=number, state="Processing", reference=reference)
        case ActionRequired(reference):
            if (attempt.state, attempt.reference) == ("ActionRequired", reference):
                return attempt
            store.note_answer(tx, invoice=invoice, number=number, state="ActionRequired", reference=reference)
        case Declined():
            _decline(work, desk, attempt, payment, declined=result)
        case _:
            assert_never(result)
    _republished(work, desk, payment.uid, verb="note-answer")
    return reads.get_attempt(tx, invoice=invoice, number=number)


def _succeed(
    work: Work, desk: Desk, attempt: Attempt, payment: Payment, *, reference: str, amount: Money
) -> None:
    store.note_answer(
        work.tx,
        invoice=attempt.invoice,
        number=attempt.number,
        state="Succeeded",
        reference=reference,
        answered_at=work.now,
    )
    store.update_payment(
        work.tx,
        uid=payment.uid,
        phase="Succeeded",
        amount_minor=amount.minor,
        method_name=payment.method_name,
        provider=payment.provider,
        reference=reference,
        failure="",
        next_attempt_on=None,
        decided_at=work.now,
    )
    receiving.receive(
        work,
        desk.engine,
        invoice=attempt.invoice,
        amount=amount,
        into=clearing(payment.provider),
        key=f"payment/{payment.uid}/received",
        reference=str(payment.uid),
        # a debit takes days: it is in time if it was asked for in time
        at=attempt.at,
        payment=payment.uid,
    )
    announce(
        work,
        "payment.succeeded",
        payment,
        invoice=attempt.invoice,
        amount=amount,
        once=str(attempt.number),
    )


def _decline(work: Work, desk: Desk, attempt: Attempt, payment: Payment, *, declined: Declined) -> None:
    store.note_answer(
        work.tx,
        invoice=attempt.invoice,
        number=attempt.number,
        state="Declined",
        reference=declined.reference,
        code=declined.code,
        message=declined.message,
        hard=declined.hard,
        answered_at=work.now,
    )
    of_method = retries.declined_with(
        reads.list_attempts(work.tx, invoice=attempt.invoice, limit=ATTEMPTS_MAX), method=attempt.method
    )
    on = retries.next_attempt_on(of_method, desk.gaps)
    store.update_payment(
        work.tx,
        uid=payment.uid,
        phase="Pending" if on is not None else "Failed",
        amount_minor=attempt.amount_minor,
        method_name=payment.method_name,
        provider=payment.provider,
        reference=declined.reference,
        failure=f"{declined.code}: {declined.message}",
        next_attempt_on=on,
        decided_at=None if on is not None else work.now,
    )
    announce(
        work,
        "payment.failed",
        payment,
        invoice=attempt.invoice,
        amount=attempt.amount,
        once=str(attempt.number),
        reason=declined.message or declined.code,
        next_attempt_on=on,
    )


def _give_up(work: Work, desk: Desk, payment: Payment, *, failure: str) -> None:
    """Close a payment that waits for its next attempt, since none will come."""
    store.update_payment(
        work.tx,
        uid=payment.uid,
        phase="Failed",
        amount_minor=payment.amount_minor,
        method_name=payment.method_name,
        provider=payment.provider,
        reference=payment.reference,
        failure=failure,
        next_attempt_on=None,
        decided_at=work.now,
    )
    _republished(work, desk, payment.uid, verb="collect")


def _republished(work: Work, desk: Desk, uid: UUID, *, verb: str) -> Payment:
    payment = reads.get_payment_by_uid(work.tx, uid=uid)
    publishing.publish(work, desk.engine, payment, verb=verb)
    return payment


def list_due(
    tx: Tx, *, numbers: Sequence[int] | None, after: UUID, limit: int, now: datetime
) -> tuple[tuple[UUID, PayingMethod | None], ...]:
    """Invoices that are due, behind `after`, with the method that is asked; None where nobody collects from it.

    `numbers` are accounts, None all of them.
    """
    due = invoice_reads.list_due(tx, now=now, accounts=numbers, after=after, limit=limit)
    methods = method_reads.list_paying_methods(tx, accounts={account for _, account in due})
    return tuple((invoice, methods.get(account)) for invoice, account in due)
