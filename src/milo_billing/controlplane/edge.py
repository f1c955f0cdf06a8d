"""The ASGI edge: discovery, OpenAPI, resources and watches, and the routes that slices add beside them.

Owns: which path goes where, limits on bodies, Audit-Id, the answer to every error. Handlers run in the thread pool;
only watches and the edge itself are asynchronous.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import psycopg
import structlog
from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request as HttpRequest
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from milo_billing.controlplane import discovery, openapi
from milo_billing.controlplane.api import Answer, Request, ResourceApi, Target
from milo_billing.controlplane.doors import audit_id_of, bearer_token
from milo_billing.controlplane.kinds import Json, Registry
from milo_billing.controlplane.representations import wants_aggregated_discovery
from milo_billing.controlplane.statuses import Status, status_of
from milo_billing.controlplane.watching import Watching
from milo_billing.infra.clock import new_uid
from milo_billing.kernel.errors import MiloError, TooLarge, Unavailable

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
        audit_id = new_uid()
        scope["milo.audit_id"] = audit_id
        header = (b"audit-id", str(audit_id).encode())

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), header]
            await send(message)

        await self._app(scope, receive, send_with_id)


def respond(answer: Answer) -> Response:
    headers = {"Cache-Control": "no-cache, private"}
    if answer.retry_after_s is not None:
        headers["Retry-After"] = str(answer.retry_after_s)
    response = Response(answer.body, answer.code, headers, answer.content_type)
    for warning in answer.warnings:
        quoted = warning.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.append("Warning", f'299 - "{quoted}"')
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
        token = bearer_token(request.headers)

        def check() -> None:
            with self.api.door.enter(token, audit_id_of(request)):
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

    async def groups(self, request: HttpRequest) -> Response:
        await self._read_identity(request)
        if (wanted := wants_aggregated_discovery(request.headers.get("accept", ""))) is not None:
            return _aggregated(discovery.aggregated(self.registry, wanted), wanted)
        return _json(discovery.api_group_list(self.registry))

    async def openapi_root(self, _: HttpRequest) -> Response:
        return _json(openapi.root(dict(self.documents)))

    async def openapi_document(self, request: HttpRequest) -> Response:
        encoded = self.documents.get(request.path_params["path"])
        if encoded is None:
            raise HTTPException(404)
        headers = {"Cache-Control": "public, immutable"} if request.query_params.get("hash") else {}
        return Response(encoded, 200, headers, "application/json")

    async def resources(self, request: HttpRequest) -> Response:
        """Everything below /apis: a group, a version, or a resource."""
        path = request.url.path
        target = self.api.parse_path(path)
        if target is None:
            return self._discovered(path)
        kind, name = target.kind, target.name
        try:
            query = request.query_params
            if request.method == "GET" and query.get("watch") in ("true", "1"):
                return await self._watch(target, request)
            body = await read_body(request, bytes_max=BODY_BYTES_MAX)
            read = Request(request.method, query, request.headers, body, audit_id_of(request))
            answer = await to_thread.run_sync(self.api.serve, target, read, limiter=self.threads)
        except MiloError as error:
            return failure(status_of(error, kind=kind, name=name))
        return respond(answer)

    def _discovered(self, path: str) -> Response:
        parts = path.strip("/").split("/")
        versions = self.registry.groups.get(parts[1], ()) if len(parts) > 1 else ()
        if len(parts) == 2 and versions:
            return _json(discovery.api_group(self.registry, parts[1]))
        if len(parts) == 3 and parts[2] in versions:
            return _json(discovery.api_resource_list(self.registry, parts[1], parts[2]))
        raise HTTPException(404)

    async def _watch(self, target: Target, request: HttpRequest) -> Response:
        read = Request("GET", request.query_params, request.headers, b"", audit_id_of(request))
        wanted = await to_thread.run_sync(self.api.watch_request, target, read, limiter=self.threads)
        return StreamingResponse(
            self.watching.stream(wanted), 200, {"Cache-Control": "no-cache, private"}, "application/json"
        )

    def routes(self) -> list[BaseRoute]:
        def both(path: str, endpoint: Callable[[HttpRequest], Awaitable[Response]]) -> list[BaseRoute]:
            # clients ask with and without a last slash; a redirect would lose their token
            return [Route(path, endpoint), Route(path + "/", endpoint)]

        methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
        return [
            *both("/version", self.version),
            *both("/api", self.legacy),
            *both("/api/v1", self.core),
            *both("/apis", self.groups),
            *both("/openapi/v3", self.openapi_root),
            Route("/openapi/v3/{path:path}", self.openapi_document),
            Route("/apis/{path:path}", self.resources, methods=methods),
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
        middleware=[Middleware(AuditIds)],
        exception_handlers={
            MiloError: _answer_expected,
            psycopg.OperationalError: _answer_database_away,
            HTTPException: _answer_http,
            Exception: _answer_defect,
        },
        **more,
    )
