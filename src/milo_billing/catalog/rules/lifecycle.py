"""How what is sold comes and goes: phases move forward one step; what others rely on does not change."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from milo_billing.catalog.rules import wording
from milo_billing.kernel.errors import FieldError

SERVICE_PHASES = ("Draft", "Published", "Deprecated", "Retired")
METER_PHASES = SERVICE_PHASES
BOOK_PHASES = ("Draft", "Published", "Retired")

FIRST_PHASES = ("Draft", "Published")
"""What may be declared at once: nothing is born deprecated."""


def phase_errors(phases: Sequence[str], *, before: str | None, after: str) -> Iterator[FieldError]:
    """What is wrong with going from one phase to another; `before` None on create."""
    field = "spec.phase"
    if before is None:
        if after not in FIRST_PHASES:
            yield wording.invalid(field, after, f"must be {' or '.join(FIRST_PHASES)} at first")
        return
    step = phases.index(after) - phases.index(before)
    if step not in (0, 1):
        steps = ", ".join(f"{one}→{next_}" for one, next_ in pairwise(phases))
        message = (
            f'invalid phase transition from "{before}" to "{after}"; allowed forward transitions are {steps}'
        )
        yield wording.forbidden(field, message)


def unchanged(fields: Sequence[tuple[str, object, object]]) -> Iterator[FieldError]:
    """An error for each field, given as (path below spec, before, after), that changed and must not."""
    for path, before, after in fields:
        if before != after:
            yield wording.forbidden(f"spec.{path}", f"{path} is immutable")


def only_added(path: str, *, before: Sequence[str], after: Sequence[str]) -> Iterator[FieldError]:
    """An error for each entry of a list that was there and is not any more."""
    for entry in before:
        if entry not in after:
            message = f'{path} is additive only; removing "{entry}" is not allowed'
            yield wording.forbidden(f"spec.{path}", message)


def repeated(path: str, entries: Sequence[str]) -> Iterator[FieldError]:
    """An error for each entry of a list that stood in it before; `path` is below spec."""
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        if entry in seen:
            yield wording.duplicate(f"spec.{path}[{index}]", entry)
        seen.add(entry)
