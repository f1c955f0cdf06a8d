"""The kinds of what may be used, in the order in which documents name them."""

from milo_billing.controlplane.kinds import AnyKind
from milo_billing.entitlements.resources.entitlements import Entitlement
from milo_billing.entitlements.resources.offers import Offer
from milo_billing.entitlements.resources.reviews import EntitlementReview

KINDS: tuple[type[AnyKind], ...] = (Offer, Entitlement)

REVIEWS: tuple[type[AnyKind], ...] = (EntitlementReview,)
"""Questions: created, answered, never stored."""
