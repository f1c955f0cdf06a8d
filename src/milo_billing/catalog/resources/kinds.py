"""The kinds of what is sold, in the order in which documents name them."""

from milo_billing.catalog.resources.books import PriceBook
from milo_billing.catalog.resources.meters import MeterDefinition
from milo_billing.catalog.resources.resource_types import MonitoredResourceType
from milo_billing.catalog.resources.services import Service
from milo_billing.catalog.resources.skus import Sku
from milo_billing.controlplane.kinds import AnyKind

KINDS: tuple[type[AnyKind], ...] = (Service, MonitoredResourceType, MeterDefinition, Sku, PriceBook)
