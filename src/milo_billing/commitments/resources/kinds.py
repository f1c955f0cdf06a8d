"""The kinds of what was promised, in the order in which documents name them."""

from milo_billing.commitments.resources.commitments import CommitmentKind
from milo_billing.commitments.resources.discounts import DiscountKind
from milo_billing.controlplane.kinds import AnyKind

KINDS: tuple[type[AnyKind], ...] = (CommitmentKind, DiscountKind)
