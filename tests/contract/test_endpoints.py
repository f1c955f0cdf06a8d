"""The OpenAPI document of what the slices serve beside the kinds: complete, served, and true about its links."""

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp

from milo_billing.app import endpoints, wiring
from milo_billing.controlplane import openapi
from milo_billing.infra.runtime import Runtime
from milo_billing.usage.routes.gateway import ShortWay
from tests.contract.fuzzing import Arena
from tests.serving import client_of, serving

METHODS = ("get", "post", "put", "patch", "delete")


def routed(application: ASGIApp) -> set[tuple[str, str]]:
    """What slices serve: everything below /v1, and what has routes of its own below an object."""
    if isinstance(application, ShortWay):
        application = application.application
    assert isinstance(application, Starlette)
    return {
        (route.path, method.lower())
        for route in application.routes
        if isinstance(route, Route) and (route.path.startswith("/v1/") or "{namespace}" in route.path)
        for method in (route.methods or ())
        if method != "HEAD"
    }


def described(document: dict[str, Any]) -> set[tuple[str, str]]:
    return {
        (path, method) for path, item in document["paths"].items() for method in item if method in METHODS
    }


def test_every_route_of_a_slice_is_in_the_document_and_the_other_way_round(runtime: Runtime) -> None:
    why = "list it in milo_billing/app/endpoints.py"
    for application, document in (
        (wiring.build_api(runtime), endpoints.api_document()),
        (wiring.build_gateway(runtime), endpoints.gateway_document()),
    ):
        with serving(application):  # what was built has to be stopped
            assert routed(application) == described(document), why


def test_both_documents_are_served_and_named_by_the_root(arena: Arena) -> None:
    documents = {arena.cluster.url: endpoints.api_document(), arena.gateway: endpoints.gateway_document()}
    for url, document in documents.items():
        with client_of(url, token=arena.admin) as client:
            place = client.get("/openapi/v3").json()["paths"]["v1"]["serverRelativeURL"]
            assert client.get(place).json() == document


@pytest.mark.parametrize("which", ["kinds", "api", "gateway"])
def test_links_lead_to_operations_of_the_same_document(which: str) -> None:
    registry = wiring.build_registry()
    documents = {
        "kinds": [
            openapi.document(registry, group, version)
            for group, versions in registry.groups.items()
            for version in versions
        ],
        "api": [endpoints.api_document()],
        "gateway": [endpoints.gateway_document()],
    }
    for document in documents[which]:
        operations = [
            operation
            for item in document["paths"].values()
            for method, operation in item.items()
            if method in METHODS
        ]
        ids = [operation["operationId"] for operation in operations]
        assert len(ids) == len(set(ids))
        links = {
            link["operationId"]
            for operation in operations
            for answer in operation["responses"].values()
            for link in answer.get("links", {}).values()
        }
        assert links
        assert links <= set(ids)
