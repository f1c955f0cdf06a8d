"""The kinds of who pays, in the order in which documents name them."""

from milo_billing.accounts.resources.accounts import BillingAccount
from milo_billing.accounts.resources.bindings import BillingAccountBinding
from milo_billing.accounts.resources.payment_methods import PaymentMethod, PaymentMethodClass
from milo_billing.controlplane.kinds import AnyKind

KINDS: tuple[type[AnyKind], ...] = (BillingAccount, BillingAccountBinding, PaymentMethodClass, PaymentMethod)
