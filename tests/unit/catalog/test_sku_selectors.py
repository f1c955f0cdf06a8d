"""Which Skus a selector means: operators on labels, CEL, and what is refused at admission."""

import time
from collections.abc import Mapping
from fractions import Fraction

import pytest

from milo_billing.catalog.rules.selectors import CEL_LENGTH_MAX, selector_errors, selects
from milo_billing.catalog.types import LabelOperator, LabelRequirement, Sku, SkuSelector


def sku(**labels: str) -> Sku:
    return Sku(
        number=1,
        name="gpu-hours",
        meter_name="compute/gpu",
        match={},
        pricing_unit="h",
        unit_factor=Fraction(1),
        quantity_rounding=None,
        tax_category="standard",
        display_name="GPU hours",
        invoice_group="",
        service="compute",
        labels=labels,
    )


def labelled(key: str, op: LabelOperator, *values: str) -> SkuSelector:
    return SkuSelector((LabelRequirement(key, op, values),))


def cel(expression: str) -> SkuSelector:
    return SkuSelector(cel=expression)


@pytest.mark.parametrize(
    ("op", "values", "labels", "meant"),
    [
        ("In", ("eu", "us"), {"region": "eu"}, True),
        ("In", ("eu",), {"region": "us"}, False),
        ("In", ("eu",), {}, False),
        ("NotIn", ("eu",), {"region": "us"}, True),
        ("NotIn", ("eu",), {"region": "eu"}, False),
        ("NotIn", ("eu",), {}, True),  # as in Kubernetes: what lacks the label is not in it
        ("Exists", (), {"region": ""}, True),
        ("Exists", (), {}, False),
        ("DoesNotExist", (), {}, True),
        ("DoesNotExist", (), {"region": "eu"}, False),
    ],
)
def test_an_operator_looks_at_one_label(
    op: LabelOperator, values: tuple[str, ...], labels: Mapping[str, str], meant: bool
) -> None:
    assert selects([labelled("region", op, *values)], sku(**labels)) is meant


def test_requirements_and_an_expression_of_one_selector_must_all_hold() -> None:
    selector = SkuSelector(
        (LabelRequirement("region", "In", ("eu",)), LabelRequirement("tier", "Exists")),
        cel="service == 'compute'",
    )
    assert selects([selector], sku(region="eu", tier="gold"))
    assert not selects([selector], sku(region="eu"))
    assert not selects([selector], sku(region="us", tier="gold"))


def test_any_selector_of_a_list_is_enough_and_an_empty_list_means_every_sku() -> None:
    assert selects([labelled("a", "Exists"), labelled("b", "Exists")], sku(b="1"))
    assert not selects([labelled("a", "Exists"), labelled("b", "Exists")], sku(c="1"))
    assert selects([], sku())
    assert selects([SkuSelector()], sku())


@pytest.mark.parametrize(
    ("expression", "meant"),
    [
        ("labels.family == 'gpu' && meter.startsWith('compute/')", True),
        ("labels['family'] in ['cpu', 'gpu']", True),
        ("name == 'gpu-hours' && service == 'compute'", True),
        ("labels.exists(key, key == 'family')", True),
        ("name.matches('^(g+)+pu-hours$')", True),
        ("labels.absent == 'x'", False),  # fails for this Sku, so it does not mean it
        ("has(labels.absent)", False),
    ],
)
def test_an_expression_sees_labels_name_service_and_meter(expression: str, meant: bool) -> None:
    assert list(selector_errors([cel(expression)], path="spec")) == []
    assert selects([cel(expression)], sku(family="gpu")) is meant


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("labels.a == ", "line 1, column 13: Syntax error"),
        ("true &&\n  nme == 'x'", "line 2, column 3: undeclared reference to 'nme'"),
        ("name", "must say true or false, this one gives string"),
        ("1 + name == 'x'", "line 1, column 3: found no matching overload"),
        ("true" + " " * CEL_LENGTH_MAX, f"at most {CEL_LENGTH_MAX} characters"),
        ("(" * 40 + "true" + ")" * 40, "recursion limit exceeded"),
    ],
)
def test_an_expression_that_cannot_be_used_is_refused_with_its_place(expression: str, said: str) -> None:
    (error,) = selector_errors([cel(expression)], path="spec.skuSelectors")
    assert error.field == "spec.skuSelectors[0].cel"
    assert said in error.message


@pytest.mark.parametrize("over", ["[1,1,1,1,1,1,1,1,1,1]", "labels"])
def test_an_expression_cannot_take_long(over: str) -> None:
    expression = "labels != {}"
    for number in range(15):  # 10 ** 15 steps, were there no budget
        expression = f"{over}.all(x{number}, {expression})"
    started = time.perf_counter()
    assert list(selector_errors([cel(expression)], path="spec")) == []
    assert not selects([cel(expression)], sku(**{f"label{number}": "x" for number in range(64)}))
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize(
    ("selector", "said"),
    [
        (labelled("region", "In"), "Required value: the operator In needs at least one value"),
        (labelled("region", "Exists", "eu"), "Forbidden: the operator Exists takes no values"),
    ],
)
def test_values_go_with_the_operator(selector: SkuSelector, said: str) -> None:
    (error,) = selector_errors([selector], path="spec")
    assert (error.field, error.message) == ("spec[0].matchLabels[0].values", said)
