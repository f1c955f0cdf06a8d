"""BillingAccount through the engine: when it is ready, what must not change, what its projection and profile say."""

from pathlib import Path
from typing import Any

import pytest

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.resources.accounts import GRANT_TERMS, BillingAccount
from milo_billing.accounts.types import AccountNotFound, TaxId
from milo_billing.infra.database import EVERYWHERE, Databases, Reach
from milo_billing.kernel.errors import Conflict
from tests.accounts_world import ACME, World, make_world

READY = "Billing account is active and ready for project binding."
PROFILE_MISSING = "Billing account requires a payment profile to become ready."


METHOD_MISSING = 'Payment method "visa" of the payment profile does not exist for this billing account.'


def condition(status: dict[str, Any], type: str) -> tuple[str, str, str]:
    (found,) = [c for c in status["conditions"] if c["type"] == type]
    return found["status"], found["reason"], found["message"]


def ready_condition(status: dict[str, Any]) -> tuple[str, str, str]:
    return condition(status, "Ready")


@pytest.mark.parametrize(
    ("profile", "phase", "condition"),
    [
        (None, "Provisioning", ("False", "PaymentProfileMissing", PROFILE_MISSING)),
        ({"type": "BankTransfer"}, "Ready", ("True", "BillingAccountReady", READY)),
        ({"type": "Invoice"}, "Ready", ("True", "BillingAccountReady", READY)),
        ({"type": "Card"}, "Provisioning", ("False", "PaymentProfileMissing", PROFILE_MISSING)),
        ({"type": "DirectDebit"}, "Provisioning", ("False", "PaymentProfileMissing", PROFILE_MISSING)),
        (
            {"type": "Card", "paymentMethodRef": {"name": "visa"}},
            "Provisioning",
            ("False", "PaymentMethodMissing", METHOD_MISSING),
        ),
    ],
)
def test_an_account_is_ready_with_a_payment_profile_that_says_enough(
    world: World, profile: dict[str, Any] | None, phase: str, condition: tuple[str, str, str]
):
    world.grants.granted[GRANT_TERMS] = EVERYWHERE
    status = world.account(paymentProfile=profile).status
    assert status["phase"] == phase
    assert ready_condition(status) == condition
    assert ("activatedAt" in status) == (phase == "Ready")


@pytest.mark.parametrize(
    ("spec", "invoicing"),
    [
        (
            {},
            ("False", "ContactInfoMissing", "Billing account has no contact that invoices could be sent to."),
        ),
        (
            {"contactInfo": {"email": "ann@example.com"}},
            ("True", "ContactInfoPresent", "Billing account has a contact that invoices are sent to."),
        ),
    ],
)
def test_invoices_need_somebody_to_go_to(world: World, spec: dict[str, Any], invoicing: tuple[str, str, str]):
    assert condition(world.account(**spec).status, "InvoicingReady") == invoicing


def test_without_the_requirement_an_account_is_ready_at_once(databases: Databases, tmp_path: Path):
    world = make_world(databases, tmp_path, require_payment_profile=False)
    status = world.account(paymentProfile=None).status
    assert status["phase"] == "Ready"
    assert condition(status, "PaymentReady") == ("False", "PaymentProfileMissing", PROFILE_MISSING)


def test_an_account_that_loses_its_profile_is_provisioning_again_and_keeps_its_bindings(world: World):
    world.account()
    world.project("web")
    world.bind("web-main", project="web")
    status = world.patch(BillingAccount, "main", {"paymentProfile": None}, namespace=ACME).status
    assert ready_condition(status) == ("False", "PaymentProfileMissing", PROFILE_MISSING)
    assert (status["phase"], status["linkedProjectsCount"]) == ("Provisioning", 1)
    assert status["activatedAt"] == "2026-10-01T12:00:00Z"


def test_defaults_are_filled_in(world: World):
    spec = world.account().spec
    terms = {"netDays": 30, "invoiceFrequency": "Monthly", "invoiceDayOfMonth": 1}
    assert (spec["paymentTerms"], spec["timeZone"], spec["language"]) == (terms, "Etc/UTC", "en")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"currencyCode": "EUR"},
            "spec.currencyCode: Forbidden: currencyCode is immutable once the account has been activated",
        ),
        (
            {"timeZone": "Europe/Berlin"},
            "spec.timeZone: Forbidden: timeZone is immutable once the account has been activated",
        ),
    ],
)
def test_currency_and_zone_stay_once_the_account_has_been_activated(
    world: World, change: dict[str, Any], message: str
):
    world.account()
    assert world.changes_refused(BillingAccount, "main", change, namespace=ACME) == [message]


def test_currency_and_zone_may_change_before(world: World):
    world.account(paymentProfile=None)
    change = {"currencyCode": "EUR", "timeZone": "Europe/Berlin"}
    assert world.patch(BillingAccount, "main", change, namespace=ACME).spec["currencyCode"] == "EUR"


def test_every_error_is_told_at_once(world: World):
    found = world.refusals(
        BillingAccount,
        "main",
        {
            "currencyCode": "XAU",
            "timeZone": "Mars/Olympus",
            "contactInfo": {
                "email": "ann",
                "invoiceEmails": ["bob@example.com", "bob@example.com"],
                "address": {"country": "EU"},
            },
            "taxIds": [{"type": "eu_vat", "value": "DE1"}, {"type": "eu_vat", "value": "DE 811 907 980"}],
            "billingMode": "Parent",
        },
        namespace=ACME,
    )
    assert found == [
        'spec.currencyCode: Invalid value: "XAU": must be a current ISO 4217 code of a currency with a minor unit',
        'spec.timeZone: Invalid value: "Mars/Olympus": must be a zone of the IANA time zone database, such as '
        "Europe/Berlin",
        'spec.contactInfo.email: Invalid value: "ann": must be a valid email address',
        'spec.contactInfo.invoiceEmails[1]: Duplicate value: "bob@example.com"',
        'spec.contactInfo.address.country: Invalid value: "EU": must be an ISO 3166-1 alpha-2 code of a country, '
        "such as DE",
        'spec.taxIds[0].value: Invalid value: "DE1": must have the form of eu_vat in its country, such as DE123456789',
        'spec.taxIds[1].type: Duplicate value: "eu_vat"',
        'spec.parentRef: Required value: billingMode "Parent" needs the account that is invoiced',
    ]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"paymentTerms": {"netDays": 31}}, "spec.paymentTerms.netDays"),
        ({"paymentProfile": {"type": "Invoice"}}, "spec.paymentProfile.type"),
    ],
)
@pytest.mark.parametrize(
    ("reach", "granted"), [(frozenset({1}), False), (frozenset({0}), True), (EVERYWHERE, True)]
)
def test_credit_is_for_the_provider_to_grant_not_for_the_organization_itself(
    world: World, spec: dict[str, Any], field: str, reach: Reach, granted: bool
):
    world.grants.granted[GRANT_TERMS] = reach
    wanted = {"currencyCode": "USD", **spec}
    if granted:
        world.create(BillingAccount, "main", wanted, namespace=ACME)
    else:
        (error,) = world.refusals(BillingAccount, "main", wanted, namespace=ACME)
        assert error.startswith(f"{field}: Forbidden: ") and GRANT_TERMS in error


def test_what_was_granted_stays_through_changes_by_others(world: World):
    world.grants.granted[GRANT_TERMS] = EVERYWHERE
    world.account(paymentTerms={"netDays": 60}, paymentProfile={"type": "Invoice"})
    world.grants.granted.clear()
    world.patch(BillingAccount, "main", {"displayName": "Main"}, namespace=ACME)
    world.patch(BillingAccount, "main", {"paymentTerms": {"netDays": 45}}, namespace=ACME)
    (error,) = world.changes_refused(
        BillingAccount, "main", {"paymentTerms": {"netDays": 46}}, namespace=ACME
    )
    assert "more than 45 net days" in error


def test_an_account_that_pays_for_a_project_cannot_be_deleted(world: World):
    world.account()
    world.project("web")
    world.bind("web-main", project="web")
    with pytest.raises(Conflict) as refused:
        world.delete(BillingAccount, "main", namespace=ACME)
    assert str(refused.value) == (
        'billing account has active binding "web-main" for project "web"; remove all bindings before deleting'
    )
    world.unbind("web-main")
    world.delete(BillingAccount, "main", namespace=ACME)


def test_a_deleted_account_keeps_its_number_and_its_name_can_be_used_again(world: World):
    world.account()
    with world.databases.app.transaction(reach=EVERYWHERE) as tx:
        first = account_reads.find_account(tx, namespace=ACME, name="main")
    world.delete(BillingAccount, "main", namespace=ACME)
    world.account()
    with world.databases.app.transaction(reach=EVERYWHERE) as tx:
        second = account_reads.find_account(tx, namespace=ACME, name="main")
        assert first is not None and second is not None and first.number != second.number
        assert account_reads.get_account(tx, number=first.number).deleted_at is not None
        assert [account.number for account in account_reads.load_accounts(tx)] == [
            first.number,
            second.number,
        ]


def test_caches_reload_accounts_that_changed_only(world: World):
    world.account("one")
    world.account("two")
    with world.databases.app.transaction(reach=EVERYWHERE) as tx:
        row = tx.execute("select version from controlplane.versions where name = 'payers'").fetchone()
    assert row is not None
    world.patch(BillingAccount, "one", {"displayName": "One"}, namespace=ACME)
    world.patch(BillingAccount, "two", {"paymentProfile": None}, namespace=ACME)
    with world.databases.app.transaction(reach=EVERYWHERE) as tx:
        assert [account.name for account in account_reads.load_accounts(tx, since_version=row[0])] == ["two"]


def test_the_billing_profile_has_personal_fields_in_clear_and_the_database_does_not(world: World):
    address = {"country": "DE", "line1": "Am Markt 1", "city": "Ulm", "postalCode": "89073"}
    contact = {"email": "ann@example.com", "businessName": "Acme GmbH", "address": address}
    world.account(
        contactInfo=contact, taxIds=[{"type": "eu_vat", "value": "DE136695976"}], displayName="Main"
    )
    with world.databases.app.transaction(reach=EVERYWHERE) as tx:
        account = account_reads.find_account(tx, namespace=ACME, name="main")
        assert account is not None
        profile = account_reads.get_billing_profile(tx, world.vault, account=account.number)
        assert (profile.net_days, profile.invoice_day, profile.display_name) == (30, 1, "Main")
        assert profile.contact is not None and profile.contact.address is not None
        assert (profile.contact.business_name, profile.contact.address.city) == ("Acme GmbH", "Ulm")
        assert profile.tax_ids == (TaxId("eu_vat", "DE136695976"),)
        stored = tx.execute("select (spec || status)::text from controlplane.objects").fetchall()
        logged = tx.execute("select object::text from controlplane.changes").fetchall()
        audited = tx.execute("select detail::text from access.audit_records").fetchall()
    clear = [row[0] for row in (*stored, *logged, *audited) if "Ulm" in row[0] or "136695976" in row[0]]
    assert clear == []


def test_an_erased_contact_leaves_a_profile_without_one(world: World):
    row = world.account(contactInfo={"email": "ann@example.com"})
    with world.databases.app.transaction(reach=EVERYWHERE) as tx:
        world.vault.erase(tx, row.uid, world.clock.now())
        account = account_reads.find_account(tx, namespace=ACME, name="main")
        assert account is not None
        assert account_reads.get_billing_profile(tx, world.vault, account=account.number).contact is None


def test_there_is_no_profile_of_an_account_that_never_was(world: World):
    with world.databases.app.transaction(reach=EVERYWHERE) as tx, pytest.raises(AccountNotFound):
        account_reads.get_billing_profile(tx, world.vault, account=99)
