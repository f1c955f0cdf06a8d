"""The bases of every expected error, and the one shape of a field error.

Slices derive their named errors from these; `controlplane.statuses` maps each base to a Kubernetes Status,
once. A message says what was wrong, where, and what to do. Nothing here knows HTTP.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

FieldReason = Literal[
    "FieldValueRequired",
    "FieldValueInvalid",
    "FieldValueNotSupported",
    "FieldValueForbidden",
    "FieldValueDuplicate",
    "FieldValueTypeInvalid",
    "FieldValueNotFound",
    "FieldValueTooLong",
]


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with one field: `field` is its path (`spec.paymentTerms.netDays`).

    `message` is complete in itself, without the path (Kubernetes' `causes[].message`).
    """

    field: str
    reason: FieldReason
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


class MiloError(Exception):
    """What somebody outside did wrong, or must wait for. Never a defect of ours."""


class BadRequest(MiloError):
    """The request cannot be read: syntax, parameters."""


class Unauthenticated(MiloError):
    """Nobody we know sent this."""


class Forbidden(MiloError):
    """We know who sent it, and they may not."""


class NotFound(MiloError):
    """It does not exist, or not for the caller."""


class AlreadyExists(MiloError):
    """The name is taken."""


class Conflict(MiloError):
    """The state of something else, or a newer version of this, stands against it."""


class Invalid(MiloError):
    """Field values that a rule refuses: every one of them, not the first."""

    def __init__(self, errors: Iterable[FieldError]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(str(error) for error in self.errors))


class TooLarge(MiloError):
    """Over a stated bound."""


class TooMany(MiloError):
    """Back-pressure: the same request will do later. `retry_after_s` says when, in seconds."""

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Unavailable(MiloError):
    """Something we need is away; the same request will do later."""
