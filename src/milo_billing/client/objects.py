"""Declared objects over the Kubernetes API: find a kind, get, list, apply, delete.

Owns: discovery and the verbs. Not: reading manifests (manifests), or what the kinds mean (the server).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from milo_billing.client.errors import ApiError, UnableToFindKind, UnableToReadManifest
from milo_billing.client.http import JSON, ApiClient, next_page
from milo_billing.client.manifests import Manifest, last_applied, three_way_patch, with_last_applied

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
MERGE_PATCH = "application/merge-patch+json"
FIELD_MANAGER = "milo-billing-cli"
PAGE = 500

Outcome = Literal["created", "configured", "unchanged"]


@dataclass(frozen=True, slots=True)
class KindInfo:
    """A kind as the server describes it in discovery."""

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    short_names: tuple[str, ...]
    namespaced: bool

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, *, namespace: str | None, name: str | None = None) -> str:
        """Where its objects are; a namespaced kind without a namespace means all namespaces."""
        parts = ["/apis", self.api_version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name:
            parts.append(name)
        return "/".join(parts)


@dataclass(frozen=True, slots=True)
class Applied:
    """What an apply did, and the object as it stands after it."""

    outcome: Outcome
    kind: KindInfo
    object: JSON

    @property
    def reference(self) -> str:
        """As kubectl writes it: `billingaccount.billing.miloapis.com/main`."""
        return f"{self.kind.singular}.{self.kind.group}/{self.object['metadata']['name']}"


class Objects:
    """The declared objects of one server. Discovery is read once, on first use."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api
        self._kinds: tuple[KindInfo, ...] | None = None

    def list_kinds(self) -> tuple[KindInfo, ...]:
        """Every kind of the server, from its aggregated discovery document."""
        if self._kinds is None:
            document = self._api.json("GET", "/apis", accept=AGGREGATED)
            self._kinds = tuple(_discovered(document))
        return self._kinds

    def find_kind(self, word: str) -> KindInfo:
        """The kind called `word`: its plural, singular, short or Kind name, in any case, `name.group` too."""
        wanted, _, group = word.lower().partition(".")
        for kind in self.list_kinds():
            names = (kind.plural, kind.singular, kind.kind.lower(), *kind.short_names)
            if wanted in names and group in ("", kind.group):
                return kind
        known = ", ".join(sorted(kind.plural for kind in self.list_kinds()))
        raise UnableToFindKind(f"The server has no kind called {word!r}.", next_step=f"It serves: {known}.")

    def get(self, kind: KindInfo, name: str, *, namespace: str | None = None) -> JSON:
        """One object. Raises ApiError (404) when it does not exist."""
        return self._api.json("GET", kind.path(namespace=namespace, name=name))

    def find(self, kind: KindInfo, name: str, *, namespace: str | None = None) -> JSON | None:
        """One object, or None."""
        try:
            return self.get(kind, name, namespace=namespace)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    def list(
        self,
        kind: KindInfo,
        *,
        namespace: str | None = None,
        selector: str | None = None,
        fields: str | None = None,
    ) -> Iterator[JSON]:
        """Every object, read page by page (PAGE each), so that any number fits; `fields` is a field selector."""
        after = ""
        while True:
            params = {"limit": str(PAGE)}
            if after:
                params["continue"] = after
            if selector:
                params["labelSelector"] = selector
            if fields:
                params["fieldSelector"] = fields
            page = self._api.json("GET", kind.path(namespace=namespace), params=params)
            for item in cast("list[JSON]", page.get("items") or []):
                yield {"apiVersion": kind.api_version, "kind": kind.kind, **item}
            after = next_page(page)
            if not after:
                return

    def table(
        self,
        kind: KindInfo,
        *,
        namespace: str | None = None,
        name: str | None = None,
        selector: str | None = None,
    ) -> JSON:
        """The columns and rows that the server prints for people; rows of a list are the first PAGE and the
        rest.
        """
        params = {} if name else {"limit": str(PAGE)}
        if selector:
            params["labelSelector"] = selector
        path = kind.path(namespace=namespace, name=name)
        table = self._api.json("GET", path, accept=TABLE, params=params)
        page = table
        while after := next_page(page):
            page = self._api.json("GET", path, accept=TABLE, params={**params, "continue": after})
            table["rows"] = [*table["rows"], *page["rows"]]
        return table

    def apply(self, manifest: Manifest, *, namespace: str | None = None) -> Applied:
        """Create the object, or change what the manifest says and the previous one said; safe to repeat.

        `namespace` stands in where the manifest names none. Raises ApiError with every field error.
        """
        kind = self.kind_of(manifest)
        manifest = namespaced(kind, manifest, namespace=namespace)
        metadata: Mapping[str, Any] = manifest["metadata"]
        where = metadata.get("namespace")
        if not metadata.get("name"):
            return self._create(kind, manifest, namespace=where)
        wanted = with_last_applied(manifest)
        live = self.find(kind, str(metadata["name"]), namespace=where)
        if live is None:
            return self._create(kind, wanted, namespace=where)
        patch = three_way_patch(previous=last_applied(live), wanted=wanted, live=live)
        if not patch:
            return Applied("unchanged", kind, live)
        changed = self._api.json(
            "PATCH",
            kind.path(namespace=where, name=str(metadata["name"])),
            body=patch,
            content_type=MERGE_PATCH,
            params={"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"},
        )
        same = changed["metadata"]["resourceVersion"] == live["metadata"]["resourceVersion"]
        return Applied("unchanged" if same else "configured", kind, changed)

    def delete(self, kind: KindInfo, name: str, *, namespace: str | None = None) -> JSON:
        """Delete one object: the Status, or the object where finalizers or holds keep it a while."""
        return self._api.json("DELETE", kind.path(namespace=namespace, name=name))

    def kind_of(self, manifest: Manifest) -> KindInfo:
        """The kind of a manifest, by its apiVersion and kind."""
        for kind in self.list_kinds():
            if kind.api_version == manifest["apiVersion"] and kind.kind == manifest["kind"]:
                return kind
        known = ", ".join(sorted({f"{kind.api_version} {kind.kind}" for kind in self.list_kinds()}))
        raise UnableToFindKind(
            f"The server has no {manifest['apiVersion']} {manifest['kind']}.",
            next_step=f"It serves: {known}.",
        )

    def _create(self, kind: KindInfo, manifest: Manifest, *, namespace: str | None) -> Applied:
        created = self._api.json(
            "POST",
            kind.path(namespace=namespace),
            body=manifest,
            params={"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"},
        )
        return Applied("created", kind, created)


def namespaced(kind: KindInfo, manifest: Manifest, *, namespace: str | None) -> Manifest:
    """The manifest with its namespace, `namespace` where it names none. Raises UnableToReadManifest without either."""
    metadata: Mapping[str, Any] = manifest["metadata"]
    if not kind.namespaced or metadata.get("namespace"):
        return manifest
    if not namespace:
        raise UnableToReadManifest(
            f"{kind.kind} {metadata.get('name')!r} needs a namespace.",
            next_step="Say metadata.namespace: organization-<name>, or give -n.",
        )
    return {**manifest, "metadata": {**metadata, "namespace": namespace}}


def _discovered(document: JSON) -> Iterator[KindInfo]:
    for group in cast("list[JSON]", document.get("items") or []):
        versions = cast("list[JSON]", group.get("versions") or [])
        for resource in cast("list[JSON]", versions[0].get("resources") or []) if versions else []:
            yield KindInfo(
                group=str(group["metadata"].get("name", "")),
                version=str(versions[0]["version"]),
                kind=str(resource["responseKind"]["kind"]),
                plural=str(resource["resource"]),
                singular=str(resource.get("singularResource", "")),
                short_names=tuple(str(name) for name in resource.get("shortNames") or ()),
                namespaced=resource.get("scope") == "Namespaced",
            )
