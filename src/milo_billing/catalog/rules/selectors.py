"""Which Skus a selector means: requirements on labels as in Kubernetes, and expressions of CEL.

An expression sees `labels` (a map of strings), `name`, `service` and `meter` of one Sku and says true or false. It is
checked when it is admitted and compiled once. It is bounded: its length, the depth of its nesting (32) and, by the
library's budget of 10,000 iterations an evaluation, its time; regular expressions are RE2's, linear in the text.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, assert_never

from milo_billing.catalog.rules import wording
from milo_billing.catalog.types import LabelRequirement, Sku, SkuSelector
from milo_billing.kernel.errors import FieldError

if TYPE_CHECKING:
    from cel_expr_python.cel import Env, Expression

CEL_LENGTH_MAX: Final = 1024
"""Characters of one expression."""

_PROBLEM = re.compile(r"ERROR: <input>:(?P<line>\d+):(?P<column>\d+): (?P<message>[^\n]*)")


def parse_selectors(bodies: Iterable[Mapping[str, Any]]) -> tuple[SkuSelector, ...]:
    """Selectors as they stand in a spec: `[{matchLabels: [{key, op, values}], cel}]`."""
    return tuple(
        SkuSelector(
            match_labels=tuple(
                LabelRequirement(one["key"], one["op"], tuple(one.get("values") or ()))
                for one in body.get("matchLabels") or ()
            ),
            cel=body.get("cel"),
        )
        for body in bodies
    )


def selector_errors(selectors: Sequence[SkuSelector], *, path: str) -> Iterator[FieldError]:
    """What is wrong with selectors by themselves; `path` is their field, such as `spec.skuSelectors`."""
    for index, selector in enumerate(selectors):
        for number, requirement in enumerate(selector.match_labels):
            field = f"{path}[{index}].matchLabels[{number}].values"
            valued = requirement.op in ("In", "NotIn")
            if valued and not requirement.values:
                yield wording.required(field, f"the operator {requirement.op} needs at least one value")
            if not valued and requirement.values:
                yield wording.forbidden(field, f"the operator {requirement.op} takes no values")
        if selector.cel is not None:
            problem = _problem(selector.cel)
            if problem is not None:
                yield wording.invalid(f"{path}[{index}].cel", selector.cel, problem)


def selects(selectors: Sequence[SkuSelector], sku: Sku) -> bool:
    """Whether any of the selectors means the Sku; without selectors every Sku is meant.

    An expression that fails for the Sku (it reads a label that the Sku lacks, it takes too long) does not mean it.
    """
    return not selectors or any(_means(selector, sku) for selector in selectors)


def _means(selector: SkuSelector, sku: Sku) -> bool:
    if not all(_holds(requirement, sku.labels) for requirement in selector.match_labels):
        return False
    return selector.cel is None or _is_true(selector.cel, sku)


def _holds(requirement: LabelRequirement, labels: Mapping[str, str]) -> bool:
    value = labels.get(requirement.key)
    match requirement.op:
        case "In":
            return value in requirement.values
        case "NotIn":
            return value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case _:
            assert_never(requirement.op)


# ------------------------------------------------------------------------------------------------------- CEL


def _is_true(expression: str, sku: Sku) -> bool:
    seen = {
        "labels": dict(sku.labels),
        "name": sku.name,
        "service": sku.service,
        "meter": sku.meter_name,
    }
    try:
        # a label that is missing makes a value of another type, not an exception
        return _compiled(expression).eval(data=seen).value() is True
    except RuntimeError:  # its budget of iterations was used up
        return False


def _problem(expression: str) -> str | None:
    """Why the expression cannot be admitted, with the place; None where it can."""
    if len(expression) > CEL_LENGTH_MAX:
        return f"an expression has at most {CEL_LENGTH_MAX} characters, this one has {len(expression)}"
    try:
        kind = _compiled(expression).return_type().name()
    except RuntimeError as error:
        found = _PROBLEM.search(str(error))
        if found is None:
            return f"not an expression of CEL: {str(error).splitlines()[0]}"
        return f"line {found['line']}, column {found['column']}: {found['message']}"
    if kind != "BOOL":
        return f"the expression must say true or false, this one gives {kind.lower()}"
    return None


@lru_cache(maxsize=4096)
def _compiled(expression: str) -> "Expression":
    return _environment().compile(expression)


@lru_cache(maxsize=1)
def _environment() -> "Env":
    from cel_expr_python import cel  # most processes never meet an expression

    text = cel.Type.STRING
    return cel.NewEnv(
        variables={"labels": cel.Type.Map(text, text), "name": text, "service": text, "meter": text}
    )
