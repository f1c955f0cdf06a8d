"""EntitlementReview: may a project use a service now, and why. Answered, never stored."""

from pydantic import Field

from milo_billing.controlplane.kinds import Fields, Kind
from milo_billing.entitlements.resources.offers import Name, ServiceName
from milo_billing.entitlements.types import GROUP, ReviewReason, Verdict


class ProjectName(Fields):
    """A project."""

    name: Name


class EntitlementReviewSpec(Fields):
    """What is asked."""

    project_ref: ProjectName
    service_ref: ServiceName


class EntitlementReviewStatus(Fields):
    """The answer."""

    allowed: bool = Field(default=False, description="Whether the project may use the service now.")
    reason: ReviewReason = "NotEntitled"
    message: str = Field(default="", description="The same for people.")
    billing_account: str | None = Field(default=None, description="Who pays, as namespace/name.")
    entitlement: str | None = Field(default=None, description="The entitlement that decided.")
    offer: str | None = None
    tier: str | None = None
    starts_at: str | None = Field(default=None, json_schema_extra={"format": "date"})
    ends_at: str | None = Field(default=None, json_schema_extra={"format": "date"})
    quantity: int | None = None
    features: dict[str, str] = Field(default_factory=dict[str, str])
    limits: dict[str, str] = Field(default_factory=dict[str, str])


class EntitlementReview(Kind[EntitlementReviewSpec, EntitlementReviewStatus]):
    """May a project use a service now, and why."""

    group = GROUP
    kind = "EntitlementReview"
    plural = "entitlementreviews"
    singular = "entitlementreview"
    namespaced = False
    description = "May a project use a service now, and why. Created, answered, never stored."
    spec_model = EntitlementReviewSpec
    status_model = EntitlementReviewStatus


def review_status(verdict: Verdict, *, account: str | None) -> EntitlementReviewStatus:
    """The verdict on the wire; `account` is namespace/name of who pays."""
    held = verdict.entitlement
    said = EntitlementReviewStatus(
        allowed=verdict.allowed, reason=verdict.reason, message=verdict.message, billing_account=account
    )
    if held is None:
        return said
    return said.model_copy(
        update={
            "entitlement": held.name,
            "offer": held.offer,
            "tier": held.tier or None,
            "starts_at": held.term.starts_on.isoformat(),
            "ends_at": None if held.term.ends_on is None else held.term.ends_on.isoformat(),
            "quantity": held.quantity,
            "features": dict(held.features),
            "limits": {name: str(most) for name, most in held.limits.items()},
        }
    )
