"""Whatever accounts used: one invoice over them comes to what their own drafts say, and every transfer meets."""

from dataclasses import replace
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from milo_billing.accounts.types import Account
from milo_billing.invoicing.engine.sections import Section
from milo_billing.invoicing.operations.consolidating import combined
from milo_billing.invoicing.rules.postings import consolidated, postings
from milo_billing.invoicing.types.drafts import Draft
from milo_billing.ledger import operations as ledger
from milo_billing.ledger.types import TRANSFERS
from tests.unit.invoicing.granted import draft_of

NETS = st.lists(st.integers(-(10**6), 10**9), max_size=4)


def account(number: int) -> Account:
    return Account(
        number, UUID(int=number), "organization-acme", f"a{number}", 1, "USD", "Etc/UTC", "Ready", None, 1
    )


def draft(number: int, nets: list[int]) -> Draft:
    found = draft_of(nets)
    lines = tuple(replace(line, used_by=number) for line in found.lines)
    return replace(found, account=number, lines=lines)


@given(st.lists(NETS, min_size=1, max_size=5))
def test_a_consolidated_invoice_is_the_sum_of_its_accounts_drafts(nets: list[list[int]]) -> None:
    drafts = [draft(number, one) for number, one in enumerate(nets, start=1)]
    sections = [Section(account(one.account), one) for one in drafts]
    whole = combined(sections, payer=account(1), kind="Consolidated")
    assert (whole.account, whole.total_minor) == (1, sum(one.total_minor for one in drafts))
    assert whole.lines == tuple(line for one in drafts for line in one.lines)

    own, sent = consolidated(whole)
    entries = ledger.invoiced(own, currency="USD")
    others = [ledger.passed_on(lines, currency="USD") for lines in sent.values()]
    for one in (entries, *others):  # each transaction balances by itself
        assert sum(entry.amount.minor for entry in one) == 0
    every = [entry for one in (entries, *others) for entry in one]
    assert sum(entry.amount.minor for entry in every if entry.account == TRANSFERS) == 0
    # and what is earned is what the accounts' own invoices would earn, each at its account
    for one in drafts[1:]:
        assert sent.get(one.account, ()) == postings(one)
