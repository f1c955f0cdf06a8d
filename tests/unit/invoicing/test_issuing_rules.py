"""Dates, numbers, periods and profiles, as tables."""

import base64
import itertools
from datetime import UTC, date, datetime, timedelta

import pytest

from milo_billing.accounts.types import BillingProfile, Contact, InvoiceFrequency
from milo_billing.invoicing.rules import issuing, periods, profiles
from milo_billing.invoicing.types.errors import UnableToIssue
from milo_billing.kernel.periods import Period, billing_month


@pytest.mark.parametrize(
    ("issued_on", "net_days", "due_on"),
    [
        ("2025-01-04", 2, "2025-01-06"),  # PR-071; overdue begins on the 7th
        ("2024-02-28", 1, "2024-02-29"),
        ("2026-12-15", 30, "2027-01-14"),
        ("2026-11-02", 365, "2027-11-02"),
    ],
)
def test_due_is_the_issue_date_plus_calendar_days(issued_on: str, net_days: int, due_on: str) -> None:
    assert issuing.due_on(date.fromisoformat(issued_on), net_days=net_days) == date.fromisoformat(due_on)


@pytest.mark.parametrize(
    ("prefix", "per_year", "sequence", "digits", "number"),
    [
        ("INV-", True, 1, 6, "INV-2026-000001"),
        ("INV-", False, 42, 4, "INV-0042"),
        ("", True, 7, 1, "2026-7"),
        ("", False, 7, 3, "007"),
        ("A-", False, 1_234_567, 6, "A-1234567"),  # grows past its digits rather than repeat
    ],
)
def test_a_number_is_its_series_and_digits(
    prefix: str, per_year: bool, sequence: int, digits: int, number: str
) -> None:
    series = issuing.series_of(prefix=prefix, per_year=per_year, day=date(2026, 11, 2))
    assert issuing.number_text(series=series, sequence=sequence, digits=digits) == number


def test_a_period_closes_at_its_end_and_not_an_instant_before() -> None:
    october = billing_month(2026, 10, zone="Asia/Kathmandu")
    issuing.assert_closed(october, now=october.end)
    with pytest.raises(UnableToIssue, match="ends at 2026-10-31 18:15 UTC"):
        issuing.assert_closed(october, now=october.end - timedelta(microseconds=1))


@pytest.mark.parametrize(
    ("frequency", "month", "first", "count"),
    [
        ("Monthly", 10, (2026, 10), 1),
        ("Quarterly", 10, None, 0),
        ("Quarterly", 12, (2026, 10), 3),
        ("Quarterly", 3, (2026, 1), 3),
        ("Annual", 11, None, 0),
        ("Annual", 12, (2026, 1), 12),
    ],
)
def test_invoices_end_with_months_quarters_and_years(
    frequency: InvoiceFrequency, month: int, first: tuple[int, int] | None, count: int
) -> None:
    made = periods.rating_periods(2026, month, frequency=frequency, zone="Europe/Berlin", invoice_day=15)
    assert len(made) == count
    if first is not None:
        assert made[0] == billing_month(*first, zone="Europe/Berlin", invoice_day=15)
        assert all(one.end == other.start for one, other in itertools.pairwise(made))


def days(first: int, end: int) -> Period:
    return Period(datetime(2026, 10, first, tzinfo=UTC), datetime(2026, 10, end, tzinfo=UTC))


@pytest.mark.parametrize(
    ("invoiced", "left"),
    [
        ((), (days(1, 11), days(11, 21))),
        ((days(1, 11), days(11, 21)), ()),
        ((days(1, 11),), (days(11, 21),)),
        ((days(1, 6),), (days(6, 11), days(11, 21))),  # a stub after the invoice day moved
        ((days(5, 7),), (days(1, 5),)),  # the stretch before comes first
        ((days(25, 28),), (days(1, 11), days(11, 21))),
    ],
)
def test_what_is_left_to_invoice_is_one_stretch(
    invoiced: tuple[Period, ...], left: tuple[Period, ...]
) -> None:
    assert periods.uncovered((days(1, 11), days(11, 21)), invoiced=invoiced) == left


PROFILE = BillingProfile(
    account=1,
    net_days=30,
    invoice_day=1,
    invoice_frequency="Monthly",
    language="en",
    display_name="Production",
    zero_invoices=False,
    contact=None,
    tax_ids=(),
)


@pytest.mark.parametrize(
    ("person", "business", "display", "addressed"),
    [
        ("Ann", "Acme", "Production", ("Acme", "Ann")),
        ("Ann", "", "Production", ("Ann", "")),
        ("", "Acme", "", ("Acme", "")),
        ("", "", "Production", ("Production", "")),
        ("", "", "", ("main", "")),
    ],
)
def test_an_invoice_is_addressed_to_the_business_then_the_person_then_the_account(
    person: str, business: str, display: str, addressed: tuple[str, str]
) -> None:
    contact = Contact("ann@example.com", person, business, (), None)
    profile = BillingProfile(1, 30, 1, "Monthly", "en", display, False, contact, ())
    party = issuing.addressee(profile, account_name="main")
    assert (party.name, party.contact) == addressed
    assert issuing.party_of(issuing.party_body(party)) == party


def test_an_account_without_a_contact_is_addressed_by_its_display_name() -> None:
    assert issuing.addressee(PROFILE, account_name="main").name == "Production"


@pytest.mark.parametrize(
    ("iban", "right"),
    [
        ("DE89370400440532013000", True),
        ("IE64IRCE92050112345678", True),
        ("GB82WEST12345698765432", True),
        ("DE89370400440532013001", False),
        ("DE89 3704 0044 0532 0130 00", False),
        ("", False),
    ],
)
def test_an_iban_needs_the_right_check_digits(iban: str, right: bool) -> None:
    assert profiles.is_iban(iban) is right


def svg(body: str) -> str:
    text = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9">{body}</svg>'
    return "data:image/svg+xml;base64," + base64.b64encode(text.encode()).decode()


def test_a_logo_is_read_from_its_data_uri() -> None:
    logo = profiles.read_logo(svg('<use href="#a"/><image href="data:image/png;base64,AA"/>'))
    assert logo.media_type == "image/svg+xml"
    assert logo.content.startswith(b"<svg")


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("https://example.com/logo.png", "must be data:image/svg"),
        ("data:image/gif;base64,R0lGOD", "must be data:image/svg"),
        ("data:image/png;base64,R0lGOD=", "valid base64"),
        ("data:image/png;base64,R0lGODlh", "no PNG picture"),
        (svg("<script>alert(1)</script>"), "must not have '<script'"),
        (svg('<image href="file:///etc/passwd"/>'), "must not have"),
        (svg("<image xlink:href='https://example.com/x.png'/>"), "must not have"),
        (
            "data:image/svg+xml;base64," + base64.b64encode(b"<!DOCTYPE svg><svg/>").decode(),
            "must not have '<!DOCTYPE'",
        ),
        (svg("x" * profiles.LOGO_BYTES_MAX), "at most 128 KiB"),
        ("data:image/svg+xml;base64," + base64.b64encode(b"<p/>").decode(), "no SVG picture"),
    ],
)
def test_a_logo_stands_for_itself_and_is_small(uri: str, why: str) -> None:
    with pytest.raises(profiles.UnreadableLogo, match=why):
        profiles.read_logo(uri)
