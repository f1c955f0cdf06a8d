"""The Kubernetes resource endpoints: one set of verbs for every registered kind.

Owns: paths, parameters, authorisation of resource requests, the choice of answer. Not: what a write does (engine),
how an answer looks (representations), watches (watching).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast
from uuid import UUID

from milo_billing.controlplane.applying import applied_draft, decode_applied
from milo_billing.controlplane.authorizing import authorize
from milo_billing.controlplane.decoding import Draft, decode, parse_body
from milo_billing.controlplane.doors import Door, read_credentials, repeated
from milo_billing.controlplane.engine import Engine
from milo_billing.controlplane.identity import Identity, Reach
from milo_billing.controlplane.kinds import AnyKind, Json
from milo_billing.controlplane.parameters import (
    DeleteOptions,
    continue_token,
    continued_after,
    delete_options,
    field_validation,
    integer,
    propagation_policy,
    read_action_request,
    resource_version,
    version_in_patch,
)
from milo_billing.controlplane.patches import (
    APPLY_PATCH,
    JSON_PATCH,
    MERGE_PATCH,
    json_patch,
    merge_patch,
)
from milo_billing.controlplane.representations import Representation, negotiate, render_list, render_one
from milo_billing.controlplane.rows import Row, to_wire
from milo_billing.controlplane.selectors import parse_selector
from milo_billing.controlplane.statuses import (
    Failure,
    Status,
    invalid,
    not_found,
    resource_name,
    status_of,
)
from milo_billing.controlplane.watching import WatchRequest
from milo_billing.controlplane.work import Work
from milo_billing.infra.database import Tx
from milo_billing.kernel.errors import BadRequest, Conflict, FieldError, Invalid

LIMIT_MAX = 5_000
"""Objects in one page at most, whatever the client asks for."""

FIELD_MANAGER_BYTES_MAX = 128

_VERB_OF_METHOD = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_OPTIONS_OF_VERB = {"create": "Create", "update": "Update", "patch": "Patch", "delete": "Delete"}


@dataclass(frozen=True, slots=True)
class Target:
    """What a path names: a collection (`name` empty) or an object, and below it perhaps `status`."""

    kind: AnyKind
    namespace: str | None
    name: str
    subresource: str


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request, read whole: the handlers run in threads, without the event loop."""

    method: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    audit_id: UUID


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back."""

    code: int
    content_type: str
    body: bytes
    warnings: tuple[str, ...] = ()
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class ResourceApi:
    """The verbs, over one engine."""

    engine: Engine
    door: Door

    def parse_path(self, path: str) -> Target | None:
        """The target of `/apis/G/V/[namespaces/NS/]PLURAL[/NAME[/SUBRESOURCE]]`; None for any other path."""
        parts = path.strip("/").split("/")
        if len(parts) < 4 or parts[0] != "apis":
            return None
        _, group, version, *rest = parts
        namespace = None
        if rest[0] == "namespaces" and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        plural, name, subresource, *excess = [*rest, "", ""][: max(3, len(rest))]
        kind = self.engine.registry.find(group, version, plural)
        if kind is None or excess or (namespace is not None and not kind.namespaced):
            return None
        if name and kind.namespaced and namespace is None:
            return None
        if subresource and subresource not in (("status",) if not kind.system else ()) + kind.actions:
            return None
        return Target(kind, namespace, name, subresource)

    def serve(self, target: Target, request: Request) -> Answer:
        """Answer everything but a watch. Raises MiloError; the edge makes the Status."""
        representation = negotiate(request.headers.get("accept", ""), request.query.get("includeObject", ""))
        match request.method:
            case "GET" | "HEAD" if target.subresource not in target.kind.actions:
                return (
                    self._get(target, request, representation)
                    if target.name
                    else self._list(target, request, representation)
                )
            case "POST" if not target.subresource:
                self._refuse_system(target, request)
                return self._create(target, request, representation)
            case "POST" if target.subresource in target.kind.actions:
                return self._act(target, request, representation)
            case "PUT" | "PATCH" if target.name and target.subresource in ("", "status"):
                self._refuse_system(target, request)
                return self._update(target, request, representation)
            case "DELETE" if not target.subresource:
                self._refuse_system(target, request)
                if target.name:
                    return self._delete(target, request, representation)
                return self._delete_collection(target, request, representation)
            case "PUT":
                raise BadRequest("name must be provided")
            case _:
                raise _not_allowed(target.kind, "")

    def _refuse_system(self, target: Target, request: Request) -> None:
        if target.kind.system:
            raise _not_allowed(target.kind, _VERB_OF_METHOD[request.method])

    # -- reading ------------------------------------------------------------------------------------------------

    def _get(self, target: Target, request: Request, representation: Representation) -> Answer:
        with self.door.enter(read_credentials(request.headers), request.audit_id) as (tx, identity, now, _):
            self._authorize(tx, identity, target, "get")
            row = self._find(tx, target)
            shown = render_one(target.kind, row, representation, now=now)
        return Answer(200, representation.content_type, representation.encode(shown))

    def _find(self, tx: Tx, target: Target) -> Row:
        row = self.engine.store.find(tx, target.kind, namespace=target.namespace or "", name=target.name)
        if row is None:
            raise not_found(target.kind, target.name)
        return row

    def _list(self, target: Target, request: Request, representation: Representation) -> Answer:
        kind, query = target.kind, request.query
        selector = parse_selector(
            kind, labels=query.get("labelSelector", ""), fields=query.get("fieldSelector", "")
        )
        limit = integer(query, "limit")
        after = continued_after(query)
        with self.door.enter(read_credentials(request.headers), request.audit_id) as (tx, identity, now, _):
            self._authorize(tx, identity, target, "list")
            self._check_list_version(tx, query)
            page = self.engine.store.list_page(
                tx,
                kind,
                namespace=target.namespace,
                selector=selector,
                after=after,
                limit=min(limit, LIMIT_MAX) if limit else None,
            )
        meta: Json = {"resourceVersion": str(page.resource_version)}
        if page.more:
            meta["continue"] = continue_token(page.resource_version, page.rows[-1])
            if page.remaining is not None:
                meta["remainingItemCount"] = page.remaining
        shown = render_list(kind, page.rows, meta, representation, now=now)
        return Answer(200, representation.content_type, representation.encode(shown))

    def _check_list_version(self, tx: Tx, query: Mapping[str, str]) -> None:
        match, wanted = query.get("resourceVersionMatch", ""), resource_version(query)
        if match and wanted is None:
            wrong = FieldError(
                "resourceVersionMatch",
                "FieldValueForbidden",
                "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
            )
            raise Failure(invalid("ListOptions", "meta.k8s.io", "", [wrong]))
        if not wanted:
            return
        head = self.engine.store.head(tx)
        if wanted > head:
            message = f"Timeout: Too large resource version: {wanted}, current: {head}"
            cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
            raise Failure(Status(504, "Timeout", message, {"causes": [cause]}, retry_after_s=1))
        if match == "Exact" and wanted != head:
            message = (
                f"The provided resource version {wanted} is no longer available; the current one is {head}."
            )
            raise Failure(Status(410, "Expired", message))

    def watch_request(self, target: Target, request: Request) -> WatchRequest:
        """Everything of a watch that can be wrong, checked before the stream begins."""
        kind, query = target.kind, request.query
        representation = negotiate(request.headers.get("accept", ""), query.get("includeObject", ""))
        fields = query.get("fieldSelector", "")
        if target.name:
            fields = f"metadata.name={target.name}" + (f",{fields}" if fields else "")
        selector = parse_selector(kind, labels=query.get("labelSelector", ""), fields=fields)
        initial = query.get("sendInitialEvents", "")
        if initial and query.get("resourceVersionMatch") != "NotOlderThan":
            wrong = FieldError(
                "resourceVersionMatch",
                "FieldValueForbidden",
                "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            )
            raise Failure(invalid("ListOptions", "meta.k8s.io", "", [wrong]))
        with self.door.enter(read_credentials(request.headers), request.audit_id) as (tx, identity, _, _):
            reach = self._authorize(tx, identity, target, "watch")
        return WatchRequest(
            kind=kind,
            namespace=target.namespace,
            selector=selector,
            reach=reach,
            representation=representation,
            resource_version=resource_version(query),
            timeout_s=integer(query, "timeoutSeconds") or None,
            bookmarks=query.get("allowWatchBookmarks") in ("true", "1"),
            initial_events=initial in ("true", "1"),
        )

    # -- writing ------------------------------------------------------------------------------------------------

    def _create(self, target: Target, request: Request, representation: Representation) -> Answer:
        kind = target.kind
        self._check_dry_run(request.query, "create")
        value, duplicates = parse_body(kind, request.body, request.headers.get("content-type", ""))
        draft = decode(
            kind, value, validation=field_validation(request.query), duplicates=duplicates, raw=request.body
        )
        namespace = target.namespace or ""
        if target.name and draft.name != target.name:
            raise _misnamed(draft.name, target.name)

        def write(work: Work) -> Row:
            return self.engine.create(work, kind, namespace=namespace, draft=draft)

        try:
            row = self._write(target, request, "create", write)
        except Invalid as error:
            raise Failure(invalid(kind.kind, kind.group, draft.name, error.errors)) from error
        return self._written(201, target, row, request, representation, draft.warnings)

    def _update(self, target: Target, request: Request, representation: Representation) -> Answer:
        kind, patching = target.kind, request.method == "PATCH"
        verb = "patch" if patching else "update"
        self._check_dry_run(request.query, verb)
        if patching and _patch_type(request) == APPLY_PATCH:
            return self._apply(target, request, representation)
        warnings: list[str] = []
        change = (
            self._patch(target, request, warnings)
            if patching
            else self._replacement(target, request, warnings)
        )

        def write(work: Work) -> Row:
            return self.engine.update(
                work,
                kind,
                namespace=target.namespace or "",
                name=target.name,
                change=change,
                verb=verb if not target.subresource else f"{verb}Status",
                subresource="status" if target.subresource else "",
            )

        row = self._write(target, request, "updateStatus" if target.subresource else verb, write)
        return self._written(200, target, row, request, representation, warnings)

    def _replacement(self, target: Target, request: Request, warnings: list[str]) -> Callable[[Row], Draft]:
        kind = target.kind
        value, duplicates = parse_body(kind, request.body, request.headers.get("content-type", ""))
        draft = decode(
            kind, value, validation=field_validation(request.query), duplicates=duplicates, raw=request.body
        )
        warnings += draft.warnings
        if draft.name and draft.name != target.name:
            raise _misnamed(draft.name, target.name)

        def replaced(row: Row) -> Draft:
            if not draft.resource_version and draft.uid in ("", str(row.uid)):
                wrong = FieldError(
                    "metadata.resourceVersion",
                    "FieldValueInvalid",
                    "Invalid value: 0x0: must be specified for an update",
                )
                raise Failure(invalid(kind.plural, kind.group, target.name, [wrong]))
            return draft

        return replaced

    def _patch(self, target: Target, request: Request, warnings: list[str]) -> Callable[[Row], Draft]:
        kind = target.kind
        media = _patch_type(request)
        _check_not_forced(request)
        patch, duplicates = parse_body(kind, request.body, media)

        def patched(row: Row) -> Draft:
            standing = to_wire(kind, row)
            wanted: Any = json_patch(standing, patch) if media == JSON_PATCH else merge_patch(standing, patch)
            wire = cast("Json", wanted)
            sent = version_in_patch(patch, media)
            draft = decode(kind, wire, validation=field_validation(request.query), duplicates=duplicates)
            # only what the client sent is a precondition; the rest is the object itself
            draft.resource_version = sent
            warnings[:] = draft.warnings
            return draft

        return patched

    def _apply(self, target: Target, request: Request, representation: Representation) -> Answer:
        """Server-side apply: merge the configuration into the object, or create it."""
        kind = target.kind
        self._check_dry_run(request.query, "patch")
        value, duplicates = parse_body(kind, request.body, APPLY_PATCH)
        configuration = decode_applied(
            kind,
            value,
            name=target.name,
            validation=field_validation(request.query, default="Strict"),
            duplicates=duplicates,
        )
        by, force = request.query.get("fieldManager", ""), request.query.get("force") in ("true", "1")
        subresource: Literal["", "status"] = "status" if target.subresource else ""
        namespace = target.namespace or ""
        existed = True

        def applied(found: Row | None) -> Draft:
            return applied_draft(
                kind,
                found,
                configuration,
                by=by,
                force=force,
                subresource=subresource,
                now=self.door.clock.now(),
            )

        def write(work: Work) -> Row:
            nonlocal existed
            existed = self.engine.store.find(work.tx, kind, namespace=namespace, name=target.name) is not None
            if existed or subresource:
                return self.engine.update(
                    work,
                    kind,
                    namespace=namespace,
                    name=target.name,
                    change=applied,
                    verb="apply" + ("Status" if subresource else ""),
                    subresource=subresource,
                )
            # patch alone changes what stands; the transaction goes on with that reach
            work.reach = self._authorize(work.tx, work.identity, target, "create")
            return self.engine.create(work, kind, namespace=namespace, draft=applied(None))

        row = self._write(target, request, "updateStatus" if subresource else "patch", write)
        code = 200 if existed else 201
        return self._written(code, target, row, request, representation, configuration.warnings)

    def _act(self, target: Target, request: Request, representation: Representation) -> Answer:
        kind = target.kind
        self._check_dry_run(request.query, "create")
        body = read_action_request(kind, request.body, request.headers.get("content-type", ""))

        def write(work: Work) -> Row:
            return self.engine.act(
                work,
                kind,
                namespace=target.namespace or "",
                name=target.name,
                action=target.subresource,
                request=body,
            )

        row = self._write(target, request, target.subresource, write)
        return self._written(200, target, row, request, representation, [])

    def _delete(self, target: Target, request: Request, representation: Representation) -> Answer:
        kind = target.kind
        options = self._delete_options(kind, request)
        gone = False

        def write(work: Work) -> Row:
            nonlocal gone
            row, gone = self.engine.delete(
                work,
                kind,
                namespace=target.namespace or "",
                name=target.name,
                preconditions=options.preconditions,
            )
            return row

        row = self._write(target, request, "delete", write, dry_run=options.dry_run)
        # everything is deleted in the background; who asks for another policy is shown the object, as by Kubernetes
        if not gone or propagation_policy(request.query, request.body) in ("Foreground", "Orphan"):
            return self._written(200, target, row, request, representation, [])
        details = {"name": row.name, "group": kind.group, "kind": kind.plural, "uid": str(row.uid)}
        success = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Success",
            "details": details,
        }
        return Answer(200, representation.content_type, representation.encode(success))

    def _delete_options(self, kind: AnyKind, request: Request) -> DeleteOptions:
        content_type = request.headers.get("content-type", "")
        return delete_options(kind, request.query, request.body, content_type)

    def _delete_collection(self, target: Target, request: Request, representation: Representation) -> Answer:
        kind, query = target.kind, request.query
        selector = parse_selector(
            kind, labels=query.get("labelSelector", ""), fields=query.get("fieldSelector", "")
        )
        self._delete_options(kind, request)
        with self.door.enter(read_credentials(request.headers), request.audit_id) as (tx, identity, now, _):
            self._authorize(tx, identity, target, "deletecollection")
            page = self.engine.store.list_page(
                tx, kind, namespace=target.namespace, selector=selector, after=None, limit=None
            )
        # an object a transaction: one that must stay does not keep the others
        refused: list[Failure] = []
        for row in page.rows:
            one = Target(kind, row.namespace if kind.namespaced else None, row.name, "")
            try:
                self._delete(one, request, representation)
            except Conflict as error:
                refused.append(Failure(status_of(error, kind=kind, name=row.name)))
            except Failure as failure:
                if failure.status.code != 404:  # gone already is what was wanted
                    refused.append(failure)
        if refused:
            raise refused[0]
        meta = {"resourceVersion": str(page.resource_version), "continue": ""}
        shown = render_list(kind, page.rows, meta, representation, now=now)
        return Answer(200, representation.content_type, representation.encode(shown))

    def _write(
        self,
        target: Target,
        request: Request,
        verb: str,
        write: Callable[[Work], Row],
        *,
        dry_run: bool = False,
    ) -> Row:
        """Run one write in one transaction: again after a deadlock, rolled back for a dry run."""

        def transaction() -> Row:
            with self.door.enter(read_credentials(request.headers), request.audit_id) as (
                tx,
                identity,
                now,
                _,
            ):
                reach = self._authorize(tx, identity, target, verb)
                work = Work(tx, identity, reach, request.audit_id, now, field_manager_of(request))
                row = write(work)
                if dry_run or request.query.get("dryRun"):
                    tx.rollback()
                else:
                    self.engine.commit(work)
                return row

        return repeated(transaction)

    def _written(
        self,
        code: int,
        target: Target,
        row: Row,
        request: Request,
        representation: Representation,
        warnings: list[str],
    ) -> Answer:
        shown = render_one(target.kind, row, representation, now=self.door.clock.now())
        return Answer(code, representation.content_type, representation.encode(shown), tuple(warnings))

    # -- who may ------------------------------------------------------------------------------------------------

    def _authorize(self, tx: Tx, identity: Identity, target: Target, verb: str) -> Reach:
        return authorize(
            self.engine,
            tx,
            identity,
            kind=target.kind,
            namespace=target.namespace,
            name=target.name,
            verb=verb,
        )

    def _check_dry_run(self, query: Mapping[str, str], verb: str) -> None:
        wanted = query.get("dryRun")
        if wanted in (None, "", "All"):
            return
        message = f'Unsupported value: []string{{"{wanted}"}}: supported values: "All"'
        wrong = FieldError("dryRun", "FieldValueNotSupported", message)
        raise Failure(invalid(f"{_OPTIONS_OF_VERB[verb]}Options", "meta.k8s.io", "", [wrong]))


def _patch_type(request: Request) -> str:
    """The patch's media type; 415 for any that is not served."""
    media = request.headers.get("content-type", "").partition(";")[0].strip()
    if media not in (JSON_PATCH, MERGE_PATCH, APPLY_PATCH):
        accepted = ", ".join((JSON_PATCH, MERGE_PATCH, APPLY_PATCH))
        message = (
            f"the body of the request was in an unknown format - accepted media types include: {accepted}"
        )
        raise Failure(Status(415, "UnsupportedMediaType", message))
    if media == APPLY_PATCH and not request.query.get("fieldManager"):
        wrong = FieldError(
            "fieldManager", "FieldValueRequired", "Required value: is required for apply patch"
        )
        raise Failure(invalid("PatchOptions", "meta.k8s.io", "", [wrong]))
    return media


def _check_not_forced(request: Request) -> None:
    if "force" in request.query:
        wrong = FieldError(
            "force", "FieldValueForbidden", "Forbidden: may not be specified for non-apply patch"
        )
        raise Failure(invalid("PatchOptions", "meta.k8s.io", "", [wrong]))


def field_manager_of(request: Request) -> str:
    """Who the fields written belong to: what the client says, else the name of its program."""
    named = request.query.get("fieldManager", "")
    if len(named.encode()) > FIELD_MANAGER_BYTES_MAX:
        message = f"Too long: may not be more than {FIELD_MANAGER_BYTES_MAX} bytes"
        options = f"{_OPTIONS_OF_VERB[_VERB_OF_METHOD[request.method]]}Options"
        wrong = FieldError("fieldManager", "FieldValueTooLong", message)
        raise Failure(invalid(options, "meta.k8s.io", "", [wrong]))
    return (
        named
        or request.headers.get("user-agent", "").partition("/")[0][:FIELD_MANAGER_BYTES_MAX]
        or "unknown"
    )


def _misnamed(name: str, expected: str) -> BadRequest:
    return BadRequest(f"the name of the object ({name}) does not match the name on the URL ({expected})")


def _not_allowed(kind: AnyKind, verb: str) -> Failure:
    details = {"group": kind.group, "kind": kind.plural}
    message = f'{verb} is not supported on resources of kind "{resource_name(kind)}"'
    return Failure(Status(405, "MethodNotAllowed", message, details))
