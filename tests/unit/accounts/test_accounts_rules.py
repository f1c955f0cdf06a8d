"""The decisions about who pays, without a database."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from milo_billing.accounts import rules
from milo_billing.accounts.types import AccountPhase, PayerInterval

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
    assert rules.change_instant(clock=clock, last=last, wanted=wanted) == starts


@pytest.mark.parametrize(("clock", "ends"), [(NOON + HOUR, NOON + HOUR), (NOON, NOON + MICROSECOND)])
def test_an_interval_is_never_empty(clock: datetime, ends: datetime):
    assert rules.end_instant(clock=clock, interval=interval(NOON)) == ends


@pytest.mark.parametrize(
    ("phase", "valid", "required", "expected"),
    [
        ("Provisioning", False, True, ("Provisioning", "PaymentProfileMissing")),
        ("Provisioning", True, True, ("Ready", "BillingAccountReady")),
        ("Provisioning", False, False, ("Ready", "BillingAccountReady")),
        ("Ready", False, True, ("Provisioning", "PaymentProfileMissing")),
        ("Suspended", True, True, ("Suspended", "BillingAccountNotReady")),
        ("Archived", False, False, ("Archived", "BillingAccountNotReady")),
    ],
)
def test_a_phase_follows_from_the_profile_unless_an_action_set_it(
    phase: AccountPhase, valid: bool, required: bool, expected: tuple[str, str]
):
    found = rules.assess(phase=phase, profile_valid=valid, profile_required=required)
    assert (found.phase, found.reason) == expected


def test_an_account_that_an_action_stopped_says_its_phase():
    found = rules.assess(phase="Suspended", profile_valid=True, profile_required=True)
    assert found.message == "Billing account is in Suspended phase."


@pytest.mark.parametrize("email", ["a@b.co", "ann.hara+x@example.com", "A_1%@x-y.example.org"])
def test_an_address_of_e_mail(email: str):
    assert list(rules.email_errors([("f", email)])) == []


@pytest.mark.parametrize(
    "email", ["", "ann", "ann@", "@example.com", "ann@example", "a b@example.com", "a@b.co\n"]
)
def test_no_address_of_e_mail(email: str):
    (error,) = rules.email_errors([("spec.contactInfo.email", email)])
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
    assert rules.parse_instant(text) == instant


def test_instants_are_shown_to_the_microsecond():
    assert rules.format_instant(NOON + MICROSECOND) == "2026-10-01T12:00:00.000001Z"


@pytest.mark.parametrize(
    ("terms", "before", "asked"),
    [
        (rules.Terms(30, on_invoice=False), None, []),
        (rules.Terms(31, on_invoice=False), None, ["spec.paymentTerms.netDays"]),
        (rules.Terms(60, on_invoice=True), None, ["spec.paymentTerms.netDays", "spec.paymentProfile.type"]),
        (rules.Terms(60, on_invoice=True), rules.Terms(60, on_invoice=True), []),
        (rules.Terms(45, on_invoice=False), rules.Terms(60, on_invoice=True), []),
        (rules.Terms(61, on_invoice=False), rules.Terms(60, on_invoice=False), ["spec.paymentTerms.netDays"]),
        (rules.Terms(31, on_invoice=False), rules.Terms(10, on_invoice=False), ["spec.paymentTerms.netDays"]),
    ],
)
def test_credit_is_what_these_terms_take_and_earlier_ones_did_not(
    terms: rules.Terms, before: rules.Terms | None, asked: list[str]
):
    assert [e.field for e in rules.credit_asked(terms, before=before, permission="x")] == asked
