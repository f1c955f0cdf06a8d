"""Matching never gives out more than came in or than is due, and does not depend on the order of invoices."""

from datetime import date, timedelta
from random import Random
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from milo_billing.payments.rules.matching import Matched, OpenInvoice, match
from milo_billing.payments.types import BankEntry
from tests.bank_files import PAYER

DAY = date(2026, 11, 1)
ibans = st.sampled_from(["", PAYER, "DE75512108001245126199"])


def open_invoice(
    sequence: int, minor: int, account: int, currency: str, late: int, iban: str, void: bool
) -> OpenInvoice:
    return OpenInvoice(
        uid=UUID(int=sequence),
        number=f"KC-2026-{sequence:06}",
        account=account,
        currency=currency,
        open_minor=0 if void else minor,
        due_on=DAY + timedelta(days=late),
        void=void,
        names=("Acme Robotics SARL",),
        ibans=frozenset({iban} - {""}),
    )


def credit(minor: int, text: str, iban: str) -> BankEntry:
    return BankEntry(1, minor, True, False, DAY, DAY, remittance=text, counterparty_iban=iban)


def uid_of(invoice: OpenInvoice) -> UUID:
    return invoice.uid


invoices = st.lists(
    st.builds(
        open_invoice,
        st.integers(1, 30),
        st.integers(0, 300),
        st.integers(1, 3),
        st.sampled_from(["EUR", "EUR", "EUR", "CHF"]),
        st.integers(0, 3),
        ibans,
        st.sampled_from([False, False, True]),
    ),
    max_size=6,
    unique_by=uid_of,
)
named = st.integers(1, 30).map("KC-2026-{:06}".format)
texts = st.lists(
    st.one_of(
        named,
        st.sampled_from(["KC 2026 000001", "thanks", "RF18"]),
    ),
    max_size=4,
).map(" ".join)
entries = st.builds(credit, st.integers(1, 900), texts, ibans)


@settings(max_examples=400, deadline=None)
@given(entries, invoices, st.randoms(use_true_random=False))
def test_nothing_is_given_out_that_did_not_come_in_or_is_not_due(
    entry: BankEntry, open_: list[OpenInvoice], random: Random
) -> None:
    outcome = match(entry, open_, currency="EUR")
    shuffled = list(open_)
    random.shuffle(shuffled)
    assert match(entry, shuffled, currency="EUR") == outcome
    if isinstance(outcome, Matched):
        by_uid = {one.uid: one for one in open_}
        given_out = [one.amount_minor for one in outcome.allocations]
        assert sum(given_out) + outcome.over_minor == entry.amount_minor
        assert outcome.over_minor >= 0
        assert len({one.invoice for one in outcome.allocations}) == len(outcome.allocations)
        for one in outcome.allocations:
            meant = by_uid[one.invoice]
            assert 0 < one.amount_minor <= meant.open_minor
            assert (meant.account, meant.currency, meant.void) == (outcome.account, "EUR", False)
            assert meant.number in entry.remittance or entry.counterparty_iban in meant.ibans
    else:
        assert len({one.invoice for one in outcome.candidates}) == len(outcome.candidates) <= 10
