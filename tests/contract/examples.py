"""What the conformance suite needs to know of each kind: what must stand before, one valid object, one change."""

from dataclasses import dataclass
from typing import Any

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Example:
    """`needs` are created first, in order. `change` is a merge patch that the kind allows; None where its spec is
    immutable (then the suite changes a label). `broken` is a merge patch over `manifest` that makes it invalid at
    `broken_field`."""

    manifest: Manifest
    needs: tuple[Manifest, ...]
    change: Manifest | None
    broken: Manifest
    broken_field: str
    permanent: bool = False
    """Whether nobody can delete it."""
    invoiced: bool = False
    """Whether it needs an invoice, which nobody can declare: `invoiced.stand_invoice` issues inv-000001."""


def manifest(api_version: str, kind: str, name: str, spec: Manifest, *, namespace: str = "") -> Manifest:
    metadata: Manifest = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}


DIRECTORY = "resourcemanager.miloapis.com/v1alpha1"
IAM = "iam.miloapis.com/v1alpha1"
BILLING = "billing.miloapis.com/v1alpha1"
SERVICES = "services.miloapis.com/v1alpha1"

ACME = "organization-acme"

ORGANIZATION = manifest(DIRECTORY, "Organization", "acme", {"displayName": "Acme"})
PROJECT = manifest(DIRECTORY, "Project", "web", {"ownerRef": {"kind": "Organization", "name": "acme"}})
ACCOUNT = manifest(
    BILLING,
    "BillingAccount",
    "main",
    {"currencyCode": "USD", "paymentProfile": {"type": "BankTransfer"}},
    namespace=ACME,
)
METHOD_CLASS = manifest(BILLING, "PaymentMethodClass", "manual", {"provider": "manual", "isDefault": True})
ROLE = manifest(IAM, "Role", "auditor", {"includedPermissions": ["billing.miloapis.com/invoices.get"]})

METER = manifest(
    BILLING,
    "MeterDefinition",
    "requests",
    {
        "meterName": "api.example.com/requests",
        "phase": "Published",
        "measurement": {"aggregation": "Sum", "unit": "{request}", "dimensions": ["region"]},
    },
)
SKU = manifest(
    BILLING,
    "Sku",
    "requests-million",
    {
        "displayName": "API requests",
        "meter": {"meterName": "api.example.com/requests"},
        "pricingUnit": "10*6.{request}",
    },
)

BOOK = manifest(
    BILLING,
    "PriceBook",
    "list-usd-invoiced",
    {
        "bookName": "list-usd-invoiced",
        "effectiveFrom": "2026-01-01",
        "currencyCode": "USD",
        "phase": "Published",
        "prices": [{"skuRef": {"name": "requests-million"}, "model": "PerUnit", "unitPrice": "0.40"}],
    },
)
ISSUER = manifest(
    BILLING,
    "IssuerProfile",
    "invoicer",
    {
        "legalName": "Milo Cloud GmbH",
        "address": {"country": "DE"},
        "numberSeries": {"perYear": False},
        "isDefault": True,
    },
)

SETUP = manifest(
    BILLING, "Sku", "setup", {"displayName": "Set-up", "chargeType": "OneTime", "pricingUnit": "h"}
)

BINDING_OF_OLD = manifest(
    BILLING,
    "BillingAccountBinding",
    "web-main",
    {
        "billingAccountRef": {"name": "main"},
        "projectRef": {"name": "web"},
        "effectiveFrom": "2026-01-01T00:00:00Z",
    },
    namespace=ACME,
)

SEATS = manifest(BILLING, "Sku", "seats", {"chargeType": "Recurring", "pricingUnit": "{seat}"})

SERVICE = manifest(SERVICES, "Service", "compute", {"displayName": "Compute", "phase": "Published"})
OFFER = manifest(
    BILLING,
    "Offer",
    "pro",
    {
        "tier": "Pro",
        "phase": "Published",
        "services": [{"name": "compute"}],
        "features": {"support": "phone"},
        "recurring": [{"skuRef": {"name": "seats"}, "quantity": "1", "per": "Seat"}],
        "trialDays": 14,
    },
)

EXAMPLES: dict[str, Example] = {
    "notificationchannels": Example(
        manifest=manifest(
            BILLING,
            "NotificationChannel",
            "bookkeeping",
            {
                "type": "Webhook",
                "webhook": {"url": "https://hooks.example.com/billing", "headers": {"X-Team": "books"}},
                "events": ["invoice.*", "payment.failed"],
            },
            namespace=ACME,
        ),
        needs=(ORGANIZATION,),
        change={"spec": {"events": ["invoice.issued"], "paused": True}},
        broken={"spec": {"webhook": {"url": "https://169.254.169.254/latest/meta-data"}}},
        broken_field="spec.webhook.url",
    ),
    "usagecorrections": Example(
        manifest=manifest(
            BILLING,
            "UsageCorrection",
            "lost-spool",
            {
                "billingAccountRef": {"name": "main"},
                "projectRef": {"name": "web"},
                "meterName": "api.example.com/requests",
                "day": "2026-02-01",
                "quantity": "1200",
                "dimensions": {"region": "eu"},
                "reason": "Found on a gateway that was switched off",
            },
            namespace=ACME,
        ),
        needs=(ORGANIZATION, PROJECT, ACCOUNT, BINDING_OF_OLD, METER),
        change=None,
        broken={"spec": {"quantity": "12.5"}},
        broken_field="spec.quantity",
        permanent=True,
    ),
    "commitments": Example(
        manifest=manifest(
            BILLING,
            "Commitment",
            "yearly",
            {
                "billingAccountRef": {"name": "main"},
                "startsOn": "2030-01-01",
                "termMonths": 12,
                "minimumSpends": [{"amount": "1000", "currencyCode": "USD", "interval": "Monthly"}],
                "skuDiscounts": [
                    {
                        "percentage": "10",
                        "skuSelectors": [{"matchLabels": [{"key": "family", "op": "In", "values": ["gpu"]}]}],
                    }
                ],
            },
            namespace=ACME,
        ),
        needs=(ORGANIZATION, ACCOUNT),
        change={"spec": {"termMonths": 24}},
        broken={"spec": {"minimumSpends": [{"amount": "1000", "currencyCode": "EUR", "interval": "Term"}]}},
        broken_field="spec.minimumSpends[0].currencyCode",
    ),
    "discounts": Example(
        manifest=manifest(
            BILLING,
            "Discount",
            "launch",
            {
                "billingAccountRef": {"name": "main"},
                "scope": "Line",
                "percentage": "5",
                "skuSelectors": [{"cel": "meter.startsWith('api.example.com/')"}],
                "startsOn": "2030-01-01",
            },
            namespace=ACME,
        ),
        needs=(ORGANIZATION, ACCOUNT),
        change={"spec": {"endsOn": "2031-01-01"}},
        broken={"spec": {"percentage": "101"}},
        broken_field="spec.percentage",
    ),
    "organizations": Example(
        manifest=ORGANIZATION,
        needs=(),
        change={"spec": {"displayName": "Acme Inc."}},
        broken={"spec": {"displayName": 7}},
        broken_field="spec.displayName",
    ),
    "projects": Example(
        manifest=PROJECT,
        needs=(ORGANIZATION,),
        change={"spec": {"displayName": "Web shop"}},
        broken={"spec": {"ownerRef": None}},
        broken_field="spec.ownerRef",
    ),
    "serviceaccounts": Example(
        manifest=manifest(IAM, "ServiceAccount", "meter", {}, namespace=ACME),
        needs=(ORGANIZATION,),
        change={"spec": {"displayName": "Metering"}},
        broken={"spec": {"displayName": 7}},
        broken_field="spec.displayName",
    ),
    "roles": Example(
        manifest=ROLE,
        needs=(),
        change={"spec": {"includedPermissions": ["billing.miloapis.com/invoices.list"]}},
        broken={"spec": {"includedPermissions": "everything"}},
        broken_field="spec.includedPermissions",
    ),
    "policybindings": Example(
        manifest=manifest(
            IAM,
            "PolicyBinding",
            "auditors",
            {
                "roleRef": {"name": "auditor"},
                "subjects": [{"kind": "User", "name": "ann@example.com"}],
                "resourceSelector": {"resourceRef": {"kind": "Organization", "name": "acme"}},
            },
        ),
        needs=(ORGANIZATION, ROLE),
        change={"spec": {"subjects": [{"kind": "User", "name": "bob@example.com"}]}},
        broken={"spec": {"subjects": []}},
        broken_field="spec.subjects",
    ),
    "billingaccounts": Example(
        manifest=ACCOUNT,
        needs=(ORGANIZATION,),
        change={"spec": {"displayName": "Main account"}},
        broken={"spec": {"currencyCode": "usd"}},
        broken_field="spec.currencyCode",
    ),
    "billingaccountbindings": Example(
        manifest=manifest(
            BILLING,
            "BillingAccountBinding",
            "web-main",
            {"billingAccountRef": {"name": "main"}, "projectRef": {"name": "web"}},
            namespace=ACME,
        ),
        needs=(ORGANIZATION, PROJECT, ACCOUNT),
        change=None,
        broken={"spec": {"projectRef": None}},
        broken_field="spec.projectRef",
    ),
    "paymentmethodclasses": Example(
        manifest=METHOD_CLASS,
        needs=(),
        change={"spec": {"parameters": {"region": "eu"}}},
        broken={"spec": {"provider": "nobody"}},
        broken_field="spec.provider",
    ),
    "paymentmethods": Example(
        manifest=manifest(
            BILLING, "PaymentMethod", "visa", {"billingAccountRef": {"name": "main"}}, namespace=ACME
        ),
        needs=(ORGANIZATION, ACCOUNT, METHOD_CLASS),
        change={"spec": {"displayName": "Card of Ann"}},
        broken={"spec": {"billingAccountRef": None}},
        broken_field="spec.billingAccountRef",
    ),
    "services": Example(
        manifest=manifest(SERVICES, "Service", "compute", {"displayName": "Compute"}),
        needs=(),
        change={"spec": {"displayName": "Milo Compute"}},
        broken={"spec": {"displayName": 7}},
        broken_field="spec.displayName",
    ),
    "monitoredresourcetypes": Example(
        manifest=manifest(
            BILLING,
            "MonitoredResourceType",
            "instance",
            {
                "resourceTypeName": "compute.example.com/Instance",
                "gvk": {"group": "compute.example.com", "kind": "Instance"},
                "labels": [{"name": "zone", "description": "Where it runs"}],
            },
        ),
        needs=(),
        change={"spec": {"labels": [{"name": "zone"}, {"name": "rack"}]}},
        broken={"spec": {"gvk": {"kind": ""}}},
        broken_field="spec.gvk.kind",
    ),
    "meterdefinitions": Example(
        manifest=METER,
        needs=(),
        change={"spec": {"displayName": "Requests served"}},
        broken={"spec": {"measurement": {"aggregation": "Median"}}},
        broken_field="spec.measurement.aggregation",
    ),
    "skus": Example(
        manifest=SKU,
        needs=(METER,),
        change={"spec": {"displayName": "Requests"}},
        broken={"spec": {"pricingUnit": None}},
        broken_field="spec.pricingUnit",
    ),
    "pricebooks": Example(
        manifest=manifest(
            BILLING,
            "PriceBook",
            "list-usd-2026",
            {
                "bookName": "list-usd",
                "effectiveFrom": "2026-01-01",
                "currencyCode": "USD",
                "prices": [{"skuRef": {"name": "requests-million"}, "model": "PerUnit", "unitPrice": "0.40"}],
            },
        ),
        needs=(METER, SKU),
        change={"spec": {"isDefault": True}},
        broken={"spec": {"currencyCode": "usd"}},
        broken_field="spec.currencyCode",
    ),
    "offers": Example(
        manifest=OFFER,
        needs=(SERVICE, SEATS),
        change=None,
        broken={"spec": {"tier": ""}},
        broken_field="spec.tier",
    ),
    "entitlements": Example(
        manifest=manifest(
            BILLING,
            "Entitlement",
            "main-pro",
            {
                "billingAccountRef": {"name": "main"},
                "offerRef": {"name": "pro"},
                "startsAt": "2026-01-01",
            },
            namespace=ACME,
        ),
        needs=(ORGANIZATION, ACCOUNT, SERVICE, SEATS, OFFER),
        change={"spec": {"quantity": 5}},
        broken={"spec": {"startsAt": "2026-02-30"}},
        broken_field="spec.startsAt",
    ),
    "charges": Example(
        manifest=manifest(
            BILLING,
            "Charge",
            "moving-in",
            {
                "billingAccountRef": {"name": "main"},
                "skuRef": {"name": "setup"},
                "quantity": "1.5",
                "date": "2099-12-31",
                "description": "Moving in",
            },
            namespace=ACME,
        ),
        needs=(ORGANIZATION, ACCOUNT, SETUP),
        change={"spec": {"quantity": "2"}},
        broken={"spec": {"quantity": "0"}},
        broken_field="spec.quantity",
    ),
    "taxrates": Example(
        manifest(
            BILLING,
            "TaxRate",
            "de-standard-2021",
            {"country": "DE", "percent": "19", "startsOn": "2021-01-01"},
        ),
        needs=(),
        change={"spec": {"endsOn": "2030-01-01"}},
        broken={"spec": {"percent": "190"}},
        broken_field="spec.percent",
    ),
    "issuerprofiles": Example(
        manifest=manifest(
            BILLING,
            "IssuerProfile",
            "milo",
            {
                "legalName": "Milo Cloud GmbH",
                "address": {"country": "DE", "line1": "Torstraße 1", "city": "Berlin", "postalCode": "10119"},
            },
        ),
        needs=(),
        change={"spec": {"legalText": "Amtsgericht Charlottenburg, HRB 1"}},
        broken={"spec": {"legalName": None}},
        broken_field="spec.legalName",
    ),
    "creditgrants": Example(
        manifest=manifest(
            BILLING,
            "CreditGrant",
            "welcome",
            {
                "billingAccountRef": {"name": "main"},
                "kind": "Promotional",
                "amount": "50.00",
                "currencyCode": "USD",
                "expiresAt": "2027-12-31T00:00:00Z",
                "reason": "Welcome",
            },
            namespace=ACME,
        ),
        needs=(ORGANIZATION, ACCOUNT),
        change=None,
        broken={"spec": {"amount": "-1"}},
        broken_field="spec.amount",
        permanent=True,
    ),
    "creditnotes": Example(
        manifest=manifest(
            BILLING,
            "CreditNote",
            "outage",
            {"invoiceRef": {"name": "inv-000001"}, "amount": "1.00", "reason": "The outage of 7 February"},
            namespace=ACME,
        ),
        needs=(ORGANIZATION, PROJECT, ACCOUNT, METER, SKU, BOOK, ISSUER),
        change=None,
        broken={"spec": {"amount": "-1"}},
        broken_field="spec.amount",
        permanent=True,
        invoiced=True,
    ),
}
"""By plural. A registered kind that is missing here fails the suite."""
