"""The bounds of what a credit note may take back of a tax group."""

from decimal import Decimal

import pytest

from milo_billing.invoicing.rules.taxes import Credited, UnableToCredit, credit_taxes, settle_taxes
from milo_billing.kernel.taxes import TaxTreatment

VAT_19 = TaxTreatment("S", Decimal(19), "VAT", "DE")


@pytest.mark.parametrize("net_minor", [1000, -1000])
def test_nothing_can_be_credited_of_what_was_credited_whole(net_minor: int) -> None:
    groups = settle_taxes([(net_minor, (VAT_19,))]).groups
    whole = credit_taxes(groups, earlier=(), bases={1: net_minor})
    assert whole == {1: Credited(net_minor, net_minor * 19 // 100)}
    for more in (1, -1):
        said = f"^{more} of a basis of which 0 of {net_minor} is left$"
        with pytest.raises(UnableToCredit, match=said) as caught:
            credit_taxes(groups, earlier=(whole,), bases={1: more})
        refused = caught.value
        assert (refused.wanted_minor, refused.left_minor, refused.of_minor) == (more, 0, net_minor)


def test_to_credit_nothing_takes_no_tax() -> None:
    groups = settle_taxes([(1000, (VAT_19,))]).groups
    assert credit_taxes(groups, earlier=(), bases={1: 0}) == {1: Credited(0, 0)}


def test_a_line_without_any_decision_says_what_was_meant() -> None:
    with pytest.raises(ValueError, match=r"^every line is taxed somehow: category O says that it is not$"):
        settle_taxes([(1, ())])
