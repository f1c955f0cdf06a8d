"""The how-tos of payments name everything that whoever reads them can meet."""

from pathlib import Path
from typing import get_args

import pytest

from milo_billing.payments.rules.mandates import PRE_NOTIFICATION_DAYS
from milo_billing.payments.rules.matching import Reason
from milo_billing.payments.rules.retries import RETRY_DAYS
from milo_billing.payments.rules.statements import return_kind
from milo_billing.payments.types import CollectState

DOCS = Path(__file__).parents[3] / "docs"
TRANSFERS, CARDS, DEBITS = (
    (DOCS / f"how-to-{page}.md").read_text() for page in ("bank-transfer", "collect-by-card", "direct-debit")
)


@pytest.mark.parametrize("reason", get_args(Reason))
def test_the_page_of_transfers_says_what_to_do_about_each_reason_to_wait(reason: str) -> None:
    assert f"| `{reason}` | " in TRANSFERS


@pytest.mark.parametrize("state", get_args(CollectState))
def test_the_page_of_cards_explains_what_collect_prints(state: str) -> None:
    assert f"| `{state}` | " in CARDS


def test_the_page_of_cards_has_the_schedule() -> None:
    assert "Retries** come {}, {}, {} and {} days".format(*RETRY_DAYS) in CARDS


def test_the_page_of_debits_tells_returns_after_which_the_next_file_asks_again() -> None:
    asked_again = next(line for line in DEBITS.splitlines() if "the next file asks again" in line)
    for code in ("AM04", "MS03", "ED05", "TM01"):
        assert return_kind(code) == "Soft"
        assert f"`{code}`" in asked_again
    for code in ("AC01", "AC04", "MD01", "MD06", "MD07"):
        assert return_kind(code) == "Hard"
        assert f"`{code}`" not in asked_again
    assert f"lie {PRE_NOTIFICATION_DAYS} days" in " ".join(DEBITS.split())
