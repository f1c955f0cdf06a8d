"""Milo's published end-to-end cases of its billing service, written down as data in our own words.

They are the cases of the public repository milo-os/billing under test/e2e, as they were in 2026: what a client does,
and what it must see. Where this service decides otherwise, the step says what happens here and why; the test then
checks that it happens, and that Milo's expectation does not hold, so that this list cannot grow old.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from milo_billing.accounts.types import Rebinding
from tests.contract.examples import BILLING, DIRECTORY, Manifest, manifest

Verb = Literal["create", "merge", "status", "delete"]


@dataclass(frozen=True)
class Shows:
    """The write is accepted, and these objects show at least this then; None: it has gone."""

    objects: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """`plural/name` → a part of the object, lists of conditions by type."""


@dataclass(frozen=True)
class Refused:
    """The write is refused with a message that has these words."""

    words: str


Outcome = Shows | Refused


@dataclass(frozen=True)
class Step:
    """One thing that a client does. `here`: what happens in this service where it is not `there`, and `because` why."""

    say: str
    verb: Verb
    target: Manifest
    there: Outcome
    body: Manifest = field(default_factory=dict[str, Any])
    here: Outcome | None = None
    because: str = ""


@dataclass(frozen=True)
class Case:
    """One case in one reading of the two settings; None: in either. `stands` is created first."""

    name: str
    rebinding: Rebinding | None
    require_profile: bool | None
    steps: tuple[Step, ...]
    stands: tuple[Manifest, ...] = ()


def create(say: str, target: Manifest, there: Outcome, **kept: Any) -> Step:
    return Step(say, "create", target, there, **kept)


def merge(say: str, target: Manifest, body: Manifest, there: Outcome, **kept: Any) -> Step:
    return Step(say, "merge", target, there, {"spec": body}, **kept)


def status(say: str, target: Manifest, body: Manifest, there: Outcome, **kept: Any) -> Step:
    return Step(say, "status", target, there, {"status": body}, **kept)


def delete(say: str, target: Manifest, there: Outcome, **kept: Any) -> Step:
    return Step(say, "delete", target, there, **kept)


def condition(type: str, status: str, reason: str, **more: str) -> dict[str, Any]:
    return {"status": {"conditions": [{"type": type, "status": status, "reason": reason, **more}]}}


def account(name: str, *, namespace: str = "default", **spec: Any) -> Manifest:
    return manifest(BILLING, "BillingAccount", name, {"currencyCode": "USD", **spec}, namespace=namespace)


def phase(name: str) -> dict[str, Any]:
    return {"status": {"phase": name}}


BANK: Manifest = {"paymentProfile": {"type": "BankTransfer"}}

# -------------------------------------------------------------------------------------- billing-account-lifecycle

LIFE = account("lifecycle")
SHOWN = "billingaccounts/lifecycle"
CURRENT_LIFE = Case(
    "an account from creation to its archive, without a payment profile",
    None,
    False,
    (
        create("an account without a profile is ready", LIFE, Shows({SHOWN: phase("Ready")})),
        create("a currency that is none", account("wrong", currencyCode="usd"), Refused("currencyCode")),
        merge(
            "whom invoices go to",
            LIFE,
            {"contactInfo": {"email": "billing@example.com", "name": "Billing"}},
            Shows({SHOWN: {"spec": {"contactInfo": {"email": "billing@example.com", "name": "Billing"}}}}),
        ),
        merge("another currency", LIFE, {"currencyCode": "EUR"}, Refused("currencyCode is immutable")),
        merge(
            "no e-mail address",
            LIFE,
            {"contactInfo": {"email": "nobody"}},
            Refused("must be a valid email address"),
        ),
        merge("no country", LIFE, {"contactInfo": {"address": {"country": "nowhere"}}}, Refused("country")),
        merge(
            "invoices by the week",
            LIFE,
            {"paymentTerms": {"invoiceFrequency": "Weekly"}},
            Refused("invoiceFrequency"),
        ),
        merge(
            "invoices on the 29th",
            LIFE,
            {"paymentTerms": {"invoiceDayOfMonth": 29}},
            Refused("invoiceDayOfMonth"),
        ),
        merge("no day to pay in", LIFE, {"paymentTerms": {"netDays": 0}}, Refused("netDays")),
        merge(
            "other terms",
            LIFE,
            {"paymentTerms": {"netDays": 45, "invoiceFrequency": "Quarterly", "invoiceDayOfMonth": 15}},
            Shows({SHOWN: {"spec": {"paymentTerms": {"netDays": 45, "invoiceFrequency": "Quarterly"}}}}),
        ),
        merge("no tax id", LIFE, {"taxIds": [{"type": "invalid-type", "value": "12345"}]}, Refused("type")),
        merge(
            "two tax ids of one type",
            LIFE,
            {"taxIds": [{"type": "us_ein", "value": "12-34567"}, {"type": "us_ein", "value": "98-76543"}]},
            Refused("Duplicate"),
        ),
        merge(
            "two tax ids",
            LIFE,
            {"taxIds": [{"type": "us_ein", "value": "12-34567"}, {"type": "gb_vat", "value": "GB1234567"}]},
            Shows({SHOWN: {"spec": {"taxIds": [{"type": "us_ein", "value": "12-34567"}]}}}),
            here=Refused("spec.taxIds[1].value"),
            because="a British VAT number has nine digits; one of the wrong form would go onto invoices",
        ),
        merge("nobody any more", LIFE, {"contactInfo": None}, Shows({SHOWN: phase("Ready")})),
        status(
            "suspended by its phase",
            LIFE,
            {"phase": "Suspended"},
            Shows(
                {
                    SHOWN: condition(
                        "Ready",
                        "False",
                        "BillingAccountNotReady",
                        message="Billing account is in Suspended phase.",
                    )
                }
            ),
        ),
        status(
            "archived by its phase",
            LIFE,
            {"phase": "Archived"},
            Shows(
                {
                    SHOWN: condition(
                        "Ready",
                        "False",
                        "BillingAccountNotReady",
                        message="Billing account is in Archived phase.",
                    )
                }
            ),
        ),
    ),
)

EARLIER_LIFE = Case(
    "an account becomes ready by its payment profile",
    None,
    True,
    (
        create(
            "an account without a profile",
            LIFE,
            Shows({SHOWN: phase("Incomplete")}),
            here=Shows({SHOWN: phase("Provisioning")}),
            because="the phase has the name of Milo's enhancement and later releases",
        ),
        merge(
            "a card",
            LIFE,
            {"paymentProfile": {"type": "CreditCard", "externalID": "cc-1"}},
            Shows({SHOWN: phase("Ready")}),
            here=Refused("spec.paymentProfile.type"),
            because="a card is a PaymentMethod of type Card that the profile refers to, not a type and a text",
        ),
        merge("a bank transfer", LIFE, BANK, Shows({SHOWN: phase("Ready")})),
        create("a currency that is none", account("wrong", currencyCode="usd"), Refused("currencyCode")),
    ),
)

# ------------------------------------------------------------------------------------------ billing-account-binding

ORG = manifest(DIRECTORY, "Organization", "test-org", {})
PROJECT = manifest(DIRECTORY, "Project", "alpha", {"ownerRef": {"kind": "Organization", "name": "test-org"}})
HOME = "organization-test-org"


def binding(name: str, account: str, *, namespace: str = HOME) -> Manifest:
    spec = {"billingAccountRef": {"name": account}, "projectRef": {"name": "alpha"}}
    return manifest(BILLING, "BillingAccountBinding", name, spec, namespace=namespace)


A, B = account("a", namespace=HOME, **BANK), account("b", namespace=HOME, **BANK)
FIRST, SECOND = binding("first", "a"), binding("second", "b")
PAYING_A = {"status": {"phase": "Active", "billingResponsibility": {"currentAccount": "a"}}}
PAYING_B = {"status": {"phase": "Active", "billingResponsibility": {"currentAccount": "b"}}}
WRITTEN_OFF = {
    "type": "Bound",
    "status": "False",
    "reason": "Superseded",
    "message": "Superseded by binding second.",
}
SUPERSEDED = {"status": {"phase": "Superseded", "conditions": [WRITTEN_OFF]}}


def linked(count: int) -> dict[str, Any]:
    return {"status": {"linkedProjectsCount": count}}


BEGIN: tuple[Step, ...] = (
    create(
        "an account of a plain namespace pays for a project of an organization",
        binding("elsewhere", "plain", namespace="default"),
        Shows({"billingaccountbindings/elsewhere": phase("Active")}),
        here=Refused('Not found: "alpha"'),
        because="an account pays for projects of its own organization; a plain namespace is the provider's. "
        "From here on the case is played in the organization's namespace",
    ),
    create(
        "a first binding",
        FIRST,
        Shows({"billingaccountbindings/first": PAYING_A, "billingaccounts/a": linked(1)}),
    ),
    merge("another account for it", FIRST, {"billingAccountRef": {"name": "b"}}, Refused("immutable")),
)
STANDS = (ORG, PROJECT, A, B, account("plain", **BANK))

SUPERSEDING = Case(
    "a second binding supersedes the first",
    "supersede",
    None,
    (
        *BEGIN,
        create(
            "a second binding of the project",
            SECOND,
            Shows(
                {
                    "billingaccountbindings/second": PAYING_B,
                    "billingaccountbindings/first": SUPERSEDED,
                    "billingaccounts/b": linked(1),
                    "billingaccounts/a": linked(0),
                }
            ),
        ),
        delete(
            "the account that pays",
            B,
            Refused('billing account has active binding "second" for project "alpha"'),
        ),
        delete("the binding", SECOND, Shows({"billingaccountbindings/second": None})),
        delete("the account that paid", B, Shows({"billingaccounts/b": None})),
    ),
    STANDS,
)

REJECTING = Case(
    "a second binding is refused while the first is active",
    "reject",
    None,
    (
        *BEGIN,
        create(
            "a second binding of the project",
            SECOND,
            Refused('project "alpha" already has an active billing account binding "first"'),
        ),
        status(
            "the first one is written off by its status",
            FIRST,
            {
                "phase": "Superseded",
                "conditions": [{**WRITTEN_OFF, "lastTransitionTime": "2026-06-24T11:51:00Z"}],
            },
            Shows({"billingaccountbindings/first": phase("Superseded"), "billingaccounts/a": linked(0)}),
            here=Shows({"billingaccountbindings/first": PAYING_A, "billingaccounts/a": linked(1)}),
            because="who pays is what stands in the time line, not what somebody writes to a status; "
            "the binding is deleted instead",
        ),
        delete("the first binding", FIRST, Shows({"billingaccounts/a": linked(0)})),
        create("the second one again", SECOND, Shows({"billingaccountbindings/second": PAYING_B})),
        delete("the account that pays", B, Refused("billing account has active binding")),
        delete("the second binding", SECOND, Shows({"billingaccounts/b": linked(0)})),
    ),
    STANDS,
)

# ------------------------------------------------------- payment-method-lifecycle, payment-method-class-lifecycle

CLASS = manifest(BILLING, "PaymentMethodClass", "usual", {"provider": "manual", "isDefault": True})
OTHER_CLASS = manifest(BILLING, "PaymentMethodClass", "other", {"provider": "manual", "isDefault": True})
PAYER = account("payer")
CARD = manifest(
    BILLING,
    "PaymentMethod",
    "card",
    {"billingAccountRef": {"name": "payer"}, "displayName": "A card"},
    namespace="default",
)
PAYS_BY_CARD = {"paymentProfile": {"type": "Card", "paymentMethodRef": {"name": "card"}}}
VISA = {"brand": "visa", "last4": "4242", "expiry": "2030-01"}


def shown_in_both(method: str, payment_ready: str, reason: str) -> Shows:
    ready = condition("PaymentReady", payment_ready, reason)
    return Shows({"paymentmethods/card": phase(method), "billingaccounts/payer": ready})


CLASSES = Case(
    "one class of payment methods is the default",
    None,
    None,
    (
        create(
            "a class of a provider that is connected",
            manifest(BILLING, "PaymentMethodClass", "stripe", {"provider": "stripe"}),
            Shows({"paymentmethodclasses/stripe": {"spec": {"provider": "stripe"}}}),
        ),
        create(
            "a default class", CLASS, Shows({"paymentmethodclasses/usual": {"spec": {"isDefault": True}}})
        ),
        merge("the same again", CLASS, {"isDefault": True}, Shows()),
        create(
            "a second default class",
            OTHER_CLASS,
            Refused("is already the default; only one default class is permitted"),
            here=Refused('payment method class "usual" is the default; there can be one only'),
            because="the same rule in our own words",
        ),
        create(
            "a method that names no class is of the default one",
            CARD,
            Shows({"paymentmethods/card": {"spec": {"paymentMethodClassRef": {"name": "usual"}}}}),
            here=Shows({"paymentmethods/card": {"status": {"className": "usual"}}}),
            because="what the server decided stands in the status: a spec is the client's, also when applied again",
        ),
        delete("the method", CARD, Shows({"paymentmethods/card": None})),
        delete("the default class", CLASS, Shows({"paymentmethodclasses/usual": None})),
        create(
            "a method that names no class, and there is no default",
            CARD,
            Refused("no default PaymentMethodClass exists"),
            here=Refused("there is no default payment method class; name one"),
            because="the same rule in our own words",
        ),
    ),
    (PAYER,),
)

METHODS = Case(
    "what becomes of a payment method shows in its account",
    None,
    False,
    (
        create(
            "a new method",
            CARD,
            Shows(
                {
                    "paymentmethods/card": {
                        **phase("Pending"),
                        **condition("InstrumentReady", "False", "Pending"),
                    }
                }
            ),
            here=Shows({"paymentmethods/card": condition("Ready", "False", "PaymentMethodPending")}),
            because="every kind here has a condition Ready; a second one would say the same",
        ),
        merge(
            "pays by a method that is pending",
            PAYER,
            PAYS_BY_CARD,
            Refused("only Active payment methods may be designated as default"),
            here=Shows({"billingaccounts/payer": condition("PaymentReady", "False", "PaymentMethodPending")}),
            because="a profile may come before its method works, in whatever order manifests are applied; "
            "the condition says that it does not",
        ),
        status(
            "it works",
            CARD,
            {
                "phase": "Active",
                "details": {"type": "Card", "card": {"brand": "visa", "last4": "4242", "expiry": "2030-01"}},
            },
            Shows(
                {
                    "paymentmethods/card": phase("Active"),
                    "billingaccounts/payer": condition("PaymentReady", "True", "PaymentMethodReady"),
                }
            ),
            here=Shows(
                {
                    "paymentmethods/card": phase("Active"),
                    "billingaccounts/payer": condition("PaymentReady", "True", "PaymentProfileValid"),
                }
            ),
            because="the reason speaks of the profile, which bank transfers have too",
        ),
        status(
            "it has failed",
            CARD,
            {"phase": "Failed", "failureReason": "card_declined"},
            Shows(
                {
                    "paymentmethods/card": phase("Failed"),
                    "billingaccounts/payer": condition("PaymentReady", "False", "PaymentMethodDegraded"),
                }
            ),
            here=Shows(
                {
                    "paymentmethods/card": phase("Failed"),
                    "billingaccounts/payer": condition("PaymentReady", "False", "PaymentMethodFailed"),
                }
            ),
            because="the reason is the method's own phase",
        ),
        delete(
            "the method that the account pays with",
            CARD,
            Refused("is the default for billing account"),
            here=Refused('payment method "card" is the one that billing account "payer" pays with'),
            because="the same rule in our own words: the profile refers to it",
        ),
        merge(
            "it pays otherwise",
            PAYER,
            {"paymentProfile": None},
            Shows({"billingaccounts/payer": phase("Ready")}),
        ),
        delete("the method", CARD, Shows({"paymentmethods/card": None})),
    ),
    (CLASS, PAYER),
)

# --------------------------------------------------------------------------------------- meter-definition-lifecycle

MEASURED = {"aggregation": "Sum", "unit": "s", "dimensions": ["region", "instance.type"]}
METER = manifest(
    BILLING,
    "MeterDefinition",
    "cpu-seconds",
    {
        "meterName": "compute.example/instance/cpu-seconds",
        "displayName": "CPU time",
        "phase": "Published",
        "measurement": MEASURED,
        "billing": {"consumedUnit": "s", "pricingUnit": "h"},
        "monitoredResourceTypes": ["instance"],
    },
)
INSTANCE = manifest(
    BILLING,
    "MonitoredResourceType",
    "instance",
    {
        "resourceTypeName": "instance",
        "displayName": "Compute",
        "phase": "Published",
        "gvk": {"group": "compute.example", "kind": "Instance"},
        "labels": [{"name": "project_id"}, {"name": "zone"}],
    },
)
PUBLISHED_TYPE = Shows({"monitoredresourcetypes/instance": {"spec": {"phase": "Published"}}})
RESOURCE_TYPES = Case(
    "a published resource type may only grow, and its phases go forward",
    None,
    None,
    (
        create(
            "a published type",
            INSTANCE,
            PUBLISHED_TYPE,
        ),
        merge("another name", INSTANCE, {"resourceTypeName": "other"}, Refused("resourceTypeName")),
        merge("another group", INSTANCE, {"gvk": {"group": "other.example"}}, Refused("gvk.group")),
        merge("another kind", INSTANCE, {"gvk": {"kind": "ChangedKind"}}, Refused("gvk.kind is immutable")),
        merge("a label less", INSTANCE, {"labels": [{"name": "project_id"}]}, Refused("labels")),
        merge(
            "other words, a label more",
            INSTANCE,
            {
                "displayName": "Machines",
                "labels": [{"name": "project_id"}, {"name": "zone"}, {"name": "region"}],
            },
            Shows({"monitoredresourcetypes/instance": {"spec": {"displayName": "Machines"}}}),
        ),
        merge("back to a draft", INSTANCE, {"phase": "Draft"}, Refused("invalid phase transition")),
        merge(
            "deprecated",
            INSTANCE,
            {"phase": "Deprecated"},
            Shows({"monitoredresourcetypes/instance": {"spec": {"phase": "Deprecated"}}}),
        ),
        merge(
            "retired",
            INSTANCE,
            {"phase": "Retired"},
            Shows({"monitoredresourcetypes/instance": {"spec": {"phase": "Retired"}}}),
        ),
    ),
)
METERS = Case(
    "a published meter may only grow",
    None,
    None,
    (
        create(
            "what it is measured on",
            INSTANCE,
            PUBLISHED_TYPE,
        ),
        create(
            "a published meter",
            METER,
            Shows(
                {"meterdefinitions/cpu-seconds": condition("Published", "True", "MeterDefinitionPublished")}
            ),
            here=Shows({"meterdefinitions/cpu-seconds": condition("Published", "True", "Published")}),
            because="the reason is the phase, as with every kind that has one",
        ),
        merge("another name", METER, {"meterName": "compute.example/other"}, Refused("meterName")),
        merge(
            "a dimension less",
            METER,
            {"measurement": {**MEASURED, "dimensions": ["region"]}},
            Refused("dimensions"),
        ),
        merge(
            "other words, a dimension more",
            METER,
            {
                "displayName": "CPU time used",
                "measurement": {**MEASURED, "dimensions": ["region", "instance.type", "tier"]},
            },
            Shows({"meterdefinitions/cpu-seconds": {"spec": {"displayName": "CPU time used"}}}),
        ),
    ),
)

CASES = (CURRENT_LIFE, EARLIER_LIFE, SUPERSEDING, REJECTING, CLASSES, METHODS, METERS, RESOURCE_TYPES)

NOT_PLAYED: dict[str, str] = {
    "billing-arrangement-lifecycle": "arrangements are spoken of as commitments and agreements here; not served yet",
    "billingentitlement-lifecycle": "entitlements are not served yet",
    "gateway-ingestion": "kills pods of Vector and NATS; what is acknowledged survives: tests/simulation",
    "invoice-lifecycle": "clients write invoices there; here they are written by the service only: tests/db/invoicing",
    "offer-lifecycle": "offers are not served yet",
    "ownership-webhook": "who may write a meter is a permission here, not a label",
    "usage-consumer": "looks into a NATS stream; attribution and its four outcomes: tests/db/usage",
    "usage-pipeline": "the same, through Vector",
}
"""Cases of theirs that no client of this service can play, each with the reason."""
