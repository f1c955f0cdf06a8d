"""What the kinds of the catalog share: names, units, amounts, and the status that mirrors a phase."""

from datetime import datetime
from typing import Annotated, Any, TypeAlias, TypeVar

from pydantic import Field, StringConstraints

from milo_billing.catalog.rules import units
from milo_billing.controlplane.kinds import (
    Condition,
    Fields,
    Object,
    rfc3339,
    set_condition,
)

GROUP = "billing.miloapis.com"

Name: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=253)]
UnitCode: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=units.CODE_LENGTH_MAX)]
Dimension: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z]([A-Za-z0-9_./-]{0,61}[A-Za-z0-9])?$")
]
Amount: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,15}(\.[0-9]{1,30})?$")]
"""A decimal number as a string, not negative: floats are never money."""


class NameRef(Fields):
    """An object by its name."""

    name: Name


class CatalogStatus(Fields):
    """What is true of an entry of the catalog."""

    published_at: str | None = None
    conditions: list[Condition] = Field(default_factory=list[Condition])
    observed_generation: int = 0


S = TypeVar("S", bound=CatalogStatus)


def published_status(object: Object[Any, S], phase: str, *, now: datetime) -> CatalogStatus:
    """The status that mirrors `spec.phase`: the condition Published, and when it first was."""
    sold = phase in ("Published", "Deprecated")
    published_at = object.status.published_at or (rfc3339(now) if sold else None)
    condition = set_condition(
        object.status.conditions,
        type="Published",
        status="True" if sold else "False",
        reason=phase,
        message=f"{object.kind.kind} is in {phase} phase.",
        observed_generation=object.generation,
        now=now,
    )
    return CatalogStatus(
        published_at=published_at, conditions=condition, observed_generation=object.generation
    )


def body_of(spec: Fields) -> dict[str, Any]:
    """The whole spec as it is stored beside the columns of a projection."""
    return spec.model_dump(mode="json", by_alias=True, exclude_none=True)
