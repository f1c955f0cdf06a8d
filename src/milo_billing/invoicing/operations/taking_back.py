"""Prepaid credit whose money went back: what is left of it is the customer's no more, and what it paid is owed again.

Owns: the movements of the grants, their books, and the invoices that they paid. Not: how much has to be taken back, and
of which grants (payments), the money itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final
from uuid import UUID

from milo_billing.controlplane.engine import Engine
from milo_billing.controlplane.work import Work
from milo_billing.infra.clock import new_uid
from milo_billing.invoicing.engine import granting
from milo_billing.invoicing.engine.grant_notices import tell_taken_back
from milo_billing.invoicing.engine.grant_rows import insert_movement
from milo_billing.invoicing.operations import life
from milo_billing.invoicing.reads import grants as grant_reads
from milo_billing.invoicing.reads import set_apart
from milo_billing.invoicing.reads.set_apart import SetApart
from milo_billing.invoicing.rules.grants import Grant
from milo_billing.invoicing.types.drafts import GROUP
from milo_billing.ledger import operations as ledger
from milo_billing.ledger.types import Entry, Fact

GRANTS_MAX: Final = 1000
"""Grants of an account that are looked at, the newest of them."""


@dataclass(frozen=True, slots=True)
class WentBack:
    """Why money is taken back: `by` says what went back, such as an entry of the bank's, `reason` tells it to people.

    `at` is when the money counts from, `posted_on` its day in the books.
    """

    by: str
    reason: str
    at: datetime
    posted_on: date


def lock_set_apart(
    work: Work, engine: Engine, *, account: int, issuer: str, currency: str
) -> tuple[SetApart, ...]:
    """The prepaid credit that was set apart of the account's money, the newest first; nobody else uses it until the
    transaction ends.
    """

    def found() -> tuple[SetApart, ...]:
        return set_apart.list_set_apart(
            work.tx, account=account, issuer=issuer, currency=currency, limit=GRANTS_MAX
        )

    grants = found()
    if not grants:
        return ()
    kind = engine.registry.get(GROUP, "creditgrants")
    engine.store.lock(work.tx, {one.grant: kind for one in grants})
    return found()  # what was read before the lock may have been used by whoever held it


def take_back_credit(
    work: Work, engine: Engine, *, grant: UUID, left_minor: int, uses: Mapping[UUID, int], why: WentBack
) -> None:
    """Take back so much of what is left of a grant, and of what it paid of invoices, which is owed again.

    All of it is money on account then, which the caller takes from there. The caller holds the grant's lock
    (`lock_set_apart`).
    """
    found = grant_reads.get_grant(work.tx, uid=grant)
    minor = left_minor + sum(uses.values())
    for invoice, used_minor in uses.items():
        _owe_again(work, engine, found, invoice, minor=used_minor, why=why)
    entries = ledger.taken_back(ledger.credit_granted(found.money(minor)))
    key = f"credit-grant/{grant}/taken-back/{why.by}"
    _post(work, found, key, entries, about=f"Prepaid credit {found.name} is taken back", why=why)
    insert_movement(
        work.tx, found, "Revoked", minor=minor, cause=why.by, at=work.now, posted=key, reason=why.reason
    )
    after = grant_reads.get_grant(work.tx, uid=grant)
    tell_taken_back(work.tx, after, minor=minor, reason=why.reason, once=why.by, now=work.now)
    granting.restate(work, engine, [after])


def take_back_bought(work: Work, engine: Engine, *, invoice: UUID, why: WentBack) -> None:
    """Credit what is left of the credit that was bought by this invoice, if it was, as far as the invoice is owed.

    What was used of it stays owed.
    """
    bought = grant_reads.find_bought_by(work.tx, invoice=invoice)
    if bought is not None:
        granting.credit_unpaid_purchase(work, engine, grant=bought.uid, reason=why.reason)


def _owe_again(work: Work, engine: Engine, grant: Grant, invoice: UUID, *, minor: int, why: WentBack) -> None:
    key = f"invoice/{invoice}/credit/{grant.uid}/back/{why.by}"
    entries = ledger.taken_back(ledger.credit_used(grant.money(minor)))
    _post(work, grant, key, entries, about=f"Prepaid credit {grant.name} back", why=why)
    life.lock_invoice(work, engine=engine, invoice=invoice)
    insert_movement(
        work.tx, grant, "GivenBack", minor=minor, cause=why.by, at=work.now, invoice=invoice, posted=key
    )
    life.settle_invoice(
        work,
        engine=engine,
        invoice=invoice,
        kind="PaymentReversal",
        reference=f"{why.by}/{grant.uid}",
        amount_minor=minor,
        posted=key,
        at=why.at,
    )


def _post(
    work: Work, grant: Grant, key: str, entries: tuple[Entry, ...], *, about: str, why: WentBack
) -> None:
    fact = Fact(
        id=new_uid(),
        key=key,
        entity=grant.issuer,
        posted_on=why.posted_on,
        billing_account=grant.account,
        owner_org=grant.owner_org,
        description=f"{about}: {why.reason}",
    )
    ledger.post_fact(work.tx, fact=fact, entries=entries, now=work.now)
