"""What this server serves, as clients ask for it: versions, groups, resources, plain and aggregated."""

import hashlib
import platform
from collections.abc import Iterable
from dataclasses import dataclass

from milo_billing.controlplane.kinds import AnyKind, Json, Registry

VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
SYSTEM_VERBS = ("get", "list", "watch")
STATUS_VERBS = ("get", "patch", "update")

KUBERNETES_VERSION = ("1", "33")
"""The Kubernetes release whose wire protocol this server speaks; not the version of this product."""


ACTION_VERBS = ("create",)
REVIEW_VERBS = ("create",)


@dataclass(frozen=True, slots=True)
class Review:
    """A resource that can only be created and is never stored: a question, and the answer to it."""

    group: str
    kind: str
    plural: str
    version: str = "v1"

    @property
    def singular(self) -> str:
        return self.plural.removesuffix("s")


REVIEWS = (
    Review("authorization.k8s.io", "SelfSubjectAccessReview", "selfsubjectaccessreviews"),
    Review("authorization.k8s.io", "SelfSubjectRulesReview", "selfsubjectrulesreviews"),
    Review("authentication.k8s.io", "SelfSubjectReview", "selfsubjectreviews"),
)


def _groups(registry: Registry) -> dict[str, tuple[str, ...]]:
    """Every group and its versions: those of the kinds, then those of the reviews."""
    of_reviews = {review.group: (review.version,) for review in _all_reviews(registry)}
    return {
        **registry.groups,
        **{group: v for group, v in of_reviews.items() if group not in registry.groups},
    }


def _all_reviews(registry: Registry) -> tuple[Review, ...]:
    """Kubernetes' own, and those of the slices."""
    own = (Review(kind.group, kind.kind, kind.plural, kind.version) for kind in registry.reviews)
    return (*REVIEWS, *own)


def _reviews(registry: Registry, group: str, version: str) -> Iterable[Review]:
    return (review for review in _all_reviews(registry) if (review.group, review.version) == (group, version))


def versions(registry: Registry, group: str) -> tuple[str, ...]:
    """The versions of a group, none where there is no such group."""
    return _groups(registry).get(group, ())


def verbs(kind: AnyKind) -> tuple[str, ...]:
    return SYSTEM_VERBS if kind.system else VERBS


def version(product: str) -> Json:
    major, minor = KUBERNETES_VERSION
    return {
        "major": major,
        "minor": minor,
        "gitVersion": f"v{major}.{minor}.0+milo-billing.{product}",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": platform.python_implementation().lower(),
        "platform": f"{platform.system().lower()}/{platform.machine()}",
    }


def api_versions() -> Json:
    """GET /api: there is no core group here, but clients ask."""
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def core_resources() -> Json:
    return {"kind": "APIResourceList", "groupVersion": "v1", "resources": []}


def api_group(registry: Registry, group: str, *, standalone: bool = True) -> Json:
    listed = [{"groupVersion": f"{group}/{v}", "version": v} for v in versions(registry, group)]
    head = {"kind": "APIGroup", "apiVersion": "v1"} if standalone else {}
    return {**head, "name": group, "versions": listed, "preferredVersion": listed[0]}


def api_group_list(registry: Registry) -> Json:
    return {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [api_group(registry, group, standalone=False) for group in _groups(registry)],
    }


def api_resource_list(registry: Registry, group: str, version: str) -> Json:
    resources: list[Json] = []
    for kind in registry.of_group(group, version):
        listed: Json = {
            "name": kind.plural,
            "singularName": kind.singular,
            "namespaced": kind.namespaced,
            "kind": kind.kind,
            "verbs": list(verbs(kind)),
        }
        if kind.short_names:
            listed["shortNames"] = list(kind.short_names)
        listed["categories"] = ["milo"]
        listed["storageVersionHash"] = _storage_hash(kind)
        resources.append(listed)
        if not kind.system:
            resources.append(
                {
                    "name": f"{kind.plural}/status",
                    "singularName": "",
                    "namespaced": kind.namespaced,
                    "kind": kind.kind,
                    "verbs": list(STATUS_VERBS),
                }
            )
        resources += (
            {
                "name": f"{kind.plural}/{action}",
                "singularName": "",
                "namespaced": kind.namespaced,
                "kind": kind.kind,
                "verbs": list(ACTION_VERBS),
            }
            for action in kind.actions
        )
    resources += (
        {
            "name": review.plural,
            "singularName": review.singular,
            "namespaced": False,
            "kind": review.kind,
            "verbs": list(REVIEW_VERBS),
        }
        for review in _reviews(registry, group, version)
    )
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/{version}",
        "resources": resources,
    }


def _storage_hash(kind: AnyKind) -> str:
    return hashlib.sha256(f"{kind.group}/{kind.version}/{kind.kind}".encode()).hexdigest()[:12]


def aggregated(registry: Registry | None, discovery_version: str) -> Json:
    """The APIGroupDiscoveryList of every group; of none for /api (`registry` None)."""
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{discovery_version}",
        "metadata": {},
        "items": [] if registry is None else _aggregated_groups(registry),
    }


def _aggregated_groups(registry: Registry) -> list[Json]:
    return [
        {
            "metadata": {"name": group, "creationTimestamp": None},
            "versions": [
                {
                    "version": version,
                    "freshness": "Current",
                    "resources": [
                        *(_aggregated_resource(kind) for kind in registry.of_group(group, version)),
                        *(_aggregated_review(review) for review in _reviews(registry, group, version)),
                    ],
                }
                for version in versions
            ],
        }
        for group, versions in _groups(registry).items()
    ]


def _aggregated_review(review: Review) -> Json:
    return {
        "resource": review.plural,
        "responseKind": {"group": review.group, "version": review.version, "kind": review.kind},
        "scope": "Cluster",
        "singularResource": review.singular,
        "verbs": list(REVIEW_VERBS),
    }


def _aggregated_resource(kind: AnyKind) -> Json:
    response = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    listed: Json = {
        "resource": kind.plural,
        "responseKind": response,
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": list(verbs(kind)),
        "categories": ["milo"],
    }
    if kind.short_names:
        listed["shortNames"] = list(kind.short_names)
    below: list[Json] = []
    if not kind.system:
        below.append({"subresource": "status", "responseKind": response, "verbs": list(STATUS_VERBS)})
    below += (
        {"subresource": action, "responseKind": response, "verbs": list(ACTION_VERBS)}
        for action in kind.actions
    )
    if below:
        listed["subresources"] = below
    return listed
