"""The decisions about who pays, without a database."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from milo_billing.accounts.rules import contact, standing, terms, timeline
from milo_billing.accounts.types import AccountPhase, PayerInterval
from milo_billing.kernel.terms import TimeTerms

NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
HOUR = timedelta(hours=1)


def interval(starts_at: datetime, ends_at: datetime | None = None) -> PayerInterval:
    return PayerInterval(1, 1, 1, UUID(int=1), "first", "web", starts_at, ends_at, version=1)


@pytest.mark.parametrize(
    ("last", "wanted", "clock", "starts"),
    [
        (None, None, NOON, NOON),
        (None, NOON - HOUR, NOON, NOON - HOUR),
        (interval(NOON - HOUR), None, NOON, NOON),
        (interval(NOON), None, NOON, NOON + MICROSECOND),
        (interval(NOON + HOUR), None, NOON, NOON + HOUR + MICROSECOND),  # the clock went back
        (interval(NOON - HOUR, NOON - MICROSECOND), None, NOON, NOON),  # a gap stays one
        (interval(NOON - HOUR, NOON + HOUR), None, NOON, NOON + HOUR),
    ],
)
def test_a_payer_begins_after_everything_that_stands(
    last: PayerInterval | None, wanted: datetime | None, clock: datetime, starts: datetime
):
    assert timeline.change_instant(clock=clock, last=last, wanted=wanted) == starts


@pytest.mark.parametrize(("clock", "ends"), [(NOON + HOUR, NOON + HOUR), (NOON, NOON + MICROSECOND)])
def test_an_interval_is_never_empty(clock: datetime, ends: datetime):
    assert timeline.end_instant(clock=clock, interval=interval(NOON)) == ends


GOOD = standing.Finding(True, "PaymentProfileValid", "")
BAD = standing.Finding(False, "PaymentProfileMissing", "")


@pytest.mark.parametrize(
    ("phase", "payment", "required", "expected"),
    [
        ("Provisioning", BAD, True, ("Provisioning", "PaymentProfileMissing")),
        ("Provisioning", GOOD, True, ("Ready", "BillingAccountReady")),
        ("Provisioning", BAD, False, ("Ready", "BillingAccountReady")),
        ("Ready", BAD, True, ("Provisioning", "PaymentProfileMissing")),
        ("Suspended", GOOD, True, ("Suspended", "BillingAccountNotReady")),
        ("Archived", BAD, False, ("Archived", "BillingAccountNotReady")),
    ],
)
def test_a_phase_follows_from_the_profile_unless_an_action_set_it(
    phase: AccountPhase, payment: standing.Finding, required: bool, expected: tuple[str, str]
):
    found = standing.assess(phase=phase, payment=payment, payment_required=required)
    assert (found.phase, found.reason) == expected


def test_an_account_that_an_action_stopped_says_its_phase():
    found = standing.assess(phase="Suspended", payment=GOOD, payment_required=True)
    assert found.message == "Billing account is in Suspended phase."


@pytest.mark.parametrize("email", ["a@b.co", "ann.hara+x@example.com", "A_1%@x-y.example.org", "ann@example"])
def test_an_address_of_e_mail(email: str):
    assert list(contact.email_errors([("f", email)])) == []


@pytest.mark.parametrize(
    "email", ["", "ann", "ann@", "@example.com", "a..b@example.com", "a b@example.com", "a@b.co\n"]
)
def test_no_address_of_e_mail(email: str):
    (error,) = contact.email_errors([("spec.contactInfo.email", email)])
    assert error.message.endswith(": must be a valid email address")


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-10-01T12:00:00Z", NOON),
        ("2026-10-01t12:00:00z", NOON),
        ("2026-10-01T14:00:00.000001+02:00", NOON + MICROSECOND),
        ("2026-10-01T12:00:00", None),
        ("2026-10-01", None),
        ("2026-10-01T12:00:00.0000001Z", None),  # finer than instants are kept
        ("2026-02-30T00:00:00Z", None),
        ("0001-01-01T00:00:00+23:00", None),
        ("٢٠٢٦-10-01T12:00:00Z", None),
    ],
)
def test_instants_are_rfc_3339(text: str, instant: datetime | None):
    assert timeline.parse_instant(text) == instant


def test_instants_are_shown_to_the_microsecond():
    assert timeline.format_instant(NOON + MICROSECOND) == "2026-10-01T12:00:00.000001Z"


DISCOUNT = "spec.paymentTerms.earlyPaymentDiscountPercent"
INTEREST = "spec.paymentTerms.latePaymentInterestPercent"


def timed(*, early: str | None = None, days: int = 10, interest: str | None = None) -> terms.Terms:
    found = TimeTerms(Decimal(early) if early else None, days, Decimal(interest) if interest else None)
    return terms.Terms(30, on_invoice=False, time=found)


@pytest.mark.parametrize(
    ("wanted", "before", "asked"),
    [
        (terms.Terms(30, on_invoice=False), None, []),
        (terms.Terms(31, on_invoice=False), None, ["spec.paymentTerms.netDays"]),
        (terms.Terms(60, on_invoice=True), None, ["spec.paymentTerms.netDays", "spec.paymentProfile.type"]),
        (terms.Terms(60, on_invoice=True), terms.Terms(60, on_invoice=True), []),
        (terms.Terms(45, on_invoice=False), terms.Terms(60, on_invoice=True), []),
        (terms.Terms(61, on_invoice=False), terms.Terms(60, on_invoice=False), ["spec.paymentTerms.netDays"]),
        (terms.Terms(31, on_invoice=False), terms.Terms(10, on_invoice=False), ["spec.paymentTerms.netDays"]),
        (timed(early="2"), None, [DISCOUNT]),
        (timed(early="2"), timed(early="2"), []),
        (timed(early="2", days=14), timed(early="2"), [DISCOUNT]),
        (timed(early="1"), timed(early="2"), []),
        (timed(days=14), timed(), []),
        (timed(interest="8"), None, []),
        (timed(interest="4"), timed(interest="8"), [INTEREST]),
        (timed(), timed(interest="8"), [INTEREST]),
    ],
)
def test_credit_is_what_these_terms_take_and_earlier_ones_did_not(
    wanted: terms.Terms, before: terms.Terms | None, asked: list[str]
):
    assert [e.field for e in terms.credit_asked(wanted, before=before, permission="x")] == asked


@pytest.mark.parametrize(
    ("type", "value"),
    [
        ("eu_vat", "DE811907980"),
        ("eu_vat", "de 811 907 980"),
        ("eu_vat", "IE3668997OH"),
        ("eu_vat", "FR40303265045"),
        ("eu_vat", "ATU12345678"),
        ("eu_vat", "EL123456789"),
        ("eu_vat", "NL123456789B01"),
        ("eu_vat", "XI123456789"),
        ("gb_vat", "GB 123 4567 89"),
        ("gb_vat", "GBGD001"),
        ("ch_vat", "CHE-123.456.789 MWST"),
        ("no_vat", "123456789MVA"),
        ("us_ein", "anything: it is not checked"),
    ],
)
def test_the_form_of_a_tax_number(type: str, value: str):
    assert list(contact.tax_id_errors([(type, value)], field="spec.taxIds")) == []


@pytest.mark.parametrize(
    ("type", "value", "field"),
    [
        ("eu_vat", "811907980", "spec.taxIds[0].value"),
        ("eu_vat", "DE81190798", "spec.taxIds[0].value"),
        ("eu_vat", "GR123456789", "spec.taxIds[0].value"),  # Greece writes EL
        ("eu_vat", "GB123456789", "spec.taxIds[0].value"),  # has left
        ("eu_vat", "DE٨١١٩٠٧٩٨٠", "spec.taxIds[0].value"),
        ("gb_vat", "GB12345678", "spec.taxIds[0].value"),
        ("xx_vat", "123", "spec.taxIds[0].type"),
    ],
)
def test_no_form_of_a_tax_number(type: str, value: str, field: str):
    assert [e.field for e in contact.tax_id_errors([(type, value)], field="spec.taxIds")] == [field]


def test_the_countries_are_those_of_iso_3166():
    assert len(contact.COUNTRIES) == 249
    assert {"DE", "GB", "US", "TW", "XK", "EU", "UK"} & contact.COUNTRIES == {"DE", "GB", "US", "TW"}
