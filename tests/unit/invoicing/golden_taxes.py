"""How golden cases with a tax are run: worked invoices, single rates, and credit notes, told by their shape."""

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

from milo_billing.commitments.rules.composing import Reduction, reduce_lines
from milo_billing.invoicing.rules.taxes import Credited, Taxes, credit_taxes, settle_taxes, tax_minor
from milo_billing.kernel.money import settle
from milo_billing.kernel.taxes import TaxTreatment
from tests.golden import GoldenCase, Way

ZERO = Decimal(0)


def taxed(rate: str, name: str = "VAT") -> TaxTreatment:
    percent = Decimal(rate)
    return TaxTreatment("S" if percent else "Z", percent, name, "XX")


def minor(amount: str, currency: str = "EUR") -> int:
    return settle(Decimal(amount), currency).minor


def way_of_tax(case: GoldenCase) -> Way | None:
    """How a case with a tax runs; None for what is none."""
    shape: dict[str, Any] = {**case.input, "expected": case.expected}
    match shape:
        case {"taxable": str(), "tax_percent": str()} | {"taxable": str(), "tax_percents": [*_]}:
            return taxes_an_amount
        case {"fee": str(), "coupons": [*_], "tax_percent": str()}:
            return taxes_what_coupons_leave
        case {"period_days": str(), "tax_percent": str()}:
            return credits_days
        case {"credit_nets": [*_]}:
            return credits_in_parts
        case {"taxes": {}, "credit": str()}:
            return credits_several_taxes
        case {"original_total": str(), "expected": {"credit_note_total": _}}:
            return credits_everything
        case (
            {"lines_net_and_rate": [*_]}
            | {"lines_net": [*_]}
            | {"line_net": [*_], "rate": str()}
            | {"lines": [{"qty": str()}, *_]}
        ):
            return adds_up
        case _:
            return None


# -------------------------------------------------------------------------------------------- whole invoices


def adds_up(case: GoldenCase) -> None:
    """An invoice: lines, allowances and charges on the whole, what was paid before."""
    lines = [*_lines(case.input)]
    found = settle_taxes([(net, (taxed(rate),)) for net, rate in [*lines, *_on_the_whole(case.input)]])
    _assert_invoice(case.expected, lines, found, paid=minor(case.input.get("prepaid", "0")))


def _lines(given: dict[str, Any]) -> Iterable[tuple[int, str]]:
    """The net of each line and its rate; each charge, allowance and the price itself is settled for itself."""
    for net, rate in given.get("lines_net_and_rate", given.get("lines_net", ())):
        yield minor(net), rate
    for net in given.get("line_net", ()):
        yield minor(net), given["rate"]
    for line in given.get("lines", ()):
        exact = Fraction(line["qty"]) * Fraction(line["price"]) / Fraction(line.get("base_qty", "1"))
        net = settle(exact, "EUR").minor
        net += minor(line.get("line_charge", "0")) - minor(line.get("line_allowance", "0"))
        yield net, line.get("rate", given.get("rate"))


def _on_the_whole(given: dict[str, Any]) -> Iterable[tuple[int, str]]:
    for name, sign in (("allowance", -1), ("charge", 1)):
        if name in given:
            amount, rate = given[name]
            yield sign * minor(amount), rate
        if f"doc_{name}" in given:
            rate = given.get("rate") or given["lines"][0]["rate"]
            yield sign * minor(given[f"doc_{name}"]), rate


def _assert_invoice(
    expected: dict[str, Any], lines: list[tuple[int, str]], found: Taxes, *, paid: int
) -> None:
    net = sum(group.basis_minor for group in found.groups)
    answers: dict[str, Any] = {
        "net": net,
        "tax": found.tax_minor,
        "total": net + found.tax_minor,
        "payable": net + found.tax_minor - paid,
    }
    assert expected.keys() <= {*answers, "line_net", "breakdown"}
    for name in answers.keys() & expected.keys():
        assert answers[name] == minor(expected[name]), name
    if "line_net" in expected:
        assert [net for net, _ in lines] == [minor(one) for one in expected["line_net"]]
    if "breakdown" in expected:
        rows = {(group.treatment.percent, group.basis_minor, group.tax_minor) for group in found.groups}
        assert rows == {
            (Decimal(row["rate"]), minor(row["taxable"]), minor(row["tax"])) for row in expected["breakdown"]
        }


# ---------------------------------------------------------------------------------------------- single rates


def taxes_an_amount(case: GoldenCase) -> None:
    currency = case.input.get("currency", "USD")
    basis = minor(case.input["taxable"], currency)
    percents = case.input.get("tax_percents") or [case.input["tax_percent"]]
    treatments = tuple(taxed(percent, f"Tax {number}") for number, percent in enumerate(percents))
    found = settle_taxes([(basis, treatments)])
    if "taxes" in case.expected:
        assert [group.tax_minor for group in found.groups] == [
            minor(one, currency) for one in case.expected["taxes"]
        ]
    expected = case.expected["total_tax" if "total_tax" in case.expected else "tax"]
    assert found.tax_minor == minor(expected, currency)


def taxes_what_coupons_leave(case: GoldenCase) -> None:
    fee = minor(case.input["fee"])
    coupons = [
        Reduction(UUID(int=number), "coupon", None, minor(amount), {0: Fraction(1)})
        for number, amount in enumerate(case.input["coupons"], start=1)
    ]
    (taken,) = reduce_lines([fee], coupons)
    off = sum(one.amount_minor for one in taken)
    assert -off == minor(case.expected["coupon_applied"])
    assert tax_minor(fee + off, Decimal(case.input["tax_percent"])) == minor(case.expected["tax"])


# ---------------------------------------------------------------------------------------------- credit notes


def credits_days(case: GoldenCase) -> None:
    """The part for some days: the net is settled first, then its tax."""
    given = case.input
    invoiced = settle_taxes([(minor(given["amount"]), (taxed(given["tax_percent"]),))])
    share = Fraction(given["amount"]) * int(given["days"]) / int(given["period_days"])
    found = credit_taxes(invoiced.groups, earlier=(), bases={1: settle(share, "EUR").minor})[1]
    assert_credited(found, case.expected)


def credits_in_parts(case: GoldenCase) -> None:
    given, expected = case.input, case.expected
    invoiced = settle_taxes([(minor(given["invoice_net"]), (taxed(given["tax_percent"]),))])
    earlier: list[dict[int, Credited]] = []
    for net, name in zip(given["credit_nets"], ("first", "second", "third"), strict=False):
        note = credit_taxes(invoiced.groups, earlier=earlier, bases={1: minor(net)})
        assert_credited(note[1], expected[name])
        earlier.append(note)
    assert sum(note[1].basis_minor + note[1].tax_minor for note in earlier) == minor(
        expected["invoice_total"]
    )


def credits_several_taxes(case: GoldenCase) -> None:
    given, expected = case.input, case.expected
    net = minor(given["net"])
    names = list(given["taxes"])
    percents = [Decimal(given["taxes"][name]) / Decimal(given["net"]) * 100 for name in names]
    invoiced = settle_taxes(
        [(net, tuple(taxed(str(percent), name) for name, percent in zip(names, percents, strict=True)))]
    )
    credit = minor(given["credit"])
    note = credit_taxes(invoiced.groups, earlier=(), bases=dict.fromkeys(range(1, len(names) + 1), credit))
    for number, name in enumerate(names, start=1):
        assert note[number].tax_minor == minor(expected[name])
    assert sum(one.tax_minor for one in note.values()) == minor(expected["tax"])


def credits_everything(case: GoldenCase) -> None:
    """A whole invoice taken back, as the source's has it: 25 % on its net."""
    expected = case.expected
    net = -minor(expected["negative_invoice_net"])
    invoiced = settle_taxes([(net, (taxed("25"),))])
    (note,) = credit_taxes(invoiced.groups, earlier=(), bases={1: net}).values()
    assert note.basis_minor + note.tax_minor == minor(case.input["original_total"])
    assert note.basis_minor + note.tax_minor == minor(expected["credit_note_total"])
    assert note.tax_minor == -minor(expected["negative_invoice_tax"])
    reversed_ = settle_taxes([(-net, (taxed("25"),))])
    assert -net + reversed_.tax_minor == minor(expected["negative_invoice_total"])


def assert_credited(found: Credited, expected: dict[str, Any]) -> None:
    answers = {
        "net": found.basis_minor,
        "tax": found.tax_minor,
        "total": found.basis_minor + found.tax_minor,
    }
    for name in answers.keys() & expected.keys():
        assert answers[name] == minor(expected[name]), name
