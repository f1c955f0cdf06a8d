"""What the directory needs of a resource manager elsewhere, where organizations and projects live when not here."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias

Resource: TypeAlias = Literal["organizations", "projects"]
RESOURCES: Final[tuple[Resource, ...]] = ("organizations", "projects")
"""In the order in which they can be created; the other way around they can be deleted."""


class PositionLost(Exception):
    """The source has forgotten the changes after this position: list again."""


@dataclass(frozen=True, slots=True)
class SourceOrganization:
    """An organization as the source has it. `uid` tells it from a later one of the same name."""

    uid: str
    name: str
    display_name: str | None
    type: Literal["Standard", "Personal"]


@dataclass(frozen=True, slots=True)
class SourceProject:
    """A project as the source has it, and the name of the organization that owns it."""

    uid: str
    name: str
    display_name: str | None
    organization: str


SourceEntry: TypeAlias = SourceOrganization | SourceProject


@dataclass(frozen=True, slots=True)
class Listing:
    """Everything there is of one resource, and the position from which to watch what happens after."""

    entries: tuple[SourceEntry, ...]
    position: str


@dataclass(frozen=True, slots=True)
class SourceChange:
    """One change. `entry` None says only that everything up to `position` has been told."""

    entry: SourceEntry | None
    gone: bool
    position: str


class ResourceSource(Protocol):
    """A resource manager that can be read: one-way, nothing is ever written to it.

    Both raise kernel.errors.Unavailable while it does not answer.
    """

    def list_all(self, resource: Resource) -> Listing:
        """Everything there is now. A change during the listing may be told again by `watch`."""
        ...

    def watch(self, resource: Resource, *, since: str, seconds: int) -> Iterator[SourceChange]:
        """Changes after the position in their order, for so many seconds at most. Raises PositionLost."""
        ...
