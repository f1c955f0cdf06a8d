"""SQL that reads what is sold. Deleted entries are not found by name; what was published cannot be deleted."""

from collections.abc import Collection
from datetime import date, datetime
from fractions import Fraction
from typing import Any, LiteralString, cast
from uuid import UUID

from psycopg.types.json import Jsonb

from milo_billing.catalog.rules.books import Selection, parse_prices
from milo_billing.catalog.rules.measurement import parse_bands
from milo_billing.catalog.types import (
    Book,
    BookHead,
    BookPhase,
    BookRole,
    Meter,
    QuantityRounding,
    ResourceType,
    Sku,
)
from milo_billing.controlplane.projections import ProjectionDifference, compare_rows
from milo_billing.infra.database import Tx

_METER: LiteralString = (
    "select number, meter_name, phase, aggregation, unit, dimensions, series_by, value_window, bands, unique_key, "
    "resource_types from catalog.meters"
)
_RESOURCE_TYPE: LiteralString = (
    "select number, name, phase, api_group, kind, labels from catalog.resource_types"
)
_SKU: LiteralString = (
    "select number, name, charge_type, coalesce(meter_name, ''), match, pricing_unit, unit_factor, body "
    "from catalog.skus"
)
_BOOK: LiteralString = (
    "select number, name, book_name, effective_from, currency, body, selections from catalog.price_books"
)
_LIST_BOOKS: LiteralString = (
    "where deleted_at is null and phase = 'Published' and role = 'List' and owner_org = 0 "
    "and currency = %(currency)s"
)
_KNOWN: LiteralString = (
    "coalesce(published_at, '-infinity') <= %(known)s and coalesce(retired_at, 'infinity') > %(known)s "
    "and coalesce(deleted_at, 'infinity') > %(known)s and phase <> 'Draft'"
)
"""What was published at an instant, whatever became of it since."""

# --------------------------------------------------------------------------------------------------- meters


def load_meters(tx: Tx) -> tuple[Meter, ...]:
    """Every living meter, by number: for caches, which compare controlplane.versions 'meters'."""
    found = tx.execute(f"{_METER} where deleted_at is null order by number")
    return tuple(_meter(row) for row in found)


def list_meters_ever(tx: Tx) -> tuple[Meter, ...]:
    """Every meter there ever was, by number: usage of a deleted one can still be read."""
    return tuple(_meter(row) for row in tx.execute(f"{_METER} order by number"))


def find_meter(tx: Tx, *, meter_name: str) -> Meter | None:
    """The living meter of that name."""
    row = tx.execute(f"{_METER} where meter_name = %s and deleted_at is null", (meter_name,)).fetchone()
    return None if row is None else _meter(row)


def has_meter_namesake(tx: Tx, *, meter_name: str, uid: UUID) -> bool:
    """Whether another living MeterDefinition than the one of that uid has the name."""
    query = "select from catalog.meters where meter_name = %s and uid <> %s and deleted_at is null"
    return tx.execute(query, (meter_name, uid)).fetchone() is not None


def find_meter_with_resource_type(tx: Tx, *, name: str) -> str | None:
    """The name of a living meter that names the resource type and is not a draft, the first by name."""
    row = tx.execute(
        "select meter_name from catalog.meters where %s = any (resource_types) and phase <> 'Draft' "
        "and deleted_at is null order by meter_name limit 1",
        (name,),
    ).fetchone()
    return None if row is None else row[0]


# ------------------------------------------------------------------------------------------- resource types


def load_resource_types(tx: Tx) -> tuple[ResourceType, ...]:
    """Every living resource type, by number: for caches, which compare controlplane.versions 'meters'."""
    found = tx.execute(f"{_RESOURCE_TYPE} where deleted_at is null order by number")
    return tuple(_resource_type(row) for row in found)


def list_resource_types(tx: Tx, *, names: Collection[str]) -> tuple[ResourceType, ...]:
    """The living resource types of these names, by name; one that does not exist is missing."""
    found = tx.execute(
        f"{_RESOURCE_TYPE} where name = any(%s) and deleted_at is null order by name", (list(names),)
    )
    return tuple(_resource_type(row) for row in found)


def find_resource_type_namesake(
    tx: Tx, *, name: str, group: str, kind: str, uid: UUID
) -> ResourceType | None:
    """Another living resource type than the one of that uid, that has the name or the (group, kind)."""
    row = tx.execute(
        f"{_RESOURCE_TYPE} where (name = %s or (api_group, kind) = (%s, %s)) and uid <> %s and deleted_at is null "
        "order by number limit 1",
        (name, group, kind, uid),
    ).fetchone()
    return None if row is None else _resource_type(row)


# ----------------------------------------------------------------------------------------------------- Skus


def list_skus(tx: Tx, *, names: Collection[str]) -> tuple[Sku, ...]:
    """The living Skus of these names, by name; one that does not exist is missing."""
    found = tx.execute(f"{_SKU} where name = any(%s) and deleted_at is null order by name", (list(names),))
    return tuple(_sku(row) for row in found)


def find_sku(tx: Tx, *, number: int) -> Sku | None:
    """The Sku with that number, also one that was deleted."""
    row = tx.execute(f"{_SKU} where number = %s", (number,)).fetchone()
    return None if row is None else _sku(row)


def list_all_skus(tx: Tx) -> tuple[Sku, ...]:
    """Every living Sku, by name: for selectors, which look at each."""
    return tuple(_sku(row) for row in tx.execute(f"{_SKU} where deleted_at is null order by name"))


def find_sku_on_meter(tx: Tx, *, meter_name: str) -> str | None:
    """The name of a living Sku that sells usage of the meter, the first by name."""
    query = "select name from catalog.skus where meter_name = %s and deleted_at is null order by name limit 1"
    row = tx.execute(query, (meter_name,)).fetchone()
    return None if row is None else row[0]


def find_sku_of_service(tx: Tx, *, service: str) -> str | None:
    """The name of a living Sku that belongs to the Service, the first by name."""
    row = tx.execute(
        "select name from catalog.skus where body @> %s and deleted_at is null order by name limit 1",
        (Jsonb({"serviceRef": {"name": service}}),),
    ).fetchone()
    return None if row is None else row[0]


def has_service(tx: Tx, *, name: str) -> bool:
    """Whether there is a Service of that name."""
    row = tx.execute(
        "select from controlplane.objects where api_group = 'services.miloapis.com' and resource = 'services' "
        "and namespace = '' and name = %s",
        (name,),
    ).fetchone()
    return row is not None


def find_service_phase(tx: Tx, *, name: str) -> str | None:
    """The phase of the Service of that name; None where there is none."""
    row = tx.execute(
        "select spec ->> 'phase' from controlplane.objects where api_group = 'services.miloapis.com' "
        "and resource = 'services' and namespace = '' and name = %s",
        (name,),
    ).fetchone()
    return None if row is None else row[0]


# ---------------------------------------------------------------------------------------------------- books


def find_list_book(tx: Tx, *, currency: str, on: date) -> Book | None:
    """The provider's published list book of that currency that is in force on a day, local to the account."""
    row = tx.execute(
        f"{_BOOK} {_LIST_BOOKS} and effective_from <= %(on)s order by effective_from desc limit 1",
        {"currency": currency, "on": on},
    ).fetchone()
    return None if row is None else _book(row)


def list_books(
    tx: Tx, *, currency: str, start: date, end: date, known_at: datetime | None = None
) -> tuple[Book, ...]:
    """The versions of the list book that are in force on any day of [start, end), by the day they begin.

    The first may have begun long before `start`; if none had, there are days without a price. With `known_at` those
    that were published at that instant: what came later, also from an earlier day, is not among them.
    """
    where = (
        _LIST_BOOKS
        if known_at is None
        else f"where {_KNOWN} and role = 'List' and owner_org = 0 and currency = %(currency)s"
    )
    return _versions(tx, where, {"currency": currency, "known": known_at}, start=start, end=end)


def list_book_versions(
    tx: Tx, *, book_name: str, start: date, end: date, known_at: datetime | None = None
) -> tuple[Book, ...]:
    """The published versions of the book of that name that are in force on any day of [start, end), as `list_books`."""
    where = (
        "where deleted_at is null and phase = 'Published' and book_name = %(book_name)s"
        if known_at is None
        else f"where {_KNOWN} and book_name = %(book_name)s"
    )
    return _versions(tx, where, {"book_name": book_name, "known": known_at}, start=start, end=end)


def find_default_book(tx: Tx, *, known_at: datetime | None = None) -> str | None:
    """The name of the provider's book that prices accounts of currencies without a list book; there is one at most.

    With `known_at` the one that was it at that instant.
    """
    published: LiteralString = "deleted_at is null and phase = 'Published'" if known_at is None else _KNOWN
    row = tx.execute(
        f"select book_name from catalog.price_books where is_default and {published} "
        "and role = 'List' and owner_org = 0 order by effective_from limit 1",
        {"known": known_at},
    ).fetchone()
    return None if row is None else row[0]


def find_book(tx: Tx, *, number: int) -> Book | None:
    """The version of a price book with that number, also one that was retired."""
    row = tx.execute(f"{_BOOK} where number = %s", (number,)).fetchone()
    return None if row is None else _book(row)


def find_version(tx: Tx, *, name: str) -> tuple[Book, BookPhase, dict[str, Any]] | None:
    """The living price book of that object name in whichever phase, its phase and its spec.

    A draft has no selections yet: nothing that its selectors mean is among its prices.
    """
    row = tx.execute(
        "select number, name, book_name, effective_from, currency, body, selections, phase "
        "from catalog.price_books where name = %s and deleted_at is null",
        (name,),
    ).fetchone()
    return None if row is None else (_book(row[:7]), row[7], row[5])


def list_book_names(tx: Tx, *, numbers: Collection[int]) -> tuple[tuple[int, str, date], ...]:
    """(number, bookName, effective from) of versions of price books, also of retired ones, by number."""
    rows = tx.execute(
        "select number, book_name, effective_from from catalog.price_books where number = any(%s) order by number",
        (list(numbers),),
    )
    return tuple(rows.fetchall())


def _versions(
    tx: Tx, where: LiteralString, asked: dict[str, Any], *, start: date, end: date
) -> tuple[Book, ...]:
    found = tx.execute(
        f"{_BOOK} {where} and effective_from < %(end)s and effective_from >= coalesce("
        f"(select max(effective_from) from catalog.price_books {where} and effective_from <= %(start)s), "
        "%(start)s) order by effective_from",
        {**asked, "start": start, "end": end},
    )
    return tuple(_book(row) for row in found)


def is_book_published(
    tx: Tx, *, book_name: str, roles: Collection[BookRole], owner_orgs: Collection[int]
) -> bool:
    """Whether a version of the book is published, in one of these roles, and of one of these owners."""
    query = (
        "select from catalog.price_books where book_name = %s and phase = 'Published' and role = any(%s) "
        "and owner_org = any(%s) and deleted_at is null limit 1"
    )
    return tx.execute(query, (book_name, list(roles), list(owner_orgs))).fetchone() is not None


def find_book_with_sku(tx: Tx, *, sku: str) -> str | None:
    """The name of a book that was ever published with a price for the Sku."""
    row = tx.execute(
        "select name from catalog.price_books where phase <> 'Draft' and (body @> %s or selections @> %s) "
        "order by number limit 1",
        (Jsonb({"prices": [{"skuRef": {"name": sku}}]}), Jsonb([{"skus": [sku]}])),
    ).fetchone()
    return None if row is None else row[0]


def list_book_heads(tx: Tx, *, book_name: str, currency: str, but: UUID) -> tuple[BookHead, ...]:
    """Living books other than `but` that bear the name, are the published list book of the currency, or the default."""
    found = tx.execute(
        "select name, book_name, effective_from, phase, role, owner_org, currency, is_default "
        "from catalog.price_books "
        "where deleted_at is null and uid <> %s and (book_name = %s or ((currency = %s or is_default) "
        "and phase = 'Published' and role = 'List' and owner_org = 0)) order by number",
        (but, book_name, currency),
    )
    return tuple(BookHead(*row) for row in found)


# ------------------------------------------------------------------------------------------- rows to values


def _meter(row: tuple[Any, ...]) -> Meter:
    number, meter_name, phase, aggregation, unit, dimensions, series_by, window, bands, unique_key, types = (
        row
    )
    return Meter(
        number=number,
        meter_name=meter_name,
        phase=phase,
        aggregation=aggregation,
        unit=unit,
        dimensions=tuple(dimensions),
        series_by=tuple(series_by),
        window=window,
        bands=tuple(parse_bands(body) for body in bands),
        unique_key=unique_key,
        resource_types=tuple(types),
    )


def _resource_type(row: tuple[Any, ...]) -> ResourceType:
    number, name, phase, group, kind, labels = row
    return ResourceType(number, name, phase, group, kind, tuple(labels))


def _sku(row: tuple[Any, ...]) -> Sku:
    number, name, charge_type, meter_name, match, pricing_unit, unit_factor, body = row
    rounding: dict[str, Any] | None = body.get("quantityRounding")
    return Sku(
        number=number,
        name=name,
        meter_name=meter_name,
        match={dimension: tuple(values) for dimension, values in cast("dict[str, list[str]]", match).items()},
        pricing_unit=pricing_unit,
        unit_factor=Fraction(unit_factor),
        quantity_rounding=None
        if rounding is None
        else QuantityRounding(rounding["mode"], rounding["decimals"]),
        tax_category=body["taxCategory"],
        display_name=body.get("displayName", name),
        invoice_group=body.get("invoiceGroup", ""),
        service=body.get("serviceRef", {}).get("name", ""),
        labels=body.get("labels", {}),
        charge_type=charge_type,
    )


def _book(row: tuple[Any, ...]) -> Book:
    number, name, book_name, effective_from, currency, body, selections = row
    prices = parse_prices(
        body,
        [Selection(one["price"], tuple(one["skus"]), tuple(one["base"])) for one in selections],
    )
    return Book(number, name, book_name, effective_from, currency, prices)


# ------------------------------------------------------------------------------------------------ projections

_DECLARED: LiteralString = """
select 'catalog.meters', uid::text, 'meter definition ' || name, jsonb_build_object(
    'meter', spec ->> 'meterName', 'phase', spec ->> 'phase', 'aggregation', spec #>> '{measurement,aggregation}',
    'unit', spec #>> '{measurement,unit}', 'dimensions', coalesce(spec #> '{measurement,dimensions}', '[]'),
    'series', coalesce(spec #> '{measurement,seriesBy}', '[]'), 'window', spec #>> '{measurement,window}',
    'bands', coalesce(spec #> '{measurement,bands}', '[]'), 'key', spec #>> '{measurement,uniqueKey}',
    'types', coalesce(spec -> 'monitoredResourceTypes', '[]'))
from controlplane.objects where api_group = 'billing.miloapis.com' and resource = 'meterdefinitions'
union all
select 'catalog.resource_types', uid::text, 'resource type ' || name, jsonb_build_object(
    'name', spec ->> 'resourceTypeName', 'phase', spec ->> 'phase', 'group', coalesce(spec #>> '{gvk,group}', ''),
    'kind', spec #>> '{gvk,kind}', 'labels', jsonb_path_query_array(spec, '$.labels[*].name'))
from controlplane.objects where api_group = 'billing.miloapis.com' and resource = 'monitoredresourcetypes'
union all
select 'catalog.skus', uid::text, 'Sku ' || name, jsonb_build_object(
    'name', name, 'charge', spec ->> 'chargeType', 'meter', spec #>> '{meter,meterName}',
    'match', coalesce(spec #> '{meter,match}', '{}'), 'unit', spec ->> 'pricingUnit',
    'factor', status ->> 'unitFactor', 'spec', spec)
from controlplane.objects where api_group = 'billing.miloapis.com' and resource = 'skus'
union all
select 'catalog.price_books', uid::text, 'price book ' || name, jsonb_build_object(
    'name', name, 'owner_org', owner_org, 'book', spec ->> 'bookName', 'from', (spec ->> 'effectiveFrom')::date,
    'phase', spec ->> 'phase', 'role', spec ->> 'role', 'default', (spec ->> 'isDefault')::boolean,
    'currency', spec ->> 'currencyCode', 'spec', spec, 'selections', coalesce(status -> 'selections', '[]'),
    'published', (status ->> 'publishedAt')::timestamptz, 'retired', case when spec ->> 'phase' = 'Retired' then
        (jsonb_path_query_first(status, '$.conditions[*] ? (@.type == "Published").lastTransitionTime') #>> '{}')
        ::timestamptz end)
from controlplane.objects where api_group = 'billing.miloapis.com' and resource = 'pricebooks'
"""

_PROJECTED: LiteralString = """
select 'catalog.meters', m.uid::text, 'meter ' || m.meter_name, jsonb_build_object(
    'meter', m.meter_name, 'phase', m.phase, 'aggregation', m.aggregation, 'unit', m.unit,
    'dimensions', to_jsonb(m.dimensions), 'series', to_jsonb(m.series_by), 'window', m.value_window, 'bands', m.bands,
    'key', m.unique_key, 'types', to_jsonb(m.resource_types))
from catalog.meters m where m.deleted_at is null
union all
select 'catalog.resource_types', t.uid::text, 'resource type ' || t.name, jsonb_build_object(
    'name', t.name, 'phase', t.phase, 'group', t.api_group, 'kind', t.kind, 'labels', to_jsonb(t.labels))
from catalog.resource_types t where t.deleted_at is null
union all
select 'catalog.skus', s.uid::text, 'Sku ' || s.name, jsonb_build_object(
    'name', s.name, 'charge', s.charge_type, 'meter', s.meter_name, 'match', s.match, 'unit', s.pricing_unit,
    'factor', s.unit_factor, 'spec', s.body)
from catalog.skus s where s.deleted_at is null
union all
select 'catalog.price_books', b.uid::text, 'price book ' || b.name, jsonb_build_object(
    'name', b.name, 'owner_org', b.owner_org, 'book', b.book_name, 'from', b.effective_from, 'phase', b.phase,
    'role', b.role, 'default', b.is_default, 'currency', b.currency, 'spec', b.body, 'selections', b.selections,
    'published', b.published_at, 'retired', b.retired_at)
from catalog.price_books b where b.deleted_at is null
"""


def compare_projections(tx: Tx) -> tuple[ProjectionDifference, ...]:
    """Where the catalog differs from its objects. Needs to reach everything; empty is right."""
    return compare_rows(tx, expected=_DECLARED, found=_PROJECTED)
