"""Verbs of the directory that other slices and the engine call."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from typing import Final, Literal, TypeAlias

from milo_billing.controlplane.decoding import Draft
from milo_billing.controlplane.doors import repeated
from milo_billing.controlplane.engine import Engine
from milo_billing.controlplane.identity import Identity
from milo_billing.controlplane.kinds import AnyKind, Json
from milo_billing.controlplane.rows import Row
from milo_billing.controlplane.selectors import parse_selector
from milo_billing.controlplane.work import Preconditions, Work
from milo_billing.directory import reads
from milo_billing.directory.ports import (
    RESOURCES,
    PositionLost,
    Resource,
    ResourceSource,
    SourceChange,
    SourceEntry,
    SourceOrganization,
    SourceProject,
)
from milo_billing.directory.types import (
    GROUP,
    MIRROR_USER,
    PROVIDER,
    SOURCE_UID,
    Mirrored,
    OrganizationGone,
    Waiting,
    organization_of,
)
from milo_billing.infra.clock import new_uid
from milo_billing.infra.database import EVERYWHERE, Database, Tx
from milo_billing.kernel.errors import Conflict, MiloError


def hold_namespace(tx: Tx, *, namespace: str) -> int | None:
    """The number of the organization that owns the namespace; None if there is no such namespace.

    It cannot be deleted before this transaction ends. Works whatever the reach: the caller authorises.
    """
    name = organization_of(namespace)
    return None if name is None else _held(tx, name)


def hold_organization(tx: Tx, *, name: str) -> int:
    """The number of the living organization, which cannot be deleted before this transaction ends.

    For whatever is created for an organization outside its namespace. Raises OrganizationGone.
    """
    number = _held(tx, name)
    if number is None:
        raise OrganizationGone(f'organization "{name}" does not exist any more')
    return number


def find_and_hold_organization(tx: Tx, *, name: str) -> int | None:
    """The same; None where there is none of that name."""
    return _held(tx, name)


def _held(tx: Tx, name: str) -> int | None:
    row = tx.execute("select directory.hold_organization(%s)", (name,)).fetchone()
    return None if row is None else row[0]


class OrganizationNamespaces:
    """The engine's `Namespaces`: an organization's namespace exists as long as the organization.

    `plain` names further namespaces that always exist and belong to the provider, such as `default`.
    """

    def __init__(self, *, plain: Collection[str] = ()) -> None:
        self._plain = frozenset(plain)

    def find_owner(self, tx: Tx, namespace: str) -> int | None:
        """Who owns the namespace now: for reading, and for deciding who may."""
        if namespace in self._plain:
            return PROVIDER
        return reads.find_owner_of_namespace(tx, namespace)

    def hold_owner(self, tx: Tx, namespace: str) -> int | None:
        """The same, for creating something in it: see `hold_namespace`."""
        if namespace in self._plain:
            return PROVIDER
        return hold_namespace(tx, namespace=namespace)


# ---------------------------------------------------------------------------------------------------- mirror

_PAGE: Final = 1_000
Outcome: TypeAlias = Literal["created", "changed", "deleted", "same"]


def mirror(engine: Engine, database: Database, source: ResourceSource) -> Mirrored:
    """Make the organizations and projects here those of the source, once. See `Mirror`."""
    return Mirror(engine, database, source).synchronize()


class Mirror:
    """Follows a resource manager elsewhere: what it declares is declared here, one-way.

    An object here carries the uid of the one it mirrors, so one that was deleted and made again under its name is made
    again here too, with a number of its own. What somebody declared here by hand is left alone. What something still
    stands against, such as an account that pays for a project that has gone at the source, waits and is tried again.
    Two mirrors of the same source do no harm. Raises Unavailable while the source does not answer.
    """

    def __init__(self, engine: Engine, database: Database, source: ResourceSource) -> None:
        self._engine, self._database, self._source = engine, database, source
        self._positions: dict[Resource, str] = {}
        self._waiting: dict[tuple[Resource, str], tuple[SourceChange, str]] = {}

    def synchronize(self) -> Mirrored:
        """Compare everything, and write what differs."""
        listings = {resource: self._source.list_all(resource) for resource in RESOURCES}
        wanted = {resource: {e.name: e for e in listings[resource].entries} for resource in RESOURCES}
        done: Counter[Outcome] = Counter()
        self._waiting.clear()
        for resource in reversed(RESOURCES):
            for row in self._list_mirrored(resource):
                entry = wanted[resource].get(row.name)
                if entry is None or entry.uid != _source_uid(row):
                    done[self._follow(resource, SourceChange(_entry_of(resource, row), True, ""))] += 1
                elif _agrees(row, entry):
                    del wanted[resource][row.name]
        for resource in RESOURCES:
            for entry in wanted[resource].values():
                done[self._follow(resource, SourceChange(entry, False, ""))] += 1
            self._positions[resource] = listings[resource].position
        return self._told(done)

    def advance(self, *, seconds: int) -> Mirrored:
        """Follow what has changed since, for so many seconds a resource; try again what waits.

        Compares everything where nothing has been compared yet, or the source has forgotten the changes since.
        """
        if not self._positions:
            return self.synchronize()
        done: Counter[Outcome] = Counter()
        for resource in RESOURCES:
            try:
                for change in self._source.watch(resource, since=self._positions[resource], seconds=seconds):
                    if change.entry is not None:
                        done[self._follow(resource, change)] += 1
                    self._positions[resource] = change.position
            except PositionLost:
                return self.synchronize()
        # deletions of projects may have waited for nothing but the end of a binding, those of organizations for them
        for (resource, _), (change, _) in sorted(self._waiting.items(), reverse=True):
            done[self._follow(resource, change)] += 1
        return self._told(done)

    def _told(self, done: Counter[Outcome]) -> Mirrored:
        waiting = tuple(
            Waiting(resource, name, why) for (resource, name), (_, why) in sorted(self._waiting.items())
        )
        return Mirrored(done["created"], done["changed"], done["deleted"], waiting)

    # -- one object ---------------------------------------------------------------------------------------------

    def _follow(self, resource: Resource, change: SourceChange) -> Outcome:
        """Do here what happened there; what something stands against waits."""
        entry = change.entry
        assert entry is not None, "a change without an entry is a position only"
        key = (resource, entry.name)
        try:
            outcome: Outcome = self._delete(resource, entry) if change.gone else self._apply(resource, entry)
        except MiloError as error:
            self._waiting[key] = (change, str(error))
            return "same"
        self._waiting.pop(key, None)
        return outcome

    def _apply(self, resource: Resource, entry: SourceEntry) -> Outcome:
        standing = self._find(resource, entry.name)
        if standing is not None and _source_uid(standing) is None:
            raise Conflict(
                f"{resource} {entry.name} is declared here; delete it to mirror the one at the source"
            )
        if standing is not None and _source_uid(standing) != entry.uid:
            self._remove(resource, standing)
            standing = None
        if standing is not None and _agrees(standing, entry):
            return "same"
        kind = self._kind(resource)
        if standing is None:
            self._write(lambda work: self._engine.create(work, kind, namespace="", draft=_draft(entry, None)))
            return "created"
        self._write(
            lambda work: self._engine.update(
                work,
                kind,
                namespace="",
                name=entry.name,
                change=lambda row: _draft(entry, row),
                verb="update",
            )
        )
        return "changed"

    def _delete(self, resource: Resource, entry: SourceEntry) -> Outcome:
        standing = self._find(resource, entry.name)
        if standing is None or _source_uid(standing) != entry.uid:
            return "same"
        self._remove(resource, standing)
        return "deleted"

    def _remove(self, resource: Resource, row: Row) -> None:
        kind, this_one = self._kind(resource), Preconditions(uid=str(row.uid))
        self._write(
            lambda work: self._engine.delete(work, kind, namespace="", name=row.name, preconditions=this_one)[
                0
            ]
        )

    # -- the engine ---------------------------------------------------------------------------------------------

    def _kind(self, resource: Resource) -> AnyKind:
        kind = self._engine.registry.find(GROUP, "v1alpha1", resource)
        assert kind is not None, f"the registry has no {resource} of {GROUP}"
        return kind

    def _find(self, resource: Resource, name: str) -> Row | None:
        with self._database.transaction(reach=EVERYWHERE) as tx:
            return self._engine.store.find(tx, self._kind(resource), namespace="", name=name)

    def _list_mirrored(self, resource: Resource) -> Iterator[Row]:
        """What is mirrored here, in pages by name: no transaction stays open between them."""
        kind, after = self._kind(resource), None
        everything = parse_selector(kind, labels="", fields="")
        while True:
            with self._database.transaction(reach=EVERYWHERE) as tx:
                page = self._engine.store.list_page(
                    tx, kind, namespace=None, selector=everything, after=after, limit=_PAGE
                )
            yield from (row for row in page.rows if _source_uid(row) is not None)
            if not page.more:
                return
            after = (page.rows[-1].namespace, page.rows[-1].name)

    def _write(self, write: Callable[[Work], Row]) -> None:
        """One write in a transaction of its own, under the mirror's name."""

        def transaction() -> None:
            with self._database.transaction(reach=EVERYWHERE) as tx:
                now = self._engine.clock.now()
                work = Work(tx, Identity(MIRROR_USER), EVERYWHERE, audit_id=new_uid(), now=now)
                write(work)
                self._engine.commit(work)

        repeated(transaction)


def _source_uid(row: Row) -> str | None:
    annotations: dict[str, str] = row.metadata.get("annotations") or {}
    return annotations.get(SOURCE_UID)


def _entry_of(resource: Resource, row: Row) -> SourceEntry:
    """What a mirrored object says of the one it mirrors."""
    uid, shown = _source_uid(row) or "", row.spec.get("displayName")
    if resource == "organizations":
        return SourceOrganization(uid, row.name, shown, row.spec["type"])
    return SourceProject(uid, row.name, shown, row.spec["ownerRef"]["name"])


def _agrees(row: Row, entry: SourceEntry) -> bool:
    resource: Resource = "organizations" if isinstance(entry, SourceOrganization) else "projects"
    return _entry_of(resource, row) == entry


def _draft(entry: SourceEntry, standing: Row | None) -> Draft:
    """The object that mirrors the entry; what a standing one has besides is kept."""
    spec: Json = {} if entry.display_name is None else {"displayName": entry.display_name}
    if isinstance(entry, SourceOrganization):
        spec["type"] = entry.type
    else:
        spec["ownerRef"] = {"kind": "Organization", "name": entry.organization}
    metadata: Json = {} if standing is None else dict(standing.metadata)
    metadata["annotations"] = {**(metadata.get("annotations") or {}), SOURCE_UID: entry.uid}
    labels = {} if standing is None else standing.labels
    return Draft(entry.name, "", "", "", "", labels, metadata, spec, {})
