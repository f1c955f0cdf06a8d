"""SQL that writes this slice's tables, and the row locks under which what is sold may not change."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from fractions import Fraction
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from milo_billing.catalog.types import BookPhase, BookRole, ChargeType, MeterPhase
from milo_billing.infra.database import Tx
from milo_billing.kernel.aggregation import Aggregation, Window


def raise_meters_version(tx: Tx) -> None:
    """Tell the caches of meters, at commit, that they are old."""
    tx.execute("update controlplane.versions set version = version + 1 where name = 'meters'")


def put_meter(
    tx: Tx,
    *,
    uid: UUID,
    meter_name: str,
    phase: MeterPhase,
    aggregation: Aggregation,
    unit: str,
    dimensions: Sequence[str],
    series_by: Sequence[str],
    window: Window,
    bands: Sequence[Mapping[str, Any]],
    unique_key: str | None,
    resource_types: Sequence[str],
    deleted_at: datetime | None,
) -> None:
    tx.execute(
        "insert into catalog.meters (uid, meter_name, phase, aggregation, unit, dimensions, series_by, value_window, "
        "bands, unique_key, resource_types, deleted_at) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) "
        "on conflict (uid) do update set phase = excluded.phase, dimensions = excluded.dimensions, "
        "resource_types = excluded.resource_types, deleted_at = excluded.deleted_at",
        (
            uid,
            meter_name,
            phase,
            aggregation,
            unit,
            list(dimensions),
            list(series_by),
            window,
            Jsonb(list(bands)),
            unique_key,
            list(resource_types),
            deleted_at,
        ),
    )


def put_resource_type(
    tx: Tx,
    *,
    uid: UUID,
    name: str,
    phase: MeterPhase,
    group: str,
    kind: str,
    labels: Sequence[str],
    deleted_at: datetime | None,
) -> None:
    tx.execute(
        "insert into catalog.resource_types (uid, name, phase, api_group, kind, labels, deleted_at) "
        "values (%s, %s, %s, %s, %s, %s, %s) on conflict (uid) do update set phase = excluded.phase, "
        "labels = excluded.labels, deleted_at = excluded.deleted_at",
        (uid, name, phase, group, kind, list(labels), deleted_at),
    )


def put_sku(
    tx: Tx,
    *,
    uid: UUID,
    name: str,
    charge_type: ChargeType,
    meter_name: str | None,
    match: Mapping[str, Sequence[str]],
    pricing_unit: str,
    unit_factor: Fraction,
    body: dict[str, Any],
    deleted_at: datetime | None,
) -> None:
    tx.execute(
        "insert into catalog.skus (uid, name, charge_type, meter_name, match, pricing_unit, unit_factor, body, "
        "deleted_at) values (%s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict (uid) do update set "
        "charge_type = excluded.charge_type, meter_name = excluded.meter_name, match = excluded.match, "
        "pricing_unit = excluded.pricing_unit, unit_factor = excluded.unit_factor, body = excluded.body, "
        "deleted_at = excluded.deleted_at",
        (
            uid,
            name,
            charge_type,
            meter_name,
            Jsonb({dimension: list(values) for dimension, values in match.items()}),
            pricing_unit,
            str(unit_factor),
            Jsonb(body),
            deleted_at,
        ),
    )


def put_book(
    tx: Tx,
    *,
    uid: UUID,
    owner_org: int,
    name: str,
    book_name: str,
    effective_from: date,
    phase: BookPhase,
    role: BookRole,
    is_default: bool,
    currency: str,
    body: dict[str, Any],
    selections: list[dict[str, Any]],
    published_at: str | None,
    retired_at: str | None,
    deleted_at: datetime | None,
) -> None:
    tx.execute(
        "insert into catalog.price_books (uid, owner_org, name, book_name, effective_from, phase, role, is_default, "
        "currency, body, selections, published_at, retired_at, deleted_at) "
        "values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) "
        "on conflict (uid) do update set book_name = excluded.book_name, effective_from = excluded.effective_from, "
        "phase = excluded.phase, role = excluded.role, is_default = excluded.is_default, "
        "currency = excluded.currency, body = excluded.body, selections = excluded.selections, "
        "published_at = excluded.published_at, retired_at = excluded.retired_at, deleted_at = excluded.deleted_at",
        (
            uid,
            owner_org,
            name,
            book_name,
            effective_from,
            phase,
            role,
            is_default,
            currency,
            Jsonb(body),
            Jsonb(selections),
            published_at,
            retired_at,
            deleted_at,
        ),
    )


def hold_meter(tx: Tx, *, meter_name: str) -> None:
    """Keep the meter of that name as it is until the transaction ends: something is made that relies on it."""
    query = "select from catalog.meters where meter_name = %s and deleted_at is null for share"
    tx.execute(query, (meter_name,))


def lock_meter(tx: Tx, *, uid: UUID) -> None:
    """Wait for whatever is being made that relies on the meter; it is seen afterwards."""
    tx.execute("select from catalog.meters where uid = %s for update", (uid,))


def hold_resource_types(tx: Tx, *, names: Sequence[str]) -> None:
    """Keep these resource types as they are until the transaction ends: a meter that names them is being published."""
    query = "select from catalog.resource_types where name = any(%s) and deleted_at is null order by number for share"
    tx.execute(query, (list(names),))


def lock_resource_type(tx: Tx, *, uid: UUID) -> None:
    """Wait for whatever meter is being published that names the resource type; it is seen afterwards."""
    tx.execute("select from catalog.resource_types where uid = %s for update", (uid,))


def hold_skus(tx: Tx, *, names: Sequence[str] | None) -> None:
    """Keep these Skus as they are until the transaction ends: a book that prices them is being published.

    All of them where `names` is None: a selector looks at each.
    """
    query = (
        "select from catalog.skus where (%(names)s::text[] is null or name = any(%(names)s)) and deleted_at is null "
        "order by number for share"
    )
    tx.execute(query, {"names": None if names is None else list(names)})


def lock_sku(tx: Tx, *, uid: UUID) -> None:
    """Wait for whatever book is being published with the Sku; it is seen afterwards."""
    tx.execute("select from catalog.skus where uid = %s for update", (uid,))
