"""Organizations and projects of a resource manager elsewhere, read over its Kubernetes API.

Works with Milo's own API server and with another instance of this service: list in pages, then watch.
"""

import ssl
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import orjson

from milo_billing.directory.ports import (
    Listing,
    PositionLost,
    Resource,
    SourceChange,
    SourceEntry,
    SourceOrganization,
    SourceProject,
)
from milo_billing.directory.types import GROUP, ORGANIZATION_LABEL
from milo_billing.kernel.errors import Unavailable

_VERSION: Final = "v1alpha1"
_PAGE: Final = 500
_LIMIT_S: Final = 30.0
_GRACE_S: Final = 10
"""How long after its time a watch may stay silent before it is taken for dead."""

_DISPLAY_NAME: Final = "kubernetes.io/display-name"
"""Where Milo keeps what people read instead of the name."""


def connect(url: str, *, token_file: Path, authority_file: Path) -> "RemoteDirectory":
    """The resource manager at the URL.

    `authority_file`: PEM of the authority that signed its certificate. `token_file` is read for every request: who
    rotates the token only replaces the file. Raises Unavailable where the authority cannot be read.
    """
    try:
        trust = ssl.create_default_context(cadata=authority_file.read_text())
    except (OSError, ssl.SSLError, ValueError) as error:
        raise Unavailable(
            f"{authority_file} is no readable PEM file of a certificate authority (MILO_BILLING_DIRECTORY_CA_FILE): "
            f"{error}"
        ) from error
    client = httpx.Client(base_url=url, auth=_TokenOfFile(token_file), timeout=_LIMIT_S, verify=trust)
    return RemoteDirectory(client)


class _TokenOfFile(httpx.Auth):
    """A bearer token that lies in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        try:
            token = self._path.read_text().strip()
        except OSError as error:
            raise Unavailable(
                f"the token for the resource manager cannot be read (MILO_BILLING_DIRECTORY_TOKEN_FILE): {error}"
            ) from error
        request.headers["Authorization"] = f"Bearer {token}"
        yield request


class RemoteDirectory:
    """A `directory.ports.ResourceSource` over an HTTP client that knows the address and the token."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def find_any(self, resource: Resource) -> SourceEntry | None:
        """One entry, if there is one: whether the address, the token and its permissions are right."""
        with self._answered(resource, {"limit": 1}, limit_s=_LIMIT_S) as answer:
            page: dict[str, Any] = orjson.loads(answer.read())
        return next((_entry(resource, item) for item in page["items"]), None)

    def list_all(self, resource: Resource) -> Listing:
        """Everything there is, page by page; the position is that of the first page, so no change is missed."""
        entries: list[SourceEntry] = []
        position = after = ""
        while True:
            query: dict[str, str | int] = {"limit": _PAGE, **({"continue": after} if after else {})}
            with self._answered(resource, query, limit_s=_LIMIT_S) as answer:
                page: dict[str, Any] = orjson.loads(answer.read())
            entries += [_entry(resource, item) for item in page["items"]]
            position = position or page["metadata"]["resourceVersion"]
            after = page["metadata"].get("continue", "")
            if not after:
                return Listing(tuple(entries), position)

    def watch(self, resource: Resource, *, since: str, seconds: int) -> Iterator[SourceChange]:
        """Changes as the server tells them; bookmarks move the position on where nothing happens."""
        query: dict[str, str | int] = {
            "watch": "true",
            "resourceVersion": since,
            "timeoutSeconds": seconds,
            "allowWatchBookmarks": "true",
        }
        with self._answered(resource, query, limit_s=seconds + _GRACE_S) as answer:
            for line in answer.iter_lines():
                if line:
                    yield _change(resource, orjson.loads(line))

    @contextmanager
    def _answered(
        self, resource: Resource, query: dict[str, str | int], *, limit_s: float
    ) -> Generator[httpx.Response]:
        """A good answer to a GET, streamed. Raises PositionLost for 410, Unavailable for anything else."""
        path = f"/apis/{GROUP}/{_VERSION}/{resource}"
        timeout = httpx.Timeout(_LIMIT_S, read=limit_s)
        try:
            with self._client.stream("GET", path, params=query, timeout=timeout) as answer:
                if answer.status_code == 410:
                    raise PositionLost(resource)
                if answer.status_code != 200:
                    said = answer.read().decode(errors="replace")[:200]
                    where = f"{self._client.base_url}{path.lstrip('/')}"
                    raise Unavailable(
                        f"the resource manager at {where} answered {answer.status_code}: {said}"
                    )
                yield answer
        except httpx.HTTPError as error:
            raise Unavailable(
                f"the resource manager at {self._client.base_url} does not answer: {error}"
            ) from error


def _change(resource: Resource, event: dict[str, Any]) -> SourceChange:
    type_, object_ = event["type"], event["object"]
    if type_ == "ERROR":
        if object_.get("code") == 410:
            raise PositionLost(object_.get("message", resource))
        raise Unavailable(f"the resource manager ended the watch of {resource}: {object_.get('message')}")
    position = object_["metadata"]["resourceVersion"]
    if type_ == "BOOKMARK":
        return SourceChange(None, False, position)
    return SourceChange(_entry(resource, object_), type_ == "DELETED", position)


def _entry(resource: Resource, item: dict[str, Any]) -> SourceEntry:
    metadata: dict[str, Any] = item["metadata"]
    spec: dict[str, Any] = item.get("spec") or {}
    annotations: dict[str, str] = metadata.get("annotations") or {}
    shown = spec.get("displayName") or annotations.get(_DISPLAY_NAME)
    if resource == "organizations":
        type_ = "Personal" if spec.get("type") == "Personal" else "Standard"
        return SourceOrganization(metadata["uid"], metadata["name"], shown, type_)
    labels: dict[str, str] = metadata.get("labels") or {}
    owner: dict[str, str] = spec.get("ownerRef") or {}
    organization = owner.get("name") or labels.get(ORGANIZATION_LABEL, "")
    return SourceProject(metadata["uid"], metadata["name"], shown, organization)
