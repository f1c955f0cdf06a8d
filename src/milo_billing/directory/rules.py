"""What names organizations and projects may have."""

import re
from collections.abc import Iterator
from typing import Final

from milo_billing.directory.types import NAMESPACE_PREFIX
from milo_billing.kernel.errors import FieldError

LABEL_LENGTH_MAX: Final = 63
"""Of an RFC 1123 label, and so of a namespace and of the value of a label."""

ORGANIZATION_NAME_LENGTH_MAX: Final = LABEL_LENGTH_MAX - len(NAMESPACE_PREFIX)
PROJECT_NAME_LENGTH_MAX: Final = LABEL_LENGTH_MAX

_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", re.ASCII)


def name_errors(name: str, *, length_max: int) -> Iterator[FieldError]:
    """What is wrong with a name that must be an RFC 1123 label of at most `length_max` characters.

    Stricter than what Kubernetes asks of most names: these become part of a namespace, a label and the
    subject of usage events. The message is Kubernetes' own.
    """
    if len(name) > length_max:
        message = f'Invalid value: "{name}": must be no more than {length_max} characters'
        yield FieldError("metadata.name", "FieldValueInvalid", message)
    if _LABEL.fullmatch(name) is None:
        message = (
            f'Invalid value: "{name}": a lowercase RFC 1123 label must consist of lower case alphanumeric '
            "characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or "
            "'123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
        )
        yield FieldError("metadata.name", "FieldValueInvalid", message)
