"""What the kinds of promises share: names, amounts, dates, selectors."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, StringConstraints

from milo_billing.catalog.types import LabelOperator
from milo_billing.controlplane.kinds import Fields

Day: TypeAlias = Annotated[
    str,
    StringConstraints(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$"),
    Field(json_schema_extra={"format": "date"}),
]
Amount: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,12}(\.[0-9]{1,6})?$")]
"""A decimal number as a string, not negative: floats are never money."""
Percentage: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,3}(\.[0-9]{1,6})?$")]
Currency: TypeAlias = Annotated[str, StringConstraints(pattern="^[A-Z]{3}$")]
LabelValue: TypeAlias = Annotated[str, StringConstraints(max_length=63)]


class AccountName(Fields):
    """A billing account of the same organization."""

    name: str = Field(min_length=1, max_length=253)


class LabelDemand(Fields):
    """One demand on a label of a Sku, as in Kubernetes."""

    key: str = Field(min_length=1, max_length=253)
    op: LabelOperator
    values: list[LabelValue] = Field(
        default_factory=list[str], max_length=100, description="With In and NotIn only."
    )


class SkuSelectorFields(Fields):
    """Skus that meet every demand and for which the expression is true; with neither, every Sku."""

    match_labels: list[LabelDemand] = Field(default_factory=list[LabelDemand], max_length=20)
    cel: str | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        description="CEL over labels, name, service and meter, for example labels.family == 'gpu'.",
    )


SkuSelectors: TypeAlias = Annotated[
    list[SkuSelectorFields],
    Field(max_length=20, description="Any of them selects a Sku; without any, every Sku is selected."),
]

Scope: TypeAlias = Literal["Line", "Invoice"]


def body_of(spec: Fields) -> dict[str, Any]:
    """The whole spec as it is stored beside the columns of a projection."""
    return spec.model_dump(mode="json", by_alias=True, exclude_none=True)
