"""One write is one transaction: admit, lock, write, reconcile, project, seal.

Owns: the order of a write and of its consequences. Not: HTTP (api), SQL (store), rules (the kinds), authorisation
(the doors; row-level security stands underneath).
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, Protocol
from uuid import UUID

import orjson
from pydantic import ValidationError

from milo_billing.controlplane import metrics
from milo_billing.controlplane.decoding import Draft
from milo_billing.controlplane.holds import list_holds
from milo_billing.controlplane.identity import Authorizer, reaches
from milo_billing.controlplane.kinds import (
    Admission,
    AnyKind,
    AnyObject,
    Fields,
    Json,
    Ref,
    Registry,
    Reported,
    set_condition,
)
from milo_billing.controlplane.managing import merged, track_update, without_managers
from milo_billing.controlplane.names import metadata_errors, name_errors, name_suffix
from milo_billing.controlplane.preconditions import check_deletable, check_preconditions
from milo_billing.controlplane.rows import Row, selectable_values, to_object
from milo_billing.controlplane.schemas import apply_defaults, drop_nulls, structural_schema, validate
from milo_billing.controlplane.statuses import (
    MODIFIED,
    Failure,
    Status,
    already_exists,
    conflict,
    forbidden,
    not_found,
)
from milo_billing.controlplane.store import Key, Overtaken, Store
from milo_billing.controlplane.work import Change, Preconditions, Work
from milo_billing.infra import jobs
from milo_billing.infra.clock import Clock, new_uid
from milo_billing.infra.database import Tx
from milo_billing.kernel.errors import BadRequest, Conflict, FieldError, Invalid

LOCK_ATTEMPTS_MAX = 3
"""How often a write may find that the object changed between reading and locking it."""

COLLECT = "controlplane.collect_dependants"
"""The job that deletes what a deleted object was the owner of (collecting.collect_dependants)."""

_KUBERNETES_VERBS = {
    "apply": "patch",
    "applyStatus": "patch",
    "patchStatus": "patch",
    "updateStatus": "update",
}
"""How Kubernetes calls what a client did, where the audit record says more."""


class Namespaces(Protocol):
    """Who owns a namespace. `directory` implements it, app wires it."""

    def find_owner(self, tx: Tx, namespace: str) -> int | None:
        """The number of the organization that owns the namespace; None where there is no such namespace."""
        ...

    def hold_owner(self, tx: Tx, namespace: str) -> int | None:
        """The same, and the namespace stays until the transaction ends: for what is created in it."""
        ...


@dataclass(frozen=True, slots=True)
class Engine:
    """Serves every registered kind. Stateless: any process may have one."""

    registry: Registry
    store: Store
    namespaces: Namespaces
    authorizer: Authorizer
    clock: Clock

    # -- reading ------------------------------------------------------------------------------------------------

    def find_object(self, tx: Tx, kind: type[AnyKind], *, namespace: str, name: str) -> AnyObject | None:
        """The object as its kind's rules see it, for other slices."""
        served = self.registry.instance(kind)
        row = self.store.find(tx, served, namespace=namespace, name=name)
        return None if row is None else to_object(served, row)

    # -- verbs --------------------------------------------------------------------------------------------------

    def create(self, work: Work, kind: AnyKind, *, namespace: str, draft: Draft) -> Row:
        """Raises Invalid, NotFound (the namespace), AlreadyExists, Forbidden."""
        if draft.namespace and draft.namespace != namespace:
            raise Failure(
                Status(
                    400,
                    "BadRequest",
                    "the namespace of the provided object does not match the namespace sent on the request",
                )
            )
        if draft.resource_version:
            raise BadRequest("resourceVersion should not be set on objects to be created")
        owner = work.owners.get(namespace)
        if owner is None:
            owner = work.owners[namespace] = self._owner_of_namespace(work.tx, kind, namespace)
        name = draft.name or (draft.generate_name and draft.generate_name + name_suffix())
        row = Row(
            uid=new_uid(),
            namespace=namespace,
            name=name,
            owner_org=owner,
            readable_by_all=False,
            generation=1,
            created_at=work.now,
            labels=dict(draft.labels),
            metadata=draft.metadata if draft.tracked else without_managers(draft.metadata),
            spec=copy.deepcopy(draft.spec),
        )
        new = self._prepared(kind, row, work.now)
        if work.field_manager and not draft.tracked:
            track_update(kind, row, None, by=work.field_manager, subresource="", now=work.now)
        if not kind.namespaced:
            row.owner_org = kind.owner_org(work.tx, new)
            self._check_owner(work, kind, row, verb="create")
            new = replace(new, owner_org=row.owner_org)
        try:
            self._check_rules(work, kind, row, new, old=None)
        except Invalid:
            # a second one of the same name breaks rules of uniqueness too: say the plain thing
            if self.store.uids(work.tx, [(kind, namespace, row.name)]):
                raise already_exists(kind, row.name) from None
            raise
        row.readable_by_all = kind.visible_to_all(new)
        others, missing = self._lock_named(work.tx, kind, new)
        self._reconcile(work, kind, row, new, None)
        if missing and self.store.uids(work.tx, missing):
            raise Overtaken(kind, row.name)
        if not self.store.insert(work.tx, kind, row, now=work.now):
            raise already_exists(kind, row.name)
        self._record(work, kind, row, old=None, change="ADDED", verb="create")
        self._project(work, kind, row, None)
        self._settle_after(work, kind, others)
        return row

    def update(
        self,
        work: Work,
        kind: AnyKind,
        *,
        namespace: str,
        name: str,
        change: Callable[[Row], Draft],
        verb: str,
        subresource: Literal["", "status"] = "",
    ) -> Row:
        """Replace or patch: `change` makes the wanted object from the one that stands, and may be called again.

        An object that would not change keeps its resource version. Raises NotFound, Conflict, Invalid.
        """
        for _ in range(LOCK_ATTEMPTS_MAX):
            found = self.store.find(work.tx, kind, namespace=namespace, name=name)
            if found is None:
                raise not_found(kind, name)
            self._check_owner(work, kind, found, verb=_KUBERNETES_VERBS.get(verb, verb))
            draft = change(found)
            self._check_identity(kind, found, draft)
            row = merged(found, draft, subresource=subresource)
            new, old = self._prepared(kind, row, work.now), to_object(kind, found)
            if subresource:
                row.status = _dumped(kind.accept_status(self._admission(work, new, old)))
                new = self._typed(kind, row)
            else:
                self._check_rules(work, kind, row, new, old=found)
            if work.field_manager and not draft.tracked:
                track_update(kind, row, found, by=work.field_manager, subresource=subresource, now=work.now)
            others = self._lock_affected(work.tx, kind, new, old, target=found.uid)
            locked = others.pop(found.uid, None)
            if locked is not None and locked[1].resource_version == found.resource_version:
                return self._update_locked(work, kind, row, found, others, verb)
            if draft.resource_version:
                break
        raise conflict(kind, name, MODIFIED)

    def _update_locked(
        self,
        work: Work,
        kind: AnyKind,
        row: Row,
        found: Row,
        others: dict[UUID, tuple[AnyKind, Row]],
        verb: str,
    ) -> Row:
        if row.spec != found.spec:
            row.generation += 1
        new, old = self._typed(kind, row), to_object(kind, found)
        if row.deletion_requested_at is not None and not row.metadata.get("finalizers"):
            return self._remove(work, kind, row, others, verb)
        self._reconcile(work, kind, row, new, old)
        if _same(row, found):
            return found
        row.readable_by_all = kind.visible_to_all(new)
        self.store.update(work.tx, kind, row, now=work.now)
        self._record(work, kind, row, old=found, change="MODIFIED", verb=verb)
        self._project(work, kind, row, old)
        self._settle_after(work, kind, others)
        return row

    def act(self, work: Work, kind: AnyKind, *, namespace: str, name: str, action: str, request: Json) -> Row:
        """Do what the action says, by the kind's rules, to the object under its lock.

        Raises NotFound, and what the kind raises. An action that changes nothing keeps the resource version.
        """
        found = self.store.find(work.tx, kind, namespace=namespace, name=name)
        if found is None:
            raise not_found(kind, name)
        self._check_owner(work, kind, found, verb=action)
        object = to_object(kind, found)
        others = self._lock_affected(work.tx, kind, object, object, target=found.uid)
        locked = others.pop(found.uid, None)
        if locked is None:
            raise not_found(kind, name)
        row = copy.deepcopy(locked[1])
        object = to_object(kind, row)
        row.status = _dumped(kind.act(self._admission(work, object, object), action=action, request=request))
        changed = self._update_locked(work, kind, row, locked[1], others, action)
        for change in work.changes:
            if change.verb == action and change.row.uid == row.uid:
                change.detail = {**change.detail, "request": request}
        return changed

    def delete(
        self, work: Work, kind: AnyKind, *, namespace: str, name: str, preconditions: Preconditions
    ) -> tuple[Row, bool]:
        """The object, and whether it has gone for good (it stays while a finalizer does).

        Raises NotFound, and Conflict where a precondition fails, a rule or a hold stands against it.
        """
        found = self.store.find(work.tx, kind, namespace=namespace, name=name)
        if found is None:
            raise not_found(kind, name)
        self._check_owner(work, kind, found, verb="delete")
        gone = to_object(kind, found).gone()
        others = self._lock_affected(work.tx, kind, gone, to_object(kind, found), target=found.uid)
        locked = others.pop(found.uid, None)
        if locked is None:
            raise not_found(kind, name)
        row = locked[1]
        check_deletable(kind, row, preconditions)
        if row.metadata.get("finalizers"):
            if row.deletion_requested_at is not None:
                return row, False
            before = copy.deepcopy(row)
            row.deletion_requested_at = work.now
            row.generation += 1
            self.store.update(work.tx, kind, row, now=work.now)
            self._record(work, kind, row, old=before, change="MODIFIED", verb="delete")
            return row, False
        return self._remove(work, kind, row, others, "delete"), True

    def _remove(
        self, work: Work, kind: AnyKind, row: Row, others: dict[UUID, tuple[AnyKind, Row]], verb: str
    ) -> Row:
        gone = self._typed(kind, row).gone()
        kind.validate_delete(self._admission(work, gone, gone))
        holders = list_holds(work.tx, uid=row.uid)
        if holders:
            named = "; ".join(f"{slice_} holds it: {reason}" for slice_, reason in holders)
            raise Conflict(f"{kind.kind} {row.name!r} cannot be deleted yet: {named}")
        old = replace(row)
        self._reconcile(work, kind, row, gone, gone)
        # seal logs the row: the last event has the last status
        self.store.update(work.tx, kind, row, now=work.now)
        kind.project(work.tx, to_object(kind, row).gone(), gone, now=work.now)
        self._record(work, kind, row, old=old, change="DELETED", verb=verb)
        if self.store.has_dependants(work.tx, row.uid):
            jobs.defer(work.tx, COLLECT, owner=str(row.uid))
        self._settle(work, others)
        return row

    # -- system kinds -------------------------------------------------------------------------------------------

    def write_system(
        self,
        work: Work,
        kind: type[AnyKind],
        *,
        namespace: str,
        name: str,
        spec: Json,
        status: Json,
        labels: dict[str, str] | None = None,
        verb: str,
        uid: UUID | None = None,
    ) -> Row:
        """Create or replace the object of a system kind from its slice's tables, in that slice's transaction."""
        served = self.registry.instance(kind)
        standing = self.store.find(work.tx, served, namespace=namespace, name=name)
        if standing is None:
            row = Row(
                uid=uid or new_uid(),
                namespace=namespace,
                name=name,
                owner_org=self._owner_of_namespace(work.tx, served, namespace),
                readable_by_all=False,
                generation=1,
                created_at=work.now,
                labels=labels or {},
                spec=spec,
                status=status,
            )
            if not self.store.insert(work.tx, served, row, now=work.now):
                raise already_exists(served, name)
            self._record(work, served, row, old=None, change="ADDED", verb=verb)
            return row
        row = copy.deepcopy(standing)
        row.spec, row.status, row.labels = spec, status, labels or row.labels
        if _same(row, standing):
            return standing
        row.generation += row.spec != standing.spec
        self.store.update(work.tx, served, row, now=work.now)
        self._record(work, served, row, old=standing, change="MODIFIED", verb=verb)
        return row

    def settle(self, work: Work, refs: list[Ref]) -> None:
        """Reconcile these objects again, because facts that they depend on have changed in this transaction."""
        keys = [(self.registry.instance(ref.kind), ref.namespace, ref.name) for ref in refs]
        kinds = self.store.uids(work.tx, keys)
        rows = self.store.lock(work.tx, kinds)
        self._settle(work, {uid: (kinds[uid], row) for uid, row in rows.items()})

    def report_condition(self, work: Work, reported: Reported) -> None:
        """Set a condition of one slice on an object of another; saying what stands already writes nothing.

        An object that is not there has no conditions. Raises LookupError where no kind of that name is served.
        """
        kind = self.registry.get(reported.group, reported.plural)
        for row in self.store.lock(
            work.tx, self.store.uids(work.tx, [(kind, reported.namespace, reported.name)])
        ).values():
            conditions = set_condition(
                to_object(kind, row).status.conditions,
                type=reported.type,
                status=reported.status,
                reason=reported.reason,
                message=reported.message,
                observed_generation=row.generation,
                now=work.now,
            )
            self._restate(
                work,
                kind,
                replace(row, status={**row.status, "conditions": list(map(_dumped, conditions))}),
                row,
            )

    def settle_late(self, work: Work) -> None:
        """Settle what writes of a kind that `settles_late` have left to be settled once."""
        if work.late:
            kinds = dict(work.late)
            work.late.clear()
            rows = self.store.lock(work.tx, kinds)
            self._settle(work, {uid: (kinds[uid], row) for uid, row in rows.items()})

    def _settle_after(self, work: Work, kind: AnyKind, others: dict[UUID, tuple[AnyKind, Row]]) -> None:
        if work.late is not None and kind.settles_late:
            later = {uid: of for uid, (of, _) in others.items() if of is not kind}
            work.late.update(later)
            others = {uid: found for uid, found in others.items() if uid not in later}
        self._settle(work, others)

    # -- seal ---------------------------------------------------------------------------------------------------

    def commit(self, work: Work) -> None:
        """Seal and COMMIT, in one pipeline: no client round trip happens while the commit lock is held."""
        if not work.changes:
            work.tx.commit()
            return
        writes = [
            {
                "uid": str(c.row.uid),
                "change": c.change,
                "old_labels": c.old_labels,
                "old_fields": c.old_fields,
                "verb": c.verb,
                "detail": {**c.detail, **work.identity.audited},
            }
            for c in work.changes
        ]
        with work.tx.pipeline():
            sealed = work.tx.execute(
                "select uid, resource_version, waited_s from controlplane.seal(%s, %s, %s, %s)",
                (work.identity.user, work.audit_id, work.now, orjson.dumps(writes).decode()),
            )
            work.tx.commit()
        rows = sealed.fetchall()
        metrics.COMMIT_LOCK_WAIT_SECONDS.observe(rows[0][2])
        for change, (_, resource_version, _) in zip(work.changes, rows, strict=True):
            change.row.resource_version = resource_version

    # -- steps --------------------------------------------------------------------------------------------------

    def _owner_of_namespace(self, tx: Tx, kind: AnyKind, namespace: str) -> int:
        if not kind.namespaced:
            return 0
        owner = self.namespaces.hold_owner(tx, namespace)
        if owner is None:
            details = {"name": namespace, "kind": "namespaces"}
            raise Failure(Status(404, "NotFound", f'namespaces "{namespace}" not found', details))
        return owner

    def _check_owner(self, work: Work, kind: AnyKind, row: Row, *, verb: str) -> None:
        """Raise Forbidden for what is another's: what everybody may read, not everybody may write."""
        if not reaches(work.reach, row.owner_org):
            raise forbidden(kind, name=row.name, namespace=row.namespace, user=work.identity.user, verb=verb)

    def _check_identity(self, kind: AnyKind, found: Row, draft: Draft) -> None:
        if draft.name and draft.name != found.name:
            message = (
                f"the name of the object ({draft.name}) does not match the name on the URL ({found.name})"
            )
            raise Failure(Status(400, "BadRequest", message))
        check_preconditions(kind, found, Preconditions(draft.uid, draft.resource_version))

    def _prepared(self, kind: AnyKind, row: Row, now: datetime) -> AnyObject:
        """The object with its defaults; Invalid with all that the schema and the rules of metadata say."""
        errors = [*name_errors(row.name), *metadata_errors({**row.metadata, "labels": row.labels})]
        schema = structural_schema(kind)
        parts = {"spec": row.spec, "status": row.status}
        drop_nulls(parts, schema)
        apply_defaults(parts, schema)
        errors += validate(parts, schema)
        if errors:
            raise Invalid(errors)
        kind.default(row.spec, name=row.name, labels=row.labels, now=now)
        return self._typed(kind, row)

    def _check_rules(self, work: Work, kind: AnyKind, row: Row, new: AnyObject, *, old: Row | None) -> None:
        """Everything that the kind's rules say against the object, at once (Invalid)."""
        before = None if old is None else to_object(kind, old)
        errors = list(kind.validate(self._admission(work, new, before)))
        if old is not None and old.deletion_requested_at is not None:
            errors += _added_finalizers(row, old)
        if errors:
            raise Invalid(errors)

    def _typed(self, kind: AnyKind, row: Row) -> AnyObject:
        try:
            return to_object(kind, row)
        except ValidationError as error:
            raise Invalid(
                FieldError(
                    "spec." + ".".join(map(str, e["loc"])), "FieldValueInvalid", f"Invalid value: {e['msg']}"
                )
                for e in error.errors()
            ) from error

    def _admission(self, work: Work, new: AnyObject, old: AnyObject | None) -> Admission[Any, Any]:
        return Admission(
            tx=work.tx,
            now=work.now,
            identity=work.identity,
            object=new,
            old=old,
            authorizer=self.authorizer,
        )

    def _lock_named(
        self, tx: Tx, kind: AnyKind, new: AnyObject
    ) -> tuple[dict[UUID, tuple[AnyKind, Row]], list[Key]]:
        """As `_lock_affected`, for an object that is made, and what is not there: who finds it behind this has not
        locked it, since another of its name was deleted and made anew meanwhile.
        """
        keys = [(self.registry.instance(r.kind), r.namespace, r.name) for r in kind.affects(tx, new, None)]
        locked = self.store.lock_named(tx, keys) if keys else {}
        found = {(of, row.namespace, row.name) for of, row in locked.values()}
        return locked, [key for key in keys if key not in found]

    def _lock_affected(
        self, tx: Tx, kind: AnyKind, new: AnyObject, old: AnyObject, *, target: UUID
    ) -> dict[UUID, tuple[AnyKind, Row]]:
        """Everything this write changes, locked in uid order, so that two writes never wait for each other."""
        refs = kind.affects(tx, new, old)
        kinds = self.store.uids(tx, [(self.registry.instance(r.kind), r.namespace, r.name) for r in refs])
        kinds[target] = kind
        rows = self.store.lock(tx, kinds)
        return {uid: (kinds[uid], row) for uid, row in rows.items()}

    def _reconcile(self, work: Work, kind: AnyKind, row: Row, new: AnyObject, old: AnyObject | None) -> None:
        """Put the status that follows from the object and the facts into the row."""
        facts = kind.gather(work.tx, new, old, now=work.now, clock=self.clock)
        row.status = _dumped(kind.reconcile(new, facts, now=work.now))

    def _settle(self, work: Work, others: dict[UUID, tuple[AnyKind, Row]]) -> None:
        """Reconcile what the write affects; consequences of consequences are the kinds' own `affects`."""
        for kind, found in others.values():
            old = to_object(kind, found)
            row = replace(found, status={})
            self._reconcile(work, kind, row, old, old)
            self._restate(work, kind, row, found)

    def _restate(self, work: Work, kind: AnyKind, row: Row, found: Row) -> None:
        """Write a status that follows from another object's write; one that stands already is not written."""
        if row.status != found.status:
            self.store.update(work.tx, kind, row, now=work.now)
            self._record(work, kind, row, old=found, change="MODIFIED", verb=None)
            self._project(work, kind, row, to_object(kind, found))

    def _project(self, work: Work, kind: AnyKind, row: Row, old: AnyObject | None) -> None:
        """The side tables, what the object's slice says of other slices' objects because of it, what it made."""
        object = to_object(kind, row)
        kind.project(work.tx, object, old, now=work.now)
        for reported in kind.reports(work.tx, object, now=work.now):
            self.report_condition(work, reported)
        for made in kind.makes(work.tx, object, old, now=work.now):
            self.write_system(work, **made)

    def _record(
        self,
        work: Work,
        kind: AnyKind,
        row: Row,
        *,
        old: Row | None,
        change: Literal["ADDED", "MODIFIED", "DELETED"],
        verb: str | None,
    ) -> None:
        detail: Json = {}
        if verb is not None and change != "DELETED":
            spec = self.store.sealed_spec(work.tx, kind, row, now=work.now)
            detail = {"generation": row.generation, "labels": row.labels, "spec": spec}
        work.changes.append(
            Change(
                kind=kind,
                row=row,
                change=change,
                old_labels=None if old is None else old.labels,
                old_fields=None if old is None else selectable_values(kind, old),
                verb=verb,
                detail=detail,
            )
        )


def _dumped(status: Fields) -> Json:
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)


def _same(row: Row, other: Row) -> bool:
    return (row.spec, row.status, row.labels, row.metadata, row.deletion_requested_at) == (
        other.spec,
        other.status,
        other.labels,
        other.metadata,
        other.deletion_requested_at,
    )


def _added_finalizers(row: Row, old: Row) -> list[FieldError]:
    added = [
        f for f in row.metadata.get("finalizers") or () if f not in (old.metadata.get("finalizers") or ())
    ]
    if not added:
        return []
    shown = ", ".join(f'"{name}"' for name in added)
    message = (
        "Forbidden: no new finalizers can be added if the object is being deleted, "
        f"found new finalizers []string{{{shown}}}"
    )
    return [FieldError("metadata.finalizers", "FieldValueForbidden", message)]
