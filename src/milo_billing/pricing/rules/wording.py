"""Field errors as Kubernetes words them: each begins as `causes[].message` does."""

import json

from milo_billing.kernel.errors import FieldError


def invalid(field: str, value: str, message: str) -> FieldError:
    """A value that no one may set."""
    return FieldError(field, "FieldValueInvalid", f"Invalid value: {json.dumps(value)}: {message}")


def forbidden(field: str, message: str) -> FieldError:
    """A value that stands against the state of something."""
    return FieldError(field, "FieldValueForbidden", f"Forbidden: {message}")


def missing(field: str, value: str) -> FieldError:
    """A reference to something that is not there."""
    return FieldError(field, "FieldValueNotFound", f"Not found: {json.dumps(value)}")
