"""Kubernetes client libraries for Python, unmodified, against the real server: what programs do with kinds.

Each library goes through the same life of a billing account: create, list, watch, wait, patch, status, delete.
"""

import gc
import json
import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, cast

import kr8s
import kr8s.objects
import lightkube
import lightkube.generic_resource
import lightkube.types
import pytest
from demo.server import Running
from kubernetes import client as official
from kubernetes import config as official_config
from kubernetes import dynamic as official_dynamic
from kubernetes.dynamic.exceptions import NotFoundError

from milo_billing.client.http import ApiClient
from milo_billing.client.objects import Objects

# the libraries leave sockets to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

TIMEOUT_S = 20
GROUP, VERSION, PLURAL, KIND = "billing.miloapis.com", "v1alpha1", "billingaccounts", "BillingAccount"

Wire = dict[str, Any]
Event = tuple[str, str]
"""The type of a watch event, and the name of its object."""


class Library(Protocol):
    """What each library is asked for, in its own words."""

    def create(self, manifest: Wire) -> Wire: ...
    def list(self, labels: str) -> list[str]: ...
    def watch(self, labels: str) -> Iterable[Event]: ...
    def wait_until_ready(self, name: str) -> None: ...
    def patch(self, name: str, patch: Wire) -> Wire: ...
    def status(self, name: str) -> Wire: ...
    def delete(self, name: str) -> None: ...
    def exists(self, name: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Official:
    """`kubernetes`, with its dynamic client."""

    resource: Any
    namespace: str

    @classmethod
    def connect(cls, server: Running, namespace: str) -> "Official":
        api = cast("Any", official_config).new_client_from_config(str(server.kubeconfig))
        resources = cast("Any", official_dynamic).DynamicClient(api).resources
        return cls(resources.get(api_version=f"{GROUP}/{VERSION}", kind=KIND), namespace)

    def create(self, manifest: Wire) -> Wire:
        return self.resource.create(body=manifest, namespace=self.namespace).to_dict()

    def list(self, labels: str) -> list[str]:
        found = self.resource.get(namespace=self.namespace, label_selector=labels, limit=1)
        names = [item.metadata.name for item in found.items]
        while after := found.metadata.get("continue"):
            found = self.resource.get(
                namespace=self.namespace, label_selector=labels, limit=1, _continue=after
            )
            names += [item.metadata.name for item in found.items]
        return names

    def watch(self, labels: str) -> Iterable[Event]:
        for event in self.resource.watch(namespace=self.namespace, label_selector=labels, timeout=TIMEOUT_S):
            yield event["type"], event["object"].metadata.name

    def wait_until_ready(self, name: str) -> None:
        selector = f"metadata.name={name}"
        for event in self.resource.watch(
            namespace=self.namespace, field_selector=selector, timeout=TIMEOUT_S
        ):
            conditions: Any = event["raw_object"].get("status", {}).get("conditions", ())
            if any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
                return
        pytest.fail("it never was ready")

    def patch(self, name: str, patch: Wire) -> Wire:
        media = "application/merge-patch+json"
        return self.resource.patch(
            body=patch, name=name, namespace=self.namespace, content_type=media
        ).to_dict()

    def status(self, name: str) -> Wire:
        return self.resource.status.get(name=name, namespace=self.namespace).to_dict()["status"]

    def delete(self, name: str) -> None:
        self.resource.delete(name=name, namespace=self.namespace)

    def exists(self, name: str) -> bool:
        try:
            self.resource.get(name=name, namespace=self.namespace)
        except NotFoundError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Kr8s:
    """`kr8s`, its synchronous side."""

    api: Any
    resource: Any
    namespace: str

    @classmethod
    def connect(cls, server: Running, namespace: str) -> "Kr8s":
        api = kr8s.api(kubeconfig=str(server.kubeconfig), namespace=namespace)
        resource = kr8s.objects.new_class(
            kind=KIND, version=f"{GROUP}/{VERSION}", namespaced=True, plural=PLURAL
        )
        return cls(api, resource, namespace)

    def _named(self, name: str) -> Any:
        return self.resource.get(name, namespace=self.namespace, api=self.api)

    def create(self, manifest: Wire) -> Wire:
        made = self.resource(manifest, namespace=self.namespace, api=self.api)
        made.create()
        return made.raw.to_dict()

    def list(self, labels: str) -> list[str]:
        found = self.api.get(f"{PLURAL}.{GROUP}", namespace=self.namespace, label_selector=labels)
        return [item.name for item in found]

    def watch(self, labels: str) -> Iterable[Event]:
        events = self.api.watch(f"{PLURAL}.{GROUP}", namespace=self.namespace, label_selector=labels)
        for type_, item in events:
            yield type_, item.name

    def wait_until_ready(self, name: str) -> None:
        self._named(name).wait("condition=Ready", timeout=TIMEOUT_S)

    def patch(self, name: str, patch: Wire) -> Wire:
        found = self._named(name)
        found.patch(patch)
        return found.raw.to_dict()

    def status(self, name: str) -> Wire:
        return self._named(name).status.to_dict()

    def delete(self, name: str) -> None:
        found = self._named(name)
        found.delete()
        found.wait("delete", timeout=TIMEOUT_S)

    def exists(self, name: str) -> bool:
        return self.resource({"metadata": {"name": name}}, namespace=self.namespace, api=self.api).exists()


@dataclass(frozen=True, slots=True)
class Lightkube:
    """`lightkube`, with a generic resource."""

    client: Any
    resource: Any

    @classmethod
    def connect(cls, server: Running, namespace: str) -> "Lightkube":
        settings = lightkube.KubeConfig.from_file(str(server.kubeconfig))
        resource = lightkube.generic_resource.create_namespaced_resource(GROUP, VERSION, KIND, PLURAL)
        return cls(lightkube.Client(config=settings, namespace=namespace), resource)

    def create(self, manifest: Wire) -> Wire:
        return self.client.create(self.resource(manifest)).to_dict()

    def list(self, labels: str) -> list[str]:
        key, _, value = labels.partition("=")
        return [
            item.metadata.name for item in self.client.list(self.resource, labels={key: value}, chunk_size=1)
        ]

    def watch(self, labels: str) -> Iterable[Event]:
        key, _, value = labels.partition("=")
        for type_, item in self.client.watch(self.resource, labels={key: value}, server_timeout=TIMEOUT_S):
            yield type_, item.metadata.name

    def wait_until_ready(self, name: str) -> None:
        self.client.wait(self.resource, name, for_conditions=["Ready"])

    def patch(self, name: str, patch: Wire) -> Wire:
        merge = lightkube.types.PatchType.MERGE
        return self.client.patch(self.resource, name, patch, patch_type=merge).to_dict()

    def status(self, name: str) -> Wire:
        return self.client.get(self.resource.Status, name).to_dict()["status"]

    def delete(self, name: str) -> None:
        self.client.delete(self.resource, name)

    def exists(self, name: str) -> bool:
        try:
            self.client.get(self.resource, name)
        except lightkube.ApiError as error:
            assert error.status.code == 404
            return False
        return True


LIBRARIES: dict[str, Callable[[Running, str], Library]] = {
    "kubernetes": Official.connect,
    "kr8s": Kr8s.connect,
    "lightkube": Lightkube.connect,
}


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest, running: Running) -> Iterator[Library]:
    """One library, in an organization of its own."""
    organization = f"client-{request.param}"
    manifest = {
        "apiVersion": "resourcemanager.miloapis.com/v1alpha1",
        "kind": "Organization",
        "metadata": {"name": organization},
        "spec": {"displayName": organization},
    }
    with ApiClient(running.connection()) as api:
        Objects(api).apply(manifest)
    yield LIBRARIES[request.param](running, f"organization-{organization}")
    gc.collect()  # here, where what it warns of is expected


def account(name: str, **spec: Any) -> Wire:
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "metadata": {"name": name, "labels": {"of": "this-test"}},
        "spec": {"currencyCode": "USD", **spec},
    }


PAYING = {"paymentProfile": {"type": "BankTransfer"}}


@contextmanager
def events_of(library: Library, labels: str) -> Generator[Callable[[], Event]]:
    """Follows a watch in a thread; each call waits for the next event."""
    arrived: queue.Queue[Event] = queue.Queue()

    def follow() -> None:
        for event in library.watch(labels):
            arrived.put(event)
            if event == ("DELETED", "second"):
                return

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    yield lambda: arrived.get(timeout=TIMEOUT_S)
    thread.join(timeout=TIMEOUT_S)
    assert not thread.is_alive()


def test_the_life_of_an_object_as_a_library_sees_it(library: Library) -> None:
    created = library.create(account("first", **PAYING))
    assert created["status"]["phase"] == "Ready"
    with events_of(library, "of=this-test") as next_event:
        assert next_event() == ("ADDED", "first")
        library.create(account("second"))
        assert next_event() == ("ADDED", "second")
        assert sorted(library.list("of=this-test")) == ["first", "second"]

        assert library.status("second")["phase"] != "Ready"
        patched = library.patch("second", {"spec": PAYING})
        assert patched["spec"]["paymentProfile"]["type"] == "BankTransfer"
        assert next_event() == ("MODIFIED", "second")
        library.wait_until_ready("second")
        assert library.status("second")["phase"] == "Ready"

        library.delete("second")
        assert next_event() == ("DELETED", "second")
    assert not library.exists("second")
    assert library.exists("first")
    library.delete("first")


def test_a_write_of_status_by_a_client_cannot_forge_what_the_server_knows(running: Running) -> None:
    api = cast("Any", official_config).new_client_from_config(str(running.kubeconfig))
    objects = official.CustomObjectsApi(api)
    with ApiClient(running.connection()) as http:
        Objects(http).apply(
            {
                "apiVersion": "resourcemanager.miloapis.com/v1alpha1",
                "kind": "Organization",
                "metadata": {"name": "client-status"},
                "spec": {},
            }
        )
    scope = (GROUP, VERSION, "organization-client-status", PLURAL)
    objects.create_namespaced_custom_object(*scope, account("main", **PAYING))
    patch = {"status": {"linkedProjectsCount": 99}}
    answer: Any = objects.patch_namespaced_custom_object_status(*scope, "main", patch)
    api.rest_client.pool_manager.clear()
    assert answer["status"]["linkedProjectsCount"] == 0, json.dumps(answer)
