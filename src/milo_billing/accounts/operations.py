"""Verbs about who pays: the fence, how a payer begins and stops paying, what an account stands on."""

from collections.abc import Collection
from datetime import date, datetime
from typing import LiteralString
from uuid import UUID

from milo_billing.access import reads as access
from milo_billing.access.types import Position
from milo_billing.accounts import store
from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.reads import methods as method_reads
from milo_billing.accounts.reads import payers as payer_reads
from milo_billing.accounts.reads import tree as tree_reads
from milo_billing.accounts.rules import standing, timeline, tree, wording
from milo_billing.accounts.types import BILLING_SHARES, Account, PayerInterval, PaymentProfileType, Rebinding
from milo_billing.controlplane.holds import hold, release
from milo_billing.controlplane.projections import KEEP, NONE, ProjectionDifference, compare_rows
from milo_billing.directory import reads as directory
from milo_billing.directory.types import ProjectEntry
from milo_billing.infra.clock import Clock
from milo_billing.infra.database import Tx
from milo_billing.kernel.errors import FieldError, Invalid

SLICE = "accounts"
"""Who holds a project: the word that a refused deletion names."""


def hold_fence(tx: Tx, *, exclusive: bool) -> None:
    """Hold the fence between attribution and changes of payer until the transaction ends.

    Shared: what this transaction reads of payers stays true until it commits. Exclusive: nobody attributes
    meanwhile, and an instant read from the clock after this call is later than everything attributed before.
    Take it after the locks on objects.
    """
    store.lock_fence(tx, exclusive=exclusive)


def hold_billing(tx: Tx, *, accounts: Collection[int]) -> None:
    """Until the transaction ends nobody adds usage of these accounts, or of the others of their shares.

    Whoever invoices holds it from before usage is read until it is marked as billed: usage is then either in what was
    read, or finds the mark. Take it after the fence, and for all accounts at once.
    """
    for share in sorted({account % BILLING_SHARES for account in accounts}):
        store.lock_billing(tx, share=share)


def hold_billing_shared(tx: Tx, *, shares: Collection[int]) -> None:
    """Until the transaction ends what is invoiced of the accounts in these shares (number modulo BILLING_SHARES) stays.

    For whoever adds usage; take it after the fence, and for all shares at once.
    """
    store.lock_billing_shared(tx, shares=shares)


def keep_invoice_day(tx: Tx, *, uid: UUID, today: date) -> None:
    """Note that the account of this object has got another invoice day on this day of its zone, or its first one.

    An invoice that is being issued is waited for, so that what it charged was known to it.
    """
    if account_reads.is_invoice_day_kept(tx, uid=uid):
        return
    store.lock_billing_shared(tx, shares={account_reads.get_number(tx, uid=uid) % BILLING_SHARES})
    store.put_invoice_day(tx, uid=uid, today=today)


def mark_billed(tx: Tx, *, account: int, until: datetime) -> None:
    """Tell that the account has been invoiced up to `until`: usage that comes for a day before is marked as a change.

    Takes the fence shared, so that a binding being backdated meanwhile is either seen by the invoice or sees this,
    and the account's billing lock, which an invoice holds already. Saying it again, or an earlier instant, changes
    nothing.
    """
    with tx.pipeline():  # without waiting for each: an invoice holds both locks already
        store.lock_fence(tx, exclusive=False)
        store.lock_billing(tx, share=account % BILLING_SHARES)
        store.raise_billed(tx, account=account, until=until)


def mark_closed(tx: Tx, *, account: int, until: datetime) -> None:
    """Tell that nothing was to be invoiced up to `until`: usage that comes for a day before is marked as a change too.

    Unlike after an invoice, declarations for these days may still be made. The caller holds the account's billing lock.
    """
    store.raise_closed(tx, account=account, until=until)


def mark_final(tx: Tx, *, account: int, until: datetime) -> None:
    """Tell that nothing is left to be invoiced of an account that is being closed, up to `until`: it can be archived.

    The caller has marked it as billed or closed up to there, and holds its billing lock.
    """
    store.raise_final(tx, account=account, until=until)


def check_claim(
    tx: Tx, *, claim: timeline.Claim, rebinding: Rebinding, now: datetime
) -> tuple[FieldError, ...]:
    """What stands against a new payer, as this transaction sees the world now."""
    project = directory.find_project(tx, name=claim.project, at=now)
    ground, _ = _survey(tx, claim=claim, project=project, rebinding=rebinding)
    return tuple(timeline.claim_errors(claim, ground, now=now))


def _survey(
    tx: Tx, *, claim: timeline.Claim, project: ProjectEntry | None, rebinding: Rebinding
) -> tuple[timeline.Ground, PayerInterval | None]:
    """What the claim stands on, and the project's newest interval; `project` bears the claim's name now."""
    payable = account_reads.find_payable(tx, namespace=claim.namespace, name=claim.account)
    account, account_goes, billed_until = payable or (None, False, None)
    bindable = project is not None and project.owner_org == claim.owner_org
    last = (
        payer_reads.find_last_interval(tx, project=project.number)
        if project is not None and bindable
        else None
    )
    bearer = project
    if claim.effective_from is not None:
        bearer = directory.find_project(tx, name=claim.project, at=claim.effective_from)
    ground = timeline.Ground(
        account_phase=None if account is None else account.phase,
        account_being_deleted=account_goes,
        billed_until=billed_until,
        project_bindable=bindable,
        project_being_deleted=project is not None and account_reads.is_being_deleted(tx, uid=project.uid),
        rival=last.binding_name
        if rebinding == "reject" and last is not None and last.ends_at is None
        else None,
        bound_before=last is not None,
        name_was_anothers=bearer is not None and bearer != project,
    )
    return ground, last


def decide_start(
    tx: Tx, *, claim: timeline.Claim, rebinding: Rebinding, now: datetime, clock: Clock
) -> datetime:
    """Take the locks under which a payer changes, look at the ground again, and read the instant of the change.

    The fence stays held exclusively until the transaction ends. Raises Invalid where the ground has gone since
    it was checked.
    """
    project = directory.find_project(tx, name=claim.project, at=now)
    if project is None or not store.lock_object(tx, uid=project.uid):
        raise Invalid([wording.missing("spec.projectRef.name", claim.project)])
    hold_fence(tx, exclusive=True)
    ground, last = _survey(tx, claim=claim, project=project, rebinding=rebinding)
    if errors := tuple(timeline.claim_errors(claim, ground, now=now)):
        raise Invalid(errors)
    return timeline.change_instant(clock=clock.now(), last=last, wanted=claim.effective_from)


def decide_end(tx: Tx, *, interval: PayerInterval, clock: Clock) -> datetime:
    """Take the fence exclusively, and read the instant at which the payer stops with no other in its place."""
    hold_fence(tx, exclusive=True)
    return timeline.end_instant(clock=clock.now(), interval=interval)


def begin_paying(
    tx: Tx, *, claim: timeline.Claim, binding: UUID, binding_name: str, starts_at: datetime, now: datetime
) -> None:
    """Open the interval that `decide_start` decided on, end the one before at the same instant, hold the project."""
    project = directory.find_project(tx, name=claim.project, at=now)
    account = account_reads.find_account(tx, namespace=claim.namespace, name=claim.account)
    assert project is not None and account is not None, "decide_start has looked at both, under lock"
    store.open_interval(
        tx,
        project=project.number,
        project_name=project.name,
        account=account.number,
        owner_org=claim.owner_org,
        binding=binding,
        binding_name=binding_name,
        starts_at=starts_at,
    )
    hold(tx, uid=project.uid, slice=SLICE, reason=_hold_reason(binding_name), at=now)


def stop_paying(tx: Tx, *, interval: PayerInterval, ends_at: datetime) -> None:
    """End the interval at the instant that `decide_end` decided on, and let go of the project."""
    store.end_interval(tx, binding=interval.binding, ends_at=ends_at)
    release_project(tx, interval=interval)


def release_project(tx: Tx, *, interval: PayerInterval) -> None:
    """Let go of the project on behalf of a binding that does not make anybody pay for it any more."""
    for project in directory.list_projects(tx, numbers=[interval.project]):
        release(tx, uid=project.uid, slice=SLICE, reason=_hold_reason(interval.binding_name))


def _hold_reason(binding_name: str) -> str:
    return f'billing account binding "{binding_name}" makes an account pay for it'


# ------------------------------------------------------------------------------------- trees and payment


def check_place(tx: Tx, *, place: tree.Place) -> tuple[FieldError, ...]:
    """What stands against an account's place in its tree, as this transaction sees the tree now."""
    parent, own = None, tree_reads.find_node(tx, namespace=place.namespace, name=place.name)
    if place.parent is not None and place.parent[0] == place.namespace:
        parent = tree_reads.find_node(tx, namespace=place.parent[0], name=place.parent[1])
    around = tree.Surroundings(
        above=() if parent is None else tree_reads.list_ancestors(tx, account=parent.number),
        parent_being_deleted=parent is not None and account_reads.is_being_deleted(tx, uid=parent.uid),
        levels_below=0 if own is None else tree_reads.count_levels_below(tx, account=own.number),
        consolidated=() if own is None else tree_reads.list_consolidated(tx, account=own.number),
    )
    return tuple(tree.place_errors(place, around))


def get_parent(tx: Tx, *, place: tree.Place) -> int | None:
    """The surrogate number of the parent, where there is one. Raises LookupError for one that does not exist."""
    if place.parent is None:
        return None
    parent = tree_reads.find_node(tx, namespace=place.parent[0], name=place.parent[1])
    if parent is None:
        raise LookupError(f"billing account {place.parent[0]}/{place.parent[1]} has no projection")
    return parent.number


def hold_account(tx: Tx, *, number: int) -> Account:
    """The account as it stands. Where sub-accounts are invoiced with it, until the transaction ends none joins or
    leaves, and it gets no other payer. Take it before every other lock. Raises AccountNotFound.
    """
    account = account_reads.get_account(tx, number=number)
    if not account.consolidates:
        return account
    store.lock_tree(tx, owner_org=account.owner_org, exclusive=False)
    # whoever had the lock before may have given it another payer
    return account_reads.get_account(tx, number=number)


def list_invoiced_with(tx: Tx, *, account: Account, since: datetime) -> tuple[Account, ...]:
    """The sub-accounts whose usage from `since` on is invoiced to an account that `hold_account` gave, by path."""
    if not account.consolidates:
        return ()
    numbers = tree_reads.list_invoiced_with(tx, account=account.number, since=since)
    return tuple(account_reads.get_account(tx, number=number) for number in numbers)


def hold_invoiced(tx: Tx, *, number: int) -> tuple[Account, Account]:
    """The account, and who is invoiced for it; until the transaction ends nobody else is.

    Take it before every other lock. Raises AccountNotFound.
    """
    store.lock_tree(tx, owner_org=account_reads.get_account(tx, number=number).owner_org, exclusive=False)
    account = account_reads.get_account(tx, number=number)
    return account, get_invoiced(tx, account=account)


def get_invoiced(tx: Tx, *, account: Account) -> Account:
    """Who is invoiced for the account: itself, or one above it."""
    if account.billing_mode == "Self":
        return account
    _, *above = tree_reads.list_ancestors(tx, account=account.number)
    return account_reads.get_account(tx, number=tree.invoiced(above).number)


def assess_payment(
    tx: Tx,
    *,
    account: UUID,
    namespace: str,
    type: PaymentProfileType | None,
    method: str | None,
    invoiced_above: str | None,
) -> tuple[standing.Finding, str | None]:
    """Whether an account's money can be collected, and the name of the other account that is invoiced for it, if any.

    `type` and `method` are of its own payment profile; `invoiced_above` names its parent, where that is invoiced.
    """
    parent = None
    if invoiced_above is not None:
        parent = tree_reads.find_node(tx, namespace=namespace, name=invoiced_above)
    if parent is None:
        entry = None if method is None else method_reads.find_method(tx, namespace=namespace, name=method)
        own = standing.assess_payment(account=account, type=type, method_name=method, method=entry)
        return own, None
    payer = tree.invoiced(tree_reads.list_ancestors(tx, account=parent.number))
    entry = None
    if payer.payment_method is not None:
        entry = method_reads.find_method(tx, namespace=payer.namespace, name=payer.payment_method)
    theirs = standing.assess_payment(
        account=payer.uid, type=payer.profile_type, method_name=payer.payment_method, method=entry
    )
    found = standing.assess_payment_by_parent(payer=payer.name, payer_phase=payer.phase, payment=theirs)
    return found, payer.name


# ------------------------------------------------------------------------------------------- projections

_BINDINGS = "billing.miloapis.com/billingaccountbindings/"
_AUDIT_PAGE = 5_000


def compare_projections(tx: Tx) -> tuple[ProjectionDifference, ...]:
    """Build time lines, accounts, counts and holds anew from objects and their history; what stands otherwise.

    Empty is right. Needs to reach everything, and reads the audit chains from their beginning: for `doctor` and
    tests, not for a door. Where others write meanwhile the transaction has to be a repeatable read: it is looked at
    in several statements.
    """
    audited: set[UUID] = set()
    after: Position | None = None
    while records := access.list_audit_records(tx, after=after, limit=_AUDIT_PAGE):
        after = Position(records[-1].chain, records[-1].sequence)
        audited |= {
            record.target_uid
            for record in records
            if record.target_uid is not None and record.target.startswith(_BINDINGS)
        }
    return (*_compare_intervals(tx, audited=audited), *_compare_accounts(tx))


# The newest that is known of each binding: what stands, or what it was when it went. One that went while it was active
# may have been logged without its end; then it must have one.
_INTERVALS_REBUILT: LiteralString = """
with bindings as (
    select uid, namespace, name, owner_org, spec, status, false as gone from controlplane.objects
    where api_group = 'billing.miloapis.com' and resource = 'billingaccountbindings'
    union all
    select uid, namespace, name, owner_org, object -> 'spec', object -> 'status', true from controlplane.changes
    where api_group = 'billing.miloapis.com' and resource = 'billingaccountbindings' and change = 'DELETED'
), expected as (
    select b.uid, b.namespace, b.name, b.owner_org, b.spec #>> '{billingAccountRef,name}' as account,
           b.spec #>> '{projectRef,name}' as project,
           (b.status #>> '{billingResponsibility,establishedAt}')::timestamptz as starts_at,
           coalesce((b.status #>> '{billingResponsibility,endedAt}')::timestamptz,
                    case when not b.gone then 'infinity'::timestamptz end) as ends_at,
           b.gone, b.status ->> 'phase' as phase
    from bindings b
), found as (
    select i.binding as uid, a.namespace, i.binding_name as name, i.owner_org, a.name as account,
           i.project_name as project, i.starts_at, i.ends_at, i.project as project_number
    from accounts.payer_intervals i join accounts.accounts a on a.number = i.account
)
select coalesce(e.uid, f.uid), coalesce(e.name, f.name),
       case when e.uid is not null then e.namespace || '/' || e.account || ' pays for ' || e.project || ' in ['
            || e.starts_at || ', ' || coalesce(coalesce(e.ends_at, nullif(f.ends_at, 'infinity'))::text, 'its deletion')
            || ')' || case when e.gone then '' else ', ' || e.phase end end,
       case when f.uid is not null then f.namespace || '/' || f.account || ' pays for ' || f.project || ' in ['
            || f.starts_at || ', ' || f.ends_at || ')' || case when coalesce(e.gone, true) then ''
            when f.ends_at = 'infinity' then ', Active' else ', Superseded' end end,
       f.ends_at <> 'infinity',
       e.phase = 'Superseded' and not exists (
           select from accounts.payer_intervals n where n.project = f.project_number and n.starts_at = f.ends_at),
       (e.namespace, e.name, e.owner_org) is distinct from (f.namespace, f.name, f.owner_org)
from expected e full join found f on f.uid = e.uid
order by 2, 1
"""

_DECLARED: LiteralString = """
select 'accounts.accounts', uid::text, 'billing account ' || namespace || '/' || name, jsonb_build_object(
    'namespace', namespace, 'name', name, 'owner_org', owner_org, 'currency', spec ->> 'currencyCode',
    'zone', spec ->> 'timeZone', 'phase', status ->> 'phase',
    'parent', spec #>> '{parentRef,name}', 'mode', spec ->> 'billingMode',
    'day', (spec #>> '{paymentTerms,invoiceDayOfMonth}')::int,
    'last day', (spec #>> '{paymentTerms,invoiceDayOfMonth}')::int,
    'frequency', spec #>> '{paymentTerms,invoiceFrequency}', 'profile', spec #>> '{paymentProfile,type}',
    'method', spec #>> '{paymentProfile,paymentMethodRef,name}',
    'projects', (status ->> 'linkedProjectsCount')::int)
from controlplane.objects where api_group = 'billing.miloapis.com' and resource = 'billingaccounts'
union all
select 'accounts.payment_methods', uid::text, 'payment method ' || namespace || '/' || name, jsonb_build_object(
    'namespace', namespace, 'name', name, 'owner_org', owner_org, 'class', status ->> 'className',
    'phase', status ->> 'phase', 'type', status #>> '{details,type}', 'failure', status ->> 'failureReason')
from controlplane.objects where api_group = 'billing.miloapis.com' and resource = 'paymentmethods'
union all
select 'accounts.payment_method_classes', uid::text, 'payment method class ' || name, jsonb_build_object(
    'name', name, 'provider', spec ->> 'provider', 'default', (spec ->> 'isDefault')::boolean)
from controlplane.objects where api_group = 'billing.miloapis.com' and resource = 'paymentmethodclasses'
"""

_PROJECTED: LiteralString = """
select 'accounts.accounts', a.uid::text, 'billing account ' || a.namespace || '/' || a.name, jsonb_build_object(
    'namespace', a.namespace, 'name', a.name, 'owner_org', a.owner_org, 'currency', a.currency,
    'zone', a.time_zone, 'phase', a.phase, 'parent', p.name, 'mode', a.billing_mode, 'day', a.invoice_day,
    'last day', (select d.invoice_day from accounts.invoice_days d where d.account = a.number
                 order by d.day desc limit 1),
    'frequency', a.invoice_frequency, 'profile', a.profile_type, 'method', a.payment_method,
    'projects', (select count(*) from accounts.payer_intervals i
                 where i.account = a.number and i.ends_at = 'infinity'))
from accounts.accounts a left join accounts.accounts p on p.number = a.parent where a.deleted_at is null
union all
select 'accounts.payment_methods', m.uid::text, 'payment method ' || m.namespace || '/' || m.name, jsonb_build_object(
    'namespace', m.namespace, 'name', m.name, 'owner_org', m.owner_org, 'class', c.name, 'phase', m.phase,
    'type', m.type, 'failure', m.failure_reason)
from accounts.payment_methods m join accounts.payment_method_classes c on c.uid = m.class
union all
select 'accounts.payment_method_classes', uid::text, 'payment method class ' || name,
    jsonb_build_object('name', name, 'provider', provider, 'default', is_default)
from accounts.payment_method_classes
"""

# A project with a payer cannot go, so its living object is the one that is held.
_HOLDS_WANTED: LiteralString = """
select 'controlplane.holds', o.uid || ' ' || i.binding_name, 'project ' || i.project_name,
    jsonb_build_object('held for', i.binding_name)
from accounts.payer_intervals i left join controlplane.objects o
    on o.api_group = 'resourcemanager.miloapis.com' and o.resource = 'projects' and o.name = i.project_name
where i.ends_at = 'infinity'
"""

_HOLDS_FOUND: LiteralString = """
select 'controlplane.holds', h.uid || ' ' || split_part(h.reason, '"', 2), 'project ' || o.name,
    jsonb_build_object('held for', split_part(h.reason, '"', 2))
from controlplane.holds h join controlplane.objects o on o.uid = h.uid
where h.slice = 'accounts' and o.resource = 'projects'
"""


def _compare_intervals(tx: Tx, *, audited: Collection[UUID]) -> tuple[ProjectionDifference, ...]:
    """Where the time lines differ from what bindings say, those that went included.

    `audited`: every binding that the audit chains know of. Of one whose last change is no longer in the change log they
    alone know that it was, and its interval must have ended.
    """
    differences: list[ProjectionDifference] = []
    unseen = set(audited)
    for uid, name, expected, found, ended, torn, renamed in tx.execute(_INTERVALS_REBUILT):
        unseen.discard(uid)
        what = f"{name} ({uid})"
        if expected is None and ended and uid in audited:
            continue
        if expected != found or (expected is not None and renamed):
            differences.append(_interval(what, expected or NONE, found or NONE))
        elif torn:
            differences.append(_interval(what, "its successor begins where it ends", found))
    differences += [_interval(str(uid), "an interval", NONE) for uid in sorted(unseen)]
    return tuple(differences)


def _interval(what: str, expected: str, found: str) -> ProjectionDifference:
    return ProjectionDifference("accounts.payer_intervals", f"binding {what}", expected, found, KEEP)


def _compare_accounts(tx: Tx) -> tuple[ProjectionDifference, ...]:
    """Where accounts, payment methods, their classes and counts differ from the objects, and holds from the payers."""
    return (
        *compare_rows(tx, expected=_DECLARED, found=_PROJECTED),
        *compare_rows(tx, expected=_HOLDS_WANTED, found=_HOLDS_FOUND, remedy=_HOLDS_REMEDY),
    )


_HOLDS_REMEDY = (
    "bind the project again: the hold goes and comes with the binding that makes somebody pay for it"
)
