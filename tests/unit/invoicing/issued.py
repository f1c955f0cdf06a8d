"""An issued invoice before anything became of it, for tests of its life."""

from datetime import UTC, date, datetime
from uuid import UUID

from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.kernel.periods import billing_month

ISSUED = date(2026, 11, 2)
DUE = date(2026, 12, 2)


def issued(total_minor: int) -> Invoice:
    return Invoice(
        uid=UUID(int=1),
        name="kc-1",
        namespace="organization-acme",
        owner_org=7,
        account=1,
        account_name="main",
        kind="Periodic",
        period=billing_month(2026, 10, zone="Etc/UTC"),
        phase="Issued" if total_minor else "Paid",
        issuer="kestrel",
        series="KC-",
        sequence=1,
        number="KC-1",
        currency="USD",
        subtotal_minor=total_minor,
        discounts_minor=0,
        tax_minor=0,
        total_minor=total_minor,
        amount_paid_minor=0,
        issued_at=datetime(2026, 11, 2, tzinfo=UTC),
        issued_on=ISSUED,
        due_on=DUE,
    )
