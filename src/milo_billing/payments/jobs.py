"""What workers do for payments: ask providers after the commit, apply what they tell, collect by the day.

Every job may run twice, and be killed anywhere: it reads what is known, asks with the same key, notes the answer once.
No call is made inside a transaction.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, TypeVar
from uuid import UUID

import structlog

from milo_billing.accounts.reads import methods as method_reads
from milo_billing.accounts.types import SET_UP_METHOD, AccountNotFound, PayingMethod
from milo_billing.controlplane.identity import Identity
from milo_billing.controlplane.rounds import Rounds
from milo_billing.controlplane.work import Work
from milo_billing.infra import jobs
from milo_billing.infra.clock import Clock
from milo_billing.infra.database import EVERYWHERE, Database, Tx
from milo_billing.infra.jobs import Periodic, Task
from milo_billing.infra.telemetry import counter, gauge
from milo_billing.invoicing.operations.office import Office
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.kernel.errors import MiloError, Unavailable
from milo_billing.payments import reads, store
from milo_billing.payments.engine import ages, arrivals, payout_rows
from milo_billing.payments.operations import (
    collecting,
    disputing,
    dunning,
    methods,
    paying_out,
    refunding,
    telling,
)
from milo_billing.payments.operations.desk import Desk, open_provider, read_config
from milo_billing.payments.rules.dunning import Schedule
from milo_billing.payments.types import (
    Attempt,
    Collected,
    PaymentResult,
    ProviderConfig,
    Refund,
    RefundFailed,
    RefundResult,
    Unknown,
)

ASKED_AGAIN: Final = timedelta(minutes=10)
"""What nobody has an answer to for so long is asked about again, whatever became of its job."""

SWEPT_MAX: Final = 500

PAYOUTS_FROM: Final = timedelta(days=14)
"""How old a payout is that may have been made without a webhook of it, at most."""

_SYSTEM: Final = Identity("system:payments")
_FIRST: Final = UUID(int=0)

_log = structlog.get_logger(__name__)
_attempts = counter(
    "payment_attempts",
    about="Requests to providers for the money of an invoice, by outcome.",
    labels=("outcome",),
)
_dunned = counter(
    "dunning_steps",
    about="Steps of dunning that were taken, by kind, and those that failed.",
    labels=("kind",),
)
_disputes = counter(
    "payment_disputes", about="What providers told of disputed payments, by state.", labels=("state",)
)
_payouts = counter(
    "payouts", about="Payouts of providers that were asked about, by state.", labels=("state",)
)
_refunds = counter("payment_refunds", about="Requests to providers to give money back.", labels=("outcome",))

_collections = counter(
    "collections", about="Due invoices that were looked at for collection, by outcome.", labels=("outcome",)
)
_unanswered = gauge(
    "payments_oldest_unanswered_seconds",
    about="Seconds since the oldest request to a provider that has no answer; 0 where none is.",
)
_webhooks = gauge(
    "payments_oldest_webhook_seconds",
    about="Seconds since the oldest webhook of a provider that has had no effect yet; 0 where none is.",
)
_worklist_age = gauge(
    "bank_worklist_oldest_seconds",
    about="Seconds since the import of the oldest bank entry that waits for a person; 0 where none does.",
)
_worklist = gauge("bank_worklist_entries", about="Bank entries that wait for a person.")
_payouts_age = gauge(
    "payouts_oldest_waiting_seconds",
    about="Seconds since the oldest payout was heard of that waits for a person; 0 where none does.",
)
_payouts_waiting = gauge("payouts_waiting", about="Payouts of providers that wait for a person.")
_transfers_age = gauge(
    "transfers_oldest_sent_seconds",
    about="Seconds since the day on which the bank was to pay the oldest transfer that no statement has told of; 0 "
    "where there is none.",
)
_transfers_sent = gauge("transfers_sent", about="Transfers that a bank was asked for and has not booked.")

R = TypeVar("R")


class Cashier:
    """Does the work of this slice's jobs over one pool of milo_app. One a process."""

    def __init__(self, desk: Desk, database: Database, clock: Clock) -> None:
        self._desk = desk
        self._database = database
        self._clock = clock
        self._rounds = Rounds(desk.engine, database, clock, _SYSTEM)

    def ask(self, *, invoice: UUID, number: int) -> None:
        """Ask the provider about an attempt and note what it says. Raises Unavailable where it does not say."""
        begun = self._write(
            lambda work: collecting.begin_call(work, self._desk, invoice=invoice, number=number)
        )
        if begun is None:
            return
        attempt, request, config = begun
        provider = open_provider(self._desk, config)
        result: PaymentResult | None
        if attempt.reference:
            result = provider.get_payment(attempt.reference)
        else:
            # a call before this one may have come through, whatever became of whoever made it
            result = provider.find_payment(request) if attempt.calls else None
            if result is None:
                result = provider.create_payment(request)
        self.note(attempt, result)
        if isinstance(result, Unknown):
            raise Unavailable(f"{attempt.key}: {result.reason}")

    def note(self, attempt: Attempt, result: PaymentResult) -> None:
        """Note what a provider said of an attempt."""
        _attempts.labels(type(result).__name__).inc()
        self._write(
            lambda work: collecting.apply_result(
                work, self._desk, invoice=attempt.invoice, number=attempt.number, result=result
            )
        )

    def give_back(self, *, payment: UUID, number: int, told: bool = False) -> None:
        """As `ask`, for a refund; `told` where the provider spoke of it."""
        begun = self._write(
            lambda work: refunding.begin_refund_call(
                work, self._desk, payment=payment, number=number, told=told
            )
        )
        if begun is None:
            return
        refund, request, config = begun
        provider = open_provider(self._desk, config)
        result: RefundResult | None = provider.find_refund(request) if refund.calls else None
        if refund.answered_at is not None and not isinstance(result, RefundFailed | Unknown):
            return  # it stands as it was answered
        if result is None:
            result = provider.create_refund(request)
        self._note_refund(refund, result)
        if isinstance(result, Unknown):
            raise Unavailable(f"{refund.key}: {result.reason}")

    def _note_refund(self, refund: Refund, result: RefundResult) -> None:
        _refunds.labels(type(result).__name__).inc()
        self._write(
            lambda work: refunding.apply_refund_result(
                work, self._desk, payment=refund.payment, number=refund.number, result=result
            )
        )

    def set_up_method(self, *, method: UUID) -> None:
        """Ask the provider about a payment method and let its status say so. Raises Unavailable as `ask`."""
        try:
            begun = self._write(lambda work: methods.begin_setup(work, self._desk, method=method))
        except AccountNotFound:
            return  # deleted meanwhile
        if begun is None:
            return
        request, config = begun
        result = open_provider(self._desk, config).set_up_method(request)
        if isinstance(result, Unknown):
            raise Unavailable(f"{request.key}: {result.reason}")
        self._write(lambda work: methods.apply_setup(work, self._desk, method=method, result=result))

    def apply_event(self, *, class_uid: UUID, id: str) -> None:
        """Give a stored event its effect: ask the provider how things stand, whatever the event says of them."""
        with self._database.transaction(reach=EVERYWHERE) as tx:
            found = reads.find_event(tx, class_uid=class_uid, id=id)
            if found is None:
                return
            event, told_at, is_applied = found
            if is_applied:
                return
            attempt = refund = method = None
            if event.subject == "payment":
                attempt = reads.find_attempt(
                    tx, class_uid=class_uid, reference=event.reference, key=event.key
                )
            elif event.subject == "refund":
                refund = reads.find_refund(tx, key=event.key, reference=event.reference)
            elif event.subject == "method":
                method = reads.find_method_by_reference(tx, class_uid=class_uid, reference=event.reference)
            config = read_config(tx, self._desk, class_uid=class_uid)
        if event.subject == "dispute":
            self._note_dispute(class_uid, event.reference, config, told_at=told_at)
        if event.subject == "payout":
            self.note_payout(class_uid=class_uid, reference=event.reference)
        if attempt is not None and attempt.answered_at is None:
            result = open_provider(self._desk, config).get_payment(event.reference)
            if isinstance(result, Unknown):
                raise Unavailable(f"{attempt.key}: {result.reason}")
            self.note(attempt, result)
        if refund is not None:
            self.give_back(payment=refund.payment, number=refund.number, told=True)
        if method is not None:
            self.set_up_method(method=method)
        with self._database.transaction(reach=EVERYWHERE) as tx:
            store.note_applied(tx, class_uid=class_uid, id=id, at=self._clock.now())

    def _note_dispute(
        self, class_uid: UUID, reference: str, config: ProviderConfig, *, told_at: datetime
    ) -> None:
        """Ask how a dispute stands, and let the books and the invoice say so. Raises Unavailable as `ask`."""
        result = open_provider(self._desk, config).get_dispute(reference)
        if isinstance(result, Unknown):
            raise Unavailable(f"dispute {reference}: {result.reason}")
        noted = self._write(
            lambda work: disputing.apply_dispute(
                work, self._desk, class_uid=class_uid, dispute=result, told_at=told_at
            )
        )
        _disputes.labels(result.state if noted else "unchanged").inc()

    def note_payout(self, *, class_uid: UUID, reference: str) -> None:
        """Ask how a payout stands, and let the books say so. Raises Unavailable as `ask`."""
        with self._database.transaction(reach=EVERYWHERE) as tx:
            config = read_config(tx, self._desk, class_uid=class_uid)
        result = open_provider(self._desk, config).get_payout(reference)
        if isinstance(result, Unknown):
            raise Unavailable(f"payout {reference}: {result.reason}")
        noted = self._write(
            lambda work: paying_out.apply_payout(
                work, self._desk, class_uid=class_uid, provider=config.provider, payout=result
            )
        )
        _payouts.labels(noted.state).inc()

    def fetch_payouts(self) -> int:
        """Have every payout asked about of which no webhook may have come, and each that is not booked; how many.

        One provider that does not answer does not keep the others waiting.
        """
        asked: set[tuple[UUID, str]] = set()
        with self._database.transaction(reach=EVERYWHERE) as tx:
            asked.update(payout_rows.list_unbooked(tx, limit=SWEPT_MAX))
            classes = reads.list_classes(tx)
        for class_uid in classes:
            try:
                with self._database.transaction(reach=EVERYWHERE) as tx:
                    config = read_config(tx, self._desk, class_uid=class_uid)
                since = self._clock.now() - PAYOUTS_FROM
                found = open_provider(self._desk, config).list_payouts(since=since)
            except MiloError as error:
                _log.warning("payouts_not_listed", class_uid=str(class_uid), reason=str(error))
                continue
            if isinstance(found, Unknown):
                _log.warning("payouts_not_listed", class_uid=str(class_uid), reason=found.reason)
                continue
            with self._database.transaction(reach=EVERYWHERE) as tx:
                booked = payout_rows.list_settled(tx, class_uid=class_uid, references=found)
            asked.update((class_uid, reference) for reference in found if reference not in booked)
        with self._database.transaction(reach=EVERYWHERE) as tx:
            for class_uid, reference in sorted(asked):
                arrivals.defer_note(tx, class_uid=class_uid, reference=reference)
        return len(asked)

    def collect_due(self) -> list[Collected]:
        """Ask for the money of every invoice that is due, of accounts that are collected from."""
        collected: list[Collected] = []

        def list_page(tx: Tx, after: UUID, limit: int) -> tuple[tuple[UUID, PayingMethod | None], ...]:
            now = self._clock.now()
            return collecting.list_due(tx, numbers=None, after=after, limit=limit, now=now)

        def collect(due: tuple[UUID, PayingMethod | None]) -> tuple[str, ...]:
            invoice, method = due
            if method is None:
                return ()
            collected.append(
                self._write(
                    lambda work: collecting.collect_invoice(work, self._desk, invoice=invoice, method=method)
                )
            )
            return (collected[-1].state,)

        self._rounds.go(
            list_page,
            collect,
            begin=_FIRST,
            at=lambda due: due[0],
            outcomes=_collections,
            failed="collect_failed",
        )
        self._use_balances()
        self._close_idle()
        return collected

    def _use_balances(self) -> None:
        """Pay what is due from what accounts have with the provider, also of those that nobody collects from."""

        def list_page(tx: Tx, after: UUID, limit: int) -> tuple[UUID, ...]:
            return collecting.list_payable_by_balance(tx, after=after, limit=limit, now=self._clock.now())

        def use(invoice: UUID) -> tuple[str, ...]:
            self._write(lambda work: collecting.use_balance(work, self._desk, invoice=invoice))
            return ()

        self._rounds.go(list_page, use, begin=_FIRST, outcomes=_collections, failed="balance_not_used")

    def _close_idle(self) -> None:
        """Close payments that wait for an attempt that will not come."""

        def close(payment: UUID) -> tuple[str, ...]:
            self._write(lambda work: collecting.close_idle(work, self._desk, payment=payment))
            return ()

        def list_page(tx: Tx, after: UUID, limit: int) -> tuple[UUID, ...]:
            return reads.list_idle(tx, after=after, limit=limit)

        self._rounds.go(list_page, close, begin=_FIRST, outcomes=_collections, failed="payment_not_closed")

    def sweep(self) -> None:
        """Have what nobody has an answer to asked about again, and measure how long things wait."""
        now = self._clock.now()
        before = now - ASKED_AGAIN
        with self._database.transaction(reach=EVERYWHERE) as tx:
            for attempt in reads.list_standing(tx, before=before, limit=SWEPT_MAX):
                collecting.defer_ask(tx, invoice=attempt.invoice, number=attempt.number)
            for refund in reads.list_standing_refunds(tx, before=before, limit=SWEPT_MAX):
                refunding.defer_give_back(tx, payment=refund.payment, number=refund.number)
            for class_uid, id, about in reads.list_waiting_events(tx, before=before, limit=SWEPT_MAX):
                telling.defer_apply(tx, class_uid=class_uid, id=id, reference=about)
            for method in method_reads.list_pending_methods(tx, limit=SWEPT_MAX):
                jobs.defer(tx, SET_UP_METHOD, once=f"{SET_UP_METHOD}/{method}", method=str(method))
            found = ages.measure_ages(tx, now=now)
        _unanswered.set(found.unanswered_s)
        _webhooks.set(found.webhook_s)
        _worklist_age.set(found.worklist_s)
        _worklist.set(found.worklist)
        _payouts_age.set(found.payouts_s)
        _payouts_waiting.set(found.payouts)
        _transfers_age.set(found.transfers_s)
        _transfers_sent.set(found.transfers)

    def _write(self, do: Callable[[Work], R]) -> R:
        return self._rounds.write(do)


def dun_all(office: Office, database: Database, clock: Clock, *, schedule: Schedule) -> None:
    """Do what is to be done today about every invoice that is past due."""
    rounds = Rounds(office.engine, database, clock, _SYSTEM)

    def list_page(tx: Tx, after: UUID, limit: int) -> tuple[UUID, ...]:
        # a day more than any zone is ahead: the step itself looks at the day where the invoice was issued
        before = clock.now().date() + timedelta(days=1)
        return invoice_reads.list_past_due(tx, before=before, after=after, limit=limit)

    def dun(invoice: UUID) -> tuple[str, ...]:
        step = rounds.write(lambda work: dunning.dun(work, office, invoice=invoice, schedule=schedule))
        return () if step is None else (step.kind,)

    rounds.go(list_page, dun, begin=_FIRST, outcomes=_dunned, failed="dunning_failed")


def dunning_tasks(
    *, office: Office, database: Database, clock: Clock, schedule: Schedule
) -> tuple[Periodic | Task, ...]:
    """What is past due is looked at every hour, behind the job that says so of invoices."""

    def dun_past_due(timestamp: int) -> None:
        del timestamp
        dun_all(office, database, clock, schedule=schedule)

    return (Periodic(Task("payments.dun_past_due", dun_past_due), cron="27 * * * *"),)


def tasks(*, cashier: Cashier, schedule: str) -> tuple[Periodic | Task, ...]:
    """`schedule` says when what is due is collected, as cron."""

    def ask(invoice: str, number: int) -> None:
        cashier.ask(invoice=UUID(invoice), number=number)

    def give_back(payment: str, number: int) -> None:
        cashier.give_back(payment=UUID(payment), number=number)

    def set_up_method(method: str) -> None:
        cashier.set_up_method(method=UUID(method))

    def apply_event(class_uid: str, id: str) -> None:
        cashier.apply_event(class_uid=UUID(class_uid), id=id)

    def note_payout(class_uid: str, reference: str) -> None:
        cashier.note_payout(class_uid=UUID(class_uid), reference=reference)

    def fetch_payouts(timestamp: int) -> None:
        del timestamp
        cashier.fetch_payouts()

    def collect_due(timestamp: int) -> None:
        del timestamp
        cashier.collect_due()

    def sweep(timestamp: int) -> None:
        del timestamp
        cashier.sweep()

    return (
        Task(collecting.ASK, ask),
        Task(refunding.GIVE_BACK, give_back),
        Task(SET_UP_METHOD, set_up_method),
        Task(telling.APPLY, apply_event),
        Task(arrivals.NOTE, note_payout),
        Periodic(Task(arrivals.FETCH, fetch_payouts), cron="41 * * * *"),
        Periodic(Task("payments.collect_due", collect_due), cron=schedule),
        Periodic(Task("payments.sweep", sweep), cron="* * * * *"),
    )
