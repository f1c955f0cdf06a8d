"""Buy prepaid credit that is taxed at purchase: its invoice, the money that pays it and the grant, at once."""

from datetime import datetime

from milo_billing.accounts.types import BillingProfile
from milo_billing.infra.clock import new_uid
from milo_billing.infra.database import Tx
from milo_billing.invoicing.engine import granting
from milo_billing.invoicing.engine.granting import WantedGrant
from milo_billing.invoicing.operations import writing
from milo_billing.invoicing.operations.office import UNISSUED, Pen, billing_profile
from milo_billing.invoicing.reads import issuers as issuer_reads
from milo_billing.invoicing.rules import bought_credit
from milo_billing.invoicing.rules.grants import Grant
from milo_billing.invoicing.types.drafts import Draft
from milo_billing.invoicing.types.errors import UnableToIssue
from milo_billing.invoicing.types.invoices import IssuerVersion
from milo_billing.kernel.periods import local_day


def check_purchase(tx: Tx, pen: Pen, wanted: WantedGrant, *, now: datetime) -> None:
    """Raise UnableToIssue where nobody can say how the credit is taxed, UnableToGrant where the account has not the
    money for it and its tax.
    """
    drafted, _, _ = _draft(tx, pen, wanted, now=now)
    granting.funds(tx, wanted, asked_minor=drafted.total_minor)


def buy_credit(tx: Tx, pen: Pen, wanted: WantedGrant, *, now: datetime) -> Grant:
    """Issue the invoice over the credit, pay it with the money that came, and grant the credit that it bought.

    The objects of grant and invoice are the caller's to write. Raises UnableToIssue and UnableToGrant.
    """
    account = wanted.account
    granting.hold_money(tx, account=account.number)
    drafted, profile, issuer = _draft(tx, pen, wanted, now=now)
    _, unapplied, _ = granting.funds(tx, wanted, asked_minor=drafted.total_minor)
    invoice = writing.write_invoice(
        tx, pen, drafted, uid=new_uid(), account=account, profile=profile, issuer=issuer, now=now
    )
    invoice = granting.pay_purchase(
        tx, invoice, grant=wanted.uid, unapplied=unapplied, into=wanted.received_into, now=now
    )
    granted = granting.grant(tx, wanted, now=now, bought=invoice)
    writing.announce(tx, pen, invoice, account=account, profile=profile, issuer=issuer, now=now)
    return granted


def _draft(
    tx: Tx, pen: Pen, wanted: WantedGrant, *, now: datetime
) -> tuple[Draft, BillingProfile, IssuerVersion]:
    account = wanted.account
    issuer = issuer_reads.find_default_issuer(tx)
    profile = billing_profile(tx, pen.vault, account)
    if issuer is None or profile is None:
        raise UnableToIssue(UNISSUED if issuer is None else f"billing account {account.name} was deleted")
    drafted = bought_credit.draft(
        account=account.number,
        currency=account.currency,
        amount_minor=wanted.amount_minor,
        title=wanted.title,
        tax_category=wanted.tax_category,
        day=local_day(now, zone=account.time_zone),
        zone=account.time_zone,
    )
    day = local_day(now, zone=issuer.body["timeZone"])
    return (
        writing.taxed(tx, pen, drafted, account=account, profile=profile, issuer=issuer, day=day),
        profile,
        issuer,
    )
