"""Kinds that can only be created, are answered and never stored: how their bodies are read, and what is answered.

Owns: the form. Not: the answers (the slice that owns the question), nor the reviews that Kubernetes itself defines
(reviews).
"""

import copy
from typing import Any

from pydantic import ValidationError

from milo_billing.controlplane.decoding import decode, parse_body
from milo_billing.controlplane.kinds import AnyKind, Fields, Json
from milo_billing.controlplane.schemas import apply_defaults, drop_nulls, prune, structural_schema, validate
from milo_billing.kernel.errors import FieldError, Invalid


def read_question(kind: AnyKind, body: bytes, content_type: str) -> Fields:
    """The spec of a question in JSON or YAML. Raises as creating an object of the kind would: 400, 415, 422."""
    value, duplicates = parse_body(kind, body, content_type)
    draft = decode(kind, value, validation="Strict", duplicates=duplicates, raw=body)
    return _validated(kind, {"spec": draft.spec}, [])


def read_spec(kind: AnyKind, value: object) -> Fields:
    """The spec of a kind where it stands in another body; `value` stays as it is.

    Raises Invalid with everything that is wrong at once, unknown fields among it; fields begin with `spec`.
    """
    parts: dict[str, Any] = {"spec": copy.deepcopy(value)}
    unknown = [
        FieldError(path, "FieldValueInvalid", "Invalid value: there is no such field")
        for path in prune(parts, structural_schema(kind))
    ]
    return _validated(kind, parts, unknown)


def _validated(kind: AnyKind, parts: dict[str, Any], errors: list[FieldError]) -> Fields:
    schema = structural_schema(kind)
    drop_nulls(parts, schema)
    apply_defaults(parts, schema)
    errors = [*errors, *validate(parts, schema)]
    if errors:
        raise Invalid(errors)
    try:
        return kind.spec_model.model_validate(parts["spec"])
    except ValidationError as error:
        raise Invalid(
            FieldError(
                "spec." + ".".join(map(str, e["loc"])), "FieldValueInvalid", f"Invalid value: {e['msg']}"
            )
            for e in error.errors()
        ) from error


def answered(kind: AnyKind, spec: Fields, status: Fields) -> Json:
    """The question with its answer, as it is sent."""
    return {
        "kind": kind.kind,
        "apiVersion": f"{kind.group}/{kind.version}",
        "metadata": {"creationTimestamp": None},
        "spec": _body(spec),
        "status": _body(status),
    }


def _body(part: Fields) -> Json:
    return part.model_dump(mode="json", by_alias=True, exclude_none=True)
