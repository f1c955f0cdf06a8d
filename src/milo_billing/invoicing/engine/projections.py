"""Whether what is declared of invoicing agrees with the tables beside it, for `doctor --projections`."""

from typing import LiteralString

from milo_billing.controlplane.projections import KEEP, ProjectionDifference, compare_rows
from milo_billing.infra.database import Tx

_DECLARED: LiteralString = """
select 'invoicing.issuers', uid::text, 'issuer profile ' || name,
    jsonb_build_object('name', name, 'default', (spec ->> 'isDefault')::boolean, 'spec', spec)
from controlplane.objects where api_group = 'billing.miloapis.com' and resource = 'issuerprofiles'
"""
_PROJECTED: LiteralString = """
select 'invoicing.issuers', i.uid::text, 'issuer profile ' || i.name,
    jsonb_build_object('name', i.name, 'default', i.is_default, 'spec', v.body)
from invoicing.issuers i join invoicing.issuer_versions v on v.digest = i.version
"""

_RATES_DECLARED: LiteralString = """
select 'invoicing.tax_rates', uid::text, 'tax rate ' || name, jsonb_build_object(
    'name', name, 'country', spec ->> 'country', 'region', spec ->> 'region', 'tax', spec ->> 'tax',
    'category', spec ->> 'taxCategory', 'percent', (spec ->> 'percent')::numeric, 'from', (spec ->> 'startsOn')::date,
    'until', (spec ->> 'endsOn')::date, 'reason', coalesce(spec ->> 'reason', ''),
    'code', coalesce(spec ->> 'reasonCode', ''))
from controlplane.objects where api_group = 'billing.miloapis.com' and resource = 'taxrates'
"""
_RATES_PROJECTED: LiteralString = """
select 'invoicing.tax_rates', uid::text, 'tax rate ' || name, jsonb_build_object(
    'name', name, 'country', country, 'region', region, 'tax', tax, 'category', category, 'percent', percent,
    'from', starts_on, 'until', ends_on, 'reason', reason, 'code', reason_code)
from invoicing.tax_rates
"""

# The other way around: of an Invoice the table is the truth, and the object follows. Amounts have exactly the digits
# of the currency, so without the point they are minor units.
_INVOICES: LiteralString = """
select 'controlplane.objects', uid::text, 'invoice ' || namespace || '/' || name, jsonb_build_object(
    'namespace', namespace, 'name', name, 'owner_org', owner_org, 'account', account_name, 'phase', phase,
    'number', number, 'issuer', issuer, 'currency', currency, 'subtotal', subtotal_minor,
    'discounts', discounts_minor, 'tax', tax_minor, 'total', total_minor,
    'paid', amount_paid_minor, 'credited', credited_minor, 'written off', written_off_minor,
    'due', total_minor - amount_paid_minor - credited_minor - written_off_minor,
    'credits', case phase when 'Void' then 0 else (select coalesce(-sum(m.amount_minor), 0)
        from invoicing.grant_movements m where m.invoice = invoices.uid) end,
    'issued', issued_on, 'due date', due_on)
from invoicing.invoices
"""
_INVOICE_OBJECTS: LiteralString = """
select 'controlplane.objects', uid::text, 'invoice ' || namespace || '/' || name, jsonb_build_object(
    'namespace', namespace, 'name', name, 'owner_org', owner_org, 'account', spec #>> '{billingAccountRef,name}',
    'phase', status ->> 'phase', 'number', status ->> 'number', 'issuer', status ->> 'issuer',
    'currency', status ->> 'currencyCode', 'subtotal', replace(status ->> 'subtotal', '.', '')::bigint,
    'discounts', replace(status ->> 'discounts', '.', '')::bigint,
    'tax', replace(status ->> 'taxTotal', '.', '')::bigint,
    'total', replace(status ->> 'total', '.', '')::bigint,
    'paid', replace(status ->> 'amountPaid', '.', '')::bigint,
    'credited', replace(status ->> 'amountCredited', '.', '')::bigint,
    'written off', replace(status ->> 'amountWrittenOff', '.', '')::bigint,
    'due', replace(status ->> 'amountDue', '.', '')::bigint,
    'credits', replace(status ->> 'credits', '.', '')::bigint, 'issued', (status ->> 'issuedOn')::date,
    'due date', (status ->> 'dueDate')::date)
from controlplane.objects where api_group = 'billing.miloapis.com' and resource = 'invoices'
"""


def compare_projections(tx: Tx) -> tuple[ProjectionDifference, ...]:
    """Where issuers differ from their objects, and the objects of invoices from the invoices.

    Needs to reach everything; empty is right.
    """
    return (
        *compare_rows(tx, expected=_DECLARED, found=_PROJECTED),
        *compare_rows(tx, expected=_RATES_DECLARED, found=_RATES_PROJECTED),
        *compare_rows(tx, expected=_INVOICES, found=_INVOICE_OBJECTS, remedy=KEEP),
    )
