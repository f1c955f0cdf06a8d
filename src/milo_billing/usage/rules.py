"""Pure decisions of the usage slice: in whose name a sender acts; what makes an id, an import or a label the same; what
usage comes to.

Hashes here are part of the stored data: they must not change, nor depend on the process.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from fractions import Fraction
from typing import Any, Final, Literal
from uuid import UUID

from milo_billing.catalog.types import Aggregation, Meter
from milo_billing.kernel.aggregation import is_prorated, merged, value
from milo_billing.kernel.errors import FieldError
from milo_billing.kernel.ids import ULID, id_ms, ulid_to_int
from milo_billing.kernel.quantity import is_int64
from milo_billing.usage.types import Grouping, UsageCell, UsageTotal

_DAY_MS: Final = 86_400_000
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()


def sender_organization(reach: frozenset[int] | Literal["*"]) -> int:
    """The organization in whose name a sender acts: the first it may send for, 0 for one who may everywhere.

    Foreign ids are unique within it, so that nobody can take the ids of another organization; quarantined events
    that no other organization owns belong to it. `reach` is not empty.
    """
    return 0 if reach == "*" else min(reach)


def foreign_id_hash(*, owner_org: int, source: str, id: str) -> bytes:
    """128 bits that stand for an id that is neither ULID nor UUIDv7, unique by (sender, source, id)."""
    scope = hashlib.blake2b(digest_size=16, person=b"foreign id")
    scope.update(owner_org.to_bytes(8, "big"))
    encoded = source.encode()
    scope.update(len(encoded).to_bytes(4, "big"))
    scope.update(encoded)
    scope.update(id.encode())
    return scope.digest()


def text_hash(text: bytes) -> int:
    """64 bits of any text, as the unsigned integer that payload digests and label hashes are made of."""
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")


def canonical_json(value: object) -> bytes:
    """One spelling of a JSON value: sorted keys, no blanks, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def distinct_key(text: bytes) -> bytes:
    """128 bits that stand for what a UniqueCount meter counts: the text of a label, or a resource's identity."""
    return hashlib.blake2b(text, digest_size=16, person=b"distinct key").digest()


def resource_identity(resource: Mapping[str, object]) -> bytes | None:
    """What makes a resource the same resource: its uid, else group, kind, namespace and name; None without a name.

    Its labels are not part of it: they change while the resource stays what it is.
    """
    uid, name = resource.get("uid"), resource.get("name")
    if isinstance(uid, str) and uid:
        return uid.encode()
    if not isinstance(name, str) or not name:
        return None
    return canonical_json([resource.get(part) or "" for part in ("group", "kind", "namespace", "name")])


def import_identity(*, digest: bytes, mapping: Mapping[str, object]) -> bytes:
    """What makes an import the same import: sha256 over the file's digest and its mapping (domain.md §4)."""
    return hashlib.sha256(digest + canonical_json(mapping)).digest()


def import_row_id(*, row: int, meter: str) -> str:
    """The id of an import's row for one meter, within the import's own source.

    Longer than 26 characters whatever the meter, since an id of that length would be taken for a ULID.
    """
    return f"row/{row:020}/meter/{meter}"


def import_source(import_id: str) -> str:
    """The CloudEvents source of an import's rows."""
    return f"urn:milo-billing:import:{import_id}"


def format_instant(instant: datetime) -> str:
    """RFC 3339 in UTC, with as many decimals as are not zero."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def parse_event_id(text: str) -> UUID | None:
    """The id that an event is stored under, from a ULID or a UUID in any spelling; None if it is neither."""
    if ULID.fullmatch(text):
        return UUID(int=ulid_to_int(text))
    try:
        return UUID(text)
    except ValueError:
        return None


def id_day(id: UUID) -> date:
    """The UTC day of an event id: the partition or the archived file that it lies in. No id is beyond the last date."""
    ordinal = _EPOCH_ORDINAL + id_ms(id.int) // _DAY_MS
    return date.fromordinal(min(ordinal, date.max.toordinal()))


def correction_errors(
    *,
    quantity: int,
    dimensions: Collection[str],
    aggregation: Aggregation | None,
    declared: Collection[str],
    counted: int,
) -> Iterator[FieldError]:
    """What stands against a correction: the bounds of a quantity, the meter's dimensions and aggregation.

    `aggregation` is None where the meter is unknown, which is said elsewhere. `counted` is how many events the row has.
    """
    if not is_int64(quantity):
        yield FieldError(
            "spec.quantity", "FieldValueInvalid", f"Invalid value: {quantity} is no 64-bit integer"
        )
    if aggregation is None:
        return
    for name in sorted(set(dimensions) - set(declared)):
        yield FieldError(
            f"spec.dimensions[{name}]", "FieldValueInvalid", "Invalid value: the meter does not declare it"
        )
    if aggregation == "UniqueCount":
        message = "Invalid value: what was counted by UniqueCount cannot be corrected by a quantity: void its events"
        yield FieldError("spec.meterName", "FieldValueInvalid", message)
    if aggregation == "Count" and counted + quantity < 0:
        message = f"Invalid value: {quantity}: only {counted} events were counted on that day"
        yield FieldError("spec.quantity", "FieldValueInvalid", message)


def total_up(
    cells: Iterable[UsageCell],
    grouping: Grouping,
    *,
    meters: Mapping[int, Meter],
    bound: Mapping[tuple[int, date], Mapping[int, tuple[int, int]]],
) -> tuple[UsageTotal, ...]:
    """The totals of these cells, in their order: values by the meter's aggregation, added up over series and windows.

    `bound` prorates values of whole periods, by account and the period's first day, as bills do; a project that it does
    not name was the account's throughout. By day nothing is prorated.
    """
    groups: dict[tuple[Any, ...], list[UsageCell]] = {}
    for cell in cells:
        project = cell.project if grouping.project else None
        day = cell.window if grouping.day else None
        groups.setdefault((cell.account, project, cell.meter, cell.shown, day), []).append(cell)
    totals: list[UsageTotal] = []
    for (account, project, number, shown, day), found in groups.items():
        meter = meters[number]
        prorated = not grouping.day and is_prorated(meter.aggregation, meter.window)
        quantity: int | Fraction = 0
        for cell in found:
            worth = value(meter.aggregation, cell.figures, distinct=cell.distinct)
            if prorated:
                worth *= Fraction(*bound.get((account, cell.window), {}).get(cell.project, (1, 1)))
            quantity += worth
        totals.append(
            UsageTotal(
                account=account,
                project=project,
                meter=meter,
                day=day,
                dimensions=dict(zip(grouping.dimensions, shown, strict=True)),
                quantity=quantity,
                figures=merged(cell.figures for cell in found),
            )
        )
    return tuple(totals)
