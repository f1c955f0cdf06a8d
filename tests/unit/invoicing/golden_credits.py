"""How golden cases with credits are run, told by their shape: what burns down of which charge, what is left to pay."""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

from milo_billing.commitments.rules.composing import Reduction, reduce_lines
from milo_billing.invoicing.rules import grants
from milo_billing.invoicing.rules.grants import Reaching, Settling, Usable, with_promotional
from milo_billing.invoicing.rules.taxes import with_taxes
from milo_billing.invoicing.types.drafts import Draft
from milo_billing.kernel.money import minor_to_decimal, settle
from tests.golden import GoldenCase, Way
from tests.unit.invoicing.golden_taxes import taxed
from tests.unit.invoicing.granted import draft_of, granted


def way_of_credit(case: GoldenCase) -> Way | None:
    """How a case with credits runs; None for what has none."""
    match case.input:
        case {"credits": str(), "rate": str()}:
            return tops_up
        case {"charge": str(), "credit_balance": str()}:
            return uses_a_balance
        case {"lines": [*_], "credits": [*_]}:
            return burns_over_lines
        case {"credits": [{"amount": str(), "services": [*_]}, *_], "charges": {}}:
            return burns_over_services
        case {"prepaid_credits": str(), "tax_percent": str()} | {
            "wallet_credits": str(),
            "tax_percent": str(),
        }:
            return settles_an_invoice
        case _:
            return None


def cents(amount: str) -> int:
    return settle(Decimal(amount), "USD").minor


def tops_up(case: GoldenCase) -> None:
    """Credits that were bought, at so much each, are an amount of money: settled once."""
    exact = Decimal(case.input["credits"]) * Decimal(case.input["rate"])
    minor = grants.amount_minor(str(exact), currency=case.input["currency"])
    shown = minor_to_decimal(minor, case.input["currency"])
    assert {str(shown)} == set(case.expected.values())


def uses_a_balance(case: GoldenCase) -> None:
    plan = _settled(draft_of([cents(case.input["charge"])]), [cents(case.input["credit_balance"])])
    assert plan.prepaid_minor == cents(case.expected["credits_consumed"])
    assert cents(case.input["charge"]) - plan.prepaid_minor == cents(case.expected["invoice_remainder"])


def burns_over_lines(case: GoldenCase) -> None:
    """Credits in their order, each the lines in theirs: what each line has of every credit."""
    credits = [cents(one) for one in case.input["credits"]]
    drafted = with_promotional(
        draft_of([cents(one) for one in case.input["lines"]]),
        [Reaching(granted("Promotional", minor, number)) for number, minor in enumerate(credits)],
    )
    for number, line in enumerate(drafted.lines, start=1):
        assert [-one.amount_minor for one in line.discounts] == [
            cents(one) for one in case.expected[f"line{number}"]
        ]
    assert [line.net_minor for line in drafted.lines] == [cents(one) for one in case.expected["totals"]]


def burns_over_services(case: GoldenCase) -> None:
    """Credits with an expiry and the services that they pay for; the charges after the first of them, and after all."""
    names = list(case.input["charges"])
    left = [cents(one) for one in case.input["charges"].values()]
    credits = sorted(case.input["credits"], key=lambda one: one["expires"])
    usable = [
        Usable(cents(one["amount"]), frozenset(names.index(service) for service in one["services"]))
        for one in credits
    ]
    states: list[dict[str, int]] = []
    for uses in grants.burn(left, usable):
        left = [minor - uses.get(position, 0) for position, minor in enumerate(left)]
        states.append(dict(zip(names, left, strict=True)))
    assert states[0] == _amounts(case.expected["after_first"])
    assert states[-1] == _amounts(case.expected["final"])


def settles_an_invoice(case: GoldenCase) -> None:
    """Coupons, then tax on what they leave, then credits: of earlier credit notes before those that were bought."""
    given, expected = case.input, case.expected
    lines, reductions = _charges(given)
    taken = reduce_lines(lines, reductions)
    nets = [line + sum(off.amount_minor for off in offs) for line, offs in zip(lines, taken, strict=True)]
    drafted = with_taxes(draft_of(nets), {"standard": (taxed(given["tax_percent"]),)})
    credits = [
        cents(given[name]) for name in ("credit_notes", "prepaid_credits", "wallet_credits") if name in given
    ]
    plan = _settled(drafted, credits)
    net, due = sum(nets), drafted.total_minor - plan.prepaid_minor
    answers = {
        "net": net,
        "taxable": net,
        "tax": drafted.tax_minor,
        "total_incl_tax": drafted.total_minor,
        "due": due,
        # the source calls what is left to pay the total
        "total": due,
        "subtotal": sum(lines),
        "after_line_coupon": sum(lines)
        + sum(one.amount_minor for offs in taken for one in offs if one.scope == "Line"),
        "after_invoice_coupon": net,
        "owed_before_tax": net - plan.prepaid_minor,
    }
    assert expected.keys() <= answers.keys()
    assert {name: answers[name] for name in expected} == _amounts(expected)


def _charges(given: dict[str, Any]) -> tuple[list[int], list[Reduction]]:
    """Lines, and the coupons on some and on all of them."""
    if "lines" not in given:
        lines = [cents(given[name]) for name in ("subscriptions", "usage")]
        return lines, [_fixed(given["coupon"], len(lines))]
    names = [name for name, _ in given["lines"]]
    whose, percent = given["line_coupon"]
    on_line = Reduction(
        UUID(int=1),
        "line",
        Decimal(percent.removesuffix("%")),
        0,
        {names.index(whose): Fraction(1)},
        scope="Line",
    )
    return [cents(amount) for _, amount in given["lines"]], [
        on_line,
        _fixed(given["invoice_coupon"], len(names)),
    ]


def _fixed(amount: str, count: int) -> Reduction:
    return Reduction(UUID(int=2), "invoice", None, cents(amount), dict.fromkeys(range(count), Fraction(1)))


def _settled(drafted: Draft, credits: Sequence[int]) -> Settling:
    """What prepaid credit settles, in the order given."""
    found = [Reaching(granted("Prepaid", minor, number)) for number, minor in enumerate(credits)]
    return grants.settling(drafted, found, issuer="kestrel")


def _amounts(amounts: dict[str, str]) -> dict[str, int]:
    return {name: cents(amount) for name, amount in amounts.items()}
