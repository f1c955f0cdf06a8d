"""Grant credit, have an invoice use it as it is issued, expire and revoke it: the rows and the books.

Owns: the order of locks and writes. Whoever writes a movement holds the lock of the grant's object, so nothing is used
twice; the database refuses it besides. Not: which grant pays what (rules.grants), what comes back (engine.returning).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from milo_billing.accounts.types import Account
from milo_billing.catalog import operations as catalog
from milo_billing.catalog import reads as catalog_reads
from milo_billing.controlplane.engine import Engine
from milo_billing.controlplane.kinds import Ref
from milo_billing.controlplane.work import Work
from milo_billing.infra import advisory_locks
from milo_billing.infra.clock import new_uid
from milo_billing.infra.database import Tx
from milo_billing.invoicing.engine import crediting, settling
from milo_billing.invoicing.engine.crediting import Wanted
from milo_billing.invoicing.engine.grant_notices import tell_grant, tell_taken_back
from milo_billing.invoicing.engine.grant_rows import insert_grant, insert_movement
from milo_billing.invoicing.engine.publishing import publish, publish_note
from milo_billing.invoicing.engine.returning import take_back_bought
from milo_billing.invoicing.reads import grants as grant_reads
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.reads import issuers as issuer_reads
from milo_billing.invoicing.reads.kept import APPLIED, ON_ACCOUNT
from milo_billing.invoicing.rules import grants as rules
from milo_billing.invoicing.rules import life, postings
from milo_billing.invoicing.rules.crediting import CreditNote, LineCredit
from milo_billing.invoicing.rules.grants import (
    GoodwillUse,
    Grant,
    GrantKind,
    Reaching,
    Settling,
    TaxAt,
    UnableToGrant,
    UnableToRevoke,
)
from milo_billing.invoicing.types.drafts import GROUP, Draft, DraftLine
from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.kernel.money import Money
from milo_billing.ledger import operations as ledger
from milo_billing.ledger import reads as books
from milo_billing.ledger.types import MONEY_ON_ACCOUNT, UNAPPLIED_CASH, Entry, Fact, cash

ISSUE: Final = "issue"
"""The cause of what an invoice used as it was issued."""

_DAY: Final = timedelta(days=1)
_CAME_BACK: Final = "Prepaid credit came back after it had expired"


@dataclass(frozen=True, slots=True)
class WantedGrant:
    """What is to be granted. `received_into` names the bank account that the money of prepaid credit came to; empty
    where the customer has it on account already. `selectors` are as declared. `tax_category` is of what credit
    buys that is taxed at purchase; then the amount is before tax.
    """

    uid: UUID
    namespace: str
    name: str
    account: Account
    kind: GrantKind
    amount_minor: int
    priority: int
    effective_from: datetime
    expires_at: datetime | None
    title: str
    reason: str
    selectors: Sequence[Mapping[str, Any]]
    received_into: str = ""
    tax_at: TaxAt = "Use"
    tax_category: str = ""


def funds(tx: Tx, wanted: WantedGrant, *, asked_minor: int | None = None) -> tuple[str, Money, Money]:
    """The issuer in whose books prepaid credit would lie, and what the account has with it: unapplied, and on account.

    `asked_minor` is what must be there, with the tax that is due at purchase; without one the amount of the credit.

    Raises UnableToGrant where nobody issues, or the account has less than is wanted and no money comes with it.
    """
    issuer = issuer_reads.find_default_issuer(tx)
    if issuer is None:
        raise UnableToGrant(
            "nobody is declared to issue invoices, in whose books the money would lie: apply an IssuerProfile with "
            "spec.isDefault true first"
        )
    currency = wanted.account.currency
    has = books.get_kept(tx, billing_account=wanted.account.number, entity=issuer.name, currency=currency)
    unapplied, kept = has.free(UNAPPLIED_CASH), has.free(MONEY_ON_ACCOUNT)
    asked = Money(wanted.amount_minor if asked_minor is None else asked_minor, currency)
    if not wanted.received_into and (unapplied + kept).minor < asked.minor:
        tax = "" if asked.minor == wanted.amount_minor else ", with the tax that is due at purchase,"
        raise UnableToGrant(
            f"billing account {wanted.account.name} has {unapplied + kept} with {issuer.name}, and prepaid credit is "
            f"money that came: say receivedInto, the bank account that {asked}{tax} came "
            "to, or import the bank statement first; for credit that nobody pays grant Promotional or Goodwill"
        )
    return issuer.name, unapplied, kept


def grant(tx: Tx, wanted: WantedGrant, *, now: datetime, bought: Invoice | None = None) -> Grant:
    """Write the grant and its first movement; for prepaid credit the books say whose money was set apart.

    `bought` is the invoice by which credit was bought that is taxed at purchase: its entries set the money apart.

    Raises UnableToGrant.
    """
    account = wanted.account
    prepaid = wanted.kind == "Prepaid"
    issuer, unapplied = ("" if bought is None else bought.issuer), Money(0, account.currency)
    if prepaid and bought is None:
        hold_money(tx, account=account.number)
        issuer, unapplied, _ = funds(tx, wanted)
    granted = Grant(
        uid=wanted.uid,
        owner_org=account.owner_org,
        namespace=wanted.namespace,
        name=wanted.name,
        account=account.number,
        account_name=account.name,
        kind=wanted.kind,
        currency=account.currency,
        amount_minor=wanted.amount_minor,
        priority=wanted.priority,
        effective_from=wanted.effective_from,
        expires_at=wanted.expires_at,
        issuer=issuer,
        title=wanted.title,
        reason=wanted.reason,
        selectors=rules.parse_selectors(wanted.selectors),
        granted_at=now,
        remaining_minor=wanted.amount_minor,
        tax_at=wanted.tax_at,
        tax_category=wanted.tax_category,
        bought_by=None if bought is None else bought.uid,
        bought_number="" if bought is None else bought.number,
    )
    # what credit that was bought was paid with stands in its invoice's settlements
    apart = prepaid and bought is None
    received = granted.money(granted.amount_minor if apart and wanted.received_into else 0)
    from_unapplied = min(unapplied, granted.money(granted.amount_minor) - received)
    insert_grant(
        tx,
        granted,
        selectors=wanted.selectors,
        received_minor=received.minor,
        unapplied_minor=from_unapplied.minor,
    )
    posted = None if bought is None else issue_key(bought)
    if apart:
        posted = _set_apart(tx, granted, from_unapplied, into=wanted.received_into, now=now)
    insert_movement(
        tx, granted, "Granted", minor=granted.amount_minor, cause="granted", at=now, posted=posted
    )
    return granted


def hold_money(tx: Tx, *, account: int) -> None:
    """Whoever else uses what the account has waits until the transaction ends."""
    tx.execute("select pg_advisory_xact_lock(%s, %s)", (advisory_locks.COLLECTION, account))


def pay_purchase(
    tx: Tx, invoice: Invoice, *, grant: UUID, unapplied: Money, into: str, now: datetime
) -> Invoice:
    """Settle the invoice, which was just issued over the grant, with the money that came; the invoice then.

    From the bank account `into`, else from unapplied cash and then from money on account; `funds` said that it is
    there, and nobody else uses it (`hold_money`).
    """
    due = Money(invoice.amount_due_minor, invoice.currency)
    first = min(unapplied, due) if not into else Money(0, invoice.currency)
    moved = (
        [("received", due, ledger.payment_received(due, into=cash(into)))]
        if into
        else [
            (APPLIED, first, ledger.applied(first)),
            (ON_ACCOUNT, due - first, ledger.used_from_account(due - first)),
        ]
    )
    for what, amount, entries in moved:
        if not amount.minor:
            continue
        key = f"invoice/{invoice.uid}/{what}/{grant}"
        fact = Fact(
            id=new_uid(),
            key=key,
            entity=invoice.issuer,
            posted_on=invoice.issued_on,
            billing_account=invoice.account,
            owner_org=invoice.owner_org,
            description=f"Money for prepaid credit, invoice {invoice.number}",
        )
        ledger.post_fact(tx, fact=fact, entries=entries, now=now)
        for step in life.settle(invoice, kind="Credit", amount_minor=amount.minor, today=invoice.issued_on):
            settling.note(tx, step, reference=f"{grant}/{what}", posted=key, at=now, now=now)
            invoice = step.after
    return invoice


def issue_key(invoice: Invoice, *, user: int | None = None) -> str:
    """The key of the transaction in the books by which the invoice was issued; that of another account that used."""
    return postings.issue_key(invoice.uid, payer=invoice.account, user=user)


def _set_apart(tx: Tx, granted: Grant, from_unapplied: Money, *, into: str, now: datetime) -> str | None:
    amount = granted.money(granted.amount_minor)
    if into:
        entries = ledger.put_on_account(amount, into=cash(into))
        _post(tx, granted, "received", entries, about="Money for", now=now)
    entries = (
        *ledger.credit_granted(from_unapplied, of=UNAPPLIED_CASH),
        *ledger.credit_granted(amount - from_unapplied),
    )
    return _post(tx, granted, "granted", entries, about="Prepaid credit", now=now)


def _post(
    tx: Tx, grant: Grant, what: str, entries: tuple[Entry, ...], *, about: str, now: datetime
) -> str | None:
    fact = Fact(
        id=new_uid(),
        key=f"credit-grant/{grant.uid}/{what}",
        entity=grant.issuer,
        posted_on=grant_reads.get_books_day(tx, issuer=grant.issuer, now=now),
        billing_account=grant.account,
        owner_org=grant.owner_org,
        description=f"{about} {grant.name}",
    )
    return None if ledger.post_fact(tx, fact=fact, entries=entries, now=now) is None else fact.key


# --------------------------------------------------------------------------------------------------- invoices


def reaching(tx: Tx, *, account: int, draft: Draft, at: datetime) -> tuple[Reaching, ...]:
    """The grants that an invoice of the draft to the account, issued at this instant, may use, in their order; nothing
    is locked.

    Of a sub-account that is invoiced with it those that the provider gives before tax (promotional), on its own lines.
    What acts on lines of the account that pays acts on its own; prepaid credit pays the whole invoice.
    """
    others = sorted({line.used_by for line in draft.lines if line.used_by is not None} - {account})
    held = [
        one
        for number in (account, *others)
        for one in grant_reads.list_open(tx, account=number)
        if one.holds_at(at) and one.currency == draft.currency
        if number == account or one.kind == "Promotional"
    ]
    return reach(tx, held, account=account, draft=draft)


def reach(tx: Tx, held: Sequence[Grant], *, account: int, draft: Draft) -> tuple[Reaching, ...]:
    """The lines of the draft that each of these grants reaches, in their order."""
    consolidated = any(line.used_by not in (None, account) for line in draft.lines)
    names = {line.sku for line in draft.lines if line.sku is not None}
    skus = catalog_reads.list_skus(tx, names=names) if any(one.selectors for one in held) else ()
    found: list[Reaching] = []
    for one in rules.in_order(held):
        reached = [True] * len(draft.lines)
        if one.selectors:
            selected = catalog.select_skus(one.selectors, skus)
            reached = [line.sku in selected for line in draft.lines]
        if one.tax_at == "Purchase":
            alike = [line.tax_category == one.tax_category for line in draft.lines]
            reached = [both and like for both, like in zip(reached, alike, strict=True)]
        own = consolidated and (one.kind != "Prepaid" or one.tax_at == "Purchase")
        if own:
            used = [(line.used_by or account) == one.account for line in draft.lines]
            reached = [both and its for both, its in zip(reached, used, strict=True)]
        some = own or one.selectors or one.tax_at == "Purchase"
        found.append(Reaching(one, frozenset(n for n, it in enumerate(reached) if it) if some else None))
    return tuple(found)


def lock_reaching(work: Work, engine: Engine, *, account: int, draft: Draft) -> tuple[Reaching, ...]:
    """The same as of now, and nobody else uses any of them until the transaction ends."""
    found = reaching(work.tx, account=account, draft=draft, at=work.now)
    if not found:
        return ()
    kind = engine.registry.get(GROUP, "creditgrants")
    engine.store.lock(work.tx, {one.grant.uid: kind for one in found})
    # what was read before the lock may have been used by whoever held it
    return reaching(work.tx, account=account, draft=draft, at=work.now)


def lock_used(work: Work, engine: Engine, *, invoice: UUID) -> tuple[Grant, ...]:
    """The grants that the invoice used, which nobody else uses or gives back until the transaction ends."""
    found = [one for one, _ in grant_reads.list_used_by(work.tx, invoice=invoice)]
    if found:
        kind = engine.registry.get(GROUP, "creditgrants")
        engine.store.lock(work.tx, {one.uid: kind for one in found})
    return tuple(found)


def use(
    work: Work, engine: Engine, *, invoice: Invoice, drafted: Draft, found: Sequence[Reaching], plan: Settling
) -> Invoice:
    """Note what the invoice, whose row was just written, uses of the grants, and settle it; the invoice then.

    What acts before tax stands in its lines and entries already. Its own object is the caller's to write.
    """
    tx = work.tx
    by_uid = {one.grant.uid: one.grant for one in found}
    before_tax = rules.uses_before_tax(drafted)
    for uid, minor in before_tax.items():
        posted = issue_key(invoice, user=by_uid[uid].account)
        _used(tx, by_uid[uid], minor, invoice, posted=posted, now=work.now)
    for one in plan.goodwill:
        invoice = _give_goodwill(work, engine, one, invoice, lines=drafted.lines)
    for grant_, minor in plan.prepaid:
        invoice = _settle_prepaid(tx, grant_, minor, invoice, now=work.now)
    restate(work, engine, [one.grant for one in found])
    goodwill_minor = sum(one.net_minor for one in plan.goodwill)
    return replace(invoice, credits_minor=sum(before_tax.values()) + goodwill_minor + plan.prepaid_minor)


def restate(work: Work, engine: Engine, grants: Sequence[Grant]) -> None:
    """Have the objects say what became of the grants, and tell of those of which nothing is left."""
    kind = type(engine.registry.get(GROUP, "creditgrants"))
    engine.settle(work, [Ref(kind, one.namespace, one.name) for one in grants])


def _used(
    tx: Tx, grant: Grant, minor: int, invoice: Invoice, *, posted: str, now: datetime, cause: str = ISSUE
) -> None:
    insert_movement(tx, grant, "Used", minor=minor, cause=cause, at=now, invoice=invoice.uid, posted=posted)
    if minor == grant.remaining_minor:
        tell_grant(tx, "credit.used_up", replace(grant, remaining_minor=0), once=str(invoice.uid), now=now)


def _settle_prepaid(tx: Tx, grant: Grant, minor: int, invoice: Invoice, *, now: datetime) -> Invoice:
    key = f"invoice/{invoice.uid}/credit/{grant.uid}"
    fact = Fact(
        id=new_uid(),
        key=key,
        entity=invoice.issuer,
        posted_on=invoice.issued_on,
        billing_account=invoice.account,
        owner_org=invoice.owner_org,
        description=f"Prepaid credit {grant.name} for invoice {invoice.number}",
    )
    ledger.post_fact(tx, fact=fact, entries=ledger.credit_used(grant.money(minor)), now=now)
    for step in life.settle(invoice, kind="Credit", amount_minor=minor, today=invoice.issued_on):
        settling.note(tx, step, reference=str(grant.uid), posted=key, at=now, now=now)
        invoice = step.after
    _used(tx, grant, minor, invoice, posted=key, now=now)
    return invoice


def _give_goodwill(
    work: Work, engine: Engine, use: GoodwillUse, invoice: Invoice, *, lines: Sequence[DraftLine]
) -> Invoice:
    """The credit note by which goodwill is used, with its object; revenue as it was earned stays to be seen."""
    tx, grant_ = work.tx, use.grant
    credited = tuple(LineCredit(position + 1, minor) for position, minor in sorted(use.lines.items()))
    wanted = Wanted(
        uid=new_uid(),
        namespace=invoice.namespace,
        name=f"{invoice.name}-{grant_.uid.hex[-12:]}",
        invoice=invoice.uid,
        lines=credited,
        amount_minor=None,
        reason=grant_.reason,
    )
    note = crediting.issue(tx, wanted, now=work.now)
    assert note.total_minor == use.total_minor, "the draft and the note compute goodwill by the same rule"
    publish_note(work, engine, note, verb="issue", lines=credited)
    key = f"invoice/{invoice.uid}/goodwill/{grant_.uid}"
    fact = Fact(
        id=new_uid(),
        key=key,
        entity=invoice.issuer,
        posted_on=note.issued_on,
        billing_account=invoice.account,
        owner_org=invoice.owner_org,
        description=f"Goodwill {grant_.name} for invoice {invoice.number}",
    )
    earned = [
        (postings.account_of(lines[position]), minor, postings.service_of(lines[position]))
        for position, minor in use.lines.items()
    ]
    ledger.post_fact(
        tx, fact=fact, entries=ledger.goodwill_given(earned, currency=note.currency), now=work.now
    )
    _used(
        tx,
        grant_,
        use.net_minor,
        invoice,
        posted=key,
        now=work.now,
        cause=f"credit-note/{note.uid}",
    )
    return invoice_reads.get_invoice_by_uid(tx, uid=invoice.uid)


# ------------------------------------------------------------------------------------------- the end of a grant


def expire(work: Work, engine: Engine, *, uid: UUID) -> bool:
    """Let what is left of a grant lapse, if it has expired; whether this call did it. Of money it is breakage."""
    kind = engine.registry.get(GROUP, "creditgrants")
    engine.store.lock(work.tx, {uid: kind})
    found = grant_reads.get_grant(work.tx, uid=uid)
    if not found.remaining_minor or found.expires_at is None or work.now < found.expires_at:
        return False
    ended = found.expires_at
    if found.bought_by is not None:
        found = _return_late(work, engine, found)
    posted: str | None = None
    if found.kind == "Prepaid" and found.remaining_minor:
        day = grant_reads.get_books_day(work.tx, issuer=found.issuer, now=ended)
        entries = ledger.credit_expired(found.money(found.remaining_minor), service=(day, day + _DAY))
        posted = _post(work.tx, found, "expired", entries, about="Breakage of prepaid credit", now=work.now)
    if found.remaining_minor:
        insert_movement(
            work.tx,
            found,
            "Expired",
            minor=found.remaining_minor,
            cause="expired",
            at=work.now,
            posted=posted,
        )
        tell_grant(work.tx, "credit.expired", found, now=work.now)
    restate(work, engine, [found])
    return True


def _return_late(work: Work, engine: Engine, grant: Grant) -> Grant:
    """Credit what came back to bought credit after its end, with its tax, against its purchase; the grant then.

    Nobody loses money by an invoice that was wrong, and no invoice can use it any more: it becomes money on account.
    """
    assert grant.bought_by is not None and grant.expires_at is not None, (
        "asked for bought credit that has expired"
    )
    minor = grant_reads.given_back_late_minor(work.tx, grant=grant.uid, since=grant.expires_at)
    minor = min(minor, grant.remaining_minor)
    if not minor:
        return grant
    settling.lock(work, engine, invoice=grant.bought_by)
    return _return_bought(work, engine, grant, minor, reason=_CAME_BACK)


def credit_unpaid_purchase(work: Work, engine: Engine, *, grant: UUID, reason: str) -> None:
    """Credit what is left of the grant against its purchase, which is owed again, as far as that is owed.

    The caller holds the lock of the purchase.
    """
    engine.store.lock(work.tx, {grant: engine.registry.get(GROUP, "creditgrants")})
    found = grant_reads.get_grant(work.tx, uid=grant)
    assert found.bought_by is not None, "only what was bought by an invoice can be credited"
    purchase = invoice_reads.get_invoice_by_uid(work.tx, uid=found.bought_by)
    # of what is owed the part before tax; with its tax it is never more than that
    net_minor = purchase.total_minor - purchase.tax_minor
    minor = min(found.remaining_minor, purchase.amount_due_minor * net_minor // purchase.total_minor)
    if minor:
        after = _return_bought(work, engine, found, minor, reason=reason)
        tell_taken_back(work.tx, after, minor=minor, reason=reason, once=str(new_uid()), now=work.now)
        restate(work, engine, [found])


def _return_bought(work: Work, engine: Engine, grant: Grant, minor: int, *, reason: str) -> Grant:
    """Credit so much of the grant against its purchase, with the objects of both; the grant then."""
    note = _credit_purchase(work.tx, grant, minor, reason=reason, cause="returned/", now=work.now)
    publish_note(work, engine, note, verb="issue")
    publish(work, engine, invoice_reads.get_invoice_by_uid(work.tx, uid=note.invoice), verb="settle")
    return replace(grant, remaining_minor=grant.remaining_minor - minor)


def _credit_purchase(
    tx: Tx, grant: Grant, minor: int, *, reason: str, cause: str, now: datetime
) -> CreditNote:
    """Issue a credit note over so much of the invoice by which the grant was bought; so much of the grant is gone."""
    assert grant.bought_by is not None, "only what was bought by an invoice can be credited"
    wanted = Wanted(new_uid(), grant.namespace, "", grant.bought_by, (), minor, reason)
    note = crediting.issue(tx, wanted, now=now)
    take_back_bought(tx, grant, note, cause=f"{cause}{note.uid}", reason=reason, now=now)
    return note


def revoke(tx: Tx, *, uid: UUID, reason: str, now: datetime) -> Grant:
    """Take back what is left of the grant, whose object is locked; the grant then. Money becomes money on account.

    Of credit that was bought with tax a credit note over its purchase gives back the tax as well: the objects of both
    are the caller's to lock and to write.

    Raises UnableToRevoke where nothing is left.
    """
    found = grant_reads.get_grant(tx, uid=uid)
    if not found.remaining_minor:
        raise UnableToRevoke(f"nothing is left of credit grant {found.name} that could be taken back")
    gone_minor = found.revoked_minor + found.remaining_minor
    revoked = replace(found, remaining_minor=0, revoked_minor=gone_minor, taken_last="Revoked")
    if found.bought_by is not None:
        _credit_purchase(tx, found, found.remaining_minor, reason=reason, cause=grant_reads.REVOKED, now=now)
        return revoked
    posted: str | None = None
    if found.kind == "Prepaid":
        entries = ledger.taken_back(ledger.credit_granted(found.money(found.remaining_minor)))
        posted = _post(tx, found, f"revoked/{new_uid()}", entries, about="Revoked prepaid credit", now=now)
    insert_movement(
        tx,
        found,
        "Revoked",
        minor=found.remaining_minor,
        cause=f"revoked/{new_uid()}",
        at=now,
        posted=posted,
        reason=reason,
    )
    return revoked
