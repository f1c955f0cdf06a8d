"""The ASGI edge: discovery, OpenAPI, resources and watches, and the routes that slices add beside them.

Owns: which path goes where, limits on bodies, Audit-Id, the answer to every error. Handlers run in the thread pool;
only watches and the edge itself are asynchronous.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import psycopg
import structlog
from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from milo_billing.controlplane import discovery
from milo_billing.controlplane.api import Answer, Request, ResourceApi, Target
from milo_billing.controlplane.doors import AUDIT_ID, audit_id_of, read_credentials
from milo_billing.controlplane.identity import EVERYWHERE
from milo_billing.controlplane.kinds import Json, Registry
from milo_billing.controlplane.namespace_view import NamespaceView
from milo_billing.controlplane.protobuf import PROTOBUF, encode_status
from milo_billing.controlplane.representations import wants_aggregated_discovery
from milo_billing.controlplane.reviews import Reviewing
from milo_billing.controlplane.specifications import Specifications
from milo_billing.controlplane.statuses import Failure, Status, status_of
from milo_billing.controlplane.watching import Watching
from milo_billing.infra.clock import new_uid
from milo_billing.kernel.errors import BadRequest, MiloError, TooLarge, Unavailable

BODY_BYTES_MAX = 3 * 1024 * 1024
"""As the API server: the largest object is 1.5 MiB, a patch may be twice that."""

_log = structlog.get_logger(__name__)


class AuditIds:
    """Gives every request an id, and every answer the header `Audit-Id` with it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        audit_id = scope.setdefault(AUDIT_ID, new_uid())
        header = (b"audit-id", str(audit_id).encode())

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), header]
            await send(message)

        await self._app(scope, receive, send_with_id)


class ReadableAddresses:
    """Refuses an address with the character NUL, in its path or a parameter: nothing can be called so."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and ("\0" in scope["path"] or b"%00" in scope["query_string"]):
            refused = Status(400, "BadRequest", "the address holds the character NUL (%00): leave it out")
            await failure(refused)(scope, receive, send)
            return
        await self._app(scope, receive, send)


WARNINGS_MAX, WARNINGS_BYTES_MAX, WARNING_LENGTH_MAX = 32, 4096, 256
"""How many warnings one answer has, how long they are together and each: clients refuse more or larger headers."""

_CONTROL_CHARACTERS = dict.fromkeys((*range(0x20), 0x7F, *range(0x80, 0xA0)), " ")


def _warnings(texts: Sequence[str]) -> Iterator[bytes]:
    """Values of `Warning` headers, in UTF-8. What they quote is the client's: it must not end the header."""
    left = WARNINGS_BYTES_MAX
    for text in texts[:WARNINGS_MAX]:
        shown = text.translate(_CONTROL_CHARACTERS)[:WARNING_LENGTH_MAX]
        quoted = shown.replace("\\", "\\\\").replace('"', '\\"')
        value = f'299 - "{quoted}"'.encode()
        left -= len(value)
        if left < 0:
            return
        yield value


def respond(answer: Answer) -> Response:
    headers = {"Cache-Control": "no-cache, private"}
    if answer.retry_after_s is not None:
        headers["Retry-After"] = str(answer.retry_after_s)
    response = Response(answer.body, answer.code, headers, answer.content_type)
    response.raw_headers.extend((b"warning", value) for value in _warnings(answer.warnings))
    return response


def failure(status: Status) -> Response:
    body = orjson.dumps(status.body())
    return respond(Answer(status.code, "application/json", body, (), status.retry_after_s))


def _answer_expected(_: HttpRequest, error: Exception) -> Response:
    assert isinstance(error, MiloError)
    return failure(status_of(error))


def _answer_database_away(request: HttpRequest, error: Exception) -> Response:
    _log.error("database_away", audit_id=str(audit_id_of(request)), error=str(error))
    return failure(status_of(Unavailable("the database does not answer; the same request will do later")))


def _answer_defect(request: HttpRequest, error: Exception) -> Response:
    audit_id = audit_id_of(request)
    _log.error("request_failed", audit_id=str(audit_id), path=request.url.path, exc_info=error)
    message = f"Internal error occurred: see the server's log under audit id {audit_id}"
    return failure(Status(500, "InternalError", message))


def _answer_gone(*_: object) -> Response:
    """The client went away before its body was whole: it hears this only if it closed its sending side alone."""
    return failure(status_of(BadRequest("the connection was closed before the body was whole")))


def _answer_http(_: HttpRequest, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return PlainTextResponse("404 page not found\n", 404, {"X-Content-Type-Options": "nosniff"})
    reason = "MethodNotAllowed" if error.status_code == 405 else ""
    return failure(Status(error.status_code, reason, error.detail))


async def read_body(request: HttpRequest, *, bytes_max: int) -> bytes:
    """The whole body. Raises TooLarge without reading further than the bound."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > bytes_max:
            raise TooLarge(f"Request entity too large: limit is {bytes_max}")
        parts.append(part)
    return b"".join(parts)


@dataclass(frozen=True, slots=True)
class Edge:
    """The endpoints of the declarative API."""

    api: ResourceApi
    watching: Watching
    registry: Registry
    product_version: str
    documents: Mapping[str, bytes]
    threads: CapacityLimiter

    async def _read_identity(self, request: HttpRequest) -> None:
        """Discovery is for everybody with a token that we know; one that we do not know is told so."""
        credentials = read_credentials(request.headers)

        def check() -> None:
            with self.api.door.enter(credentials, audit_id_of(request)):
                return

        await to_thread.run_sync(check, limiter=self.threads)

    async def version(self, _: HttpRequest) -> Response:
        return _json(discovery.version(self.product_version))

    async def legacy(self, request: HttpRequest) -> Response:
        await self._read_identity(request)
        if (wanted := wants_aggregated_discovery(request.headers.get("accept", ""))) is not None:
            return _aggregated(discovery.aggregated(None, wanted), wanted)
        return _json(discovery.api_versions())

    async def core(self, _: HttpRequest) -> Response:
        return _json(discovery.core_resources())

    async def namespace(self, request: HttpRequest) -> Response:
        view = NamespaceView(self.api.door, self.api.engine.namespaces)
        name = request.path_params["name"]
        credentials = read_credentials(request.headers)
        shown = await to_thread.run_sync(
            view.show, name, credentials, audit_id_of(request), limiter=self.threads
        )
        return _json(shown)

    async def groups(self, request: HttpRequest) -> Response:
        await self._read_identity(request)
        if (wanted := wants_aggregated_discovery(request.headers.get("accept", ""))) is not None:
            return _aggregated(discovery.aggregated(self.registry, wanted), wanted)
        return _json(discovery.api_group_list(self.registry))

    async def resources(self, request: HttpRequest) -> Response:
        """Everything below /apis: a group, a version, or a resource."""
        path = request.url.path
        target = self.api.parse_path(path)
        if target is None:
            return self._discovered(path)
        kind, name = target.kind, target.name
        if request.method == "POST" and kind.namespaced and target.namespace is None:
            raise HTTPException(404)
        try:
            query = request.query_params
            if request.method == "GET" and query.get("watch") in ("true", "1"):
                return await self._watch(target, request)
            body = await read_body(request, bytes_max=BODY_BYTES_MAX)
            read = Request(request.method, query, request.headers, body, audit_id_of(request))
            answer = await to_thread.run_sync(self.api.serve, target, read, limiter=self.threads)
        except MiloError as error:
            status = status_of(error, kind=kind, name=name)
            if status.code == 406 and "protobuf" in request.headers.get("accept", ""):
                return Response(encode_status(status), 406, None, PROTOBUF)
            return failure(status)
        return respond(answer)

    def _discovered(self, path: str) -> Response:
        parts = path.strip("/").split("/")
        versions = discovery.versions(self.registry, parts[1]) if len(parts) > 1 else ()
        if len(parts) == 2 and versions:
            return _json(discovery.api_group(self.registry, parts[1]))
        if len(parts) == 3 and parts[2] in versions:
            return _json(discovery.api_resource_list(self.registry, parts[1], parts[2]))
        raise HTTPException(404)

    def _review(self, asked: discovery.Review) -> Callable[[HttpRequest], Awaitable[Response]]:
        reviewing = Reviewing(self.api.door, self.registry, self.api.engine.namespaces)

        async def answer(request: HttpRequest) -> Response:
            if request.method != "POST":
                raise HTTPException(405, "the server does not allow this method on the requested resource")
            body = await read_body(request, bytes_max=BODY_BYTES_MAX)
            credentials = read_credentials(request.headers)
            media = request.headers.get("content-type", "")
            shown = await to_thread.run_sync(
                reviewing.review, asked, credentials, audit_id_of(request), body, media, limiter=self.threads
            )
            return respond(Answer(201, "application/json", orjson.dumps(shown)))

        return answer

    async def _watch(self, target: Target, request: HttpRequest) -> Response:
        read = Request("GET", request.query_params, request.headers, b"", audit_id_of(request))
        wanted = await to_thread.run_sync(self.api.watch_request, target, read, limiter=self.threads)
        return StreamingResponse(
            self.watching.stream(wanted), 200, {"Cache-Control": "no-cache, private"}, "application/json"
        )

    async def nothing(self, request: HttpRequest) -> Response:
        """What is not served: whoever may not do everything is not told so."""
        credentials = read_credentials(request.headers)

        def check() -> None:
            with self.api.door.enter(credentials, audit_id_of(request)) as (tx, identity, _, _):
                if self.api.engine.authorizer.reach(tx, identity, "*") != EVERYWHERE:
                    message = f'forbidden: User "{identity.user}" cannot get path "{request.url.path}"'
                    raise Failure(Status(403, "Forbidden", message))

        await to_thread.run_sync(check, limiter=self.threads)
        raise HTTPException(404)

    def routes(self) -> list[BaseRoute]:
        def both(path: str, endpoint: Callable[[HttpRequest], Awaitable[Response]]) -> list[BaseRoute]:
            # clients ask with and without a last slash; a redirect would lose their token
            return [Route(path, endpoint), Route(path + "/", endpoint)]

        methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
        return [
            *both("/version", self.version),
            *both("/api", self.legacy),
            *both("/api/v1", self.core),
            Route("/api/v1/namespaces/{name}", self.namespace),
            *both("/apis", self.groups),
            *Specifications(self.documents).routes(),
            *(
                Route(
                    f"/apis/{asked.group}/{asked.version}/{asked.plural}",
                    self._review(asked),
                    methods=methods,
                )
                for asked in discovery.REVIEWS
            ),
            Route("/apis/{path:path}", self.resources, methods=methods),
            Route("/{path:path}", self.nothing, methods=methods),
        ]


def _json(value: Json) -> Response:
    return Response(orjson.dumps(value), 200, None, "application/json")


def _aggregated(value: Json, wanted: str) -> Response:
    media = f"application/json;g=apidiscovery.k8s.io;v={wanted};as=APIGroupDiscoveryList"
    return Response(orjson.dumps(value), 200, {"Content-Type": media, "Vary": "Accept"})


def build_application(routes: Sequence[BaseRoute], **more: Any) -> Starlette:
    """An application whose every error is a Kubernetes Status and whose every answer has an Audit-Id."""
    return Starlette(
        routes=routes,
        middleware=[Middleware(AuditIds), Middleware(ReadableAddresses)],
        exception_handlers={
            MiloError: _answer_expected,
            psycopg.OperationalError: _answer_database_away,
            HTTPException: _answer_http,
            ClientDisconnect: _answer_gone,
            Exception: _answer_defect,
        },
        **more,
    )
