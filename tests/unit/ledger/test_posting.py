"""What the books accept, and how a receivable is written."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from milo_billing.kernel.money import Money
from milo_billing.ledger.rules.posting import (
    ENTRIES_MAX,
    assert_over,
    assert_postable,
    mirrored,
    moved,
    receivable_entries,
)
from milo_billing.ledger.types import (
    RECEIVABLE,
    REVENUE,
    Entry,
    LedgerTransaction,
    UnableToClose,
    UnableToPost,
    account_name,
    revenue,
)

OCTOBER = (date(2026, 10, 1), date(2026, 11, 1))
SEPTEMBER = (date(2026, 9, 1), date(2026, 10, 1))


def transaction(*entries: Entry) -> LedgerTransaction:
    return LedgerTransaction(
        id=UUID(int=1),
        key="invoice/1/issue",
        entity="default",
        posted_on=date(2026, 11, 2),
        description="",
        billing_account=1,
        owner_org=1,
        entries=entries,
    )


def usd(minor: int) -> Money:
    return Money(minor, "USD")


def test_a_balanced_transaction_is_accepted_in_several_currencies_at_once() -> None:
    assert_postable(
        transaction(
            Entry(RECEIVABLE, usd(4761)),
            Entry(REVENUE, usd(-4761), OCTOBER),
            Entry(RECEIVABLE, Money(5, "JPY")),
            Entry(REVENUE, Money(-5, "JPY"), OCTOBER),
        )
    )


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ((Entry(RECEIVABLE, usd(100)), Entry(REVENUE, usd(-99))), "out of balance by 0.01 USD"),
        ((Entry(RECEIVABLE, usd(100)), Entry(REVENUE, Money(-100, "EUR"))), "by -1.00 EUR, 1.00 USD"),
        ((Entry(RECEIVABLE, usd(0)), Entry(REVENUE, usd(0))), "entry 1 on Assets:Receivable has no amount"),
        ((Entry(RECEIVABLE, usd(1)),), "has 2 to 32767 entries, not 1"),
        ((), "not 0"),
        (
            (Entry(RECEIVABLE, usd(1)), Entry(REVENUE, usd(-1), (OCTOBER[1], OCTOBER[0]))),
            "entry 2 serves 2026-11-01 to 2026-10-01",
        ),
        (
            (Entry(RECEIVABLE, usd(1)), Entry(REVENUE, usd(-1), (OCTOBER[0], OCTOBER[0]))),
            "entry 2 serves 2026-10-01 to 2026-10-01",
        ),
    ],
)
def test_what_the_books_refuse_is_said_with_its_figures(entries: tuple[Entry, ...], message: str) -> None:
    with pytest.raises(UnableToPost, match=f"invoice/1/issue.*{message}"):
        assert_postable(transaction(*entries))


def test_as_many_entries_as_a_smallint_counts_are_accepted_and_not_one_more() -> None:
    many = (Entry(REVENUE, usd(-1)),) * (ENTRIES_MAX - 1)
    assert_postable(transaction(Entry(RECEIVABLE, usd(ENTRIES_MAX - 1)), *many))
    with pytest.raises(UnableToPost, match="has 2 to 32767 entries, not 32768"):
        assert_postable(transaction(Entry(RECEIVABLE, usd(ENTRIES_MAX)), *many, many[0]))


def test_a_month_is_closed_once_it_is_over_in_the_last_zone_of_the_earth() -> None:
    over = datetime(2026, 12, 1, 12, tzinfo=UTC)
    assert_over(date(2026, 11, 1), now=over)
    with pytest.raises(UnableToClose) as refused:
        assert_over(date(2026, 11, 1), now=over - timedelta(microseconds=1))
    assert str(refused.value) == (
        "2026-11 is not over everywhere before 2026-12-01 12:00 UTC: close it then, or one before it"
    )


@pytest.mark.parametrize("day", [date(2026, 10, 2), date(2026, 10, 31)])
def test_a_month_is_named_by_its_first_day(day: date) -> None:
    with pytest.raises(UnableToClose, match=f"^{day} is not the first day of a month$"):
        assert_over(day, now=datetime(2027, 1, 1, tzinfo=UTC))


def test_what_is_moved_is_debited_here_and_credited_there() -> None:
    assert moved(usd(5), debit=RECEIVABLE, credit=REVENUE) == (
        Entry(RECEIVABLE, usd(5)),
        Entry(REVENUE, usd(-5)),
    )
    assert moved(usd(0), debit=RECEIVABLE, credit=REVENUE) == ()
    with pytest.raises(UnableToPost) as refused:
        moved(usd(-1), debit=RECEIVABLE, credit=REVENUE)
    assert str(refused.value) == (
        f"-0.01 USD from {REVENUE} to {RECEIVABLE}: an amount is positive; mirror the entries instead"
    )


def test_what_is_mirrored_keeps_its_accounts_and_periods() -> None:
    assert mirrored([Entry(RECEIVABLE, usd(5)), Entry(REVENUE, usd(-5), OCTOBER)]) == (
        Entry(RECEIVABLE, usd(-5)),
        Entry(REVENUE, usd(5), OCTOBER),
    )


def test_what_serves_no_days_is_written_before_what_does() -> None:
    entries = receivable_entries([(REVENUE, 1, OCTOBER), (REVENUE, 2, None)], currency="USD")
    assert [(entry.amount, entry.service) for entry in entries] == [
        (usd(3), None),
        (usd(-2), None),
        (usd(-1), OCTOBER),
    ]


def test_a_receivable_debits_the_sum_and_credits_revenue_per_account_and_period() -> None:
    entries = receivable_entries(
        [
            (revenue("Usage"), 4515, OCTOBER),
            (revenue("Usage"), 246, OCTOBER),
            (revenue("Usage"), 100, SEPTEMBER),
            (revenue("Support"), -61, OCTOBER),
            (revenue("Support"), 0, SEPTEMBER),
        ],
        currency="USD",
    )
    assert entries == (
        Entry(RECEIVABLE, usd(4800)),
        Entry(revenue("Support"), usd(61), OCTOBER),
        Entry(revenue("Usage"), usd(-100), SEPTEMBER),
        Entry(revenue("Usage"), usd(-4761), OCTOBER),
    )
    assert_postable(transaction(*entries))


def test_lines_that_cancel_out_move_revenue_but_no_receivable() -> None:
    entries = receivable_entries([(revenue("A"), 5, OCTOBER), (revenue("B"), -5, OCTOBER)], currency="USD")
    assert [entry.account for entry in entries] == ["Income:Revenue:A", "Income:Revenue:B"]


def test_zero_lines_make_no_entries() -> None:
    assert receivable_entries([(revenue("A"), 0, OCTOBER)], currency="USD") == ()


@pytest.mark.parametrize(
    "parts",
    [
        ("Assets",),
        ("assets", "Cash"),
        ("Assets", ""),
        ("Assets", "a b"),
        ("Assets", "ü"),
        ("Assets", "stripe"),
        ("Money", "Cash"),
    ],
)
def test_account_names_are_what_a_plain_text_ledger_can_read(parts: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="not a ledger account name"):
        account_name(*parts)
