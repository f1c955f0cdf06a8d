"""SQL over controlplane.objects: rows in and out, personal fields sealed on the way.

Not: rules, order of locks, resource versions (engine and the database function seal).
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString, Protocol, TypeAlias, cast
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from milo_billing.controlplane.kinds import AnyKind, Json
from milo_billing.controlplane.rows import Row, selectable_values
from milo_billing.controlplane.selectors import Selector
from milo_billing.infra.database import Tx
from milo_billing.kernel.errors import Conflict

Key: TypeAlias = tuple[AnyKind, str, str]
"""Kind, namespace and name of an object."""

SEALED = "$sealed"

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
"""`kubectl apply` writes the whole manifest into this annotation: as personal as the fields it repeats."""


class Sealer(Protocol):
    """What the store needs of the vault (infra.crypto)."""

    def seal(self, tx: Tx, *, subject: UUID, value: Any, at: datetime) -> str: ...
    def open(self, tx: Tx, *, subject: UUID, ciphertext: str) -> Any: ...
    def prefetch(self, tx: Tx, subjects: Iterable[UUID]) -> None: ...


REMAINING_COUNTED_MAX = 5_000
"""A list says how many objects remain up to this many; the field is optional, and counting is not free."""

NARROWED_MAX = 5_000
"""Up to so many matches a list looks each of them up; where there are more, it reads in the order of its page."""

_COLUMNS: LiteralString = (
    "uid, namespace, name, owner_org, readable_by_all, generation, created_at, resource_version, "
    "deletion_requested_at, labels, metadata, spec, status"
)
_OF_KIND: LiteralString = "api_group = %s and resource = %s"


@dataclass(frozen=True, slots=True)
class Page:
    """Rows in name order, the collection's resource version, and what comes after."""

    rows: tuple[Row, ...]
    resource_version: int
    more: bool
    remaining: int | None


@dataclass(frozen=True, slots=True)
class Store:
    """Rows of one database, with personal fields in clear above this line and as ciphertext below."""

    sealer: Sealer

    # -- reading ------------------------------------------------------------------------------------------------

    def find(self, tx: Tx, kind: AnyKind, *, namespace: str, name: str) -> Row | None:
        query: LiteralString = (
            f"select {_COLUMNS} from controlplane.objects where {_OF_KIND} and namespace = %s and name = %s"
        )
        found = tx.execute(query, (kind.group, kind.plural, namespace, name)).fetchone()
        return None if found is None else self._opened(tx, kind, found)

    def find_many(self, tx: Tx, kind: AnyKind, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Row]:
        """The objects of one kind that exist, by (namespace, name)."""
        query: LiteralString = (
            f"select {_COLUMNS} from controlplane.objects where {_OF_KIND} "
            "and (namespace, name) in (select * from unnest(%s::text[], %s::text[]))"
        )
        namespaces, names = [key[0] for key in keys], [key[1] for key in keys]
        found = tx.execute(query, (kind.group, kind.plural, namespaces, names)).fetchall()
        if kind.personal:
            self.sealer.prefetch(tx, (row[0] for row in found))
        return {(row[1], row[2]): self._opened(tx, kind, row) for row in found}

    def lock(self, tx: Tx, kinds: dict[UUID, AnyKind]) -> dict[UUID, Row]:
        """Lock these objects in uid order and read them; one that has gone meanwhile is missing."""
        query: LiteralString = (
            f"select {_COLUMNS} from controlplane.objects where uid = any(%s) order by uid for update"
        )
        rows = tx.execute(query, (sorted(kinds),)).fetchall()
        return {row[0]: self._opened(tx, kinds[row[0]], row) for row in rows}

    def lock_named(self, tx: Tx, keys: Sequence[Key]) -> dict[UUID, tuple[AnyKind, Row]]:
        """The same for the named objects that exist."""
        query: LiteralString = (
            f"select {_COLUMNS}, api_group, resource from controlplane.objects "
            "where (api_group, resource, namespace, name) in "
            "(select * from unnest(%s::text[], %s::text[], %s::text[], %s::text[])) order by uid for update"
        )
        kinds = {(kind.group, kind.plural): kind for kind, _, _ in keys}
        columns = [(kind.group, kind.plural, namespace, name) for kind, namespace, name in keys]
        rows = tx.execute(query, [list(column) for column in zip(*columns, strict=True)]).fetchall()
        found: dict[UUID, tuple[AnyKind, Row]] = {}
        for row in rows:
            kind = kinds[row[-2], row[-1]]
            found[row[0]] = kind, self._opened(tx, kind, row)
        return found

    def uids(self, tx: Tx, keys: Sequence[Key]) -> dict[UUID, AnyKind]:
        """The uids of the named objects that exist."""
        found: dict[UUID, AnyKind] = {}
        query: LiteralString = (
            f"select uid from controlplane.objects where {_OF_KIND} and namespace = %s and name = %s"
        )
        for kind, namespace, name in keys:
            row = tx.execute(query, (kind.group, kind.plural, namespace, name)).fetchone()
            if row is not None:
                found[row[0]] = kind
        return found

    def names(self, tx: Tx, *, uids: Collection[UUID]) -> dict[UUID, tuple[str, str]]:
        """What the objects of these uids are, by the plural of their kind, and are called; of those that stand within
        reach.
        """
        query = "select uid, resource, name from controlplane.objects where uid = any(%s)"
        return {uid: (resource, name) for uid, resource, name in tx.execute(query, (list(uids),))}

    def list_page(
        self,
        tx: Tx,
        kind: AnyKind,
        *,
        namespace: str | None,
        selector: Selector,
        after: tuple[str, str] | None,
        limit: int | None,
    ) -> Page:
        """One page in (namespace, name) order; `namespace` None is all of them, `after` the last key seen.

        The collection's resource version is read in the same statement, so it belongs to the same snapshot.
        """
        conditions, parameters = self._narrowed(tx, kind, selector)
        where: list[str] = ["api_group = %s", "resource = %s", *conditions]
        values: list[Any] = [kind.group, kind.plural, *parameters]
        if namespace is not None or not kind.namespaced:
            where.append("namespace = %s")
            values.append(namespace or "")
        unpaged = (" and ".join(where), list(values))
        if after is not None:
            where.append("(namespace, name) > (%s, %s)")
            values += after
        body = " and ".join(where)
        tail = "" if limit is None else f"limit {int(limit) + 1}"
        # the parts are built above from constants and placeholders only
        page = sql.SQL(
            cast(
                "LiteralString",
                f"with page as (select {_COLUMNS} from controlplane.objects where {body} "
                f"order by namespace, name {tail}), "
                "head as (select coalesce(max(resource_version), 0) as rv from controlplane.changes) "
                "select head.rv, page.* from head left join page on true order by page.namespace, page.name",
            )
        )
        found = tx.execute(page, values).fetchall()
        resource_version: int = found[0][0]
        rows = [row[1:] for row in found if row[1] is not None]
        more = limit is not None and len(rows) > limit
        kept = rows[:limit] if limit is not None else rows
        remaining = None
        if more and selector.selects_all:
            remaining = self._count(tx, *unpaged, after=(kept[-1][1], kept[-1][2]))
        if kind.personal:
            self.sealer.prefetch(tx, (row[0] for row in kept))
        return Page(tuple(self._opened(tx, kind, row) for row in kept), resource_version, more, remaining)

    def _narrowed(self, tx: Tx, kind: AnyKind, selector: Selector) -> tuple[list[str], list[Any]]:
        """The selector's conditions, and which uids to look at where an index knows that they are few.

        Many are found soon by reading in order. The functions are called again in the list's own statement: what it
        finds must be of the same snapshot as the resource version that it tells.
        """
        conditions, parameters = selector.conditions()
        for function, wanted in (
            ("find_labelled", [Jsonb(labels) for labels in selector.indexed_labels]),
            ("find_by_fields", Jsonb(selector.indexed_fields) if selector.indexed_fields else None),
        ):
            if not wanted:
                continue
            arguments = "%s, %s, %s::jsonb[]" if function == "find_labelled" else "%s, %s, %s::jsonb"
            values = (kind.group, kind.plural, wanted)
            query = f"select cardinality(controlplane.{function}({arguments}, %s))"
            (found,) = tx.execute(query.encode(), (*values, NARROWED_MAX)).fetchone() or (0,)
            if found < NARROWED_MAX:
                few = f"uid = any ((select controlplane.{function}({arguments}, null))::uuid[])"
                return [few, *conditions], [*values, *parameters]
        return conditions, parameters

    def _count(self, tx: Tx, body: str, values: list[Any], *, after: tuple[str, str]) -> int | None:
        """How many rows come after; None where counting them would cost more than the page."""
        query = cast(
            "LiteralString",
            f"select count(*) from (select from controlplane.objects where {body} "
            f"and (namespace, name) > (%s, %s) order by namespace, name limit {REMAINING_COUNTED_MAX + 1}) rest",
        )
        (count,) = tx.execute(query, [*values, *after]).fetchone() or (0,)
        return None if count > REMAINING_COUNTED_MAX else count

    def head(self, tx: Tx) -> int:
        """The resource version of the newest committed change."""
        row = tx.execute("select coalesce(max(resource_version), 0) from controlplane.changes").fetchone()
        return 0 if row is None else row[0]

    def has_dependants(self, tx: Tx, uid: UUID) -> bool:
        """Whether any object names this one as its owner, whatever the reach of the transaction shows."""
        row = tx.execute("select controlplane.has_dependants(%s)", (uid,)).fetchone()
        return row is not None and row[0]

    # -- writing ------------------------------------------------------------------------------------------------

    def insert(self, tx: Tx, kind: AnyKind, row: Row, *, now: datetime) -> bool:
        """False where the name is taken."""
        spec, metadata = (
            self.sealed_spec(tx, kind, row, now=now),
            self._sealed_metadata(tx, kind, row, now=now),
        )
        written = tx.execute(
            "insert into controlplane.objects (uid, api_group, resource, namespace, name, owner_org, readable_by_all, "
            "generation, created_at, labels, fields, metadata, spec, status) "
            "values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) "
            "on conflict (api_group, resource, namespace, name) do nothing",
            (
                row.uid,
                kind.group,
                kind.plural,
                row.namespace,
                row.name,
                row.owner_org,
                row.readable_by_all,
                row.generation,
                row.created_at,
                Jsonb(row.labels),
                Jsonb(selectable_values(kind, row)),
                Jsonb(metadata),
                Jsonb(spec),
                Jsonb(row.status),
            ),
        )
        return written.rowcount == 1

    def update(self, tx: Tx, kind: AnyKind, row: Row, *, now: datetime) -> None:
        spec, metadata = (
            self.sealed_spec(tx, kind, row, now=now),
            self._sealed_metadata(tx, kind, row, now=now),
        )
        tx.execute(
            "update controlplane.objects set generation = %s, deletion_requested_at = %s, labels = %s, fields = %s, "
            "metadata = %s, spec = %s, status = %s where uid = %s",
            (
                row.generation,
                row.deletion_requested_at,
                Jsonb(row.labels),
                Jsonb(selectable_values(kind, row)),
                Jsonb(metadata),
                Jsonb(spec),
                Jsonb(row.status),
                row.uid,
            ),
        )

    # -- personal fields ----------------------------------------------------------------------------------------

    def _opened(self, tx: Tx, kind: AnyKind, found: Sequence[Any]) -> Row:
        row = Row(
            uid=found[0],
            namespace=found[1],
            name=found[2],
            owner_org=found[3],
            readable_by_all=found[4],
            generation=found[5],
            created_at=found[6],
            resource_version=found[7],
            deletion_requested_at=found[8],
            labels=found[9],
            metadata=found[10],
            spec=found[11],
            status=found[12],
        )
        self.open_personal(tx, kind, row)
        return row

    def open_personal(self, tx: Tx, kind: AnyKind, row: Row) -> None:
        """Put the clear values in place of the ciphertexts of spec and metadata, and remember these."""
        self._open_last_applied(tx, kind, row)
        for path in kind.personal:
            parent, key = _parent(row.spec, path)
            value = None if parent is None else parent.get(key)
            if parent is None or not isinstance(value, dict) or SEALED not in value:
                continue
            ciphertext: str = cast("Json", value)[SEALED]
            row.sealed[path] = ciphertext
            opened: Any = self.sealer.open(tx, subject=row.uid, ciphertext=ciphertext)
            if isinstance(opened, dict | list | str):
                parent[key] = opened
            else:
                del parent[key]  # erased: the subject's key was destroyed

    def _open_last_applied(self, tx: Tx, kind: AnyKind, row: Row) -> None:
        annotations: dict[str, str] = row.metadata.get("annotations") or {}
        stored = annotations.get(LAST_APPLIED, "")
        if not kind.personal or not stored.startswith(f"{SEALED}:"):
            return
        row.sealed[LAST_APPLIED] = stored.removeprefix(f"{SEALED}:")
        opened: Any = self.sealer.open(tx, subject=row.uid, ciphertext=row.sealed[LAST_APPLIED])
        if isinstance(opened, str):
            annotations[LAST_APPLIED] = opened
        else:
            del annotations[LAST_APPLIED]  # erased

    def sealed_spec(self, tx: Tx, kind: AnyKind, row: Row, *, now: datetime) -> Json:
        """The spec as it may be stored and logged: personal fields as ciphertext."""
        spec = row.spec
        for path in kind.personal:
            parent, key = _parent(spec, path)
            if parent is None or key not in parent:
                row.sealed.pop(path, None)
                continue
            spec = _with(spec, path, {SEALED: self._seal_once(tx, row, path, parent[key], now=now)})
        return spec

    def _sealed_metadata(self, tx: Tx, kind: AnyKind, row: Row, *, now: datetime) -> Json:
        annotations: dict[str, str] = row.metadata.get("annotations") or {}
        if not kind.personal or LAST_APPLIED not in annotations:
            return row.metadata
        ciphertext = self._seal_once(tx, row, LAST_APPLIED, annotations[LAST_APPLIED], now=now)
        return {**row.metadata, "annotations": {**annotations, LAST_APPLIED: f"{SEALED}:{ciphertext}"}}

    def _seal_once(self, tx: Tx, row: Row, key: str, value: Any, *, now: datetime) -> str:
        """The ciphertext of a personal value; an unchanged value keeps the one it has."""
        standing = row.sealed.get(key)
        if standing is None or self.sealer.open(tx, subject=row.uid, ciphertext=standing) != value:
            standing = self.sealer.seal(tx, subject=row.uid, value=value, at=now)
            row.sealed[key] = standing
        return standing


def _parent(spec: Json, path: str) -> tuple[Json | None, str]:
    """The object that holds the field at `spec.a.b`, and the field's key; None where the way there is missing."""
    *steps, key = path.removeprefix("spec.").split(".")
    parent: Any = spec
    for step in steps:
        parent = parent.get(step) if isinstance(parent, dict) else None  # pyright: ignore
    return (cast("Json", parent) if isinstance(parent, dict) else None), key


def _with(spec: Json, path: str, value: Any) -> Json:
    """A copy of the spec with another value at the path; what lies beside the path is shared."""
    head, _, rest = path.removeprefix("spec.").partition(".")
    return {**spec, head: _with(spec[head], rest, value) if rest else value}


class Overtaken(Conflict):
    """An object that the write depends on was deleted and made anew between its checks and its locks."""

    def __init__(self, kind: AnyKind, name: str) -> None:
        super().__init__(
            f'{kind.plural} "{name}" depends on an object that was replaced meanwhile; try again'
        )


RETRIED = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure, Overtaken)
"""What a door may answer by running the whole transaction again, twice."""
