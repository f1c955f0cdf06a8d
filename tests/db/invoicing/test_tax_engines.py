"""What every tax engine keeps, our own and one that answers from what another told it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from typing import TypeAlias

import pytest

from milo_billing.infra.database import Tx
from milo_billing.invoicing.engine.taxing import DeclaredRates
from milo_billing.invoicing.ports import TaxEngine
from milo_billing.invoicing.types.errors import UnableToIssue
from milo_billing.kernel.money import Money
from milo_billing.kernel.taxes import (
    TaxBuyer,
    TaxDecision,
    TaxPlace,
    TaxQuestion,
    TaxRegistration,
    TaxSeller,
    TaxTreatment,
)
from tests.db.invoicing.ground import Ground
from tests.db.invoicing.test_taxed_invoices import CONSUMER, IRISH, TOKENS, declare_issuer, declare_rate

IRELAND = TaxPlace("IE")
QUESTION = TaxQuestion(
    TaxSeller(IRELAND, (TaxRegistration(IRELAND),)),
    TaxBuyer(IRELAND),
    frozenset({"standard", "books"}),
    date(2026, 11, 2),
)
VAT_23 = TaxTreatment("S", Decimal(23), "VAT", "IE")
VAT_9 = TaxTreatment("S", Decimal(9), "VAT", "IE")


@dataclass(frozen=True)
class Told:
    """An engine that lives elsewhere: it knows what it was told, by the country of the buyer."""

    answers: dict[str, TaxDecision] = field(default_factory=dict[str, TaxDecision])

    def decide(self, tx: Tx, question: TaxQuestion) -> TaxDecision:
        place = question.buyer.place
        known: TaxDecision = {} if place is None else self.answers.get(place.country, {})
        missing = sorted(question.categories - known.keys())
        if missing:
            raise UnableToIssue(f'nobody has said how tax category "{missing[0]}" is taxed: ask again later')
        return {category: known[category] for category in question.categories}


Made: TypeAlias = Callable[[Ground], TaxEngine]


def our_own(ground: Ground) -> TaxEngine:
    declare_rate(ground)
    declare_rate(ground, "books", taxCategory="books", percent="9")
    return DeclaredRates()


def told(ground: Ground) -> TaxEngine:
    return Told({"IE": {"standard": (VAT_23,), "books": (VAT_9,)}})


@pytest.fixture(params=[our_own, told])
def engine(bare_ground: Ground, request: pytest.FixtureRequest) -> TaxEngine:
    made: Made = request.param
    return made(bare_ground)


def test_every_category_that_was_asked_for_is_answered_and_no_other(
    bare_ground: Ground, engine: TaxEngine
) -> None:
    assert bare_ground.reading(lambda tx: engine.decide(tx, QUESTION)) == {
        "standard": (VAT_23,),
        "books": (VAT_9,),
    }
    one = replace(QUESTION, categories=frozenset({"books"}))
    assert bare_ground.reading(lambda tx: engine.decide(tx, one)) == {"books": (VAT_9,)}


def test_the_same_question_has_the_same_answer(bare_ground: Ground, engine: TaxEngine) -> None:
    first, second = (bare_ground.reading(lambda tx: engine.decide(tx, QUESTION)) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    "unknown",
    [
        replace(QUESTION, categories=frozenset({"wine"})),
        replace(QUESTION, buyer=TaxBuyer(None)),
    ],
)
def test_what_it_cannot_say_is_refused_and_not_left_untaxed(
    bare_ground: Ground, engine: TaxEngine, unknown: TaxQuestion
) -> None:
    with pytest.raises(UnableToIssue):
        bare_ground.reading(lambda tx: engine.decide(tx, unknown))


def test_an_invoice_is_issued_by_what_another_engine_says(bare_ground: Ground) -> None:
    declare_issuer(bare_ground, IRISH)
    ground = replace(
        bare_ground, office=replace(bare_ground.office, taxes=Told({"IE": {"standard": (VAT_9,)}}))
    )
    account = ground.declare_account(**CONSUMER)
    ground.use(account, TOKENS)
    assert ground.issued(account).total == Money(2500 + 225, "USD")
