"""Comparing projections with the objects that they are made from.

Owns: the shape of a difference, the comparison of two queries, and the projection of the engine itself (the values
that field selectors match). Not: what a slice's side tables must say: each slice has a `compare_projections` of its
own, a second opinion in SQL beside its `project()`.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, LiteralString, cast

from milo_billing.controlplane.kinds import AnyKind, Json, Registry
from milo_billing.controlplane.rows import dig
from milo_billing.infra.database import Tx

NONE: Final = "none"
_PAGE: Final = 2_000

WRITE_AGAIN: Final = (
    "write the object again (kubectl annotate … checked=1 --overwrite): the row is written with it"
)
"""For a row that every write of its object writes anew."""

KEEP: Final = (
    "this is history, which nothing rebuilds: run milo-billing audit verify, and restore from a backup"
)
"""For rows that outlive what was declared."""

_NO_OBJECT: Final = "no object says so: find in the audit log who wrote the row, and delete it as milo_owner"


@dataclass(frozen=True, slots=True)
class ProjectionDifference:
    """One place where a projection is not what the objects say.

    `projection` is the table, `what` names the object or row. `expected` and `found` are JSON of the columns that
    differ, or "none" where there is no row at all. `remedy` is what to do.
    """

    projection: str
    what: str
    expected: str
    found: str
    remedy: str = WRITE_AGAIN


def compare_rows(
    tx: Tx, *, expected: LiteralString, found: LiteralString, remedy: str = WRITE_AGAIN
) -> tuple[ProjectionDifference, ...]:
    """Every row of two queries that the other does not have, or has otherwise; in one statement, so in one snapshot.

    Both select (projection text, key text, what text, said jsonb): the table, what tells its rows apart, how a reader
    calls the row, and its columns.
    """
    statement: LiteralString = (
        f"with expected (projection, key, what, said) as ({expected}), "
        f"found (projection, key, what, said) as ({found}) "
        "select projection, coalesce(e.what, f.what), e.said, f.said from expected e full join found f "
        "using (projection, key) where e.said is distinct from f.said order by 1, 2"
    )
    differences: list[ProjectionDifference] = []
    for projection, what, wanted, standing in tx.execute(statement):
        wanted, standing = _without_empty(wanted), _without_empty(standing)
        if wanted != standing:
            advice = _NO_OBJECT if wanted is None and remedy == WRITE_AGAIN else remedy
            differences.append(
                ProjectionDifference(
                    projection, what, _told(wanted, standing), _told(standing, wanted), advice
                )
            )
    return tuple(differences)


def _without_empty(value: Any) -> Any:
    """The value without empty lists and maps in it: objects are stored without them, bodies beside columns with."""
    if isinstance(value, dict):
        entries = cast("Json", value)
        return {key: _without_empty(each) for key, each in entries.items() if each not in ([], {})}
    if isinstance(value, list):
        return [_without_empty(each) for each in cast("list[Any]", value)]
    return value


def _told(said: Json | None, other: Json | None) -> str:
    """The columns of one side that the other does not say too."""
    if said is None:
        return NONE
    shown = {key: value for key, value in said.items() if other is None or other.get(key) != value}
    return json.dumps(shown, ensure_ascii=False)


# ------------------------------------------------------------------------------------- the engine's own rows


def count_objects(tx: Tx, registry: Registry) -> int:
    """How many objects of these kinds there are."""
    rows = tx.execute("select api_group, resource, count(*) from controlplane.objects group by 1, 2")
    served = {(kind.group, kind.plural) for kind in registry.kinds}
    return sum(count for group, resource, count in rows if (group, resource) in served)


def compare_fields(tx: Tx, registry: Registry) -> tuple[ProjectionDifference, ...]:
    """Objects whose selectable values are not those of their spec and status: selectors would miss them."""
    return tuple(difference for kind in registry.kinds for difference in _compare_fields_of(tx, kind))


def _compare_fields_of(tx: Tx, kind: AnyKind) -> Iterator[ProjectionDifference]:
    query: LiteralString = (
        "select namespace, name, spec, status, fields from controlplane.objects where api_group = %s "
        "and resource = %s and (namespace, name) > (%s, %s) order by namespace, name limit %s"
    )
    after = ("", "")
    while rows := tx.execute(query, (kind.group, kind.plural, *after, _PAGE)).fetchall():
        after = rows[-1][:2]
        for namespace, name, spec, status, found in rows:
            said: dict[str, Any] = {"spec": spec, "status": status}
            values = {path: dig(said, path) for path in kind.selectable}
            expected = {path: "" if value is None else str(value) for path, value in values.items()}
            if expected != found:
                what = f"{kind.plural} {called(namespace, name)}"
                yield ProjectionDifference(
                    "controlplane.objects", what, _told(expected, found), _told(found, expected)
                )


def called(namespace: str, name: str) -> str:
    """How a reader calls an object: `namespace/name`, or the name alone."""
    return f"{namespace}/{name}" if namespace else name
