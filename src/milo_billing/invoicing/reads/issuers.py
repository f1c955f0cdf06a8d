"""Who issues, and what the declared tax rates and registers say."""

from datetime import date
from uuid import UUID

from milo_billing.infra.database import Tx
from milo_billing.invoicing.types.invoices import IssuerVersion
from milo_billing.kernel.taxes import TaxPlace, TaxRateEntry, VatCheck


def find_default_issuer(tx: Tx) -> IssuerVersion | None:
    """The profile that issues where nothing else is said, as it is now."""
    row = tx.execute(
        "select i.name, i.version, v.body from invoicing.issuers i "
        "join invoicing.issuer_versions v on v.digest = i.version where i.is_default"
    ).fetchone()
    return None if row is None else IssuerVersion(*row)


def find_issuer(tx: Tx, *, name: str) -> IssuerVersion | None:
    """The profile of that name, as it is now."""
    row = tx.execute(
        "select i.name, i.version, v.body from invoicing.issuers i "
        "join invoicing.issuer_versions v on v.digest = i.version where i.name = %s",
        (name,),
    ).fetchone()
    return None if row is None else IssuerVersion(*row)


def find_other_default(tx: Tx, *, uid: UUID) -> str | None:
    """The name of the default profile, if it is another than the one of that uid."""
    row = tx.execute("select name from invoicing.issuers where is_default and uid <> %s", (uid,)).fetchone()
    return None if row is None else row[0]


def list_tax_rates(tx: Tx, *, country: str, day: date) -> tuple[TaxRateEntry, ...]:
    """The rates in force on the day in the country and in its regions."""
    rows = tx.execute(
        "select country, region, tax, category, code, percent, reason, reason_code from invoicing.tax_rates "
        "where country = %s and daterange(starts_on, ends_on) @> %s::date order by country, region, tax, category",
        (country, day),
    )
    return tuple(TaxRateEntry(TaxPlace(row[0], row[1]), *row[2:]) for row in rows)


def find_overlapping_rate(
    tx: Tx, *, uid: UUID, rate: TaxRateEntry, starts_on: date, ends_on: date | None
) -> str | None:
    """The name of another TaxRate of the same tax, place and category on one of these days."""
    row = tx.execute(
        "select name from invoicing.tax_rates where country = %s and region = %s and tax = %s and category = %s "
        "and daterange(starts_on, ends_on) && daterange(%s, %s) and uid <> %s order by name limit 1",
        (rate.place.country, rate.place.region, rate.name, rate.category, starts_on, ends_on, uid),
    ).fetchone()
    return None if row is None else row[0]


def find_vat_check(tx: Tx, *, account: int) -> VatCheck | None:
    """What was last answered about the VAT number that the account then had."""
    row = tx.execute(
        "select sealed, valid, checked_at, source, reference from invoicing.vat_checks where account = %s "
        "order by checked_at desc limit 1",
        (account,),
    ).fetchone()
    return None if row is None else VatCheck(*row)
