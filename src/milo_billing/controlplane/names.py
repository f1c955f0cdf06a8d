"""Rules of Kubernetes metadata: names, labels, annotations, finalizers. Messages are the API server's own."""

import re
import secrets
from collections.abc import Iterator
from typing import Any, cast

import orjson

from milo_billing.controlplane.kinds import Json
from milo_billing.kernel.errors import FieldError

NAME_LENGTH_MAX = 253
LABEL_LENGTH_MAX = 63
ANNOTATIONS_BYTES_MAX = 256 * 1024

_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""Kubernetes' alphabet for generated names: no vowels, no look-alikes."""

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", re.ASCII)
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]", re.ASCII)
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?", re.ASCII)

_SUBDOMAIN_MESSAGE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_QUALIFIED_MESSAGE = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_LABEL_VALUE_MESSAGE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


def name_suffix() -> str:
    """What follows a generateName: five letters by chance."""
    return "".join(secrets.choice(_SUFFIX_LETTERS) for _ in range(5))


def _quote(value: str) -> str:
    return orjson.dumps(value).decode()


def name_errors(name: str) -> Iterator[FieldError]:
    """What is wrong with `metadata.name`."""
    if not name:
        yield FieldError(
            "metadata.name", "FieldValueRequired", "Required value: name or generateName is required"
        )
        return
    if len(name) > NAME_LENGTH_MAX:
        message = f"Invalid value: {_quote(name)}: must be no more than {NAME_LENGTH_MAX} characters"
        yield FieldError("metadata.name", "FieldValueInvalid", message)
    if not _SUBDOMAIN.fullmatch(name):
        yield FieldError(
            "metadata.name", "FieldValueInvalid", f"Invalid value: {_quote(name)}: {_SUBDOMAIN_MESSAGE}"
        )


def metadata_errors(metadata: Json) -> list[FieldError]:
    """What is wrong with labels, annotations and finalizers; types first, since the rest needs them."""
    errors: list[FieldError] = []
    labels: Any = metadata.get("labels") or {}
    annotations: Any = metadata.get("annotations") or {}
    finalizers: Any = metadata.get("finalizers") or []
    for path, value in (("metadata.labels", labels), ("metadata.annotations", annotations)):
        if not _is_string_map(value):
            errors.append(
                FieldError(
                    path,
                    "FieldValueTypeInvalid",
                    f"Invalid value: {path} must be a map of strings to strings",
                )
            )
    if not isinstance(finalizers, list) or not all(isinstance(f, str) for f in cast("list[Any]", finalizers)):
        errors.append(
            FieldError(
                "metadata.finalizers", "FieldValueTypeInvalid", "Invalid value: must be a list of strings"
            )
        )
    errors += _owner_errors(metadata.get("ownerReferences") or [])
    if errors:
        return errors
    errors += _label_errors(labels)
    errors += _annotation_errors(annotations)
    for finalizer in cast("list[str]", finalizers):
        errors += _finalizer_errors(finalizer)
    return errors


def _owner_errors(references: Any) -> Iterator[FieldError]:
    path = "metadata.ownerReferences"
    if not isinstance(references, list):
        yield FieldError(path, "FieldValueTypeInvalid", "Invalid value: must be a list of owner references")
        return
    for index, reference in enumerate(cast("list[Any]", references)):
        if not isinstance(reference, dict):
            yield FieldError(f"{path}[{index}]", "FieldValueTypeInvalid", "Invalid value: must be an object")
            continue
        named = cast("Json", reference)
        for part in ("apiVersion", "kind", "name", "uid"):
            if not isinstance(named.get(part), str) or not named[part]:
                message = f"Invalid value: {orjson.dumps(named.get(part)).decode()}: must not be empty"
                yield FieldError(f"{path}[{index}].{part}", "FieldValueInvalid", message)
        if isinstance(named.get("uid"), str) and named["uid"] and not _UUID.fullmatch(named["uid"]):
            message = f"Invalid value: {_quote(named['uid'])}: must be the uid of an object"
            yield FieldError(f"{path}[{index}].uid", "FieldValueInvalid", message)


def _is_string_map(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(k, str) and isinstance(v, str) for k, v in cast("dict[Any, Any]", value).items()
    )


def _label_errors(labels: dict[str, str]) -> Iterator[FieldError]:
    for key, value in sorted(labels.items()):
        for message in qualified_name_messages(key):
            yield FieldError(
                "metadata.labels", "FieldValueInvalid", f"Invalid value: {_quote(key)}: {message}"
            )
        if len(value) > LABEL_LENGTH_MAX:
            message = f"must be no more than {LABEL_LENGTH_MAX} characters"
            yield FieldError(
                "metadata.labels", "FieldValueInvalid", f"Invalid value: {_quote(value)}: {message}"
            )
        if not _LABEL_VALUE.fullmatch(value):
            message = f"Invalid value: {_quote(value)}: {_LABEL_VALUE_MESSAGE}"
            yield FieldError("metadata.labels", "FieldValueInvalid", message)


def _annotation_errors(annotations: dict[str, str]) -> Iterator[FieldError]:
    for key in sorted(annotations):
        for message in qualified_name_messages(key.lower()):
            yield FieldError(
                "metadata.annotations", "FieldValueInvalid", f"Invalid value: {_quote(key)}: {message}"
            )
    size = sum(len(k.encode()) + len(v.encode()) for k, v in annotations.items())
    if size > ANNOTATIONS_BYTES_MAX:
        message = f"Too long: may not be more than {ANNOTATIONS_BYTES_MAX} bytes"
        yield FieldError("metadata.annotations", "FieldValueInvalid", message)


def _finalizer_errors(finalizer: str) -> Iterator[FieldError]:
    messages = list(qualified_name_messages(finalizer))
    for message in messages:
        yield FieldError(
            "metadata.finalizers", "FieldValueInvalid", f"Invalid value: {_quote(finalizer)}: {message}"
        )
    if (
        not messages
        and "/" not in finalizer
        and finalizer not in ("orphan", "foregroundDeletion", "kubernetes")
    ):
        message = "name is neither a standard finalizer name nor is it fully qualified"
        yield FieldError(
            "metadata.finalizers", "FieldValueInvalid", f"Invalid value: {_quote(finalizer)}: {message}"
        )


def qualified_name_messages(key: str) -> Iterator[str]:
    """What is wrong with a label key, annotation key or finalizer: `[prefix/]name`."""
    prefix, slash, name = key.rpartition("/")
    if slash and not prefix:
        yield "prefix part must be non-empty"
    elif slash and not _SUBDOMAIN.fullmatch(prefix):
        yield f"prefix part {_SUBDOMAIN_MESSAGE}"
    if not name:
        yield "name part must be non-empty"
    elif len(name) > LABEL_LENGTH_MAX:
        yield f"name part must be no more than {LABEL_LENGTH_MAX} characters"
    if not _QUALIFIED.fullmatch(name):
        yield _QUALIFIED_MESSAGE


def is_label_value(value: str) -> bool:
    return len(value) <= LABEL_LENGTH_MAX and _LABEL_VALUE.fullmatch(value) is not None
