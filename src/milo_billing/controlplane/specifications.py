"""The OpenAPI documents over HTTP: encoded once a process, with what clients need to keep them.

The protocol is that of k8s.io/kube-openapi: a document under its hash may be kept for ever, any other is asked for
again with If-None-Match.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from milo_billing.controlplane import openapi, openapi_v2
from milo_billing.controlplane.statuses import Failure, Status

JSON = "application/json"
V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_V2_PROTOBUF_ASKED = (V2_PROTOBUF, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf")

_KEPT_S = 365 * 86_400
"""How long a document under its hash may be kept: a year, as the API server says."""


@dataclass(frozen=True, slots=True)
class _Encoded:
    content: bytes
    media_type: str
    digest: str

    @classmethod
    def of(cls, content: bytes, media_type: str = JSON) -> "_Encoded":
        return cls(content, media_type, hashlib.sha256(content).hexdigest().upper())

    def answer(self, request: Request, *, cache: str = "no-cache, private") -> Response:
        """The document, or 304 where the client has this very one."""
        tag = f'"{self.digest}"'
        headers = {"ETag": tag, "Vary": "Accept", "Cache-Control": cache}
        known = (
            part.strip().removeprefix("W/") for part in request.headers.get("if-none-match", "").split(",")
        )
        if tag in known:
            return Response(None, 304, headers)
        return Response(self.content, 200, headers, self.media_type)


@lru_cache(maxsize=4)
def _version_2(documents: tuple[bytes, ...]) -> tuple[_Encoded, _Encoded]:
    """All documents as one of version 2, in JSON and in protobuf. Takes a tenth of a second, mostly for the latter."""
    converted = openapi_v2.convert(orjson.loads(content) for content in documents)
    return _Encoded.of(orjson.dumps(converted)), _Encoded.of(openapi_v2.encode(converted), V2_PROTOBUF)


class Specifications:
    """GET /openapi/v2 and /openapi/v3."""

    def __init__(self, documents: Mapping[str, bytes]) -> None:
        self._v3 = {path: _Encoded.of(content) for path, content in documents.items()}
        self._v3_root = _Encoded.of(orjson.dumps(openapi.root(dict(documents))))
        self._v2, self._v2_protobuf = _version_2(
            tuple(content for path, content in documents.items() if path.startswith("apis/"))
        )

    async def v2(self, request: Request) -> Response:
        """The whole of it, in the first form of Accept that there is."""
        for alternative in request.headers.get("accept", JSON).split(","):
            media = alternative.partition(";")[0].strip().lower()
            if media in (JSON, "application/*", "*/*"):
                return self._v2.answer(request)
            if media in _V2_PROTOBUF_ASKED:
                return self._v2_protobuf.answer(request)
        message = f"only the following media types are accepted: {JSON}, {V2_PROTOBUF}"
        raise Failure(Status(406, "NotAcceptable", message))

    async def v3_root(self, request: Request) -> Response:
        """Where the document of each group and version is."""
        return self._v3_root.answer(request)

    async def v3(self, request: Request) -> Response:
        """One document. Under an outdated hash, where the present one is: that answer may be kept for ever."""
        path = request.path_params["path"].removesuffix("/")
        document = self._v3.get(path)
        if document is None:
            raise HTTPException(404)
        asked = request.query_params.get("hash", "")
        if not asked:
            return document.answer(request)
        if asked != document.digest:
            return RedirectResponse(f"/openapi/v3/{path}?hash={document.digest}", 301)
        return document.answer(request, cache=f"public, immutable, max-age={_KEPT_S}")

    def routes(self) -> list[BaseRoute]:
        """With and without a last slash: a redirect would lose a client's token."""
        return [
            Route("/openapi/v2", self.v2),
            Route("/openapi/v2/", self.v2),
            *self.v3_routes(),
        ]

    def v3_routes(self) -> list[BaseRoute]:
        """Version 3 alone, for a server without kinds."""
        return [
            Route("/openapi/v3", self.v3_root),
            Route("/openapi/v3/", self.v3_root),
            Route("/openapi/v3/{path:path}", self.v3),
        ]
