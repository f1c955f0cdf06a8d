"""Many objects in one request: server-side apply of each, in the order given, many to a transaction.

Owns: reading the lines, grouping, what becomes of each object. Not: what a write does (engine), HTTP (bulk_door).

Every object is admitted, authorised, audited and owned by its field manager exactly as if it had been applied alone.
Only the transaction is shared: up to GROUP_MAX objects, or GROUP_S seconds, commit together. A group in which
something fails is rolled back and done again with a savepoint an object; one that loses a deadlock, an object a
transaction.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, cast
from uuid import UUID

import psycopg
import structlog

from milo_billing.controlplane.applying import applied_draft, decode_applied
from milo_billing.controlplane.authorizing import authorize
from milo_billing.controlplane.decoding import Draft, FieldValidation, load_json
from milo_billing.controlplane.doors import Credentials, Door, repeated, set_reach
from milo_billing.controlplane.engine import Engine
from milo_billing.controlplane.identity import Reach
from milo_billing.controlplane.kinds import AnyKind, Json
from milo_billing.controlplane.managing import adopt_client_side
from milo_billing.controlplane.rows import Row, to_wire
from milo_billing.controlplane.statuses import Status, invalid, status_of
from milo_billing.controlplane.store import RETRIED
from milo_billing.controlplane.work import Work
from milo_billing.infra.clock import monotonic_s
from milo_billing.kernel.errors import (
    AlreadyExists,
    BadRequest,
    Invalid,
    MiloError,
    Unauthenticated,
    Unavailable,
)

OBJECTS_MAX = 5_000
"""Objects in one request at most; a client with more sends more requests over its connection."""

GROUP_MAX = 200
"""Objects in one transaction at most: what others wait for, where they need the same locks."""

GROUP_S = 0.25
"""A transaction that has taken so many seconds commits what it has."""

OUTCOMES = ("created", "configured", "unchanged", "failed")

Outcome: TypeAlias = Literal["created", "configured", "unchanged"]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """How a request wants its objects applied."""

    by: str
    """The field manager."""
    force: bool
    """Take over the fields that others own, and everything that was applied on the client's side before."""
    keep_going: bool
    """Go on after an object that failed."""
    show: bool
    """Answer with the objects as they stand."""
    validation: FieldValidation


@dataclass(frozen=True, slots=True)
class Item:
    """One object to apply; `number` is its line, from 1."""

    number: int
    kind: AnyKind
    namespace: str
    name: str
    configuration: Draft

    @property
    def key(self) -> tuple[AnyKind, str, str]:
        return self.kind, self.namespace, self.name


@dataclass(frozen=True, slots=True)
class Refused:
    """A line that is no object this server knows, or an object that could not be applied."""

    number: int
    status: Status
    item: Item | None = None


@dataclass(frozen=True, slots=True)
class Stands:
    """An object that stands as it was applied; `row` has its resource version once the transaction committed."""

    item: Item
    outcome: Outcome
    row: Row


Result: TypeAlias = Stands | Refused


@dataclass(slots=True)
class _Grants:
    """What the caller was found to hold in this transaction, for objects of one kind; and the reach that is set."""

    kind: AnyKind | None = None
    held: dict[tuple[str, str], Reach] = field(default_factory=dict[tuple[str, str], Reach])
    current: Reach = frozenset()


@dataclass(frozen=True, slots=True)
class Bulk:
    """One request's objects, applied by whoever sent it."""

    engine: Engine
    door: Door
    credentials: Credentials
    audit_id: UUID
    options: Options

    def batches(self, lines: Sequence[bytes]) -> Iterator[list[Json]]:
        """What became of each line, in order, as its transaction committed; then the totals."""
        counts = dict.fromkeys(OUTCOMES, 0)
        for results in self._results(lines):
            rows = [self._shown(result) for result in results]
            for row in rows:
                counts[row["outcome"]] += 1
            yield rows
            if any(map(self._stops_at, results)):
                break
        yield [{"done": True, **counts}]

    def _results(self, lines: Sequence[bytes]) -> Iterator[list[Result]]:
        group: dict[tuple[AnyKind, str, str], Item] = {}
        for number, line in enumerate(lines, start=1):
            read = self._read(number, line)
            # an object that stands twice in a file is applied twice: the second time to what the first has committed
            if isinstance(read, Refused) or len(group) == GROUP_MAX or read.key in group:
                yield from self._apply(list(group.values()))
                group = {}
            if isinstance(read, Refused):
                yield [read]
            else:
                group[read.key] = read
        yield from self._apply(list(group.values()))

    def _stops_at(self, result: Result) -> bool:
        return isinstance(result, Refused) and not self.options.keep_going

    # -- reading a line -----------------------------------------------------------------------------------------

    def _read(self, number: int, line: bytes) -> Item | Refused:
        kind: AnyKind | None = None
        name = ""
        try:
            value, duplicates = _parse(line)
            kind = self._kind_of(value)
            namespace, name = _identity_of(kind, value)
            configuration = decode_applied(
                kind, value, name=name, validation=self.options.validation, duplicates=duplicates
            )
        except MiloError as error:
            return Refused(number, status_of(error, kind=kind, name=name))
        return Item(number, kind, namespace, name, configuration)

    def _kind_of(self, value: Json) -> AnyKind:
        version, word = value.get("apiVersion"), value.get("kind")
        for kind in self.engine.registry.kinds:
            if kind.kind == word and f"{kind.group}/{kind.version}" == version:
                if kind.system:
                    raise BadRequest(f"{word} is a system kind: the server alone writes it")
                return kind
        raise BadRequest(f'no matches for kind "{word or ""}" in version "{version or ""}"')

    # -- a group ------------------------------------------------------------------------------------------------

    def _apply(self, rest: list[Item]) -> Iterator[list[Result]]:
        """Apply the items in order, in as few transactions as their time allows."""
        while rest:
            results = self._transaction_of(rest)
            yield results
            rest = rest[len(results) :]

    def _transaction_of(self, items: list[Item]) -> list[Result]:
        """The results of the first so many items; how many the time allowed, one at least."""
        for run in (self._all_or_none, self._each):
            try:
                return self._transaction(items, run)
            except Exception as error:
                # nothing of the group was written; the next way shows whose fault it is
                _raise_if_away(error)
        try:
            return repeated(lambda: self._transaction(items[:1], self._each))
        except Exception as error:
            _raise_if_away(error)
            return [Refused(items[0].number, self._status_of(error, items[0]), items[0])]

    def _transaction(
        self, items: list[Item], run: Callable[[Work, list[Item]], list[Result]]
    ) -> list[Result]:
        with self.door.enter(self.credentials, self.audit_id) as (tx, identity, now, _):
            work = Work(tx, identity, frozenset(), self.audit_id, now, self.options.by, late={})
            results = run(work, items)
            self.engine.settle_late(work)
            self.engine.commit(work)
            return results

    def _all_or_none(self, work: Work, items: list[Item]) -> list[Result]:
        """Without savepoints: anything that fails raises."""
        began_s, grants = monotonic_s(), _Grants()
        results: list[Result] = []
        standing: Mapping[tuple[str, str], Row] = {}
        for index, item in enumerate(items):
            if item.kind is not grants.kind:
                self.engine.settle_late(work)
                grants = _Grants(item.kind)
                alike = _alike(items[index:])
                self._permit(work, item, "patch", grants)
                standing = self.engine.store.find_many(
                    work.tx, item.kind, [(i.namespace, i.name) for i in alike]
                )
            self._permit(work, item, "patch", grants)
            results.append(self._one(work, item, standing.get((item.namespace, item.name)), grants))
            if monotonic_s() - began_s > GROUP_S:
                break
        return results

    def _each(self, work: Work, items: list[Item]) -> list[Result]:
        """With a savepoint an object. Raises only where a deadlock was lost or the database has gone."""
        began_s, grants = monotonic_s(), _Grants()
        results: list[Result] = []
        for item in items:
            if item.kind is not grants.kind:
                self.engine.settle_late(work)
                grants = _Grants(item.kind)
            changes, late = len(work.changes), dict(work.late or {})
            try:
                with work.tx.transaction():
                    results.append(self._found_and_applied(work, item, grants))
            except RETRIED:
                raise
            except Exception as error:
                _raise_if_away(error)
                del work.changes[changes:]
                work.late = late
                # the savepoint took the reach and the locks back as well
                grants = _Grants(item.kind)
                work.owners.clear()
                results.append(Refused(item.number, self._status_of(error, item), item))
                if not self.options.keep_going:
                    break
            if monotonic_s() - began_s > GROUP_S:
                break
        return results

    def _found_and_applied(self, work: Work, item: Item, grants: _Grants) -> Result:
        for attempt in range(2):
            self._permit(work, item, "patch", grants)
            found = self.engine.store.find(work.tx, item.kind, namespace=item.namespace, name=item.name)
            try:
                return self._one(work, item, found, grants)
            except MiloError as error:
                # somebody else has created it since we looked
                if attempt or status_of(error).reason != "AlreadyExists":
                    raise
        raise AlreadyExists(item.name)

    def _status_of(self, error: Exception, item: Item) -> Status:
        if isinstance(error, Invalid):
            return invalid(item.kind.kind, item.kind.group, item.name, error.errors)
        if isinstance(error, MiloError):
            return status_of(error, kind=item.kind, name=item.name)
        if isinstance(error, RETRIED):
            message = "other writes kept locking what this object needs; apply it again"
            return Status(503, "ServiceUnavailable", message, retry_after_s=1)
        _log.error("apply_failed", audit_id=str(self.audit_id), number=item.number, exc_info=error)
        message = f"Internal error occurred: see the server's log under audit id {self.audit_id}"
        return Status(500, "InternalError", message)

    # -- an object ----------------------------------------------------------------------------------------------

    def _permit(self, work: Work, item: Item, verb: str, grants: _Grants) -> None:
        """Let the transaction go on with the caller's reach of this verb. Raises Forbidden."""
        key = (verb, item.namespace)
        reach = grants.held.get(key)
        if reach is None:
            reach = authorize(
                self.engine,
                work.tx,
                work.identity,
                kind=item.kind,
                namespace=item.namespace or None,
                name=item.name,
                verb=verb,
            )
            grants.held[key] = reach
        elif reach != grants.current:
            set_reach(work.tx, reach)
        grants.current = work.reach = reach

    def _one(self, work: Work, item: Item, found: Row | None, grants: _Grants) -> Result:
        """Apply one object to what stands."""

        def applied(row: Row | None) -> Draft:
            if row is not None and self.options.force:
                row = adopt_client_side(row, by=self.options.by)
            return applied_draft(
                item.kind,
                row,
                item.configuration,
                by=self.options.by,
                force=self.options.force,
                subresource="",
                now=work.now,
            )

        if found is None:
            # patch alone changes what stands
            self._permit(work, item, "create", grants)
            draft = applied(None)
            row = self.engine.create(work, item.kind, namespace=item.namespace, draft=draft)
            return Stands(item, "created", row)
        if _says_nothing_new(applied(found), found):
            return Stands(item, "unchanged", found)
        row = self.engine.update(
            work, item.kind, namespace=item.namespace, name=item.name, change=applied, verb="apply"
        )
        return Stands(item, "unchanged" if _same_but_managers(row, found) else "configured", row)

    def _shown(self, result: Result) -> Json:
        item = result.item
        row: Json = {"line": result.number if isinstance(result, Refused) else result.item.number}
        if item is not None:
            row["object"] = f"{item.kind.singular}.{item.kind.group}/{item.name}"
            if item.namespace:
                row["namespace"] = item.namespace
        if isinstance(result, Refused):
            return {**row, "outcome": "failed", "status": result.status.body()}
        row |= {"outcome": result.outcome, "resourceVersion": str(result.row.resource_version)}
        if self.options.show:
            row["stands"] = to_wire(result.item.kind, result.row)
        return row


def _parse(line: bytes) -> tuple[Json, list[str]]:
    try:
        value, duplicates = load_json(line)
    except ValueError as error:
        raise BadRequest(f"the line is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadRequest("the line is not a JSON object")
    return cast("Json", value), duplicates


def _identity_of(kind: AnyKind, value: Json) -> tuple[str, str]:
    """The namespace, empty for a cluster-scoped kind, and the name."""
    metadata: Any = value.get("metadata")
    named = cast("Json", metadata) if isinstance(metadata, dict) else {}
    namespace, name = named.get("namespace") or "", named.get("name") or ""
    if not isinstance(namespace, str) or not isinstance(name, str):
        raise BadRequest("metadata.name and metadata.namespace must be strings")
    if not name:
        raise BadRequest("metadata.name is required: what is applied is found by its name")
    if kind.namespaced and not namespace:
        raise BadRequest(f"metadata.namespace is required: {kind.kind} is namespaced")
    if namespace and not kind.namespaced:
        raise BadRequest(f"metadata.namespace must be left out: {kind.kind} is cluster-scoped")
    return namespace, name


def _alike(items: Sequence[Item]) -> list[Item]:
    """The items at the beginning that are of one kind."""
    run: list[Item] = []
    for item in items:
        if item.kind is not items[0].kind:
            break
        run.append(item)
    return run


def _says_nothing_new(draft: Draft, found: Row) -> bool:
    """Whether what is applied stands already, its ownership included: then there is nothing to admit or to write."""
    return (
        not draft.uid
        and not draft.resource_version
        and draft.spec == found.spec
        and draft.labels == found.labels
        and _filled(draft.metadata) == _filled(found.metadata)
    )


def _filled(metadata: Json) -> Json:
    return {part: value for part, value in metadata.items() if value}


def _same_but_managers(row: Row, found: Row) -> bool:
    """Whether a client that does not look at managedFields sees no difference that it may have asked for."""
    bare = [{**_filled(r.metadata), "managedFields": None} for r in (row, found)]
    return (row.spec, row.labels, bare[0]) == (found.spec, found.labels, bare[1])


def _raise_if_away(error: Exception) -> None:
    """Raise where it is the database or the caller's token that failed, not the object."""
    if isinstance(error, Unavailable | Unauthenticated):
        raise error
    if isinstance(error, psycopg.OperationalError) and not isinstance(error, RETRIED):
        raise error
