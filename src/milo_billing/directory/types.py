"""Entries of the directory, and the names that organizations, projects and namespaces go by."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from milo_billing.kernel.errors import Conflict, NotFound

PROVIDER: Final = 0
"""The number of the provider itself, which owns what no customer organization does."""

GROUP: Final = "resourcemanager.miloapis.com"
NAMESPACE_PREFIX: Final = "organization-"
ORGANIZATION_LABEL: Final = f"{GROUP}/organization-name"
"""Every project carries it: the name of the organization that owns the project."""


SOURCE_UID: Final = f"{GROUP}/source-uid"
"""Annotation of an object that is mirrored: the uid of the one it mirrors, in the resource manager it comes from."""

MIRROR_USER: Final = "system:resource-manager"
"""Who writes mirrored objects."""


class OrganizationNotFound(NotFound):
    """No organization has this number or name."""


class OrganizationGone(Conflict):
    """The organization was deleted while something was being created in it."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A difference from the source that cannot be resolved yet, and why; it is tried again."""

    resource: str
    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Mirrored:
    """What following the source came to."""

    created: int = 0
    changed: int = 0
    deleted: int = 0
    waiting: tuple[Waiting, ...] = ()


@dataclass(frozen=True, slots=True)
class OrganizationEntry:
    """An organization, living or deleted. `number` is never used again; `name` can be."""

    number: int
    uid: UUID
    name: str
    created_at: datetime
    deleted_at: datetime | None


@dataclass(frozen=True, slots=True)
class ProjectEntry:
    """A project, living or deleted. `number` is never used again; `name` can be."""

    number: int
    uid: UUID
    name: str
    owner_org: int
    created_at: datetime
    deleted_at: datetime | None


def namespace_of(organization: str) -> str:
    """The namespace of an organization: it exists as long as the organization does."""
    return NAMESPACE_PREFIX + organization


def organization_of(namespace: str) -> str | None:
    """The name of the organization whose namespace this would be; None for any other namespace."""
    if not namespace.startswith(NAMESPACE_PREFIX) or namespace == NAMESPACE_PREFIX:
        return None
    return namespace.removeprefix(NAMESPACE_PREFIX)
