"""Field errors as Kubernetes words them: each begins as `causes[].message` does.

Messages agree with Milo's own service, word for word where it has them.
"""

import json
from collections.abc import Iterable, Iterator, Sequence

from milo_billing.kernel.errors import FieldError


def invalid(field: str, value: str, message: str) -> FieldError:
    """A value that no one may set."""
    return FieldError(field, "FieldValueInvalid", f"Invalid value: {json.dumps(value)}: {message}")


def forbidden(field: str, message: str) -> FieldError:
    """A value that stands against the state of something, or that this caller may not set."""
    return FieldError(field, "FieldValueForbidden", f"Forbidden: {message}")


def missing(field: str, value: str) -> FieldError:
    """A reference to something that is not there."""
    return FieldError(field, "FieldValueNotFound", f"Not found: {json.dumps(value)}")


def duplicate(field: str, value: str) -> FieldError:
    """A value that the list has already."""
    return FieldError(field, "FieldValueDuplicate", f"Duplicate value: {json.dumps(value)}")


def required(field: str, message: str) -> FieldError:
    """A value that must be there, because of others."""
    return FieldError(field, "FieldValueRequired", f"Required value: {message}")


def not_supported(field: str, value: str, supported: Iterable[str]) -> FieldError:
    """A value outside a closed list."""
    listed = ", ".join(json.dumps(one) for one in supported)
    message = f"Unsupported value: {json.dumps(value)}: supported values: {listed}"
    return FieldError(field, "FieldValueNotSupported", message)


def duplicates(values: Sequence[tuple[str, str]]) -> Iterator[FieldError]:
    """Every value, given as (field path, value), that stood before."""
    seen: set[str] = set()
    for field, value in values:
        if value in seen:
            yield duplicate(field, value)
        seen.add(value)
