"""SQL that writes what staff declared: issuers, tax rates; and checked VAT numbers."""

from collections.abc import Mapping
from datetime import date
from typing import Any
from uuid import UUID

import orjson

from milo_billing.infra.database import Tx
from milo_billing.kernel.taxes import TaxRateEntry, VatCheck


def put_issuer(tx: Tx, *, name: str, uid: UUID, is_default: bool, body: Mapping[str, Any]) -> None:
    """Say what the profile says now. Every version of it stays, for the invoices that were issued under it."""
    text = orjson.dumps(body, option=orjson.OPT_SORT_KEYS).decode()
    tx.execute(
        "insert into invoicing.issuer_versions values (sha256(convert_to(%(body)s, 'UTF8')), %(body)s::jsonb) "
        "on conflict do nothing",
        {"body": text},
    )
    tx.execute(
        "insert into invoicing.issuers "
        "values (%(name)s, %(uid)s, %(is_default)s, sha256(convert_to(%(body)s, 'UTF8'))) "
        "on conflict (name) do update set uid = excluded.uid, is_default = excluded.is_default, "
        "version = excluded.version",
        {"name": name, "uid": uid, "is_default": is_default, "body": text},
    )


def delete_issuer(tx: Tx, *, name: str) -> None:
    """Forget the profile. Its versions and its number series stay."""
    tx.execute("delete from invoicing.issuers where name = %s", (name,))


def put_tax_rate(
    tx: Tx, *, uid: UUID, object_name: str, rate: TaxRateEntry, starts_on: date, ends_on: date | None
) -> None:
    """Say what the TaxRate says now."""
    tx.execute(
        "insert into invoicing.tax_rates (uid, name, country, region, tax, category, code, percent, starts_on, "
        "ends_on, reason, reason_code) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) "
        "on conflict (uid) do update set ends_on = excluded.ends_on",
        (
            uid,
            object_name,
            rate.place.country,
            rate.place.region,
            rate.name,
            rate.category,
            rate.code,
            rate.percent,
            starts_on,
            ends_on,
            rate.reason,
            rate.reason_code,
        ),
    )


def delete_tax_rate(tx: Tx, *, uid: UUID) -> None:
    """Forget the rate. What was invoiced by it keeps it."""
    tx.execute("delete from invoicing.tax_rates where uid = %s", (uid,))


def insert_vat_check(tx: Tx, *, account: int, owner_org: int, check: VatCheck) -> None:
    """Note what was answered about the account's VAT number."""
    tx.execute(
        "insert into invoicing.vat_checks (account, checked_at, owner_org, sealed, valid, source, reference) "
        "values (%s, %s, %s, %s, %s, %s, %s) on conflict do nothing",
        (account, check.checked_at, owner_org, check.sealed, check.valid, check.source, check.reference),
    )
